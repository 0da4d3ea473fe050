#![forbid(unsafe_code)]
//! The words of the control socket: one JSON document per packet, an answer for each request.
//!
//! Who may speak is decided by the kernel: the socket is in a directory of its owner's, and the
//! other side's user must be the monitor's or root (`SO_PEERCRED`).

use serde::{Deserialize, Serialize};

use super::RuntimeError;
use super::cgroup::Cgroups;
use super::net::HostLink;
use super::state::{Exit, State};

/// Longest request in bytes; longer ones end the connection.
pub(super) const REQUEST_LIMIT: usize = 4096;
/// Longest answer in bytes.
pub(super) const REPLY_LIMIT: usize = 128 << 10;
/// Most connections at a time.
pub(super) const CONNECTIONS: usize = 256;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    State,
    Info,
    /// Comes with an fd: the running plan in sealed memory.
    Plan,
    /// What it takes to enter: fds are the first process's pidfd and the running plan.
    Enter,
    /// Ask the first process to end, with the plan's signal or another.
    Stop {
        signal: Option<i32>,
    },
    /// Ask it to start again.
    Reboot,
    /// Any signal to the first process.
    Signal {
        number: i32,
    },
    /// End all of its processes.
    Kill,
    Freeze,
    Unfreeze,
    /// Freeze for as long as this connection lives: whoever asks may be killed, and must not leave the
    /// container frozen. One that somebody froze already stays so.
    Hold,
    /// Comes with an fd: the root of the container's disk, whose file system the caller is about to freeze. It is thawed
    /// when this connection ends, or by [`Request::Thaw`].
    Quiet,
    /// Let go of what this connection has frozen; answered when it goes on.
    Thaw,
    /// Comes with an fd: for tty 0 a stream of the console, else the terminal itself, this
    /// connection's as long as it lives. `None`: the first free one.
    Console {
        tty: Option<u32>,
    },
    /// The size of the console's window.
    Resize {
        rows: u16,
        columns: u16,
    },
    /// What is kept of the console, in sealed memory.
    ConsoleLog {
        clear: bool,
    },
    /// Every change of state from now on is sent as [`Reply::Event`].
    Subscribe,
}

impl Request {
    /// Reads one packet. What does not come back the same when it is written again is refused: serde
    /// itself lets a request without fields have any.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn parse(packet: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(packet).map_err(|error| error.to_string())?;
        let request = Self::deserialize(&value).map_err(|error| error.to_string())?;
        match serde_json::to_value(&request) {
            Ok(again) if again == value => Ok(request),
            _ => Err("it has fields that the request does not take, or lacks some".to_owned()),
        }
    }
}

/// What the monitor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    Done,
    State {
        state: State,
    },
    Info(Info),
    Enter(Entrance),
    /// The signal was sent; `handled`: the first process has a handler for it.
    Stopping {
        signal: i32,
        handled: bool,
    },
    Console {
        tty: u32,
    },
    Event(Event),
    Error {
        error: RuntimeError,
    },
}

/// What is known of a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    pub name: String,
    pub state: State,
    /// The first process, as the host sees it.
    pub init: i32,
    pub monitor: i32,
    /// Seconds since 1970 when it began to run.
    pub started: Option<u64>,
    pub cgroups: Cgroups,
    /// The host's ends of its network devices.
    pub links: Vec<HostLink>,
}

/// What it takes to enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrance {
    pub init: i32,
    pub cgroups: Cgroups,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub state: State,
    /// With [`State::Stopping`] and [`State::Stopped`], if it ever ran.
    pub exit: Option<Exit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_people_would_write_them() {
        let request = Request::Console { tty: None };
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(json, r#"{"request":"console","tty":null}"#);
        assert_eq!(Request::parse(json.as_bytes()), Ok(request));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "{}", r#"{"request":"halt"}"#, r#"{"request":"state","x":1}"#, "[[[["] {
            assert!(Request::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
