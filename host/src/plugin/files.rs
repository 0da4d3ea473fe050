#![forbid(unsafe_code)]
//! Small files of this layer, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::PluginError;
use crate::sys::trusted::{TrustError, TrustedDir};

/// Replaces a file: a temporary name beside it, synced, renamed over it, and the directory synced.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), PluginError> {
    write_whole(path, content, mode, true)
}

/// The same for what can be made again: after a loss of power it may be anything.
pub(super) fn put(path: &Path, content: &[u8], mode: u32) -> Result<(), PluginError> {
    write_whole(path, content, mode, false)
}

fn write_whole(path: &Path, content: &[u8], mode: u32, durable: bool) -> Result<(), PluginError> {
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
        if durable {
            file.sync_all()?;
        }
        fs::rename(&part, path)?;
        if durable { File::open(parent)?.sync_all() } else { Ok(()) }
    };
    write().map_err(|error| {
        // What is left of a failed attempt is of no use; if it cannot be removed either, it is harmless.
        let _removed = fs::remove_file(&part);
        fail(error)
    })
}

/// Longest file of settings of ours that is read.
const LONGEST: u64 = 4 << 20;

/// What a file of ours says; the default where there is none.
pub(super) fn load_toml<T: DeserializeOwned + Default>(path: &Path) -> Result<T, String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err("it has no directory".into());
    };
    match TrustedDir::kept(parent).and_then(|dir| dir.file(name)) {
        Err(TrustError::Missing(_)) => Ok(T::default()),
        Err(error) => Err(super::grants::chain(&error)),
        Ok(file) => {
            let bytes = file.read(LONGEST).map_err(|e| e.to_string())?;
            let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
            toml_edit::de::from_str(&text).map_err(|e| e.to_string().trim().to_owned())
        }
    }
}

/// How long a look at a file holds: a start asks several times within this, and what is changed meanwhile could as well have been
/// changed a moment later.
pub(super) const MOMENT: Duration = Duration::from_millis(100);

/// What a file of ours said when it was last read, by this process; read again when it is another file since.
#[derive(Debug)]
pub(super) struct LastRead<T>(Mutex<Option<(Instant, Stamp, Arc<T>)>>);

/// Of a file; none of one that is not there.
type Stamp = Option<[u64; 5]>;

impl<T> Default for LastRead<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> LastRead<T> {
    /// What the file says now; `read` reads it.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn now<E>(&self, path: &Path, read: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((looked, _, content)) = &*last
            && looked.elapsed() < MOMENT
        {
            return Ok(Arc::clone(content));
        }
        let (now, stamp) = (Instant::now(), stamp(path));
        let same = |(_, known, content): &(Instant, Stamp, Arc<T>)| {
            stamp.is_some_and(|stamp| stamp == *known).then(|| Arc::clone(content))
        };
        let content = match last.as_ref().and_then(same) {
            Some(content) => content,
            None => Arc::new(read()?),
        };
        *last = stamp.map(|stamp| (now, stamp, Arc::clone(&content)));
        Ok(content)
    }
}

/// `None` for what may not be read, so that whoever reads it says why.
fn stamp(path: &Path) -> Option<Stamp> {
    let (parent, name) = (path.parent()?, path.file_name()?);
    match TrustedDir::kept(parent).and_then(|dir| dir.file(name)) {
        Ok(file) => Some(Some(file.stamp())),
        Err(TrustError::Missing(_)) => Some(None),
        Err(_) => None,
    }
}

/// Writes such a file as a whole: after a crash it is the old one or the new one.
pub(super) fn save_toml(path: &Path, head: &str, content: &impl Serialize) -> Result<(), PluginError> {
    let text = toml_edit::ser::to_string_pretty(content).map_err(|error| PluginError::Io {
        doing: "write",
        path: path.to_owned(),
        source: io::Error::other(error.to_string()),
    })?;
    replace(path, format!("{head}{text}").as_bytes(), 0o644)
}

/// Waits until no other command changes what is in a directory, and keeps others from it until this is dropped.
pub(super) fn hold(directory: &Path) -> Result<File, PluginError> {
    make_directories(directory)?;
    let fail = |source| PluginError::Io { doing: "lock", path: directory.to_owned(), source };
    let held = File::open(directory).map_err(fail)?;
    rustix::io::retry_on_intr(|| flock(&held, FlockOperation::LockExclusive))
        .map_err(|errno| fail(errno.into()))?;
    Ok(held)
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
