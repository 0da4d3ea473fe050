#![forbid(unsafe_code)]
//! The caller's terminal in front of another one: raw mode, window size, signals, bytes both ways.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::sys::signal;

/// Signals that are for the other side, or, SIGWINCH, about the window.
const SIGNALS: [i32; 9] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCONT,
    libc::SIGALRM,
    libc::SIGWINCH,
];

/// Whether somebody types and reads here.
#[must_use]
pub fn is_terminal() -> bool {
    isatty(stdin()) && isatty(stdout())
}

/// How long the last words of an ended command may be on their way while others still have its
/// terminal, in nanoseconds.
const LAST_WORDS: i64 = 50_000_000;

/// Raw mode as long as this lives: every key is the other side's, Ctrl-C and Ctrl-Z, too.
#[derive(Debug)]
struct Raw<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Raw<'a> {
    fn enter(terminal: BorrowedFd<'a>) -> io::Result<Option<Self>> {
        if !isatty(terminal) {
            return Ok(None);
        }
        let raw = Self { terminal, before: tcgetattr(terminal)? };
        raw.set()?;
        Ok(Some(raw))
    }

    fn set(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        Ok(tcsetattr(self.terminal, OptionalActions::Drain, &raw)?)
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        tcsetattr(self.terminal, OptionalActions::Drain, &self.before).ok();
    }
}

/// Signals as events, as long as this lives.
#[derive(Debug)]
pub(super) struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        signal::block(SIGNALS)?;
        Ok(Self { descriptor: signal::descriptor(SIGNALS)? })
    }

    pub(super) fn next(&self) -> Option<i32> {
        signal::next(self.descriptor.as_fd()).ok().flatten().map(|(number, _)| number)
    }

    /// Hands signals on until `end` is readable.
    pub(super) fn until_readable(
        &self,
        end: BorrowedFd<'_>,
        on_signal: &mut dyn FnMut(i32) -> bool,
    ) -> io::Result<()> {
        loop {
            let mut fds = [PollFd::new(self, PollFlags::IN), PollFd::from_borrowed_fd(end, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
            while let Some(number) = self.next() {
                if number != libc::SIGWINCH {
                    on_signal(number);
                }
            }
            if fds.last().is_some_and(|fd| !fd.revents().is_empty()) {
                return Ok(());
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        signal::unblock(SIGNALS).ok();
    }
}

/// What happened at the other side of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The other side has ended.
    Ended,
    /// The person typed the escape sequence, or ended the command.
    Escaped,
}

/// A session between the caller's terminal and another one.
pub(super) struct Session<'a> {
    pub(super) signals: &'a Signals,
    /// Where the person types; `None`: nobody does.
    pub(super) input: Option<BorrowedFd<'a>>,
    /// Set it to raw mode, if it is a terminal.
    pub(super) raw: bool,
    /// Where the person reads.
    pub(super) output: BorrowedFd<'a>,
    /// The other terminal: a master, or a stream to it.
    pub(super) remote: BorrowedFd<'a>,
    /// Readable when it is over; without it, it is over when `remote` is.
    pub(super) end: Option<BorrowedFd<'a>>,
    /// This byte and then `q` leaves; twice is the byte itself.
    pub(super) escape: Option<u8>,
    /// What tells the other side that nothing more will be typed.
    pub(super) farewell: Option<u8>,
    /// The window has changed its size; also called at the beginning.
    pub(super) on_resize: &'a mut dyn FnMut(Winsize),
    /// A signal has come that is for the other side; `false` ends the session.
    pub(super) on_signal: &'a mut dyn FnMut(i32) -> bool,
}

impl Session<'_> {
    /// Moves bytes until the end.
    pub(super) fn run(&mut self) -> io::Result<Ending> {
        let raw = self.input.filter(|_| self.raw).map(Raw::enter).transpose()?.flatten();
        let flags = rustix::fs::fcntl_getfl(self.remote)?;
        rustix::fs::fcntl_setfl(self.remote, flags | OFlags::NONBLOCK)?;
        self.resize();
        let mut input = Input { escape: self.escape, ..Input::default() };
        let (mut listening, mut keys) = (true, self.input);
        loop {
            // Whoever is not listened to any more must not be polled: a hang-up is always reported.
            let mut sources = vec![(From::Signals, self.signals.as_fd(), PollFlags::IN)];
            let mut wanted = PollFlags::empty();
            wanted.set(PollFlags::IN, listening);
            wanted.set(PollFlags::OUT, !input.pending.is_empty());
            if !wanted.is_empty() {
                sources.push((From::Remote, self.remote, wanted));
            }
            if let (Some(keys), true) = (keys, input.pending.is_empty()) {
                sources.push((From::Person, keys, PollFlags::IN));
            }
            if let Some(end) = self.end {
                sources.push((From::End, end, PollFlags::IN));
            }
            for from in ready(&sources)? {
                match from {
                    From::Signals => {
                        if !self.signals(raw.as_ref()) {
                            return Ok(Ending::Escaped);
                        }
                    }
                    From::Remote => {
                        input.write(self.remote);
                        listening = listening && self.pass_on()? != Heard::End;
                        if !listening && self.end.is_none() {
                            return Ok(Ending::Ended);
                        }
                    }
                    From::Person => match keys.map_or(Ok(Typed::Nothing), |keys| input.read(keys))? {
                        Typed::More => input.write(self.remote),
                        Typed::Nothing => {
                            keys = None;
                            input.pending.extend(self.farewell);
                        }
                        Typed::Escape => return Ok(Ending::Escaped),
                    },
                    From::End => {
                        if listening {
                            self.last_words()?;
                        }
                        return Ok(Ending::Ended);
                    }
                }
            }
        }
    }

    fn signals(&mut self, raw: Option<&Raw<'_>>) -> bool {
        let mut stay = true;
        while let Some(number) = self.signals.next() {
            if number == libc::SIGWINCH {
                self.resize();
                continue;
            }
            if let (libc::SIGCONT, Some(raw)) = (number, raw) {
                // Whoever stopped this process has used the terminal meanwhile.
                raw.set().ok();
                self.resize();
            }
            stay &= (self.on_signal)(number);
        }
        stay
    }

    fn resize(&mut self) {
        let size = tcgetwinsize(self.output).or_else(|error| self.input.ok_or(error).and_then(tcgetwinsize));
        if let Ok(size) = size {
            (self.on_resize)(size);
        }
    }

    /// Passes on one part of what there is, so that keys and signals get their turn.
    fn pass_on(&self) -> io::Result<Heard> {
        let mut buffer = [0; 16384];
        match rustix::io::read(self.remote, &mut buffer) {
            Ok(0) | Err(Errno::IO) => Ok(Heard::End),
            Ok(length) => {
                write_all(self.output, buffer.get(..length).unwrap_or_default())?;
                Ok(Heard::Something)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Heard::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// What was said last is still on its way. It is all there when the terminal hangs up, which it
    /// does not while something in the background still has it.
    fn last_words(&self) -> io::Result<()> {
        let patience = Timespec { tv_sec: 0, tv_nsec: LAST_WORDS };
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.remote, PollFlags::IN)];
            let count = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&patience)))?;
            if count == 0 || self.pass_on()? == Heard::End {
                return Ok(());
            }
        }
    }
}

/// What came from the other side.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
    End,
}

/// Who has something for us.
#[derive(Debug, Clone, Copy)]
enum From {
    Signals,
    Remote,
    Person,
    End,
}

fn ready(sources: &[(From, BorrowedFd<'_>, PollFlags)]) -> io::Result<Vec<From>> {
    let mut fds: Vec<_> =
        sources.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
    let ready = sources.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    Ok(ready.map(|((from, ..), _)| *from).collect())
}

pub(super) fn write_all(output: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // Somebody made our output non-blocking.
                let mut fds = [PollFd::from_borrowed_fd(output, PollFlags::OUT)];
                poll(&mut fds, None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is typed, on its way to the other side.
#[derive(Debug, Default)]
struct Input {
    escape: Option<u8>,
    /// The escape byte came last.
    escaping: bool,
    pending: VecDeque<u8>,
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    More,
    Nothing,
    Escape,
}

impl Input {
    fn read(&mut self, from: BorrowedFd<'_>) -> io::Result<Typed> {
        let mut buffer = [0; 4096];
        match rustix::io::read(from, &mut buffer) {
            Ok(0) | Err(Errno::IO) => Ok(Typed::Nothing),
            Ok(length) => Ok(self.take(buffer.get(..length).unwrap_or_default())),
            Err(Errno::INTR | Errno::AGAIN) => Ok(Typed::More),
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Typed {
        for byte in bytes {
            match (self.escaping, Some(*byte) == self.escape) {
                (true, _) if *byte == b'q' => return Typed::Escape,
                (false, true) => {
                    self.escaping = true;
                    continue;
                }
                // Twice is once; before anything else it was meant as it is.
                (true, false) => self.pending.extend(self.escape),
                _ => {}
            }
            self.escaping = false;
            self.pending.push_back(*byte);
        }
        Typed::More
    }

    fn write(&mut self, remote: BorrowedFd<'_>) {
        while !self.pending.is_empty() {
            let (front, _) = self.pending.as_slices();
            match rustix::io::write(remote, front) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody reads any more.
                Err(_) => self.pending.clear(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_sequence_leaves_and_its_byte_can_be_typed() {
        let new = || Input { escape: Some(1), ..Input::default() };
        assert_eq!(new().take(b"ab\x01q"), Typed::Escape);
        for (typed, sent) in [(&b"a\x01\x01b"[..], &b"a\x01b"[..]), (b"\x01x", b"\x01x"), (b"q", b"q")] {
            let mut input = new();
            assert_eq!(input.take(typed), Typed::More);
            assert_eq!(input.pending, sent);
        }
        let mut none = Input::default();
        assert_eq!(none.take(b"\x01q"), Typed::More);
        assert_eq!(none.pending, b"\x01q");
    }
}
