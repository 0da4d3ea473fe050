#![forbid(unsafe_code)]
//! The console: one terminal, any number of people in front of it, a memory and a log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::SocketType;
use rustix::termios::{Winsize, tcsetwinsize};

use super::{RuntimeError, message};
use crate::plan::{ConsoleLog, ConsolePlan};

/// Bytes that a client may be behind. One that must see everything makes the container wait then;
/// any other is let go.
const BEHIND: usize = 256 << 10;
/// Bytes of input that wait for the container.
const INPUT: usize = 64 << 10;
/// How long the last words wait for a client that must see everything.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The console of a running container.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) master: File,
    /// Kept open, so that the master does not hang up whenever nobody in the container has it.
    _slave: OwnedFd,
    pub(super) clients: Vec<Client>,
    input: VecDeque<u8>,
    memory: VecDeque<u8>,
    memory_size: usize,
    log: Option<Log>,
}

/// Somebody in front of the console.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: File,
    pending: VecDeque<u8>,
    /// Must see everything: a command in the foreground.
    essential: bool,
    gone: bool,
}

impl Console {
    pub(super) fn new(master: OwnedFd, slave: OwnedFd, plan: &ConsolePlan) -> Result<Self, RuntimeError> {
        set_nonblocking(&master).map_err(|error| RuntimeError::system("open the console", error))?;
        Ok(Self {
            master: master.into(),
            _slave: slave,
            clients: Vec::new(),
            input: VecDeque::new(),
            memory: VecDeque::new(),
            memory_size: plan.buffer as usize,
            log: plan.log.clone().map(Log::open).transpose()?,
        })
    }

    /// A new client; its end of the stream.
    pub(super) fn connect(&mut self, essential: bool) -> io::Result<OwnedFd> {
        let (ours, theirs) = message::pair(SocketType::STREAM)?;
        set_nonblocking(&ours)?;
        // What was said before is repeated to whoever comes later.
        let pending = self.memory.clone();
        self.clients.push(Client { socket: ours.into(), pending, essential, gone: false });
        Ok(theirs)
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.master, size)?)
    }

    pub(super) fn memory(&mut self, clear: bool) -> Vec<u8> {
        let bytes = self.memory.iter().copied().collect();
        if clear {
            self.memory.clear();
        }
        bytes
    }

    /// What the loop should wait for at the master.
    pub(super) fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        if !self.clients.iter().any(|client| client.essential && client.pending.len() > BEHIND) {
            flags |= PollFlags::IN;
        }
        if !self.input.is_empty() {
            flags |= PollFlags::OUT;
        }
        flags
    }

    /// Moves what can be moved, without waiting.
    pub(super) fn pump(&mut self) {
        self.read_clients();
        self.write_master();
        while self.interest().contains(PollFlags::IN) && self.read_master() {}
        for client in &mut self.clients {
            client.flush();
        }
        self.clients.retain(|client| !client.gone);
    }

    /// The container has ended: what it said last is still to be passed on.
    pub(super) fn finish(&mut self) {
        while self.read_master() {}
        let end = Instant::now() + LAST_WORDS;
        self.clients.retain(|client| client.essential);
        for client in &mut self.clients {
            client.flush();
            while !client.gone && !client.pending.is_empty() && Instant::now() < end {
                let mut fds = [PollFd::new(&client.socket, PollFlags::OUT)];
                let second = Timespec { tv_sec: 1, tv_nsec: 0 };
                if poll(&mut fds, Some(&second)).is_err() {
                    break;
                }
                client.flush();
            }
        }
        self.clients.clear();
    }

    fn read_master(&mut self) -> bool {
        let mut buffer = [0; 16384];
        // EIO: nobody has the terminal; EAGAIN: nothing to read.
        let Ok(length @ 1..) = self.master.read(&mut buffer) else { return false };
        let bytes = buffer.get(..length).unwrap_or_default();
        if let Some(log) = &mut self.log {
            log.write(bytes);
        }
        self.memory.extend(bytes);
        let excess = self.memory.len().saturating_sub(self.memory_size);
        self.memory.drain(..excess);
        for client in &mut self.clients {
            client.pending.extend(bytes);
            client.gone |= !client.essential && client.pending.len() > BEHIND + self.memory_size;
        }
        true
    }

    fn read_clients(&mut self) {
        let mut buffer = [0; 4096];
        for client in &mut self.clients {
            while self.input.len() < INPUT {
                match client.socket.read(&mut buffer) {
                    Ok(0) => client.gone = true,
                    Ok(length) => {
                        self.input.extend(buffer.get(..length).unwrap_or_default());
                        continue;
                    }
                    Err(error) => client.gone |= error.kind() != io::ErrorKind::WouldBlock,
                }
                break;
            }
        }
    }

    fn write_master(&mut self) {
        while !self.input.is_empty() {
            let (front, _) = self.input.as_slices();
            match self.master.write(front) {
                Ok(length) => drop(self.input.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.input.clear();
                    }
                    break;
                }
            }
        }
    }
}

impl Client {
    pub(super) fn interest(&self) -> PollFlags {
        if self.pending.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    fn flush(&mut self) {
        while !self.pending.is_empty() && !self.gone {
            let (front, _) = self.pending.as_slices();
            match self.socket.write(front) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.gone = error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
    }
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

/// The console's log file.
#[derive(Debug)]
struct Log {
    plan: ConsoleLog,
    file: File,
    length: u64,
}

impl Log {
    fn open(plan: ConsoleLog) -> Result<Self, RuntimeError> {
        let fail = |error: io::Error| {
            RuntimeError::system(format!("open the console's log {}", plan.file.display()), error)
        };
        // Neither a link nor a FIFO that somebody put there (CVE-2026-48750).
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::APPEND
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let file = rustix::fs::open(&plan.file, flags, Mode::from_raw_mode(0o600))
            .map_err(|error| fail(error.into()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(fail(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        Ok(Self { length: metadata.size(), plan, file })
    }

    /// A log that cannot be written does not stop the container.
    fn write(&mut self, bytes: &[u8]) {
        let length = bytes.len() as u64;
        if self.plan.size.is_some_and(|size| self.length + length > size) {
            self.restart();
        }
        if self.file.write_all(bytes).is_ok() {
            self.length += length;
        }
    }

    fn restart(&mut self) {
        if !self.plan.rotate {
            self.length = 0;
            self.file.set_len(0).ok();
            return;
        }
        let mut old = self.plan.file.clone().into_os_string();
        old.push(".1");
        std::fs::rename(&self.plan.file, old).ok();
        if let Ok(new) = Self::open(self.plan.clone()) {
            *self = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_rotated_before_it_grows_too_long() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("console.log");
        let plan = ConsoleLog { file: file.clone(), size: Some(10), rotate: true };
        let mut log = Log::open(plan).unwrap();
        log.write(b"12345678");
        log.write(b"abcdefgh");
        assert_eq!(std::fs::read(&file).unwrap(), b"abcdefgh");
        assert_eq!(std::fs::read(directory.path().join("console.log.1")).unwrap(), b"12345678");
    }

    #[test]
    fn a_link_in_the_place_of_the_log_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("console.log");
        std::os::unix::fs::symlink("/dev/null", &file).unwrap();
        assert!(Log::open(ConsoleLog { file, size: None, rotate: false }).is_err());
    }
}
