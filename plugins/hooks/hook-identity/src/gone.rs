//! Finding and removing files, when the copy was made.

use crate::bindings::wxc::hook::scope;
use crate::bindings::wxc::host::handles::ContainerRoot;
use crate::bindings::wxc::host::rootfs::{self, NodeKind};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::host::{log, store};
use crate::servers;
use crate::settings::Settings;

/// Where the names of the keys that were removed are kept: `DIRECTORY/NAME`, one a line.
pub const KEYS: &str = "keys";

/// Removes what is only the original's, and keeps which keys were among it.
pub fn remove(settings: &Settings) -> Result<(), Error> {
    let root = scope::root()?;
    if settings.ssh_keys {
        let keys = keys(&root)?;
        // Before they are gone: a copy that knows of keys it still has makes none.
        store::set(KEYS, keys.private.join("\n").as_bytes())?;
        keys.all.iter().try_for_each(|file| remove_one(&root, file))?;
    }
    for pattern in &settings.remove {
        for name in names(&root, &pattern.directory)?.iter().filter(|name| pattern.matches(name)) {
            remove_one(&root, &format!("{}/{name}", pattern.directory))?;
        }
    }
    Ok(())
}

struct Keys {
    private: Vec<String>,
    all: Vec<String>,
}

fn keys(root: &ContainerRoot) -> Result<Keys, Error> {
    let mut keys = Keys { private: Vec::new(), all: Vec::new() };
    for server in servers::ALL {
        for name in names(root, server.directory)?.into_iter().filter(|name| server.owns(name)) {
            let file = format!("{}/{name}", server.directory);
            if server.key_type(&name).is_some() {
                keys.private.push(file.clone());
            }
            keys.all.push(file);
        }
    }
    Ok(keys)
}

fn remove_one(root: &ContainerRoot, file: &str) -> Result<(), Error> {
    rootfs::remove(root, file).map_err(|error| Error {
        message: format!("cannot remove {file} from the copy: {}", error.message),
        ..error
    })?;
    log::emit(log::Level::Info, &format!("removed {file}"));
    Ok(())
}

/// The names in a directory, without those of directories; none where there is no such directory.
pub fn names(root: &ContainerRoot, directory: &str) -> Result<Vec<String>, Error> {
    const PAGE: u32 = 1000;
    let path = if directory.is_empty() { "/" } else { directory };
    let mut names: Vec<String> = Vec::new();
    let mut after = None;
    loop {
        let page = match rootfs::entries(root, path, after.as_deref(), PAGE) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(names),
            page => page?,
        };
        let files = page.iter().filter(|entry| entry.kind != NodeKind::Directory);
        names.extend(files.map(|entry| entry.name.clone()));
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = Some(last.name.clone()),
            _ => return Ok(names),
        }
    }
}
