#![forbid(unsafe_code)]
//! What is due when a container is gone, or wants to start again: done by a short-lived process that
//! the monitor starts, because plugins are never called in a monitor.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};

use super::hooks::Happening;
use super::start::StartRequest;
use super::{Error, Host, destroy, ephemeral, hooks, journal, plugins, start, store};
use crate::config::Name;
use crate::plan::hooks::Occasion;
use crate::plan::{Plan, ReleaseStep};
use crate::plugin::storage::Storage as _;
use crate::runtime;
use crate::sys::trusted;

/// First argument of a process in this role; nobody types it.
pub const ROLE: &str = "@release";

/// The arguments that the monitor gives to the process: enough to find this host again.
#[must_use]
pub fn arguments(host: &Host) -> Vec<String> {
    let mut arguments = vec![ROLE.to_string()];
    arguments.extend(host.again.iter().cloned());
    // It begins where the monitor is: for a user without privileges that is a namespace in which root is nobody.
    arguments.extend(trusted::noted().into_iter().flat_map(|words| ["--roots".to_owned(), words]));
    arguments
}

/// What the monitor asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The container has stopped.
    Release,
    /// The same, and it is going to start again.
    Pause,
    /// It asked for a new start.
    Restart,
    /// Hooks of this event.
    Hooks(&'static str),
}

/// Events at which a monitor has hooks called.
const EVENTS: &[&str] =
    &["network-up", "pre-mount", "mount", "autodev", "start", "start-host", "ready", "stop", "network-down"];

impl Due {
    /// From the last argument.
    #[must_use]
    pub fn from_word(word: &OsString) -> Option<Self> {
        match word.to_str()? {
            "release" => Some(Self::Release),
            "pause" => Some(Self::Pause),
            "restart" => Some(Self::Restart),
            word => EVENTS.iter().find(|event| **event == word).map(|event| Self::Hooks(event)),
        }
    }
}

/// Reads the plan that the container ran with, as the monitor passes it.
///
/// # Errors
/// It is no plan.
pub fn read_plan(fd: &OwnedFd) -> Result<Plan, Error> {
    Ok(runtime::plan_handed_over(fd.as_fd())?)
}

/// Does what is due; `root` is the container's, where only its first process has it.
///
/// # Errors
/// A step failed; later ones were tried all the same.
pub fn run(
    host: &Host,
    plan: &Plan,
    due: Due,
    occasion: &Occasion,
    root: Option<OwnedFd>,
) -> Result<(), Error> {
    let name: Name = plan.container.name.parse()?;
    if occasion.ending.is_some() && !plan.hooks.calls.is_empty() {
        // It ran, so its start was complete, whether or not whoever started it lived to say so.
        hooks::forget(&plan.container.directory)?;
    }
    match due {
        Due::Restart => return restart(host, &name),
        Due::Hooks(event) => return hooks::occur(host, plan, event, occasion, root),
        Due::Release | Due::Pause => {}
    }
    let (storage, rest): (Vec<_>, Vec<_>) =
        plan.release.iter().partition(|step| matches!(step, ReleaseStep::Storage { .. }));
    let mut result = Ok(());
    for step in storage {
        if let ReleaseStep::Storage { plugin, volume } = step {
            result = result.and(detach(host, plugin, volume));
        }
    }
    // Everything is released, and the directory of an ephemeral container is still there.
    result = result.and(hooks::act(host, plan, "post-stop", &Happening::of(occasion)));
    for step in rest {
        let done = match step {
            ReleaseStep::Storage { .. } => Ok(()),
            ReleaseStep::Destroy if due == Due::Pause => ephemeral::forget(host, &name),
            ReleaseStep::Destroy => destroy::ended(host, &name),
        };
        result = result.and(done);
    }
    result
}

/// Starts it again. One that is ephemeral and does not start has stopped.
fn restart(host: &Host, name: &Name) -> Result<(), Error> {
    let _claim = journal::claim(host, &[name], "restart")?;
    let started = start::start_locked(host, name, &StartRequest::default()).map(drop);
    if started.is_err() && store::load(host, name).is_ok_and(|container| container.ephemeral) {
        destroy::destroy_locked(host, name, destroy::DestroyOptions::ALL)?;
    }
    started
}

/// Lets go of a volume's device, where it has one.
fn detach(host: &Host, plugin: &str, volume: &str) -> Result<(), Error> {
    let storage = plugins::load_storage(host, plugin)?;
    Ok(storage.detach(&plugins::operation("detach"), volume)?)
}
