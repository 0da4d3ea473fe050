#![forbid(unsafe_code)]
//! Reading a container's configuration, with a useful answer when it is not there.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Error, Host};
use crate::config::{Container, Name, toml};
use crate::sys::failpoint;

/// Largest configuration that is read.
const LIMIT: u64 = 1 << 20;
/// Most are shorter.
const TYPICAL: usize = 4 << 10;

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
    read(host, name)?.ok_or_else(|| not_found(host, name))
}

/// The same; `None` where there is none. A list asks a thousand times, so without looking first.
pub(super) fn read(host: &Host, name: &Name) -> Result<Option<String>, Error> {
    let path = host.layout.config(name);
    let failed = Error::io("read", &path);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::with_capacity(TYPICAL);
    match file.take(LIMIT + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > LIMIT => Err(failed(io::Error::other("it is larger than a mebibyte"))),
        Ok(_) => Ok(Some(text)),
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
    put(path, content, File::sync_all)?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// A new file, durably: the name is given before the content is waited for, so that one commit of the file system takes
/// both. After a loss of power in between it may be empty, which whoever reads it has to expect.
///
/// # Errors
/// It cannot be written, or not made durable; then it may be there all the same.
pub(super) fn add(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = || Error::io("write", path);
    replace_fleeting(path, content)?;
    failpoint::pass("file.sync").and_then(|()| File::open(path)?.sync_all()).map_err(failed())?;
    // ext4, xfs and btrfs have the name on the disk by now; POSIX promises it only for this.
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// The same without waiting for the disk: for what need not survive a loss of power.
///
/// # Errors
/// It cannot be written; the old content stands.
pub(super) fn replace_fleeting(path: &Path, content: &[u8]) -> Result<(), Error> {
    put(path, content, |_| Ok(()))
}

/// A new file beside it, renamed over it.
fn put(path: &Path, content: &[u8], finish: impl Fn(&File) -> io::Result<()>) -> Result<(), Error> {
    let failed = || Error::io("write", path);
    let new = path.with_extension("new");
    failpoint::pass("file.make").map_err(failed())?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&new)
        .map_err(failed())?;
    let written = failpoint::pass("file.write")
        .and_then(|()| file.write_all(content))
        .and_then(|()| finish(&file))
        .and_then(|()| failpoint::pass("file.rename"))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|error| {
        drop(fs::remove_file(&new));
        failed()(error)
    })
}

/// Removes what was cut short of files that were to get their names at the end ([`cut_short`]). Nobody works in `directory`; it
/// need not be there.
///
/// # Errors
/// One cannot be removed.
pub(super) fn sweep(directory: &Path) -> Result<(), Error> {
    for path in cut_short(directory)? {
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

/// Files that were to get their names at the end, of a plugin (`.NAME.part`) and of a configuration: whoever wrote them was
/// killed, if nobody works in `directory`.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn cut_short(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = || Error::io("tidy up", directory);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed())?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of_a_volume = name.starts_with(".rootfs") || name.starts_with(".rootdev");
        if of_a_volume && name.ends_with(".part") || name == "container.new" {
            found.push(path);
        }
    }
    Ok(found)
}

/// Makes names in a directory durable (fsync(2) on the directory).
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    failpoint::pass("directory.sync")
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(Error::io("make durable", path))
}
