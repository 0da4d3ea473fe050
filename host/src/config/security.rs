#![forbid(unsafe_code)]
//! `[security]`: what the container's processes may do.

use serde::{Deserialize, Serialize};

use super::capability::Capability;
use super::is_default;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Security {
    /// Capabilities taken away, on top of those that every container lacks.
    #[serde(skip_serializing_if = "is_default")]
    pub drop_capabilities: Vec<Capability>,
    /// The only capabilities left; instead of `drop_capabilities`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_capabilities: Option<Vec<Capability>>,
    #[serde(skip_serializing_if = "is_default")]
    pub seccomp: Seccomp,
    /// System calls that are refused, besides those that the filter refuses anyhow.
    #[serde(skip_serializing_if = "is_default")]
    pub deny_syscalls: Vec<String>,
    /// Set-user-id programs inside gain nothing (prctl(2), PR_SET_NO_NEW_PRIVS).
    #[serde(skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    /// A session keyring of its own (keyrings(7)).
    #[serde(skip_serializing_if = "std::clone::Clone::clone")]
    pub keyring: bool,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            drop_capabilities: Vec::new(),
            keep_capabilities: None,
            seccomp: Seccomp::Default,
            deny_syscalls: Vec::new(),
            no_new_privileges: false,
            keyring: true,
        }
    }
}

/// Which filter of system calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    #[default]
    Default,
    Off,
}
