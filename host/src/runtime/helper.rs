#![forbid(unsafe_code)]
//! Another process of wxc, in a role: the monitor, the runner.
//!
//! It is made by the same interpreter as the container's first process, so that it begins with
//! nothing but the fds it is given, under fixed numbers.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::SocketType;
use wxc_child::op::{Op, Slot};
use wxc_child::report::Failure;

use super::RuntimeError;
use super::message;
use super::program::Builder;
use crate::sys::clone::{self, Process};

/// What is executed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Image<'a> {
    Path(&'a Path),
    /// One that nobody can write to.
    Memory(BorrowedFd<'a>),
}

/// A process to be made.
#[derive(Debug)]
pub(super) struct Helper<'a> {
    pub(super) image: Image<'a>,
    pub(super) argv: &'a [String],
    /// `KEY=VALUE`.
    pub(super) environment: &'a [String],
    /// What it gets under the numbers 3, 4, ...
    pub(super) fds: &'a [BorrowedFd<'a>],
    /// Its input, output and error; `None`: `/dev/null`.
    pub(super) streams: Option<[BorrowedFd<'a>; 3]>,
    /// It shall outlive this process and be nobody's child.
    pub(super) detach: bool,
    /// It is killed when this process ends.
    pub(super) bound: bool,
}

impl Helper<'_> {
    /// Makes it, and returns when it runs its program; the process is the one to wait for, with `detach` one that has ended.
    pub(super) fn spawn(&self) -> Result<Process, RuntimeError> {
        let what = self.argv.first().map_or("", String::as_str);
        let fail = |error| RuntimeError::system(format!("start {what}"), error);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, Mode::empty()).map_err(|error| fail(error.into()))?;
        let (ours, theirs) = message::pair(SocketType::SEQPACKET).map_err(fail)?;
        let (program, fds) = self.program(&null)?;
        let process = program
            .with(&fds, theirs.as_raw_fd(), |program| clone::spawn_waiting(program, self.detach))
            .map_err(fail)?;
        drop(theirs);
        let protocol = |message: String| RuntimeError::Protocol { peer: what.to_owned(), message };
        // End of file: it runs.
        if let Some(message) = message::receive(&ours, Failure::SIZE).map_err(fail)? {
            super::spawn::wait(&process);
            return Err(match Failure::decode(&message.data) {
                Some(failure) => program.explain(failure),
                None => protocol(format!("{:?}", message.data)),
            });
        }
        if self.detach {
            let how = super::spawn::wait(&process).unwrap_or_default();
            if how != super::spawn::SUCCESS {
                return Err(protocol(format!("it ended by {how}")));
            }
        }
        Ok(process)
    }

    fn program(&self, null: &OwnedFd) -> Result<(super::program::Compiled, Vec<i32>), RuntimeError> {
        let mut builder = Builder::default();
        let mut fds: Vec<i32> = self.fds.iter().map(|fd| fd.as_raw_fd()).collect();
        if let Image::Memory(file) = self.image {
            fds.push(file.as_raw_fd());
        }
        let streams = self.streams.unwrap_or([null.as_fd(); 3]);
        fds.extend(streams.map(|fd| fd.as_raw_fd()));
        let slots = builder.slots(u16::try_from(fds.len()).unwrap_or(u16::MAX))?;
        let last = slots.count;
        let streams = [Slot(last - 3), Slot(last - 2), Slot(last - 1)];
        if self.detach {
            builder.step("begin a session", Op::Session { terminal: None });
        }
        if self.bound {
            builder.step("ask to end with the caller", Op::DieWithParent { signal: libc::SIGKILL });
        }
        let root = builder.text("/")?;
        builder.step("change to /", Op::Chdir { path: root });
        let [input, output, error] = streams;
        builder.step("connect the standard streams", Op::Stdio { input, output, error });
        builder.step("close what is the caller's", Op::CloseOnExec);
        for (slot, number) in (0..).zip(3..).take(self.fds.len()) {
            builder.step("hand something over", Op::Hand { slot: Slot(slot), number });
        }
        builder.step("let all signals through", Op::Signals);
        builder.step("set the umask", Op::Umask { mask: 0o022 });
        let argv = builder.vector(self.argv.iter().map(String::as_str))?;
        let envp = builder.vector(self.environment.iter().map(String::as_str))?;
        match self.image {
            Image::Path(path) => {
                let programs = builder.texts([path.as_os_str().as_encoded_bytes()])?;
                let label = format!("execute {}", path.display());
                builder.step(label, Op::Exec { programs, argv, envp });
            }
            Image::Memory(_) => {
                // Behind what is handed over, before the streams.
                let file = Slot(last - 4);
                builder.step("execute the sealed image", Op::ExecFile { file, argv, envp });
            }
        }
        Ok((builder.finish(), fds))
    }
}

/// A borrowed view of owned fds.
pub(super) fn borrow(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}
