//! The file for apt. It is all ours, and is there only as long as something is set.

use crate::bindings::wxc::hook::scope;
use crate::bindings::wxc::host::rootfs::{self, Access};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::settings::Settings;

const DIRECTORY: &str = "/etc/apt/apt.conf.d";
const FILE: &str = "/etc/apt/apt.conf.d/95wxc-proxy";
const ACCESS: Access = Access { permissions: 0o644, user: 0, group: 0 };

/// Writes it where there is an apt, or removes it.
pub fn write(settings: &Settings) -> Result<(), Error> {
    let root = scope::root()?;
    let lines = settings.apt();
    match rootfs::inspect(&root, DIRECTORY) {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if lines.is_empty() {
        return rootfs::remove(&root, FILE);
    }
    let text = format!("// Written by wxc (hook-proxy) at each start\n{}\n", lines.join("\n"));
    // A layer that a container shares with others is not copied for what is there already.
    if rootfs::read(&root, FILE, 64 << 10).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    rootfs::write(&root, FILE, text.as_bytes(), ACCESS)
}
