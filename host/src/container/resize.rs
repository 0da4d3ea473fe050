#![forbid(unsafe_code)]
//! The most that a container may take up, changed.
//!
//! What that means is the storage's: a quota, or a disk of that size. It says what it can do, and where a
//! container runs or what is in it stands against it, that is told before anything is touched.

use serde::Serialize;

use super::journal::{self, Intent, Survives};
use super::{Error, Host, dependents, plugins, store, watch};
use crate::config::Name;
use crate::config::size::Size;
use crate::plugin::storage::{SizeTraits, Storage};
use crate::plugin::{FailureKind, StoragePlugin};

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// This many bytes.
    Bytes(u64),
    /// This many more.
    More(u64),
    /// No limit.
    Unlimited,
}

/// What has changed; `None` is no limit.
#[derive(Debug, Clone, Serialize)]
pub struct Resized {
    pub name: Name,
    pub storage: String,
    pub before: Option<u64>,
    pub after: Option<u64>,
}

/// Changes the limit of the container `name`.
///
/// # Errors
/// Its storage has no limits, or not this one. What is in the container is as it was.
pub fn resize(host: &Host, name: &Name, wanted: Wanted) -> Result<Resized, Error> {
    store::require(host, name)?;
    let _claim = journal::claim(host, &[name], "resize")?;
    let container = store::load(host, name)?;
    let storage = plugins::load_storage(host, &container.rootfs.storage)?;
    if !storage.abilities().sizes {
        return Err(unlimited(&storage, name, "it has no sizes"));
    }
    let volume = container.rootfs.volume.clone().unwrap_or_else(|| name.to_string());
    let before = storage.size(&volume)?;
    let target = target(wanted, before).ok_or_else(|| Error::Invalid {
        message: format!("container {name} has no limit that it could be added to"),
        hint: format!("say how much it may be altogether: wxc resize {name} 20G"),
    })?;
    let running = watch::snapshot(host, name).is_some();
    if !running {
        dependents::regain(host, name, &container, &storage, "resized")?;
    }
    if let Some((message, hint)) = refusal(storage.size_traits()?, running, before, target) {
        let message = format!("{} {message}", storage.identity());
        return Err(Error::Invalid { message, hint: hint.replace("NAME", name.as_str()) });
    }
    let storage_name = container.rootfs.storage;
    let intent = Intent::Resize {
        name: name.clone(),
        storage: storage_name.clone(),
        volume: volume.clone(),
        size: target,
    };
    journal::perform(host, &intent, Survives::PowerLoss, |operation| {
        operation.step("resize.volume")?;
        storage.set_size(operation.id(), &volume, target).map_err(|error| match error.reported() {
            Some((FailureKind::Unsupported, message)) => unlimited(&storage, name, message),
            _ => error.into(),
        })?;
        operation.step("resize.set")
    })?;
    let after = storage.size(&volume)?;
    tracing::info!(%name, ?before, ?after, "resized");
    Ok(Resized { name: name.clone(), storage: storage_name, before, after })
}

fn unlimited(storage: &StoragePlugin, name: &Name, why: &str) -> Error {
    Error::Invalid {
        message: format!("{} sets no limits on what {name} takes up: {why}", storage.identity()),
        hint: format!("a copy can be on a storage that does: wxc copy -B loop {name} NEWNAME"),
    }
}

/// Finishes what was as good as done, and lets the storage tidy up after everything else: the size that
/// it tells is the one that there is. What is in the container is whole in any case, so a storage that cannot do
/// that now, such as while the container runs, is no reason to refuse the next command.
///
/// # Errors
/// The storage cannot be asked.
pub(super) fn settle(
    host: &Host,
    name: &Name,
    operation: &str,
    storage: &str,
    volume: &str,
    size: Option<u64>,
) -> Result<String, Error> {
    let storage = plugins::load_storage(host, storage)?;
    let now = storage.size(volume)?;
    if let Err(error) = storage.set_size(operation, volume, now) {
        return Ok(format!("the resize of {name} was interrupted; repeat it ({error})"));
    }
    Ok(if now == size {
        format!("finished the interrupted resize of {name}")
    } else {
        format!("took back the interrupted resize of {name}")
    })
}

/// The limit to set; `None` when something is to be added to nothing.
fn target(wanted: Wanted, before: Option<u64>) -> Option<Option<u64>> {
    match wanted {
        Wanted::Bytes(bytes) => Some(Some(bytes)),
        Wanted::More(bytes) => before.map(|before| Some(before.saturating_add(bytes))),
        Wanted::Unlimited => Some(None),
    }
}

/// What stands against it, and what to do; `NAME` is the container's.
fn refusal(
    traits: SizeTraits,
    running: bool,
    before: Option<u64>,
    target: Option<u64>,
) -> Option<(&'static str, String)> {
    let stop = "stop it first: wxc stop NAME".to_owned();
    let smaller = target.is_some_and(|target| before.is_none_or(|before| target < before));
    match (target, before) {
        (None, Some(before)) if traits.always => {
            let hint = format!("give it a larger size: wxc resize NAME {}", Size(before.saturating_mul(2)));
            Some(("gives every container a size", hint))
        }
        // A disk has to be made smaller; a quota is only another number.
        _ if traits.always && smaller && running => Some(("makes no container smaller that runs", stop)),
        _ if smaller && !traits.shrinks => {
            Some(("makes no container smaller", "copy it to a new one of that size".into()))
        }
        _ if running && !smaller && !traits.grows_live => Some(("lets no container grow that runs", stop)),
        _ => None,
    }
}

/// The limit of a container, where its storage sets one and can tell.
pub(super) fn limit(storage: &impl Storage, volume: &str) -> Option<u64> {
    storage.abilities().sizes.then(|| storage.size(volume).ok().flatten()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: SizeTraits = SizeTraits { strict: true, grows_live: true, shrinks: true, always: true };
    const QUOTA: SizeTraits = SizeTraits { strict: false, grows_live: true, shrinks: true, always: false };
    const STIFF: SizeTraits = SizeTraits { strict: true, grows_live: false, shrinks: false, always: true };

    #[test]
    fn a_target_is_absolute_added_or_none() {
        assert_eq!(target(Wanted::Bytes(5), None), Some(Some(5)));
        assert_eq!(target(Wanted::More(5), Some(7)), Some(Some(12)));
        assert_eq!(target(Wanted::More(5), None), None);
        assert_eq!(target(Wanted::Unlimited, Some(7)), Some(None));
    }

    #[test]
    fn what_a_storage_cannot_do_is_said_before_it_is_tried() {
        let refused = |traits, running, target| refusal(traits, running, Some(10), target).is_some();
        assert!(!refused(DISK, true, Some(20)) && !refused(DISK, false, Some(5)));
        assert!(refused(DISK, true, Some(5)) && refused(DISK, false, None));
        assert!(!refused(QUOTA, true, Some(5)) && !refused(QUOTA, true, None));
        assert!(refused(STIFF, true, Some(20)) && !refused(STIFF, false, Some(20)));
        assert!(refused(STIFF, false, Some(5)));
        // Limiting what had no limit is making it smaller.
        assert!(refusal(QUOTA, true, None, Some(5)).is_none());
        assert!(refusal(STIFF, false, None, Some(5)).is_some());
    }
}
