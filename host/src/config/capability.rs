#![forbid(unsafe_code)]
//! Capabilities by name (capabilities(7)).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The number of a capability, as in `<linux/capability.h>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

/// By number.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

impl Capability {
    /// Every capability that this program knows, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..).zip(NAMES).map(|(number, _)| Self(number))
    }

    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// As in the manual: `CAP_SYS_ADMIN`.
    #[must_use]
    pub fn full_name(self) -> String {
        format!("CAP_{}", self.to_string().to_ascii_uppercase())
    }
}

impl FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("cap_").unwrap_or(&lower);
        if let Some((number, _)) = (0u8..).zip(NAMES).find(|(_, known)| *known == name) {
            return Ok(Self(number));
        }
        let near = super::suggest::nearest(name, NAMES);
        let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        Err(format!("\"{}\" is not a capability{near}", text.escape_debug()))
    }
}

/// As in configuration: `sys_admin`.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[usize::from(self.0)])
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        for (name, number) in
            [("chown", 0), ("CAP_SYS_ADMIN", 21), ("setfcap", 31), ("checkpoint_restore", 40)]
        {
            assert_eq!(name.parse::<Capability>().unwrap().number(), number);
        }
    }

    #[test]
    fn a_slip_is_answered_with_the_nearest_name() {
        let error = "sys_admim".parse::<Capability>().unwrap_err();
        assert_eq!(error, "\"sys_admim\" is not a capability; did you mean \"sys_admin\"?");
    }
}
