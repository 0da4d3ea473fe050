//! The caller's side: starts the helper, passes the file, hears its answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::error::FetchError;
use super::order::{Answer, Fetched, Order, Progress};
use super::origin::Origin;
use crate::sys::packets::{receive, send};

/// Name of a process that is the helper, in `argv[0]`; its standard input is the socket to its caller.
pub const ROLE: &str = "[wxc fetch]";
/// This program.
const SELF: &str = "/proc/self/exe";
/// How long a set cancel flag can go unnoticed: a tenth of a second.
const INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Whoever watches a download.
pub trait Watch {
    /// How far it is.
    fn progress(&mut self, at: Progress);
    /// It goes on after something went wrong.
    fn trouble(&mut self, what: &str);
    /// It goes into this file, from now on.
    fn goes_into(&mut self, _file: &File) {}
    /// What the server calls the content that now begins.
    fn begins(&mut self, validator: Option<&str>);
    /// Whether nobody wants it any more.
    fn cancelled(&self) -> bool;
}

/// Downloads one after the other through one helper process, which keeps its connections.
#[derive(Debug, Default)]
pub struct Session {
    helper: Option<Helper>,
}

impl Session {
    /// Fetches in a confined process. The file holds what there is of it, also after an error.
    pub(super) fn get(
        &mut self,
        order: &Order,
        target: BorrowedFd<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Fetched, FetchError> {
        // Whom to believe was read before it gave up its files.
        let known = (order.origins.clone(), order.roots.clone());
        let kept = self.helper.take().filter(|helper| helper.known == known);
        let mut helper = match kept {
            Some(helper) => helper,
            None => Helper::start(Path::new(SELF), known)?,
        };
        send(helper.socket.as_fd(), order, &[target]).map_err(|error| lost(&error))?;
        let fetched = helper.hear(watch)?;
        // One that has failed may have more to say of that; the next download begins with another.
        self.helper = Some(helper);
        Ok(fetched)
    }
}

/// One helper process. It is killed when nobody waits for it any more.
#[derive(Debug)]
struct Helper {
    /// Servers, and their certificates.
    known: (Vec<Origin>, BTreeMap<Origin, PathBuf>),
    child: Child,
    socket: OwnedFd,
}

impl Drop for Helper {
    fn drop(&mut self) {
        // One that has ended is only reaped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Helper {
    fn start(program: &Path, known: (Vec<Origin>, BTreeMap<Origin, PathBuf>)) -> Result<Self, FetchError> {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| lost(&error))?;
        // Nothing of the caller's environment, standard output or terminal goes to it.
        let child = Command::new(program)
            .arg0(ROLE)
            .env_clear()
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| lost(&error))?;
        Ok(Self { known, child, socket })
    }

    fn hear(&mut self, watch: &mut dyn Watch) -> Result<Fetched, FetchError> {
        loop {
            if watch.cancelled() {
                return Err(FetchError::Cancelled);
            }
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            if matches!(poll(&mut fds, Some(&INTERVAL)), Ok(0) | Err(Errno::INTR)) {
                continue;
            }
            match receive(self.socket.as_fd()).map_err(|error| lost(&error))? {
                None => return Err(FetchError::Helper { why: self.died() }),
                Some(Answer::Progress(at)) => watch.progress(at),
                Some(Answer::Begins { validator }) => watch.begins(validator.as_deref()),
                Some(Answer::Trouble(what)) => watch.trouble(&what),
                Some(Answer::Done(fetched)) => return Ok(fetched),
                Some(Answer::Failed(error)) => return Err(error),
            }
        }
    }

    fn died(&mut self) -> String {
        match self.child.wait() {
            Ok(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("was killed by signal {signal}"),
                (None, code) => format!("ended with status {} and without an answer", code.unwrap_or(0)),
            },
            Err(error) => format!("is lost: {error}"),
        }
    }
}

fn lost(error: &dyn std::fmt::Display) -> FetchError {
    FetchError::Helper { why: format!("cannot be reached: {error}") }
}
