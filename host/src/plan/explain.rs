#![forbid(unsafe_code)]
//! A plan as text for people: the numbered list that `wxc start --plan` prints.
//!
//! Everything that wxc will do, in the order in which it does it, with the reason where one is not
//! obvious. `--json` has the same as data.

use std::fmt::Write;

use super::{
    CgroupLayout, DeviceKind, DeviceRule, LinkKind, LinkPlan, MountAttributes, MountSource, MountStep,
    NamespaceAction, Plan, ReleaseStep, RootSource, SeccompPlan, Setting, mounts, namespaces,
};

/// The whole text, ending with a line break.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut list = List { text: format!("Start of {}\n", plan.container.name), number: 0 };
    hooks(plan, &mut list);
    cgroups(plan, &mut list);
    namespace_steps(plan, &mut list);
    network(plan, &mut list);
    root(plan, &mut list);
    for step in &plan.mounts {
        list.item(&mount(step), &step.reason);
    }
    devices(plan, &mut list);
    settings(plan, &mut list);
    security(plan, &mut list);
    init(plan, &mut list);
    end(plan, &mut list);
    list.text
}

/// Numbered lines below headings.
struct List {
    text: String,
    number: usize,
}

impl List {
    fn heading(&mut self, words: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.text, "\n{words}");
    }

    fn item(&mut self, what: &str, reason: &str) {
        self.number += 1;
        let _ = writeln!(self.text, "{:4}. {what}", self.number);
        if !reason.is_empty() {
            let _ = writeln!(self.text, "      {reason}");
        }
    }
}

fn hooks(plan: &Plan, list: &mut List) {
    if plan.hooks.changes.is_empty() && plan.hooks.calls.is_empty() {
        return;
    }
    list.heading("Hooks");
    for change in &plan.hooks.changes {
        list.item(&format!("{}: {}", change.plugin, change.change), "part of everything below");
    }
    for call in &plan.hooks.calls {
        list.item(&call.phrase(), &call.terms());
    }
}

fn cgroups(plan: &Plan, list: &mut List) {
    let cgroup = &plan.cgroup;
    let layout = match cgroup.layout {
        CgroupLayout::Legacy => "v1",
        CgroupLayout::Hybrid => "v1, with a v2 tree beside it",
        CgroupLayout::Unified => "v2",
        CgroupLayout::Absent => return list.heading("cgroups: this host has none"),
    };
    list.heading(&format!("cgroups ({layout})"));
    list.item(
        &format!("make {} and {}", cgroup.payload, cgroup.monitor),
        "below the caller's own; a number is appended to a name that is taken",
    );
    for write in &cgroup.writes {
        list.item(&format!("write {} to {}", write.value, write.file), &write.key);
    }
    if !cgroup.devices.is_empty() {
        let rules: Vec<String> = cgroup.devices.iter().map(device_rule).collect();
        list.item(&format!("devices: {}", rules.join(", ")), "later rules win");
    }
    if cgroup.delegate {
        list.item("give the container's root its part of the v2 tree", "its systemd makes cgroups there");
    }
}

fn device_rule(rule: &DeviceRule) -> String {
    let verb = if rule.allow { "allow" } else { "deny" };
    let kind = match rule.kind {
        DeviceKind::All => return format!("{verb} all"),
        DeviceKind::Char => 'c',
        DeviceKind::Block => 'b',
    };
    let number = |number: Option<u32>| number.map_or("*".into(), |number| number.to_string());
    let access: String = [(rule.read, 'r'), (rule.write, 'w'), (rule.mknod, 'm')]
        .iter()
        .filter(|(given, _)| *given)
        .map(|(_, letter)| *letter)
        .collect();
    format!("{verb} {kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

fn namespace_steps(plan: &Plan, list: &mut List) {
    list.heading("Namespaces");
    for step in &plan.namespaces {
        let name = namespaces::phrase(step.kind);
        let what = match &step.action {
            NamespaceAction::New => format!("make {name}"),
            NamespaceAction::Keep => format!("do without {name} of its own"),
            NamespaceAction::Join(path) => format!("join {name}: {}", path.display()),
        };
        list.item(&what, &step.reason);
    }
    if let Some(ids) = &plan.ids {
        let show = |ranges: &[crate::config::ids::IdRange]| {
            let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
            ranges.join(", ")
        };
        list.item(
            &format!("map users {} and groups {}", show(&ids.users), show(&ids.groups)),
            "inside : on the host : how many",
        );
    }
    if let Some(time) = plan.time {
        list.item(
            &format!("shift the clocks by {} s (boot) and {} s (monotonic)", time.boottime, time.monotonic),
            "",
        );
    }
}

fn network(plan: &Plan, list: &mut List) {
    if plan.network.host {
        return list.heading("Network: the host's");
    }
    list.heading("Network");
    list.item("bring loopback up", "");
    for link in &plan.network.links {
        one_link(link, list);
    }
}

fn one_link(link: &LinkPlan, list: &mut List) {
    let LinkKind::Veth { bridge } = &link.kind;
    let host = link.host_name.as_deref().unwrap_or("a free name");
    let plugged = bridge.as_ref().map(|bridge| format!(", in the bridge {bridge}")).unwrap_or_default();
    list.item(&format!("make a pair of devices: {} inside, {host} on the host{plugged}", link.name), "");
    let mut details = Vec::new();
    details.extend(link.mac.as_ref().map(|mac| format!("hardware address {mac}")));
    details.extend(link.mtu.map(|mtu| format!("MTU {mtu}")));
    details.extend(link.addresses.iter().map(|a| format!("address {}/{}", a.address, a.prefix)));
    for route in &link.routes {
        let to = route
            .destination
            .as_ref()
            .map_or("everywhere else".into(), |d| format!("{}/{}", d.address, d.prefix));
        let via = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        details.push(format!("route to {to}{via}"));
    }
    details.push(if link.up { "up" } else { "left down" }.into());
    list.item(&format!("{}: {}", link.name, details.join(", ")), "");
}

fn root(plan: &Plan, list: &mut List) {
    list.heading("Root and mounts");
    let what = match &plan.rootfs.source {
        RootSource::Tree { pool, relative } => format!("the tree {}", pool.join(relative).display()),
        RootSource::Overlay { pool, lower, upper, .. } => {
            let lower = lower.iter().map(|layer| layer.display().to_string());
            let upper = upper.iter().map(|side| side.upper.display().to_string());
            format!("in {}, {}", pool.display(), upper.chain(lower).collect::<Vec<_>>().join(" over "))
        }
        RootSource::Disk { pool, relative, fstype, options } => {
            let file = pool.join(relative);
            let options =
                if options.is_empty() { String::new() } else { format!(" with {}", options.join(", ")) };
            format!("the {fstype} in the file {}{options}, by a loop device of its own,", file.display())
        }
        RootSource::Device { device, fstype, .. } => format!("{fstype} on {}", device.display()),
    };
    let mut how = Vec::new();
    if plan.rootfs.idmapped {
        how.push("idmapped: files keep their owners on disk, and look shifted to the host");
    }
    if plan.rootfs.in_memory {
        how.push("changes are kept in memory");
    }
    if plan.rootfs.read_only {
        how.push("read-only");
    }
    list.item(&format!("mount {what} as / (storage {})", plan.rootfs.storage), &how.join("; "));
}

fn mount(step: &MountStep) -> String {
    let target = step.target.display();
    let what = match &step.source {
        MountSource::Bind { path, recursive, idmapped } => {
            let how = if *recursive { "with everything below" } else { "alone" };
            let shifted = if *idmapped { ", idmapped" } else { "" };
            format!("show {} of the host {how}{shifted} on /{target}", path.display())
        }
        MountSource::Inside { path, .. } if *path == step.target => format!("bind /{target} on itself"),
        MountSource::Inside { path, .. } => format!("bind /{} on /{target}", path.display()),
        MountSource::Filesystem { fstype, options, .. } if options.is_empty() => {
            format!("mount {fstype} on /{target}")
        }
        MountSource::Filesystem { fstype, options, .. } => {
            format!("mount {fstype} ({}) on /{target}", pairs(options))
        }
    };
    let optional = if step.optional { ", if possible" } else { "" };
    format!("{what}{}{optional}", attributes(step.attributes))
}

fn attributes(attributes: MountAttributes) -> String {
    let words = [
        (attributes.read_only, "read-only"),
        (attributes.nosuid, "nosuid"),
        (attributes.nodev, "nodev"),
        (attributes.noexec, "noexec"),
        (attributes.nosymfollow, "nosymfollow"),
    ];
    let words = words.into_iter().filter(|(given, _)| *given).map(|(_, word)| word);
    let words: Vec<&str> = words.chain(attributes.access_time.word()).collect();
    if words.is_empty() { String::new() } else { format!(", {}", words.join(" ")) }
}

fn pairs(settings: &[Setting]) -> String {
    let one = |setting: &Setting| match setting.value.as_str() {
        "" => setting.key.clone(),
        value => format!("{}={value}", setting.key),
    };
    settings.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn devices(plan: &Plan, list: &mut List) {
    list.heading("Devices");
    for node in &plan.nodes {
        let verb = if plan.ids.is_some() { "show the host's" } else { "make" };
        let optional = if node.optional { ", if possible" } else { "" };
        list.item(&format!("{verb} /dev/{}{optional}", node.name), mounts::node_reason(&node.name));
    }
    for link in &plan.links {
        list.item(&format!("link /{} to {}", link.path.display(), link.target.display()), "");
    }
    let console = &plan.console;
    if console.console {
        list.item("make /dev/console", "a pseudo terminal that the monitor holds");
    }
    if console.ttys > 0 {
        list.item(&format!("make /dev/tty1 to /dev/tty{}", console.ttys), "for `wxc console -t`");
    }
    if let Some(log) = &console.log {
        list.item(&format!("append the console to {}", log.file.display()), "");
    }
}

fn settings(plan: &Plan, list: &mut List) {
    if plan.sysctls.is_empty() && plan.limits.is_empty() {
        return;
    }
    list.heading("Settings");
    for sysctl in &plan.sysctls {
        list.item(&format!("write {} to /proc/sys/{}", sysctl.value, sysctl.key), "");
    }
    let show = |bound: Option<u64>| bound.map_or("unlimited".into(), |bound| bound.to_string());
    for limit in &plan.limits {
        list.item(
            &format!("limit {}: soft {}, hard {}", limit.resource, show(limit.soft), show(limit.hard)),
            "",
        );
    }
}

fn security(plan: &Plan, list: &mut List) {
    let security = &plan.security;
    list.heading("Security");
    let names: Vec<String> = security
        .capabilities
        .iter()
        .map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_lowercase())
        .collect();
    list.item("keep these capabilities, and no others", &names.join(" "));
    match &security.seccomp {
        SeccompPlan::Off => list.item("no filter of system calls", ""),
        SeccompPlan::Deny(rules) => {
            let mut names: Vec<&str> = rules.iter().map(|rule| rule.syscall.as_str()).collect();
            names.dedup();
            list.item("refuse these system calls, or some of their arguments", &names.join(" "));
        }
        SeccompPlan::Allow(rules) => list.item(&format!("refuse all system calls but {}", rules.len()), ""),
    }
    if security.no_new_privs {
        list.item("set-user-id programs gain nothing", "");
    }
    if security.keyring {
        list.item("make a session keyring", "keys of the host's sessions stay outside");
    }
}

fn init(plan: &Plan, list: &mut List) {
    let init = &plan.init;
    list.heading("Init");
    list.item(&format!("host name {}", init.hostname), "");
    if let Some(personality) = &init.personality {
        list.item(&format!("personality {personality}"), "");
    }
    let variables: Vec<&str> = init.environment.iter().map(|variable| variable.key.as_str()).collect();
    list.item(&format!("environment: {}", variables.join(" ")), "nothing else of the caller's");
    let below = if init.stub { ", as a child of wxc's small init" } else { "" };
    list.item(
        &format!(
            "run {} in {} as user {} and group {}{below}",
            words(&init.argv),
            init.cwd.display(),
            init.user,
            init.group
        ),
        "",
    );
}

/// A command line that can be told apart into its words.
fn words(argv: &[String]) -> String {
    let plain = |word: &String| {
        !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "'\"\\".contains(c))
    };
    let quoted = |word: &String| if plain(word) { word.clone() } else { format!("{word:?}") };
    argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn end(plan: &Plan, list: &mut List) {
    if plan.release.is_empty() {
        return;
    }
    list.heading("When it has stopped");
    for step in &plan.release {
        match step {
            ReleaseStep::Storage { plugin, volume } => {
                list.item(&format!("storage {plugin} lets go of {volume}"), "");
            }
            ReleaseStep::Destroy => list.item("destroy the container", "it is ephemeral"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ids::{HostId, IdMap};
    use crate::config::{Container, toml::parse};
    use crate::plan::build::{Overrides, build, tests};
    use crate::plan::facts::Facts;

    /// The text of `container` is that of the file; run with WXC_BLESS=1 to accept a change.
    fn golden(name: &str, container: &Container) {
        let plan =
            build(container, tests::identity(), &Facts::ordinary(), tests::tree(), &Overrides::default());
        let text = text(&plan.unwrap());
        let file = format!("{}/src/plan/testdata/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("WXC_BLESS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap();
        assert!(text == expected, "{file} differs (WXC_BLESS=1 accepts this):\n{text}");
    }

    #[test]
    fn an_ordinary_container() {
        golden("ordinary", &tests::ordinary());
    }

    #[test]
    fn a_container_with_everything() {
        let text = r#"
            hostname = "web"
            ephemeral = true
            arch = "i686"
            cgroup.memory.max = "512M"
            init.command = ["/bin/sh", "-c", "echo a b"]
            environment.set = { LANG = "C.UTF-8" }
            namespaces.boottime-offset = 60
            sysctl.net.ipv4.ip_forward = 1
            rlimits.nofile = "1024:unlimited"
            console.log = "console.log"
            [[network]]
            type = "veth"
            bridge = "br0"
            mac = "10:66:6a:00:00:01"
            addresses = ["10.0.3.5/24"]
            gateways = ["10.0.3.1"]
            [[mounts]]
            source = "/srv/data"
            target = "/srv"
            read-only = true
            idmapped = true
        "#;
        let mut container = parse(text, std::path::Path::new("x")).unwrap();
        container.ids = IdMap::single(HostId(1_000_000_000), 65_536);
        golden("everything", &container);
    }

    #[test]
    fn a_privileged_container_on_the_hosts_network() {
        let text = "privileged = true\n[[network]]\ntype = \"none\"\n";
        golden("privileged", &parse(text, std::path::Path::new("x")).unwrap());
    }
}
