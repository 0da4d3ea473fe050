#![forbid(unsafe_code)]
//! What a hook can reach of the container at an event: its root file system, and programs in it.
//!
//! | the container | its root is |
//! |---|---|
//! | is being started, before its own root is `/` | what the first process sent to its monitor |
//! | waits for permission to execute init | that process's root |
//! | runs | init's root, up to whatever is mounted in it |
//! | is at rest | its volume, opened for this call |
//!
//! It is only looked for when the plugin has asked for it. What cannot be had is told when the plugin wants it.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::act::Happening;
use crate::config::Name;
use crate::container::copy::Volume;
use crate::container::journal::chain;
use crate::container::{Error, Host, ids, store, volume, watch};
use crate::plan::Plan;
use crate::plugin::hook::Within;
use crate::plugin::storage::Access;
use crate::plugin::{Enter, HookPlugin, InsideRequest, Root};
use crate::runtime::{Inside, InsideProgram};
use crate::sys::mountinfo;
use crate::sys::rootfs::{Boundary, Edge, Mark, mount_of};
use crate::sys::run::Ended;

/// Where the container is in its life at an event that is not among these: nothing of it can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Its root is there, and no process of its is in it.
    Mounted,
    /// Its first process is in it and waits.
    Waiting,
    Running,
    Resting,
    /// Running or at rest.
    Either,
}

#[rustfmt::skip]
const MOMENTS: &[(&str, Moment)] = &[
    ("create", Moment::Resting),
    ("mount", Moment::Mounted),
    ("autodev", Moment::Mounted),
    ("start", Moment::Waiting),
    ("start-host", Moment::Waiting),
    ("started", Moment::Running),
    ("ready", Moment::Running),
    ("stopping", Moment::Running),
    ("stop", Moment::Resting),
    ("thaw", Moment::Running),
    ("snapshot", Moment::Either),
    ("restore", Moment::Resting),
    ("clone", Moment::Resting),
    ("rename", Moment::Resting),
    ("configure", Moment::Either),
    ("destroy", Moment::Resting),
];

/// What one call got, to be let go of after it.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) within: Within,
    /// What holds the volume of a container at rest.
    open: Option<volume::OpenVolume>,
}

impl Reach {
    /// What the plugin has asked for, at this event.
    pub(super) fn of(
        host: &Host,
        plan: &Plan,
        event: &str,
        happening: &Happening,
        hook: &HookPlugin,
    ) -> Result<Self, Error> {
        let moment = MOMENTS.iter().find(|(known, _)| *known == event).map(|(_, moment)| *moment);
        let Some(moment) = moment.filter(|_| wants(hook)) else {
            return Ok(Self::default());
        };
        match moment {
            Moment::Mounted => Ok(Self::with_root(mounted(plan, happening))),
            Moment::Waiting => {
                let init = happening.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
                Ok(Self::inside(Inside::starting(plan, init).map_err(Error::from), None, hook))
            }
            Moment::Running | Moment::Resting | Moment::Either => {
                Self::at(host, &plan.container.name.parse()?, moment, hook)
            }
        }
    }

    /// The same for something that is undone, at whatever moment that is.
    pub(super) fn now(host: &Host, name: &Name, hook: &HookPlugin) -> Result<Self, Error> {
        if wants(hook) { Self::at(host, name, Moment::Either, hook) } else { Ok(Self::default()) }
    }

    fn at(host: &Host, name: &Name, moment: Moment, hook: &HookPlugin) -> Result<Self, Error> {
        let runs = match moment {
            Moment::Either => watch::snapshot(host, name).is_some(),
            moment => moment == Moment::Running,
        };
        if runs {
            let inside = Inside::running(&host.layout.run_directory(name), name.as_str());
            let began = watch::snapshot(host, name).and_then(|snapshot| snapshot.root);
            return Ok(Self::inside(inside.map_err(Error::from), began, hook));
        }
        if !hook.wants_root() {
            return Ok(Self::default());
        }
        Ok(match rest(host, name) {
            Ok((root, open)) => Self { open: Some(open), ..Self::with_root(Ok(root)) },
            Err(error) => Self::with_root(Err(chain(&error))),
        })
    }

    fn with_root(root: Result<Root, String>) -> Self {
        let within = Within { root: Some(root.map(Arc::new)), running: None };
        Self { within, open: None }
    }

    /// `began`: the root that the container began with, when it runs.
    fn inside(inside: Result<Inside, Error>, began: Option<Mark>, hook: &HookPlugin) -> Self {
        let inside = match inside {
            Ok(inside) => inside,
            Err(error) => {
                let why = chain(&error);
                let within = Within { root: Some(Err(why.clone())), running: Some(Err(why)) };
                return Self { within, open: None };
            }
        };
        let mut reach = Self::default();
        if hook.wants_root() {
            reach = Self::with_root(of_process(&inside, began));
        }
        if hook.wants_inside() || hook.wants_network() {
            reach.within.running = Some(Ok(Arc::new(Entrance(inside))));
        }
        reach
    }

    /// After the call: what was written to a volume is on its disk when this returns.
    pub(super) fn close(self, host: &Host) -> Result<(), Error> {
        let Self { within, open } = self;
        let changed = matches!(&within.root, Some(Ok(root)) if root.is_changed());
        match open {
            Some(open) if changed => {
                let pool = &host.layout.path;
                let written =
                    File::open(pool).and_then(|pool| open.sync_apart(&pool)).and_then(|()| open.sync());
                written.map_err(Error::io("write what a hook changed to the disk of", pool))
            }
            _ => Ok(()),
        }
    }
}

/// Whether anything has to be looked for.
fn wants(hook: &HookPlugin) -> bool {
    hook.wants_root() || hook.wants_inside() || hook.wants_network()
}

/// As the first process has mounted it. Nobody of the container's has run yet.
fn mounted(plan: &Plan, happening: &Happening) -> Result<Root, String> {
    let root = happening.root.as_ref().ok_or("its monitor passed no root")?;
    let directory = root.try_clone().map_err(|error| error.to_string())?;
    let boundary = Boundary::around(directory.as_fd()).map_err(|error| error.to_string())?;
    Ok(Root::new(directory, Edge::Memory(boundary), plan.ids.clone()))
}

fn of_process(inside: &Inside, began: Option<Mark>) -> Result<Root, String> {
    let directory = inside.root().map_err(|error| chain(&error))?;
    if inside.waits() {
        let boundary = Boundary::around(directory.as_fd()).map_err(|error| error.to_string())?;
        return Ok(Root::new(directory, Edge::Memory(boundary), inside.plan().ids.clone()));
    }
    // Its init may have gone to where the host shows it something (chroot(2)), which is nothing that we write to for it.
    if began.is_none() || began != Mark::of(directory.as_fd()).ok() {
        return Err("its init has another root than the one it began with".into());
    }
    check_served(inside.init(), &directory)?;
    Ok(Root::new(directory, Edge::Mounts, inside.plan().ids.clone()))
}

/// A process of the container may have moved its root to a file system that it serves itself (FUSE), and never answer.
fn check_served(init: i32, root: &OwnedFd) -> Result<(), String> {
    let text = std::fs::read(Path::new("/proc").join(init.to_string()).join("mountinfo"));
    let mounts = mountinfo::parse(&text.map_err(|error| format!("its mounts cannot be read: {error}"))?);
    let number = mount_of(root.as_fd()).map_err(|error| error.to_string())?;
    match mounts.iter().find(|mount| mount.id == number) {
        Some(mount) if !mount.fstype.starts_with("fuse") => Ok(()),
        Some(mount) => {
            Err(format!("its root is of {}, which one of its own processes may serve", mount.fstype))
        }
        None => Err("its root is not among its mounts".into()),
    }
}

/// The volume, which nobody else writes to.
pub(super) fn rest(host: &Host, name: &Name) -> Result<(Root, volume::OpenVolume), Error> {
    ids::act_for_all(host)?;
    let container = store::load(host, name)?;
    let volume = Volume::of(host, name, &container)?;
    let open = volume::open(&volume.storage, &volume.id, Access::ReadWrite)?;
    let directory = open
        .root()
        .try_clone_to_owned()
        .map_err(Error::io("open the root of", &host.layout.directory(name)))?;
    let ids = volume.shifted.then(|| container.ids.clone());
    Ok((Root::new(directory, Edge::Alone, ids), open))
}

/// The way into a container, as plugins know it.
#[derive(Debug)]
struct Entrance(Inside);

impl Enter for Entrance {
    fn run(
        &self,
        request: &InsideRequest,
        deadline: Duration,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Ended, String> {
        let program = InsideProgram {
            argv: request.argv.clone(),
            user: request.user,
            group: request.group,
            environment: request.environment.clone(),
            directory: request.directory.clone(),
            input: request.input.clone(),
            of_host: false,
        };
        self.0.run(&program, deadline, request.capture, cancelled).map_err(|error| chain(&error))
    }

    fn network(&self) -> Result<OwnedFd, String> {
        let network = self.0.network().map_err(|error| chain(&error))?;
        network.ok_or_else(|| {
            "the container has no network of its own, and that of the host is none of a hook's".into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_the_contract_have_a_moment() {
        for (event, _) in MOMENTS {
            assert!(super::super::event::of(event).is_some(), "{event}");
        }
    }
}
