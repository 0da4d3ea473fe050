#![forbid(unsafe_code)]
//! Events that are no part of a start: the plan that hooks are told of is the one that would be made now.

use std::collections::BTreeSet;

use super::act::{Happening, act};
use super::attached::{self, Attached};
use super::{event, ledger, persist, shape};
use crate::config::{Container, Name, edit};
use crate::container::journal::chain;
use crate::container::{Error, Host, destroy, start, store};
use crate::plan::Plan;
use crate::plugin::hook::types::{Detail, Event, Step};

/// What hooks of a container are told, and which are due; `None` where there are none.
fn plan(host: &Host, name: &Name, container: &Container) -> Result<Option<Plan>, Error> {
    if !attached::any(host, container) {
        return Ok(None);
    }
    let all = attached::load(host, name, container)?;
    planned(host, name, container, &all).map(Some)
}

fn planned(host: &Host, name: &Name, container: &Container, all: &[Attached]) -> Result<Plan, Error> {
    let mut plan = start::plan_about(host, name, container)?;
    plan.hooks = shape::told(container)?;
    plan.hooks.calls = attached::calls(host, container, all)?;
    Ok(plan)
}

/// What hooks make of a configuration that is to stay, after all have judged it: the plan, and the text if it changed.
fn settled(
    host: &Host,
    name: &Name,
    event: Event,
    (text, container): (&str, &Container),
    all: &[Attached],
) -> Result<(Plan, Option<String>), Error> {
    let mut plan = planned(host, name, container, all)?;
    let (merged, changes) = shape::propose(host, name, container, all, event, &plan)?;
    if !changes.is_empty() {
        let build = |container: &Container| planned(host, name, container, all);
        plan = build(&merged)
            .map_err(|error| shape::blamed(host, name, container, all, &changes, &build, error))?;
    }
    shape::judge(all, &plan, event, &changes)?;
    let changed = (merged != *container)
        .then(|| persist::text(text, &host.layout.config(name), container, &merged))
        .transpose()?;
    Ok((plan, changed))
}

/// A container was made, and may still be unmade: hooks change its configuration, judge it, and act; what one refuses is
/// destroyed again. The caller holds its lock.
///
/// # Errors
/// A hook failed that may refuse it; nothing of the container is left then.
pub(in crate::container) fn made(
    host: &Host,
    name: &Name,
    event: Event,
    (detail, arguments): (Detail, &[String]),
) -> Result<(), Error> {
    if !attached::perhaps(host, name) {
        return Ok(());
    }
    let text = store::text(host, name)?;
    let container = store::load(host, name)?;
    if !attached::any(host, &container) {
        return Ok(());
    }
    let directory = host.layout.directory(name);
    let done = attached::load(host, name, &container).and_then(|all| {
        let (plan, changed) = settled(host, name, event, (&text, &container), &all)?;
        if let Some(changed) = changed {
            store::replace(&host.layout.config(name), changed.as_bytes())?;
        }
        let happening = Happening { arguments: arguments.to_vec(), ..Happening::detailed(detail) };
        act(host, &plan, event::word(event), &happening)
    });
    let Err(error) = done else { return ledger::forget(&directory) };
    // The error that led here is the one to tell.
    if let Err(left) = ledger::undo(host, &directory).and_then(|_| destroy::unmade(host, name, &container)) {
        host.progress.note(&format!("{name} could not be removed again: {}", chain(&left)));
    }
    Err(error)
}

/// A configuration that is about to be written: what hooks make of it. Those that cannot be loaded have no say here, or
/// nobody could switch them off; a start asks them.
///
/// # Errors
/// A hook refuses it, or two disagree.
pub(in crate::container) fn configured(
    host: &Host,
    name: &Name,
    text: String,
    container: &Container,
) -> Result<String, Error> {
    if !attached::any(host, container) {
        return Ok(text);
    }
    let Ok(all) = attached::load(host, name, container) else { return Ok(text) };
    let wanted = |step| !attached::wanted(&all, Event::Configure, step).is_empty();
    if !wanted(Step::Adjust) && !wanted(Step::Validate) {
        return Ok(text);
    }
    let (_, changed) = settled(host, name, Event::Configure, (&text, container), &all)?;
    Ok(changed.unwrap_or(text))
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
    // The change may be about what cannot be asked; a start will say so.
    if let Err(error) = told.or_else(|error| if event == "configure" { Ok(()) } else { Err(error) }) {
        host.progress.note(&format!("hooks were not told of {event} of {name}: {}", chain(&error)));
    }
}

/// The configuration was changed: which keys, in both directions.
pub(in crate::container) fn after_change(host: &Host, name: &Name, (old, new): (&str, &str)) {
    if !attached::perhaps(host, name) {
        return;
    }
    let file = host.layout.config(name);
    let said = |text| edit::said(text, &file).unwrap_or_default();
    let (before, now) = (said(old), said(new));
    let gone = before.iter().filter(|pair| !now.contains(pair));
    let come = now.iter().filter(|pair| !before.contains(pair));
    let keys: BTreeSet<String> = gone.chain(come).map(|(key, _)| key.clone()).collect();
    after(host, name, "configure", Detail::Keys(keys.into_iter().collect()));
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
