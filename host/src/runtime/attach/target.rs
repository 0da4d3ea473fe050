#![forbid(unsafe_code)]
//! The container that is entered: everything about it comes from its monitor and the host's kernel.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, Stat, fstat, open, stat};

use super::AttachRequest;
use crate::plan::{Namespace, Plan};
use crate::runtime::cgroup::Cgroups;
use crate::runtime::spawn::KINDS;
use crate::runtime::{Client, RuntimeError};
use crate::sys::signal;

/// A running container.
#[derive(Debug)]
pub(super) struct Target {
    /// The first process, as this process's `/proc` shows it; means something only as long as
    /// `pidfd` lives.
    pub(super) init: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) cgroups: Cgroups,
    /// As it was started.
    pub(super) plan: Plan,
}

/// `CLONE_NEW*` of namespaces.
pub(super) type Flags = i32;

impl Target {
    pub(super) fn find(request: &AttachRequest) -> Result<Self, RuntimeError> {
        let (entrance, pidfd, plan) = Client::connect(&request.run, &request.name)?.enter()?;
        // Whatever enters the cgroup of a frozen container stands still, and so would this command.
        let frozen = entrance.cgroups.is_frozen();
        if frozen.map_err(|error| RuntimeError::part("look at the cgroups", &error, error.hint()))? {
            return Err(RuntimeError::Part {
                what: format!("enter {}", request.name),
                message: "it is frozen".to_owned(),
                hint: Some(format!("let it run again with `wxc unfreeze {}`", request.name)),
            });
        }
        // Not the number that the monitor knows: this process may be in another process namespace.
        let init = number(&pidfd).ok_or_else(|| RuntimeError::NotRunning { name: request.name.clone() })?;
        Ok(Self { init, pidfd, cgroups: entrance.cgroups, plan })
    }

    /// One whose parts the caller has.
    pub(super) fn known(init: i32, pidfd: OwnedFd, cgroups: Cgroups, plan: Plan) -> Self {
        Self { init, pidfd, cgroups, plan }
    }

    /// The same with other cgroups to enter.
    pub(super) fn with(&self, cgroups: Cgroups) -> Result<Self, RuntimeError> {
        let pidfd = self.pidfd.try_clone();
        let pidfd =
            pidfd.map_err(|error| RuntimeError::system("find the container's first process", error))?;
        Ok(Self { init: self.init, pidfd, cgroups, plan: self.plan.clone() })
    }

    /// Those of the wanted namespaces that are not this process's own: entering one's own user
    /// namespace is an error (setns(2)), the others' changes nothing.
    pub(super) fn namespaces(&self, wanted: Option<&[Namespace]>) -> Result<Flags, RuntimeError> {
        let mut flags = 0;
        for (kind, flag, name, _) in KINDS {
            if wanted.is_some_and(|wanted| !wanted.contains(kind)) {
                continue;
            }
            let theirs = match stat(format!("/proc/{}/ns/{name}", self.init)) {
                // This kernel has no such namespaces.
                Err(rustix::io::Errno::NOENT) => continue,
                other => other.map_err(|error| fail(name, error))?,
            };
            let ours = stat(format!("/proc/self/ns/{name}")).map_err(|error| fail(name, error))?;
            if !same(&theirs, &ours) {
                flags |= flag;
            }
        }
        self.check()?;
        Ok(flags)
    }

    /// The container's root directory.
    pub(super) fn root(&self) -> Result<OwnedFd, RuntimeError> {
        let root = directory(&format!("/proc/{}/root", self.init))
            .map_err(|error| RuntimeError::system("open the container's root", error))?;
        self.check()?;
        Ok(root)
    }

    /// The network namespace, if it is not this process's own.
    pub(super) fn network(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        let fail = |error| fail("network", error);
        let path = format!("/proc/{}/ns/net", self.init);
        let theirs = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
        self.check()?;
        let ours = stat("/proc/self/ns/net").map_err(fail)?;
        let theirs_is = fstat(&theirs).map_err(fail)?;
        Ok((!same(&theirs_is, &ours)).then_some(theirs))
    }

    /// What `/proc/NUMBER` said was about the first process, if that has not been reaped yet.
    fn check(&self) -> Result<(), RuntimeError> {
        signal::send(self.pidfd.as_fd(), 0)
            .map_err(|error| RuntimeError::system("find the container's first process", error))
    }
}

/// The process of a pidfd (`/proc/PID/fdinfo`, proc_pid_fdinfo(5)); `None` when it has ended.
fn number(pidfd: &OwnedFd) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn fail(name: &str, error: rustix::io::Errno) -> RuntimeError {
    RuntimeError::system(format!("find the {name} namespace"), error)
}

/// A directory of the host, as a place to begin at.
pub(super) fn directory(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}
