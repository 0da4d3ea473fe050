#![forbid(unsafe_code)]
//! How cgroups are mounted here, and what this caller may do with them (cgroups(7)).

use std::path::{Path, PathBuf};

use crate::plan::CgroupLayout;
use crate::plan::facts::{CgroupFacts, Hierarchy};

use super::mountinfo::Mounted;

/// From `/proc/self/cgroup` and the mounts.
#[must_use]
pub fn gather(mounts: &[Mounted]) -> CgroupFacts {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut hierarchies = hierarchies(mounts, &own);
    for hierarchy in &mut hierarchies {
        let own = hierarchy.mount.join(&hierarchy.own);
        let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        let flags = rustix::fs::AtFlags::EACCESS;
        hierarchy.writable = rustix::fs::accessat(rustix::fs::CWD, &own, wanted, flags).is_ok();
        if hierarchy.unified {
            let controllers = std::fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
            hierarchy.controllers = controllers.split_whitespace().map(String::from).collect();
        }
    }
    CgroupFacts { layout: layout(&hierarchies), hierarchies }
}

fn layout(hierarchies: &[Hierarchy]) -> CgroupLayout {
    // A v1 hierarchy that only has a name (systemd's) controls nothing.
    let controls = |h: &Hierarchy| !h.unified && h.controllers.iter().any(|c| !c.starts_with("name="));
    match (hierarchies.iter().any(controls), hierarchies.iter().any(|h| h.unified)) {
        (true, true) => CgroupLayout::Hybrid,
        (true, false) => CgroupLayout::Legacy,
        (false, true) => CgroupLayout::Unified,
        (false, false) => CgroupLayout::Absent,
    }
}

/// The hierarchies that are mounted, each at its first place.
fn hierarchies(mounts: &[Mounted], own: &str) -> Vec<Hierarchy> {
    let lines = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some((id == "0" && controllers.is_empty(), controllers, path))
    });
    let found = lines.filter_map(|(unified, controllers, path)| {
        let controllers: Vec<String> =
            controllers.split(',').filter(|name| !name.is_empty()).map(String::from).collect();
        let mount = mounts.iter().find(|mount| shows(mount, unified, &controllers))?;
        Some(Hierarchy {
            unified,
            controllers,
            mount: mount.point.clone(),
            own: below(&mount.root, path),
            writable: false,
        })
    });
    found.collect()
}

fn shows(mount: &Mounted, unified: bool, controllers: &[String]) -> bool {
    if unified {
        return mount.fstype == "cgroup2";
    }
    let has = |name: &String| mount.options.split(',').any(|option| option == name);
    mount.fstype == "cgroup" && !controllers.is_empty() && controllers.iter().all(has)
}

/// The caller's cgroup as seen from the mount: without the part above what the mount shows.
fn below(root: &Path, path: &str) -> String {
    let path = PathBuf::from(path);
    let inside = path.strip_prefix(root).or(path.strip_prefix("/")).unwrap_or(&path);
    inside.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(root: &str, point: &str, fstype: &str, options: &str) -> Mounted {
        Mounted { root: root.into(), point: point.into(), fstype: fstype.into(), options: options.into() }
    }

    #[test]
    fn a_hybrid_host() {
        let mounts = [
            mounted("/", "/sys/fs/cgroup/unified", "cgroup2", "rw"),
            mounted("/", "/sys/fs/cgroup/cpu", "cgroup", "rw,cpu,cpuacct"),
            mounted("/", "/sys/fs/cgroup/systemd", "cgroup", "rw,xattr,name=systemd"),
        ];
        let own = "5:cpu,cpuacct:/user/1\n4:memory:/\n1:name=systemd:/\n0::/a:b\n";
        let found = hierarchies(&mounts, own);
        let of = |mount: &str| found.iter().find(|h| h.mount == Path::new(mount)).unwrap();
        assert_eq!(of("/sys/fs/cgroup/cpu").own, "user/1");
        assert_eq!(of("/sys/fs/cgroup/unified").own, "a:b");
        assert!(of("/sys/fs/cgroup/unified").unified);
        assert_eq!(found.len(), 3, "memory is not mounted");
        assert_eq!(layout(&found), CgroupLayout::Hybrid);
    }

    #[test]
    fn a_named_hierarchy_beside_v2_is_still_a_v2_host() {
        let mounts = [
            mounted("/", "/sys/fs/cgroup", "cgroup2", "rw"),
            mounted("/", "/sys/fs/cgroup/systemd", "cgroup", "rw,name=systemd"),
        ];
        let found = hierarchies(&mounts, "1:name=systemd:/\n0::/\n");
        assert_eq!(layout(&found), CgroupLayout::Unified);
        assert_eq!(layout(&[]), CgroupLayout::Absent);
    }

    #[test]
    fn a_mount_that_shows_only_a_part_is_the_root_of_what_is_below() {
        assert_eq!(below(Path::new("/docker/x"), "/docker/x/y"), "y");
        assert_eq!(below(Path::new("/"), "/"), "");
    }
}
