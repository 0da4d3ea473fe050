#![forbid(unsafe_code)]
//! Hooks: who is asked what, when something happens to a container.
//!
//! ```text
//! attached   wxc.toml and container.toml ──► plugins, each with its wishes, in order
//! shape      adjust ──► merge ──► the plan is built anew ──► validate
//! act        at an event: plugins, and programs of the host; what they return to be undone with is written down (ledger)
//! ```
//!
//! The plan carries which calls are due, so that neither a monitor nor whoever runs later has to ask again. A container
//! without hooks loads nothing and writes nothing.

/// Calling what is due.
mod act;
/// Which hooks a container has.
mod attached;
/// What a hook reaches outside.
pub(super) mod connect;
/// What a hook is told.
mod context;
/// The end of an operation: complete, or not.
mod ending;
/// The words of events.
mod event;
/// Programs of the host, as LXC runs them.
mod exec;
/// What a hook says.
mod heard;
/// What has to be undone.
mod ledger;
/// What was called, for people.
mod log;
/// Changes of several plugins in one configuration.
mod merge;
/// Those of a start, for the runtime.
mod of_start;
/// Events that are no part of a start.
mod outside;
/// Changes that are to stay, in the container's file.
mod persist;
/// A change in words.
mod phrase;
/// What of the container can be reached.
mod reach;
/// From a configuration to a plan that all hooks agreed to.
mod shape;
/// A hook on trial.
pub(super) mod trial;

use super::{Error, Host};
use crate::config::{Container, Name};

pub(crate) use exec::INSIDE;

pub(super) use act::{Happening, act, occur};
pub(super) use ending::{completed, failed};
pub(super) use ledger::{forget, settle};
pub(super) use of_start::OfStart;
pub(super) use outside::{after, after_change, after_in, before, configured, made, perhaps};
pub(super) use shape::shape;

/// The hooks that a container has, for people: full names of plugins, and `exec` for programs of the host.
pub(super) fn names(host: &Host, container: &Container) -> Vec<String> {
    attached::names(host, container)
}

/// That the hooks of a container can be asked.
///
/// # Errors
/// One is not there or not granted.
pub(super) fn usable(host: &Host, name: &Name, container: &Container) -> Result<(), Error> {
    if attached::any(host, container) { attached::load(host, name, container).map(drop) } else { Ok(()) }
}

/// Events whose failure can still end the operation, because it has not happened yet or is taken back.
const BEFORE_THE_FACT: &[&str] = &[
    "create",
    "pre-start",
    "network-up",
    "pre-mount",
    "mount",
    "autodev",
    "start",
    "start-host",
    "clone",
    "snapshot",
    "destroy",
];

/// Whether a failure of a call at this event can end the operation.
fn can_abort(event: &str) -> bool {
    BEFORE_THE_FACT.contains(&event)
}
