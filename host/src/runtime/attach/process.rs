#![forbid(unsafe_code)]
//! The clone, the conversation with the joiner and the worker, and the wait.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::SocketType;
use rustix::process::{WaitId, WaitIdOptions};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use wxc_child::report::Failure;
use wxc_child::sync::Point;

use super::AttachRequest;
use super::program::Entry;
use super::sealed;
use super::streams::Streams;
use super::target::Target;
use crate::plan::ResourceLimit;
use crate::runtime::program::Compiled;
use crate::runtime::state::Exit;
use crate::runtime::terminal::{Session, Signals};
use crate::runtime::{RuntimeError, message, spawn};
use crate::sys::clone::{self, Process};
use crate::sys::signal;

/// A command that runs.
#[derive(Debug)]
pub(super) struct Attached {
    process: OwnedFd,
    /// The master of its terminal.
    terminal: Option<OwnedFd>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Joined {
    Runs(Attached),
    /// A signal came before the command was executed.
    Interrupted(i32),
}

/// Makes the joiner and accompanies it until the command is executed.
pub(super) fn start(
    request: &AttachRequest,
    mut entry: Entry,
    target: &Target,
    given: [BorrowedFd<'_>; 3],
    signals: &Signals,
) -> Result<Joined, RuntimeError> {
    let socket =
        |error| RuntimeError::system("make a socket for the process that enters the container", error);
    let (ours, theirs) = message::pair(SocketType::SEQPACKET).map_err(socket)?;
    // Root of a container with the host's ids could write to the file that our process executes
    // while it is inside (CVE-2019-5736): only a sealed image goes there.
    let sealed = target.plan.ids.is_none();
    let mut files = Vec::new();
    if !entry.elevated.cgroup {
        (entry.cgroups, files) = target.cgroups.entrances(sealed).map_err(cgroups)?.into_iter().unzip();
    }
    let program = entry.compile()?;
    let root = root(target, &entry)?;
    let mut fds = vec![root.as_fd(), target.pidfd.as_fd()];
    let joiner = if sealed {
        fds.extend(files.iter().map(|file| file.as_fd()));
        sealed::spawn(request, &entry, theirs.as_fd(), &fds, given)?
    } else {
        fds.extend(given);
        fds.extend(files.iter().map(|file| file.as_fd()));
        let cgroup =
            if entry.elevated.cgroup { None } else { target.cgroups.v2_entrance().map_err(cgroups)? };
        let numbers: Vec<i32> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        program
            .with(&numbers, theirs.as_raw_fd(), |program| spawn_in(cgroup.as_ref(), program))
            .map_err(|error| RuntimeError::system("make a process in the container's cgroup", error))?
    };
    drop(theirs);
    let limits = &target.plan.limits;
    let raw = entry.streams.raw(given);
    let size = tcgetwinsize(entry.streams.text(given)).ok();
    Conversation { program: &program, joiner, worker: None, terminal: None, raw, size, limits, signals }
        .hold(&ours)
}

/// In the container's v2 cgroup. A caller without root may own the container and yet not the way to
/// its cgroup, e.g. from another login session (cgroups(7), "Delegation"): no reason to stay outside.
fn spawn_in(cgroup: Option<&OwnedFd>, program: &wxc_child::Program<'_>) -> io::Result<Process> {
    let spawned = clone::spawn(program, 0, cgroup.map(|cgroup| cgroup.as_fd()));
    match spawned {
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied
                && cgroup.is_some()
                && !rustix::process::geteuid().is_root() =>
        {
            tracing::warn!("the command stays outside of the container's cgroup and its limits: {error}");
            clone::spawn(program, 0, None)
        }
        other => other,
    }
}

/// Where the terminal is made.
fn root(target: &Target, entry: &Entry) -> Result<OwnedFd, RuntimeError> {
    if entry.namespaces & libc::CLONE_NEWNS != 0 {
        return target.root();
    }
    super::target::directory("/").map_err(|error| RuntimeError::system("open /", error))
}

fn cgroups(error: crate::runtime::cgroup::CgroupError) -> RuntimeError {
    RuntimeError::part("enter the container's cgroups", &error, error.hint())
}

struct Conversation<'a> {
    program: &'a Compiled,
    joiner: Process,
    worker: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    /// The caller's terminal will be in raw mode.
    raw: bool,
    /// Of the caller's window.
    size: Option<Winsize>,
    limits: &'a [ResourceLimit],
    signals: &'a Signals,
}

impl Conversation<'_> {
    fn hold(mut self, socket: &OwnedFd) -> Result<Joined, RuntimeError> {
        let outcome = self.until_executed(socket);
        let interrupted = match &outcome {
            Ok(None) => None,
            Ok(signal) => *signal,
            Err(_) => Some(0),
        };
        if interrupted.is_some() {
            for process in self.worker.iter().chain([&self.joiner.pidfd]) {
                signal::send(process.as_fd(), libc::SIGKILL).ok();
            }
        }
        // The joiner has done its work and ended; whatever failed, nothing stays behind.
        spawn::wait(&self.joiner);
        if let (Some(_), Some(worker)) = (interrupted, &self.worker) {
            wait_for(worker.as_fd());
        }
        if let Some(signal) = outcome? {
            return Ok(Joined::Interrupted(signal));
        }
        let process = self.worker.ok_or_else(killed)?;
        Ok(Joined::Runs(Attached { process, terminal: self.terminal }))
    }

    /// `Some`: a signal that wants this to end.
    fn until_executed(&mut self, socket: &OwnedFd) -> Result<Option<i32>, RuntimeError> {
        let mut joined = false;
        loop {
            if let Some(signal) = self.wait(socket, joined)? {
                return Ok(Some(signal));
            }
            let message = message::receive(socket, Failure::SIZE)
                .map_err(|error| RuntimeError::system("listen to the process that enters", error))?;
            let Some(message) = message else {
                // End of file: executed, or ended by somebody.
                return if joined { Ok(None) } else { Err(killed()) };
            };
            if let Some(failure) = Failure::decode(&message.data) {
                if failure.skipped {
                    continue;
                }
                return Err(self.program.explain(failure));
            }
            match Point::decode(&message.data) {
                Some(Point::Born) => spawn::limit(self.joiner.pid, self.limits)?,
                Some(Point::Entered) => {
                    self.worker = message.fds.into_iter().next();
                    // Its sender has ended.
                    continue;
                }
                Some(Point::Joined) => {
                    self.terminal = message.fds.into_iter().next();
                    if let (Some(master), false) = (&self.terminal, self.raw) {
                        leave_lines_alone(master).ok();
                    }
                    // Before the answer, after which the command may ask for it.
                    if let (Some(master), Some(size)) = (&self.terminal, self.size) {
                        tcsetwinsize(master, size).ok();
                    }
                    joined = true;
                }
                _ => return Err(unexpected("a message out of order")),
            }
            message::send(socket, &message.data, &[])
                .map_err(|error| RuntimeError::system("answer the process that enters", error))?;
        }
    }

    /// Until there is a message; or a signal, which would otherwise wait as long as the kernel
    /// makes the joiner wait. Who has joined may have executed the command: that gets the signal.
    fn wait(&self, socket: &OwnedFd, joined: bool) -> Result<Option<i32>, RuntimeError> {
        loop {
            let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::new(self.signals, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut fds, None))
                .map_err(|error| RuntimeError::system("wait for the process that enters", error))?;
            let [message, _] = fds.map(|fd| !fd.revents().is_empty());
            if message {
                return Ok(None);
            }
            while let Some(number) = self.signals.next() {
                match &self.worker {
                    Some(worker) if joined => hand_on(worker.as_fd(), number),
                    _ if ENDS.contains(&number) => return Ok(Some(number)),
                    _ => {}
                }
            }
        }
    }
}

/// Signals that end a command which does nothing about them.
const ENDS: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];

/// What the keys of a terminal send goes to everything in its foreground; the command is the first
/// of its session, so its group is what it has started there.
fn hand_on(process: BorrowedFd<'_>, number: i32) {
    let all = matches!(number, libc::SIGINT | libc::SIGQUIT);
    let send = if all { signal::send_to_group } else { signal::send };
    if number != libc::SIGWINCH {
        // It may have ended just now.
        send(process, number).ok();
    }
}

/// A terminal of the caller's that is not in raw mode shows keys and ends lines by itself.
fn leave_lines_alone(master: &OwnedFd) -> rustix::io::Result<()> {
    let mut modes = tcgetattr(master)?;
    modes.output_modes.remove(OutputModes::OPOST);
    modes.local_modes.remove(LocalModes::ECHO);
    tcsetattr(master, OptionalActions::Now, &modes)
}

fn killed() -> RuntimeError {
    RuntimeError::Part {
        what: "enter the container".to_owned(),
        message: "the process that was to execute the command was killed".to_owned(),
        hint: Some("the kernel's log (`dmesg`) may say why, e.g. a limit of memory".to_owned()),
    }
}

fn unexpected(message: &str) -> RuntimeError {
    RuntimeError::Protocol {
        peer: "the process that enters the container".to_owned(),
        message: message.to_owned(),
    }
}

impl Attached {
    /// The command's process.
    pub(super) fn into_process(self) -> OwnedFd {
        self.process
    }

    /// Until it ends.
    pub(super) fn accompany(
        self,
        streams: Streams,
        given: [BorrowedFd<'_>; 3],
        signals: &Signals,
    ) -> Result<Exit, RuntimeError> {
        let fail = |error| RuntimeError::system("accompany the command", error);
        let process = self.process.as_fd();
        let mut on_signal = |number| {
            hand_on(process, number);
            true
        };
        match &self.terminal {
            Some(master) => {
                let mut on_resize = |size| {
                    tcsetwinsize(master, size).ok();
                };
                let mut session = Session {
                    signals,
                    input: streams.keys(given),
                    raw: streams.raw(given),
                    output: streams.text(given),
                    remote: master.as_fd(),
                    end: Some(process),
                    escape: None,
                    // Ctrl-D, as a person would.
                    farewell: Some(4),
                    on_resize: &mut on_resize,
                    on_signal: &mut on_signal,
                };
                session.run().map_err(fail)?;
            }
            None => signals.until_readable(process, &mut on_signal).map_err(fail)?,
        }
        wait_for(process).ok_or_else(killed)
    }
}

fn wait_for(process: BorrowedFd<'_>) -> Option<Exit> {
    let wait = || rustix::process::waitid(WaitId::PidFd(process), WaitIdOptions::EXITED);
    let status = rustix::io::retry_on_intr(wait).ok()??;
    Some(Exit { code: status.exit_status(), signal: status.terminating_signal(), reboot: false })
}
