#![forbid(unsafe_code)]
//! What a killed create or destroy left behind.
//!
//! A directory with a `.partial` and without a `container.toml` is no container. Whoever holds its
//! lock knows that nobody works on it any more and may remove it: the mark was made before
//! anything else was, and `container.toml` comes after everything else.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;

use rustix::fs::{Mode, OFlags};

use super::layout::{KEPT, PARTIAL};
use super::{Error, Host, dependents, ids, plugins, snapshot};
use crate::config::{Container, Name, toml};
use crate::plugin::storage::Storage as _;
use crate::sys::{failpoint, tree};

/// What the directory of a name holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Absent,
    /// A container.
    Complete,
    /// What a killed command left.
    Leftover,
    /// The storage of a container that is gone, on which others are built.
    Kept,
    /// Something that wxc did not make.
    Foreign,
}

/// Looks at the directory of `name`.
#[must_use]
pub fn look(host: &Host, name: &Name) -> Kind {
    let directory = host.layout.directory(name);
    if host.layout.exists(name) {
        Kind::Complete
    } else if fs::symlink_metadata(&directory).is_err() {
        Kind::Absent
    } else if directory.join(KEPT).is_file() {
        Kind::Kept
    } else if directory.join(PARTIAL).is_file() || is_empty(&directory) {
        // A create that was killed right after mkdir has not written its mark yet.
        Kind::Leftover
    } else {
        Kind::Foreign
    }
}

/// Also with a mark that was killed before it got its name.
fn is_empty(directory: &std::path::Path) -> bool {
    let mark = directory.join(PARTIAL).with_extension("new");
    let is_mark = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.path() == mark);
    fs::read_dir(directory).is_ok_and(|mut entries| entries.all(is_mark))
}

/// Ends an interrupted create or destroy: with a configuration it is a container, and without one nothing of it
/// stays. Whether there was anything to remove. The caller holds the lock of `name`.
///
/// # Errors
/// Something of it cannot be removed, or is in the way and not wxc's.
pub(super) fn settle(host: &Host, name: &Name, operation: &str, storage: &str) -> Result<bool, Error> {
    match look(host, name) {
        Kind::Complete => Ok(false),
        Kind::Foreign => Err(foreign(host, name)),
        Kind::Kept if !dependents::kept_for(host, name)?.is_empty() => Ok(false),
        // Not every volume is in the container's directory.
        kind @ (Kind::Absent | Kind::Leftover | Kind::Kept) => {
            remove(host, name, operation, Some(storage))?;
            Ok(kind != Kind::Absent)
        }
    }
}

/// The error for a directory that is in the way.
pub(super) fn foreign(host: &Host, name: &Name) -> Error {
    Error::Invalid {
        message: format!("{} is in the way, and is no container", host.layout.directory(name).display()),
        hint: "move it away, or choose another name".into(),
    }
}

/// Removes a leftover. The caller holds the lock of `name`; `storage` is asked when the mark does not say
/// which storage has the volume.
///
/// # Errors
/// Something of it cannot be removed; the mark stays, so the next command tries again.
pub(super) fn remove(host: &Host, name: &Name, operation: &str, storage: Option<&str>) -> Result<(), Error> {
    ids::act_for_all(host)?;
    let directory = host.layout.directory(name);
    let mark = directory.join(PARTIAL);
    if directory.join(KEPT).is_file() {
        fs::rename(directory.join(KEPT), &mark).map_err(Error::io("mark", &directory))?;
    }
    // The mark holds the configuration as far as it is known. It may be empty after a loss of power.
    let marked = fs::read_to_string(&mark)
        .ok()
        .filter(|text| !text.is_empty())
        .and_then(|text| toml::parse_unchecked(&text, &mark).ok());
    let known = marked.unwrap_or_else(|| {
        let mut unknown = Container::default();
        if let Some(storage) = storage {
            storage.clone_into(&mut unknown.rootfs.storage);
        }
        unknown
    });
    remove_volumes(host, name, operation, &known)?;
    ids::release(host, name)?;
    remove_directory(host, name)
}

/// Removes the container's volume and those of its snapshots. Which of them depends on which is the storage's
/// business: what is refused at first, goes when the rest is gone.
fn remove_volumes(host: &Host, name: &Name, operation: &str, container: &Container) -> Result<(), Error> {
    snapshot::remove::remove_all(host, name, operation, container)?;
    remove_volume(host, name, operation, container)?;
    let kept = snapshot::remove::remove_all(host, name, operation, container)?;
    if kept.is_empty() {
        return Ok(());
    }
    let kept: Vec<&str> = kept.iter().map(Name::as_str).collect();
    Err(Error::Invalid {
        message: format!("something is built on the snapshots of {name}: {}", kept.join(", ")),
        hint: "remove first what is built on them, then this again".into(),
    })
}

/// Asks the storage plugin to remove the container's volume; succeeds when there is none.
fn remove_volume(host: &Host, name: &Name, operation: &str, container: &Container) -> Result<(), Error> {
    let storage = plugins::load_storage(host, &container.rootfs.storage)?;
    let volume = container.rootfs.volume.clone().unwrap_or_else(|| name.to_string());
    Ok(storage.remove(operation, &volume)?)
}

/// Removes the container's directory with what is still in it; the mark goes last.
pub(super) fn remove_directory(host: &Host, name: &Name) -> Result<(), Error> {
    let directory = host.layout.directory(name);
    let failed = |error: io::Error| Error::io("remove", &directory)(error);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = match rustix::fs::open(&directory, flags, Mode::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(failed(error.into())),
    };
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?.file_name();
        if entry != PARTIAL {
            failpoint::pass("container.clear").map_err(failed)?;
            tree::remove_tree(handle.as_fd(), &entry).map_err(|error| failed(io::Error::other(error)))?;
        }
    }
    failpoint::pass("container.unmark").map_err(failed)?;
    drop(fs::remove_file(directory.join(PARTIAL)));
    failpoint::pass("container.remove").map_err(failed)?;
    // Not waited for: a mark, or an empty directory, that comes back after a loss of power is a leftover again.
    fs::remove_dir(&directory).map_err(failed)
}
