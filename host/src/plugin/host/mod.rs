#![forbid(unsafe_code)]
//! What guests may call: one file per interface of the contract, all of them below one choke point.
//!
//! - [`handles`]: the things verbs work on, backed by descriptors
//! - [`place`]: from a path of a guest to a descriptor and a name; which parts of a pool it may see
//! - [`log`], [`progress`], [`settings`]: a voice, and the plugin's own configuration
//! - [`scope`]: which handles the running call gets
//! - [`tree`], with [`measure`] and [`quota`]: files and directories of a pool
//! - [`loop_devices`]: files of a pool as block devices
//! - [`commands`]: programs of the host, from declared templates; [`printer`]: whom such a program tells its results
//! - [`subvolumes`]: btrfs subvolumes of a pool
//! - [`hook_scope`]: the same for a hook
//! - [`rootfs`], [`run_inside`]: files of one container, and programs in it
//! - [`store`]: small durable state
//! - [`fetch`]: documents of declared servers · [`notify`]: messages to them
//! - [`records`]: a log that outlives containers
//! - [`host_system`]: which directories of the host a template can show
//! - [`interruption`]: a call that is cut short on purpose
//! - [`tape`]: calls that are taken down, or answered from what was taken down before
//! - [`failure`]: errors of the kernel in the words of the contract
//! - [`linking`]: the table of interfaces; what is not in it cannot be imported

pub(super) mod commands;
pub(super) mod failure;
pub(super) mod fetch;
pub(super) mod handles;
mod hook_scope;
mod host_system;
mod inputs;
mod interruption;
pub(super) mod linking;
mod log;
mod loop_devices;
mod measure;
pub(super) mod notify;
pub(super) mod place;
mod printer;
mod progress;
mod quota;
mod records;
pub(super) mod rootfs;
pub(super) mod run_inside;
mod scope;
mod settings;
mod store;
mod subvolumes;
pub(super) mod tape;
mod tree;
mod trust;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;

use super::budget::{Budget, Limit, Meter};
use super::error::Identity;
use crate::fetch::Reach;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
pub use fetch::Fetcher;
pub use inputs::{InputError, Inputs};
pub use interruption::{Interruption, Strike};
pub(super) use log::printable;
pub use progress::{Progress, Quiet, Unit};
pub use rootfs::Root;
pub use run_inside::{Enter, Request as InsideRequest};
pub use trust::Verifier;

/// What a guest is told of whose call somebody no longer waits.
const OUT_OF_TIME: &str = "the time of this call is used up";

/// What one call of one plugin has at hand: made for the call, dropped with it.
pub(super) struct State {
    pub(super) plugin: Identity,
    pub(super) meter: Meter,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) scope: Scope,
    table: ResourceTable,
}

/// What a call was given.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The pool, for storage in a directory.
    pub(super) pool: Option<OwnedFd>,
    /// The name of the pool, where it is one that the administrator bound.
    pub(super) pool_name: Option<String>,
    /// The command templates that may be run.
    pub(super) commands: Arc<commands::Templates>,
    /// The declared settings, with a value where there is one.
    pub(super) settings: Arc<BTreeMap<String, Option<String>>>,
    /// Where the plugin's own state is kept, made when it is first written.
    pub(super) store: Option<PathBuf>,
    /// That state is only read, in a call that has to be repeatable.
    pub(super) store_is_fixed: bool,
    /// Directories of the host that were asked for and granted.
    pub(super) host_directories: Arc<[String]>,
    /// How documents are fetched, in a call that may.
    pub(super) fetcher: Option<Arc<fetch::Fetcher>>,
    /// What the user named, in a call that may look into it.
    pub(super) inputs: Option<Arc<dyn Inputs>>,
    /// The key rings with which signatures are checked, in a call that may.
    pub(super) verifier: Option<Arc<Verifier>>,
    /// How messages are sent, in a call that may.
    pub(super) courier: Option<Arc<Reach>>,
    /// The file that its records go to, in a call that may write any.
    pub(super) records: Option<PathBuf>,
    /// What this call writes is made durable by the host, together with everything else of the volume that it makes.
    pub(super) durable_later: bool,
    /// The root file system of the container, or why there is none, in a call that is about one.
    pub(super) root: Option<Result<Arc<Root>, Error>>,
    /// The container, or why it cannot be entered, in a call during which it runs.
    pub(super) running: Option<Result<Arc<dyn Enter>, Error>>,
    /// What strikes in the middle of this call, when a backend is being tested.
    pub(super) interruption: Option<Arc<Interruption>>,
    /// Where calls of host functions are taken down, or answered from.
    pub(super) tape: Option<Arc<tape::Tape>>,
}

/// A guest that does what no correct one would: it is stopped, and the message says what it did.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) String);

impl State {
    pub(super) fn new(plugin: Identity, budget: Budget, progress: Arc<dyn Progress>, scope: Scope) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(budget.handles);
        Self { plugin, meter: Meter::new(budget), progress, scope, table }
    }

    /// The choke point: every host function begins with [`State::called`] or [`State::spoken`], which come here.
    fn count(&mut self) -> wasmtime::Result<()> {
        self.meter.host_call()?;
        if let Some(interruption) = &self.scope.interruption {
            interruption.enter()?;
        }
        Ok(())
    }

    /// What is left of the time of this call, where somebody waits for it.
    ///
    /// # Errors
    /// Nothing is.
    fn time_left(&self) -> Result<Option<Duration>, Error> {
        match self.meter.remaining() {
            Some(Duration::ZERO) => Err(failure::failure(ErrorKind::Exhausted, OUT_OF_TIME)),
            left => Ok(left),
        }
    }

    fn handles_used_up(&self) -> wasmtime::Error {
        Limit::Handles(self.meter.budget().handles).into()
    }
}
