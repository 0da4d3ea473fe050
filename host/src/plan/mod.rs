#![forbid(unsafe_code)]
//! The plan of a start: plain, printable data, complete before anything is touched.
//!
//! Built by a pure function from the configuration, facts about the machine and the storage
//! plugin's answer; shown by `wxc start --plan`; carried out by the monitor, which reads it from a
//! sealed memfd. It names host paths and numbers only: no handle of a plugin survives into it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::ids::IdMap;

/// Configuration, facts and answers in; plan out.
pub mod build;
/// The bounding set of capabilities.
pub mod caps;
/// What a limit means on this host: typed limits -> cgroup files and values.
pub mod cgroup;
/// Devices that a privileged container may use.
pub mod devices;
/// Why there is no plan.
pub mod error;
/// The plan as text for people.
pub mod explain;
/// What the machine and the caller can do.
pub mod facts;
/// What hooks changed, and when they are called.
pub mod hooks;
/// What is mounted, which nodes and links `/dev` has.
pub mod mounts;
/// Which namespaces, in which order.
pub mod namespaces;
/// Devices, addresses and routes.
pub mod network;
/// System calls that are refused by default.
pub mod seccomp;

pub use build::{Overrides, build};
pub use error::PlanError;
pub use facts::Facts;

/// The schema of this page: a monitor refuses a plan of another one.
pub const SCHEMA: u32 = 1;

/// Everything that a start needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub schema: u32,
    pub container: Identity,
    /// In the order in which the kernel makes or the child joins them.
    pub namespaces: Vec<NamespaceStep>,
    /// `None`: the container is privileged, its root is the host's.
    pub ids: Option<IdMap>,
    pub rootfs: RootPlan,
    /// In the order in which they are mounted; targets are below the rootfs.
    pub mounts: Vec<MountStep>,
    /// Device nodes below `/dev`: made with mknod when privileged, else bound from the host.
    pub nodes: Vec<DeviceNode>,
    /// Symbolic links to make below `/dev` (and only there), after the mounts.
    pub links: Vec<SymbolicLink>,
    pub cgroup: CgroupPlan,
    pub network: NetworkPlan,
    pub console: ConsolePlan,
    pub security: SecurityPlan,
    /// File below `/proc/sys` and value; written through a procfs that is not read-only yet.
    pub sysctls: Vec<Setting>,
    pub limits: Vec<ResourceLimit>,
    pub init: InitPlan,
    pub stop: StopPlan,
    /// Offsets of a time namespace in seconds, when one is made.
    pub time: Option<TimeOffsets>,
    /// What is due when the container is gone.
    pub release: Vec<ReleaseStep>,
    /// What hooks changed, and when they are called.
    #[serde(default, skip_serializing_if = "crate::config::is_default")]
    pub hooks: hooks::HooksPlan,
}

/// Which container this is and where its things are on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub name: String,
    /// The directory that holds all containers (`-P`).
    pub path: PathBuf,
    /// The container's own directory below `path`.
    pub directory: PathBuf,
    /// Where its control socket and state are while it runs; 0700.
    pub run: PathBuf,
}

impl Identity {
    /// The file with the boot id of the running container; the monitor writes it at each start.
    #[must_use]
    pub fn boot_id(&self) -> PathBuf {
        self.run.join("boot-id")
    }
}

/// The namespaces of namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    User,
    Mount,
    Pid,
    Uts,
    Ipc,
    Net,
    Cgroup,
    Time,
}

/// What happens with one namespace, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceStep {
    pub kind: Namespace,
    pub action: NamespaceAction,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceAction {
    /// Made for this container.
    New,
    /// The host's stays.
    Keep,
    /// The one behind this path (`/proc/PID/ns/net`) is joined.
    Join(PathBuf),
}

/// The root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootPlan {
    pub source: RootSource,
    pub read_only: bool,
    /// What is written goes into memory: the source is an overlay without a writable side, and gets one there.
    #[serde(default)]
    pub in_memory: bool,
    /// Shown through an idmapped mount (mount_setattr(2)), so that nothing is ever chowned.
    pub idmapped: bool,
    /// Name of the storage plugin that gave the source, for messages.
    pub storage: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootSource {
    /// A directory tree: `relative` is resolved below `pool`, without symbolic links.
    Tree { pool: PathBuf, relative: PathBuf },
    /// An overlay of trees below `pool`; `lower` from top to bottom.
    Overlay { pool: PathBuf, lower: Vec<PathBuf>, upper: Option<OverlayUpper> },
    /// A file system in a regular file below `pool`, whose loop device goes away with the mount. Options as
    /// mount(8) takes them.
    Disk { pool: PathBuf, relative: PathBuf, fstype: String, options: Vec<String> },
    /// A file system on a block device.
    Device { device: PathBuf, fstype: String, options: Vec<Setting> },
}

/// The writable side of an overlay, below its pool: where changes are kept, and where the kernel works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayUpper {
    pub upper: PathBuf,
    pub work: PathBuf,
}

/// One mount below the rootfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStep {
    pub source: MountSource,
    /// Relative to the rootfs, normalized, without `..`; resolved without symbolic links.
    pub target: PathBuf,
    pub attributes: MountAttributes,
    /// What to make at the target when it is missing.
    pub create: Option<NodeKind>,
    /// A failure is a warning and the start goes on.
    pub optional: bool,
    /// The hook that asked for it; else it is configured, or wxc's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// Why it is there, for `--plan`.
    pub reason: String,
}

impl MountStep {
    /// Whose it is, for the end of a message about it; empty where the configuration tells that.
    #[must_use]
    pub fn whose(&self) -> String {
        self.asked_by.as_ref().map(|plugin| format!(", which {plugin} asks for")).unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// A path of the host.
    Bind { path: PathBuf, recursive: bool, idmapped: bool },
    /// A path inside the container that is already mounted, e.g. to make `/proc/sys` read-only.
    Inside { path: PathBuf, recursive: bool },
    /// A new instance of a file system.
    Filesystem { fstype: String, source: String, options: Vec<Setting> },
}

/// Attributes of mount_setattr(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountAttributes {
    pub read_only: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
    #[serde(default, skip_serializing_if = "crate::config::is_default")]
    pub nosymfollow: bool,
    #[serde(default, skip_serializing_if = "crate::config::is_default")]
    pub access_time: crate::config::mounts::AccessTime,
    /// Of the mounts that came along with a recursive source, too; else of the top one alone.
    pub recursive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    Directory,
    File,
}

/// A character or block device in the container's `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    /// Name below `/dev`, e.g. `null` or `net/tun`.
    pub name: String,
    /// Where the host has it; bound from there when mknod is not allowed.
    pub host: PathBuf,
    pub block: bool,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub optional: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolicLink {
    /// Path of the link below the rootfs, e.g. `dev/fd`.
    pub path: PathBuf,
    pub target: PathBuf,
}

/// A key and its value: a sysctl, a mount option, a cgroup file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub key: String,
    /// Empty for a flag.
    pub value: String,
}

/// Which cgroups are made, what is written to them, and what the container sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlan {
    pub layout: CgroupLayout,
    /// Below the caller's own cgroup in each hierarchy; `/`-separated, no leading slash. A number is
    /// appended when it is taken.
    pub payload: String,
    pub monitor: String,
    /// In order.
    pub writes: Vec<CgroupWrite>,
    /// Empty: no device control (an unprivileged container cannot make nodes anyhow).
    pub devices: Vec<DeviceRule>,
    /// Give the container's root its part of the v2 tree.
    pub delegate: bool,
}

/// How this host mounts its cgroups (cgroups(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupLayout {
    /// v1 hierarchies only.
    Legacy,
    /// v1 controllers and a v2 tree without them.
    Hybrid,
    /// The v2 tree alone.
    Unified,
    /// No cgroups, or none that may be written.
    Absent,
}

/// One value. The v1 and v2 names are decided when the plan is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupWrite {
    /// `memory`, `cpu`, `cpuset`, `pids`, `io`/`blkio`, ...
    pub controller: String,
    /// File name, e.g. `memory.max` or `memory.limit_in_bytes`.
    pub file: String,
    pub value: String,
    /// The configuration key that asked for it, for messages.
    pub key: String,
}

/// One rule of the device controller; later rules win.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    pub allow: bool,
    pub kind: DeviceKind,
    /// `None`: any.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    All,
    Char,
    Block,
}

/// The network namespace and what is put into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Share the host's network: no namespace, no links.
    pub host: bool,
    pub links: Vec<LinkPlan>,
}

/// One network device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPlan {
    pub kind: LinkKind,
    /// Name inside the container.
    pub name: String,
    /// Name of the host's end; `None`: one is chosen that is free.
    pub host_name: Option<String>,
    /// MAC address inside as `aa:bb:cc:dd:ee:ff`.
    pub mac: Option<String>,
    pub mtu: Option<u32>,
    pub up: bool,
    pub addresses: Vec<Address>,
    pub routes: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// A pair, its host end in `bridge` if one is named.
    Veth { bridge: Option<String> },
}

/// `address/prefix`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub address: std::net::IpAddr,
    pub prefix: u8,
}

/// A route; `destination` `None` is the default route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: Option<Address>,
    /// `None`: the link itself.
    pub gateway: Option<std::net::IpAddr>,
}

/// Terminals of the container and what is kept of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsolePlan {
    /// `false`: init's standard streams are those of the command (foreground, not a terminal).
    pub console: bool,
    /// How many of `/dev/tty1...` there are.
    pub ttys: u32,
    /// Bytes of the console that are kept in memory for `wxc console`; a power of two, 0 for none.
    pub buffer: u32,
    pub log: Option<ConsoleLog>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleLog {
    pub file: PathBuf,
    /// Bytes after which it is emptied or rotated; `None`: never.
    pub size: Option<u64>,
    /// Keep the old one as `FILE.1`.
    pub rotate: bool,
}

/// What init may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityPlan {
    /// The bounding set: names as in capabilities(7), `CAP_SYS_ADMIN`, sorted.
    pub capabilities: Vec<String>,
    pub seccomp: SeccompPlan,
    pub no_new_privs: bool,
    /// A session keyring of its own (keyrings(7)).
    pub keyring: bool,
}

/// A system-call filter as data; the runtime compiles it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompPlan {
    Off,
    /// Everything is allowed except these.
    Deny(Vec<SeccompRule>),
    /// Everything but these is refused with EPERM.
    Allow(Vec<SeccompRule>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompRule {
    /// Name as in syscalls(2).
    pub syscall: String,
    /// `errno` returned by a deny rule; `None` kills the process.
    pub errno: Option<i32>,
    /// All must hold for the rule to match.
    pub arguments: Vec<SeccompArgument>,
}

/// `argument[index] & mask == value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompArgument {
    pub index: u8,
    pub mask: u64,
    pub value: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimit {
    /// Name as in prlimit(1): `nofile`, `core`, ...
    pub resource: String,
    /// `None`: unlimited.
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

/// The first process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitPlan {
    /// Program and arguments; the program is a path inside the container.
    pub argv: Vec<String>,
    /// `true`: wxc's own small init is process 1, reaps, forwards signals, and `argv` is its child.
    pub stub: bool,
    /// Complete: nothing else is in the environment.
    pub environment: Vec<Setting>,
    pub user: u32,
    pub group: u32,
    pub groups: Vec<u32>,
    pub cwd: PathBuf,
    /// Set in a new UTS namespace only.
    pub hostname: String,
    /// personality(2) for 32-bit guests: `linux32`; `None`: unchanged.
    pub personality: Option<String>,
}

/// How it is asked to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPlan {
    /// Number of the signal; `None`: SIGRTMIN+3 if init handles that (systemd), else SIGPWR.
    pub halt: Option<i32>,
    pub reboot: i32,
    pub kill: i32,
    /// Destroy the container when it has stopped.
    pub ephemeral: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOffsets {
    pub boottime: i64,
    pub monotonic: i64,
}

/// Work for the short-lived runner when the container is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseStep {
    /// The storage plugin lets go of the volume's devices.
    Storage { plugin: String, volume: String },
    /// Remove the whole container (`ephemeral`).
    Destroy,
}
