#![forbid(unsafe_code)]
//! What else this program can be than a command: found out first thing in `main`.

use std::ffi::OsStr;
use std::process::ExitCode;

use super::launch::MONITOR;
use super::monitor;

/// Plays a role if this process was started for one. A command gets `None` and goes on.
///
/// The role is told by `argv[0]`, which only a process of wxc chooses so, and which is what an
/// administrator sees in a list of processes.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    begins_with(&name, MONITOR).then(monitor::main)
}

fn begins_with(name: &OsStr, role: &str) -> bool {
    name.as_encoded_bytes().starts_with(role.as_bytes())
}
