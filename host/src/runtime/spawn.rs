#![forbid(unsafe_code)]
//! The clone, and the conversation with the child until it has executed its program.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::SocketType;
use rustix::process::{Pid, Resource, Rlimit, WaitId, WaitIdOptions};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use wxc_child::report::Failure;
use wxc_child::sync::Point;

use super::RuntimeError;
use super::cgroup::Cgroups;
use super::compile::{self, Child, Request, Streams};
use super::message::{self, Message};
use super::sources::Sources;
use super::{idmap, message as packets};
use crate::plan::{Namespace, NamespaceAction, Plan, ResourceLimit};
use crate::sys::clone::{self, Process};
use crate::sys::own_ids;
use crate::sys::rootfs::Mark;
use crate::sys::thread::SingleThreaded;

/// What the monitor does when the child waits for it.
pub(super) trait Attendant {
    /// The child exists and has done nothing: its process can be put where it belongs.
    fn born(&mut self, child: &Process) -> Result<(), RuntimeError>;
    /// Nothing is mounted yet, and what it mounts is seen by nobody else.
    fn pre_mount(&mut self, child: &Process) -> Result<(), RuntimeError>;
    /// Everything is mounted below its root, and `/dev` has no nodes yet.
    fn mounted(&mut self, child: &Process, root: BorrowedFd<'_>) -> Result<(), RuntimeError>;
    /// Everything is in place; after this the program is executed.
    fn ready(&mut self, child: &Process) -> Result<(), RuntimeError>;
    /// A step that the plan calls optional has failed.
    fn skipped(&mut self, warning: RuntimeError);
}

/// A running first process.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    /// Masters and slaves, one after the other: the console's first, if there is one.
    pub(super) terminals: Vec<OwnedFd>,
}

/// Clones the first process and accompanies it until it has executed its program.
pub(super) fn start(
    plan: &Plan,
    streams: Streams<'_>,
    controlling: bool,
    cgroups: &Cgroups,
    attendant: &mut impl Attendant,
) -> Result<Started, RuntimeError> {
    let single =
        SingleThreaded::prove().map_err(|error| RuntimeError::Refused { reason: error.to_string() })?;
    let namespaces = Namespaces::of(plan)?;
    let mut sources = Sources::open(plan, own_ids::has_power())?;
    for warning in sources.warnings.drain(..) {
        attendant.skipped(warning);
    }
    let request = Request { streams, controlling, join: namespaces.for_child() };
    let child = compile::compile(plan, &sources, &request)?;
    let (ours, theirs) = message::pair(SocketType::SEQPACKET)
        .map_err(|error| RuntimeError::system("make a socket for the first process", error))?;
    let process = {
        let _back = namespaces.enter(&single)?;
        child.program.with(&child.fds, theirs.as_raw_fd(), |program| {
            cgroups
                .spawn_inside(|cgroup| clone::spawn(program, namespaces.flags, cgroup))
                .map_err(|error| RuntimeError::part("enter the cgroups", &error, error.hint()))?
                .map_err(|error| RuntimeError::system("create the first process", error))
        })?
    };
    drop(theirs);
    let mut talk = Conversation { plan, sources: &sources, child: &child, process: &process };
    match talk.until_executed(&ours, attendant) {
        Ok(terminals) => Ok(Started { process, terminals }),
        Err(error) => {
            // It waits for an answer that never comes, or has ended by itself.
            crate::sys::signal::send(process.pidfd.as_fd(), libc::SIGKILL).ok();
            wait(&process);
            Err(error)
        }
    }
}

/// What [`wait`] says of a process that has done its work.
pub(super) const SUCCESS: &str = "exit status 0";

/// Waits until a process has ended; its status in words.
pub(super) fn wait(process: &Process) -> Option<String> {
    let status = rustix::io::retry_on_intr(|| {
        rustix::process::waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED)
    });
    let status = status.ok().flatten()?;
    Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "an unknown cause".to_owned(),
    })
}

/// The same with an end: a process that is still there after `time` is killed, and `None`.
pub(super) fn wait_within(process: &Process, time: Duration) -> Option<String> {
    let mut fds = [PollFd::new(&process.pidfd, PollFlags::IN)];
    let time = Timespec::try_from(time).ok();
    let ended = rustix::io::retry_on_intr(|| poll(&mut fds, time.as_ref()));
    if ended.is_ok_and(|ended| ended > 0) {
        return Some(wait(process).unwrap_or_else(|| "an unknown cause".to_owned()));
    }
    crate::sys::signal::send(process.pidfd.as_fd(), libc::SIGKILL).ok();
    wait(process);
    None
}

struct Conversation<'a> {
    plan: &'a Plan,
    sources: &'a Sources,
    child: &'a Child,
    process: &'a Process,
}

impl Conversation<'_> {
    fn until_executed(
        &mut self,
        socket: &OwnedFd,
        attendant: &mut impl Attendant,
    ) -> Result<Vec<OwnedFd>, RuntimeError> {
        let mut terminals = Vec::new();
        let mut last = None;
        loop {
            let message = packets::receive(socket, Failure::SIZE)
                .map_err(|error| RuntimeError::system("listen to the first process", error))?;
            let Some(Message { data, fds }) = message else { break };
            if let Some(failure) = Failure::decode(&data) {
                let error = self.child.program.explain(failure);
                if !failure.skipped {
                    return Err(error);
                }
                attendant.skipped(error);
                continue;
            }
            let point = Point::decode(&data)
                .filter(|point| Some(*point) > last)
                .ok_or_else(|| unexpected(&format!("{data:?} after {last:?}")))?;
            last = Some(point);
            match point {
                Point::Born => self.born(attendant)?,
                Point::PreMount => attendant.pre_mount(self.process)?,
                Point::Mount => {
                    let root = fds.first().ok_or_else(|| unexpected("no root"))?;
                    attendant.mounted(self.process, root.as_fd())?;
                }
                Point::Mounted if fds.len() != self.child.terminals => {
                    return Err(unexpected(&format!("{} terminals", fds.len())));
                }
                Point::Mounted => terminals = fds,
                Point::Ready => attendant.ready(self.process)?,
                Point::Entered | Point::Joined => {}
            }
            packets::send(socket, &[point as u8], &[])
                .map_err(|error| RuntimeError::system("answer the first process", error))?;
        }
        // End of file: it has executed its program, or it was killed before.
        if last != Some(Point::Ready) {
            let how = wait(self.process).unwrap_or_else(|| "an unknown cause".to_owned());
            return Err(RuntimeError::Died { how });
        }
        Ok(terminals)
    }

    fn born(&self, attendant: &mut impl Attendant) -> Result<(), RuntimeError> {
        let pid = self.process.pid;
        if let (Some(map), true) = (&self.plan.ids, is_new(self.plan, Namespace::User)) {
            idmap::write(pid, map)?;
        }
        attendant.born(self.process)?;
        limit(pid, &self.plan.limits)?;
        if self.plan.ids.is_some() {
            self.sources.map(namespace_file(pid, "user")?.as_fd())?;
        }
        Ok(())
    }
}

fn unexpected(message: &str) -> RuntimeError {
    RuntimeError::Protocol { peer: "the first process".to_owned(), message: message.to_owned() }
}

/// An open namespace of a process.
pub(super) fn namespace_file(pid: Pid, name: &str) -> Result<OwnedFd, RuntimeError> {
    let path = format!("/proc/{}/ns/{name}", pid.as_raw_nonzero());
    File::open(&path).map(OwnedFd::from).map_err(|error| RuntimeError::system(format!("open {path}"), error))
}

/// What is `/` to a process that has left the host's tree and executed nothing yet.
pub(super) fn root_of(pid: Pid) -> Result<Mark, RuntimeError> {
    let path = format!("/proc/{}/root", pid.as_raw_nonzero());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&path, flags, Mode::empty()).and_then(|root| Mark::of(root.as_fd()));
    root.map_err(|error| RuntimeError::system(format!("look at {path}"), error))
}

/// Those that were made for the container, open.
pub(super) fn own_namespaces(plan: &Plan, pid: Pid) -> Result<Vec<(&'static str, OwnedFd)>, RuntimeError> {
    let own = KINDS.iter().filter(|(kind, ..)| is_new(plan, *kind));
    own.map(|(_, _, name, _)| Ok((*name, namespace_file(pid, name)?))).collect()
}

fn is_new(plan: &Plan, kind: Namespace) -> bool {
    plan.namespaces.iter().any(|step| step.kind == kind && step.action == NamespaceAction::New)
}

/// Limits are set from outside: raising them takes rights that the container does not have.
pub(super) fn limit(pid: Pid, limits: &[ResourceLimit]) -> Result<(), RuntimeError> {
    for limit in limits {
        let resource = resource(&limit.resource).ok_or_else(|| RuntimeError::Refused {
            reason: format!("there is no resource limit {:?}", limit.resource),
        })?;
        let value = Rlimit { current: limit.soft, maximum: limit.hard };
        rustix::process::prlimit(Some(pid), resource, value)
            .map_err(|error| RuntimeError::system(format!("set the limit {}", limit.resource), error))?;
    }
    Ok(())
}

/// Names as in prlimit(1) and getrlimit(2).
fn resource(name: &str) -> Option<Resource> {
    const RESOURCES: &[(&str, Resource)] = &[
        ("as", Resource::As),
        ("core", Resource::Core),
        ("cpu", Resource::Cpu),
        ("data", Resource::Data),
        ("fsize", Resource::Fsize),
        ("locks", Resource::Locks),
        ("memlock", Resource::Memlock),
        ("msgqueue", Resource::Msgqueue),
        ("nice", Resource::Nice),
        ("nofile", Resource::Nofile),
        ("nproc", Resource::Nproc),
        ("rss", Resource::Rss),
        ("rtprio", Resource::Rtprio),
        ("rttime", Resource::Rttime),
        ("sigpending", Resource::Sigpending),
        ("stack", Resource::Stack),
    ];
    RESOURCES.iter().find(|(known, _)| *known == name).map(|(_, resource)| *resource)
}

/// The namespaces of a start: which are made by the clone, which are joined, and by whom.
struct Namespaces {
    /// `CLONE_NEW*` of those that are made.
    flags: u64,
    /// With their fd, in the plan's order.
    join: Vec<(Namespace, OwnedFd)>,
}

/// Each namespace with its flag and its name below `/proc/PID/ns`. The time and cgroup namespaces are
/// made by the child itself, when it is where they shall begin.
pub(super) const KINDS: &[(Namespace, i32, &str, LinkNameSpaceType)] = &[
    (Namespace::User, libc::CLONE_NEWUSER, "user", LinkNameSpaceType::User),
    (Namespace::Mount, libc::CLONE_NEWNS, "mnt", LinkNameSpaceType::Mount),
    (Namespace::Pid, libc::CLONE_NEWPID, "pid", LinkNameSpaceType::ProcessID),
    (Namespace::Uts, libc::CLONE_NEWUTS, "uts", LinkNameSpaceType::HostNameAndNISDomainName),
    (Namespace::Ipc, libc::CLONE_NEWIPC, "ipc", LinkNameSpaceType::InterProcessCommunication),
    (Namespace::Net, libc::CLONE_NEWNET, "net", LinkNameSpaceType::Network),
    (Namespace::Cgroup, libc::CLONE_NEWCGROUP, "cgroup", LinkNameSpaceType::ControlGroup),
    (Namespace::Time, 0x80, "time", LinkNameSpaceType::Time),
];

fn kind_of(kind: Namespace) -> (i32, &'static str, LinkNameSpaceType) {
    KINDS
        .iter()
        .find(|(known, ..)| *known == kind)
        .map_or((0, "", LinkNameSpaceType::Mount), |(_, flag, name, link)| (*flag, *name, *link))
}

impl Namespaces {
    fn of(plan: &Plan) -> Result<Self, RuntimeError> {
        if !is_new(plan, Namespace::Mount) {
            let reason = "without a mount namespace of its own its root would be the host's".into();
            return Err(RuntimeError::Refused { reason });
        }
        let mut flags = 0;
        let mut join = Vec::new();
        for step in &plan.namespaces {
            let (flag, ..) = kind_of(step.kind);
            match &step.action {
                NamespaceAction::New if matches!(step.kind, Namespace::Cgroup | Namespace::Time) => {}
                NamespaceAction::New => flags |= u64::from(flag.cast_unsigned()),
                NamespaceAction::Keep => {}
                NamespaceAction::Join(path) => {
                    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
                        RuntimeError::system(format!("open the namespace {}", path.display()), error)
                    })?;
                    join.push((step.kind, fd));
                }
            }
        }
        Ok(Self { flags, join })
    }

    /// Whether the child joins its namespaces by itself: it must when it joins a user namespace, as
    /// that is where its rights over the others come from. A process namespace is only ever for
    /// children, so that one is always the monitor's to join.
    fn by_child(&self) -> bool {
        self.join.iter().any(|(kind, _)| *kind == Namespace::User)
    }

    fn for_child(&self) -> Vec<(i32, BorrowedFd<'_>)> {
        let mine = self.join.iter().filter(|(kind, _)| self.by_child() && *kind != Namespace::Pid);
        let mut mine: Vec<_> = mine.collect();
        // The user namespace first, for the same reason.
        mine.sort_by_key(|(kind, _)| *kind != Namespace::User);
        mine.into_iter().map(|(kind, fd)| (kind_of(*kind).0, fd.as_fd())).collect()
    }

    /// Enters what the child shall be born into; leaving the guard goes back. A thread enters for
    /// itself alone (setns(2)): with another one, half of the monitor would be somewhere else.
    fn enter(&self, _: &SingleThreaded) -> Result<Vec<Back>, RuntimeError> {
        let mut back = Vec::new();
        for (kind, fd) in &self.join {
            if self.by_child() && *kind != Namespace::Pid {
                continue;
            }
            let (_, name, link) = kind_of(*kind);
            let fail = |error| RuntimeError::system(format!("join the {name} namespace"), error);
            let own = File::open(format!("/proc/self/ns/{name}")).map_err(|error| {
                RuntimeError::system(format!("open the monitor's {name} namespace"), error)
            })?;
            move_into_link_name_space(fd.as_fd(), Some(link)).map_err(fail)?;
            back.push(Back { own: own.into(), link });
        }
        Ok(back)
    }
}

/// The way back into the monitor's own namespace.
struct Back {
    own: OwnedFd,
    link: LinkNameSpaceType,
}

impl Drop for Back {
    fn drop(&mut self) {
        // It was in there a moment ago and has lost no rights since.
        move_into_link_name_space(self.own.as_fd(), Some(self.link)).ok();
    }
}
