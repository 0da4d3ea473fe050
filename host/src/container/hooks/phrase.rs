#![forbid(unsafe_code)]
//! A change in words, as plans show it.

use crate::plugin::hook::types::{Mount, MountSource, Patch};

/// The contract's word for it, and what it says.
pub(super) fn phrase(patch: &Patch) -> String {
    match patch {
        Patch::SetVariable(p) => format!("set-variable {}={}", p.name, p.value),
        Patch::RemoveVariable(name) => format!("remove-variable {name}"),
        Patch::AddMount(m) => format!("add-mount {}", mount(m)),
        Patch::RemoveMount(target) => format!("remove-mount {target}"),
        Patch::AddDevice(d) => format!("add-device {} ({})", d.name, access(d.read, d.write)),
        Patch::RemoveDevice(name) => format!("remove-device {name}"),
        Patch::AddAddress((interface, address)) => format!("add-address {address} to {interface}"),
        Patch::SetLimit(p) => format!("set-limit {} = {}", p.name, p.value),
        Patch::SetSysctl(p) => format!("set-sysctl {} = {}", p.name, p.value),
        Patch::SetHostname(name) => format!("set-hostname {name}"),
        Patch::DropCapability(name) => format!("drop-capability {name}"),
        Patch::DenySyscall(name) => format!("deny-syscall {name}"),
        Patch::SetLabel(p) => format!("set-label {}={}", p.name, p.value),
        Patch::SetKey(p) => format!("set-key {} = {}", p.name, p.value),
    }
}

/// How a device may be used, in the kernel's letters.
pub(super) fn access(read: bool, write: bool) -> &'static str {
    match (read, write) {
        (true, true) => "rw",
        (true, false) => "r",
        (false, true) => "w",
        (false, false) => "none",
    }
}

fn mount(mount: &Mount) -> String {
    let source = match &mount.source {
        MountSource::Share(name) => format!("share {name}"),
        MountSource::Memory(bytes) => format!("{bytes} bytes of memory"),
        MountSource::Other(what) => what.clone(),
    };
    let options =
        if mount.options.is_empty() { String::new() } else { format!(" ({})", mount.options.join(" ")) };
    format!("{source} on {}{options}", mount.target)
}
