//! The file with the nameservers, as a DHCP client of the container's own would write it.

use crate::bindings::wxc::hook::scope;
use crate::bindings::wxc::host::handles::ContainerRoot;
use crate::bindings::wxc::host::log;
use crate::bindings::wxc::host::rootfs::{self, Access, NodeKind};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::lease::Lease;

const FILE: Access = Access { permissions: 0o644, user: 0, group: 0 };
/// What resolv.conf(5) reads of them (`MAXNS`).
const MOST_NAMESERVERS: usize = 3;

/// Replaces the file, unless another program keeps it.
pub fn write(leases: &[Lease]) -> Result<(), Error> {
    let root = scope::root()?;
    if is_link(&root)? {
        let why = "is a link, which another program of the container keeps";
        log::emit(log::Level::Warn, &format!("/etc/resolv.conf was left as it is: it {why}"));
        return Ok(());
    }
    rootfs::write(&root, "/etc/resolv.conf", text(leases).as_bytes(), FILE)
}

fn is_link(root: &ContainerRoot) -> Result<bool, Error> {
    // Names come sorted, so behind this one come those that begin with it.
    match rootfs::entries(root, "/etc", Some("resolv.con"), 100) {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
        entries => {
            Ok(entries?.iter().any(|entry| entry.name == "resolv.conf" && entry.kind == NodeKind::Symlink))
        }
    }
}

fn text(leases: &[Lease]) -> String {
    let mut text = String::from("# Written by wxc (hook-dhcp) at each start, of what the server said\n");
    let servers = leases.iter().flat_map(|lease| &lease.nameservers).take(MOST_NAMESERVERS);
    servers.for_each(|server| text.push_str(&format!("nameserver {server}\n")));
    let domains: Vec<&str> = leases.iter().filter_map(|lease| lease.domain.as_deref()).collect();
    if !domains.is_empty() {
        text.push_str(&format!("search {}\n", domains.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::read;

    #[test]
    fn nameservers_of_all_leases_are_written_as_far_as_they_count() {
        let lease = |dns: &str, domain: &str| {
            read(
                format!("event=bound\0ip=10.0.0.5\0subnet=255.0.0.0\0dns={dns}\0domain={domain}\0")
                    .as_bytes(),
            )
            .unwrap()
        };
        let text = text(&[lease("10.0.0.1 10.0.0.2", "lan"), lease("10.0.0.3 10.0.0.4", "")]);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["nameserver 10.0.0.1", "nameserver 10.0.0.2", "nameserver 10.0.0.3", "search lan"]
        );
    }
}
