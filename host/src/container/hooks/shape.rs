#![forbid(unsafe_code)]
//! From a configuration to a plan that all hooks agreed to: they propose, the host merges and plans, they judge.

use serde::Serialize;

use super::act::Happening;
use super::attached::{self, Attached, Wanted};
use super::context::context;
use super::event;
use super::merge::{Merge, mounted};
use super::phrase::phrase;
use crate::config::cgroup::Limits;
use crate::config::{Container, Name, edit};
use crate::container::journal::chain;
use crate::container::{Error, Host};
use crate::plan::hooks::{HookChange, HooksPlan, listen_for_ready, place_root};
use crate::plan::{Plan, Setting};
use crate::plugin::Hook as _;
use crate::plugin::hook::types::{Change, Event, Step, Verdict};

/// The plan of a container with what its hooks change at `event`, if none of them objects. `build` makes a plan of a
/// configuration; it is pure, and so is all that is asked here: a plan can be made without a start.
///
/// # Errors
/// A hook cannot be used, two of them disagree, the result cannot be planned, or one refuses it.
pub(in crate::container) fn shape(
    host: &Host,
    name: &Name,
    event: Event,
    container: &Container,
    build: &dyn Fn(&Container) -> Result<Plan, Error>,
) -> Result<Plan, Error> {
    let mut plan = build(container)?;
    if !attached::any(host, container) {
        return Ok(plan);
    }
    let all = attached::load(host, name, container)?;
    plan.hooks = told(container)?;
    let (merged, changes) = propose(host, name, container, &all, event, &plan)?;
    if !changes.is_empty() {
        plan = build(&merged).map_err(|error| blamed(host, name, container, &all, &changes, build, error))?;
        plan.hooks = told(&merged)?;
        tell_whose(&mut plan, &changes);
    }
    judge(&all, &plan, event, &changes)?;
    plan.hooks.calls = attached::calls(host, container, &all)?;
    let owned = |change: &Change| HookChange { plugin: change.plugin.clone(), change: phrase(&change.patch) };
    plan.hooks.changes = changes.iter().map(owned).collect();
    listen_for_ready(&mut plan);
    place_root(&mut plan);
    Ok(plan)
}

/// The change with which the configuration cannot be planned any more, which without any can.
pub(super) fn blamed(
    host: &Host,
    name: &Name,
    container: &Container,
    all: &[Attached],
    changes: &[Change],
    build: &dyn Fn(&Container) -> Result<Plan, Error>,
    error: Error,
) -> Error {
    let mut merge = Merge::new(host, name, container.clone());
    for change in changes {
        let Some(hook) = all.iter().find(|hook| hook.name == change.plugin) else { break };
        if merge.add(hook, vec![change.patch.clone()]).is_err() {
            break;
        }
        if let Err(error) = build(merge.container()) {
            return merge.refuse(hook, &change.patch, chain(&error));
        }
    }
    error
}

/// Mounts that hooks asked for say so, in the plan and when they fail.
fn tell_whose(plan: &mut Plan, changes: &[Change]) {
    for change in changes {
        for target in mounted(&change.patch) {
            // The last of a place is the hook's: what wxc itself or the configuration has there came before.
            if let Some(step) = plan.mounts.iter_mut().rfind(|step| step.target == target) {
                step.reason = format!("{} asks for it: {}", change.plugin, phrase(&change.patch));
                step.asked_by = Some(change.plugin.clone());
            }
        }
    }
}

/// What all hooks together make of a configuration, and whose each change is.
pub(super) fn propose(
    host: &Host,
    name: &Name,
    container: &Container,
    all: &[Attached],
    event: Event,
    plan: &Plan,
) -> Result<(Container, Vec<Change>), Error> {
    let mut merge = Merge::new(host, name, container.clone());
    for wanted in attached::wanted(all, event, Step::Adjust) {
        let hook = wanted.hook;
        let context = context(plan, event, &Happening::default(), &hook.settings);
        match hook.plugin.adjust(&context, wanted.time()) {
            Ok(patches) => merge.add(hook, patches)?,
            Err(error) if wanted.aborts => return Err(error.into()),
            Err(error) => host.progress.note(&format!("a hook was left out: {}", chain(&error))),
        }
    }
    Ok(merge.finish())
}

/// All who want to judge do; whoever cannot refuses.
pub(super) fn judge(all: &[Attached], plan: &Plan, event: Event, changes: &[Change]) -> Result<(), Error> {
    attached::wanted(all, event, Step::Validate)
        .iter()
        .try_for_each(|wanted| verdict(wanted, plan, event, changes))
}

fn verdict(wanted: &Wanted<'_>, plan: &Plan, event: Event, changes: &[Change]) -> Result<(), Error> {
    let hook = wanted.hook;
    let context = context(plan, event, &Happening::default(), &hook.settings);
    match hook.plugin.validate(&context, changes, wanted.time())? {
        Verdict::Accept => Ok(()),
        Verdict::Refuse(why) => Err(Error::Invalid {
            message: format!(
                "{} refuses {} at {}: {why}",
                hook.name,
                plan.container.name,
                event::word(event)
            ),
            hint: format!(
                "`wxc config show {}` shows what is configured; the hook is attached there or in wxc.toml",
                plan.container.name
            ),
        }),
    }
}

/// What hooks are told besides the plan.
pub(super) fn told(container: &Container) -> Result<HooksPlan, Error> {
    let limits = if container.cgroup == Limits::default() { Vec::new() } else { limits(&container.cgroup)? };
    Ok(HooksPlan { labels: container.labels.clone(), limits, ..HooksPlan::default() })
}

/// As they are written in the container's file.
fn limits(cgroup: &Limits) -> Result<Vec<Setting>, Error> {
    #[derive(Serialize)]
    struct Part<'a> {
        cgroup: &'a Limits,
    }
    let unwritable = |why: toml_edit::ser::Error| Error::Invalid {
        message: format!("the limits cannot be written down for hooks: {why}"),
        hint: "a path in the configuration may not be UTF-8".into(),
    };
    let text = toml_edit::ser::to_string(&Part { cgroup }).map_err(unwritable)?;
    let said = edit::said(&text, "container.toml".as_ref())?;
    let limit = |(key, value): (String, String)| {
        let key = key.strip_prefix("cgroup.")?.to_owned();
        // As in TOML: a text in quotes, and a number or a list as it is.
        let bare = value.parse::<i64>().is_ok() || value.starts_with('[');
        let value = if bare { value } else { toml_edit::Value::from(value).to_string() };
        Some(Setting { key, value })
    };
    Ok(said.into_iter().filter_map(limit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::toml::parse;

    #[test]
    fn limits_are_told_as_they_are_written() {
        let text = "[cgroup]\nmemory.max = \"512M\"\npids.max = 10\nraw = [\"memory.oom.group=1\"]\n[labels]\ntier = \"shop\"\n";
        let told = told(&parse(text, "x".as_ref()).unwrap()).unwrap();
        let pairs: Vec<(&str, &str)> =
            told.limits.iter().map(|l| (l.key.as_str(), l.value.as_str())).collect();
        assert_eq!(
            pairs,
            [("memory.max", "\"512M\""), ("pids.max", "10"), ("raw", "[\"memory.oom.group=1\"]")]
        );
        assert_eq!(told.labels["tier"], "shop");
    }
}
