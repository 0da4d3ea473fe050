#![forbid(unsafe_code)]
//! One call of a plugin: a fresh store, an instance, the call, and everything dropped again.
//!
//! A trap ends that call only, nothing a guest kept in memory outlives it, and no store is alive when
//! the process goes on to other work.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmtime::component::{Instance, InstancePre, Linker};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wxc_engine::Facts;

use super::artifact::CodeSource;
use super::bindings::host::wxc::host::types::{Error, ErrorKind};
use super::budget::{Budget, Limit, TICK};
use super::error::{FailureKind, Identity, PluginError};
use super::host::commands::{Templates, templates};
use super::host::linking::{Unlinked, chosen, link};
use super::host::{Misuse, Progress, Scope, State};
use super::manifest::Manifest;
use crate::sys::timer::EpochTimer;

/// A plugin that is found and granted: it can be called. Its code is loaded and linked by the first call.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) identity: Identity,
    pub(super) facts: Arc<Facts>,
    pub(super) manifest: Arc<Manifest>,
    pub(super) commands: Arc<Templates>,
    budget: Budget,
    engine: &'static Engine,
    code: Arc<Code>,
}

/// Machine code, and what it became when it was linked.
struct Code {
    source: CodeSource,
    linked: OnceLock<InstancePre<State>>,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready")
            .field("identity", &self.identity)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

impl Ready {
    /// A plugin with its code at hand. What it imports has to be offered.
    pub(super) fn new(
        engine: &'static Engine,
        code: CodeSource,
        identity: Identity,
        facts: Facts,
        manifest: Manifest,
    ) -> Result<Self, PluginError> {
        chosen(&facts.imports).map_err(|unlinked| refused(&identity, unlinked))?;
        let budget = Budget::default().with(&manifest.limits);
        let commands = Arc::new(templates(&manifest));
        let code = Arc::new(Code { source: code, linked: OnceLock::new() });
        Ok(Self {
            identity,
            facts: Arc::new(facts),
            manifest: Arc::new(manifest),
            commands,
            budget,
            engine,
            code,
        })
    }

    /// Loads the code and links it with what it imports, unless that was done before.
    pub(super) fn linked(&self) -> Result<&InstancePre<State>, PluginError> {
        if let Some(linked) = self.code.linked.get() {
            return Ok(linked);
        }
        let identity = &self.identity;
        let component = self.code.source.component(self.engine, &identity.name)?;
        let does_not_fit = |e: wasmtime::Error| PluginError::NotOffered {
            plugin: identity.clone(),
            interface: format!("{e:#}"),
            why: None,
        };
        let mut linker = Linker::new(self.engine);
        link(&mut linker, &self.facts.imports).map_err(|unlinked| refused(identity, unlinked))?;
        super::wasi::stub_the_rest(&mut linker, &component, &self.facts.imports).map_err(does_not_fit)?;
        let linked = linker.instantiate_pre(&component).map_err(does_not_fit)?;
        Ok(self.code.linked.get_or_init(|| linked))
    }

    /// Whether the component exports an interface.
    pub(super) fn exports(&self, interface: &str) -> bool {
        self.facts.exports.iter().any(|e| e == interface)
    }

    /// That it does.
    pub(super) fn need(&self, interface: &str) -> Result<(), PluginError> {
        if self.exports(interface) {
            return Ok(());
        }
        Err(PluginError::Lacks { plugin: self.identity.clone(), interface: interface.to_owned() })
    }

    /// Calls a function that answers with a result.
    pub(super) fn call<R>(
        &self,
        name: &'static str,
        scope: Scope,
        progress: &Arc<dyn Progress>,
        body: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<R, Error>>,
    ) -> Result<R, PluginError> {
        self.call_within(None, name, scope, progress, body)
    }

    /// Calls a function that answers with a result, with less time than the plugin has otherwise.
    pub(super) fn call_within<R>(
        &self,
        time: Option<Duration>,
        name: &'static str,
        scope: Scope,
        progress: &Arc<dyn Progress>,
        body: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<R, Error>>,
    ) -> Result<R, PluginError> {
        let mut budget = self.budget;
        if let Some(time) = time {
            budget.clock = Some(time);
            (budget.time, budget.total_time) = (time.min(budget.time), time.min(budget.total_time));
        }
        self.run_within(budget, name, scope, progress, body)?.map_err(|error| PluginError::Failed {
            plugin: self.identity.clone(),
            call: name,
            kind: kind(error.kind),
            message: super::host::printable(&error.message),
        })
    }

    fn run_within<R>(
        &self,
        budget: Budget,
        name: &'static str,
        scope: Scope,
        progress: &Arc<dyn Progress>,
        body: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, PluginError> {
        // Before the clock of the call begins: its code may have to be compiled first.
        let linked = self.linked()?;
        let state = State::new(self.identity.clone(), budget, Arc::clone(progress), scope);
        let mut store = Store::new(self.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(budget.result);
        store.set_max_component_handles(budget.handles);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let cancelled = context.data().progress.cancelled();
            context.data_mut().meter.tick(cancelled)?;
            Ok(UpdateDeadline::Continue(1))
        });
        let _timer = EpochTimer::start(self.engine, TICK)
            .map_err(|e| PluginError::Engine { doing: "starting the timer", message: e.to_string() })?;
        let called = linked.instantiate(&mut store).and_then(|instance| body(&mut store, &instance));
        called.map_err(|error| self.blame(name, &error))
    }

    /// An answer that the contract does not allow.
    pub(super) fn broken(&self, call: &'static str, why: impl Into<String>) -> PluginError {
        let why = super::host::printable(&why.into());
        PluginError::Broken { plugin: self.identity.clone(), call, why }
    }

    /// From what ended the guest to what the user is told.
    fn blame(&self, call: &'static str, error: &wasmtime::Error) -> PluginError {
        let plugin = self.identity.clone();
        tracing::debug!(%plugin, call, "{error:?}");
        let limit = match (error.downcast_ref::<Limit>(), error.downcast_ref::<Trap>()) {
            (Some(limit), _) => Some(*limit),
            (None, Some(Trap::StackOverflow)) => Some(Limit::Stack),
            _ => self.limit_by_text(error),
        };
        if let Some(limit) = limit {
            return PluginError::Budget { plugin, call, limit };
        }
        if let Some(Misuse(why)) = error.downcast_ref() {
            return PluginError::Broken { plugin, call, why: why.clone() };
        }
        PluginError::Trap { plugin, call, message: super::host::printable(&error.root_cause().to_string()) }
    }

    /// Two limits that wasmtime keeps for us, with error types of its own that it does not show.
    fn limit_by_text(&self, error: &wasmtime::Error) -> Option<Limit> {
        let text = error.root_cause().to_string();
        if text.contains("fuel allocated for hostcalls") {
            return Some(Limit::Result(self.budget.result));
        }
        (text.contains("too many") && text.contains("handles")).then_some(Limit::Handles(self.budget.handles))
    }
}

fn refused(plugin: &Identity, unlinked: Unlinked) -> PluginError {
    let plugin = plugin.clone();
    match unlinked {
        Unlinked::NotOffered(interface, why) => PluginError::NotOffered { plugin, interface, why },
        Unlinked::Engine(e) => PluginError::Engine { doing: "linking", message: format!("{e:#}") },
    }
}

fn kind(kind: ErrorKind) -> FailureKind {
    match kind {
        ErrorKind::Invalid => FailureKind::Invalid,
        ErrorKind::Unsupported => FailureKind::Unsupported,
        ErrorKind::NotFound => FailureKind::NotFound,
        ErrorKind::AlreadyExists => FailureKind::AlreadyExists,
        ErrorKind::Busy => FailureKind::Busy,
        ErrorKind::InUse => FailureKind::InUse,
        ErrorKind::NoSpace => FailureKind::NoSpace,
        ErrorKind::Denied => FailureKind::Denied,
        ErrorKind::Integrity => FailureKind::Integrity,
        ErrorKind::Exhausted => FailureKind::Exhausted,
        ErrorKind::Cancelled => FailureKind::Cancelled,
        ErrorKind::Failed => FailureKind::Failed,
    }
}
