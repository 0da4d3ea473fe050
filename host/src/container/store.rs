#![forbid(unsafe_code)]
//! Reading a container's configuration, with a useful answer when it is not there.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Error, Host};
use crate::config::{Container, Name, toml};

/// Largest configuration that is read.
const LIMIT: u64 = 1 << 20;

/// The configuration of `name`.
///
/// # Errors
/// There is no such container, or its configuration is wrong; the message says where.
pub fn load(host: &Host, name: &Name) -> Result<Container, Error> {
    let text = text(host, name)?;
    Ok(toml::parse(&text, &host.layout.config(name))?)
}

/// The configuration as it is written.
///
/// # Errors
/// There is no such container, or its file cannot be read.
pub fn text(host: &Host, name: &Name) -> Result<String, Error> {
    let path = host.layout.config(name);
    let failed = Error::io("read", &path);
    match fs::metadata(&path) {
        Ok(meta) if meta.len() > LIMIT => Err(failed(io::Error::other("it is larger than a mebibyte"))),
        Ok(_) => fs::read_to_string(&path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_found(host, name)),
        Err(error) => Err(failed(error)),
    }
}

/// The error for a name that nobody has, with the nearest one that somebody has.
pub(super) fn not_found(host: &Host, name: &Name) -> Error {
    let names = host.layout.names().unwrap_or_default();
    let similar = names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known.as_str(), name.as_str()), known))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, known)| known.to_string());
    Error::NotFound { name: name.to_string(), path: host.layout.path.clone(), similar }
}

/// Fails unless the container exists.
///
/// # Errors
/// It does not.
pub fn require(host: &Host, name: &Name) -> Result<(), Error> {
    if host.layout.exists(name) { Ok(()) } else { Err(not_found(host, name)) }
}

/// Replaces a file as a whole and durably: after a crash it has its old content or the new one.
///
/// # Errors
/// It cannot be written; the old content stands.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = || Error::io("write", path);
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&new)
        .map_err(failed())?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&new, path)) {
        drop(fs::remove_file(&new));
        return Err(failed()(error));
    }
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Makes names in a directory durable (fsync(2) on the directory).
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    fs::File::open(path).and_then(|directory| directory.sync_all()).map_err(Error::io("make durable", path))
}
