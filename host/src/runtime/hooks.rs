#![forbid(unsafe_code)]
//! Hooks that are due while a monitor is there. Plugins are never called in a monitor: during a start whoever waits for it calls
//! them, as it has loaded them already; later, and where nobody waits any more, a short-lived process does. Whether anything is
//! due stands in the plan; where nothing is, nobody is asked and no process is made.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::launch::{CALLED_LIMIT, Called, Report, Stopped};
use super::monitor::Monitor;
use super::state::Exit;
use super::{RuntimeError, message, spawn};
use crate::plan::hooks::{Ending, Occasion};
use crate::sys::clone::Process;

/// What a process that calls hooks may take besides their budgets: for loading plugins, on a machine that is busy.
const GRACE: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const LONGEST: usize = 16 << 10;

/// What is known when init is there.
pub(super) fn of_init(monitor: &Monitor, init: &Process) -> Occasion {
    Occasion { pid: Some(init.pid.as_raw_nonzero().get()), peers: peers(monitor), ..Occasion::default() }
}

/// What is known when it is gone and its cgroups are not.
pub(super) fn ending(monitor: &Monitor, exit: Exit, reboot: bool) -> Occasion {
    let out_of_memory = monitor.snapshot.cgroups.ran_out_of_memory();
    let ending = Ending { code: exit.code, signal: exit.signal, out_of_memory, reboot };
    let own = std::process::id();
    let path = |fd: &OwnedFd| format!("/proc/{own}/fd/{}", fd.as_raw_fd()).into();
    let namespaces = monitor.namespaces.iter().map(|(name, fd)| ((*name).to_owned(), path(fd))).collect();
    Occasion { pid: monitor.snapshot.init, ending: Some(ending), peers: peers(monitor), namespaces }
}

/// Takes what was sent to the socket for init's word: whether it says that the system is up (sd_notify(3): lines, of which
/// others are for whom they concern).
pub(super) fn says_ready(socket: BorrowedFd<'_>) -> bool {
    let mut text = [0; 4096];
    while let Ok((length, _)) = rustix::net::recv(socket, &mut text[..], RecvFlags::DONTWAIT) {
        let text = text.get(..length).unwrap_or_default();
        if text.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            return true;
        }
    }
    false
}

fn peers(monitor: &Monitor) -> std::collections::BTreeMap<String, String> {
    monitor.snapshot.links.iter().map(|link| (link.inside.clone(), link.name.clone())).collect()
}

/// The same as a word of a command line.
pub(super) fn words(occasion: &Occasion) -> String {
    serde_json::to_string(occasion).unwrap_or_default()
}

/// Has the hooks of an event called; returns when they have ended. `root` is the container's, where it is not yet the root of
/// a process.
///
/// # Errors
/// One failed that may end the operation.
pub(super) fn call(
    monitor: &Monitor,
    event: &str,
    occasion: &Occasion,
    root: Option<BorrowedFd<'_>>,
) -> Result<(), RuntimeError> {
    if !monitor.plan().hooks.is_due(event) || !monitor.has_runner() {
        return Ok(());
    }
    if let Some(called) = by_starter(monitor, event, occasion, root) {
        return called;
    }
    let answer = memfd_create("wxc-hooks", MemfdFlags::CLOEXEC)
        .map_err(|error| RuntimeError::system("make room for the answer of hooks", error))?;
    let given: Vec<BorrowedFd<'_>> = std::iter::once(answer.as_fd()).chain(root).collect();
    let runner = monitor.runner(&[event, &words(occasion)], &given, false)?;
    let time = longest(monitor, event);
    let how = spawn::wait_within(&runner, time)
        .unwrap_or_else(|| format!("this one, after {} s without an end", time.as_secs()));
    if how == spawn::SUCCESS {
        return Ok(());
    }
    let mut text = vec![0; LONGEST];
    let length = rustix::io::pread(&answer, &mut text, 0).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    let message = if text.is_empty() { format!("the process that calls hooks ended by {how}") } else { text };
    Err(stopped(event, message, None))
}

fn stopped(event: &str, message: impl Into<String>, hint: Option<String>) -> RuntimeError {
    RuntimeError::Part { what: format!("go on after {event}"), message: message.into(), hint }
}

/// Has whoever waits for the start call them. `None` where nobody waits: none of them was called.
fn by_starter(
    monitor: &Monitor,
    event: &str,
    occasion: &Occasion,
    root: Option<BorrowedFd<'_>>,
) -> Option<Result<(), RuntimeError>> {
    let starter = monitor.starter.as_ref()?;
    let report = Report::Hooks { event: event.to_owned(), occasion: occasion.clone() };
    let json = serde_json::to_vec(&report).ok()?;
    let given: Vec<BorrowedFd<'_>> = root.into_iter().collect();
    message::send(starter, &json, &given).ok()?;
    // From here on some of them may have been called, so that nobody else can.
    Some(match answer(starter, longest(monitor, event)) {
        Ok(Called(None)) => Ok(()),
        Ok(Called(Some(Stopped { why, hint }))) => Err(stopped(event, why, hint)),
        Err(error) if error.raw_os_error() == Some(libc::ETIMEDOUT) => {
            Err(stopped(event, "whoever started the container does not answer any more", None))
        }
        Err(_) => Err(stopped(event, "whoever started the container ended while it called hooks", None)),
    })
}

fn answer(starter: &OwnedFd, time: Duration) -> io::Result<Called> {
    let mut fds = [PollFd::new(starter, PollFlags::IN)];
    let time = Timespec::try_from(time).ok();
    if rustix::io::retry_on_intr(|| poll(&mut fds, time.as_ref()))? == 0 {
        return Err(Errno::TIMEDOUT.into());
    }
    let message = message::receive(starter, CALLED_LIMIT)?.ok_or(Errno::CONNRESET)?;
    Ok(serde_json::from_slice(&message.data)?)
}

/// How long all calls of an event can take. Each is ended after its own time; this is for what nobody foresaw, because a monitor
/// that waits answers nobody.
fn longest(monitor: &Monitor, event: &str) -> Duration {
    let budgets: u64 = monitor.plan().hooks.due(event).map(|call| call.budget).sum();
    let times = monitor.plan().network.links.len().max(1);
    GRACE + Duration::from_millis(budgets) * 2 * u32::try_from(times).unwrap_or(1)
}

/// The same without waiting, for hooks that ask the monitor something meanwhile.
pub(super) fn call_aside(monitor: &Monitor, event: &str) {
    if !monitor.plan().hooks.is_due(event) || !monitor.has_runner() {
        return;
    }
    let occasion = Occasion { pid: monitor.snapshot.init, peers: peers(monitor), ..Occasion::default() };
    let called = memfd_create("wxc-hooks", MemfdFlags::CLOEXEC)
        .map_err(|error| RuntimeError::system("make room for the answer of hooks", error))
        .and_then(|answer| monitor.runner(&[event, &words(&occasion)], &[answer.as_fd()], true));
    if let Err(error) = called {
        tracing::warn!(event, "hooks: {error}");
    }
}

/// The same after the fact: what fails is in the hooks' log.
pub(super) fn afterwards(monitor: &Monitor, event: &str, occasion: &Occasion) {
    if let Err(error) = call(monitor, event, occasion, None) {
        tracing::warn!(event, "hooks: {error}");
    }
}
