#![forbid(unsafe_code)]
//! Removing a container.
//!
//! Its configuration goes first, by being renamed into the mark of an unfinished operation: from that
//! instant the container is absent, and what a kill leaves behind is a leftover that says which
//! storage has its volume.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde::Serialize;

use super::journal::{self, Intent, Survives};
use super::layout::PARTIAL;
use super::{Error, Host, leftover, plugins, stop, store, watch};
use crate::config::{Name, toml};

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
    let mut claim = journal::claim(host, &[name], "destroy")?;
    let result = match destroy_locked(host, name, options) {
        // What was there has just been settled away.
        Err(Error::NotFound { .. }) if claim.settled(name) => Ok(Destroyed::Leftover),
        other => other,
    };
    if result.is_ok() || matches!(result, Err(Error::NotFound { .. })) {
        claim.discard(name);
    }
    result
}

/// The same for a caller that holds the lock.
pub(super) fn destroy_locked(host: &Host, name: &Name, options: DestroyOptions) -> Result<Destroyed, Error> {
    match leftover::look(host, name) {
        leftover::Kind::Complete => {}
        leftover::Kind::Leftover => {
            // Of a wxc that kept no journal.
            leftover::remove(host, name, &plugins::operation("remove"), None)?;
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
    // However wrong the rest of it may be.
    let container = store::text(host, name)
        .ok()
        .and_then(|text| toml::parse_unchecked(&text, &host.layout.config(name)).ok())
        .unwrap_or_default();
    let survives = if container.ephemeral { Survives::Kill } else { Survives::PowerLoss };
    let intent = Intent::Destroy { name: name.clone(), storage: container.rootfs.storage };
    journal::perform(host, &intent, survives, |operation| {
        operation.step("destroy.unmake")?;
        unmake(host, name, survives)?;
        operation.step("destroy.remove")?;
        leftover::remove(host, name, operation.id(), None)
    })?;
    tracing::info!(%name, "destroyed");
    Ok(Destroyed::Container)
}

/// The moment from which it is no container.
fn unmake(host: &Host, name: &Name, survives: Survives) -> Result<(), Error> {
    let config = host.layout.config(name);
    let directory = host.layout.directory(name);
    // An administrator may have protected the file against changes; a directory without write
    // permission makes the rename fail, and nothing has happened.
    fs::rename(&config, directory.join(PARTIAL)).map_err(Error::io("remove the configuration", &config))?;
    if survives == Survives::PowerLoss {
        store::sync_directory(&directory)?;
    }
    drop(fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)));
    Ok(())
}
