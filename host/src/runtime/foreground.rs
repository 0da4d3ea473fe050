#![forbid(unsafe_code)]
//! A container in the foreground: the caller's terminal is its console, or its streams are init's.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::stdio::{stdin, stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use super::control::Request;
use super::launch::Launched;
use super::state::Exit;
use super::terminal::{Ending, Session, Signals, write_all};
use super::{Client, RuntimeError};
use crate::sys::interrupt;

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
        true
    };
    let signals = catch()?;
    // It came after the launch was done, and before it could be caught here.
    if let Some(number) = interrupt::received() {
        on_signal(number);
    }
    match &launched.console {
        Some(console) => {
            let mut on_resize = |size: Winsize| {
                let request = Request::Resize { rows: size.ws_row, columns: size.ws_col };
                client.order(&request).ok();
            };
            let mut session = Session {
                signals: &signals,
                input: Some(stdin()),
                raw: true,
                output: stdout(),
                remote: console.as_fd(),
                end: None,
                escape: None,
                farewell: None,
                on_resize: &mut on_resize,
                on_signal: &mut on_signal,
            };
            session.run().map_err(|error| RuntimeError::system("stay at the console", error))?;
        }
        None => signals
            .until_readable(launched.socket(), &mut on_signal)
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
    let (number, terminal) = client.console(tty)?;
    let mut on_resize = |size: Winsize| {
        if number == 0 {
            let request = Request::Resize { rows: size.ws_row, columns: size.ws_col };
            client.order(&request).ok();
        } else {
            tcsetwinsize(&terminal, size).ok();
        }
    };
    // What ends a visitor is no affair of the container's.
    let mut on_signal =
        |number| !matches!(number, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT);
    let signals = catch()?;
    let mut session = Session {
        signals: &signals,
        input: Some(stdin()),
        raw: true,
        output: stdout(),
        remote: terminal.as_fd(),
        end: None,
        escape,
        farewell: None,
        on_resize: &mut on_resize,
        on_signal: &mut on_signal,
    };
    session.run().map_err(|error| RuntimeError::system("stay at the terminal", error))
}

fn catch() -> Result<Signals, RuntimeError> {
    Signals::catch().map_err(|error| RuntimeError::system("take care of the signals", error))
}

fn finish(launched: &Launched) -> Result<Exit, RuntimeError> {
    if let Some(console) = &launched.console {
        // What it said before we could connect.
        let mut buffer = [0; 16384];
        while let Ok(length @ 1..) = rustix::io::read(console, &mut buffer) {
            if write_all(stdout(), buffer.get(..length).unwrap_or_default()).is_err() {
                break;
            }
        }
    }
    launched.wait()
}
