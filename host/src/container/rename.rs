#![forbid(unsafe_code)]
//! Another name for a container: nothing is copied, and everything that is known of it goes along.
//!
//! The moment of truth is the renaming of its directory. What follows it can be repeated: the storage's own
//! names, the registry of ids, the words of its configuration, the host name inside.

use std::fs;
use std::path::PathBuf;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::Serialize;

use super::copy::Volume;
use super::journal::{self, Intent, Survives};
use super::{
    Error, Host, again, carry, create, dependents, hooks, identity, ids, leftover, store, volume, watch,
};
use crate::config::ids::IdMap;
use crate::config::{Container, Name};
use crate::plugin::hook::types::Detail;
use crate::plugin::storage::{Access, Storage as _};
use crate::sys::tree::TreeError;

/// What was renamed.
#[derive(Debug, Clone, Serialize)]
pub struct Renamed {
    pub from: Name,
    pub name: Name,
    pub directory: PathBuf,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Gives a stopped container another name; with `keep_name` the host name inside stays.
///
/// # Errors
/// It runs, the name is taken, or others are built on it and its storage cannot tell them.
pub fn rename(host: &Host, from: &Name, to: &Name, keep_name: bool) -> Result<Renamed, Error> {
    store::require(host, from)?;
    if from == to {
        return Err(Error::Exists { name: to.to_string(), path: host.layout.path.clone() });
    }
    let mut claim = journal::claim(host, &[from, to], "rename")?;
    if leftover::look(host, from) != leftover::Kind::Complete {
        return Err(store::not_found(host, from));
    }
    if let Some(snapshot) = watch::snapshot(host, from) {
        let state = snapshot.state.to_string();
        return Err(Error::Running { name: from.to_string(), state, verb: "rename" });
    }
    let container = store::load(host, from)?;
    refuse_ties(host, from, &container)?;
    create::make_room(host, to)?;
    let intent = Intent::Rename { from: from.clone(), to: to.clone(), keep_name };
    let notes = journal::perform(host, &intent, Survives::PowerLoss, |operation| {
        operation.step("rename.directory")?;
        move_directory(host, from, to)?;
        operation.step("rename.follow")?;
        follow(host, from, to, keep_name, operation.id())
    })?;
    claim.discard(from);
    hooks::after(host, to, "rename", Detail::Origin(from.to_string()));
    tracing::info!(%from, %to, "renamed");
    Ok(Renamed { from: from.clone(), name: to.clone(), directory: host.layout.directory(to), notes })
}

/// Finishes an interrupted rename, or finds that it had not begun; whether there was anything to do.
pub(super) fn settle(
    host: &Host,
    from: &Name,
    to: &Name,
    keep_name: bool,
    operation: &str,
) -> Result<bool, Error> {
    if host.layout.exists(from) || !host.layout.exists(to) {
        return Ok(false);
    }
    follow(host, from, to, keep_name, operation)?;
    Ok(true)
}

/// Clones name what they are built on; a storage that cannot rename cannot correct that.
fn refuse_ties(host: &Host, name: &Name, container: &Container) -> Result<(), Error> {
    let ties = dependents::of(host, name, container)?;
    let renames = dependents::storages(host, name, container)?.all(|storage| storage.abilities().renames);
    if ties.clones.is_empty() || renames {
        return Ok(());
    }
    Err(dependents::in_use(name, ties.clones, "renamed"))
}

fn move_directory(host: &Host, from: &Name, to: &Name) -> Result<(), Error> {
    let (old, new) = (host.layout.directory(from), host.layout.directory(to));
    match renameat_with(CWD, &old, CWD, &new, RenameFlags::NOREPLACE) {
        Ok(()) => store::sync_directory(&host.layout.path),
        Err(Errno::EXIST) => Err(leftover::foreign(host, to)),
        Err(error) => Err(Error::io("rename", &old)(error.into())),
    }
}

/// Whether the same may succeed at another time. What is wrong with the guest's own files never does, and is no reason to leave a
/// container between two names.
fn helps_later(error: &Error) -> bool {
    let scarce = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    let is_scarce = |raw: i32| scarce.iter().any(|errno| errno.raw_os_error() == raw);
    match error {
        Error::Tree { source: TreeError::Io { source, .. }, .. } => is_scarce(source.raw_os_error()),
        Error::Io { source, .. } => source.raw_os_error().is_some_and(is_scarce),
        Error::Unpack(source) | Error::Image { source, .. } => source.errno().is_some_and(is_scarce),
        Error::Cancelled => true,
        _ => false,
    }
}

/// What follows the directory; it may have been done before, in part.
fn follow(
    host: &Host,
    from: &Name,
    to: &Name,
    keep_name: bool,
    operation: &str,
) -> Result<Vec<String>, Error> {
    ids::rename(host, from, to)?;
    let original = store::load(host, to)?;
    let volume = Volume::of(host, to, &original)?;
    if original.rootfs.volume.is_none() {
        for storage in dependents::storages(host, to, &original)? {
            storage.rename(operation, from.as_str(), to.as_str())?;
        }
    }
    let directories = (host.layout.directory(from), host.layout.directory(to));
    let carried = carry::carry(
        &store::text(host, to)?,
        &original,
        &host.layout.config(to),
        &carry::Renewed {
            from,
            to,
            directories: (&directories.0, &directories.1),
            storage: &original.rootfs.storage,
            volume: original.rootfs.volume.as_deref(),
            ids: &IdMap::default(),
            keep_name: keep_name || original.hostname.is_some(),
            keep_mac: true,
            ephemeral: original.ephemeral,
            same_machine: true,
            set: &[],
            mounts: &[],
        },
    )?;
    store::replace(&host.layout.config(to), carried.text.as_bytes())?;
    let old = carry::host_name(&original, from);
    let new = carry::host_name(&carried.container, to);
    let mut notes = Vec::new();
    if old != new {
        match volume::open(&volume.storage, &volume.id, Access::ReadWrite) {
            Ok(root) => {
                let inside = identity::rename(root.root(), &identity::NewName { old: &old, new: &new })
                    .and_then(|()| again::renamed(host, (to, &new), &carried.container, &root));
                match inside {
                    Err(error) if !helps_later(&error) => {
                        notes.push(format!("the files of {to} may still call it {old}: {error}"));
                    }
                    other => other?,
                }
                let pool = &host.layout.path;
                let written = fs::File::open(pool).and_then(|pool| root.sync_apart(&pool));
                written.map_err(Error::io("write its new name to the disk of", &directories.1))?;
            }
            // Others are built on it: it is not to be written.
            Err(error) if dependents::may_be_sealed(&error) => {
                notes.push(format!("the files of {to} still call it {old}: they are shared with its clones"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(notes)
}
