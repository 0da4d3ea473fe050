//! Removing snapshots.
//!
//! The file goes first, by a rename: from that instant there is no such snapshot. What is left is removed, or
//! kept under the name it was given then, as long as something is built on the volume.

use std::collections::VecDeque;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use serde::Serialize;

use super::super::journal::{self, Intent, Survives};
use super::super::{Error, Host, beneath, dependents, leftover, plugins, store};
use super::{REMOVED, file, restore, volume_id};
use crate::config::{Container, Name};
use crate::plugin::storage::Storage as _;
use crate::plugin::{FailureKind, StoragePlugin};
use crate::sys::tree;

/// What was removed.
#[derive(Debug, Clone, Serialize)]
pub struct Removed {
    pub container: Name,
    pub snapshots: Vec<Name>,
    /// Those whose volumes stay until nothing is built on them.
    pub kept: Vec<Name>,
}

/// Removes one snapshot, or all of them.
///
/// # Errors
/// There is no such snapshot, or another container is built on it.
pub fn remove(host: &Host, name: &Name, snapshot: Option<&Name>) -> Result<Removed, Error> {
    store::require(host, name)?;
    let _claim = journal::claim(host, &[name], "snapshot")?;
    if leftover::look(host, name) != leftover::Kind::Complete {
        return Err(store::not_found(host, name));
    }
    sweep(host, name, &plugins::operation("remove"))?;
    let wanted = match snapshot {
        Some(snapshot) => {
            super::require(host, name, snapshot)?;
            vec![snapshot.clone()]
        }
        None => super::names(host, name)?,
    };
    let container = store::load(host, name)?;
    let storage = plugins::load_storage(host, &container.rootfs.storage)?;
    refuse_parents(&storage, name, &wanted)?;
    let intent = Intent::Unsnapshot { of: name.clone(), snapshots: wanted.clone() };
    journal::perform(host, &intent, Survives::PowerLoss, |operation| {
        for snapshot in &wanted {
            operation.step("unsnapshot.file")?;
            let path = file(host, name, snapshot);
            fs::rename(&path, path.with_file_name(REMOVED)).map_err(Error::io("remove", &path))?;
            store::sync_directory(&host.layout.snapshot(name, snapshot))?;
        }
        operation.step("unsnapshot.volume")?;
        sweep(host, name, operation.id())
    })?;
    let kept = super::directories(host, name)?.into_iter().filter(|left| wanted.contains(left)).collect();
    tracing::info!(%name, ?wanted, ?kept, "removed snapshots");
    Ok(Removed { container: name.clone(), snapshots: wanted, kept })
}

/// Finishes what was interrupted, as far as it had been decided.
pub(in crate::container) fn settle(
    host: &Host,
    name: &Name,
    snapshots: &[Name],
    operation: &str,
) -> Result<Option<String>, Error> {
    let is_decided = |snapshot: &&Name| {
        host.layout.snapshot(name, snapshot).is_dir() && !file(host, name, snapshot).is_file()
    };
    let decided: Vec<&str> = snapshots.iter().filter(is_decided).map(Name::as_str).collect();
    if decided.is_empty() {
        return Ok(None);
    }
    sweep(host, name, operation)?;
    Ok(Some(format!("finished the interrupted removal of the snapshots {} of {name}", decided.join(", "))))
}

/// Fails when the container has snapshots that its destruction would take along unasked, or on which other
/// containers are built. `wanted`: they may go.
pub(in crate::container) fn allow_destroy(host: &Host, name: &Name, wanted: bool) -> Result<(), Error> {
    let snapshots = super::names(host, name)?;
    if snapshots.is_empty() {
        return Ok(());
    }
    if !wanted {
        let snapshots = snapshots.iter().map(ToString::to_string).collect();
        return Err(Error::HasSnapshots { name: name.to_string(), snapshots });
    }
    let container = store::load(host, name)?;
    refuse_parents(&plugins::load_storage(host, &container.rootfs.storage)?, name, &snapshots)
}

/// Fails when a container other than this one is built on one of them.
fn refuse_parents(storage: &StoragePlugin, name: &Name, snapshots: &[Name]) -> Result<(), Error> {
    let abilities = storage.abilities();
    if !abilities.clones && !abilities.snapshots {
        return Ok(());
    }
    let ids: Vec<String> = snapshots.iter().map(|snapshot| volume_id(name, snapshot)).collect();
    let others: Vec<String> = dependents::volumes(storage)?
        .into_iter()
        .filter(|volume| volume.parent.as_ref().is_some_and(|parent| ids.contains(parent)))
        .map(|volume| volume.id)
        .filter(|id| id.split('@').next() != Some(name.as_str()))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!(
            "{} built on it: {}",
            if others.len() == 1 { "a container is" } else { "containers are" },
            others.join(", ")
        ),
        hint: "remove them first, or make them independent: wxc copy NAME NEW".into(),
    })
}

/// Removes what is no snapshot: half taken, half removed, no longer built upon. The caller holds the lock.
pub(in crate::container) fn sweep(host: &Host, name: &Name, operation: &str) -> Result<(), Error> {
    if !host.layout.exists(name) {
        return Ok(());
    }
    let mut left = super::directories(host, name)?;
    left.retain(|snapshot| {
        !file(host, name, snapshot).is_file() && !restore::is_decided(host, name, snapshot)
    });
    if left.is_empty() {
        return Ok(());
    }
    let container = store::load(host, name)?;
    let storage = plugins::load_storage(host, &container.rootfs.storage)?;
    remove_each(host, name, operation, &storage, left).map(drop)
}

/// Removes every snapshot of a container that is itself gone or going; those that something is built on stay, and
/// are returned. The caller holds the lock.
pub(in crate::container) fn remove_all(
    host: &Host,
    name: &Name,
    operation: &str,
    container: &Container,
) -> Result<Vec<Name>, Error> {
    let left = super::directories(host, name)?;
    if left.is_empty() {
        return Ok(left);
    }
    let storage = plugins::load_storage(host, &container.rootfs.storage)?;
    remove_each(host, name, operation, &storage, left)
}

/// Removes in whatever order they depend on each other; what something else is built on stays.
fn remove_each(
    host: &Host,
    name: &Name,
    operation: &str,
    storage: &StoragePlugin,
    left: Vec<Name>,
) -> Result<Vec<Name>, Error> {
    let mut queue: VecDeque<Name> = left.into();
    let mut refused = 0;
    while let Some(snapshot) = queue.pop_front() {
        match remove_volume(host, name, operation, storage, &snapshot) {
            Ok(()) => refused = 0,
            Err(Error::Plugin(error)) if error.failure() == Some(FailureKind::InUse) => {
                refused += 1;
                queue.push_back(snapshot);
                if refused == queue.len() {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(queue.into())
}

/// Removes the volume of a directory below `snaps`, and the directory.
pub(super) fn remove_volume(
    host: &Host,
    name: &Name,
    operation: &str,
    storage: &StoragePlugin,
    snapshot: &Name,
) -> Result<(), Error> {
    let directory = host.layout.snapshot(name, snapshot);
    if !directory.is_dir() {
        return Ok(());
    }
    storage.remove(operation, &volume_id(name, snapshot))?;
    let shelf = host.layout.snapshots(name);
    let parent = beneath::open(&shelf, Path::new("."))?;
    tree::remove_tree(parent.as_fd(), snapshot.as_str().as_ref())
        .map_err(|error| Error::io("remove", &directory)(std::io::Error::other(error)))?;
    Ok(())
}
