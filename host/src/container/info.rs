#![forbid(unsafe_code)]
//! One container in numbers.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;

use serde::Serialize;

use super::{Error, Host, dependents, store, watch};
use crate::config::{Container, Name};
use crate::plugin::storage::{Storage as _, VolumeUsage};
use crate::runtime::cgroup::Statistics;
use crate::runtime::net::Interface;
use crate::runtime::state::Snapshot;
use crate::runtime::{State, net};

/// What there is to know about a container.
#[derive(Debug, Clone, Serialize)]
pub struct Info {
    pub name: Name,
    pub state: State,
    /// First process, as this process sees it.
    pub pid: Option<i32>,
    /// The process that looks after it.
    pub monitor: Option<i32>,
    /// When it began to run, in seconds since 1970.
    pub started: Option<u64>,
    pub unprivileged: bool,
    pub ephemeral: bool,
    pub storage: String,
    /// The most its root file system may take up, in bytes, where the storage sets a limit.
    pub limit: Option<u64>,
    /// What its root file system takes up.
    pub disk: Option<Disk>,
    /// The volume that its own is built on.
    pub parent: Option<String>,
    /// The containers that are built on it.
    pub clones: Vec<String>,
    pub template: Option<crate::config::rootfs::TemplateRecord>,
    pub directory: std::path::PathBuf,
    /// Its hooks, by name; programs of the host as `exec`.
    pub hooks: Vec<String>,
    /// How many it has.
    pub snapshots: usize,
    pub links: Vec<Interface>,
    pub usage: Option<Statistics>,
    pub cgroups: Vec<std::path::PathBuf>,
}

/// What a root file system takes up. A storage leaves out what it cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Bytes that would be free without it.
    pub exclusive: Option<u64>,
    /// Bytes of all that is in it, also what it shares with others.
    pub referenced: Option<u64>,
    /// Files and directories.
    pub entries: Option<u64>,
}

impl Disk {
    /// Bytes of its own; where that is not known, of all that is in it.
    #[must_use]
    pub fn own(&self) -> Option<u64> {
        self.exclusive.or(self.referenced)
    }

    /// Bytes that it has in common with others.
    #[must_use]
    pub fn shared(&self) -> Option<u64> {
        self.referenced?.checked_sub(self.exclusive?)
    }
}

impl From<VolumeUsage> for Disk {
    fn from(usage: VolumeUsage) -> Self {
        let VolumeUsage { exclusive, referenced, entries } = usage;
        Self { exclusive, referenced, entries }
    }
}

/// What of it has to be looked up: asking the network and the cgroups costs more than all the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub links: bool,
    pub usage: bool,
    pub limit: bool,
    /// What it takes up on disk; may take long where the storage keeps no count.
    pub disk: bool,
    /// What it is built on and what is built on it.
    pub ties: bool,
}

/// Everything about `name`, as far as it is wanted.
///
/// # Errors
/// There is none, or its configuration is wrong.
pub fn info(host: &Host, name: &Name, wanted: Wanted) -> Result<Info, Error> {
    let container: Container = store::load(host, name)?;
    let snapshot = watch::snapshot(host, name);
    let running = snapshot.as_ref();
    // A storage that cannot tell must not keep the rest from being shown.
    let ties =
        if wanted.ties { dependents::of(host, name, &container).ok() } else { None }.unwrap_or_default();
    let hooks = super::hooks::names(host, &container);
    Ok(Info {
        name: name.clone(),
        state: running.map_or(State::Stopped, |s| s.state),
        pid: running.and_then(|s| s.init),
        monitor: running.map(|s| s.monitor),
        started: running.and_then(|s| s.started),
        unprivileged: !container.privileged,
        ephemeral: container.ephemeral,
        limit: if wanted.limit { limit(host, name, &container) } else { None },
        disk: if wanted.disk { disk_usage(host, name).ok() } else { None },
        storage: container.rootfs.storage,
        parent: ties.parent,
        clones: ties.clones,
        template: container.template,
        directory: host.layout.directory(name),
        hooks,
        snapshots: super::snapshot::count(host, name),
        links: running.filter(|_| wanted.links).map(links).unwrap_or_default(),
        usage: running.filter(|_| wanted.usage).map(usage),
        cgroups: running.map(cgroup_paths).unwrap_or_default(),
    })
}

/// None also where the storage cannot be asked: everything else is worth being shown then.
fn limit(host: &Host, name: &Name, container: &Container) -> Option<u64> {
    let storage = super::plugins::load_storage(host, &container.rootfs.storage).ok()?;
    let volume = container.rootfs.volume.clone().unwrap_or_else(|| name.to_string());
    super::resize::limit(&storage, &volume)
}

/// What the disk of a container holds. May take long.
///
/// # Errors
/// The storage cannot tell.
pub fn disk_usage(host: &Host, name: &Name) -> Result<Disk, Error> {
    let container = store::load(host, name)?;
    super::ids::act_for_all(host)?;
    let storage = super::plugins::load_storage(host, &container.rootfs.storage)?;
    let volume = container.rootfs.volume.unwrap_or_else(|| name.to_string());
    Ok(storage.usage(&volume)?.into())
}

/// What it uses.
pub(super) fn usage(snapshot: &Snapshot) -> Statistics {
    snapshot.cgroups.statistics()
}

fn cgroup_paths(snapshot: &Snapshot) -> Vec<std::path::PathBuf> {
    snapshot.cgroups.places.iter().map(|place| place.payload.clone()).collect()
}

/// Its network devices. None when it stops in this instant, or shares the host's network.
pub(super) fn links(snapshot: &Snapshot) -> Vec<Interface> {
    let Some(init) = snapshot.init else { return Vec::new() };
    let Ok(netns) = File::open(format!("/proc/{init}/ns/net")) else { return Vec::new() };
    if is_own(&netns) {
        return Vec::new();
    }
    net::inspect(netns.as_fd()).unwrap_or_default()
}

/// Whether this is the namespace that this process is in.
fn is_own(netns: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self/ns/net");
    matches!((netns.metadata(), own), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Whether an address says where others can reach the container.
pub(super) fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}
