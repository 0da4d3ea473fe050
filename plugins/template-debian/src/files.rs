//! What is rendered into the root: before there is anything in it, and when everything is installed.

use crate::archive::Release;
use crate::bindings::wxc::host::types::Pair;
use crate::bindings::wxc::template::types::{Node, Rendered};
use crate::choice::Choice;
use crate::pair;

/// Directories below `/usr` that are known at the top as well (usr-merge), everywhere and for some.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];
const ELSEWHERE: [(&str, &str); 3] = [("amd64", "lib64"), ("ppc64el", "lib64"), ("loong64", "lib64")];

/// Services are not started in a root that nobody has started (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";
const STAY_DOWN: &str = "#!/bin/sh\nexit 101\n";

/// Addresses from the network that the container is given (systemd.network(5)).
const NETWORK: &str = "[Match]\nName=eth*\n\n[Network]\nDHCP=yes\nIPv6AcceptRA=yes\n";

pub fn environment() -> Vec<Pair> {
    vec![
        pair("DEBIAN_FRONTEND", "noninteractive"),
        pair("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        pair("LC_ALL", "C"),
        pair("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ]
}

fn rendered(path: &str, node: Node, permissions: u32) -> Rendered {
    Rendered { path: path.into(), node, permissions, user: 0, group: 0, keep_existing: false }
}

fn text(path: &str, content: impl Into<String>, permissions: u32) -> Rendered {
    rendered(path, Node::File(content.into().into_bytes()), permissions)
}

/// What dpkg and the first packages count on, and where the system will get its own updates from.
pub fn first(choice: &Choice<'_>, releases: &[Release]) -> Vec<Rendered> {
    let more = ELSEWHERE.iter().filter(|(own, _)| *own == choice.architecture).map(|(_, name)| *name);
    let mut files = vec![rendered("/usr", Node::Directory, 0o755)];
    for name in MERGED.into_iter().chain(more) {
        files.push(rendered(&format!("/usr/{name}"), Node::Directory, 0o755));
        files.push(rendered(&format!("/{name}"), Node::Symlink(format!("usr/{name}")), 0o777));
    }
    files.push(text("/var/lib/dpkg/status", "", 0o644));
    files.push(text("/var/lib/dpkg/available", "", 0o644));
    files.push(text(POLICY, STAY_DOWN, 0o755));
    files.push(text("/etc/apt/sources.list", sources(choice, releases), 0o644));
    files
}

/// A line for each (sources.list(5)). The first by its codename: a release that is stable today is not tomorrow.
fn sources(choice: &Choice<'_>, releases: &[Release]) -> String {
    let components = choice.components.join(" ");
    let line = |(at, release): (usize, &Release)| {
        let name = if at == 0 { &release.codename } else { &release.name };
        format!("deb {} {name} {components}\n", release.mirror)
    };
    releases.iter().enumerate().map(line).collect()
}

/// The files of this one container.
pub fn last(container: &str, has: &dyn Fn(&str) -> bool) -> Vec<Rendered> {
    let hosts =
        format!("127.0.0.1 localhost\n127.0.1.1 {container}\n::1 localhost ip6-localhost ip6-loopback\n");
    let mut files = vec![
        rendered(POLICY, Node::Absent, 0),
        text("/etc/hostname", format!("{container}\n"), 0o644),
        text("/etc/hosts", hosts, 0o644),
        // Empty: each container makes its own (machine-id(5)).
        text("/etc/machine-id", "", 0o444),
        // Otherwise systemd would take the one that dbus made for the image.
        rendered("/var/lib/dbus/machine-id", Node::Absent, 0),
        text("/etc/systemd/network/80-container.network", NETWORK, 0o644),
        enabled("multi-user.target", "systemd-networkd.service"),
        enabled("sockets.target", "systemd-networkd.socket"),
        // There is no console of a machine's, only the container's own.
        masked("systemd-networkd-wait-online.service"),
    ];
    if has("openssh-server") {
        // Containers of one image are not to have one key.
        for kind in ["rsa", "ecdsa", "ed25519"] {
            files.push(rendered(&format!("/etc/ssh/ssh_host_{kind}_key"), Node::Absent, 0));
            files.push(rendered(&format!("/etc/ssh/ssh_host_{kind}_key.pub"), Node::Absent, 0));
        }
        let keys = "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\n";
        files.push(text("/etc/systemd/system/ssh.service.d/keys.conf", keys, 0o644));
    }
    files
}

fn enabled(target: &str, unit: &str) -> Rendered {
    let node = Node::Symlink(format!("/usr/lib/systemd/system/{unit}"));
    rendered(&format!("/etc/systemd/system/{target}.wants/{unit}"), node, 0o777)
}

fn masked(unit: &str) -> Rendered {
    rendered(&format!("/etc/systemd/system/{unit}"), Node::Symlink("/dev/null".into()), 0o777)
}
