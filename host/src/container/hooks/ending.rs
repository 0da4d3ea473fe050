#![forbid(unsafe_code)]
//! The end of an operation that hooks took part in.

use super::act::{Happening, act};
use super::ledger;
use crate::container::journal::chain;
use crate::container::{Error, Host};
use crate::plan::Plan;
use crate::plan::hooks::HookTarget;
use crate::plugin::hook::types::{Detail, Failure};

/// It is complete: nothing is undone any more, and whoever wants to know is told.
pub(in crate::container) fn completed(host: &Host, plan: &Plan, event: &str, happening: &Happening) {
    if plan.hooks.calls.is_empty() {
        return;
    }
    let done = ledger::forget(&plan.container.directory).and_then(|()| act(host, plan, event, happening));
    if let Err(error) = done {
        host.progress.note(&format!("after {event}: {}", chain(&error)));
    }
}

/// A start failed: what hooks did is undone, the last first, and those that asked for it are told why. What has no undo
/// of its own, LXC's programs, gets the `post-stop` that LXC gives them then.
pub(in crate::container) fn failed(host: &Host, plan: &Plan, error: &Error) {
    if plan.hooks.calls.is_empty() {
        return;
    }
    let message = chain(error);
    let detail = Detail::Failure(Failure { step: error.to_string(), message });
    let mut programs = plan.clone();
    programs.hooks.calls.retain(|call| matches!(call.target, HookTarget::Program { .. }));
    let undone = ledger::undo(host, &plan.container.directory).map(drop);
    let told = act(host, plan, "failed", &Happening::detailed(detail));
    let cleaned = act(host, &programs, "post-stop", &Happening::default());
    for result in [undone, told, cleaned] {
        if let Err(error) = result {
            host.progress.note(&format!("after the failed start: {}", chain(&error)));
        }
    }
}
