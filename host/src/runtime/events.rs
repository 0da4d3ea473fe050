#![forbid(unsafe_code)]
//! The loop of the monitor: what happened, and who takes care of it.

use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::monitor::{Monitor, Reporter};
use super::server::Server;
use super::state::{Exit, State};
use crate::sys::clone::Process;
use crate::sys::signal;

/// Who has something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Init,
    Signal,
    /// Somebody in the container wrote to the socket for that.
    Word,
    /// Whoever keeps the container in the foreground.
    Starter,
    Listener,
    Connection(usize),
    /// The console or somebody in front of it.
    Console,
}

/// Serves until the first process has ended, and says how it did.
pub(super) fn serve(monitor: &mut Monitor, init: &Process, report: &mut Reporter) -> Exit {
    let mut server = Server::default();
    loop {
        for event in wait(monitor, &server, init, report) {
            match event {
                Event::Init => {
                    let Some(exit) = monitor.reap(init) else { continue };
                    if let Some(console) = &mut monitor.console {
                        console.finish();
                    }
                    for state in [State::Stopping, State::Stopped] {
                        if state == State::Stopped {
                            // Whoever hears it may start the container at once.
                            monitor.take_down(exit);
                        } else {
                            monitor.set_state(state);
                        }
                        server.publish(state, Some(exit));
                    }
                    return exit;
                }
                Event::Signal => on_signals(monitor, init),
                Event::Word => monitor.on_word(),
                Event::Starter => on_starter(monitor, init, report),
                Event::Listener => server.on_connection(&monitor.control),
                Event::Connection(index) => server.on_request(index, monitor, init),
                Event::Console => {
                    if let Some(console) = &mut monitor.console {
                        console.pump();
                    }
                }
            }
        }
        server.forget_the_gone(monitor);
    }
}

/// Waits for events; the end of the first process comes last.
fn wait(monitor: &Monitor, server: &Server, init: &Process, report: &Reporter) -> Vec<Event> {
    let mut sources: Vec<(Event, BorrowedFd<'_>, PollFlags)> = vec![
        (Event::Signal, monitor.signals.as_fd(), PollFlags::IN),
        (Event::Listener, monitor.control.as_fd(), PollFlags::IN),
    ];
    if let Some(socket) = &monitor.ready {
        sources.push((Event::Word, socket.as_fd(), PollFlags::IN));
    }
    if let Some(socket) = report.socket() {
        sources.push((Event::Starter, socket.as_fd(), PollFlags::IN));
    }
    for (index, connection) in server.connections.iter().enumerate() {
        sources.push((Event::Connection(index), connection.socket.as_fd(), PollFlags::IN));
    }
    if let Some(console) = &monitor.console {
        sources.push((Event::Console, console.master.as_fd(), console.interest()));
        for client in &console.clients {
            sources.push((Event::Console, client.socket.as_fd(), client.interest()));
        }
    }
    sources.push((Event::Init, init.pidfd.as_fd(), PollFlags::IN));
    let mut fds: Vec<_> =
        sources.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    if poll(&mut fds, None).is_err() {
        return Vec::new();
    }
    let ready = sources.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    let mut events: Vec<Event> = ready.map(|((event, ..), _)| *event).collect();
    events.dedup();
    events
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

/// The starter is gone: a container in the foreground ends with it.
fn on_starter(monitor: &Monitor, init: &Process, report: &mut Reporter) {
    report.close();
    monitor.kill(init).ok();
}
