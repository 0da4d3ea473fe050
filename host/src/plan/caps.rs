#![forbid(unsafe_code)]
//! Which capabilities a container may ever have: its bounding set.

use std::collections::BTreeSet;

use crate::config::capability::Capability;

/// A capability that is dropped unless it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drop {
    pub name: &'static str,
    /// Also when the container has its own user namespace.
    pub unprivileged: bool,
    pub reason: &'static str,
}

/// What LXC's `common.conf` drops, and the audit log. Within a user namespace four of them give
/// nothing, because the kernel asks for them in the initial one; without them systemd's `ConditionCapability=` skips the
/// units that would fail.
pub const DROPPED: [Drop; 6] = [
    Drop { name: "sys_module", unprivileged: true, reason: "modules are part of the host's kernel" },
    Drop { name: "sys_rawio", unprivileged: true, reason: "ports and raw memory are the machine's" },
    Drop { name: "sys_time", unprivileged: true, reason: "there is one clock for host and containers" },
    Drop { name: "audit_read", unprivileged: true, reason: "the audit log is the host's" },
    Drop {
        name: "mac_override",
        unprivileged: false,
        reason: "it would set the host's security policy aside",
    },
    Drop { name: "mac_admin", unprivileged: false, reason: "it would change the host's security policy" },
];

/// The bounding set of a container, sorted, named as in capabilities(7): exactly `keep` if that is
/// given, else everything without the default drops and without `drop`; in both cases only what
/// this kernel knows (up to `last`).
#[must_use]
pub fn bounding(privileged: bool, drop: &[Capability], keep: Option<&[Capability]>, last: u8) -> Vec<String> {
    let mut set: BTreeSet<Capability> = match keep {
        Some(keep) => keep.iter().copied().collect(),
        None => Capability::all().filter(|capability| !dropped(*capability, privileged)).collect(),
    };
    set.retain(|capability| capability.number() <= last && !drop.contains(capability));
    let mut names: Vec<String> = set.into_iter().map(Capability::full_name).collect();
    names.sort();
    names
}

fn dropped(capability: Capability, privileged: bool) -> bool {
    let name = capability.to_string();
    DROPPED.iter().any(|row| row.name == name && (privileged || row.unprivileged))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(names: &[&str]) -> Vec<Capability> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn every_row_names_a_capability() {
        assert!(DROPPED.iter().all(|row| row.name.parse::<Capability>().is_ok()));
    }

    #[test]
    fn defaults_depend_on_the_user_namespace() {
        let privileged = bounding(true, &[], None, 40);
        let own = bounding(false, &[], None, 40);
        assert_eq!((privileged.len(), own.len()), (35, 37));
        assert!(!own.contains(&"CAP_SYS_TIME".to_owned()) && own.contains(&"CAP_MAC_ADMIN".to_owned()));
        assert!(privileged.is_sorted());
    }

    #[test]
    fn keep_replaces_the_defaults_and_drop_is_the_last_word() {
        let keep = capabilities(&["sys_time", "kill", "bpf"]);
        let drop = capabilities(&["kill"]);
        assert_eq!(bounding(true, &drop, Some(&keep), 40), ["CAP_BPF", "CAP_SYS_TIME"]);
        assert_eq!(bounding(true, &[], Some(&keep), 38), ["CAP_KILL", "CAP_SYS_TIME"]);
        assert!(bounding(true, &[], Some(&[]), 40).is_empty());
    }
}
