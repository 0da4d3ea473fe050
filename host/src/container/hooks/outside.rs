#![forbid(unsafe_code)]
//! Events that are no part of a start: the plan that hooks are told of is the one that would be made now.

use super::act::{Happening, act};
use super::{attached, ledger, shape};
use crate::config::{Container, Name};
use crate::container::journal::chain;
use crate::container::{Error, Host, destroy, start, store};
use crate::plan::Plan;
use crate::plugin::hook::types::Detail;

/// What hooks of a container are told, and which are due; `None` where there are none.
fn plan(host: &Host, name: &Name, container: &Container) -> Result<Option<Plan>, Error> {
    if !attached::any(host, container) {
        return Ok(None);
    }
    let all = attached::load(host, name, container)?;
    let mut plan = start::plan_about(host, name, container)?;
    plan.hooks = shape::told(container)?;
    plan.hooks.calls = attached::calls(host, container, &all)?;
    Ok(Some(plan))
}

/// A container was made, and may still be unmade: what a hook refuses is destroyed again. The caller holds its lock.
///
/// # Errors
/// A hook failed that may refuse it; nothing of the container is left then.
pub(in crate::container) fn made(host: &Host, name: &Name, event: &str, detail: Detail) -> Result<(), Error> {
    if !attached::perhaps(host, name) {
        return Ok(());
    }
    let container = store::load(host, name)?;
    let directory = host.layout.directory(name);
    let done = plan(host, name, &container).and_then(|plan| match plan {
        Some(plan) => act(host, &plan, event, &Happening::detailed(detail)),
        None => Ok(()),
    });
    let Err(error) = done else { return ledger::forget(&directory) };
    // The error that led here is the one to tell.
    if let Err(left) = ledger::undo(host, &directory).and_then(|_| destroy::unmade(host, name, &container)) {
        host.progress.note(&format!("{name} could not be removed again: {}", chain(&left)));
    }
    Err(error)
}

/// Something is about to happen that a hook may refuse. What hooks did is undone unless `work` succeeds.
///
/// # Errors
/// A hook failed that may refuse it, or the work failed.
pub(in crate::container) fn before<T>(
    host: &Host,
    name: &Name,
    container: &Container,
    (event, detail): (&str, Detail),
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(plan) = plan(host, name, container)? else { return work() };
    let done = act(host, &plan, event, &Happening::detailed(detail)).and_then(|()| work());
    let directory = &plan.container.directory;
    let left = if done.is_ok() { ledger::forget(directory) } else { ledger::undo(host, directory).map(drop) };
    if let Err(error) = left {
        host.progress.note(&format!("after {event} of {name}: {}", chain(&error)));
    }
    done
}

/// Something happened: whoever wants to know is told, and nothing can be refused any more.
pub(in crate::container) fn after(host: &Host, name: &Name, event: &str, detail: Detail) {
    if !attached::perhaps(host, name) {
        return;
    }
    let told = store::load(host, name).and_then(|container| {
        let Some(plan) = plan(host, name, &container)? else { return Ok(()) };
        act(host, &plan, event, &Happening::detailed(detail))
    });
    if let Err(error) = told {
        host.progress.note(&format!("hooks were not told of {event} of {name}: {}", chain(&error)));
    }
}

/// The same of a container that runs, by the plan that it runs with.
pub(in crate::container) fn after_in(host: &Host, plan: &Plan, event: &str, pid: Option<i32>) {
    let pid = pid.and_then(|pid| u32::try_from(pid).ok());
    if let Err(error) = act(host, plan, event, &Happening { pid, ..Happening::default() }) {
        host.progress.note(&format!("after {event}: {}", chain(&error)));
    }
}

/// Whether a running container may have hooks, without asking its monitor.
pub(in crate::container) fn perhaps(host: &Host, name: &Name) -> bool {
    attached::perhaps(host, name)
}
