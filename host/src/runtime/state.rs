#![forbid(unsafe_code)]
//! The states of a container, and the page about a running one that its run directory holds.
//!
//! ```text
//!  STOPPED ─► STARTING ─► RUNNING ─► STOPPING ─► STOPPED
//!                │          │  ▲
//!                ▼          ▼  │
//!             ABORTING   FREEZING ─► FROZEN ─► THAWED
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cgroup::Cgroups;
use super::net::HostLink;
use crate::plan::Identity;
use crate::sys::rootfs::Mark;

/// LXC's states, in its spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    Stopped,
    Starting,
    Running,
    Stopping,
    Aborting,
    Freezing,
    Frozen,
    Thawed,
}

/// Every state with its word.
pub const STATES: &[(State, &str)] = &[
    (State::Stopped, "STOPPED"),
    (State::Starting, "STARTING"),
    (State::Running, "RUNNING"),
    (State::Stopping, "STOPPING"),
    (State::Aborting, "ABORTING"),
    (State::Freezing, "FREEZING"),
    (State::Frozen, "FROZEN"),
    (State::Thawed, "THAWED"),
];

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = STATES.iter().find(|(state, _)| state == self).map_or("", |(_, word)| word);
        f.pad(word)
    }
}

impl std::str::FromStr for State {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        STATES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(word))
            .map(|(state, _)| *state)
            .ok_or_else(|| format!("there is no state {word:?}"))
    }
}

/// How the first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit status, unless a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The container asked for a new start (reboot(2) in a process namespace).
    pub reboot: bool,
}

impl Exit {
    /// As a shell would say it: 128 + the signal's number.
    #[must_use]
    pub fn status(self) -> i32 {
        match (self.code, self.signal) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => 255,
        }
    }
}

/// What `state.json` in the run directory says. Its monitor alone writes it; it is true as long as
/// that holds the lock beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub container: Identity,
    pub state: State,
    /// Of the monitor, as its starter sees it.
    pub monitor: i32,
    /// The first process, once there is one.
    pub init: Option<i32>,
    /// Seconds since 1970 when it began to run.
    pub started: Option<u64>,
    pub cgroups: Cgroups,
    /// The host's ends of its network devices.
    pub links: Vec<HostLink>,
    /// The root that its first process began with, where hooks may want it: the guest can change what `/` is to a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Mark>,
}
