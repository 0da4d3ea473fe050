#![forbid(unsafe_code)]
//! The command's side of a start: hands the plan to a monitor and waits for what it says.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, SocketType};
use serde::{Deserialize, Serialize};

use super::RuntimeError;
use super::helper::{Helper, Image, borrow};
use super::state::Exit;
use super::{handover, message, run_directory};
use crate::plan::Plan;
use crate::plan::hooks::Occasion;
use crate::sys::{exe, failpoint};

/// How to start.
#[derive(Debug, Default)]
pub struct LaunchOptions<'a> {
    /// Stay with the container: it ends when the caller does.
    pub foreground: bool,
    /// With `foreground` and a plan without console: init's input, output and error.
    pub streams: Option<[BorrowedFd<'a>; 3]>,
    /// The program of the monitor; `None`: the running one. It must call
    /// [`super::roles::dispatch`] first thing in `main`.
    pub program: Option<PathBuf>,
    /// Arguments of the program in its runner role, called with `release`, `pause` or `restart` behind them
    /// and the plan as fd 3, when the container is gone or wants to start again.
    pub runner: Vec<String>,
    /// Its environment, as `KEY=VALUE`.
    pub environment: Vec<String>,
    /// Where to write the first process's id.
    pub pidfile: Option<PathBuf>,
    /// Who calls the hooks of the start while this process waits for it; `None`: a process of the monitor's does.
    pub hooks: Option<&'a dyn Caller>,
}

/// Calls the hooks of a start for the monitor, which never holds a plugin.
pub trait Caller: std::fmt::Debug {
    /// Nothing is due yet, and the monitor is at work: the time to load what will be.
    fn get_ready(&self);
    /// Calls those of an event: its word, what is known of it, and the container's root where only its first process has it.
    ///
    /// # Errors
    /// The start cannot go on.
    fn call(&self, event: &str, occasion: &Occasion, root: Option<OwnedFd>) -> Result<(), Stopped>;
}

/// What the monitor is given, in sealed memory, as fd 3.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Handover {
    pub(super) plan: Plan,
    pub(super) foreground: bool,
    /// Init's streams are the fds 5, 6 and 7.
    pub(super) streams: bool,
    /// The program for later helpers.
    pub(super) program: PathBuf,
    pub(super) runner: Vec<String>,
    pub(super) environment: Vec<String>,
    /// Whoever started it calls the hooks of the start.
    pub(super) starter_calls: bool,
}

/// The plan of a container, from the memory that its monitor passes on to a helper.
///
/// # Errors
/// When that is not what the fd is.
pub fn plan_handed_over(fd: BorrowedFd<'_>) -> Result<Plan, RuntimeError> {
    Ok(handover::open::<Handover>(fd)?.plan)
}

/// What the monitor says to whoever started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// Hooks of an event are due: they are called, and a [`Called`] says how that ended.
    Hooks {
        event: String,
        occasion: Occasion,
    },
    Running {
        init: i32,
        warnings: Vec<RuntimeError>,
    },
    Failed {
        error: RuntimeError,
    },
    Ended {
        exit: Exit,
    },
}

/// Why a start cannot go on, for whoever wants it, and what to do, where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub why: String,
    pub hint: Option<String>,
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Called(pub(super) Option<Stopped>);

/// Longest reason in bytes: what is longer says nothing more, and a monitor reads no more.
const LONGEST_WHY: usize = 4 << 10;
/// Longest answer in bytes: two of them, and JSON makes up to six of one.
pub(super) const CALLED_LIMIT: usize = 64 << 10;

/// Longest report in bytes.
pub(super) const REPORT_LIMIT: usize = 128 << 10;

/// A container that runs.
#[derive(Debug)]
pub struct Launched {
    /// The first process, as this process sees it.
    pub init: i32,
    /// Optional steps that failed.
    pub warnings: Vec<RuntimeError>,
    /// The console, with `foreground` and a plan that has one: a stream of bytes.
    pub(super) console: Option<OwnedFd>,
    socket: OwnedFd,
}

impl Launched {
    /// Waits for the end of a container in the foreground.
    ///
    /// # Errors
    /// When the monitor ends without saying how.
    pub fn wait(&self) -> Result<Exit, RuntimeError> {
        match hear(self.socket.as_fd())? {
            (Report::Ended { exit }, _) => Ok(exit),
            (Report::Failed { error }, _) => Err(error),
            (Report::Running { .. } | Report::Hooks { .. }, _) => Err(unexpected("a second start")),
        }
    }

    /// Readable when the monitor has something to say; for callers with a loop of their own.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The name that a monitor shows in lists of processes; also how a program learns that it is one.
pub(super) const MONITOR: &str = "[wxc monitor]";
/// The same for a process that enters a container in the place of a command.
pub(super) const ATTACH: &str = "[wxc attach]";

/// Starts a container and returns when it runs.
///
/// # Errors
/// Whatever failed, wherever it did; nothing of the start is left then.
pub fn launch(plan: &Plan, options: &LaunchOptions<'_>) -> Result<Launched, RuntimeError> {
    prepare(plan, options)?.go()
}

/// A monitor that has the plan and waits for the word to carry it out. It ends when it does not come.
#[derive(Debug)]
pub struct Prepared<'a> {
    plan: &'a Plan,
    options: &'a LaunchOptions<'a>,
    /// The way to it, until it has the word.
    socket: Option<OwnedFd>,
}

/// Makes the monitor and does not wait for it: while it comes up, the caller can do what has to be done before the start.
///
/// # Errors
/// No process can be made.
pub fn prepare<'a>(plan: &'a Plan, options: &'a LaunchOptions<'a>) -> Result<Prepared<'a>, RuntimeError> {
    let program = options.program.clone().unwrap_or_else(|| PathBuf::from(exe::SELF));
    let handover = handover::seal(&Handover {
        plan: plan.clone(),
        foreground: options.foreground,
        streams: options.streams.is_some(),
        // The path, not the link: in the monitor that would be the monitor's image.
        program: match &options.program {
            Some(program) => fs::canonicalize(program).unwrap_or_else(|_| program.clone()),
            None => exe::path().to_owned(),
        },
        runner: options.runner.clone(),
        environment: options.environment.clone(),
        starter_calls: options.hooks.is_some(),
    })?;
    let (ours, theirs) = message::pair(SocketType::SEQPACKET)
        .map_err(|error| RuntimeError::system("make a socket for the monitor", error))?;
    let own = [handover, theirs];
    let mut fds = borrow(&own);
    fds.extend(options.streams.into_iter().flatten());
    // With the host's ids, root of the container could write to the file that a process of ours
    // executes. So that process, which is the first one until it executes init, runs a copy.
    let copy = match plan.ids {
        Some(_) => None,
        None => Some(exe::sealed(&program).map_err(|error| {
            RuntimeError::system(format!("copy {} into memory", program.display()), error)
        })?),
    };
    let image = copy.as_ref().map_or(Image::Path(&program), |copy| Image::Memory(copy.as_fd()));
    let title = format!("{MONITOR} {} {}", plan.container.path.display(), plan.container.name);
    let helper = Helper {
        image,
        argv: &[title],
        environment: &[],
        fds: &fds,
        streams: None,
        detach: true,
        bound: false,
    };
    helper.spawn()?;
    Ok(Prepared { plan, options, socket: Some(ours) })
}

/// The word for a monitor that waits.
const GO: &[u8] = b"go";

/// Waits for that word; whether it came. A monitor whose starter has given up is not to do anything.
pub(super) fn may_go(socket: BorrowedFd<'_>) -> bool {
    message::receive(socket, GO.len()).is_ok_and(|word| word.is_some_and(|word| word.data == GO))
}

impl Prepared<'_> {
    /// Has the plan carried out, and returns when the container runs.
    ///
    /// # Errors
    /// As [`launch`].
    pub fn go(mut self) -> Result<Launched, RuntimeError> {
        let (plan, options) = (self.plan, self.options);
        let ours = self.socket.take().ok_or(RuntimeError::MonitorGone)?;
        message::send(&ours, GO, &[]).map_err(|_| RuntimeError::MonitorGone)?;
        if !plan.hooks.calls.is_empty() {
            failpoint::pass("start.handed-over")
                .map_err(|error| RuntimeError::system("wait for the monitor", error))?;
        }
        if let Some(caller) = options.hooks {
            caller.get_ready();
        }
        match hear_of_the_end(ours.as_fd(), options)? {
            (Report::Running { init, warnings }, fds) => {
                if let Some(path) = &options.pidfile {
                    // The monitor has written its state before it said so.
                    let monitor = run_directory::read(&plan.container.run).map_or(init, |it| it.monitor);
                    fs::write(path, format!("{monitor}\n"))
                        .map_err(|error| RuntimeError::system(format!("write {}", path.display()), error))?;
                }
                Ok(Launched { init, warnings, console: fds.into_iter().next(), socket: ours })
            }
            (Report::Failed { error }, _) => Err(error),
            (Report::Ended { .. } | Report::Hooks { .. }, _) => Err(unexpected("an end before the start")),
        }
    }
}

impl Drop for Prepared<'_> {
    /// Nothing is left of a monitor that was not needed when this returns.
    fn drop(&mut self) {
        let Some(socket) = &self.socket else { return };
        if rustix::net::shutdown(socket, Shutdown::Write).is_ok() {
            // It says nothing before it has the word: what comes is its end.
            message::receive(socket, REPORT_LIMIT).ok();
        }
    }
}

/// How the start ended; until then hooks are called when the monitor says that they are due.
fn hear_of_the_end(
    socket: BorrowedFd<'_>,
    options: &LaunchOptions<'_>,
) -> Result<(Report, Vec<OwnedFd>), RuntimeError> {
    loop {
        let (event, occasion, fds) = match hear(socket)? {
            (Report::Hooks { event, occasion }, fds) => (event, occasion, fds),
            other => return Ok(other),
        };
        let caller = options.hooks.ok_or_else(|| unexpected("hooks"))?;
        // What it said is still here when it is not: hooks must not act for a start that nobody goes on with.
        if is_gone(socket) {
            return Err(RuntimeError::MonitorGone);
        }
        let mut called = Called(caller.call(&event, &occasion, fds.into_iter().next()).err());
        for text in called.0.iter_mut().flat_map(|it| [Some(&mut it.why), it.hint.as_mut()]).flatten() {
            text.truncate(text.floor_char_boundary(LONGEST_WHY));
        }
        failpoint::pass("start.called").map_err(|error| RuntimeError::system("answer the monitor", error))?;
        let json = serde_json::to_vec(&called).map_err(|error| unexpected(&error.to_string()))?;
        message::send(socket, &json, &[]).map_err(|_| RuntimeError::MonitorGone)?;
    }
}

fn is_gone(socket: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    let polled = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())));
    polled.is_ok() && fds[0].revents().contains(PollFlags::HUP)
}

fn hear(socket: BorrowedFd<'_>) -> Result<(Report, Vec<OwnedFd>), RuntimeError> {
    let message = message::receive(socket, REPORT_LIMIT)
        .map_err(|error| RuntimeError::system("listen to the monitor", error))?
        .ok_or(RuntimeError::MonitorGone)?;
    let report = serde_json::from_slice(&message.data).map_err(|error| unexpected(&error.to_string()))?;
    Ok((report, message.fds))
}

fn unexpected(message: &str) -> RuntimeError {
    RuntimeError::Protocol { peer: "the monitor".to_owned(), message: message.to_owned() }
}
