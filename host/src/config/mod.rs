#![forbid(unsafe_code)]
//! The configuration of a container: typed, validated; `container.toml` is one codec of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[autostart]`.
pub mod autostart;
/// Capabilities by name.
pub mod capability;
/// Limits of resources: the `[cgroup]` table.
pub mod cgroup;
/// `[console]`.
pub mod console;
/// Spans of time: `30s`.
pub mod duration;
/// Single keys of a file, with comments and layout kept.
pub mod edit;
/// `[environment]`.
pub mod environment;
/// What is wrong with a file, and where.
pub mod error;
/// `[hooks.NAME]`.
pub mod hooks;
/// Which host ids are free.
pub mod idpool;
/// User and group ids of host and container.
pub mod ids;
/// `[init]` and `arch`.
pub mod init;
/// The table of all keys.
pub mod keys;
/// `[[mounts]]`.
pub mod mounts;
/// Names of containers.
pub mod name;
/// `[namespaces]`.
pub mod namespaces;
/// `[[network]]`.
pub mod network;
/// `docs/configuration.md`.
pub mod reference;
/// `[rlimits]`.
pub mod rlimits;
/// `[rootfs]` and `[template]`.
pub mod rootfs;
/// `[security]`.
pub mod security;
/// Signals by name and number.
pub mod signal;
/// Amounts of bytes: `512M`.
pub mod size;
/// `[stop]`.
pub mod stop;
/// The nearest of the words that were possible.
pub mod suggest;
/// `[sysctl]`.
pub mod sysctl;
/// `wxc.toml` and `default.toml`: what the administrator sets.
pub mod system;
/// The native file form.
pub mod toml;
/// Rules across keys.
pub mod validate;
/// A fresh file.
pub mod write;

pub use error::{ConfigError, Problem};
pub use name::Name;

/// Everything that is configured about a container. `Container::default()` is an unprivileged
/// container with loopback alone; its name is that of its directory and stands in no file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Container {
    /// The container's name when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<init::Arch>,
    /// Root inside is root of the host: no user namespace.
    #[serde(skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Destroyed when it stops (not when it reboots).
    #[serde(skip_serializing_if = "is_default")]
    pub ephemeral: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<rootfs::TemplateRecord>,
    #[serde(skip_serializing_if = "is_default")]
    pub rootfs: rootfs::Rootfs,
    /// The container's ranges of ids, given at creation.
    #[serde(skip_serializing_if = "ids::IdMap::is_empty")]
    pub ids: ids::IdMap,
    #[serde(skip_serializing_if = "is_default")]
    pub init: init::Init,
    #[serde(skip_serializing_if = "is_default")]
    pub environment: environment::Environment,
    #[serde(skip_serializing_if = "is_default")]
    pub namespaces: namespaces::Namespaces,
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup: cgroup::Limits,
    #[serde(skip_serializing_if = "is_default")]
    pub security: security::Security,
    #[serde(skip_serializing_if = "is_default")]
    pub rlimits: BTreeMap<String, rlimits::Rlimit>,
    #[serde(skip_serializing_if = "is_default")]
    pub sysctl: sysctl::Sysctls,
    #[serde(skip_serializing_if = "is_default")]
    pub console: console::Console,
    #[serde(skip_serializing_if = "is_default")]
    pub stop: stop::Stop,
    #[serde(skip_serializing_if = "is_default")]
    pub autostart: autostart::Autostart,
    /// Profiles of `wxc.toml` whose hooks it has, too.
    #[serde(skip_serializing_if = "is_default")]
    pub profiles: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub hooks: hooks::Hooks<hooks::Exec>,
    /// Words that people and hooks tell containers apart by.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub mounts: Vec<mounts::Mount>,
    #[serde(skip_serializing_if = "is_default")]
    pub network: Vec<network::Network>,
}

/// For `skip_serializing_if`: a file says only what differs.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
