#![forbid(unsafe_code)]
//! Calling what is due at an event.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::{context, interface, of_next};
use super::heard::Heard;
use super::reach::Reach;
use super::{event, exec, ledger, log};
use crate::container::journal::chain;
use crate::container::{Error, Host, plugins};
use crate::plan::Plan;
use crate::plan::hooks::{self as plan, HookCall, HookTarget, Occasion};
use crate::plugin::Hook as _;
use crate::plugin::hook::types::{Context, Detail, Ending};

/// What belongs to one event besides the plan.
#[derive(Debug, Clone)]
pub(in crate::container) struct Happening {
    /// Init's process id, while there is one.
    pub(in crate::container) pid: Option<u32>,
    pub(in crate::container) detail: Detail,
    /// What the user gave for hooks.
    pub(in crate::container) arguments: Vec<String>,
    /// Namespaces that a monitor holds.
    pub(in crate::container) namespaces: Vec<(String, PathBuf)>,
    /// The container's root, where only its first process has it.
    pub(in crate::container) root: Option<Arc<OwnedFd>>,
}

impl Default for Happening {
    fn default() -> Self {
        Self { pid: None, detail: Detail::None, arguments: Vec::new(), namespaces: Vec::new(), root: None }
    }
}

impl Happening {
    /// From what a monitor knows.
    pub(in crate::container) fn of(occasion: &Occasion) -> Self {
        let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
        let ending = |ending: plan::Ending| {
            Detail::Ending(Ending {
                code: number(ending.code),
                signal: number(ending.signal),
                out_of_memory: ending.out_of_memory,
                reboot: ending.reboot,
            })
        };
        let detail = occasion.ending.map_or(Detail::None, ending);
        let namespaces = occasion.namespaces.clone();
        Self { pid: number(occasion.pid), detail, namespaces, ..Self::default() }
    }

    pub(in crate::container) fn detailed(detail: Detail) -> Self {
        Self { detail, ..Self::default() }
    }
}

/// Calls what the plan says is due at an event, in order. What a call returns to be undone with is on disk before
/// the next one begins.
///
/// # Errors
/// A call failed that may end the operation; those after it were not made.
pub(in crate::container) fn act(
    host: &Host,
    plan: &Plan,
    event: &str,
    happening: &Happening,
) -> Result<(), Error> {
    let mut told = None;
    for call in plan.hooks.due(event) {
        let since = Instant::now();
        let heard = Heard::new(host.progress.clone());
        let (wrote, called) = match &call.target {
            HookTarget::Plugin { .. } => {
                (String::new(), plugin(host, plan, call, happening, &heard, &mut told))
            }
            HookTarget::Program { line, version } => {
                let budget = Duration::from_millis(call.budget);
                exec::run(host, plan, event, happening, &exec::Program { line, version: *version, budget })
            }
        };
        let failure = called.as_ref().err().map(|error| chain(error));
        let said = format!("{}{wrote}", heard.lines());
        log::write(plan, &call.phrase(), since.elapsed(), failure.as_deref(), &said);
        match called {
            Ok(()) => {}
            Err(error) if call.aborts => return Err(error),
            Err(error) => {
                let hints: String = error.hints().iter().map(|hint| format!(" ({hint})")).collect();
                host.progress.note(&format!("a hook failed: {}{hints}", chain(&error)));
            }
        }
    }
    Ok(())
}

/// What a monitor asks for. The network has one event for each interface.
///
/// # Errors
/// As [`act`].
pub(in crate::container) fn occur(
    host: &Host,
    plan: &Plan,
    event: &str,
    occasion: &Occasion,
    root: Option<OwnedFd>,
) -> Result<(), Error> {
    if !matches!(event, "network-up" | "network-down") {
        let root = root.map(Arc::new);
        return act(host, plan, event, &Happening { root, ..Happening::of(occasion) });
    }
    for link in &plan.network.links {
        let detail = Detail::Network(interface(link, occasion.peers.get(&link.name).cloned()));
        act(host, plan, event, &Happening { detail, ..Happening::of(occasion) })?;
    }
    Ok(())
}

fn plugin(
    host: &Host,
    plan: &Plan,
    call: &HookCall,
    happening: &Happening,
    heard: &Arc<Heard>,
    told: &mut Option<Context>,
) -> Result<(), Error> {
    let (HookTarget::Plugin { name, settings }, Some(event)) = (&call.target, event::of(&call.event)) else {
        return Ok(());
    };
    let hook = plugins::load_hook(host, name, &plan.container.directory, heard.clone())?;
    let context = told.get_or_insert_with(|| context(plan, event, happening, settings));
    of_next(context, settings);
    let reach = Reach::of(host, plan, &call.event, happening, &hook)?;
    let token = hook.act(context, &reach.within, Duration::from_millis(call.budget));
    let closed = reach.close(host);
    // After the fact there is nothing left to be taken back.
    if let Some(token) = token?.filter(|_| super::can_abort(&call.event)) {
        ledger::add(
            plan,
            ledger::Entry { plugin: name.clone(), context: context.clone(), token, budget: call.budget },
        )?;
    }
    // Last: what it has done is to be taken back, also when its files are not on the disk.
    closed
}
