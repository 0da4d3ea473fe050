#![forbid(unsafe_code)]
//! How this host mounts its cgroups, and below which of them containers are put.
//!
//! `/proc/self/mountinfo` says where hierarchies are mounted, `/proc/self/cgroup` (cgroups(7)) in
//! which cgroup of each the caller is. The parser is a pure function of the two.

use std::{collections::BTreeSet, path::Path};

use crate::{
    plan::{
        CgroupLayout,
        facts::{CgroupFacts, Hierarchy},
    },
    sys::mountinfo::{self, Mounted},
};

/// Look at this machine as the caller sees it. What cannot be read is not there.
#[must_use]
pub fn discover() -> CgroupFacts {
    of(&mountinfo::read())
}

/// The same, when the mounts are known already.
#[must_use]
pub fn of(mounts: &[Mounted]) -> CgroupFacts {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut facts = parse(mounts, &own);
    let root = rustix::process::geteuid().is_root();
    for hierarchy in &mut facts.hierarchies {
        if root && of_systemd(hierarchy) && !delegated(hierarchy) {
            // systemd ends what is in a unit with the unit: a container that root starts in its
            // login session would die at logout. The top of the tree is nobody's unit.
            hierarchy.own.clear();
            hierarchy.caller_elsewhere = true;
        }
        hierarchy.writable = may_create(&hierarchy.directory());
        if hierarchy.unified {
            hierarchy.controllers = available(hierarchy);
        }
    }
    if !facts.hierarchies.iter().any(|hierarchy| hierarchy.writable) {
        facts.layout = CgroupLayout::Absent;
    }
    facts
}

/// The hierarchies among `mounts`, with the caller's place in each from `own`, the text of
/// `/proc/self/cgroup`. What only the file system can tell (`writable`, the controllers of v2) is
/// left open.
#[must_use]
pub fn parse(mounts: &[Mounted], own: &str) -> CgroupFacts {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    for hierarchy in mounts.iter().filter_map(|mount| hierarchy(mount, own)) {
        // A hierarchy may be mounted more than once; the first is where everyone expects it.
        let known = |other: &Hierarchy| {
            other.unified == hierarchy.unified && other.controllers == hierarchy.controllers
        };
        if !hierarchies.iter().any(known) {
            hierarchies.push(hierarchy);
        }
    }
    CgroupFacts { layout: layout(&hierarchies), hierarchies }
}

fn layout(hierarchies: &[Hierarchy]) -> CgroupLayout {
    // A v1 hierarchy that only has a name (systemd's) controls nothing.
    let controls = |h: &Hierarchy| !h.unified && h.controllers.iter().any(|name| !name.starts_with("name="));
    match (hierarchies.iter().any(controls), hierarchies.iter().any(|h| h.unified)) {
        (true, true) => CgroupLayout::Hybrid,
        (true, false) => CgroupLayout::Legacy,
        (false, true) => CgroupLayout::Unified,
        (false, false) => CgroupLayout::Absent,
    }
}

/// `None` for other file systems and for hierarchies in which the caller's place cannot be seen.
fn hierarchy(mount: &Mounted, own: &str) -> Option<Hierarchy> {
    let unified = match mount.fstype.as_str() {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    // `ID:CONTROLLERS:PATH`; v2 is `0::PATH`.
    let mut lines = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let options: BTreeSet<&str> = mount.options.split(',').collect();
    let of_this = |controllers: &str| match controllers {
        "" => unified,
        some => !unified && some.split(',').all(|name| options.contains(name)),
    };
    let (controllers, path) = lines.find(|(controllers, _)| of_this(controllers))?;
    Some(Hierarchy {
        unified,
        controllers: controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        mount: mount.point.clone(),
        own: below(path, &mount.root)?,
        writable: false,
        caller_elsewhere: false,
    })
}

/// `path` relative to the part of the hierarchy that is mounted. Both may lie outside of the
/// caller's cgroup namespace (`/../x`); then they can only be compared as they are.
fn below(path: &str, root: &Path) -> Option<String> {
    let rest = Path::new(path).strip_prefix(root).ok()?.to_str()?;
    (!rest.split('/').any(|component| component == "..")).then(|| rest.to_owned())
}

/// Is the caller's cgroup one of systemd's units? (systemd.unit(5))
fn of_systemd(hierarchy: &Hierarchy) -> bool {
    let unit = |part: &str| [".scope", ".service", ".slice"].iter().any(|suffix| part.ends_with(suffix));
    hierarchy.own.split('/').any(unit)
}

/// systemd marks cgroups that it leaves to others (its CGROUP_DELEGATION page).
fn delegated(hierarchy: &Hierarchy) -> bool {
    let directory = hierarchy.directory();
    ["trusted.delegate", "user.delegate"].iter().any(|name| {
        let mut value = [0; 1];
        rustix::fs::getxattr(&directory, *name, &mut value).is_ok_and(|length| value[..length] == *b"1")
    })
}

fn may_create(directory: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let access = Access::WRITE_OK | Access::EXEC_OK;
    // A read-only mount answers EROFS here, also to root.
    accessat(CWD, directory, access, AtFlags::EACCESS).is_ok()
}

/// The controllers that can be used below the caller's cgroup; none if that cannot be read.
fn available(hierarchy: &Hierarchy) -> Vec<String> {
    let file = hierarchy.directory().join("cgroup.controllers");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(mountinfo: &str, own: &str) -> CgroupFacts {
        parse(&mountinfo::parse(mountinfo.as_bytes()), own)
    }

    fn summary(facts: &CgroupFacts) -> Vec<String> {
        let line = |hierarchy: &Hierarchy| {
            let version = if hierarchy.unified { "v2" } else { "v1" };
            format!("{version} {} {}", hierarchy.controllers.join(","), hierarchy.directory().display())
        };
        facts.hierarchies.iter().map(line).collect()
    }

    /// Debian 12 with systemd.
    const SYSTEMD_V2: &str = "\
24 30 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";

    #[test]
    fn unified() {
        let found = facts(SYSTEMD_V2, "0::/user.slice/user-0.slice/session-3.scope\n");
        assert_eq!(found.layout, CgroupLayout::Unified);
        assert_eq!(summary(&found), ["v2  /sys/fs/cgroup/user.slice/user-0.slice/session-3.scope"]);
        assert!(of_systemd(&found.hierarchies[0]));
    }

    /// Debian 10: systemd's hybrid layout.
    const SYSTEMD_HYBRID: &str = "\
26 17 0:23 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
27 26 0:24 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
28 26 0:25 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:10 - cgroup cgroup rw,xattr,name=systemd
32 26 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,cpu,cpuacct
33 26 0:30 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,memory
";
    const SYSTEMD_HYBRID_OWN: &str = "\
9:memory:/user.slice/user-1000.slice/session-1.scope
4:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/user-1000.slice/session-1.scope
0::/user.slice/user-1000.slice/session-1.scope
";

    #[test]
    fn hybrid() {
        let found = facts(SYSTEMD_HYBRID, SYSTEMD_HYBRID_OWN);
        assert_eq!(found.layout, CgroupLayout::Hybrid);
        assert_eq!(
            summary(&found),
            [
                "v2  /sys/fs/cgroup/unified/user.slice/user-1000.slice/session-1.scope",
                "v1 name=systemd /sys/fs/cgroup/systemd/user.slice/user-1000.slice/session-1.scope",
                "v1 cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct/user.slice",
                "v1 memory /sys/fs/cgroup/memory/user.slice/user-1000.slice/session-1.scope",
            ]
        );
    }

    /// An Alpine host with OpenRC in its legacy mode: `openrc` is a name, not a controller.
    const LEGACY: &str = "\
28 25 0:24 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs cgroup_root rw,size=10240k,mode=755
29 28 0:25 / /sys/fs/cgroup/openrc rw,nosuid,nodev,noexec,relatime - cgroup openrc rw,release_agent=/lib/rc/sh/cgroup-release-agent.sh,name=openrc
30 28 0:26 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime - cgroup cpuset rw,cpuset
31 28 0:27 / /sys/fs/cgroup/cpu rw,nosuid,nodev,noexec,relatime - cgroup cpu rw,cpu
";

    #[test]
    fn legacy() {
        let found = facts(LEGACY, "3:cpu:/\n2:cpuset:/\n1:name=openrc:/sshd\n");
        assert_eq!(found.layout, CgroupLayout::Legacy);
        assert_eq!(
            summary(&found),
            [
                "v1 name=openrc /sys/fs/cgroup/openrc/sshd",
                "v1 cpuset /sys/fs/cgroup/cpuset/",
                "v1 cpu /sys/fs/cgroup/cpu/",
            ]
        );
        assert!(!of_systemd(&found.hierarchies[0]));
    }

    #[test]
    fn a_part_of_a_hierarchy_that_is_bound_into_a_container() {
        let mount = "5 4 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(summary(&facts(mount, "0::/docker/abc/x\n")), ["v2  /sys/fs/cgroup/x"]);
        assert_eq!(facts(mount, "0::/elsewhere\n").layout, CgroupLayout::Absent);
        let outside = "5 4 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(facts(outside, "0::/../x\n").layout, CgroupLayout::Absent);
    }

    #[test]
    fn nothing_mounted_and_nothing_sensible() {
        assert_eq!(facts("", "").layout, CgroupLayout::Absent);
        assert_eq!(facts("garbage\n1 2 - cgroup\n", "::\n0:\n\n").layout, CgroupLayout::Absent);
    }

    #[test]
    fn a_second_mount() {
        let twice = format!("{SYSTEMD_V2}40 23 0:26 / /mnt rw - cgroup2 cgroup2 rw\n");
        assert_eq!(summary(&facts(&twice, "0::/\n")), ["v2  /sys/fs/cgroup/"]);
    }

    #[test]
    fn a_named_hierarchy_beside_v2_is_still_a_v2_host() {
        let named = format!("{SYSTEMD_V2}40 23 0:27 / /mnt rw - cgroup cgroup rw,name=systemd\n");
        let found = facts(&named, "1:name=systemd:/\n0::/\n");
        assert_eq!((found.layout, found.hierarchies.len()), (CgroupLayout::Unified, 2));
    }
}
