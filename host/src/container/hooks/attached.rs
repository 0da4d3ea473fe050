#![forbid(unsafe_code)]
//! Which hooks a container has: those of `wxc.toml`, and its own, which are stronger.

use std::collections::BTreeMap;
use std::time::Duration;

use super::can_abort;
use super::event;
use crate::config::hooks::{EXEC, Hook, Profile, Word};
use crate::config::{Container, Name};
use crate::container::{Error, Host, plugins, store};
use crate::plan::hooks::{HookCall, HookTarget};
use crate::plugin::hook::types::{Event, OnFailure, Step, Subscription};
use crate::plugin::{Hook as _, HookPlugin};

/// The most that one call may take where neither the plugin nor the host says less.
const LONGEST: u32 = 60_000;

/// A hook of a container: loaded, and asked when it wants to be called.
#[derive(Debug)]
pub(super) struct Attached {
    /// The plugin's full name.
    pub(super) name: String,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) plugin: HookPlugin,
    wishes: Vec<Subscription>,
    /// What the administrator says instead of the plugin.
    order: Option<i32>,
}

impl Attached {
    /// One that nobody attached, for a trial.
    pub(super) fn alone(plugin: HookPlugin) -> Self {
        let name = plugin.name().to_owned();
        Self { name, settings: BTreeMap::new(), plugin, wishes: Vec::new(), order: None }
    }
}

/// One call that somebody wants at an event.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) hook: &'a Attached,
    pub(super) aborts: bool,
    pub(super) budget: u32,
}

impl Wanted<'_> {
    pub(super) fn time(&self) -> Duration {
        Duration::from_millis(self.budget.into())
    }
}

/// Whether there is anything to do at all: a container without hooks pays for this and no more.
pub(super) fn any(host: &Host, container: &Container) -> bool {
    !container.hooks.plugins.is_empty()
        || !container.profiles.is_empty()
        || !host.settings.hooks.plugins.is_empty()
        || container.hooks.exec.points().any(|(_, lines)| !lines.is_empty())
}

/// The same without reading the configuration: where this says no, there are none.
pub(super) fn perhaps(host: &Host, name: &Name) -> bool {
    !host.settings.hooks.plugins.is_empty()
        || store::text(host, name).is_ok_and(|text| text.contains("hooks") || text.contains("profiles"))
}

/// What a container has that is switched on, by full name.
pub(super) fn names(host: &Host, container: &Container) -> Vec<String> {
    // A profile that there is not is an error when somebody wants to use the container.
    let profiles = container.profiles.iter().filter_map(|name| host.settings.profiles.get(name));
    let layers = layers(host, profiles, container);
    let all = merged(&layers);
    let on = all.into_iter().filter(|(_, hook)| hook.enabled != Some(false)).map(|(name, _)| name);
    let exec = &container.hooks.exec;
    let programs = exec.enabled && exec.points().any(|(_, lines)| !lines.is_empty());
    on.chain(programs.then(|| EXEC.to_owned())).collect()
}

/// Loads the plugins of a container and asks for their wishes.
///
/// # Errors
/// One is not there, not granted, or cannot say what it wants.
pub(super) fn load(host: &Host, name: &Name, container: &Container) -> Result<Vec<Attached>, Error> {
    let directory = host.layout.directory(name);
    let mut all = Vec::new();
    let profiles = container
        .profiles
        .iter()
        .map(|profile| host.settings.profiles.get(profile).ok_or_else(|| no_profile(host, name, profile)));
    let profiles: Vec<&Profile> = profiles.collect::<Result<_, _>>()?;
    for (plugin, hook) in merged(&layers(host, profiles.into_iter(), container)) {
        if hook.enabled == Some(false) {
            continue;
        }
        let loaded = plugins::load_hook(host, &plugin, &directory, host.progress.clone())?;
        let wishes = loaded.subscribe()?;
        let settings = hook.settings.into_iter().map(|(key, Word(value))| (key, value)).collect();
        all.push(Attached { name: plugin, settings, plugin: loaded, wishes, order: hook.order });
    }
    Ok(all)
}

fn no_profile(host: &Host, name: &Name, profile: &str) -> Error {
    let known: Vec<&str> = host.settings.profiles.keys().map(String::as_str).collect();
    let file = host.defaults.join("wxc.toml");
    let hint = match known.is_empty() {
        true => format!("write it as `[profiles.{profile}.hooks.NAME]` in {}", file.display()),
        false => format!("{} has {}", file.display(), known.join(", ")),
    };
    Error::Invalid { message: format!("{name} has the profile {profile:?}, and there is none"), hint }
}

/// What says something about hooks, weakest first.
fn layers<'a>(
    host: &'a Host,
    profiles: impl Iterator<Item = &'a Profile>,
    container: &'a Container,
) -> Vec<&'a BTreeMap<String, Hook>> {
    let profiles = profiles.map(|profile| &profile.hooks.plugins);
    std::iter::once(&host.settings.hooks.plugins).chain(profiles).chain([&container.hooks.plugins]).collect()
}

/// The full names, each with what holds for it.
fn merged(layers: &[&BTreeMap<String, Hook>]) -> BTreeMap<String, Hook> {
    let full = |(name, hook): (&String, &Hook)| (plugins::prefixed("hook", name), hook.clone());
    let mut all: BTreeMap<String, Hook> = BTreeMap::new();
    for (name, hook) in layers.iter().copied().flatten().map(full) {
        let held = all.entry(name).or_default();
        held.enabled = hook.enabled.or(held.enabled);
        held.order = hook.order.or(held.order);
        held.settings.extend(hook.settings);
    }
    all
}

/// Who wants to be called at an event for this, in the order in which it happens.
pub(super) fn wanted(all: &[Attached], event: Event, step: Step) -> Vec<Wanted<'_>> {
    let mut found = Vec::new();
    for hook in all {
        for wish in hook.wishes.iter().filter(|wish| wish.event == event && wish.step == step) {
            let budget = if wish.budget == 0 { LONGEST } else { wish.budget.min(LONGEST) };
            let aborts = wish.on_failure == OnFailure::Abort;
            let order = hook.order.unwrap_or(wish.order);
            found.push((order, Wanted { hook, aborts, budget }));
        }
    }
    found.sort_by(|(a, first), (b, second)| a.cmp(b).then_with(|| first.hook.name.cmp(&second.hook.name)));
    found.into_iter().map(|(_, wanted)| wanted).collect()
}

/// Every call of `act`, and every program, that is due later: for the plan. Programs come last, as the administrator's own.
///
/// # Errors
/// Programs are named, and the administrator does not want any.
pub(super) fn calls(host: &Host, container: &Container, all: &[Attached]) -> Result<Vec<HookCall>, Error> {
    let events = all.iter().flat_map(|hook| &hook.wishes).filter(|wish| wish.step == Step::Act);
    let mut words: Vec<&str> = events.map(|wish| event::word(wish.event)).collect();
    words.extend(container.hooks.exec.points().map(|(point, _)| point));
    // In the order in which they happen, which is how people read a plan.
    words.sort_by_key(|word| event::place(word));
    words.dedup();
    let mut calls = Vec::new();
    for word in words {
        let happening = event::of(word).map(|event| wanted(all, event, Step::Act)).unwrap_or_default();
        calls.extend(happening.into_iter().map(|wanted| HookCall {
            event: word.to_owned(),
            target: HookTarget::Plugin {
                name: wanted.hook.name.clone(),
                settings: wanted.hook.settings.clone(),
            },
            aborts: wanted.aborts && can_abort(word),
            budget: wanted.budget.into(),
        }));
        calls.extend(programs(host, container, word)?);
    }
    Ok(calls)
}

fn programs(host: &Host, container: &Container, event: &str) -> Result<Vec<HookCall>, Error> {
    let exec = &container.hooks.exec;
    let lines =
        exec.points().filter(|(point, _)| exec.enabled && *point == event).flat_map(|(_, lines)| lines);
    let call = |line: &String| HookCall {
        event: event.to_owned(),
        target: HookTarget::Program { line: line.clone(), version: exec.version },
        aborts: can_abort(event),
        budget: exec.timeout.0,
    };
    let calls: Vec<HookCall> = lines.map(call).collect();
    if calls.is_empty() || host.settings.hooks.exec.enabled {
        return Ok(calls);
    }
    Err(Error::Invalid {
        message: format!(
            "[hooks.{EXEC}] of the container names programs of the host, and the administrator does not allow that"
        ),
        hint: format!(
            "they would run unconfined: allow it with `[hooks.{EXEC}] enabled = true` in {}, or use a hook plugin",
            host.defaults.join("wxc.toml").display()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(enabled: Option<bool>, order: Option<i32>, settings: &[(&str, &str)]) -> Hook {
        let settings = settings.iter().map(|(key, value)| ((*key).into(), Word((*value).into()))).collect();
        Hook { enabled, order, settings }
    }

    #[test]
    fn a_container_is_stronger_key_by_key() {
        let global = BTreeMap::from([
            ("policy".to_owned(), hook(None, Some(5), &[("a", "1"), ("b", "1")])),
            ("quiet".to_owned(), hook(Some(false), None, &[])),
        ]);
        let own = BTreeMap::from([
            ("hook-policy".to_owned(), hook(Some(false), None, &[("b", "2")])),
            ("quiet".to_owned(), hook(Some(true), None, &[])),
        ]);
        let profile =
            BTreeMap::from([("policy".to_owned(), hook(Some(true), None, &[("a", "3"), ("b", "3")]))]);
        let all = merged(&[&global, &profile, &own]);
        assert_eq!(all["hook-policy"], hook(Some(false), Some(5), &[("a", "3"), ("b", "2")]));
        assert_eq!(all["hook-quiet"].enabled, Some(true));
    }
}
