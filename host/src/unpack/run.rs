//! The caller's side: starts the helper, passes handles, hears its answers.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, MemfdFlags, Mode, OFlags, fchown, memfd_create, openat, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{getegid, geteuid};

use super::error::UnpackError;
use super::idmap;
use super::render::Render;
use super::report::{Progress, Report};
use super::request::{IdMapMode, Options, Request, Section, Source};
use super::wire::{Answer, Order, Task, receive, send};
use crate::sys::tree::remove_tree;

/// Name of a process that is the helper, in `argv[0]`; its standard input is the socket to its caller.
pub const ROLE: &str = "[wxc unpack]";

/// This program.
pub(crate) const SELF: &str = "/proc/self/exe";

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
    run_with(Path::new(SELF), request, progress, cancel)
}

/// The same with a named program as the helper, for a caller that is not wxc itself.
pub fn run_with(
    program: &Path,
    request: &Request<'_>,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Report, UnpackError> {
    let (source, task) = match request.source {
        Source::Archive(fd) => (fd, Task::Archive),
        Source::Directory(fd) => (fd, Task::Directory),
        Source::Section(fd) => (fd, Task::Section),
    };
    if matches!(request.options.ids, IdMapMode::Userns { .. }) {
        // A group that the map does not have, inherited from the directory above, would keep the helper out.
        // If this fails, the helper says why it cannot go on.
        let _ = fchown(request.target, None, Some(getegid()));
    }
    let job = Job { task, source, target: request.target, other: None, options: &request.options };
    job.run(program, progress, cancel)
}

/// A tree that becomes one section of an export.
#[derive(Debug, Clone)]
pub struct PackRequest<'a> {
    pub tree: BorrowedFd<'a>,
    /// The tree of the section before: only what is not as it was in it is written.
    pub since: Option<BorrowedFd<'a>>,
    /// Where the section goes.
    pub out: BorrowedFd<'a>,
    /// Whose ids the files have on disk.
    pub ids: IdMapMode,
    pub section: Section,
}

/// Packs a tree in a confined helper process; the report holds the seal. `progress` and `cancel` as in [`run`].
///
/// # Errors
/// Something of the tree cannot be read or be in an archive, or the section cannot be written.
pub fn pack(
    request: &PackRequest<'_>,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Report, UnpackError> {
    pack_with(Path::new(SELF), request, progress, cancel)
}

/// The same with a named program as the helper.
///
/// # Errors
/// As [`pack`].
pub fn pack_with(
    program: &Path,
    request: &PackRequest<'_>,
    progress: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<Report, UnpackError> {
    let mut options = Options::new(request.ids.clone());
    options.section = Some(request.section.clone());
    let PackRequest { out, tree, since, .. } = *request;
    let job = Job { task: Task::Pack, source: out, target: tree, other: since, options: &options };
    job.run(program, progress, cancel)
}

/// Renders a template's files into a tree, in order, as the tree's owner.
pub fn render(root: BorrowedFd<'_>, ids: IdMapMode, files: &[Render]) -> Result<(), UnpackError> {
    render_with(Path::new(SELF), root, ids, files)
}

/// The same with a named program as the helper.
pub fn render_with(
    program: &Path,
    root: BorrowedFd<'_>,
    ids: IdMapMode,
    files: &[Render],
) -> Result<(), UnpackError> {
    let (options, source) = (Options::new(ids), payload(&files)?);
    let job =
        Job { task: Task::Render, source: source.as_fd(), target: root, other: None, options: &options };
    job.run(program, &mut |_| {}, &AtomicBool::new(false)).map(drop)
}

/// Removes an entry of a directory with everything below it, as the tree's owner; returns how many
/// entries went. What a caller without privileges has unpacked belongs to ids that only a helper can act for.
pub fn remove(parent: BorrowedFd<'_>, name: &OsStr, ids: IdMapMode) -> Result<u64, UnpackError> {
    remove_with(Path::new(SELF), parent, name, ids)
}

/// The same with a named program as the helper.
pub fn remove_with(
    program: &Path,
    parent: BorrowedFd<'_>,
    name: &OsStr,
    ids: IdMapMode,
) -> Result<u64, UnpackError> {
    if matches!(ids, IdMapMode::AsIs { .. }) {
        // Nothing of the tree is parsed, and clearing immutable flags needs what a helper gives up.
        return Ok(remove_tree(parent, name)?);
    }
    let entry = name.as_encoded_bytes();
    let call = |doing| UnpackError::call(doing, entry);
    if entry.is_empty() || entry.contains(&b'/') || entry == b"." || entry == b".." {
        return Err(UnpackError::refused(entry, "not the name of one entry"));
    }
    // Named and not opened: its owner is the helper. The parent is the caller's, so the last step is, too.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(0),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            return unlinkat(parent, name, AtFlags::empty()).map(|()| 1).map_err(call("remove"));
        }
        other => other.map_err(call("open"))?,
    };
    let options = Options::new(ids);
    let job =
        Job { task: Task::Empty, source: top.as_fd(), target: top.as_fd(), other: None, options: &options };
    let done = job.run(program, &mut |_| {}, &AtomicBool::new(false))?;
    unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(call("remove"))?;
    Ok(done.progress.entries + 1)
}

/// Removes everything in a directory, which stays: what an unpacking left that does not count.
pub fn empty(target: BorrowedFd<'_>, ids: IdMapMode) -> Result<(), UnpackError> {
    let options = Options::new(ids);
    let job = Job { task: Task::Empty, source: target, target, other: None, options: &options };
    job.run(Path::new(SELF), &mut |_| {}, &AtomicBool::new(false)).map(drop)
}

/// What does not fit into a packet, as a file without a name.
fn payload(value: &impl serde::Serialize) -> Result<File, UnpackError> {
    let failed = |e: std::io::Error| UnpackError::confine("be told what to do", e);
    let fd = memfd_create("wxc-orders", MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut file = File::from(fd);
    let text = serde_json::to_vec(value).map_err(|e| failed(e.into()))?;
    file.write_all(&text).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file)
}

/// One run of the helper.
struct Job<'a> {
    task: Task,
    source: BorrowedFd<'a>,
    target: BorrowedFd<'a>,
    other: Option<BorrowedFd<'a>>,
    options: &'a Options,
}

impl Job<'_> {
    fn run(
        &self,
        program: &Path,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<Report, UnpackError> {
        let maps = Maps::new(&self.options.ids);
        let handles: Vec<BorrowedFd<'_>> = [self.source, self.target].into_iter().chain(self.other).collect();
        let mut helper = Helper::start(program)?;
        // A helper that is gone already is found so below, with the reason.
        let ordered = helper.order(self.task, maps.own, self.options, &handles);
        let heard = helper.hear(&maps, progress, cancel);
        match (ordered, heard) {
            (Err(error), Err(UnpackError::Helper { .. })) => Err(error),
            (_, heard) => heard,
        }
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

/// One helper process. It is killed when nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    socket: OwnedFd,
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Nothing is left to be told to.
        drop(self.end());
    }
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
    /// Starts one, which waits for its orders.
    pub(crate) fn start(program: &Path) -> Result<Self, UnpackError> {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|e| UnpackError::confine("be reached", e))?;
        Ok(Self { child: start(program, theirs)?, socket })
    }

    /// Tells it what to do.
    pub(crate) fn order(
        &self,
        task: Task,
        own: (u32, u32),
        options: &Options,
        handles: &[BorrowedFd<'_>],
    ) -> Result<(), UnpackError> {
        let order = Order::Work { task, own, options: Box::new(options.clone()) };
        match send(self.socket.as_fd(), &order, handles) {
            // It has ended already, and how it did is what there is to say: whoever waits for its answer is told.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other
                .map_err(|error| UnpackError::Helper { why: format!("cannot be told what to do: {error}") }),
        }
    }

    /// Waits for the end of one that needs no map and tells no progress.
    pub(crate) fn outcome(&mut self, cancel: &AtomicBool) -> Result<Report, UnpackError> {
        let none = Maps { uids: Vec::new(), gids: Vec::new(), own: (0, 0) };
        self.hear(&none, &mut |_| {}, cancel)
    }

    /// The same for no longer than a patient person waits; `None` while it goes on.
    pub(crate) fn outcome_soon(&mut self) -> Option<Result<Report, UnpackError>> {
        (0..20).any(|_| self.ready()).then(|| self.outcome(&AtomicBool::new(false)))
    }

    fn hear(
        &mut self,
        maps: &Maps,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<Report, UnpackError> {
        match self.talk(maps, progress, cancel) {
            // It is about to end by itself, and how it ends is the explanation.
            Err(Broken::Silent) => Err(UnpackError::Helper { why: died(&self.child.wait()) }),
            Err(Broken::Said(error)) => self.end().and(Err(error)),
            Ok(report) => self.end().and(Ok(report)),
        }
    }

    fn talk(
        &mut self,
        maps: &Maps,
        progress: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<Report, Broken> {
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
