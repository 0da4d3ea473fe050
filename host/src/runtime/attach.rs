#![forbid(unsafe_code)]
//! A command in a running container.
//!
//! The process is made by the same interpreter as the first one, with a shorter list: it enters all
//! namespaces in one call through the first process's pidfd, lets a process go on inside, and gives
//! that the container's limits, filter, capabilities and a user. Nothing of the caller's goes in but
//! the three standard streams, and not even these when there is a terminal: then the command gets
//! one of the container's own.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::net::SocketType;
use rustix::process::{WaitId, WaitIdOptions};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::tcsetwinsize;
use serde::{Deserialize, Serialize};
use wxc_child::op::{Op, Slot, Slots};
use wxc_child::report::Failure;
use wxc_child::sync::Point;

use super::accounts::{self, Account};
use super::caps::{self, CapabilitySet};
use super::cgroup::Cgroups;
use super::compile::{self, DEFAULT_PATH};
use super::control::Entrance;
use super::helper::{Helper, Image};
use super::launch::ATTACH;
use super::program::{Builder, Compiled};
use super::state::Exit;
use super::terminal::{Session, Signals, is_terminal};
use super::{Client, RuntimeError, handover, message, spawn};
use crate::plan::{Namespace, NamespaceAction, Plan};
use crate::sys::clone::{self, Process};
use crate::sys::{exe, signal};

/// Whether the command gets a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TerminalUse {
    /// If the caller has one.
    #[default]
    Auto,
    Always,
    Never,
}

/// What the command is spared of the container's restrictions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elevated {
    /// All capabilities, and new privileges.
    pub capabilities: bool,
    /// No system-call filter.
    pub seccomp: bool,
    /// Stay in the caller's cgroups and limits.
    pub cgroup: bool,
}

/// A command to run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachRequest {
    /// Run directory of the container, and its name for messages.
    pub run: PathBuf,
    pub name: String,
    /// `None`: the user's shell.
    pub argv: Option<Vec<String>>,
    /// Name or number; `None`: root.
    pub user: Option<String>,
    /// Name or number; `None`: the user's.
    pub group: Option<String>,
    /// `None`: the user's home, or `/`.
    pub cwd: Option<String>,
    /// Set above all else.
    pub environment: Vec<(String, String)>,
    /// Begin with the caller's environment and not with a clean one.
    pub keep_environment: bool,
    /// `None`: all of the container's.
    pub namespaces: Option<Vec<Namespace>>,
    pub elevated: Elevated,
    pub terminal: TerminalUse,
    /// The program of helpers; `None`: the running one. It must call
    /// [`super::roles::dispatch`] first thing in `main`.
    pub program: Option<PathBuf>,
}

/// Runs a command in a container and says how it ended.
///
/// # Errors
/// When the command could not be executed; [`RuntimeError::exit_status`] says what a shell would.
pub fn attach(request: &AttachRequest) -> Result<Exit, RuntimeError> {
    attach_with(request, [stdin(), stdout(), stderr()])
}

/// As [`attach`], with other standard streams than the caller's.
///
/// # Errors
/// As [`attach`].
pub fn attach_with(request: &AttachRequest, streams: [BorrowedFd<'_>; 3]) -> Result<Exit, RuntimeError> {
    let (entrance, init, plan) = Client::connect(&request.run, &request.name)?.enter()?;
    // Root of a container with the host's ids could write to the file that our process executes
    // while it is inside (CVE-2019-5736): only a sealed copy goes there.
    if plan.ids.is_none() && !exe::is_sealed() {
        return by_sealed_copy(request, streams);
    }
    let root = root_of(&entrance, &init)?;
    let account = account(request, root.as_fd())?;
    let flags = namespaces(request, &plan);
    let inside = flags & libc::CLONE_NEWNS != 0;
    let terminal = inside
        && match request.terminal {
            TerminalUse::Auto => is_terminal(),
            TerminalUse::Always => true,
            TerminalUse::Never => false,
        };
    let entry = Entry { request, plan: &plan, account: &account, flags, terminal };
    let (program, fds) = entry.compile(init.as_fd(), streams)?;
    let outside = Cgroups::default();
    let cgroups = if request.elevated.cgroup { &outside } else { &entrance.cgroups };
    let started = start(&program, &fds, cgroups, |process| {
        if !request.elevated.cgroup {
            spawn::limit(process.pid, &plan.limits)?;
        }
        Ok(())
    })?;
    started.accompany()
}

/// The container's root directory, reached through its first process.
fn root_of(entrance: &Entrance, init: &OwnedFd) -> Result<OwnedFd, RuntimeError> {
    let fail = |error: std::io::Error| RuntimeError::system("look into the container", error);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = format!("/proc/{}/root", entrance.init);
    let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| fail(error.into()))?;
    // The number was the first process's if that is still there.
    signal::send(init.as_fd(), 0).map_err(fail)?;
    Ok(root)
}

fn account(request: &AttachRequest, root: BorrowedFd<'_>) -> Result<Account, RuntimeError> {
    let user = request.user.as_deref().unwrap_or("0");
    let unknown = |kind: &str, name: &str| RuntimeError::Part {
        what: format!("become {kind} {name:?}"),
        message: format!("{} has no such {kind}", request.name),
        hint: Some("give a name of its account files, or a number".to_owned()),
    };
    let mut account = accounts::find(root, user).ok_or_else(|| unknown("user", user))?;
    if let Some(group) = &request.group {
        account.group = accounts::find_group(root, group).ok_or_else(|| unknown("group", group))?;
    }
    Ok(account)
}

/// `CLONE_NEW*` of what is entered: what is the host's cannot be.
fn namespaces(request: &AttachRequest, plan: &Plan) -> i32 {
    plan.namespaces
        .iter()
        .filter(|step| step.action != NamespaceAction::Keep)
        .filter(|step| request.namespaces.as_ref().is_none_or(|wanted| wanted.contains(&step.kind)))
        .filter_map(|step| spawn::KINDS.iter().find(|(kind, ..)| *kind == step.kind))
        .fold(0, |flags, (_, flag, ..)| flags | flag)
}

/// One entry, to be compiled.
struct Entry<'a> {
    request: &'a AttachRequest,
    plan: &'a Plan,
    account: &'a Account,
    flags: i32,
    terminal: bool,
}

impl Entry<'_> {
    fn compile(
        &self,
        init: BorrowedFd<'_>,
        given: [BorrowedFd<'_>; 3],
    ) -> Result<(Compiled, Vec<i32>), RuntimeError> {
        let mut builder = Builder::default();
        // The root's place stays free for the child.
        let mut fds = vec![-1, init.as_raw_fd()];
        fds.extend(given.map(|fd| fd.as_raw_fd()));
        builder.slots(5)?;
        let streams = [Slot(2), Slot(3), Slot(4)];
        let none = Slots { first: 0, count: 0 };

        // Nothing in the container may look into this process while it still knows the host.
        builder.step("refuse to be traced", Op::Undumpable);
        let born = Op::Meet { point: Point::Born, send: none, receive: none };
        builder.step("wait for the cgroups", born);
        if self.flags != 0 {
            let op = Op::Enter { namespaces: Slot(1), flags: self.flags };
            builder.step("enter the namespaces", op);
        }
        if self.flags & libc::CLONE_NEWPID != 0 {
            builder.step("make a process inside", Op::Sibling);
        }
        // Roots of user namespaces are as good as the host's in there; before the terminal is made,
        // so that it is the container's.
        let nobody = builder.bytes(&[])?;
        if self.flags & libc::CLONE_NEWUSER != 0 {
            let op = Op::Ids { user: 0, group: 0, groups: nobody };
            builder.step("become root of the container", op);
            builder.step("refuse to be traced", Op::Undumpable);
        }
        builder.step("take a session keyring", Op::Keyring);
        let terminal = builder.slots(2)?;
        let (master, slave) = (Slot(terminal.first), Slot(terminal.first + 1));
        let mut send = none;
        if self.terminal {
            builder.step("open the container's root", Op::OpenRoot);
            let owner = Some(self.account.user);
            let op = Op::Terminal { master, slave, target: None, owner };
            builder.step("make a terminal in the container", op);
            send = Slots { first: master.0, count: 1 };
        }
        let joined = Op::Meet { point: Point::Joined, send, receive: none };
        builder.step("hand the terminal over", joined);
        let streams = if self.terminal { [slave; 3] } else { streams };
        self.become_user(&mut builder, streams)?;
        Ok((builder.finish(), fds))
    }

    fn become_user(&self, builder: &mut Builder, streams: [Slot; 3]) -> Result<(), RuntimeError> {
        let (account, elevated, security) = (self.account, self.request.elevated, &self.plan.security);
        // Always a session of its own: one that shares the caller's terminal could type on it.
        let terminal = self.terminal.then_some(streams[0]);
        builder.step("begin a session", Op::Session { terminal });
        let [input, output, error] = streams;
        builder.step("connect the standard streams", Op::Stdio { input, output, error });
        builder.step("set the umask", Op::Umask { mask: 0o022 });
        if let Some(persona) = &self.plan.init.personality {
            builder.step(format!("take the personality {persona}"), compile::personality(persona)?);
        }
        let keep = if elevated.capabilities {
            u64::MAX
        } else {
            CapabilitySet::from_names(&security.capabilities)
                .map_err(|error| RuntimeError::part("read the capabilities", &error, None))?
                .0
        };
        let last =
            caps::last().map_err(|error| RuntimeError::part("limit the capabilities", &error, None))?;
        builder.step("limit the bounding set", Op::Bounding { keep, last: last.into() });
        let no_new_privs = security.no_new_privs && !elevated.capabilities;
        let filter = if elevated.seccomp { None } else { compile::filter(builder, self.plan)? };
        if let (Some(op), false) = (filter, no_new_privs) {
            builder.step("load the system-call filter", op);
        }
        let groups: Vec<u8> = account.groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
        let groups = builder.bytes(&groups)?;
        let op = Op::Ids { user: account.user, group: account.group, groups };
        builder.step(format!("become user {}, group {}", account.user, account.group), op);
        builder.step("limit the capabilities", Op::Capabilities { keep });
        if no_new_privs {
            builder.step("forbid new privileges", Op::NoNewPrivs);
            if let Some(op) = filter {
                builder.step("load the system-call filter", op);
            }
        }
        match &self.request.cwd {
            Some(cwd) => {
                let path = builder.text(cwd.as_str())?;
                builder.step(format!("change to the directory {cwd}"), Op::Chdir { path });
            }
            None => {
                let paths = builder.texts([account.home.as_str(), "/"])?;
                builder.step("change to the home directory", Op::ChdirAny { paths });
            }
        }
        builder.step("let all signals through", Op::Signals);
        builder.step("close what is the caller's", Op::CloseOnExec);
        let environment = self.environment();
        let path = environment.iter().rev().find(|(key, _)| key == "PATH");
        let path = path.map_or_else(|| DEFAULT_PATH.to_owned(), |(_, value)| value.clone());
        let envp = builder.vector(environment.into_iter().map(|(key, value)| format!("{key}={value}")))?;
        let argv = self.request.argv.clone().unwrap_or_else(|| vec![self.shell()]);
        compile::execute(builder, &argv, &path, envp)
    }

    fn shell(&self) -> String {
        let shell = &self.account.shell;
        if shell.starts_with('/') { shell.clone() } else { "/bin/sh".to_owned() }
    }

    /// Later ones win.
    fn environment(&self) -> Vec<(String, String)> {
        let mut environment: Vec<(String, String)> = Vec::new();
        let mut set = |key: &str, value: String| {
            environment.retain(|(known, _)| known != key);
            environment.push((key.to_owned(), value));
        };
        if self.request.keep_environment {
            for (key, value) in std::env::vars() {
                set(&key, value);
            }
        }
        set("PATH", DEFAULT_PATH.to_owned());
        for setting in &self.plan.init.environment {
            set(&setting.key, setting.value.clone());
        }
        set("container", "lxc".to_owned());
        set("HOME", self.account.home.clone());
        set("SHELL", self.shell());
        if let Some(name) = &self.account.name {
            set("USER", name.clone());
            set("LOGNAME", name.clone());
        }
        if let (true, Ok(term)) = (self.terminal, std::env::var("TERM")) {
            set("TERM", term);
        }
        for (key, value) in &self.request.environment {
            set(key, value.clone());
        }
        environment
    }
}

/// A command that runs.
struct Attached {
    process: OwnedFd,
    terminal: Option<OwnedFd>,
}

fn start(
    program: &Compiled,
    fds: &[i32],
    cgroups: &Cgroups,
    born: impl FnOnce(&Process) -> Result<(), RuntimeError>,
) -> Result<Attached, RuntimeError> {
    let (ours, theirs) = message::pair(SocketType::SEQPACKET)
        .map_err(|error| RuntimeError::system("make a socket for the command", error))?;
    let first = program.with(fds, theirs.as_raw_fd(), |program| {
        cgroups
            .spawn_inside(|cgroup| clone::spawn(program, 0, cgroup))
            .map_err(|error| RuntimeError::part("enter the container's cgroups", &error, error.hint()))?
            .map_err(|error| RuntimeError::system("make a process", error))
    })?;
    drop(theirs);
    let mut joined = Joined::default();
    let outcome = converse(&ours, program, &first, &mut joined, born);
    if outcome.is_err() {
        drop(ours);
        for fd in joined.process.iter().chain([&first.pidfd]) {
            signal::send(fd.as_fd(), libc::SIGKILL).ok();
            wait_for(fd.as_fd());
        }
        outcome?;
    }
    let process = match joined.process {
        Some(process) => {
            // The one that made it inside has done its work.
            spawn::wait(&first);
            process
        }
        None => first.pidfd,
    };
    Ok(Attached { process, terminal: joined.terminal })
}

/// What came from the other side.
#[derive(Default)]
struct Joined {
    /// The process that was made inside, if one had to be.
    process: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
}

fn converse(
    socket: &OwnedFd,
    program: &Compiled,
    first: &Process,
    joined: &mut Joined,
    born: impl FnOnce(&Process) -> Result<(), RuntimeError>,
) -> Result<(), RuntimeError> {
    let mut born = Some(born);
    let mut complete = false;
    loop {
        let message = message::receive(socket, Failure::SIZE)
            .map_err(|error| RuntimeError::system("listen to the command's process", error))?;
        let Some(message) = message else { break };
        if let Some(failure) = Failure::decode(&message.data) {
            return Err(program.explain(failure));
        }
        let mut fds = message.fds.into_iter();
        match (Point::decode(&message.data), born.take()) {
            (Some(Point::Born), Some(born)) => born(first)?,
            (Some(Point::Entered), None) => {
                joined.process = Some(fds.next().ok_or_else(nonsense)?);
                // Whoever sent this has ended.
                continue;
            }
            (Some(Point::Joined), None) => {
                joined.terminal = fds.next();
                complete = true;
            }
            _ => return Err(nonsense()),
        }
        message::send(socket, &message.data, &[])
            .map_err(|error| RuntimeError::system("answer the command's process", error))?;
    }
    if complete { Ok(()) } else { Err(RuntimeError::Died { how: "a signal".to_owned() }) }
}

fn nonsense() -> RuntimeError {
    RuntimeError::Protocol {
        peer: "the command's process".to_owned(),
        message: "a message out of order".to_owned(),
    }
}

impl Attached {
    /// Until it ends.
    fn accompany(self) -> Result<Exit, RuntimeError> {
        let fail = |error| RuntimeError::system("accompany the command", error);
        let process = self.process.as_fd();
        let mut on_signal = |number| {
            signal::send(process, number).ok();
        };
        match &self.terminal {
            Some(master) => {
                let mut on_resize = |size| {
                    tcsetwinsize(master, size).ok();
                };
                let mut session = Session {
                    remote: master.as_fd(),
                    end: Some(process),
                    escape: None,
                    on_resize: &mut on_resize,
                    on_signal: &mut on_signal,
                };
                session.run().map_err(fail)?;
            }
            None => {
                let signals = Signals::catch().map_err(fail)?;
                signals.until_readable(process, &mut on_signal).map_err(fail)?;
            }
        }
        wait_for(process).ok_or_else(|| RuntimeError::Died { how: "an unknown cause".to_owned() })
    }
}

fn wait_for(process: BorrowedFd<'_>) -> Option<Exit> {
    let options = WaitIdOptions::EXITED;
    let wait = || rustix::process::waitid(WaitId::PidFd(process), options);
    let status = rustix::io::retry_on_intr(wait).ok()??;
    Some(Exit { code: status.exit_status(), signal: status.terminating_signal(), reboot: false })
}

/// The same request, carried out by a process that runs a sealed copy of this program.
fn by_sealed_copy(request: &AttachRequest, streams: [BorrowedFd<'_>; 3]) -> Result<Exit, RuntimeError> {
    let program = request.program.clone().unwrap_or_else(|| PathBuf::from(exe::SELF));
    let copy = exe::sealed_copy(&program)
        .map_err(|error| RuntimeError::system("copy this program into memory", error))?;
    let mut request = request.clone();
    if request.keep_environment {
        let kept =
            std::env::vars().filter(|(key, _)| !request.environment.iter().any(|(known, _)| known == key));
        request.environment.extend(kept.collect::<Vec<_>>());
    }
    let memory = handover::seal(&request)?;
    let (ours, theirs) = message::pair(SocketType::SEQPACKET)
        .map_err(|error| RuntimeError::system("make a socket for a helper", error))?;
    let title = format!("{ATTACH} {}", request.name);
    let term: Vec<String> = std::env::var("TERM").map(|term| format!("TERM={term}")).into_iter().collect();
    // The helper has our terminal and gets its signals by itself; ours is to wait.
    let signals = Signals::catch().map_err(|error| RuntimeError::system("block the signals", error))?;
    let helper = Helper {
        image: Image::Memory(copy.as_fd()),
        argv: &[title],
        environment: &term,
        fds: &[memory.as_fd(), theirs.as_fd()],
        streams: Some(streams),
        detach: false,
    };
    let process = helper.spawn()?;
    drop(theirs);
    let pidfd = process.pidfd.as_fd();
    let mut on_signal = |number| {
        signal::send(pidfd, number).ok();
    };
    signals
        .until_readable(pidfd, &mut on_signal)
        .map_err(|error| RuntimeError::system("wait for the helper", error))?;
    wait_for(pidfd);
    let answer = message::receive(&ours, super::launch::REPORT_LIMIT)
        .map_err(|error| RuntimeError::system("listen to the helper", error))?;
    let answer = answer.ok_or_else(|| RuntimeError::Died { how: "the end of its helper".into() })?;
    serde_json::from_slice::<Result<Exit, RuntimeError>>(&answer.data).map_err(|error| {
        RuntimeError::Protocol { peer: "the helper".to_owned(), message: error.to_string() }
    })?
}

/// The attach role: the other side of [`by_sealed_copy`].
pub(super) fn main() -> std::process::ExitCode {
    let (Ok(memory), Ok(socket)) = (crate::sys::fd::inherited(3), crate::sys::fd::inherited(4)) else {
        return std::process::ExitCode::FAILURE;
    };
    let outcome = handover::open::<AttachRequest>(memory.as_fd()).and_then(|request| attach(&request));
    let json = serde_json::to_vec(&outcome).unwrap_or_default();
    match message::send(&socket, &json, &[]) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(_) => std::process::ExitCode::FAILURE,
    }
}
