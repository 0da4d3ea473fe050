//! Reading and writing the files.

use crate::bindings::wxc::hook::scope;
use crate::bindings::wxc::host::handles::ContainerRoot;
use crate::bindings::wxc::host::log;
use crate::bindings::wxc::host::rootfs::{self, Access, NodeKind};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::block::{self, Place};
use crate::settings::Settings;

/// Longest file that is changed.
const LIMIT: u32 = 256 << 10;
/// As installers make these files, and the directory.
const FILE: Access = Access { permissions: 0o644, user: 0, group: 0 };
const DIRECTORY: Access = Access { permissions: 0o755, user: 0, group: 0 };

/// Brings both files up to the settings.
pub fn write(settings: &Settings) -> Result<(), Error> {
    let root = scope::root()?;
    let resolv_conf = one(&root, "resolv.conf", &settings.resolv_conf(), Place::Top, settings.force);
    let hosts = one(&root, "hosts", settings.hosts(), Place::Bottom, settings.force);
    match (resolv_conf, hosts) {
        (Err(first), Err(second)) => {
            Err(failed(first.kind, format!("{}; and {}", first.message, second.message)))
        }
        (one, other) => one.and(other),
    }
}

fn one(root: &ContainerRoot, name: &str, lines: &[String], place: Place, force: bool) -> Result<(), Error> {
    let path = format!("/etc/{name}");
    let (old, access) = match kind(root, name)? {
        Some(NodeKind::File) => (text(root, &path)?, rootfs::inspect(root, &path)?),
        // Whoever made the link keeps the file behind it, which may not be there before that runs.
        Some(NodeKind::Symlink) if !force => {
            if !lines.is_empty() {
                let why =
                    "is a link, which another program of the container keeps; the setting force replaces it";
                log::emit(log::Level::Warn, &format!("{path} was left as it is: it {why}"));
            }
            return Ok(());
        }
        Some(NodeKind::Symlink) | None => (String::new(), FILE),
        Some(_) => return Err(failed(ErrorKind::Invalid, format!("{path} is not a file"))),
    };
    let new = block::set(&old, lines, place);
    if new == old {
        return Ok(());
    }
    rootfs::ensure_directory(root, "/etc", DIRECTORY)?;
    if new.is_empty() {
        // There was nothing in it but ours.
        return rootfs::remove(root, &path);
    }
    rootfs::write(root, &path, new.as_bytes(), access)
}

fn text(root: &ContainerRoot, path: &str) -> Result<String, Error> {
    let bytes = rootfs::read(root, path, LIMIT)?;
    String::from_utf8(bytes)
        .map_err(|_| failed(ErrorKind::Invalid, format!("{path} is not a text, and was left as it is")))
}

/// What has a name in `/etc`, a link not followed.
fn kind(root: &ContainerRoot, name: &str) -> Result<Option<NodeKind>, Error> {
    // Names come sorted; those behind the one before ours begin with it.
    let before = &name[..name.len() - 1];
    let mut after = before.to_owned();
    loop {
        let page = match rootfs::entries(root, "/etc", Some(&after), 100) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            page => page?,
        };
        if let Some(entry) = page.iter().find(|entry| entry.name == name) {
            return Ok(Some(entry.kind));
        }
        match page.last() {
            Some(last) if last.name.as_str() < name => after.clone_from(&last.name),
            _ => return Ok(None),
        }
    }
}

fn failed(kind: ErrorKind, message: String) -> Error {
    Error { kind, message }
}
