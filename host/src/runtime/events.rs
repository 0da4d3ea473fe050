#![forbid(unsafe_code)]
//! The loop of the monitor.

use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, poll};

use super::monitor::{Monitor, Reporter};
use super::state::{Exit, State};
use crate::sys::clone::Process;
use crate::sys::signal;

/// Serves until the first process has ended.
pub(super) fn serve(monitor: &mut Monitor, init: &Process, report: &mut Reporter) -> Exit {
    loop {
        let mut fds =
            vec![PollFd::new(&init.pidfd, PollFlags::IN), PollFd::new(&monitor.signals, PollFlags::IN)];
        if let Some(socket) = report.socket() {
            fds.push(PollFd::new(socket, PollFlags::IN));
        }
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.get(1) == Some(&true) {
            on_signals(monitor, init);
        }
        if ready.get(2) == Some(&true) {
            on_starter(init, report);
        }
        if ready.first() == Some(&true)
            && let Some(exit) = monitor.reap(init)
        {
            monitor.set_state(State::Stopping);
            return exit;
        }
    }
}

fn on_signals(monitor: &Monitor, init: &Process) {
    while let Ok(Some((number, _sender))) = signal::next(monitor.signals.as_fd()) {
        let number = match number {
            // Ours: children of the monitor, and the end of terminals and pipes.
            libc::SIGCHLD | libc::SIGPIPE | libc::SIGWINCH => continue,
            // For init a hangup would mean a reload; whoever hangs up on a monitor wants an end.
            libc::SIGHUP => libc::SIGTERM,
            number => number,
        };
        // It may have ended just now.
        signal::send(init.pidfd.as_fd(), number).ok();
    }
}

/// Whoever keeps the container in the foreground is gone.
fn on_starter(init: &Process, report: &mut Reporter) {
    report.close();
    signal::send(init.pidfd.as_fd(), libc::SIGKILL).ok();
}
