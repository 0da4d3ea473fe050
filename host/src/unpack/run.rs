//! The caller's side: starts the helper, passes handles, hears its answers.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{getegid, geteuid};

use super::error::UnpackError;
use super::idmap;
use super::report::{Progress, Report};
use super::request::{IdMapMode, Request, Source};
use super::wire::{Answer, Order, receive, send};

/// Name of a process that is the helper, in `argv[0]`; its standard input is the socket to its caller.
pub const ROLE: &str = "[wxc unpack]";

/// How long a set cancel flag can go unnoticed: a tenth of a second.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Unpacks in a confined helper process and waits for its end.
///
/// `progress` hears how far it is about ten times a second. Setting `cancel` ends the helper; the flag may
/// be set by a signal handler. After an error the target holds part of the tree, for the caller to remove.
pub fn run(
    request: &Request<'_>,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Report, UnpackError> {
    run_with(Path::new("/proc/self/exe"), request, progress, cancel)
}

/// The same with a named program as the helper, for a caller that is not wxc itself.
pub fn run_with(
    program: &Path,
    request: &Request<'_>,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Report, UnpackError> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|e| UnpackError::confine("be reached", e))?;
    let mut helper = Helper { child: start(program, theirs)?, socket: ours };
    match helper.talk(request, progress, cancel) {
        // It is about to end by itself, and how it ends is the explanation.
        Err(Broken::Silent) => Err(UnpackError::Helper { why: died(&helper.child.wait()) }),
        Err(Broken::Said(error)) => helper.end().and(Err(error)),
        Ok(report) => helper.end().and(Ok(report)),
    }
}

/// Nothing of the caller's environment, standard output or terminal goes to the helper.
fn start(program: &Path, socket: OwnedFd) -> Result<Child, UnpackError> {
    Command::new(program)
        .arg0(ROLE)
        .env_clear()
        .current_dir("/")
        .stdin(socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| UnpackError::confine("be started", e))
}

struct Helper {
    child: Child,
    socket: OwnedFd,
}

/// Why there is no report.
enum Broken {
    Said(UnpackError),
    /// The helper closed the socket without a word.
    Silent,
}

impl From<UnpackError> for Broken {
    fn from(error: UnpackError) -> Self {
        Self::Said(error)
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Self::Silent,
            _ => Self::Said(UnpackError::Helper { why: format!("is not understood: {error}") }),
        }
    }
}

impl Helper {
    fn talk(
        &mut self,
        request: &Request<'_>,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<Report, Broken> {
        let maps = Maps::new(&request.options.ids);
        self.order(request, &maps)?;
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(UnpackError::Cancelled.into());
            }
            if !self.ready() {
                continue;
            }
            match receive(self.socket.as_fd())?.ok_or(Broken::Silent)? {
                Answer::NeedMap => {
                    idmap::write(self.child.id(), &maps.uids, &maps.gids)?;
                    send(self.socket.as_fd(), &Order::Mapped, &[])?;
                }
                Answer::Progress(at) => progress(at),
                Answer::Done(report) => return Ok(report),
                Answer::Failed(error) => return Err(error.into()),
            }
        }
    }

    fn order(&self, request: &Request<'_>, maps: &Maps) -> Result<(), Broken> {
        let (source, directory): (BorrowedFd<'_>, _) = match request.source {
            Source::Archive(fd) => (fd, false),
            Source::Directory(fd) => (fd, true),
        };
        let order = Order::Work { directory, own: maps.own, options: request.options.clone() };
        Ok(send(self.socket.as_fd(), &order, &[source, request.target])?)
    }

    fn ready(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        // A signal that set the flag ends the wait, too; any other error shows in the next call.
        !matches!(poll(&mut fds, Some(&PATIENCE)), Ok(0) | Err(Errno::INTR))
    }

    /// Ends the helper if it goes on, and reaps it.
    fn end(&mut self) -> Result<(), UnpackError> {
        let lost = |e: std::io::Error| UnpackError::Helper { why: format!("is lost: {e}") };
        if self.child.try_wait().map_err(lost)?.is_none() {
            self.child.kill().map_err(lost)?;
        }
        self.child.wait().map(drop).map_err(lost)
    }
}

/// What a user namespace gets, and the caller's own ids in it.
struct Maps {
    uids: Vec<super::MapRange>,
    gids: Vec<super::MapRange>,
    own: (u32, u32),
}

impl Maps {
    fn new(ids: &IdMapMode) -> Self {
        let IdMapMode::Userns { uids, gids } = ids else {
            return Self { uids: Vec::new(), gids: Vec::new(), own: (0, 0) };
        };
        let (uids, uid) = idmap::with_own(uids, geteuid().as_raw());
        let (gids, gid) = idmap::with_own(gids, getegid().as_raw());
        Self { uids, gids, own: (uid, gid) }
    }
}

fn died(status: &std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.signal(), status.code()) {
            (Some(signal), _) => format!("was killed by signal {signal}"),
            (None, code) => format!("ended with status {} and without an answer", code.unwrap_or(0)),
        },
        Err(e) => format!("is lost: {e}"),
    }
}
