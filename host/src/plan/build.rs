#![forbid(unsafe_code)]
//! Configuration, facts and the storage plugin's answer in; the plan of a start out. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::cgroup::Devices;
use crate::config::ids::IdMap;
use crate::config::security::Seccomp;
use crate::config::{Container, Name, namespaces::Choice, sysctl};

use super::facts::{Facts, Hierarchy};
use super::hooks::HooksPlan;
use super::{
    CgroupLayout, CgroupPlan, ConsoleLog, ConsolePlan, DeviceRule, Identity, InitPlan, Plan, PlanError,
    ReleaseStep, ResourceLimit, RootPlan, RootSource, SCHEMA, SecurityPlan, Setting, StopPlan, caps, cgroup,
    devices, mounts, namespaces, network, seccomp,
};

/// What one start changes, given on the command line.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Instead of `init.command`.
    pub command: Option<Vec<String>>,
    /// Instead of `init.stub`.
    pub stub: Option<bool>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub cwd: Option<PathBuf>,
    /// Variables on top of the configured ones.
    pub environment: BTreeMap<String, String>,
    /// Where `environment.keep` finds the variables it names.
    pub caller_environment: BTreeMap<String, String>,
    /// Init's standard streams are those of the command, and there is no console.
    pub streams: bool,
    /// Destroy at stop, whatever the configuration says.
    pub ephemeral: bool,
}

/// The plan of a start.
///
/// # Errors
/// When this machine or caller cannot do what is configured; nothing was touched.
pub fn build(
    container: &Container,
    identity: Identity,
    facts: &Facts,
    root: RootSource,
    overrides: &Overrides,
) -> Result<Plan, PlanError> {
    let namespaces = namespaces::steps(container, facts)?;
    let ids = ids(container, facts)?;
    let rootfs = rootfs(container, facts, root)?;
    Ok(Plan {
        schema: SCHEMA,
        namespaces,
        mounts: mounts::plan(container, &identity, facts)?,
        nodes: mounts::nodes(facts),
        links: mounts::links(),
        cgroup: cgroups(container, &identity.name, facts)?,
        network: network::plan(container, facts)?,
        console: console(container, &identity, overrides),
        security: security(container, facts)?,
        sysctls: sysctls(container),
        limits: limits(container),
        init: init(container, &identity.name, facts, overrides),
        stop: StopPlan {
            halt: container.stop.halt.map(|signal| signal.0),
            reboot: container.stop.reboot.0,
            kill: container.stop.kill.0,
            ephemeral: container.ephemeral || overrides.ephemeral,
        },
        time: namespaces::offsets(container),
        release: release(container, &identity, &rootfs, overrides),
        hooks: HooksPlan::default(),
        ids,
        rootfs,
        container: identity,
    })
}

/// The id map, and whether this caller can write it.
fn ids(container: &Container, facts: &Facts) -> Result<Option<IdMap>, PlanError> {
    if container.privileged {
        return Ok(None);
    }
    if container.ids.is_empty() {
        return Err(PlanError::NoIds);
    }
    // A caller may map their own id alone without help (user_namespaces(7)).
    let alone = |ranges: &[crate::config::ids::IdRange], own: u32| matches!(ranges, [only] if only.count == 1 && only.host.0 == own);
    let caller = facts.caller;
    let alone = alone(&container.ids.users, caller.uid) && alone(&container.ids.groups, caller.gid);
    let needs_help = !caller.is_root() && !alone;
    let programs = &facts.id_map_programs;
    if needs_help && (programs.newuidmap.is_none() || programs.newgidmap.is_none()) {
        return Err(PlanError::missing(
            "a range of ids for an ordinary user",
            "newuidmap and newgidmap are not installed",
            "install them (package `uidmap` or `shadow-utils`), or start the container as root",
        ));
    }
    Ok(Some(container.ids.clone()))
}

/// First kernel in which mounts of a file system can be idmapped (mount_setattr(2)). A type that is
/// not listed is tried: the kernel knows.
const IDMAPPED_SINCE: &[(&str, Option<(u32, u32)>)] = &[
    ("ext4", Some((5, 12))),
    ("vfat", Some((5, 12))),
    ("xfs", Some((5, 12))),
    ("btrfs", Some((5, 15))),
    ("f2fs", Some((5, 18))),
    ("overlay", None),
    ("erofs", Some((5, 19))),
    ("squashfs", Some((6, 2))),
    ("tmpfs", Some((6, 3))),
    ("nfs", None),
    ("nfs4", None),
    ("cifs", None),
    ("9p", None),
];

fn rootfs(container: &Container, facts: &Facts, source: RootSource) -> Result<RootPlan, PlanError> {
    // Only who has power over the file system's own user namespace can idmap a mount of it. Everybody
    // else keeps files that already have the shifted owners.
    let idmapped = !container.privileged && facts.caller.is_root() && facts.caller.initial_user_namespace;
    if idmapped {
        let fstype = match &source {
            RootSource::Disk { fstype, .. } | RootSource::Device { fstype, .. } => Some(fstype.as_str()),
            RootSource::Tree { .. } | RootSource::Overlay { .. } => facts.pool_filesystem.as_deref(),
        };
        idmappable(fstype, facts)?;
        if container.rootfs.in_memory {
            idmappable(Some("tmpfs"), facts)?;
        }
    }
    let in_memory = container.rootfs.in_memory;
    Ok(RootPlan {
        source: if in_memory { below_memory(source)? } else { source },
        in_memory,
        read_only: container.rootfs.read_only,
        idmapped,
        storage: container.rootfs.storage.clone(),
    })
}

/// The source as layers that are only read.
fn below_memory(source: RootSource) -> Result<RootSource, PlanError> {
    let key = "rootfs.in-memory";
    match source {
        RootSource::Tree { pool, relative } => {
            Ok(RootSource::Overlay { pool, lower: vec![relative], upper: None })
        }
        RootSource::Overlay { pool, lower, upper } => {
            let lower = upper.map(|side| side.upper).into_iter().chain(lower).collect();
            Ok(RootSource::Overlay { pool, lower, upper: None })
        }
        RootSource::Disk { .. } | RootSource::Device { .. } => Err(PlanError::refused(
            key,
            "it works over directories only, and this root file system is on a disk",
            "leave it out, or copy the container to another storage: wxc copy NAME NEWNAME -B overlay",
        )),
    }
}

fn idmappable(fstype: Option<&str>, facts: &Facts) -> Result<(), PlanError> {
    let feature = "an idmapped root file system";
    if !facts.kernel.at_least(5, 12) {
        return Err(PlanError::missing(
            feature,
            format!("Linux {} has no idmapped mounts", facts.kernel),
            "boot Linux 5.12 or newer, or make the container privileged",
        ));
    }
    let Some(fstype) = fstype else { return Ok(()) };
    match IDMAPPED_SINCE.iter().find(|(known, _)| *known == fstype) {
        Some((_, None)) => Err(PlanError::missing(
            feature,
            format!("{fstype} cannot be mounted idmapped"),
            "keep containers on ext4, xfs or btrfs, or make the container privileged",
        )),
        Some((_, Some((major, minor)))) if !facts.kernel.at_least(*major, *minor) => Err(PlanError::missing(
            feature,
            format!("{fstype} can be mounted idmapped since Linux {major}.{minor}, this is {}", facts.kernel),
            "boot a newer kernel, or keep containers on ext4",
        )),
        _ => Ok(()),
    }
}

/// Kept by the devices controller, or by a program attached to the v2 cgroup. An unprivileged container
/// can make no nodes, so it has rules only when they are configured.
fn device_rules(container: &Container) -> Result<Vec<DeviceRule>, PlanError> {
    let configured = &container.cgroup.devices;
    if !container.privileged && *configured == Devices::default() {
        return Ok(Vec::new());
    }
    let refused = |key: &str| {
        let key = key.to_owned();
        move |error: devices::RuleError| {
            PlanError::refused(key, error.to_string(), "write it as `c 10:200 rwm`")
        }
    };
    let mut rules = devices::default_rules().map_err(refused("cgroup.devices"))?;
    for (key, list, allow) in
        [("cgroup.devices.allow", &configured.allow, true), ("cgroup.devices.deny", &configured.deny, false)]
    {
        for text in list {
            rules.push(devices::parse(text.as_str(), allow).map_err(refused(key))?);
        }
    }
    Ok(rules)
}

fn cgroups(container: &Container, name: &str, facts: &Facts) -> Result<CgroupPlan, PlanError> {
    let layout = facts.cgroup.layout;
    let writes = cgroup::writes(&container.cgroup, &facts.cgroup)
        .map_err(|error| PlanError::refused("cgroup", error.to_string(), advice_on_limits(layout)))?;
    for write in &writes {
        let found = facts.cgroup.hierarchy_of(&write.controller);
        if !found.is_some_and(|hierarchy| hierarchy.writable) {
            return Err(no_controller(&write.controller, &write.key, found));
        }
    }
    let devices = if layout == CgroupLayout::Absent { Vec::new() } else { device_rules(container)? };
    Ok(CgroupPlan {
        layout,
        payload: format!("wxc.payload.{name}"),
        monitor: format!("wxc.monitor.{name}"),
        writes,
        devices,
        delegate: facts.cgroup.unified().is_some_and(|tree| tree.writable)
            && container.namespaces.cgroup == Choice::New,
    })
}

fn advice_on_limits(layout: CgroupLayout) -> String {
    match layout {
        CgroupLayout::Absent => "mount cgroups (`mount -t cgroup2 none /sys/fs/cgroup`), or remove the limit",
        CgroupLayout::Legacy | CgroupLayout::Hybrid => {
            "boot with `systemd.unified_cgroup_hierarchy=1` or `cgroup_no_v1=all`, or change the limit"
        }
        CgroupLayout::Unified => "change the limit",
    }
    .into()
}

fn no_controller(controller: &str, key: &str, found: Option<&Hierarchy>) -> PlanError {
    let feature = format!("the {controller} controller, which {key} needs,");
    match found {
        Some(hierarchy) => PlanError::missing(
            feature,
            format!("its cgroups in {} may not be written by this user", hierarchy.mount.display()),
            "start as root, or have a part of the tree delegated (`systemd-run --user --scope -p Delegate=yes`)",
        ),
        None => PlanError::missing(
            feature,
            "no mounted cgroup hierarchy has it",
            "enable it (kernel option, `cgroup_enable=` on the kernel's command line, or delegation), or remove the limit",
        ),
    }
}

fn console(container: &Container, identity: &Identity, overrides: &Overrides) -> ConsolePlan {
    let console = &container.console;
    ConsolePlan {
        console: !overrides.streams,
        ttys: console.ttys,
        buffer: u32::try_from(console.buffer.0).unwrap_or(1 << 30),
        log: console.log.as_ref().map(|file| ConsoleLog {
            file: identity.directory.join(file),
            size: console.log_size.map(|size| size.0),
            rotate: console.log_rotate,
        }),
    }
}

fn security(container: &Container, facts: &Facts) -> Result<SecurityPlan, PlanError> {
    let security = &container.security;
    let filtered = security.seccomp == Seccomp::Default || !security.deny_syscalls.is_empty();
    if filtered && !facts.seccomp {
        return Err(PlanError::missing(
            "a filter of system calls",
            "this kernel has no seccomp filters",
            "boot a kernel with CONFIG_SECCOMP_FILTER=y, or set `security.seccomp = \"off\"`",
        ));
    }
    Ok(SecurityPlan {
        capabilities: caps::bounding(
            container.privileged,
            &security.drop_capabilities,
            security.keep_capabilities.as_deref(),
            facts.last_capability,
        ),
        seccomp: match security.seccomp {
            Seccomp::Default => seccomp::policy(&security.deny_syscalls),
            Seccomp::Off => seccomp::only(&security.deny_syscalls),
        },
        no_new_privs: security.no_new_privileges,
        keyring: security.keyring,
    })
}

fn sysctls(container: &Container) -> Vec<Setting> {
    let all = container.sysctl.0.iter();
    all.map(|(key, value)| Setting { key: sysctl::file_of(key), value: value.clone() }).collect()
}

fn limits(container: &Container) -> Vec<ResourceLimit> {
    let all = container.rlimits.iter();
    all.map(|(name, limit)| ResourceLimit { resource: name.clone(), soft: limit.soft, hard: limit.hard })
        .collect()
}

/// What a login of root has on every distribution; a shell without PATH finds nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn environment(container: &Container, overrides: &Overrides) -> Vec<Setting> {
    let mut all = BTreeMap::from([("PATH".to_string(), PATH.to_string())]);
    let kept = container.environment.keep.iter();
    all.extend(kept.filter_map(|name| overrides.caller_environment.get_key_value(name)).map(clone_pair));
    all.extend(container.environment.set.iter().map(clone_pair));
    all.extend(overrides.environment.iter().map(clone_pair));
    // Guests recognize a container by this word (systemd's container interface); not negotiable.
    all.insert("container".into(), "lxc".into());
    all.into_iter().map(|(key, value)| Setting { key, value }).collect()
}

fn clone_pair((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn init(container: &Container, name: &str, facts: &Facts, overrides: &Overrides) -> InitPlan {
    let init = &container.init;
    let own_name = || name.parse::<Name>().map_or_else(|_| name.into(), |name| name.to_hostname());
    InitPlan {
        argv: overrides.command.clone().unwrap_or_else(|| init.command.clone()),
        stub: overrides.stub.unwrap_or(init.stub),
        environment: environment(container, overrides),
        user: overrides.user.unwrap_or(init.user),
        group: overrides.group.unwrap_or(init.group),
        groups: init.groups.clone(),
        cwd: overrides.cwd.clone().unwrap_or_else(|| init.cwd.clone()),
        hostname: container.hostname.clone().unwrap_or_else(own_name),
        personality: personality(container, facts),
    }
}

/// `linux32` for a 32-bit guest on its 64-bit machine; a guest of another machine runs through an
/// emulator, which answers uname(2) itself.
fn personality(container: &Container, facts: &Facts) -> Option<String> {
    let (machine, half) = container.arch?.machine();
    (half && machine == facts.machine).then(|| "linux32".into())
}

fn release(
    container: &Container,
    identity: &Identity,
    rootfs: &RootPlan,
    overrides: &Overrides,
) -> Vec<ReleaseStep> {
    let mut steps = Vec::new();
    // A tree needs no letting go, and a disk in a file goes with its mount; a device must be detached.
    if matches!(rootfs.source, RootSource::Device { .. }) {
        let volume = container.rootfs.volume.clone().unwrap_or_else(|| identity.name.clone());
        steps.push(ReleaseStep::Storage { plugin: rootfs.storage.clone(), volume });
    }
    if container.ephemeral || overrides.ephemeral {
        steps.push(ReleaseStep::Destroy);
    }
    steps
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::ids::HostId;
    use crate::plan::facts::Caller;

    pub(in crate::plan) fn identity() -> Identity {
        Identity {
            name: "web_1".into(),
            path: "/var/lib/wxc".into(),
            directory: "/var/lib/wxc/web_1".into(),
            run: "/run/wxc/0123456789ab/web_1".into(),
        }
    }

    pub(in crate::plan) fn tree() -> RootSource {
        RootSource::Tree { pool: "/var/lib/wxc".into(), relative: "web_1/rootfs".into() }
    }

    pub(in crate::plan) fn ordinary() -> Container {
        Container { ids: IdMap::single(HostId(1_000_000_000), 65_536), ..Container::default() }
    }

    fn plan(container: &Container, facts: &Facts) -> Result<Plan, PlanError> {
        build(container, identity(), facts, tree(), &Overrides::default())
    }

    #[test]
    fn an_ordinary_container_is_idmapped_clean_and_named() {
        let plan = plan(&ordinary(), &Facts::ordinary()).unwrap();
        assert!(plan.rootfs.idmapped);
        assert_eq!(plan.init.hostname, "web-1");
        let names: Vec<&str> = plan.init.environment.iter().map(|v| v.key.as_str()).collect();
        assert_eq!(names, ["PATH", "container"]);
        assert!(plan.cgroup.devices.is_empty() && plan.cgroup.delegate);
        assert!(plan.release.is_empty());
    }

    #[test]
    fn a_plan_survives_json() {
        let plan = plan(&ordinary(), &Facts::ordinary()).unwrap();
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }

    #[test]
    fn a_privileged_container_has_no_map_and_device_rules() {
        let container = Container { privileged: true, ..Container::default() };
        let plan = plan(&container, &Facts::ordinary()).unwrap();
        assert!(plan.ids.is_none() && !plan.rootfs.idmapped);
        assert!(!plan.cgroup.devices.is_empty());
    }

    #[test]
    fn without_ids_nothing_starts() {
        let error = plan(&Container::default(), &Facts::ordinary()).unwrap_err();
        assert_eq!(error, PlanError::NoIds);
    }

    #[test]
    fn a_user_needs_the_helpers_of_shadow_unless_they_map_themselves_alone() {
        let mut facts = Facts::ordinary();
        facts.caller = Caller { uid: 1000, gid: 1000, initial_user_namespace: true };
        facts.id_map_programs = Default::default();
        let error = plan(&ordinary(), &facts).unwrap_err();
        assert!(error.to_string().contains("newuidmap"), "{error}");
        let alone = Container { ids: IdMap::single(HostId(1000), 1), ..Container::default() };
        let plan = plan(&alone, &facts).unwrap();
        assert!(!plan.rootfs.idmapped);
    }

    #[test]
    fn a_file_system_that_cannot_be_idmapped_is_named() {
        for (fstype, kernel, expected) in [
            ("9p", "6.12", "9p cannot be mounted idmapped"),
            ("tmpfs", "6.1", "since Linux 6.3, this is 6.1"),
            ("ext4", "5.10", "Linux 5.10 has no idmapped mounts"),
        ] {
            let mut facts = Facts::ordinary();
            facts.pool_filesystem = Some(fstype.into());
            facts.kernel = crate::plan::facts::KernelVersion::parse(kernel).unwrap();
            let error = plan(&ordinary(), &facts).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_limit_without_its_controller_is_refused_with_the_key() {
        let mut container = ordinary();
        container.cgroup.memory.max = Some(crate::config::cgroup::Limit::Max);
        let mut facts = Facts::ordinary();
        assert!(plan(&container, &facts).is_ok());
        facts.cgroup.hierarchies[0].controllers.retain(|controller| controller != "memory");
        let error = plan(&container, &facts).unwrap_err();
        assert!(error.to_string().contains("cgroup.memory.max"), "{error}");
    }

    #[test]
    fn the_environment_is_layered_and_marked() {
        let mut container = ordinary();
        container.environment.keep = vec!["TERM".into(), "UNSET".into()];
        container.environment.set.insert("LANG".into(), "C.UTF-8".into());
        container.environment.set.insert("container".into(), "podman".into());
        let overrides = Overrides {
            caller_environment: [("TERM", "xterm"), ("SECRET", "x")]
                .map(|(k, v)| (k.into(), v.into()))
                .into(),
            environment: [("LANG".into(), "de".into())].into(),
            ..Overrides::default()
        };
        let plan = build(&container, identity(), &Facts::ordinary(), tree(), &overrides).unwrap();
        let all: Vec<String> =
            plan.init.environment.iter().map(|v| format!("{}={}", v.key, v.value)).collect();
        assert_eq!(all[0], "LANG=de");
        assert_eq!(all[2..], ["TERM=xterm", "container=lxc"]);
    }

    #[test]
    fn a_32_bit_guest_sees_a_32_bit_machine_on_its_own_kind_only() {
        let mut container = ordinary();
        container.arch = Some(crate::config::init::Arch::I686);
        assert_eq!(
            plan(&container, &Facts::ordinary()).unwrap().init.personality.as_deref(),
            Some("linux32")
        );
        container.arch = Some(crate::config::init::Arch::Armv7l);
        assert_eq!(plan(&container, &Facts::ordinary()).unwrap().init.personality, None);
    }

    #[test]
    fn a_device_is_released_and_an_ephemeral_container_destroyed() {
        let mut container = ordinary();
        container.ephemeral = true;
        let device =
            RootSource::Device { device: "/dev/loop0".into(), fstype: "ext4".into(), options: Vec::new() };
        let plan = build(&container, identity(), &Facts::ordinary(), device, &Overrides::default()).unwrap();
        assert_eq!(
            plan.release,
            [ReleaseStep::Storage { plugin: "dir".into(), volume: "web_1".into() }, ReleaseStep::Destroy]
        );
    }

    #[test]
    fn configured_devices_come_after_the_usual_ones_and_denials_last() {
        let mut container = Container { ids: IdMap::single(HostId(100_000), 65_536), ..Container::default() };
        assert!(device_rules(&container).unwrap().is_empty());
        container.cgroup.devices.allow = vec!["c 188:* rw".parse().unwrap()];
        container.cgroup.devices.deny = vec!["c 10:229 rwm".parse().unwrap()];
        let rules = device_rules(&container).unwrap();
        assert_eq!(rules.len(), devices::ALLOWED.len() + 3);
        let last: Vec<String> = rules.iter().rev().take(2).map(ToString::to_string).collect();
        assert_eq!(last, ["c 10:229 rwm", "c 188:* rw"]);
        assert!(!rules.last().unwrap().allow && !rules.first().unwrap().allow);
    }
}
