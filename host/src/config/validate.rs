#![forbid(unsafe_code)]
//! Rules that a type alone cannot hold: across keys, and limits of the kernel.

use super::ids::IdRange;
use super::mounts::normalized;
use super::namespaces::Choice;
use super::network::NetworkKind;
use super::{Container, rlimits, suggest, sysctl};

mod hooks;
mod mounts;
mod network;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Dotted key of the value to change.
    pub key: String,
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// All rules that `container` breaks.
#[must_use]
pub fn check(container: &Container) -> Vec<Broken> {
    let mut broken = Rules { broken: Vec::new() };
    identity(container, &mut broken);
    ids(container, &mut broken);
    init(container, &mut broken);
    environment(container, &mut broken);
    namespaces(container, &mut broken);
    security(container, &mut broken);
    kernel_settings(container, &mut broken);
    console(container, &mut broken);
    autostart(container, &mut broken);
    for (index, mount) in container.mounts.iter().enumerate() {
        mounts::one(&format!("mounts.{index}"), mount, container, &mut broken);
    }
    hooks::all(container, &mut broken);
    network::all(&container.network, &mut broken);
    broken.broken
}

struct Rules {
    broken: Vec<Broken>,
}

impl Rules {
    /// `holds`, or else this is wrong with `key`.
    fn must(&mut self, holds: bool, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        if !holds {
            self.broken.push(Broken { key: key.into(), message: message.into(), hint: hint.into() });
        }
    }
}

/// Labels of letters, digits and `-`, together what sethostname(2) takes.
fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        let allowed = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && label.len() <= 63 && allowed && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 64 && text.split('.').all(label)
}

/// What names a plugin or a volume: becomes part of paths.
fn is_plain_word(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(allowed)
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn identity(container: &Container, rules: &mut Rules) {
    if let Some(hostname) = &container.hostname {
        rules.must(
            is_hostname(hostname),
            "hostname",
            format!("\"{hostname}\" is not a host name"),
            "use letters, digits and '-', in parts separated by dots, 64 characters in all",
        );
    }
    rules.must(
        is_plain_word(&container.rootfs.storage),
        "rootfs.storage",
        format!("\"{}\" is not the name of a plugin", container.rootfs.storage),
        "`wxc plugin list` shows the storage plugins",
    );
    if let Some(volume) = &container.rootfs.volume {
        rules.must(
            is_plain_word(volume),
            "rootfs.volume",
            format!("\"{volume}\" is not the name of a volume"),
            "a volume has a name such as \"web\" or \"web@before\", not a path",
        );
    }
}

fn ids(container: &Container, rules: &mut Rules) {
    for (key, ranges) in [("ids.users", &container.ids.users), ("ids.groups", &container.ids.groups)] {
        rules.must(
            !container.privileged || ranges.is_empty(),
            key,
            "a privileged container has the host's ids",
            "remove `ids`, or set `privileged = false`",
        );
        // The kernel's limit (UID_GID_MAP_MAX_EXTENTS).
        rules.must(
            ranges.len() <= 340,
            key,
            "there are more than 340 ranges",
            "join neighbouring ranges: the kernel takes 340",
        );
        for (index, range) in ranges.iter().enumerate() {
            let other = ranges[..index].iter().find(|other| overlap(**other, *range));
            rules.must(
                other.is_none(),
                &format!("{key}.{index}"),
                format!("the range {range} overlaps another one"),
                "each id may be mapped once, inside and outside",
            );
        }
    }
}

fn overlap(a: IdRange, b: IdRange) -> bool {
    let cross = |a: u32, a_count: u32, b: u32, b_count: u32| {
        u64::from(a) < u64::from(b) + u64::from(b_count) && u64::from(b) < u64::from(a) + u64::from(a_count)
    };
    cross(a.container.0, a.count, b.container.0, b.count) || cross(a.host.0, a.count, b.host.0, b.count)
}

fn init(container: &Container, rules: &mut Rules) {
    let init = &container.init;
    rules.must(
        init.command.first().is_some_and(|program| program.starts_with('/')),
        "init.command",
        "the first word must be the absolute path of a program inside the container",
        "for example init.command = [\"/sbin/init\"]",
    );
    rules.must(
        init.cwd.is_absolute(),
        "init.cwd",
        format!("\"{}\" is not an absolute path", init.cwd.display()),
        "write the path as seen inside, as in \"/srv\"",
    );
    let ids = &container.ids;
    let mapped = |ranges: &[IdRange], id: u32| {
        ranges.is_empty() || ranges.iter().any(|range| range.to_host(super::ids::ContainerId(id)).is_some())
    };
    rules.must(
        mapped(&ids.users, init.user),
        "init.user",
        format!("the user {} has no id on the host", init.user),
        "take one that the ranges of `ids.users` cover",
    );
    for (key, id) in
        std::iter::once(("init.group", init.group)).chain(init.groups.iter().map(|id| ("init.groups", *id)))
    {
        rules.must(
            mapped(&ids.groups, id),
            key,
            format!("the group {id} has no id on the host"),
            "take one that the ranges of `ids.groups` cover",
        );
    }
}

fn environment(container: &Container, rules: &mut Rules) {
    let environment = &container.environment;
    let set = environment.set.keys().map(|name| (format!("environment.set.{name}"), name));
    let keep = environment.keep.iter().enumerate().map(|(n, name)| (format!("environment.keep.{n}"), name));
    for (key, name) in set.chain(keep) {
        rules.must(
            !name.is_empty() && !name.contains(['=', ' ']) && !name.starts_with(|c: char| c.is_ascii_digit()),
            &key,
            format!("\"{name}\" is not the name of a variable"),
            "use letters, digits and '_'",
        );
    }
}

fn namespaces(container: &Container, rules: &mut Rules) {
    let namespaces = &container.namespaces;
    rules.must(
        container.privileged || namespaces.pid == Choice::New,
        "namespaces.pid",
        "an unprivileged container cannot show the processes of a namespace that is not its own",
        "remove the key, or set `privileged = true`",
    );
    rules.must(
        namespaces.uts == Choice::New || container.hostname.is_none(),
        "hostname",
        "the container has no host name of its own when `namespaces.uts` is not new",
        "remove `hostname` or `namespaces.uts`",
    );
    let has_links = container.network.iter().any(|entry| entry.kind == NetworkKind::Veth);
    rules.must(
        namespaces.net == Choice::New || !has_links,
        "namespaces.net",
        "devices can only be put into a network namespace of the container's own",
        "remove `namespaces.net` or the [[network]] entries",
    );
}

fn security(container: &Container, rules: &mut Rules) {
    let security = &container.security;
    rules.must(
        security.keep_capabilities.is_none() || security.drop_capabilities.is_empty(),
        "security.keep-capabilities",
        "capabilities are both kept and dropped",
        "use one of `keep-capabilities` (only these) and `drop-capabilities` (all but these)",
    );
    for (index, call) in security.deny_syscalls.iter().enumerate() {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        rules.must(
            !call.is_empty() && call.bytes().all(letter),
            &format!("security.deny-syscalls.{index}"),
            format!("\"{call}\" is not the name of a system call"),
            "write it as in syscalls(2), for example ptrace",
        );
    }
}

fn kernel_settings(container: &Container, rules: &mut Rules) {
    for name in container.rlimits.keys() {
        let near = suggest::nearest(name, rlimits::RESOURCES);
        rules.must(
            rlimits::RESOURCES.contains(&name.as_str()),
            &format!("rlimits.{name}"),
            format!("\"{name}\" is not a resource"),
            near.map_or_else(
                || format!("one of {}", rlimits::RESOURCES.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            ),
        );
    }
    let host_network = container.namespaces.net == Choice::Keep
        || container.network.iter().any(|entry| entry.kind == NetworkKind::None);
    for key in container.sysctl.0.keys() {
        let at = format!("sysctl.{key}");
        let steps = key.split(['.', '/']);
        rules.must(
            steps.clone().all(|step| !step.is_empty()) && steps.count() > 1,
            &at,
            format!("\"{key}\" is not the name of a kernel setting"),
            "write it with dots, as in net.ipv4.ip_forward",
        );
        rules.must(
            sysctl::is_namespaced(key),
            &at,
            "this setting belongs to the whole host, not to a namespace of the container",
            "set it on the host with `sysctl -w`, for all containers",
        );
        rules.must(
            !(host_network && key.starts_with("net.")),
            &at,
            "the container shares the host's network, so this setting is the host's",
            "set it on the host with `sysctl -w`",
        );
    }
}

fn console(container: &Container, rules: &mut Rules) {
    let console = &container.console;
    // The names /dev/tty1 to /dev/tty63 are those of the virtual terminals of Linux.
    rules.must(
        console.ttys <= 63,
        "console.ttys",
        format!("{} terminals are too many", console.ttys),
        "give at most 63; more than a few are rarely useful",
    );
    let buffer = console.buffer.0;
    rules.must(
        buffer == 0 || (buffer.is_power_of_two() && (1 << 12..=1 << 30).contains(&buffer)),
        "console.buffer",
        format!("a buffer of {} cannot be made", console.buffer),
        "give a power of two from 4K to 1G, or 0 for none",
    );
    rules.must(
        console.log.is_some() || (console.log_size.is_none() && !console.log_rotate),
        "console",
        "`log-size` and `log-rotate` say something about a log that is not kept",
        "set `console.log = \"console.log\"`",
    );
    rules.must(
        console.log_size.is_none_or(|size| size.0 >= 4096),
        "console.log-size",
        "the log would start anew with every few lines",
        "give at least 4K",
    );
    let inside = |log: &std::path::PathBuf| log.is_absolute() || normalized(log).is_some();
    rules.must(
        console.log.as_ref().is_none_or(inside),
        "console.log",
        "the path leads out of the container's directory",
        "write a file name, or an absolute path of the host",
    );
}

fn autostart(container: &Container, rules: &mut Rules) {
    for (index, group) in container.autostart.groups.iter().enumerate() {
        rules.must(
            is_plain_word(group),
            &format!("autostart.groups.{index}"),
            format!("\"{group}\" is not the name of a group"),
            "use letters, digits, '.', '_' and '-'; each group is an element of its own",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::toml::parse_unchecked;

    /// Keys of the rules that `text` breaks.
    fn broken(text: &str) -> Vec<String> {
        let container = parse_unchecked(text, std::path::Path::new("x")).unwrap();
        check(&container).into_iter().map(|rule| rule.key).collect()
    }

    #[test]
    fn the_default_breaks_nothing() {
        assert_eq!(check(&Container::default()), []);
    }

    /// Each rule, by a file that breaks this one alone.
    #[test]
    fn each_rule_is_broken_by_what_it_forbids() {
        let long = format!("hostname = \"{}\"", "x".repeat(65));
        for (key, text) in [
            ("hostname", "hostname = \"my_web\""),
            ("hostname", "hostname = \"-a\""),
            ("hostname", "hostname = \"a..b\""),
            ("hostname", long.as_str()),
            ("hostname", "hostname = \"a\"\nnamespaces.uts = \"keep\""),
            ("rootfs.storage", "rootfs.storage = \"../dir\""),
            ("rootfs.volume", "rootfs.volume = \"/etc\""),
            ("init.command", "init.command = []"),
            ("init.command", "init.command = [\"init\"]"),
            ("init.cwd", "init.cwd = \"srv\""),
            ("init.user", "init.user = 70000\nids.users = [\"0:1:65536\"]\nids.groups = [\"0:1:65536\"]"),
            (
                "init.groups",
                "init.groups = [70000]\nids.users = [\"0:1:65536\"]\nids.groups = [\"0:1:65536\"]",
            ),
            ("environment.set.A=B", "environment.set = { \"A=B\" = \"x\" }"),
            ("environment.keep.0", "environment.keep = [\"1A\"]"),
            ("namespaces.pid", "namespaces.pid = \"keep\""),
            (
                "security.keep-capabilities",
                "security = { keep-capabilities = [], drop-capabilities = [\"kill\"] }",
            ),
            ("rlimits.files", "rlimits.files = 5"),
            ("sysctl.kernel.panic", "sysctl.kernel.panic = 1"),
            ("sysctl.net.ipv4.x", "sysctl.net.ipv4.x = 1\nnamespaces.net = \"keep\""),
            ("sysctl.net./../vm.x", "[sysctl]\n\"net./../vm.x\" = 1"),
            ("console.ttys", "console.ttys = 64"),
            ("console.buffer", "console.buffer = \"100K\""),
            ("console.buffer", "console.buffer = \"1K\""),
            ("console", "console.log-rotate = true"),
            ("console.log", "console.log = \"../log\""),
            ("console.log-size", "console = { log = \"l\", log-size = 10 }"),
            ("autostart.groups.0", "autostart.groups = [\"a,b\"]"),
            ("mounts.0.target", "mounts = [{ source = \"/a\", target = \"/b/../c\" }]"),
            ("mounts.0.target", "mounts = [{ source = \"/a\", target = \"/\" }]"),
            ("mounts.0.source", "mounts = [{ source = \"../a\", target = \"/b\" }]"),
            ("mounts.0.source", "mounts = [{ source = \"/a/../b\", target = \"/b\" }]"),
            ("mounts.0.source", "mounts = [{ target = \"/b\" }]"),
            ("mounts.0.options", "mounts = [{ source = \"/a\", target = \"/b\", options = [\"ro\"] }]"),
            ("mounts.0.type", "mounts = [{ type = \"tmp/fs\", target = \"/b\" }]"),
            ("mounts.0.options.0", "mounts = [{ type = \"tmpfs\", target = \"/b\", options = [\"a,b\"] }]"),
            ("mounts.0.idmapped", "mounts = [{ type = \"tmpfs\", target = \"/b\", idmapped = true }]"),
            ("hooks.Policy", "hooks.Policy.enabled = true"),
            ("hooks.hook-policy", "[hooks.policy]\n[hooks.hook-policy]"),
            ("hooks.exec.version", "hooks.exec.version = 2"),
            ("hooks.exec.stop.0", "hooks.exec.stop = [\" \"]"),
            ("hooks.exec.timeout", "hooks.exec.timeout = \"0s\""),
            ("labels.a b", "labels = { \"a b\" = \"x\" }"),
            ("security.deny-syscalls.0", "security.deny-syscalls = [\"Ptrace\"]"),
            ("network.0.type", "network = [{ type = \"none\" }, { type = \"veth\" }]"),
            ("network.0", "network = [{ type = \"empty\", mtu = 1400 }]"),
            ("network.1.name", "network = [{ type = \"veth\", name = \"eth1\" }, { type = \"veth\" }]"),
            ("network.0.name", "network = [{ type = \"veth\", name = \"lo\" }]"),
            ("network.0.bridge", "network = [{ type = \"veth\", bridge = \"a/b\" }]"),
            ("network.0.host-name", "network = [{ type = \"veth\", host-name = \"abcdefghijklmnop\" }]"),
            ("network.0.mtu", "network = [{ type = \"veth\", mtu = 67 }]"),
            (
                "network.0.gateways",
                "network = [{ type = \"veth\", gateways = [\"10.0.0.1\", \"10.0.0.2\"] }]",
            ),
            ("network.0.down", "network = [{ type = \"veth\", down = true, gateways = [\"10.0.0.1\"] }]"),
            ("namespaces.net", "namespaces.net = \"keep\"\nnetwork = [{ type = \"veth\" }]"),
        ] {
            assert_eq!(broken(text), [key], "{text}");
        }
    }

    #[test]
    fn ranges_may_overlap_neither_inside_nor_outside() {
        let ids = |second: &str| {
            broken(&format!("ids.users = [\"0:1000:10\", \"{second}\"]\nids.groups = [\"0:1000:10\"]"))
        };
        assert_eq!(ids("10:1010:10"), [] as [String; 0]);
        assert_eq!(ids("9:2000:10"), ["ids.users.1"]);
        assert_eq!(ids("10:1009:10"), ["ids.users.1"]);
    }

    #[test]
    fn privileged_and_ids_exclude_each_other() {
        let text = "privileged = true\nids.users = [\"0:1:1\"]\nids.groups = [\"0:1:1\"]";
        assert_eq!(broken(text), ["ids.users", "ids.groups"]);
    }
}
