#![forbid(unsafe_code)]
//! All containers with their states.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use super::{Error, Host, dependents, info, store, watch};
use crate::config::Name;
use crate::runtime::State;

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
    /// Why its configuration cannot be read; the rest is what is known without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How much is looked up: more costs more for each container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Names and states.
    States,
    /// Also what the configuration says.
    Configuration,
    /// Also addresses and memory of those that run.
    Everything,
}

/// The containers of the pool whose name is wanted, sorted by name.
///
/// # Errors
/// The directory cannot be read. A container that cannot be read is listed with its problem.
pub fn list(host: &Host, detail: Detail, wanted: impl Fn(&str) -> bool) -> Result<Vec<Entry>, Error> {
    let names = host.layout.names()?;
    names.into_iter().filter(|name| wanted(name.as_str())).map(|name| entry(host, name, detail)).collect()
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

fn entry(host: &Host, name: Name, detail: Detail) -> Result<Entry, Error> {
    let snapshot = watch::snapshot(host, &name);
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
        problem: None,
        name,
    };
    if detail >= Detail::Configuration {
        entry.snapshots = super::snapshot::count(host, &entry.name);
        match store::load(host, &entry.name) {
            Ok(container) => {
                entry.autostart = container.autostart.enabled;
                entry.groups = container.autostart.groups;
                entry.unprivileged = !container.privileged;
                entry.ephemeral = container.ephemeral;
                entry.storage = container.rootfs.storage;
            }
            Err(error) => entry.problem = Some(error.to_string()),
        }
    }
    if let (Detail::Everything, Some(snapshot)) = (detail, &snapshot) {
        let usage = info::usage(snapshot);
        entry.memory = usage.memory.map(|memory| memory.current);
        entry.swap = usage.memory.and_then(|memory| memory.swap);
        for link in info::links(snapshot).into_iter().filter(|link| !link.loopback) {
            let addresses = || link.addresses.iter().map(|a| a.address).filter(info::is_public);
            entry.ipv4.extend(addresses().filter(IpAddr::is_ipv4));
            entry.ipv6.extend(addresses().filter(IpAddr::is_ipv6));
            entry.interfaces.push(link.name);
        }
    }
    Ok(entry)
}
