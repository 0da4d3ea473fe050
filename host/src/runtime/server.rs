#![forbid(unsafe_code)]
//! The monitor's side of the control socket: connections, requests, answers.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt::socket_peercred};

use super::RuntimeError;
use super::control::{CONNECTIONS, Entrance, Event, Info, REQUEST_LIMIT, Reply, Request};
use super::monitor::Monitor;
use super::state::{Exit, State};
use super::{handover, message};
use crate::sys::clone::Process;
use crate::sys::{disk, signal};

/// How long freezing and thawing may take; the monitor does nothing else meanwhile.
const FREEZE: Duration = Duration::from_secs(10);

/// Everybody who is connected.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) connections: Vec<Connection>,
}

/// Somebody who is connected.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    subscribed: bool,
    /// The terminal that is theirs.
    tty: Option<u32>,
    /// It is frozen because of them.
    holds: bool,
    /// The root of a file system that they freeze.
    quiet: Option<OwnedFd>,
    gone: bool,
}

/// An answer and the fds that go with it.
type Answer = Result<(Reply, Vec<OwnedFd>), RuntimeError>;

fn done() -> Answer {
    Ok((Reply::Done, Vec::new()))
}

impl Server {
    pub(super) fn on_connection(&mut self, listener: &OwnedFd) {
        while let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            let ours = rustix::process::geteuid();
            let allowed = socket_peercred(&socket).is_ok_and(|peer| peer.uid == ours || peer.uid.is_root());
            if allowed && self.connections.len() < CONNECTIONS {
                self.connections.push(Connection {
                    socket,
                    subscribed: false,
                    tty: None,
                    holds: false,
                    quiet: None,
                    gone: false,
                });
            }
        }
    }

    /// Answers what is asked on one connection.
    pub(super) fn on_request(&mut self, index: usize, monitor: &mut Monitor, init: &Process) {
        loop {
            let Some(connection) = self.connections.get_mut(index) else { return };
            let (data, fds) = match message::receive(&connection.socket, REQUEST_LIMIT) {
                Ok(Some(message)) => (message.data, message.fds),
                Err(error) if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => return,
                Ok(None) | Err(_) => {
                    connection.gone = true;
                    return;
                }
            };
            let answer = match Request::parse(&data) {
                Ok(Request::Quiet) => self.quiet(index, fds),
                Ok(request) => self.answer(index, request, monitor, init),
                Err(error) => {
                    Err(RuntimeError::Protocol { peer: "the client".to_owned(), message: error.to_string() })
                }
            };
            let (reply, fds) = answer.unwrap_or_else(|error| (Reply::Error { error }, Vec::new()));
            if let Some(connection) = self.connections.get_mut(index) {
                connection.send(&reply, &fds);
            }
        }
    }

    pub(super) fn forget_the_gone(&mut self, monitor: &mut Monitor) {
        // First what processes would have to wait for.
        self.connections.iter_mut().filter(|connection| connection.gone).for_each(Connection::thaw);
        let let_go = self.connections.iter().any(|connection| connection.gone && connection.holds);
        self.connections.retain(|connection| !connection.gone);
        if let_go && !self.is_held() {
            // Nobody is left to be told; a person can still ask for it.
            self.unfreeze(monitor).map(drop).unwrap_or_else(|error| tracing::warn!("{error}"));
        }
    }

    fn is_held(&self) -> bool {
        self.connections.iter().any(|connection| connection.holds)
    }

    /// Tells everybody who wants to know.
    pub(super) fn publish(&mut self, state: State, exit: Option<Exit>) {
        let reply = Reply::Event(Event { state, exit });
        for connection in self.connections.iter_mut().filter(|connection| connection.subscribed) {
            connection.send(&reply, &[]);
        }
    }

    fn answer(&mut self, index: usize, request: Request, monitor: &mut Monitor, init: &Process) -> Answer {
        match request {
            Request::State => Ok((Reply::State { state: monitor.snapshot.state }, Vec::new())),
            Request::Info => Ok((Reply::Info(info(monitor, init)), Vec::new())),
            Request::Plan => Ok((Reply::Done, vec![copy(&monitor.memory)?])),
            Request::Enter => {
                let entrance = Entrance {
                    init: init.pid.as_raw_nonzero().get(),
                    cgroups: monitor.snapshot.cgroups.clone(),
                };
                Ok((Reply::Enter(entrance), vec![copy(&init.pidfd)?, copy(&monitor.memory)?]))
            }
            Request::Stop { signal } => {
                let signal = signal.unwrap_or_else(|| halt_signal(monitor, init));
                stop(monitor, signal, init)
            }
            Request::Reboot => stop(monitor, monitor.plan().stop.reboot, init),
            Request::Signal { number } => {
                send(number, init)?;
                done()
            }
            Request::Kill => {
                monitor.kill(init)?;
                done()
            }
            Request::Freeze => self.freeze(monitor),
            Request::Unfreeze => self.unfreeze(monitor),
            Request::Hold => self.hold(index, monitor),
            Request::Quiet => refuse_quiet(),
            Request::Thaw => self.let_go(index, monitor),
            Request::Console { tty: Some(0) } => {
                let stream = monitor.console()?.connect(false);
                let stream = stream.map_err(|error| RuntimeError::system("connect the console", error))?;
                Ok((Reply::Console { tty: 0 }, vec![stream]))
            }
            Request::Console { tty } => self.terminal(index, tty, monitor),
            Request::Resize { rows, columns } => {
                monitor
                    .console()?
                    .resize(rows, columns)
                    .map_err(|error| RuntimeError::system("resize the console", error))?;
                done()
            }
            Request::ConsoleLog { clear } => {
                let bytes = monitor.console()?.memory(clear);
                Ok((Reply::Done, vec![handover::seal_bytes(&bytes)?]))
            }
            Request::Subscribe => {
                if let Some(connection) = self.connections.get_mut(index) {
                    connection.subscribed = true;
                }
                let event = Event { state: monitor.snapshot.state, exit: None };
                Ok((Reply::Event(event), Vec::new()))
            }
        }
    }

    fn freeze(&mut self, monitor: &mut Monitor) -> Answer {
        if monitor.snapshot.state == State::Frozen {
            return done();
        }
        self.change(monitor, State::Freezing);
        match monitor.snapshot.cgroups.freeze(FREEZE) {
            Ok(()) => {
                self.change(monitor, State::Frozen);
                done()
            }
            Err(error) => {
                self.change(monitor, State::Running);
                Err(RuntimeError::part("freeze the container", &error, error.hint()))
            }
        }
    }

    /// Freezes as long as the connection lives.
    fn hold(&mut self, index: usize, monitor: &mut Monitor) -> Answer {
        if monitor.snapshot.state == State::Frozen && !self.is_held() {
            return done();
        }
        let frozen = self.freeze(monitor)?;
        if let Some(connection) = self.connections.get_mut(index) {
            connection.holds = true;
        }
        Ok(frozen)
    }

    /// The same as the end of the connection, for somebody who wants to know when it has happened.
    fn let_go(&mut self, index: usize, monitor: &mut Monitor) -> Answer {
        let Some(connection) = self.connections.get_mut(index) else { return done() };
        // First what processes would have to wait for.
        connection.thaw();
        let held = std::mem::take(&mut connection.holds);
        if held && !self.is_held() { self.unfreeze(monitor) } else { done() }
    }

    /// Remembers what has to be thawed when the connection ends.
    fn quiet(&mut self, index: usize, fds: Vec<OwnedFd>) -> Answer {
        let Some(root) = fds.into_iter().next() else { return refuse_quiet() };
        if let Some(connection) = self.connections.get_mut(index) {
            connection.quiet = Some(root);
        }
        done()
    }

    fn unfreeze(&mut self, monitor: &mut Monitor) -> Answer {
        // Also for those who hold it: it is a person who said so.
        self.connections.iter_mut().for_each(|connection| connection.holds = false);
        if monitor.snapshot.state != State::Frozen {
            return done();
        }
        monitor
            .snapshot
            .cgroups
            .thaw(FREEZE)
            .map_err(|error| RuntimeError::part("unfreeze the container", &error, error.hint()))?;
        self.change(monitor, State::Thawed);
        self.change(monitor, State::Running);
        done()
    }

    fn change(&mut self, monitor: &mut Monitor, state: State) {
        monitor.set_state(state);
        self.publish(state, None);
    }

    /// A terminal for one connection alone.
    fn terminal(&mut self, index: usize, tty: Option<u32>, monitor: &Monitor) -> Answer {
        let taken = |number: u32| self.connections.iter().any(|connection| connection.tty == Some(number));
        let count = monitor.plan().console.ttys;
        let refuse = |reason: String| {
            Err(RuntimeError::Part { what: "open the terminal".into(), message: reason, hint: None })
        };
        let number = match tty {
            Some(number) if number > count => {
                return refuse(format!("there is no tty {number}; the container has {count}"));
            }
            Some(number) if taken(number) => return refuse(format!("tty {number} is in use")),
            Some(number) => number,
            None => match (1..=count).find(|number| !taken(*number)) {
                Some(number) => number,
                None => return refuse(format!("all of the {count} ttys are in use")),
            },
        };
        let Some(master) = monitor.tty(number) else {
            return refuse(format!("there is no tty {number}"));
        };
        let master = copy(master)?;
        if let Some(connection) = self.connections.get_mut(index) {
            connection.tty = Some(number);
        }
        Ok((Reply::Console { tty: number }, vec![master]))
    }
}

impl Connection {
    /// Lets a file system go on that this one froze. Also when it did that itself: a second time changes nothing.
    fn thaw(&mut self) {
        if let Some(Err(error)) = self.quiet.take().map(|root| disk::thaw(root.as_fd())) {
            tracing::warn!("cannot thaw the file system of the container: {error}");
        }
    }

    fn send(&mut self, reply: &Reply, fds: &[OwnedFd]) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let json = serde_json::to_vec(reply).unwrap_or_default();
        // Somebody who does not listen is not waited for.
        self.gone |= message::send(&self.socket, &json, &fds).is_err();
    }
}

fn refuse_quiet() -> Answer {
    let message = "it sent no file system to keep quiet".to_owned();
    Err(RuntimeError::Protocol { peer: "the client".to_owned(), message })
}

fn copy(fd: &OwnedFd) -> Result<OwnedFd, RuntimeError> {
    fd.try_clone().map_err(|error| RuntimeError::system("copy a descriptor", error))
}

fn info(monitor: &Monitor, init: &Process) -> Info {
    Info {
        name: monitor.plan().container.name.clone(),
        state: monitor.snapshot.state,
        init: init.pid.as_raw_nonzero().get(),
        monitor: monitor.snapshot.monitor,
        started: monitor.snapshot.started,
        cgroups: monitor.snapshot.cgroups.clone(),
        links: monitor.snapshot.links.clone(),
    }
}

fn send(number: i32, init: &Process) -> Result<(), RuntimeError> {
    signal::send(init.pidfd.as_fd(), number)
        .map_err(|error| RuntimeError::system(format!("send the signal {number}"), error))
}

fn stop(monitor: &Monitor, number: i32, init: &Process) -> Answer {
    // Our own init waits for every signal; while it waits, the kernel shows none as blocked.
    let handled = monitor.plan().init.stub || handles(init, number) || is_waiting(&read(init, "syscall"));
    send(number, init)?;
    Ok((Reply::Stopping { signal: number, handled }, Vec::new()))
}

/// What asks this container to halt: SIGRTMIN+3 if its init knows that one, as systemd does, else
/// SIGPWR, as sysvinit and busybox do.
fn halt_signal(monitor: &Monitor, init: &Process) -> i32 {
    let systemd = signal::realtime(3);
    let known = if handles(init, systemd) { systemd } else { libc::SIGPWR };
    monitor.plan().stop.halt.unwrap_or(known)
}

/// Whether the process does anything about a signal: catches it, or blocks it to wait for it. The
/// first process of a namespace ignores all others (pid_namespaces(7)); SIGKILL is not ours to ask.
fn handles(init: &Process, number: i32) -> bool {
    if number == libc::SIGKILL || number == libc::SIGSTOP {
        return true;
    }
    mask(&read(init, "status")).is_some_and(|mask| mask & (1 << (number - 1)) != 0)
}

fn read(init: &Process, file: &str) -> String {
    let path = format!("/proc/{}/{file}", init.pid.as_raw_nonzero());
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Whether it waits for signals in a call, from the text of `/proc/PID/syscall` (proc_pid_syscall(5)). Those that it waits for are
/// neither caught nor blocked meanwhile (sigtimedwait(2)), so nobody can say that it does nothing about one; nor that it does.
fn is_waiting(syscall: &str) -> bool {
    let number = syscall.split(' ').next().and_then(|number| number.parse().ok());
    number == Some(libc::SYS_rt_sigtimedwait)
}

/// Signals that are caught or blocked, from the text of `/proc/PID/status`.
fn mask(status: &str) -> Option<u64> {
    let line = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(value.trim(), 16).ok()
    };
    Some(line("SigCgt:")? | line("SigBlk:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_and_caught_signals_are_handled() {
        let status = "SigBlk:\t0000000000000001\nSigIgn:\t00000000000000ff\nSigCgt:\t0000001000000000\n";
        assert_eq!(mask(status), Some(0x10_0000_0001));
        assert_eq!(mask("Name:\tx\n"), None);
        assert!(is_waiting(&format!("{} 0x7ffd 0x0 0x0", libc::SYS_rt_sigtimedwait)));
        assert!(!is_waiting("running") && !is_waiting("") && !is_waiting("0 0x1"));
    }
}
