#![forbid(unsafe_code)]
//! What else this program can be than a command: found out first thing in `main`.

use std::ffi::OsStr;
use std::process::ExitCode;

use super::launch::{ATTACH, MONITOR};
use super::{attach, monitor};

/// What plays a role.
type Role = fn() -> ExitCode;

/// By how `argv[0]` begins.
const ROLES: &[(&str, Role)] = &[(MONITOR, monitor::main), (ATTACH, attach::main)];

/// Plays a role if this process was started for one. A command gets `None` and goes on.
///
/// The role is told by `argv[0]`, which only a process of wxc chooses so, and which is what an
/// administrator sees in a list of processes.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    ROLES.iter().find(|(role, _)| begins_with(&name, role)).map(|(_, main)| main())
}

fn begins_with(name: &OsStr, role: &str) -> bool {
    name.as_encoded_bytes().starts_with(role.as_bytes())
}
