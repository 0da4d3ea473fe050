#![forbid(unsafe_code)]
//! A hook on trial: what it is told of a container that is not there, and what the host makes of its changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::act::Happening;
use super::attached::Attached;
use super::context::context;
use super::merge::Merge;
use super::shape;
use crate::config::{Container, Name, toml};
use crate::container::{Error, Host, start};
use crate::plan::Plan;
use crate::plugin::HookPlugin;
use crate::plugin::hook::types::{Context, Detail, Event, Patch};

/// Events at which the container has a first process.
const WITH_PROCESS: [Event; 10] = [
    Event::PreMount,
    Event::Mount,
    Event::Autodev,
    Event::Start,
    Event::StartHost,
    Event::Started,
    Event::Ready,
    Event::Stopping,
    Event::Freeze,
    Event::Thaw,
];
/// Its number, where there is none in truth: larger than any that a kernel gives (proc(5), pid_max).
const NOBODYS_PID: u32 = 4_194_305;

/// An ordinary container, with a little of everything that hooks are told of.
const CONTAINER: &str = r#"
hostname = "web"
[ids]
users = ["0:1000000000:65536"]
groups = ["0:1000000000:65536"]
[labels]
tier = "shop"
[environment.set]
LANG = "C.UTF-8"
[cgroup]
memory.max = "256M"
pids.max = 200
[sysctl]
"net.ipv4.ip_forward" = "1"
"#;

/// The same of an interface, which only root can make.
const NETWORK: &str = "[[network]]\ntype = \"veth\"\naddresses = [\"10.0.3.7/24\"]\n";

/// A container that is not there.
#[derive(Debug)]
pub struct Stage {
    host: Host,
    name: Name,
    container: Container,
    plan: Plan,
}

impl Stage {
    /// One of a host whose containers are elsewhere. What the hook calls shares are directories below `below`.
    ///
    /// # Errors
    /// No container could be started on this machine.
    pub fn new(host: &Host, hook: &HookPlugin, below: &Path) -> Result<Self, Error> {
        let mut host = host.clone();
        let shares = host.settings.shares.entry(hook.name().to_owned()).or_default();
        for share in hook.declared_shares() {
            let directory = below.join(format!("share-{share}"));
            fs::create_dir_all(&directory).map_err(Error::io("make the directory", &directory))?;
            shares.entry(share.to_owned()).or_insert(directory);
        }
        let name: Name = "web".parse()?;
        let network = if rustix::process::geteuid().is_root() { NETWORK } else { "" };
        let container = toml::parse(&format!("{CONTAINER}{network}"), &host.layout.config(&name))?;
        let mut plan = start::plan_about(&host, &name, &container)?;
        plan.hooks = shape::told(&container)?;
        Ok(Self { host, name, container, plan })
    }

    /// What a hook is told at an event; `settings` are what stands for it in the container.
    #[must_use]
    pub fn context(&self, event: Event, detail: Detail, settings: &BTreeMap<String, String>) -> Context {
        let pid = WITH_PROCESS.contains(&event).then_some(NOBODYS_PID);
        context(&self.plan, event, &Happening { pid, ..Happening::detailed(detail) }, settings)
    }

    /// Makes changes as a start would, and plans with them. A device that this machine does not have is left out.
    ///
    /// # Errors
    /// The host does not make one of them, or nothing can be started with them.
    pub fn accepts(&self, hook: &HookPlugin, patches: Vec<Patch>) -> Result<(), Error> {
        let here = |patch: &Patch| match patch {
            Patch::AddDevice(device) => Path::new("/dev").join(&device.name).exists(),
            Patch::RemoveDevice(name) => Path::new("/dev").join(name).exists(),
            _ => true,
        };
        let patches = patches.into_iter().filter(here).collect();
        let attached = Attached::alone(hook.clone());
        let mut merge = Merge::new(&self.host, &self.name, self.container.clone());
        merge.add(&attached, patches)?;
        let (merged, _) = merge.finish();
        start::plan_about(&self.host, &self.name, &merged).map(drop)
    }
}
