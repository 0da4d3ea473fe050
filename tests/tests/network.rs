//! Network devices of a container, on a machine of the test's own: a network namespace.

use std::path::{Path, PathBuf};

use wxc_tests::{Env, Run, needs, until};

/// A named network namespace with a bridge, removed when dropped.
pub(crate) struct Machine {
    name: String,
}

impl Machine {
    pub(crate) fn new(tag: &str) -> Self {
        let machine = Self { name: format!("wxct-{tag}-{}", std::process::id()) };
        Run::host("ip", ["netns", "add", &machine.name]).ok();
        machine.ip("link set lo up");
        machine.ip("link add br0 type bridge");
        machine.ip("address add 10.77.0.1/24 dev br0");
        machine.ip("address add fd77::1/64 dev br0 nodad");
        machine.ip("link set br0 up");
        machine
    }

    pub(crate) fn ip(&self, words: &str) -> String {
        Run::host("ip", ["-n", &self.name].into_iter().chain(words.split(' '))).ok()
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone = std::process::Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

pub(crate) fn veth(address: &str) -> String {
    format!(
        "network=[{{type=\"veth\", bridge=\"br0\", addresses=[\"{address}/24\", \"fd77::{}/64\"], gateways=[\"10.77.0.1\"]}}]",
        address.rsplit('.').next().unwrap_or_default()
    )
}

#[test]
fn hooks_hear_of_each_interface() {
    needs!(root, userns, busybox, cgroups, netns, bridges);
    let machine = Machine::new("hooks");
    let env = Env::in_network(machine.path());
    env.configure("[hooks.exec]\nenabled = true\n");
    env.busybox("web", &["-s", &veth("10.77.0.9")]);
    let out = env.file("out");
    for (point, version) in [("network-up", 0), ("network-down", 0)] {
        let line = format!(
            "echo $# $LXC_HOOK_VERSION >> {0}; ip link show dev $6 >> {0}; echo \"$@\" >> {0}; set --; true",
            out.display()
        );
        // The arguments stand behind the line: a function takes them.
        let line = format!("f() {{ {line}; }}; f");
        env.wxc([
            "config",
            "set",
            "web",
            &format!("hooks.exec.{point}"),
            &serde_json::json!([line]).to_string(),
        ])
        .ok();
        env.wxc(["config", "set", "web", "hooks.exec.version", &version.to_string()]).ok();
    }
    env.wxc(["start", "web"]).ok();
    let text = std::fs::read_to_string(&out).unwrap();
    let last = text.lines().last().unwrap_or_default();
    assert!(text.starts_with("6 0\n") && last.starts_with("web net up veth br0 "), "{text}");
    // The device is there, in the machine's network.
    let peer = last.rsplit(' ').next().unwrap_or_default().to_owned();
    assert!(text.contains(&format!(" {peer}@")), "{text}");
    env.wxc(["stop", "-k", "web"]).ok();
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.ends_with(&format!("web net down veth br0 {peer}\n")), "{text}");
}

#[test]
fn two_containers_on_a_bridge_reach_each_other_and_the_machine() {
    needs!(root, userns, busybox, cgroups, netns, bridges);
    let machine = Machine::new("two");
    let env = Env::in_network(machine.path());
    for (name, address) in [("left", "10.77.0.2"), ("right", "10.77.0.3")] {
        env.busybox(name, &["-s", &veth(address)]);
        env.wxc(["start", name]).ok();
    }
    // At once: devices are up before init runs.
    assert!(env.inside("left", "ip -4 addr show dev eth0").contains("10.77.0.2/24"));
    assert!(env.inside("left", "ip route").contains("default via 10.77.0.1"));
    for to in ["10.77.0.1", "10.77.0.3", "127.0.0.1"] {
        until("an answer", 10, || {
            let ping = env.wxc(["attach", "left", "--", "/bin/ping", "-c1", "-W1", to]).run();
            ping.status.success().then_some(())
        });
    }
    let info = env.wxc(["info", "left", "-i", "-H"]).ok();
    assert!(info.contains("10.77.0.2") && !info.contains("127.0.0.1"), "{info}");
    let table = env.wxc(["ls", "-F", "name,ipv4"]).ok();
    assert!(table.contains("10.77.0.3"), "{table}");
    let ports = || machine.ip("-o link show master br0").lines().count();
    assert_eq!(ports(), 2);
    env.wxc(["stop", "-k", "left"]).ok();
    assert_eq!(ports(), 1);
    env.wxc(["destroy", "-f", "right"]).ok();
    assert_eq!(ports(), 0);
}

#[test]
fn a_missing_bridge_is_named_and_leaves_no_device() {
    needs!(root, userns, busybox, cgroups, netns, bridges);
    let machine = Machine::new("missing");
    let env = Env::in_network(machine.path());
    env.busybox("lone", &["-s", &veth("10.77.0.2").replace("br0", "br9")]);
    let output = env.wxc(["start", "lone"]).run();
    assert!(!output.status.success() && output.stderr.contains("br9"), "{}", output.told());
    assert_eq!(env.state("lone"), "STOPPED");
    let links = machine.ip("-o link show");
    assert_eq!(links.lines().count(), 2, "{links}");
}

#[test]
fn a_failed_start_takes_its_devices_back() {
    needs!(root, userns, busybox, cgroups, netns, bridges);
    let machine = Machine::new("failed");
    let env = Env::in_network(machine.path());
    env.busybox("fails", &["-s", &veth("10.77.0.2"), "-s", "init.command=[\"/none\"]"]);
    let output = env.wxc(["start", "fails"]).run();
    assert!(!output.status.success(), "{}", output.told());
    until("no port", 5, || machine.ip("-o link show master br0").is_empty().then_some(()));
}

#[test]
fn none_is_the_machines_network() {
    needs!(root, userns, busybox, cgroups, netns, bridges);
    let machine = Machine::new("none");
    let env = Env::in_network(machine.path());
    env.busybox("shared", &["-s", "network=[{type=\"none\"}]"]);
    env.wxc(["start", "shared"]).ok();
    assert!(env.inside("shared", "cat /proc/net/dev").contains("br0"));
}

#[test]
fn bad_addresses_are_refused_before_anything_starts() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("bad", &[]);
    for value in ["10.77.0.300/24", "10.77.0.2/33", "fd77::/200", "everywhere"] {
        let entry = format!("[{{type=\"veth\", bridge=\"br0\", addresses=[\"{value}\"]}}]");
        let output = env.wxc(["config", "set", "bad", "network", &entry]).run();
        assert!(!output.status.success() && output.stderr.contains(value), "{}", output.told());
    }
}
