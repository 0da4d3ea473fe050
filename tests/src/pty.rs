//! A real terminal with a program on it, as a person has.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The terminal's own end, and the program.
#[derive(Debug)]
pub struct Pty {
    screen: File,
    child: Child,
    /// What was printed and not yet expected.
    pending: String,
    /// Everything printed, for messages.
    all: String,
}

impl Pty {
    /// Starts the program with the terminal as its input, output and controlling terminal.
    ///
    /// # Panics
    /// When there is no terminal or no such program.
    #[must_use]
    pub fn start(command: &Command) -> Self {
        let (screen, terminal) = open().expect("a pseudo terminal");
        // setsid(1) makes the terminal the controlling one, which would take unsafe code here.
        let mut child = Command::new("setsid");
        child.arg("--ctty").arg(command.get_program()).args(command.get_args());
        child.env_clear();
        child.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        if let Some(directory) = command.get_current_dir() {
            child.current_dir(directory);
        }
        let copy = || terminal.try_clone().expect("a descriptor");
        child.stdin(Stdio::from(copy())).stdout(Stdio::from(copy())).stderr(Stdio::from(copy()));
        let child = child.spawn().expect("setsid(1) starts");
        Self { screen, child, pending: String::new(), all: String::new() }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn send(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).unwrap_or_else(|error| panic!("{error} after {:?}", self.all));
    }

    /// Waits for a text on the screen; gives what came before it.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn expect(&mut self, text: &str, seconds: u64) -> String {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(at) = self.pending.find(text) {
                let rest = self.pending.split_off(at + text.len());
                let mut before = std::mem::replace(&mut self.pending, rest);
                before.truncate(at);
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text:?} within {seconds} s, only {:?}", self.all);
            assert!(self.read(left), "the terminal closed before {text:?}, after {:?}", self.all);
        }
    }

    /// Another size of the window; programs on it get SIGWINCH.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.screen, size).expect("a terminal");
    }

    /// The number of the program's process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// Waits for the program's end; gives its status and everything that was on the screen.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn end(mut self, seconds: u64) -> (ExitStatus, String) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            self.read(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().expect("a child") {
                while self.read(Duration::ZERO) {}
                return (status, std::mem::take(&mut self.all));
            }
            assert!(Instant::now() < deadline, "did not end within {seconds} s: {:?}", self.all);
        }
    }

    /// Reads what is there; whether the terminal is still open (or there was nothing to wait for).
    fn read(&mut self, wait: Duration) -> bool {
        let wait = Timespec::try_from(wait).ok();
        let mut fds = [PollFd::new(&self.screen, PollFlags::IN)];
        if !poll(&mut fds, wait.as_ref()).is_ok_and(|ready| ready > 0) {
            return wait != Some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let mut bytes = [0; 4096];
        match self.screen.read(&mut bytes) {
            // EIO is how a terminal says that its last program is gone.
            Ok(0) | Err(_) => false,
            Ok(count) => {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                self.pending.push_str(&text);
                self.all.push_str(&text);
                true
            }
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn open() -> rustix::io::Result<(File, OwnedFd)> {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&screen)?;
    unlockpt(&screen)?;
    let name = ptsname(&screen, Vec::new())?;
    let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    tcsetwinsize(&screen, Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 })?;
    Ok((File::from(screen), terminal))
}
