#![forbid(unsafe_code)]
//! A container in the foreground: the caller's terminal is its console, or its streams are init's.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::event::{EventfdFlags, eventfd};

use super::control::Request;
use super::launch::Launched;
use super::state::Exit;
use super::terminal::{Ending, Session, Signals};
use super::{Client, RuntimeError};

/// Stays with a container that was launched with `foreground`, until it ends. Signals that the
/// caller gets go to its first process; Ctrl-C does, too, unless the terminal passes it on as a key.
///
/// # Errors
/// When the terminal or the monitor fails.
pub fn accompany(launched: &Launched, run: &Path, name: &str) -> Result<Exit, RuntimeError> {
    // Gone already: how it ended is known all the same.
    let Ok(client) = Client::connect(run, name) else { return finish(launched) };
    let mut on_signal = |number| {
        client.order(&Request::Signal { number }).ok();
    };
    match &launched.console {
        Some(console) => {
            let mut on_resize = |size: rustix::termios::Winsize| {
                let request = Request::Resize { rows: size.ws_row, columns: size.ws_col };
                client.order(&request).ok();
            };
            let mut session = Session {
                remote: console.as_fd(),
                end: None,
                escape: None,
                on_resize: &mut on_resize,
                on_signal: &mut on_signal,
            };
            session.run().map_err(|error| RuntimeError::system("stay at the console", error))?;
        }
        None => Signals::catch()
            .and_then(|signals| signals.until_readable(launched.socket(), &mut on_signal))
            .map_err(|error| RuntimeError::system("wait for the container", error))?,
    }
    finish(launched)
}

/// A visit to a terminal of a running container: until it is closed, or the person types `escape`
/// and then `q`. `tty` 0 is the console, which others may see as well; `None` is the first free one.
///
/// # Errors
/// When there is no such terminal, somebody else has it, or the caller's own terminal fails.
pub fn visit(client: &Client, tty: Option<u32>, escape: Option<u8>) -> Result<Ending, RuntimeError> {
    let (number, remote) = client.console(tty)?;
    let mut on_resize = |size: rustix::termios::Winsize| {
        // The console belongs to the monitor; another terminal is ours.
        if number == 0 {
            client.order(&Request::Resize { rows: size.ws_row, columns: size.ws_col }).ok();
        } else {
            rustix::termios::tcsetwinsize(&remote, size).ok();
        }
    };
    let left = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| RuntimeError::system("make an event", error))?;
    // What ends a visitor is no affair of the container's.
    let mut on_signal = |_| {
        rustix::io::write(&left, &1u64.to_ne_bytes()).ok();
    };
    let mut session = Session {
        remote: remote.as_fd(),
        end: Some(left.as_fd()),
        escape,
        on_resize: &mut on_resize,
        on_signal: &mut on_signal,
    };
    session.run().map_err(|error| RuntimeError::system("stay at the terminal", error))
}

fn finish(launched: &Launched) -> Result<Exit, RuntimeError> {
    if let Some(console) = &launched.console {
        // What it said before we could connect.
        let mut buffer = [0; 16384];
        while let Ok(length @ 1..) = rustix::io::read(console, &mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default();
            if rustix::io::write(rustix::stdio::stdout(), bytes).is_err() {
                break;
            }
        }
    }
    launched.wait()
}
