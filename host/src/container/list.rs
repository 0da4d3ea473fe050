#![forbid(unsafe_code)]
//! All containers with their states.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::IpAddr;

use serde::Serialize;

use super::{Error, Host, dependents, info, plugins, store, watch};
use crate::config::{Name, toml};
use crate::plugin::storage::Storage as _;
use crate::runtime::State;
use crate::runtime::state::Snapshot;

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub name: Name,
    pub state: State,
    /// First process, as this process sees it.
    pub pid: Option<i32>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes.
    pub swap: Option<u64>,
    pub autostart: bool,
    pub groups: Vec<String>,
    pub interfaces: Vec<String>,
    pub ipv4: Vec<IpAddr>,
    pub ipv6: Vec<IpAddr>,
    pub unprivileged: bool,
    pub ephemeral: bool,
    pub storage: String,
    /// How many it has.
    pub snapshots: usize,
    /// The volume that its own is built on; only after [`add_parents`].
    pub parent: Option<String>,
    /// What its root file system takes up; only after [`add_disk`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<info::Disk>,
    /// The volume of its root file system.
    #[serde(skip)]
    volume: String,
    /// Why its configuration cannot be read; the rest is what is known without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What is looked up besides names and states: each costs something for each container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What the configuration says.
    pub configuration: bool,
    pub snapshots: bool,
    /// Devices and addresses of those that run.
    pub links: bool,
    /// Memory of those that run.
    pub memory: bool,
}

impl Wanted {
    pub const ALL: Self = Self { configuration: true, snapshots: true, links: true, memory: true };

    /// What either wants.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            configuration: self.configuration || other.configuration,
            snapshots: self.snapshots || other.snapshots,
            links: self.links || other.links,
            memory: self.memory || other.memory,
        }
    }
}

/// The containers of the pool whose name is wanted, sorted by name.
///
/// # Errors
/// The directory cannot be read. A container that cannot be read is listed with its problem.
pub fn list(host: &Host, details: Wanted, wanted: impl Fn(&str) -> bool) -> Result<Vec<Entry>, Error> {
    let mut names = host.layout.candidates()?;
    names.retain(|name| wanted(name.as_str()));
    let running = Running::of(host);
    Ok(names.into_iter().filter_map(|name| entry(host, name, details, &running)).collect())
}

/// What has a run directory, from one look. Most containers of a long list do not run, and are not asked.
struct Running(Option<BTreeSet<OsString>>);

impl Running {
    fn of(host: &Host) -> Self {
        let entries = fs::read_dir(&host.layout.run);
        Self(entries.and_then(|all| all.map(|entry| Ok(entry?.file_name())).collect()).ok())
    }

    fn snapshot(&self, host: &Host, name: &Name) -> Option<Snapshot> {
        // Where the directory cannot be listed, each is asked.
        let may = self.0.as_ref().is_none_or(|names| names.contains(OsStr::new(name.as_str())));
        may.then(|| watch::snapshot(host, name)).flatten()
    }
}

/// Finds out what the containers of a list are built on: one look at each storage. One that cannot tell is left out.
pub fn add_parents(host: &Host, entries: &mut [Entry]) {
    let storages: BTreeSet<String> = entries.iter().map(|entry| entry.storage.clone()).collect();
    for storage in storages.iter().filter(|storage| !storage.is_empty()) {
        let parents: BTreeMap<_, _> =
            dependents::parents(host, storage).unwrap_or_default().into_iter().collect();
        for entry in entries.iter_mut().filter(|entry| entry.storage == *storage) {
            entry.parent = parents.get(entry.name.as_str()).cloned();
        }
    }
}

/// Finds out what the containers of a list take up on disk: each storage is loaded once. One that cannot tell is left
/// out. May take long where the storage keeps no count.
///
/// # Errors
/// Somebody stopped it.
pub fn add_disk(host: &Host, entries: &mut [Entry]) -> Result<(), Error> {
    let mut storages = BTreeMap::new();
    for entry in entries.iter_mut().filter(|entry| !entry.storage.is_empty()) {
        host.check_cancelled()?;
        let storage = storages
            .entry(entry.storage.clone())
            .or_insert_with(|| plugins::load_storage(host, &entry.storage).ok());
        let usage = storage.as_ref().and_then(|storage| storage.usage(&entry.volume).ok());
        entry.disk = usage.map(info::Disk::from);
    }
    Ok(())
}

/// `None` for what is no container.
fn entry(host: &Host, name: Name, wanted: Wanted, running: &Running) -> Option<Entry> {
    let text = match wanted.configuration {
        true => Some(store::read(host, &name).transpose()?),
        false if host.layout.exists(&name) => None,
        false => return None,
    };
    let snapshot = running.snapshot(host, &name);
    let mut entry = Entry {
        state: snapshot.as_ref().map_or(State::Stopped, |snapshot| snapshot.state),
        pid: snapshot.as_ref().and_then(|snapshot| snapshot.init),
        memory: None,
        swap: None,
        autostart: false,
        groups: Vec::new(),
        interfaces: Vec::new(),
        ipv4: Vec::new(),
        ipv6: Vec::new(),
        unprivileged: true,
        ephemeral: false,
        storage: String::new(),
        snapshots: 0,
        parent: None,
        disk: None,
        volume: String::new(),
        problem: None,
        name,
    };
    if let Some(text) = text {
        configured(host, &mut entry, text);
    }
    if wanted.snapshots {
        entry.snapshots = super::snapshot::count(host, &entry.name);
    }
    if let Some(snapshot) = &snapshot {
        live(&mut entry, snapshot, wanted);
    }
    Some(entry)
}

/// What the configuration says.
fn configured(host: &Host, entry: &mut Entry, text: Result<String, Error>) {
    let parsed = text.and_then(|text| Ok(toml::parse(&text, &host.layout.config(&entry.name))?));
    match parsed {
        Ok(container) => {
            entry.autostart = container.autostart.enabled;
            entry.groups = container.autostart.groups;
            entry.unprivileged = !container.privileged;
            entry.ephemeral = container.ephemeral;
            entry.storage = container.rootfs.storage;
            entry.volume = container.rootfs.volume.unwrap_or_else(|| entry.name.to_string());
        }
        Err(error) => entry.problem = Some(error.to_string()),
    }
}

/// What the kernel says of one that runs.
fn live(entry: &mut Entry, snapshot: &Snapshot, wanted: Wanted) {
    if wanted.memory {
        let memory = snapshot.cgroups.memory();
        entry.memory = memory.map(|memory| memory.current);
        entry.swap = memory.and_then(|memory| memory.swap);
    }
    if wanted.links {
        for link in info::links(snapshot).into_iter().filter(|link| !link.loopback) {
            let addresses = || link.addresses.iter().map(|a| a.address).filter(info::is_public);
            entry.ipv4.extend(addresses().filter(IpAddr::is_ipv4));
            entry.ipv6.extend(addresses().filter(IpAddr::is_ipv6));
            entry.interfaces.push(link.name);
        }
    }
}
