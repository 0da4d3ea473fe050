#![forbid(unsafe_code)]
//! Removing a container.
//!
//! Its configuration goes first, by being renamed into the mark of an unfinished operation: from that
//! instant the container is absent, and what a kill leaves behind is a leftover that says which
//! storage has its volume.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde::Serialize;

use super::layout::PARTIAL;
use super::lock::Lock;
use super::{Error, Host, leftover, stop, store, watch};
use crate::config::Name;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Destroyed {
    /// A container.
    Container,
    /// What an interrupted command had left.
    Leftover,
}

/// What may go along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DestroyOptions {
    /// Its processes: it is killed first if it runs.
    pub force: bool,
    /// Its snapshots.
    pub snapshots: bool,
}

impl DestroyOptions {
    /// Whatever there is: for a container that nobody is to keep.
    pub const ALL: Self = Self { force: true, snapshots: true };
}

/// Removes the container `name`.
///
/// # Errors
/// It runs or has snapshots, there is none, or something cannot be removed; then the next destroy goes on.
pub fn destroy(host: &Host, name: &Name, options: DestroyOptions) -> Result<Destroyed, Error> {
    let lock = Lock::take(&host.layout, name, "destroy")?;
    let result = destroy_locked(host, name, options);
    if result.is_ok() || matches!(result, Err(Error::NotFound { .. })) {
        lock.discard();
    }
    result
}

/// The same for a caller that holds the lock.
pub(super) fn destroy_locked(host: &Host, name: &Name, options: DestroyOptions) -> Result<Destroyed, Error> {
    match leftover::look(host, name) {
        leftover::Kind::Complete => {}
        leftover::Kind::Leftover => {
            leftover::remove(host, name)?;
            return Ok(Destroyed::Leftover);
        }
        leftover::Kind::Absent | leftover::Kind::Foreign => return Err(store::not_found(host, name)),
    }
    super::snapshot::remove::allow_destroy(host, name, options.snapshots)?;
    if let Some(snapshot) = watch::snapshot(host, name) {
        if !options.force {
            return Err(Error::Running {
                name: name.to_string(),
                state: snapshot.state.to_string(),
                verb: "destroy",
            });
        }
        stop::kill(host, name)?;
    }
    let config = host.layout.config(name);
    let directory = host.layout.directory(name);
    let failed = || Error::io("remove the configuration", &config);
    // An administrator may have protected the file against changes; a directory without write
    // permission makes the rename fail, and nothing has happened.
    fs::rename(&config, directory.join(PARTIAL)).map_err(failed())?;
    store::sync_directory(&directory)?;
    drop(fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)));
    leftover::remove(host, name)?;
    tracing::info!(%name, "destroyed");
    Ok(Destroyed::Container)
}
