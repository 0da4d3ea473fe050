//! What happens to a running container while a snapshot of it is taken.

use rustix::io::Errno;

use super::super::volume::{self, OpenVolume};
use super::super::{Error, Host, watch};
use super::Volume;
use crate::config::Name;
use crate::plugin::MountPlan;
use crate::plugin::mounts::VolumeSource;
use crate::plugin::storage::{Access, SnapshotTraits};
use crate::runtime::control::Request;
use crate::runtime::{Client, State};
use crate::sys::disk;

/// What has to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Meanwhile {
    /// It runs on.
    RunsOn,
    /// It is frozen, and its storage takes the snapshot; where it is on a disk, the file system is frozen, too.
    Rests { disk: bool },
    /// It is frozen, and its files are copied: nothing is written, and the files show all that was.
    Copied,
    /// It has to be stopped, because...
    Refused(&'static str),
}

/// Decides for a volume that is mounted. `native`: how its backend takes snapshots, if it does; `at_rest`: whether it takes
/// them of what is mounted while nothing writes to it.
///
/// A backend that says neither may well need the volume unmounted, to rename what it consists of: it is never asked
/// for a snapshot of one that is in use, and the host copies instead where it can.
pub(in crate::container) fn decide(
    native: Option<SnapshotTraits>,
    at_rest: bool,
    plan: &MountPlan,
) -> Meanwhile {
    match plan.mounts.first().map(|mount| &mount.source) {
        _ if native.is_some_and(|traits| traits.live) => Meanwhile::RunsOn,
        Some(source) if at_rest && plan.mounts.len() == 1 => {
            Meanwhile::Rests { disk: matches!(source, VolumeSource::Disk(_)) }
        }
        // What the container sees is this very directory.
        Some(VolumeSource::Tree(_)) if plan.mounts.len() == 1 => Meanwhile::Copied,
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
pub(in crate::container) struct Rest {
    client: Client,
    name: Name,
    /// Its disk, whose file system is frozen, too.
    disk: Option<OpenVolume>,
}

impl Rest {
    /// Its processes rest. What they wrote need not be on a disk yet.
    pub(in crate::container) fn begin(host: &Host, name: &Name) -> Result<Self, Error> {
        let client = watch::connect(host, name)?;
        client.order(&Request::Hold)?;
        Ok(Self { client, name: name.clone(), disk: None })
    }

    /// Its processes rest, and so does the file system on its disk, with all that was written on it.
    pub(in crate::container) fn with_disk(host: &Host, name: &Name, source: &Volume) -> Result<Self, Error> {
        // The same file system as the container's, whatever its processes have mounted over it.
        let opened = volume::open(&source.storage, &source.id, Access::ReadWrite)?;
        // What is written now need not be waited for while it rests.
        opened.sync().map_err(Error::io("write out what is in memory of", &host.layout.path))?;
        let mut rest = Self::begin(host, name)?;
        rest.client.quiet(opened.root())?;
        match disk::freeze(opened.root()) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::BUSY) => {
                return Err(Error::io("freeze the file system of", &host.layout.directory(name))(error));
            }
            _ => rest.disk = Some(opened),
        }
        Ok(rest)
    }

    /// Lets go, if it was frozen all the time. Whoever looks then finds it running.
    pub(in crate::container) fn end(mut self) -> Result<(), Error> {
        let frozen = self.client.state()? == State::Frozen;
        self.thaw()?;
        if frozen {
            return Ok(());
        }
        Err(Error::Invalid {
            message: format!("{} was unfrozen while it was copied", self.name),
            hint: "leave it frozen until that is done, or stop it first".into(),
        })
    }

    /// By its monitor, which then knows that nothing is left to thaw; by ourselves if that is gone.
    fn thaw(&mut self) -> Result<(), Error> {
        let done = self.client.order(&Request::Thaw);
        if let Some(opened) = self.disk.take()
            && done.is_err()
            && let Err(error) = disk::thaw(opened.root())
        {
            tracing::warn!(name = %self.name, "cannot thaw the file system: {error}");
        }
        Ok(done?)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        // Once more changes nothing.
        drop(self.thaw());
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
            assert_eq!(decide(traits(true), true, plan), Meanwhile::RunsOn);
        }
        for native in [None, traits(false)] {
            assert_eq!(decide(native, false, &tree), Meanwhile::Copied);
            assert!(matches!(decide(native, false, &overlay), Meanwhile::Refused(_)));
            assert!(matches!(decide(native, false, &disk), Meanwhile::Refused(_)));
            assert_eq!(decide(native, true, &disk), Meanwhile::Rests { disk: true });
            assert_eq!(decide(native, true, &overlay), Meanwhile::Rests { disk: false });
        }
    }
}
