#![forbid(unsafe_code)]
//! A command in a running container.
//!
//! ```text
//!  command                       joiner                          worker
//!  asks the monitor for
//!  init's pidfd and the plan
//!  clones ─────────────────────► into the v2 cgroup at birth,
//!                                into the v1 ones by itself
//!  sets limits ◄──── 1 Born ───►
//!                                enters all namespaces at once
//!                                clones ───────────────────────► a child of the command, inside
//!  keeps the pidfd ◄ 4 Entered ─ ends
//!  keeps the terminal ◄──────────────────────────── 5 Joined ───► makes a terminal
//!                                                                gives up what init lacks, too
//!  end of file ◄────────────────────────────────────────────────  executes the command
//!  relays terminal and signals, waits
//! ```
//!
//! It is the interpreter of a start with another list. Nothing in the container is asked what to do:
//! plan, process and cgroups come from the monitor. Nothing of the caller's goes in but the three
//! standard streams, and of these no terminal: it is replaced by one of the container's own, because
//! whoever has a terminal can type on it (CVE-2016-10124).

/// What the command finds in its environment.
mod environment;
/// Programs whose output is wanted.
pub(super) mod inside;
/// The clone, the conversation, the wait.
mod process;
/// The joiner's and the worker's list of operations.
mod program;
/// What is asked for.
mod request;
/// A joiner that executes a sealed image of this program.
mod sealed;
/// The caller's standard streams.
mod streams;
/// The container that is entered.
mod target;
/// As whom.
mod user;

pub use request::{AttachRequest, Elevated, TerminalUse};
pub(super) use sealed::main;

use std::os::fd::BorrowedFd;

use rustix::stdio::{stderr, stdin, stdout};

use super::terminal::Signals;
use super::{Exit, RuntimeError};
use process::Joined;
use program::Entry;
use streams::Streams;
use target::Target;

/// Runs a command in a container with the caller's standard streams, and says how it ended.
///
/// Signals that the caller gets are the command's: they are blocked in this thread meanwhile. The
/// command ends with this thread: a program with several threads calls it from one that lives as
/// long as the command may.
///
/// # Errors
/// When the command could not be executed; [`RuntimeError::exit_status`] says what a shell would
/// exit with then.
pub fn attach(request: &AttachRequest) -> Result<Exit, RuntimeError> {
    attach_with(request, [stdin(), stdout(), stderr()])
}

/// As [`attach`], with other standard streams than the caller's.
///
/// # Errors
/// As [`attach`].
pub fn attach_with(request: &AttachRequest, given: [BorrowedFd<'_>; 3]) -> Result<Exit, RuntimeError> {
    let target = Target::find(request)?;
    let streams = Streams::of(given, request.terminal);
    let namespaces = target.namespaces(request.namespaces.as_deref())?;
    // Before signals are blocked: the account files are the container's, and its file systems may
    // be slow for a purpose (FUSE). Ctrl-C ends this command then.
    let account = user::account(request, &target, namespaces)?;
    let environment = environment::of(request, &target.plan, &account, streams.any());
    let entry = Entry {
        argv: request.argv.clone(),
        cwd: request.cwd.clone(),
        elevated: request.elevated,
        cgroups: Vec::new(),
        plan: target.plan.clone(),
        account,
        environment,
        namespaces,
        streams,
    };
    let signals =
        Signals::catch().map_err(|error| RuntimeError::system("take care of the signals", error))?;
    match process::start(request, entry, &target, given, &signals)? {
        Joined::Runs(attached) => attached.accompany(streams, given, &signals),
        Joined::Interrupted(signal) => Ok(Exit { code: None, signal: Some(signal), reboot: false }),
    }
}

#[cfg(test)]
mod fixture {
    use crate::config::Container;
    use crate::plan::{Facts, Identity, Overrides, Plan, RootSource};

    /// A privileged container's, with variables of its own.
    pub(super) fn plan() -> Plan {
        let container = Container { privileged: true, ..Container::default() };
        let path = std::path::PathBuf::from("/var/lib/wxc");
        let identity =
            Identity { name: "web".into(), path: path.clone(), directory: path.clone(), run: path.clone() };
        let root = RootSource::Tree { pool: path, relative: "web/rootfs".into() };
        let overrides = Overrides {
            environment: [("HOME".to_owned(), "/srv".to_owned()), ("LANG".to_owned(), "C".to_owned())].into(),
            ..Overrides::default()
        };
        crate::plan::build(&container, identity, &Facts::ordinary(), root, &overrides).unwrap()
    }
}
