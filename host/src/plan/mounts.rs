#![forbid(unsafe_code)]
//! What is mounted below the root: the kernel's own file systems from one table, then the user's.
//!
//! The table has a reason in each row; `wxc start --plan` shows them. Most rows that protect
//! something are for privileged containers: in a user namespace the kernel itself refuses, because
//! those files belong to the host's root.

use std::path::{Path, PathBuf};

use crate::config::Container;
use crate::config::mounts::{AccessTime, Create, Mount, normalized};
use crate::config::namespaces::Choice;

use super::namespaces::shares_network;
use super::{
    CgroupLayout, DeviceNode, Facts, Identity, MountAttributes, MountSource, MountStep, NodeKind, PlanError,
    Setting, SymbolicLink,
};

/// What decides about rows.
#[derive(Debug, Clone, Copy)]
struct Circumstances {
    privileged: bool,
    /// A network namespace of the container's own: only then may it mount sysfs.
    own_network: bool,
    own_ipc: bool,
    own_cgroup_view: bool,
    /// There is a v2 tree to give a part of.
    unified: bool,
    read_only_root: bool,
    message_queues: bool,
}

/// A row of the table.
struct Row {
    /// Below the root.
    target: &'static str,
    source: Source,
    attributes: MountAttributes,
    when: fn(&Circumstances) -> bool,
    optional: bool,
    reason: &'static str,
}

enum Source {
    /// A new instance: type and options.
    New(&'static str, &'static [(&'static str, &'static str)]),
    /// The host's, with everything below.
    Host(&'static str),
    /// Something mounted by an earlier row, with everything below.
    Inside(&'static str),
}

const PLAIN: MountAttributes = MountAttributes {
    read_only: false,
    nosuid: false,
    nodev: false,
    noexec: false,
    nosymfollow: false,
    access_time: AccessTime::Inherit,
    recursive: false,
};
/// Of everything that holds no programs and no devices.
const INERT: MountAttributes = MountAttributes { nosuid: true, nodev: true, noexec: true, ..PLAIN };
const INERT_READ_ONLY: MountAttributes = MountAttributes { read_only: true, ..INERT };
/// Also what came along.
const ALL_READ_ONLY: MountAttributes = MountAttributes { recursive: true, ..INERT_READ_ONLY };

const fn always(_: &Circumstances) -> bool {
    true
}
const fn privileged(c: &Circumstances) -> bool {
    c.privileged
}

use Source::{Host, Inside, New};

/// In the order in which they are mounted.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { target: "proc", source: New("proc", &[]), attributes: INERT, when: always, optional: false,
        reason: "processes of the container's own PID namespace" },
    // The first mount on the path stays writable when the second one brings it along and only the
    // second becomes read-only.
    Row { target: "proc/sys/net", source: Inside("proc/sys/net"), attributes: INERT, when: |c| c.own_network, optional: true,
        reason: "settings of the container's own network stay writable" },
    Row { target: "proc/sys", source: Inside("proc/sys"), attributes: INERT_READ_ONLY, when: always, optional: false,
        reason: "kernel settings are the host's; systemd skips what would write them when this is read-only" },
    Row { target: "proc/sysrq-trigger", source: Inside("proc/sysrq-trigger"), attributes: INERT_READ_ONLY, when: privileged, optional: true,
        reason: "reboots the host at the stroke of a key" },
    Row { target: "proc/irq", source: Inside("proc/irq"), attributes: INERT_READ_ONLY, when: privileged, optional: true,
        reason: "interrupts are the host's" },
    Row { target: "proc/bus", source: Inside("proc/bus"), attributes: INERT_READ_ONLY, when: privileged, optional: true,
        reason: "configuration space of the host's devices" },
    Row { target: "proc/fs", source: Inside("proc/fs"), attributes: INERT_READ_ONLY, when: privileged, optional: true,
        reason: "settings of the host's file systems" },

    Row { target: "sys", source: New("sysfs", &[]), attributes: INERT, when: |c| c.own_network || c.privileged, optional: false,
        reason: "devices of the container's own network; read-only below" },
    Row { target: "sys/devices/virtual/net", source: Inside("sys/devices/virtual/net"), attributes: INERT, when: |c| c.own_network, optional: true,
        reason: "bridges and other devices of the container's own network can be configured" },
    Row { target: "sys", source: Inside("sys"), attributes: INERT_READ_ONLY, when: |c| c.own_network || c.privileged, optional: false,
        reason: "devices are the host's; systemd leaves udev off when this is read-only" },
    Row { target: "sys", source: Host("/sys"), attributes: ALL_READ_ONLY, when: |c| !c.own_network && !c.privileged, optional: false,
        reason: "the kernel allows a new sysfs only to the owner of the network namespace, so the host's is shown read-only" },
    Row { target: "sys/fs/cgroup", source: New("cgroup2", &[]), attributes: INERT, when: |c| c.unified && c.own_cgroup_view, optional: false,
        reason: "the container's own part of the v2 tree, for its systemd; the namespace hides the rest" },
    Row { target: "sys/fs/cgroup", source: Host("/sys/fs/cgroup"), attributes: ALL_READ_ONLY, when: |c| !c.own_cgroup_view && (c.own_network || c.privileged), optional: true,
        reason: "asked for: the host's view of cgroups, which nobody inside may change" },
    Row { target: "sys/firmware", source: New("tmpfs", &[]), attributes: INERT_READ_ONLY, when: privileged, optional: true,
        reason: "firmware variables of the host; writing them can break the machine" },

    // Without a size given, a guest could fill half of the host's memory through it.
    Row { target: "dev", source: New("tmpfs", &[("mode", "755"), ("size", "500k")]), attributes: MountAttributes { nosuid: true, ..PLAIN }, when: always, optional: false,
        reason: "only the devices that a container may have, whatever the image brought" },
    Row { target: "dev/shm", source: New("tmpfs", &[("mode", "1777")]), attributes: MountAttributes { nosuid: true, nodev: true, ..PLAIN }, when: always, optional: false,
        reason: "POSIX shared memory (shm_overview(7))" },
    Row { target: "dev/mqueue", source: New("mqueue", &[]), attributes: INERT, when: |c| c.own_ipc && c.message_queues, optional: true,
        reason: "POSIX message queues of the container's own IPC namespace" },
    Row { target: "run", source: New("tmpfs", &[("mode", "755")]), attributes: MountAttributes { nosuid: true, nodev: true, ..PLAIN }, when: |c| c.read_only_root, optional: false,
        reason: "a guest cannot work without a writable /run" },
];

/// Device nodes every container has (the first six), and those it gets when the host has them.
#[rustfmt::skip]
const NODES: &[(&str, u32, u32, bool, &str)] = &[
    ("null", 1, 3, false, "null(4)"),
    ("zero", 1, 5, false, "zero(4)"),
    ("full", 1, 7, false, "full(4)"),
    ("random", 1, 8, false, "random(4)"),
    ("urandom", 1, 9, false, "urandom(4)"),
    ("tty", 5, 0, false, "the terminal of the process that opens it (tty(4))"),
    ("fuse", 10, 229, true, "file systems in user space, limited to the container by the kernel (fuse(4))"),
    ("net/tun", 10, 200, true, "tunnels in the container's own network"),
];

/// Names that programs expect below `/dev`.
const LINKS: &[(&str, &str)] = &[
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
    ("dev/ptmx", "pts/ptmx"),
];

/// The group that owns terminals, by convention of all distributions.
const TTY_GROUP: u32 = 5;

/// All mounts below the root, in order.
///
/// # Errors
/// When one that is asked for cannot be made by this kernel or in a user namespace.
pub fn plan(container: &Container, identity: &Identity, facts: &Facts) -> Result<Vec<MountStep>, PlanError> {
    let circumstances = circumstances(container, facts);
    let rows = TABLE.iter().filter(|row| (row.when)(&circumstances));
    let mut steps: Vec<MountStep> = Vec::new();
    for row in rows {
        steps.push(from_row(row));
        match row.target {
            "dev" => steps.push(pseudo_terminals(container)),
            "proc/sys" => steps.push(boot_id(identity)),
            _ => {}
        }
    }
    for (index, mount) in container.mounts.iter().enumerate() {
        steps.push(from_configuration(index, mount, container, identity)?);
    }
    Ok(steps)
}

/// Each start is a boot of its own: without this, the journal of a container cannot tell them apart,
/// because the kernel's boot id is the host's (random(4)).
fn boot_id(identity: &Identity) -> MountStep {
    MountStep {
        source: MountSource::Bind { path: identity.boot_id(), recursive: false, idmapped: false },
        target: "proc/sys/kernel/random/boot_id".into(),
        attributes: INERT_READ_ONLY,
        create: None,
        optional: true,
        asked_by: None,
        reason: "a boot id of its own for each start, so that journals can tell boots apart".into(),
    }
}

fn circumstances(container: &Container, facts: &Facts) -> Circumstances {
    let choices = &container.namespaces;
    let unified = !matches!(facts.cgroup.layout, CgroupLayout::Legacy | CgroupLayout::Absent);
    Circumstances {
        privileged: container.privileged,
        own_network: choices.net == Choice::New && !shares_network(container),
        own_ipc: choices.ipc == Choice::New || container.privileged,
        own_cgroup_view: choices.cgroup == Choice::New,
        unified,
        read_only_root: container.rootfs.read_only,
        message_queues: facts.filesystems.contains("mqueue"),
    }
}

fn settings(options: &[(&str, &str)]) -> Vec<Setting> {
    options.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() }).collect()
}

fn from_row(row: &Row) -> MountStep {
    let source = match row.source {
        New(fstype, options) => MountSource::Filesystem {
            fstype: fstype.into(),
            source: fstype.into(),
            options: settings(options),
        },
        Host(path) => MountSource::Bind { path: path.into(), recursive: true, idmapped: false },
        Inside(path) => MountSource::Inside { path: path.into(), recursive: true },
    };
    MountStep {
        source,
        target: row.target.into(),
        attributes: row.attributes,
        // What is inside a file system of the kernel cannot be made, only found.
        create: (!row.target.starts_with("proc/") && !row.target.starts_with("sys/"))
            .then_some(NodeKind::Directory),
        optional: row.optional,
        asked_by: None,
        reason: row.reason.into(),
    }
}

/// An instance of devpts (every mount is a new one since Linux 4.7), whose terminals belong to the group tty if the container has such a group.
fn pseudo_terminals(container: &Container) -> MountStep {
    let mut options = settings(&[("ptmxmode", "0666"), ("mode", "0620"), ("max", "1024")]);
    let group = crate::config::ids::ContainerId(TTY_GROUP);
    if container.privileged || container.ids.host_group(group).is_some() {
        options.push(Setting { key: "gid".into(), value: TTY_GROUP.to_string() });
    }
    MountStep {
        source: MountSource::Filesystem { fstype: "devpts".into(), source: "devpts".into(), options },
        target: "dev/pts".into(),
        attributes: MountAttributes { nosuid: true, noexec: true, ..PLAIN },
        create: Some(NodeKind::Directory),
        optional: false,
        asked_by: None,
        reason: "pseudo terminals of its own (devpts, pts(4)); never the host's".into(),
    }
}

/// File systems that can be mounted by root of a user namespace (FS_USERNS_MOUNT in the kernel).
const IN_USER_NAMESPACE: &[&str] =
    &["tmpfs", "ramfs", "overlay", "proc", "sysfs", "devpts", "mqueue", "cgroup2", "fuse", "binder"];

fn from_configuration(
    index: usize,
    mount: &Mount,
    container: &Container,
    identity: &Identity,
) -> Result<MountStep, PlanError> {
    let key = |name: &str| format!("mounts.{index}.{name}");
    let target = normalized(&mount.target).ok_or_else(|| {
        PlanError::refused(key("target"), "it leads out of the container", "remove \"..\" from it")
    })?;
    if ["proc", "sys", "dev"].iter().any(|own| target == Path::new(own)) {
        let message = format!("wxc mounts /{} itself", target.display());
        return Err(PlanError::refused(key("target"), message, "mount something below it instead"));
    }
    let source = if mount.is_bind() {
        MountSource::Bind {
            path: identity.directory.join(&mount.source),
            recursive: mount.recursive,
            idmapped: mount.idmapped,
        }
    } else {
        if !container.privileged && !IN_USER_NAMESPACE.contains(&mount.kind.as_str()) {
            let message = format!("{} cannot be mounted in a user namespace", mount.kind);
            let advice = "mount it on the host and bind that, or make the container privileged";
            return Err(PlanError::refused(key("type"), message, advice));
        }
        filesystem(mount)
    };
    Ok(MountStep {
        source,
        target,
        attributes: MountAttributes {
            read_only: mount.read_only,
            nosuid: mount.nosuid,
            nodev: mount.nodev,
            noexec: mount.noexec,
            nosymfollow: mount.nosymfollow,
            access_time: mount.access_time,
            recursive: mount.is_bind() && mount.recursive,
        },
        create: match mount.create {
            Create::No => None,
            Create::Dir => Some(NodeKind::Directory),
            Create::File => Some(NodeKind::File),
        },
        optional: mount.optional,
        asked_by: None,
        reason: format!("configured as mounts.{index}"),
    })
}

fn filesystem(mount: &Mount) -> MountSource {
    let options = mount.options.iter().map(|option| {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        Setting { key: key.into(), value: value.into() }
    });
    let source = match mount.source.to_string_lossy() {
        empty if empty.is_empty() => mount.kind.clone(),
        given => given.into_owned(),
    };
    MountSource::Filesystem { fstype: mount.kind.clone(), source, options: options.collect() }
}

/// Device nodes of the container's `/dev`.
#[must_use]
pub fn nodes(facts: &Facts) -> Vec<DeviceNode> {
    let on_host = |path: &Path| facts.devices.iter().any(|device| device.path == path);
    let rows = NODES.iter().map(|(name, major, minor, optional, _)| DeviceNode {
        name: (*name).into(),
        host: PathBuf::from("/dev").join(name),
        block: false,
        major: *major,
        minor: *minor,
        mode: 0o666,
        optional: *optional,
    });
    rows.filter(|node| !node.optional || on_host(&node.host)).collect()
}

/// Symbolic links of the container's `/dev`.
#[must_use]
pub fn links() -> Vec<SymbolicLink> {
    LINKS.iter().map(|(path, target)| SymbolicLink { path: path.into(), target: target.into() }).collect()
}

/// Why the node `name` is there.
#[must_use]
pub fn node_reason(name: &str) -> &'static str {
    NODES.iter().find(|row| row.0 == name).map_or("", |row| row.4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::network::{Network, NetworkKind};

    fn identity() -> Identity {
        Identity {
            name: "web".into(),
            path: "/var/lib/wxc".into(),
            directory: "/var/lib/wxc/web".into(),
            run: "/run/wxc/0/web".into(),
        }
    }

    fn steps(container: &Container) -> Vec<MountStep> {
        plan(container, &identity(), &Facts::ordinary()).unwrap()
    }

    fn targets(container: &Container) -> Vec<String> {
        steps(container).iter().map(|step| step.target.display().to_string()).collect()
    }

    #[test]
    fn an_unprivileged_container_has_the_usual_mounts() {
        assert_eq!(
            targets(&Container::default()),
            [
                "proc",
                "proc/sys/net",
                "proc/sys",
                "proc/sys/kernel/random/boot_id",
                "sys",
                "sys/devices/virtual/net",
                "sys",
                "sys/fs/cgroup",
                "dev",
                "dev/pts",
                "dev/shm",
                "dev/mqueue",
            ]
        );
    }

    #[test]
    fn a_privileged_one_has_what_its_root_could_break_read_only() {
        let container = Container { privileged: true, ..Container::default() };
        let steps = steps(&container);
        let of = |target: &str| steps.iter().rfind(|step| step.target == Path::new(target)).unwrap();
        for target in ["proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus", "sys", "sys/firmware"] {
            assert!(of(target).attributes.read_only, "{target}");
        }
    }

    #[test]
    fn without_a_network_of_its_own_it_is_shown_the_hosts_sysfs_read_only() {
        let container = Container { network: vec![Network::new(NetworkKind::None)], ..Container::default() };
        let sys: Vec<MountStep> =
            steps(&container).into_iter().filter(|step| step.target == Path::new("sys")).collect();
        assert_eq!(sys.len(), 1);
        assert_eq!(
            sys[0].source,
            MountSource::Bind { path: "/sys".into(), recursive: true, idmapped: false }
        );
        assert!(sys[0].attributes.read_only && sys[0].attributes.recursive);
        assert!(!targets(&container).contains(&"proc/sys/net".to_string()));
    }

    #[test]
    fn without_a_v2_tree_none_is_mounted() {
        let mut facts = Facts::ordinary();
        facts.cgroup.layout = CgroupLayout::Legacy;
        let steps = plan(&Container::default(), &identity(), &facts).unwrap();
        assert!(!steps.iter().any(|step| step.target == Path::new("sys/fs/cgroup")));
    }

    #[test]
    fn terminals_have_a_group_only_if_it_is_mapped() {
        use crate::config::ids::{HostId, IdMap};
        let has_group = |ids| {
            let container = Container { ids, ..Container::default() };
            let step = pseudo_terminals(&container);
            let MountSource::Filesystem { options, .. } = step.source else { return false };
            options.iter().any(|option| option.key == "gid")
        };
        assert!(has_group(IdMap::single(HostId(100_000), 65_536)));
        assert!(!has_group(IdMap::single(HostId(1000), 1)));
    }

    #[test]
    fn configured_mounts_come_last_with_absolute_sources_and_clean_targets() {
        let mut mount = Mount::bind("data", "//srv/./data/");
        mount.read_only = true;
        let container = Container { mounts: vec![mount], ..Container::default() };
        let step = steps(&container).pop().unwrap();
        assert_eq!(step.target, PathBuf::from("srv/data"));
        let MountSource::Bind { path, .. } = step.source else { panic!("a bind") };
        assert_eq!(path, PathBuf::from("/var/lib/wxc/web/data"));
        assert!(step.attributes.read_only && step.attributes.recursive);
    }

    #[test]
    fn what_a_user_namespace_cannot_mount_is_refused_with_a_way_out() {
        let mut mount = Mount::bind("/dev/sdb1", "/mnt");
        mount.kind = "ext4".into();
        let mut container = Container { mounts: vec![mount], ..Container::default() };
        let error = plan(&container, &identity(), &Facts::ordinary()).unwrap_err();
        assert!(error.to_string().starts_with("mounts.0.type: ext4 cannot"), "{error}");
        container.privileged = true;
        assert!(plan(&container, &identity(), &Facts::ordinary()).is_ok());
    }

    #[test]
    fn the_kernels_own_places_are_not_for_others() {
        let container = Container { mounts: vec![Mount::bind("/srv", "/proc/")], ..Container::default() };
        assert!(plan(&container, &identity(), &Facts::ordinary()).is_err());
    }

    #[test]
    fn devices_that_the_host_lacks_are_left_out() {
        let mut facts = Facts::ordinary();
        assert_eq!(nodes(&facts).len(), NODES.len());
        facts.devices.clear();
        assert!(nodes(&facts).iter().all(|node| !node.optional));
    }
}
