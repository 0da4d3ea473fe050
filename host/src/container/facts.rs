#![forbid(unsafe_code)]
//! Asks the kernel what this machine and this caller can do, for [`plan::Facts`](crate::plan::Facts).
//!
//! A dozen small files of `/proc`; what cannot be read counts as missing, so that the plan explains
//! what is lacking instead of this code.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::plan::Namespace;
use crate::plan::facts::{Caller, Facts, HostDevice, IdMapPrograms, KernelVersion, Support};
use crate::runtime::cgroup;
use crate::sys::mountinfo::{self, Mounted};

/// What holds for a container whose directory is `directory` (it need not exist yet).
#[must_use]
pub fn gather(directory: &Path) -> Facts {
    let uname = rustix::system::uname();
    let mounts = mountinfo::read();
    Facts {
        kernel: KernelVersion::parse(&uname.release().to_string_lossy())
            .unwrap_or(KernelVersion { major: 0, minor: 0 }),
        machine: uname.machine().to_string_lossy().into_owned(),
        caller: caller(),
        namespaces: namespaces(),
        user_namespaces: user_namespaces(),
        filesystems: filesystems(&read("/proc/filesystems")),
        pool_filesystem: filesystem_of(&mounts, directory),
        cgroup: cgroup::layout::of(&mounts),
        seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
        security_modules: security_modules(),
        last_capability: read("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(40),
        id_map_programs: IdMapPrograms { newuidmap: program("newuidmap"), newgidmap: program("newgidmap") },
        devices: DEVICES.iter().filter_map(|path| device(path)).collect(),
    }
}

/// Empty when there is no such file: the kernel lacks what it would tell about.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn caller() -> Caller {
    let map = read("/proc/self/uid_map");
    Caller {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        // Only the initial namespace maps every id onto itself.
        initial_user_namespace: map.split_whitespace().eq(["0", "0", "4294967295"]),
    }
}

fn namespaces() -> BTreeSet<Namespace> {
    let names = [
        (Namespace::User, "user"),
        (Namespace::Mount, "mnt"),
        (Namespace::Pid, "pid"),
        (Namespace::Uts, "uts"),
        (Namespace::Ipc, "ipc"),
        (Namespace::Net, "net"),
        (Namespace::Cgroup, "cgroup"),
        (Namespace::Time, "time"),
    ];
    let exists = |name: &str| Path::new("/proc/self/ns").join(name).symlink_metadata().is_ok();
    names.into_iter().filter(|(_, name)| exists(name)).map(|(kind, _)| kind).collect()
}

/// The switches that forbid user namespaces: file, value that forbids, for root too, what to do.
#[rustfmt::skip]
const SWITCHES: [(&str, &str, bool, &str); 3] = [
    ("/proc/sys/user/max_user_namespaces", "0", true, "sysctl -w user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", false, "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", false, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
];

fn user_namespaces() -> Support {
    let root = rustix::process::geteuid().is_root();
    let off = SWITCHES
        .iter()
        .find(|(file, forbidding, also_root, _)| (*also_root || !root) && read(file).trim() == *forbidding);
    off.map_or(Support::Yes, |(file, value, _, command)| Support::No {
        because: format!("{file} is {value}"),
        advice: format!("run `{command}` as root, or make the container privileged"),
    })
}

/// The last word of each line; `nodev` before it only says that it needs no device.
fn filesystems(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.split_whitespace().last()).map(String::from).collect()
}

/// Type of the file system that holds `path`, or will hold it.
fn filesystem_of(mounts: &[Mounted], path: &Path) -> Option<String> {
    let existing = path.ancestors().find_map(|part| fs::canonicalize(part).ok())?;
    mountinfo::holding(mounts, &existing).map(|mount| mount.fstype.clone())
}

fn security_modules() -> Vec<String> {
    let list = read("/sys/kernel/security/lsm");
    if !list.trim().is_empty() {
        return list.trim().split(',').map(String::from).collect();
    }
    // Without securityfs mounted, the two that matter can be asked themselves.
    let apparmor = read("/sys/module/apparmor/parameters/enabled").trim() == "Y";
    let selinux = Path::new("/sys/fs/selinux/enforce").exists();
    let found = [(apparmor, "apparmor"), (selinux, "selinux")];
    found.into_iter().filter(|(there, _)| *there).map(|(_, name)| name.into()).collect()
}

/// Where distributions put set-user-id programs; PATH is the caller's and not asked.
fn program(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}

/// What a plan may give to a container.
const DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/fuse",
    "/dev/net/tun",
];

fn device(path: &str) -> Option<HostDevice> {
    let meta = fs::symlink_metadata(path).ok()?;
    let kind = meta.file_type();
    (kind.is_char_device() || kind.is_block_device()).then(|| HostDevice {
        path: path.into(),
        block: kind.is_block_device(),
        major: rustix::fs::major(meta.rdev()),
        minor: rustix::fs::minor(meta.rdev()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_machine_that_runs_the_test() {
        let facts = gather(Path::new("/var/lib/wxc/not/yet"));
        assert!(facts.kernel.at_least(4, 0), "{}", facts.kernel);
        assert!(facts.namespaces.contains(&Namespace::Mount));
        assert!(facts.filesystems.contains("proc"));
        assert!(facts.pool_filesystem.is_some());
        let null = facts.devices.iter().find(|device| device.path == Path::new("/dev/null")).unwrap();
        assert_eq!((null.block, null.major, null.minor), (false, 1, 3));
    }

    #[test]
    fn reads_the_list_of_file_systems() {
        let all = filesystems("nodev\tsysfs\n\text4\nnodev\tcgroup2\n");
        assert_eq!(all, ["sysfs", "ext4", "cgroup2"].map(String::from).into());
    }
}
