#![forbid(unsafe_code)]
//! Small files of this layer, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::error::PluginError;

/// Replaces a file: a temporary name beside it, synced, renamed over it, and the directory synced.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), PluginError> {
    let fail = |source| PluginError::Io { doing: "write", path: path.to_owned(), source };
    let parent = path.parent().ok_or_else(|| fail(io::Error::other("it has no directory")))?;
    make_directories(parent)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = parent.join(format!(".{name}.{}.part", std::process::id()));
    let write = || -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(mode);
        let mut file = options.custom_flags(libc::O_NOFOLLOW).open(&part)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(parent)?.sync_all()
    };
    write().map_err(|error| {
        // What is left of a failed attempt is of no use; if it cannot be removed either, it is harmless.
        let _removed = fs::remove_file(&part);
        fail(error)
    })
}

/// Makes a directory that nobody else can look into; one that is there stays as it is.
pub(super) fn make_private_directory(path: &Path) -> Result<(), PluginError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(PluginError::Io { doing: "make the directory", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Makes a directory and those above it, writable by their owner alone whatever the umask is: others
/// must not be able to put plugins there.
pub(super) fn make_directories(path: &Path) -> Result<(), PluginError> {
    let mode = if rustix::process::geteuid().is_root() { 0o755 } else { 0o700 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|source| PluginError::Io {
        doing: "make the directory",
        path: path.to_owned(),
        source,
    })
}
