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
use super::layout::{KEPT, PARTIAL};
use super::{Error, Host, dependents, ephemeral, hooks, leftover, plugins, snapshot, stop, store, watch};
use crate::config::{Container, Name, toml};
use crate::plugin::hook::types::Detail;
use crate::runtime::State;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Destroyed {
    /// A container.
    Container,
    /// What an interrupted command had left.
    Leftover,
    /// A container, whose storage stays for those that are built on it.
    Kept,
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
/// It runs, has snapshots or clones, there is none, or something cannot be removed; then the next destroy goes on.
pub fn destroy(host: &Host, name: &Name, options: DestroyOptions) -> Result<Destroyed, Error> {
    let killed = options.force && watch::snapshot(host, name).is_some();
    if killed {
        // Before the lock is taken: what is ephemeral is destroyed at its end, under the same lock.
        allow(host, name, options)?;
        match stop::kill(host, name) {
            Ok(()) | Err(Error::NotRunning { .. } | Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let mut claim = journal::claim(host, &[name], "destroy")?;
    let result = match destroy_locked(host, name, options) {
        Err(Error::NotFound { .. }) if killed => Ok(Destroyed::Container),
        // What was there has just been settled away.
        Err(Error::NotFound { .. }) if claim.settled(name) => Ok(Destroyed::Leftover),
        other => other,
    };
    if leftover::look(host, name) == leftover::Kind::Absent {
        claim.discard(name);
    }
    result
}

/// Removes an ephemeral container whose processes have ended, with all that it has. Its monitor still shows it.
pub(super) fn ended(host: &Host, name: &Name) -> Result<(), Error> {
    let mut claim = journal::claim(host, &[name], "destroy")?;
    if leftover::look(host, name) == leftover::Kind::Complete {
        // It is to go whatever they say.
        hooks::after(host, name, "destroy", Detail::None);
        take_apart(host, name, &readable(host, name)?)?;
    }
    if leftover::look(host, name) == leftover::Kind::Absent {
        claim.discard(name);
    }
    Ok(())
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
        leftover::Kind::Kept => {
            dependents::drop_kept(host, name)?;
            return Ok(Destroyed::Leftover);
        }
        leftover::Kind::Absent | leftover::Kind::Foreign => return Err(store::not_found(host, name)),
    }
    let container = allow(host, name, options)?;
    if let Some(snapshot) = watch::snapshot(host, name) {
        match (snapshot.state, options.force) {
            // It is only being cleaned up after.
            (State::Stopped, _) => stop::outlast(host, name)?,
            (_, true) => stop::kill(host, name)?,
            (state, false) => {
                let state = state.to_string();
                return Err(Error::Running { name: name.to_string(), state, verb: "destroy" });
            }
        }
    }
    let destroy = || take_apart(host, name, &container);
    if options.force
        && let Err(error) = hooks::usable(host, name, &container)
    {
        // What keeps hooks from being asked must not keep a container from being destroyed.
        host.progress.note(&format!("hooks of {name} were not asked: {}", journal::chain(&error)));
        return destroy();
    }
    hooks::before(host, name, &container, ("destroy", Detail::None), destroy)
}

/// One that was just made and is not to stay. Nobody is asked: it never was anybody's.
pub(super) fn unmade(host: &Host, name: &Name, container: &Container) -> Result<(), Error> {
    take_apart(host, name, container).map(drop)
}

/// Whether it may go with what is built on it. Its configuration.
fn allow(host: &Host, name: &Name, options: DestroyOptions) -> Result<Container, Error> {
    let container = readable(host, name)?;
    let clones = dependents::of(host, name, &container)?.clones;
    if !options.force && !clones.is_empty() {
        return Err(dependents::in_use(name, clones, "destroyed"));
    }
    // Snapshots that may go and have clones stay with the volume.
    if clones.is_empty() || !options.snapshots {
        snapshot::remove::allow_destroy(host, name, options.snapshots)?;
    }
    Ok(container)
}

/// Removes a container that does not run; its storage stays if something is built on it.
fn take_apart(host: &Host, name: &Name, container: &Container) -> Result<Destroyed, Error> {
    let ties = dependents::of(host, name, container)?;
    let survives = if container.ephemeral { Survives::Kill } else { Survives::PowerLoss };
    let storage = container.rootfs.storage.clone();
    let mark = if ties.clones.is_empty() { PARTIAL } else { KEPT };
    let intent = Intent::Destroy { name: name.clone(), storage: storage.clone() };
    // The first step renames the configuration into the mark, so what a loss of power leaves of this says itself what it is
    // and which storage it has: the record is for the rest of what can go wrong.
    journal::perform(host, &intent, Survives::Kill, |operation| {
        operation.step("destroy.unmake")?;
        unmake(host, name, survives, mark)?;
        if mark == KEPT {
            return Ok(());
        }
        operation.step("destroy.remove")?;
        leftover::remove(host, name, operation.id(), None)
    })?;
    tracing::info!(%name, mark, "destroyed");
    if container.ephemeral {
        ephemeral::forget(host, name)?;
    }
    if mark == KEPT {
        return Ok(Destroyed::Kept);
    }
    if let Some(parent) = &ties.parent {
        // The container is gone; what was only there for it can also go later.
        if let Err(error) = dependents::let_go(host, &storage, parent) {
            host.progress.note(&format!("what {name} was built on could not be removed: {error}"));
        }
    }
    Ok(Destroyed::Container)
}

/// The moment from which it is no container.
fn unmake(host: &Host, name: &Name, survives: Survives, mark: &str) -> Result<(), Error> {
    let config = host.layout.config(name);
    let directory = host.layout.directory(name);
    // An administrator may have protected the file against changes; a directory without write
    // permission makes the rename fail, and nothing has happened.
    fs::rename(&config, directory.join(mark)).map_err(Error::io("remove the configuration", &config))?;
    if survives == Survives::PowerLoss {
        store::sync_directory(&directory)?;
    }
    drop(fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)));
    Ok(())
}

/// The configuration as far as it can be read: what is wrong with it must not keep a container from being destroyed.
fn readable(host: &Host, name: &Name) -> Result<Container, Error> {
    let text = store::text(host, name)?;
    Ok(toml::parse_unchecked(&text, &host.layout.config(name)).unwrap_or_default())
}
