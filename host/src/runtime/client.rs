#![forbid(unsafe_code)]
//! The command's side of the control socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::control::{Entrance, Event, Info, REPLY_LIMIT, Reply, Request};
use super::state::{Snapshot, State};
use super::{RuntimeError, handover, message, run_directory};
use crate::plan::Plan;

/// A connection to a container's monitor.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
}

/// What the run directory says about a container, without asking its monitor; `None`: it does not
/// run. Cheap enough for a thousand of them.
#[must_use]
pub fn peek(run: &Path) -> Option<Snapshot> {
    let snapshot = run_directory::read(run)?;
    run_directory::is_held(run).then_some(snapshot)
}

impl Client {
    /// Connects to the monitor whose run directory this is; `name` is for messages.
    ///
    /// # Errors
    /// [`RuntimeError::NotRunning`] when there is none.
    pub fn connect(run: &Path, name: &str) -> Result<Self, RuntimeError> {
        match run_directory::connect_to(run) {
            Ok(socket) => Ok(Self { socket }),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Err(RuntimeError::NotRunning { name: name.to_owned() })
            }
            Err(error) => Err(RuntimeError::system(format!("reach the monitor of {name}"), error)),
        }
    }

    /// Asks anything; the answer with its fds.
    ///
    /// # Errors
    /// What the monitor says is wrong, or that it is gone.
    pub fn ask(&self, request: &Request) -> Result<(Reply, Vec<OwnedFd>), RuntimeError> {
        self.ask_with(request, &[])
    }

    fn ask_with(
        &self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), RuntimeError> {
        let json = serde_json::to_vec(request).unwrap_or_default();
        message::send(&self.socket, &json, fds).map_err(|_| RuntimeError::MonitorGone)?;
        match self.hear()? {
            (Reply::Error { error }, _) => Err(error),
            answer => Ok(answer),
        }
    }

    fn hear(&self) -> Result<(Reply, Vec<OwnedFd>), RuntimeError> {
        let message = message::receive(&self.socket, REPLY_LIMIT)
            .map_err(|error| RuntimeError::system("listen to the monitor", error))?
            .ok_or(RuntimeError::MonitorGone)?;
        let reply = serde_json::from_slice(&message.data).map_err(|error| RuntimeError::Protocol {
            peer: "the monitor".to_owned(),
            message: error.to_string(),
        })?;
        Ok((reply, message.fds))
    }

    /// # Errors
    /// As [`Client::ask`].
    pub fn state(&self) -> Result<State, RuntimeError> {
        match self.ask(&Request::State)?.0 {
            Reply::State { state } => Ok(state),
            other => Err(unexpected(&other)),
        }
    }

    /// # Errors
    /// As [`Client::ask`].
    pub fn info(&self) -> Result<Info, RuntimeError> {
        match self.ask(&Request::Info)?.0 {
            Reply::Info(info) => Ok(info),
            other => Err(unexpected(&other)),
        }
    }

    /// The plan that it was started with.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn plan(&self) -> Result<Plan, RuntimeError> {
        let (_, fds) = self.ask(&Request::Plan)?;
        let memory = fds.first().ok_or(RuntimeError::MonitorGone)?;
        handover::open::<super::launch::Handover>(memory.as_fd()).map(|handover| handover.plan)
    }

    /// What it takes to enter: the first process's pidfd, and the running plan.
    pub(super) fn enter(&self) -> Result<(Entrance, OwnedFd, Plan), RuntimeError> {
        let (reply, fds) = self.ask(&Request::Enter)?;
        let Reply::Enter(entrance) = reply else { return Err(unexpected(&reply)) };
        let [pidfd, memory] = <[OwnedFd; 2]>::try_from(fds).map_err(|_| RuntimeError::Protocol {
            peer: "the monitor".to_owned(),
            message: "it sent no process to enter".to_owned(),
        })?;
        let handover = handover::open::<super::launch::Handover>(memory.as_fd())?;
        Ok((entrance, pidfd, handover.plan))
    }

    /// Asks the first process to end. The signal that was sent, and whether it has a handler for it:
    /// without one the first process of a namespace ignores it.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn stop(&self, signal: Option<i32>) -> Result<(i32, bool), RuntimeError> {
        match self.ask(&Request::Stop { signal })?.0 {
            Reply::Stopping { signal, handled } => Ok((signal, handled)),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for any of the requests that are simply done: kill, freeze, resize, ...
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn order(&self, request: &Request) -> Result<(), RuntimeError> {
        self.ask(request).map(drop)
    }

    /// Has the monitor thaw the file system of `root` when this connection ends, or at [`Request::Thaw`]: to be asked before
    /// it is frozen.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn quiet(&self, root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
        self.ask_with(&Request::Quiet, &[root]).map(drop)
    }

    /// A terminal: its number, and a stream of the console (tty 0) or the master of a terminal that
    /// is the caller's as long as this connection lives.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn console(&self, tty: Option<u32>) -> Result<(u32, OwnedFd), RuntimeError> {
        match self.ask(&Request::Console { tty })? {
            (Reply::Console { tty }, fds) => {
                let fd = fds.into_iter().next().ok_or(RuntimeError::MonitorGone)?;
                Ok((tty, fd))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// What is kept of the console.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn console_log(&self, clear: bool) -> Result<Vec<u8>, RuntimeError> {
        let (_, fds) = self.ask(&Request::ConsoleLog { clear })?;
        let memory = fds.first().ok_or(RuntimeError::MonitorGone)?;
        handover::read(memory.as_fd())
    }

    /// Changes of state from now on, the present one first.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn subscribe(self) -> Result<Events, RuntimeError> {
        match self.ask(&Request::Subscribe)?.0 {
            Reply::Event(event) => Ok(Events { client: self, first: Some(event) }),
            other => Err(unexpected(&other)),
        }
    }
}

/// Changes of state, as they come.
#[derive(Debug)]
pub struct Events {
    client: Client,
    first: Option<Event>,
}

impl Events {
    /// The next change; `None` when the monitor has ended, or nothing came within `timeout`.
    ///
    /// # Errors
    /// When the monitor says something else.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, RuntimeError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if !readable(self.client.socket.as_fd(), timeout)? {
            return Ok(None);
        }
        match self.client.hear() {
            Ok((Reply::Event(event), _)) => Ok(Some(event)),
            Ok((other, _)) => Err(unexpected(&other)),
            Err(RuntimeError::MonitorGone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// For callers with a loop of their own.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.client.socket.as_fd()
    }
}

fn readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<bool, RuntimeError> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let count = rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))
        .map_err(|error| RuntimeError::system("wait for the monitor", error))?;
    Ok(count > 0)
}

fn unexpected(reply: &Reply) -> RuntimeError {
    RuntimeError::Protocol { peer: "the monitor".to_owned(), message: format!("{reply:?}") }
}
