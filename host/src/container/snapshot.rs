#![forbid(unsafe_code)]
//! Snapshots: a container's content and configuration as of one moment.
//!
//! ```text
//!  web/container.toml                     the container
//!  web/snaps/snap0/snapshot.toml          a snapshot: its rename into place is what makes it one
//!  web/snaps/snap0/...                    its volume, web@snap0: sealed, and the backend's business
//!  web/snaps/snap1/snapshot.removed       removed, and kept as long as something is built on its volume
//! ```
//!
//! A backend that takes snapshots takes and restores them. For any other the host copies, into a volume that is
//! sealed, and out of it into a fresh one that changes places with the container's ([`exchange`]).

/// Those that come along with a copy.
pub(in crate::container) mod along;
/// What is copied from one volume to another, and with which ids.
mod content;
/// Two volumes that change places, decided by what is there.
mod exchange;
/// What happens to a running container meanwhile.
pub(super) mod meanwhile;
/// `snapshot.toml`.
pub mod record;
/// Removing one, or all.
pub mod remove;
/// Back to a snapshot, in place.
pub mod restore;
/// A new container from one.
pub mod spawn;
/// Taking one.
pub mod take;

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Error, Host, plugins};
use crate::config::{Container, Name};
use crate::plugin::StoragePlugin;
use crate::plugin::storage::Storage as _;
pub use record::Record;

/// The file that makes a directory a snapshot.
const FILE: &str = "snapshot.toml";
/// The same, of one that was removed and whose volume others are built on.
pub(in crate::container) const REMOVED: &str = "snapshot.removed";
/// Names that `wxc snapshot` invents begin with it, as LXC's do.
const PREFIX: &str = "snap";
/// What `--destroy` takes for all of them; so it is no name.
pub const ALL: &str = "ALL";

/// The snapshots of a container, oldest first. One whose file cannot be read is listed with its problem.
///
/// # Errors
/// There is no such container, or its directory cannot be read.
pub fn list(host: &Host, name: &Name) -> Result<Vec<Record>, Error> {
    super::store::require(host, name)?;
    let mut records: Vec<Record> =
        names(host, name)?.iter().map(|snapshot| record::read(host, name, snapshot).record()).collect();
    records.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
    Ok(records)
}

/// How many there are; cheap.
#[must_use]
pub fn count(host: &Host, name: &Name) -> usize {
    names(host, name).map_or(0, |names| names.len())
}

/// Their names, sorted.
///
/// # Errors
/// The directory cannot be read.
pub fn names(host: &Host, name: &Name) -> Result<Vec<Name>, Error> {
    let mut names = directories(host, name)?;
    names.retain(|snapshot| file(host, name, snapshot).is_file());
    Ok(names)
}

/// Every directory beside them as well: what is half made, and what is kept for others.
fn directories(host: &Host, name: &Name) -> Result<Vec<Name>, Error> {
    let path = host.layout.snapshots(name);
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("list", &path))?,
    };
    let mut names: Vec<Name> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    names.sort();
    Ok(names)
}

/// What is below `snaps` without being a snapshot, or kept for somebody. Whether somebody still needs what is kept,
/// the next command on snapshots asks.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn unfinished(host: &Host, name: &Name) -> Result<Vec<Name>, Error> {
    let mut left = directories(host, name)?;
    left.retain(|snapshot| {
        let path = file(host, name, snapshot);
        !path.is_file() && !path.with_file_name(REMOVED).is_file()
    });
    Ok(left)
}

/// A word as the name of a snapshot.
///
/// # Errors
/// It is none.
pub fn parse_name(word: &str) -> Result<Name, Error> {
    let refused = |message: String| Error::Invalid {
        message,
        hint:
            "the name of a snapshot starts with a letter or digit and goes on with letters, digits, '.', '_' \
               and '-', as in \"before-upgrade\""
                .into(),
    };
    if word == ALL {
        return Err(refused(format!("a snapshot cannot have the name {ALL}, which stands for all of them")));
    }
    let shown: String = word.chars().take(64).flat_map(char::escape_debug).collect();
    word.parse().map_err(|_| refused(format!("\"{shown}\" is not the name of a snapshot")))
}

fn file(host: &Host, name: &Name, snapshot: &Name) -> PathBuf {
    host.layout.snapshot(name, snapshot).join(FILE)
}

pub(super) fn volume_id(name: &Name, snapshot: &Name) -> String {
    format!("{name}@{snapshot}")
}

/// Fails unless there is this snapshot; says which there are.
pub(super) fn require(host: &Host, name: &Name, snapshot: &Name) -> Result<(), Error> {
    if file(host, name, snapshot).is_file() {
        return Ok(());
    }
    let known: Vec<String> = names(host, name)?.iter().map(ToString::to_string).collect();
    let hint = if known.is_empty() {
        format!("{name} has no snapshots; take one: wxc snapshot {name}")
    } else {
        format!("there are {} (wxc snapshot -L {name})", known.join(", "))
    };
    Err(Error::Invalid { message: format!("there is no snapshot {snapshot} of {name}"), hint })
}

/// The volume of a container, with the plugin that keeps it.
pub(super) struct Volume {
    pub(super) storage: StoragePlugin,
    pub(super) id: String,
    /// The plugin itself takes and restores snapshots of it.
    pub(super) native: bool,
    /// The plugin takes snapshots of it while nothing is written to it; and whether at once.
    pub(super) at_rest: Option<bool>,
}

impl Volume {
    pub(super) fn of(host: &Host, name: &Name, container: &Container) -> Result<Self, Error> {
        let storage = plugins::load_storage(host, &container.rootfs.storage)?;
        let id = container.rootfs.volume.clone().unwrap_or_else(|| name.to_string());
        // A backend's snapshots are named after the volume; those of a volume with a name of its own
        // would not be in the container's directory.
        let named = id == name.as_str();
        let abilities = storage.abilities();
        let native = abilities.snapshots && named;
        let at_rest =
            if abilities.snapshots_at_rest && named { Some(storage.rest_is_short()?) } else { None };
        // What has to be copied for it belongs to ids that a user without privileges does not act for.
        let may_copy = container.privileged || rustix::process::geteuid().is_root();
        let at_rest = at_rest.filter(|short| *short || may_copy);
        Ok(Self { storage, id, native, at_rest })
    }

    /// Whether clones of its snapshots need nothing of what they were made of.
    fn clones_alone(&self) -> Result<bool, Error> {
        Ok(self.storage.abilities().clones && !self.storage.clone_traits()?.pins_parent)
    }

    /// The same, and making them takes a short time whatever the size.
    fn clones_at_once(&self) -> Result<bool, Error> {
        Ok(self.clones_alone()? && self.storage.clone_traits()?.instant)
    }

    /// The most that it may take up, where it has a size.
    fn size(&self) -> Result<Option<u64>, Error> {
        Ok(if self.storage.abilities().sizes { self.storage.size(&self.id)? } else { None })
    }
}
