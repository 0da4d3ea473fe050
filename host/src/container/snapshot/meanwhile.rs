//! What happens to a running container while a snapshot of it is taken.

use super::super::{Error, Host, watch};
use crate::config::Name;
use crate::plugin::MountPlan;
use crate::plugin::mounts::VolumeSource;
use crate::plugin::storage::SnapshotTraits;
use crate::runtime::control::Request;
use crate::runtime::{Client, State};

/// What has to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meanwhile {
    /// It runs on.
    RunsOn,
    /// It is frozen, and its files are copied: nothing is written, and the files show all that was.
    Frozen,
    /// It has to be stopped, because...
    Refused(&'static str),
}

/// Decides for a volume that is mounted. `native`: how its backend takes snapshots, if it does.
///
/// A backend that is not live may well need the volume unmounted, to rename what it consists of: it is never asked
/// for a snapshot of one that is in use, and the host copies instead where it can.
pub(super) fn decide(native: Option<SnapshotTraits>, plan: &MountPlan) -> Meanwhile {
    match plan.mounts.first().map(|mount| &mount.source) {
        _ if native.is_some_and(|traits| traits.live) => Meanwhile::RunsOn,
        // What the container sees is this very directory.
        Some(VolumeSource::Tree(_)) if plan.mounts.len() == 1 => Meanwhile::Frozen,
        Some(VolumeSource::Overlay { .. }) => {
            Meanwhile::Refused("its layers cannot be changed while the kernel has them mounted")
        }
        // A frozen container writes nothing, but the kernel still does, and a second mount of the same blocks
        // would show half of it.
        _ => Meanwhile::Refused("its file system cannot be read in another way while it is mounted"),
    }
}

/// A container that is frozen as long as this is there, also when this process is killed: its monitor lets it go
/// on when the connection ends. One that somebody froze stays frozen.
#[derive(Debug)]
pub(super) struct Held {
    client: Client,
    name: Name,
}

impl Held {
    pub(super) fn new(host: &Host, name: &Name) -> Result<Self, Error> {
        let client = watch::connect(host, name)?;
        client.order(&Request::Hold)?;
        Ok(Self { client, name: name.clone() })
    }

    /// Lets go, if it was frozen all the time.
    pub(super) fn let_go(self) -> Result<(), Error> {
        if self.client.state()? == State::Frozen {
            return Ok(());
        }
        Err(Error::Invalid {
            message: format!("{} was unfrozen while its files were copied", self.name),
            hint: "leave it frozen until the snapshot is taken, or stop it first".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::mounts::{Backing, Disk, VolumeMount};

    fn plan(source: VolumeSource) -> MountPlan {
        let mount = VolumeMount { source, target: "".into(), read_only: false, options: Vec::new() };
        MountPlan { pool: "/p".into(), mounts: vec![mount] }
    }

    #[test]
    fn only_what_cannot_be_read_consistently_is_refused() {
        let tree = plan(VolumeSource::Tree("web/rootfs".into()));
        let overlay = plan(VolumeSource::Overlay { lower: Vec::new(), upper: None });
        let backing = Backing::File("web/rootdev".into());
        let disk = plan(VolumeSource::Disk(Disk { backing, filesystem: "ext4".into() }));
        let traits = |live| Some(SnapshotTraits { live, instant: true, pins_volume: false });
        for plan in [&tree, &overlay, &disk] {
            assert_eq!(decide(traits(true), plan), Meanwhile::RunsOn);
        }
        for native in [None, traits(false)] {
            assert_eq!(decide(native, &tree), Meanwhile::Frozen);
            assert!(matches!(decide(native, &overlay), Meanwhile::Refused(_)));
            assert!(matches!(decide(native, &disk), Meanwhile::Refused(_)));
        }
    }
}
