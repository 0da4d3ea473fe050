#![forbid(unsafe_code)]
//! Make a container's cgroups, and hand the guest its part of the v2 tree.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

use crate::{
    config::ids::HostId,
    plan::{
        CgroupLayout, CgroupPlan,
        facts::{CgroupFacts, Hierarchy},
    },
};

use super::{CgroupError, Cgroups, Place, put, read};

/// How many containers of one name (below different directories) can run at once.
const LAST_SUFFIX: u32 = 999;

/// v1 hierarchies without a limit that are joined for what `info` shows.
const COUNTED: [&str; 3] = ["memory", "blkio", "pids"];
/// The same, where there is no v2 tree to freeze, kill and count with; the last is where systemd
/// looks for a session's processes on such a host.
const CORE_OF_V1: [&str; 3] = ["freezer", "cpuacct", "name=systemd"];
/// v2 controllers that are made available without a limit: for statistics, and for the guest.
const USUAL: [&str; 4] = ["memory", "pids", "cpu", "io"];

/// A guest may nest containers, but not fill the kernel's memory with cgroups.
const DEEPEST: &str = "64";
const MOST_DESCENDANTS: &str = "10000";

/// Files that a delegated cgroup's owner has, if the kernel does not list them (before 4.15).
const DELEGATED: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";

impl Cgroups {
    /// Make the cgroups of `plan` on a host of which `facts` are known. What was made is removed
    /// again when something fails.
    ///
    /// # Errors
    /// When a directory cannot be made, or a controller that a limit needs cannot be enabled.
    pub fn create(plan: &CgroupPlan, facts: &CgroupFacts) -> Result<Self, CgroupError> {
        if plan.layout == CgroupLayout::Absent {
            return Ok(Self::default());
        }
        let needed: BTreeSet<&str> = plan.writes.iter().map(|write| write.controller.as_str()).collect();
        let wanted =
            |hierarchy: &&Hierarchy| hierarchy.writable && is_wanted(hierarchy, plan, facts, &needed);
        let hierarchies: Vec<&Hierarchy> = facts.hierarchies.iter().filter(wanted).collect();
        for suffix in 0..=LAST_SUFFIX {
            let named = |name: &str| if suffix == 0 { name.to_owned() } else { format!("{name}-{suffix}") };
            if let Some(made) = make(&hierarchies, &named(&plan.payload), &named(&plan.monitor))? {
                return match made.prepare(&hierarchies, &needed) {
                    Ok(ready) => Ok(ready),
                    Err((made, error)) => {
                        // The failure that is told is the first one; this is its undoing.
                        let _undone = made.remove();
                        Err(error)
                    }
                };
            }
        }
        Err(CgroupError::Taken { name: plan.payload.clone(), last: LAST_SUFFIX })
    }

    /// Everything between the directories and the first process.
    fn prepare(
        mut self,
        hierarchies: &[&Hierarchy],
        needed: &BTreeSet<&str>,
    ) -> Result<Self, (Self, CgroupError)> {
        for (place, hierarchy) in self.places.iter_mut().zip(hierarchies) {
            let result = if hierarchy.unified {
                leave(place, hierarchy)
                    .and_then(|()| enable(hierarchy, needed))
                    .map(|controllers| place.controllers = controllers)
            } else {
                inherit_cpuset(place)
            };
            if let Err(error) = result {
                return Err((self, error));
            }
        }
        Ok(self)
    }

    /// Give the container's root its v2 cgroup: the directory and the files that the kernel names
    /// for it, and no limit (cgroup-v2.rst, "Delegation"). Only the host's root can: others may
    /// not give their files away.
    ///
    /// # Errors
    /// When an owner cannot be changed.
    pub fn delegate(&self, user: HostId, group: HostId) -> Result<(), CgroupError> {
        let Some(place) = self.unified() else { return Ok(()) };
        for (file, value) in [("cgroup.max.depth", DEEPEST), ("cgroup.max.descendants", MOST_DESCENDANTS)] {
            let path = place.payload.join(file);
            // Since 4.14; an older kernel cannot be told.
            if path.exists() {
                put(&path, value).map_err(|source| CgroupError::Prepare {
                    path,
                    value: value.to_owned(),
                    source,
                })?;
            }
        }
        // A command of the same user that lets a process in later does not have the power of this one: the files keep
        // its group. That is of no use to others of the group, who have no write permission above.
        let by_group = (!rustix::process::geteuid().is_root()).then_some(Permissions::from_mode(0o664));
        for path in delegated(&place.payload) {
            let kept = by_group.as_ref().filter(|_| path != place.payload);
            let result = match kept {
                Some(mode) => {
                    fs::set_permissions(&path, mode.clone()).and_then(|()| lchown(&path, Some(user.0), None))
                }
                None => lchown(&path, Some(user.0), Some(group.0)),
            };
            result.map_err(|source| CgroupError::Delegate { path, source })?;
        }
        Ok(())
    }
}

/// The directory and the files in it that belong to whom the cgroup is delegated.
fn delegated(payload: &Path) -> Vec<PathBuf> {
    let listed = fs::read_to_string("/sys/kernel/cgroup/delegate");
    let listed = listed.as_deref().unwrap_or(DELEGATED);
    let files = listed.lines().map(|file| payload.join(file)).filter(|path| path.exists());
    std::iter::once(payload.to_owned()).chain(files).collect()
}

/// Is a cgroup in this hierarchy of any use to the container?
fn is_wanted(hierarchy: &Hierarchy, plan: &CgroupPlan, facts: &CgroupFacts, needed: &BTreeSet<&str>) -> bool {
    let has = |name: &str| hierarchy.controllers.iter().any(|controller| controller == name);
    let core = facts.unified().is_none_or(|unified| !unified.writable);
    hierarchy.unified
        || hierarchy.controllers.iter().any(|controller| needed.contains(controller.as_str()))
        || COUNTED.iter().any(|name| has(name))
        || (core && CORE_OF_V1.iter().any(|name| has(name)))
        || (!plan.devices.is_empty() && has("devices"))
}

/// The directories in all hierarchies, or `None` (and none of them) when a name is taken in one.
fn make(hierarchies: &[&Hierarchy], payload: &str, monitor: &str) -> Result<Option<Cgroups>, CgroupError> {
    let mut made = Cgroups::default();
    for hierarchy in hierarchies {
        let base = hierarchy.directory();
        let place = Place {
            unified: hierarchy.unified,
            controllers: hierarchy.controllers.clone(),
            payload: base.join(payload),
            monitor: needs_monitor(hierarchy).then(|| base.join(monitor)),
        };
        let result = make_directory(&base, payload).and_then(|()| match &place.monitor {
            Some(_) => make_directory(&base, monitor).inspect_err(|_taken| {
                let _undone = fs::remove_dir(&place.payload);
            }),
            None => Ok(()),
        });
        match result {
            Ok(()) => made.places.push(place),
            Err(error) => {
                let _undone = made.remove();
                return match error.kind() {
                    io::ErrorKind::AlreadyExists => Ok(None),
                    _ => Err(CgroupError::Create { path: place.payload, source: error }),
                };
            }
        }
    }
    Ok(Some(made))
}

/// Moving a process costs the kernel a grace period of several milliseconds (its threads must be
/// kept from forking meanwhile), so the monitor stays where it is unless that would end it with a
/// session, or be in the way of controllers.
fn needs_monitor(hierarchy: &Hierarchy) -> bool {
    let tracks = hierarchy.unified || hierarchy.controllers.iter().any(|name| name.starts_with("name="));
    let in_the_way = hierarchy.unified && !hierarchy.own.is_empty() && !hierarchy.controllers.is_empty();
    (tracks && hierarchy.caller_elsewhere) || in_the_way
}

/// `name` may have parents (`wxc/payload.x`), which are shared: only the last must be new.
fn make_directory(base: &Path, name: &str) -> io::Result<()> {
    let path = base.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(path)
}

/// A v2 cgroup with processes cannot have children with controllers, save the root: move this
/// process out of the way when it is the one, into the monitor's.
fn leave(place: &Place, hierarchy: &Hierarchy) -> Result<(), CgroupError> {
    match &place.monitor {
        Some(monitor) if !hierarchy.caller_elsewhere => {
            super::write::move_process(std::process::id().cast_signed(), monitor)
        }
        _ => Ok(()),
    }
}

/// Enable controllers from the top of what we may write down to the parent of the container's
/// cgroup. One that cannot be had is an error only when a limit needs it.
fn enable(hierarchy: &Hierarchy, needed: &BTreeSet<&str>) -> Result<Vec<String>, CgroupError> {
    let wanted: BTreeSet<&str> = needed.iter().copied().chain(USUAL).collect();
    let mut refused = None;
    for directory in from_top(hierarchy) {
        let path = directory.join("cgroup.subtree_control");
        let available = words(&directory.join("cgroup.controllers"))?;
        let enabled = words(&path)?;
        for name in wanted.iter().filter(|name| available.contains(**name) && !enabled.contains(**name)) {
            let value = format!("+{name}");
            if let Err(source) = put(&path, &value) {
                let error = CgroupError::Prepare { path: path.clone(), value, source };
                refused = refused.or(needed.contains(name).then_some((*name, error)));
            }
        }
    }
    let enabled = words(&hierarchy.directory().join("cgroup.subtree_control"))?;
    match refused {
        Some((name, error)) if !enabled.contains(name) => Err(error),
        _ => Ok(enabled.into_iter().collect()),
    }
}

/// The cgroups from the top of the mount to the one that the container's are made in.
fn from_top(hierarchy: &Hierarchy) -> Vec<PathBuf> {
    let mut path = hierarchy.mount.clone();
    let mut all = vec![path.clone()];
    for component in Path::new(&hierarchy.own).components() {
        path.push(component);
        all.push(path.clone());
    }
    all
}

fn words(path: &Path) -> Result<BTreeSet<String>, CgroupError> {
    Ok(read(path)?.split_whitespace().map(str::to_owned).collect())
}

/// A new v1 cpuset is empty and takes no process until it has processors and memory nodes.
fn inherit_cpuset(place: &Place) -> Result<(), CgroupError> {
    let Some(parent) = place.payload.parent() else { return Ok(()) };
    if !place.controllers.iter().any(|name| name == "cpuset") {
        return Ok(());
    }
    for directory in [Some(&place.payload), place.monitor.as_ref()].into_iter().flatten() {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let path = directory.join(file);
            // cgroup.clone_children of the parent has done it already.
            if !read(&path)?.trim().is_empty() {
                continue;
            }
            let value = read(&parent.join(file))?.trim().to_owned();
            put(&path, &value).map_err(|source| CgroupError::Prepare { path, value, source })?;
        }
    }
    Ok(())
}
