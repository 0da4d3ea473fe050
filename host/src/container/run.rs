#![forbid(unsafe_code)]
//! A throw-away container for one command: made, started in the foreground, gone with it.

use std::path::PathBuf;

use super::copy::{self, CopyRequest, Sharing};
use super::create::{self, Basis, CreateRequest};
use super::destroy::DestroyOptions;
use super::start::{self, StartRequest};
use super::{Error, Host, destroy, ephemeral, journal, leftover, store, watch};
use crate::config::Name;
use crate::plan::build::Overrides;
use crate::runtime::state::Exit;
use crate::runtime::{Launched, foreground};

/// One run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// `None`: a fresh one.
    pub name: Option<Name>,
    /// A container to make a throw-away clone of, instead of using a template.
    pub from: Option<Name>,
    pub basis: Basis,
    pub set: Vec<(String, String)>,
    pub privileged: bool,
    /// Empty: what the container itself starts.
    pub command: Vec<String>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub cwd: Option<PathBuf>,
    pub environment: Vec<(String, String)>,
    /// For `environment.keep`.
    pub caller_environment: std::collections::BTreeMap<String, String>,
    /// Give it a terminal as console; otherwise it gets this process's streams.
    pub terminal: bool,
}

/// What names of throw-away containers begin with.
const PREFIX: &str = "run-";

/// Makes a container, runs the command in it and removes it, whatever happens.
///
/// # Errors
/// It cannot be made or started. How the command ended is no error.
pub fn run(host: &Host, request: &RunRequest) -> Result<Exit, Error> {
    sweep(host)?;
    ephemeral::sweep(host);
    if let Some(from) = &request.from {
        store::require(host, from)?;
    }
    let name = match &request.name {
        Some(name) => name.clone(),
        None => host.fresh_name(PREFIX)?,
    };
    let launched = match &request.from {
        Some(from) => clone_and_start(host, from, &name, request),
        None => create_and_start(host, &name, request),
    };
    let result = launched.and_then(|launched| {
        Ok(foreground::accompany(&launched, &host.layout.run_directory(&name), name.as_str())?)
    });
    // The monitor has it removed; it does not when it was killed, or never started anything.
    remove(host, &name)?;
    result
}

fn create_and_start(host: &Host, name: &Name, request: &RunRequest) -> Result<Launched, Error> {
    let _guard = journal::claim(host, &[name], "run")?;
    let create = CreateRequest {
        set: request.set.clone(),
        privileged: request.privileged,
        ephemeral: true,
        ..CreateRequest::new(name.clone(), request.basis.clone())
    };
    create::create_locked(host, &create)?;
    start::start_locked(host, name, &start_request(request))
}

fn clone_and_start(host: &Host, from: &Name, name: &Name, request: &RunRequest) -> Result<Launched, Error> {
    let copy = CopyRequest {
        from: from.clone(),
        to: Some(name.clone()),
        path: None,
        storage: None,
        sharing: Sharing::Preferred,
        ephemeral: true,
        allow_running: true,
        keep_name: false,
        keep_mac: false,
        set: request.set.clone(),
        mounts: Vec::new(),
        with_snapshots: false,
        size: None,
        hook_arguments: Vec::new(),
    };
    Ok(copy::copy_and_start(host, &copy, &start_request(request))?.launched)
}

fn start_request(request: &RunRequest) -> StartRequest {
    let overrides = Overrides {
        command: Some(request.command.clone()).filter(|command| !command.is_empty()),
        stub: Some(true),
        user: request.user,
        group: request.group,
        cwd: request.cwd.clone(),
        environment: request.environment.iter().cloned().collect(),
        caller_environment: request.caller_environment.clone(),
        streams: !request.terminal,
        ephemeral: true,
    };
    StartRequest { overrides, foreground: true, streams: !request.terminal, ..StartRequest::default() }
}

/// Removes it unless somebody did already.
fn remove(host: &Host, name: &Name) -> Result<(), Error> {
    let mut claim = journal::claim(host, &[name], "destroy")?;
    match leftover::look(host, name) {
        leftover::Kind::Absent | leftover::Kind::Kept | leftover::Kind::Foreign => {}
        leftover::Kind::Complete | leftover::Kind::Leftover => {
            destroy::destroy_locked(host, name, DestroyOptions::ALL)?;
        }
    }
    claim.discard(name);
    Ok(())
}

/// Removes throw-away containers whose command and monitor were both killed: nobody else will.
pub(super) fn sweep(host: &Host) -> Result<(), Error> {
    let entries = std::fs::read_dir(&host.layout.path).map_err(Error::io("list", &host.layout.path))?;
    let words = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for name in words.filter(|word| word.starts_with(PREFIX)).filter_map(|word| word.parse::<Name>().ok()) {
        // Whoever is making or running it has the lock, or a monitor.
        let Some(mut claim) = journal::try_claim(host, &[&name], "sweep")? else { continue };
        let gone = match leftover::look(host, &name) {
            leftover::Kind::Leftover => true,
            leftover::Kind::Complete => {
                watch::snapshot(host, &name).is_none()
                    && store::load(host, &name).is_ok_and(|container| container.ephemeral)
            }
            leftover::Kind::Absent | leftover::Kind::Kept | leftover::Kind::Foreign => false,
        };
        if gone {
            destroy::destroy_locked(host, &name, DestroyOptions { force: false, snapshots: true })?;
        }
        if gone || claim.settled(&name) {
            claim.discard(&name);
        }
    }
    Ok(())
}
