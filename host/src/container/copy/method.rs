#![forbid(unsafe_code)]
//! How the volume of a copy is made: the fastest way that keeps what was promised.
//!
//! | what the storage can | an independent copy | one that shares (`-s`) |
//! |---|---|---|
//! | live snapshots and clones | clone of a snapshot, if clones stand alone; else bytes | clone of a snapshot |
//! | clones | clone of the sealed original, unsealed again; if clones stand alone | clone of the sealed original |
//! | neither, or another storage | bytes | refused |

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;

use serde::Serialize;

use super::super::journal::Operation;
use super::super::shift::Shifted;
use super::super::snapshot::REMOVED;
use super::super::snapshot::meanwhile::{self, Meanwhile};
use super::super::volume::{self, OpenVolume};
use super::super::{Error, Host, dependents, ids, plugins, store};
use super::Sharing;
use crate::config::{Container, Name};
use crate::plugin::StoragePlugin;
use crate::plugin::storage::{Access, CloneTraits, Storage as _};

/// How it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Every file was copied, blocks shared where the file system can.
    Bytes,
    /// A snapshot of the original was cloned.
    Snapshot,
    /// The original itself was cloned.
    Clone,
}

/// The original's volume.
pub(in crate::container) struct Volume {
    pub(in crate::container) name: Name,
    pub(in crate::container) storage: StoragePlugin,
    /// As the configuration names it.
    pub(in crate::container) storage_name: String,
    /// The volume's id.
    pub(in crate::container) id: String,
    /// Its files have the ids of the host that this container alone has: what shares them shares its ids.
    pub(in crate::container) shifted: bool,
}

impl Volume {
    /// That of a container.
    pub(in crate::container) fn of(host: &Host, name: &Name, container: &Container) -> Result<Self, Error> {
        Ok(Self {
            name: name.clone(),
            storage: plugins::load_storage(host, &container.rootfs.storage)?,
            storage_name: container.rootfs.storage.clone(),
            id: container.rootfs.volume.clone().unwrap_or_else(|| name.to_string()),
            shifted: ids::are_shifted(container),
        })
    }
}

/// Where the copy goes.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) storage: StoragePlugin,
}

/// What was decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) how: How,
    traits: Option<CloneTraits>,
    /// Sharing would have been better, and cannot be.
    second_best: bool,
    /// The copy has the original's ids, as it has its files.
    pub(super) shares_ids: bool,
    /// The snapshot is taken of what is mounted, while nothing writes to it.
    at_rest: bool,
}

/// What may not write to the original while it is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quiet {
    Nothing,
    /// Its processes.
    Processes,
    /// Those, and the file system on its disk.
    Disk,
}

impl Choice {
    /// What has to rest meanwhile, of a container that runs.
    pub(super) fn quiet(self, source: &Volume) -> Result<Quiet, Error> {
        match self.how {
            How::Bytes => Ok(Quiet::Processes),
            How::Snapshot if self.at_rest => {
                let plan = source.storage.mounts(&source.id, Access::ReadOnly)?;
                let disk = matches!(meanwhile::decide(None, true, &plan), Meanwhile::Rests { disk: true });
                Ok(if disk { Quiet::Disk } else { Quiet::Processes })
            }
            How::Snapshot | How::Clone => Ok(Quiet::Nothing),
        }
    }

    /// What a person should know of it.
    pub(super) fn notes(self, from: &Name) -> Vec<String> {
        let mut notes = Vec::new();
        if self.second_best {
            notes.push(format!("the storage of {from} cannot share here, so everything was copied"));
        }
        if self.how == How::Clone && self.traits.is_some_and(|traits| traits.pins_parent) {
            notes.push(format!(
                "{from} is what the copy is built on: it cannot be started or destroyed until the copy is gone"
            ));
        }
        if self.shares_ids {
            notes.push(format!(
                "the copy has the ids of {from}, whose files it shares: without root they cannot be kept apart; a full \
                 copy has ids of its own"
            ));
        }
        notes
    }
}

/// Why a copy that has to share cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Cannot,
    Running,
}

/// Whether the original runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    Stopped,
    /// `rests`: its storage takes snapshots of it while nothing is written.
    Running {
        rests: bool,
    },
}

/// Chooses a way for these two storages.
pub(super) fn choose(
    source: &Volume,
    target: &Target,
    here: bool,
    sharing: Sharing,
    activity: Activity,
) -> Result<Choice, Error> {
    let (storage, abilities) = (&target.storage, target.storage.abilities());
    let own = source.storage.identity().name == storage.identity().name;
    let same = here && (own || sharing != Sharing::Never && knows(storage, source)?);
    // With a range of its own a copy shares no file.
    let same = same && !(source.shifted && sharing == Sharing::Never);
    let clones = (same && abilities.clones).then(|| storage.clone_traits()).transpose()?;
    let live = same && abilities.snapshots && {
        let traits = storage.snapshot_traits()?;
        traits.live && traits.instant
    };
    let activity = match activity {
        // A clone that is a copy of everything would be the second one.
        Activity::Running { rests } => {
            let worth = clones.is_some_and(|traits: CloneTraits| traits.instant);
            Activity::Running { rests: rests && own && worth }
        }
        Activity::Stopped => activity,
    };
    let choice = decide(sharing, activity, clones, live)
        .map(|choice| Choice { shares_ids: source.shifted && choice.how != How::Bytes, ..choice });
    choice.map_err(|refusal| match refusal {
        Refusal::Running => Error::Invalid {
            message: format!("{} shares only what does not run", storage.identity()),
            hint: "stop the container first, or make a full copy without -s".into(),
        },
        Refusal::Cannot if !here => Error::Invalid {
            message: "a copy in another directory of containers cannot share with its original".into(),
            hint: "leave out -p, or make a full copy without -s".into(),
        },
        Refusal::Cannot if !same => Error::Invalid {
            message: format!("{} cannot share what {} keeps", storage.identity(), source.storage.identity()),
            hint: "leave out -B, or make a full copy without -s".into(),
        },
        Refusal::Cannot => Error::Invalid {
            message: format!("{} cannot share: it has no clones", storage.identity()),
            hint: format!(
                "make a full copy without -s, or first one to a storage that can: wxc copy {} NAME -B overlay",
                source.id
            ),
        },
    })
}

/// Whether another storage can build on this volume: one of the same form, as an overlay over a directory.
pub(super) fn knows(storage: &StoragePlugin, source: &Volume) -> Result<bool, Error> {
    if !storage.abilities().clones {
        return Ok(false);
    }
    let all = dependents::volumes(storage)?;
    Ok(all.iter().any(|volume| volume.id == source.id))
}

fn decide(
    sharing: Sharing,
    activity: Activity,
    clones: Option<CloneTraits>,
    live: bool,
) -> Result<Choice, Refusal> {
    let choice = |how| Choice { how, traits: clones, second_best: false, shares_ids: false, at_rest: false };
    let bytes = |refusal| match sharing {
        Sharing::Required => Err(refusal),
        Sharing::Preferred => Ok(Choice { second_best: true, ..choice(How::Bytes) }),
        Sharing::Never => Ok(choice(How::Bytes)),
    };
    match (clones, activity) {
        (None, _) => bytes(Refusal::Cannot),
        (Some(traits), _) if traits.pins_parent && sharing == Sharing::Never => Ok(choice(How::Bytes)),
        (Some(_), _) if live => Ok(choice(How::Snapshot)),
        (Some(_), Activity::Running { rests: true }) => Ok(Choice { at_rest: true, ..choice(How::Snapshot) }),
        (Some(_), Activity::Running { rests: false }) => bytes(Refusal::Running),
        (Some(_), Activity::Stopped) => Ok(choice(How::Clone)),
    }
}

/// Makes the volume of the copy and opens its root for writing.
pub(super) fn make(
    host: &Host,
    choice: &Choice,
    operation: &Operation,
    source: &Volume,
    target: &Target,
    to: New<'_>,
    policy: Shifted<'_>,
) -> Result<OpenVolume, Error> {
    match choice.how {
        How::Bytes => bytes(host, operation, source, target, to, policy)?,
        How::Snapshot => snapshot(host, choice, operation, source, target, to)?,
        How::Clone => lend(host, choice, operation, source, target, to)?,
    }
    volume::open(&target.storage, to.0.as_str(), Access::ReadWrite)
}

/// The name of the copy, and the most that it may take up where that is said.
type New<'a> = (&'a Name, Option<u64>);

/// The original is sealed and cloned.
fn lend(
    host: &Host,
    choice: &Choice,
    operation: &Operation,
    source: &Volume,
    target: &Target,
    to: New<'_>,
) -> Result<(), Error> {
    let storage = &target.storage;
    if source.storage.identity().name != storage.identity().name {
        dependents::remember_lender(host, &source.name, &target.name)?;
    }
    operation.step("copy.seal")?;
    storage.seal(operation.id(), &source.id)?;
    operation.step("copy.clone")?;
    let cloned = storage.clone_volume(operation.id(), &source.id, to.0.as_str(), to.1);
    // Nobody needs it sealed when clones stand alone, or there is none. One that others are built on stays as it is.
    if cloned.is_err() || choice.traits.is_none_or(|traits| !traits.pins_parent) {
        dependents::unseal(storage, &source.id, operation.id())?;
    }
    Ok(cloned.map(drop)?)
}

/// The snapshot that an operation makes for itself.
pub(in crate::container) fn hidden(of: &str, operation: &str) -> String {
    format!("{of}@{operation}")
}

/// Through a snapshot that nobody sees: gone when the clone stands alone, otherwise with the clone.
fn snapshot(
    host: &Host,
    choice: &Choice,
    operation: &Operation,
    source: &Volume,
    target: &Target,
    to: New<'_>,
) -> Result<(), Error> {
    // It becomes durable with the copy, by the sync of the pool's file system.
    let storage = &target.storage.durable_later();
    let id = hidden(&source.id, operation.id());
    let home = host.layout.path.join(&source.id).join("snaps").join(operation.id());
    DirBuilder::new().recursive(true).mode(0o700).create(&home).map_err(Error::io("make", &home))?;
    let taken = match choice.at_rest {
        true => storage.snapshot_at_rest(operation.id(), &source.id, &id),
        false => storage.snapshot(operation.id(), &source.id, &id),
    };
    let pins = choice.traits.is_none_or(|traits| traits.pins_parent);
    if pins && taken.is_ok() {
        // As one that a person removed while others are built on it: it goes with the last of them.
        store::replace_fleeting(&home.join(REMOVED), b"")?;
    }
    let made = taken.and_then(|_| storage.clone_volume(operation.id(), &id, to.0.as_str(), to.1));
    if made.is_err() || choice.traits.is_none_or(|traits| !traits.pins_parent) {
        dependents::remove_hidden(host, storage, &id)?;
    }
    Ok(made.map(drop)?)
}

/// File by file, from one root to the other.
fn bytes(
    host: &Host,
    operation: &Operation,
    source: &Volume,
    target: &Target,
    to: New<'_>,
    policy: Shifted<'_>,
) -> Result<(), Error> {
    let from = volume::open(&source.storage, &source.id, Access::ReadOnly)?;
    let limited = source.storage.abilities().sizes && target.storage.abilities().sizes;
    let size = if limited && to.1.is_none() { source.storage.size(&source.id)? } else { None };
    volume::create_like(host, &target.storage, operation.id(), (to.0, to.1, size))?;
    let root = volume::open(&target.storage, to.0.as_str(), Access::ReadWrite)?;
    host.progress.phase(&format!("copying {}", source.id));
    let done = policy.copy(from.root(), root.root()).map_err(Error::tree(format!("copy {}", source.id)))?;
    tracing::debug!(?done, "copied a tree");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Option<CloneTraits> = Some(CloneTraits { instant: true, pins_parent: false });
    const PINNING: Option<CloneTraits> = Some(CloneTraits { instant: true, pins_parent: true });

    const STOPPED: Activity = Activity::Stopped;
    const RUNNING: Activity = Activity::Running { rests: false };
    const RESTING: Activity = Activity::Running { rests: true };

    fn how(
        sharing: Sharing,
        activity: Activity,
        clones: Option<CloneTraits>,
        live: bool,
    ) -> Result<How, Refusal> {
        decide(sharing, activity, clones, live).map(|choice| choice.how)
    }

    #[test]
    fn an_independent_copy_never_depends() {
        for activity in [STOPPED, RUNNING, RESTING] {
            assert_eq!(how(Sharing::Never, activity, PINNING, true), Ok(How::Bytes));
            assert_eq!(how(Sharing::Never, activity, None, false), Ok(How::Bytes));
            assert_eq!(how(Sharing::Never, activity, ALONE, true), Ok(How::Snapshot));
        }
        assert_eq!(how(Sharing::Never, STOPPED, ALONE, false), Ok(How::Clone));
        assert_eq!(how(Sharing::Never, RUNNING, ALONE, false), Ok(How::Bytes));
    }

    #[test]
    fn sharing_that_cannot_be_is_refused_or_said() {
        assert_eq!(how(Sharing::Required, STOPPED, None, true), Err(Refusal::Cannot));
        assert_eq!(how(Sharing::Required, RUNNING, PINNING, false), Err(Refusal::Running));
        assert_eq!(how(Sharing::Required, STOPPED, PINNING, false), Ok(How::Clone));
        assert_eq!(how(Sharing::Required, RUNNING, PINNING, true), Ok(How::Snapshot));
        let choice = decide(Sharing::Preferred, RUNNING, PINNING, false).unwrap();
        assert!(choice.how == How::Bytes && choice.second_best);
        assert!(!decide(Sharing::Never, RUNNING, PINNING, false).unwrap().second_best);
    }

    #[test]
    fn what_rests_is_shared_while_it_runs() {
        for sharing in [Sharing::Required, Sharing::Preferred] {
            for clones in [ALONE, PINNING] {
                let choice = decide(sharing, RESTING, clones, false).unwrap();
                assert!(choice.how == How::Snapshot && choice.at_rest && !choice.second_best);
                // One that needs no rest takes none.
                assert!(!decide(sharing, RESTING, clones, true).unwrap().at_rest);
            }
        }
        assert_eq!(how(Sharing::Required, RESTING, None, false), Err(Refusal::Cannot));
    }
}
