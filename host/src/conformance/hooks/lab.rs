//! What a case works with: a hook, a container that is not there, and the calls that were made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::contexts;
use crate::conformance::calls::loud;
use crate::conformance::report::{Step, Stop, here, told};
use crate::container::Host;
use crate::container::trial::{Stage, connect};
use crate::plugin::hook::Within;
use crate::plugin::hook::types::{Context, Event, OnFailure, Patch, Step as Does, Subscription, Verdict};
use crate::plugin::trial::{Calls, Trial};
use crate::plugin::{Hook as _, HookPlugin, PluginError, Root};
use crate::sys::rootfs::Edge;

/// The most that one call may take where the hook says nothing.
const LONGEST: u32 = 60_000;
/// A hook on trial.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) hook: HookPlugin,
    calls: Calls,
    pub(super) stage: Stage,
    /// What stands for the hook in the container.
    told: BTreeMap<String, String>,
    /// It may do everything that it asks for.
    pub(super) allowed: bool,
    /// A root file system to work on. Nothing runs in it.
    within: Within,
    wishes: Vec<Subscription>,
}

impl Lab {
    pub(super) fn new(
        trial: &Trial,
        host: Host,
        directory: PathBuf,
        told: BTreeMap<String, String>,
    ) -> Step<Self> {
        let (mut hook, calls) = trial.hook(directory.join("state"));
        hook.record_in(directory.join("records.log"));
        if trial.beyond.is_empty() {
            connect(&host, &mut hook).map_err(|error| here(self::told(&error)))?;
        }
        let stage = Stage::new(&host, &hook, &directory).map_err(|error| here(self::told(&error)))?;
        let wishes = hook.subscribe()?;
        let root = scratch(&directory.join("root")).map_err(|error| here(error.to_string()))?;
        let within = Within { root: Some(Ok(Arc::new(root))), running: None };
        Ok(Self { hook, calls, stage, told, allowed: trial.beyond.is_empty(), within, wishes })
    }

    pub(super) fn act(&self, context: &Context, budget: Duration) -> Result<Option<Vec<u8>>, PluginError> {
        self.hook.act(context, &self.within, budget)
    }

    pub(super) fn undo(&self, context: &Context, token: &[u8], budget: Duration) -> Result<(), PluginError> {
        self.hook.undo(context, token, &self.within, budget)
    }

    pub(super) fn wishes(&self) -> &[Subscription] {
        &self.wishes
    }

    /// When it wants to be called for this; a hook that does not want to cannot be tried.
    pub(super) fn events(&self, step: Does) -> Step<Vec<(Event, Duration)>> {
        let wishes = self.wishes.iter().filter(|wish| wish.step == step);
        let time = |wish: &Subscription| {
            let budget = if wish.budget == 0 { LONGEST } else { wish.budget.min(LONGEST) };
            Duration::from_millis(budget.into())
        };
        let events: Vec<_> = wishes.map(|wish| (wish.event, time(wish))).collect();
        if events.is_empty() {
            return Err(Stop::Skip(format!("it never wants to be called for `{}`", word(step))));
        }
        Ok(events)
    }

    /// Whether a failure at an event ends the operation.
    pub(super) fn aborts(&self, event: Event, step: Does) -> bool {
        let mut wishes = self.wishes.iter().filter(|wish| wish.step == step && wish.event == event);
        wishes.any(|wish| wish.on_failure == OnFailure::Abort)
    }

    /// What it is told of an ordinary container.
    pub(super) fn ordinary(&self, event: Event) -> Context {
        self.stage.context(event, contexts::detail(event), &self.told)
    }

    /// What it may be told and seldom is, each with a name.
    pub(super) fn odd(&self, event: Event) -> Vec<(&'static str, Context)> {
        contexts::odd(&self.ordinary(event))
    }

    /// What it proposes for an ordinary container, which only a hook without the settings that it needs refuses.
    pub(super) fn adjust(&self, event: Event, budget: Duration) -> Step<Vec<Patch>> {
        ordinary(self.hook.adjust(&self.ordinary(event), budget))
    }

    pub(super) fn validate(&self, event: Event, budget: Duration) -> Step<Verdict> {
        ordinary(self.hook.verdict(&self.ordinary(event), &[], budget))
    }

    /// Forgets the calls until now.
    pub(super) fn begin(&self) {
        drop(self.calls.take());
    }

    /// What was called since then that a call which has to be repeatable must not need.
    pub(super) fn loud(&self) -> BTreeSet<String> {
        // Its state is part of what it is told.
        loud(&self.calls, &["store.get", "store.keys"])
    }
}

/// The smallest tree that looks like a system's.
fn scratch(path: &Path) -> io::Result<Root> {
    for directory in ["etc", "root", "run", "usr/bin", "var/lib"] {
        fs::create_dir_all(path.join(directory))?;
    }
    fs::write(path.join("etc/hostname"), "web\n")?;
    fs::write(path.join("etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 web\n")?;
    fs::write(path.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    Ok(Root::new(fs::File::open(path)?.into(), Edge::Alone, None))
}

/// A failure of an ordinary call: something that the hook needs is missing here.
fn ordinary<T>(result: Result<T, PluginError>) -> Step<T> {
    match result {
        Err(PluginError::Failed { message, .. }) => Err(Stop::Skip(format!(
            "it refuses an ordinary container: {message} (give it the settings that it needs with --told KEY=VALUE)"
        ))),
        other => Ok(other?),
    }
}

fn word(step: Does) -> &'static str {
    match step {
        Does::Adjust => "adjust",
        Does::Validate => "validate",
        Does::Act => "act",
    }
}
