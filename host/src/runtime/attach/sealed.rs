#![forbid(unsafe_code)]
//! A joiner that executes a sealed image of this program, for containers that have the host's ids.
//!
//! It is an ordinary helper whose program is the interpreter itself: it makes the same list of
//! operations from the same entry, and is the joiner from then on.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::stdio::{stderr, stdin, stdout};

use super::AttachRequest;
use super::program::Entry;
use crate::runtime::helper::{Helper, Image};
use crate::runtime::launch::ATTACH;
use crate::runtime::{RuntimeError, handover};
use crate::sys::clone::Process;
use crate::sys::{exe, fd};

/// The numbers of what it is given: the entry, the socket, then root, init and cgroup files.
const ENTRY: i32 = 3;
const SOCKET: i32 = 4;
const FIRST: i32 = 5;

/// Starts the joiner. `fds`: the container's root, its first process, the files of its cgroups.
pub(super) fn spawn(
    request: &AttachRequest,
    entry: &Entry,
    socket: BorrowedFd<'_>,
    fds: &[BorrowedFd<'_>],
    given: [BorrowedFd<'_>; 3],
) -> Result<Process, RuntimeError> {
    let program = request.program.clone().unwrap_or_else(|| PathBuf::from(exe::SELF));
    let copy = exe::sealed(&program)
        .map_err(|error| RuntimeError::system(format!("copy {} into memory", program.display()), error))?;
    let memory = handover::seal(entry)?;
    let title = format!("{ATTACH} {}", request.name);
    let mut handed = vec![memory.as_fd(), socket];
    handed.extend(fds);
    let helper = Helper {
        image: Image::Memory(copy.as_fd()),
        argv: &[title],
        environment: &[],
        fds: &handed,
        streams: Some(given),
        detach: false,
        bound: false,
    };
    helper.spawn()
}

/// The attach role: becomes the joiner.
pub(in crate::runtime) fn main() -> ExitCode {
    // Without an answer the command knows that something is wrong.
    let Ok(memory) = fd::inherited(ENTRY) else { return ExitCode::FAILURE };
    let Ok(entry) = handover::open::<Entry>(memory.as_fd()) else { return ExitCode::FAILURE };
    let count = i32::try_from(entry.cgroups.len()).unwrap_or(i32::MAX);
    let given: Result<Vec<OwnedFd>, _> =
        (SOCKET..FIRST.saturating_add(2).saturating_add(count)).map(fd::inherited).collect();
    let (Ok(given), Ok(program)) = (given, entry.compile()) else { return ExitCode::FAILURE };
    let mut numbers = given.iter().map(|fd| fd.as_raw_fd());
    let socket = numbers.next().unwrap_or(-1);
    let mut fds: Vec<i32> = numbers.by_ref().take(2).collect();
    fds.extend([stdin(), stdout(), stderr()].map(|stream| stream.as_raw_fd()));
    fds.extend(numbers);
    program.with(&fds, socket, |program| wxc_child::run(program))
}
