#![forbid(unsafe_code)]
//! Rules of network devices.

use std::collections::BTreeSet;

use super::Rules;
use crate::config::network::{Network, NetworkKind};

/// Rules of all `[[network]]` entries.
pub(super) fn all(entries: &[Network], rules: &mut Rules) {
    let mut names = BTreeSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let key = format!("network.{index}");
        rules.must(
            entry.kind != NetworkKind::None || entries.len() == 1,
            &format!("{key}.type"),
            "who shares the host's network has no devices of their own",
            "let `type = \"none\"` be the only [[network]] entry",
        );
        let plain = Network::new(entry.kind) == *entry;
        rules.must(
            entry.kind == NetworkKind::Veth || plain,
            &key,
            "this type of network has no other keys",
            "remove them, or set `type = \"veth\"`",
        );
        if entry.kind == NetworkKind::Veth {
            let name = entry.name.clone().unwrap_or_else(|| format!("eth{index}"));
            let taken = !names.insert(name.clone());
            rules.must(
                !taken && name != "lo",
                &format!("{key}.name"),
                format!("there is another device \"{name}\""),
                "give each entry a `name` of its own",
            );
            one_link(&key, entry, rules);
        }
    }
}

/// What the kernel takes (`dev_valid_name`), without what confuses tools.
fn is_device_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=15).contains(&name.len())
        && name.bytes().all(allowed)
        && !matches!(name, "." | "..")
        && !name.starts_with('-')
}

fn one_link(key: &str, entry: &Network, rules: &mut Rules) {
    for (field, name) in [("name", &entry.name), ("host-name", &entry.host_name), ("bridge", &entry.bridge)] {
        rules.must(
            name.as_deref().is_none_or(is_device_name),
            &format!("{key}.{field}"),
            format!("\"{}\" is not the name of a network device", name.as_deref().unwrap_or_default()),
            "use up to 15 letters, digits, '.', '_' and '-'",
        );
    }
    let least = if entry.addresses.iter().any(|cidr| cidr.address.is_ipv6()) { 1280 } else { 68 };
    rules.must(
        entry.mtu.is_none_or(|mtu| (least..=65_535).contains(&mtu)),
        &format!("{key}.mtu"),
        format!("an MTU of {} cannot be set", entry.mtu.unwrap_or_default()),
        format!("give a number from {least} to 65535"),
    );
    for v4 in [true, false] {
        let of_family = entry.gateways.iter().filter(|gateway| gateway.is_ipv4() == v4).count();
        rules.must(
            of_family <= 1,
            &format!("{key}.gateways"),
            "there are two default routes of one family",
            "give at most one IPv4 and one IPv6 gateway",
        );
    }
    rules.must(
        !entry.down || (entry.gateways.is_empty() && entry.routes.is_empty()),
        &format!("{key}.down"),
        "a device that is down has no routes",
        "remove `down`, or `gateways` and `routes`",
    );
}
