#![forbid(unsafe_code)]
//! The hooks of a start, called by the command that waits for it when the monitor says that they are due.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use super::act::occur;
use crate::container::journal::chain;
use crate::container::{Error, Host, plugins};
use crate::plan::Plan;
use crate::plan::hooks::{HookTarget, Occasion};
use crate::runtime::{Caller, Stopped};

/// Events of a start after `pre-start`, at which a command calls.
const EVENTS: [&str; 7] = ["network-up", "pre-mount", "mount", "autodev", "start", "start-host", "started"];

/// Those that a plan has.
#[derive(Debug)]
pub(in crate::container) struct OfStart<'a> {
    pub(in crate::container) host: &'a Host,
    pub(in crate::container) plan: &'a Plan,
}

impl Caller for OfStart<'_> {
    fn get_ready(&self) {
        let due = EVENTS.iter().flat_map(|event| self.plan.hooks.due(event));
        let names: BTreeSet<&String> = due
            .filter_map(|call| match &call.target {
                HookTarget::Plugin { name, .. } => Some(name),
                HookTarget::Program { .. } => None,
            })
            .collect();
        for name in names {
            let directory = &self.plan.container.directory;
            let loaded = plugins::load_hook(self.host, name, directory, self.host.progress.clone());
            // What cannot be loaded is told when it is due.
            loaded.map(|hook| hook.get_ready()).ok();
        }
    }

    fn call(&self, event: &str, occasion: &Occasion, root: Option<OwnedFd>) -> Result<(), Stopped> {
        let stopped = |error: Error| {
            let hints = error.hints();
            Stopped { why: chain(&error), hint: (!hints.is_empty()).then(|| hints.join("; ")) }
        };
        occur(self.host, self.plan, event, occasion, root).map_err(stopped)
    }
}
