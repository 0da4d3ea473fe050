#![forbid(unsafe_code)]
//! What this machine and this caller can do: a plain struct.
//!
//! The plan is a pure function, so everything that it would have to ask the kernel stands here.
//! `container::facts` fills it in; tests make it up.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{CgroupLayout, Namespace};

/// The machine, the kernel and the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub kernel: KernelVersion,
    /// Hardware name of uname(2): `x86_64`, `aarch64`.
    pub machine: String,
    pub caller: Caller,
    /// Namespaces of which `/proc/self/ns` has an entry.
    pub namespaces: BTreeSet<Namespace>,
    /// May this caller make a user namespace?
    pub user_namespaces: Support,
    /// File systems of `/proc/filesystems`; one that is a module and not loaded yet is missing.
    pub filesystems: BTreeSet<String>,
    /// Type of the file system that holds the container's directory, as in `/proc/self/mountinfo`.
    pub pool_filesystem: Option<String>,
    pub cgroup: CgroupFacts,
    /// `/proc/sys/kernel/seccomp` exists: filters can be loaded (seccomp(2)).
    pub seccomp: bool,
    /// Security modules in force, as in `/sys/kernel/security/lsm`.
    pub security_modules: Vec<String>,
    /// Highest capability this kernel knows (`/proc/sys/kernel/cap_last_cap`).
    pub last_capability: u8,
    pub id_map_programs: IdMapPrograms,
    /// Devices of the host that a container may be given.
    pub devices: Vec<HostDevice>,
}

/// `major.minor` of uname(2)'s release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KernelVersion {
    pub major: u32,
    pub minor: u32,
}

/// Who runs wxc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Effective ids, as the caller's own user namespace shows them.
    pub uid: u32,
    pub gid: u32,
    /// The caller is in the initial user namespace: wxc is not nested in a container.
    pub initial_user_namespace: bool,
}

/// Whether something can be done, and if not, why not and what would change that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Support {
    Yes,
    No { because: String, advice: String },
}

/// How cgroups are mounted here and what the caller may do with them (cgroups(7)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFacts {
    pub layout: CgroupLayout,
    pub hierarchies: Vec<Hierarchy>,
}

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// The v2 tree; `false`: a v1 hierarchy.
    pub unified: bool,
    /// v1: the controllers bound to it (or one `name=...`). v2: those in the caller's
    /// `cgroup.controllers`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The cgroup below which containers' cgroups are made, without the leading slash: the
    /// caller's own, or empty for the root when that is a unit of systemd and the caller is root.
    pub own: String,
    /// The caller may make cgroups there.
    pub writable: bool,
    /// The caller itself is not there but in a unit of systemd, which must not hold what outlives it.
    pub caller_elsewhere: bool,
}

/// Where the set-user-id helpers of shadow are, for callers without privileges (newuidmap(1)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapPrograms {
    pub newuidmap: Option<PathBuf>,
    pub newgidmap: Option<PathBuf>,
}

/// A device node that exists on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDevice {
    /// e.g. `/dev/net/tun`.
    pub path: PathBuf,
    pub block: bool,
    pub major: u32,
    pub minor: u32,
}

impl KernelVersion {
    /// From a release as uname(2) gives it: `6.18.5-arch1`.
    #[must_use]
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }

    #[must_use]
    pub fn at_least(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl std::fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Caller {
    /// Root of the machine, or of the container that wxc is nested in.
    #[must_use]
    pub fn is_root(self) -> bool {
        self.uid == 0
    }
}

impl Hierarchy {
    /// The directory below which containers' cgroups are made.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.mount.join(&self.own)
    }
}

impl CgroupFacts {
    /// The hierarchy that has `controller`: v1 wins, because a controller that is bound to a v1
    /// hierarchy is missing from the v2 tree.
    #[must_use]
    pub fn hierarchy_of(&self, controller: &str) -> Option<&Hierarchy> {
        let has = |h: &&Hierarchy| h.controllers.iter().any(|c| c == controller);
        self.hierarchies.iter().filter(has).min_by_key(|h| h.unified)
    }

    /// The v2 tree, if one is mounted.
    #[must_use]
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|h| h.unified)
    }
}

#[cfg(test)]
impl Facts {
    /// Facts of an ordinary machine with everything, seen by root: what tests start from.
    #[must_use]
    pub fn ordinary() -> Self {
        use Namespace::{Cgroup, Ipc, Mount, Net, Pid, Time, User, Uts};
        let device = |path: &str, major, minor| HostDevice { path: path.into(), block: false, major, minor };
        Self {
            kernel: KernelVersion { major: 6, minor: 12 },
            machine: "x86_64".into(),
            caller: Caller { uid: 0, gid: 0, initial_user_namespace: true },
            namespaces: [User, Mount, Pid, Uts, Ipc, Net, Cgroup, Time].into(),
            user_namespaces: Support::Yes,
            filesystems: ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2", "overlay", "ext4"]
                .map(String::from)
                .into(),
            pool_filesystem: Some("ext4".into()),
            cgroup: CgroupFacts {
                layout: CgroupLayout::Unified,
                hierarchies: vec![Hierarchy {
                    unified: true,
                    controllers: ["cpuset", "cpu", "io", "memory", "pids"].map(String::from).into(),
                    mount: "/sys/fs/cgroup".into(),
                    own: String::new(),
                    writable: true,
                    caller_elsewhere: false,
                }],
            },
            seccomp: true,
            security_modules: Vec::new(),
            last_capability: 40,
            id_map_programs: IdMapPrograms {
                newuidmap: Some("/usr/bin/newuidmap".into()),
                newgidmap: Some("/usr/bin/newgidmap".into()),
            },
            devices: vec![
                device("/dev/null", 1, 3),
                device("/dev/zero", 1, 5),
                device("/dev/full", 1, 7),
                device("/dev/random", 1, 8),
                device("/dev/urandom", 1, 9),
                device("/dev/tty", 5, 0),
                device("/dev/fuse", 10, 229),
                device("/dev/net/tun", 10, 200),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_releases_of_distributions() {
        assert_eq!(KernelVersion::parse("6.18.5-arch1-1"), Some(KernelVersion { major: 6, minor: 18 }));
        assert_eq!(KernelVersion::parse("5.4-rc1"), Some(KernelVersion { major: 5, minor: 4 }));
        assert_eq!(KernelVersion::parse("linux"), None);
    }

    #[test]
    fn versions_compare_by_number() {
        let kernel = KernelVersion { major: 5, minor: 12 };
        assert!(kernel.at_least(5, 9));
        assert!(!kernel.at_least(5, 15));
        assert!(!kernel.at_least(6, 0));
    }

    #[test]
    fn a_v1_hierarchy_wins_over_the_unified_one() {
        let hierarchy = |unified, mount: &str| Hierarchy {
            unified,
            controllers: vec!["memory".into()],
            mount: mount.into(),
            own: String::new(),
            writable: true,
            caller_elsewhere: false,
        };
        let facts = CgroupFacts {
            layout: CgroupLayout::Hybrid,
            hierarchies: vec![hierarchy(true, "/u"), hierarchy(false, "/memory")],
        };
        assert_eq!(facts.hierarchy_of("memory").unwrap().mount, PathBuf::from("/memory"));
        assert!(facts.hierarchy_of("pids").is_none());
    }
}
