#![forbid(unsafe_code)]
//! One writer for each container.
//!
//! flock(2) on a file beside the run directories. The kernel drops it with its holder, however that ends.
//! The file is only removed by a holder whose container is gone; whoever got a lock on a removed
//! file has a lock on nothing, finds that out and tries again.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Error, layout::Layout};
use crate::config::name::Name;

/// How long a command waits for another one; a create from a big image takes this long.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Held while a container is changed.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of `name`, waiting for whoever has it. `verb` is what others are told.
    ///
    /// # Errors
    /// Another command keeps it for more than a minute, or the file cannot be made.
    pub fn take(layout: &Layout, name: &Name, verb: &str) -> Result<Self, Error> {
        Self::take_file(&of(layout, name), name.as_str(), verb)
    }

    /// The same for something else than a container: `what`, with its file.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub(super) fn take_file(path: &Path, what: &str, verb: &str) -> Result<Self, Error> {
        let mut holder = String::new();
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            match Self::attempt(path, verb)? {
                Ok(lock) => return Ok(lock),
                Err(who) => holder = who,
            }
            std::thread::sleep(PAUSE);
        }
        Err(Error::Locked { name: what.to_owned(), holder })
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn try_take(layout: &Layout, name: &Name, verb: &str) -> Result<Option<Self>, Error> {
        Ok(Self::attempt(&of(layout, name), verb)?.ok())
    }

    /// Whether somebody has it at this moment; makes and changes nothing.
    #[must_use]
    pub fn is_held(layout: &Layout, name: &Name) -> bool {
        Self::is_held_file(&of(layout, name))
    }

    /// The same of a lock that is no container's.
    pub(super) fn is_held_file(path: &Path) -> bool {
        let options = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).to_owned();
        let Ok(file) = options.open(path) else { return false };
        // Shared, so that two who only ask do not find each other; let go with the file.
        matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK))
    }

    /// One try; the inner error says who has it.
    fn attempt(path: &Path, verb: &str) -> Result<Result<Self, String>, Error> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)
            .map_err(Error::io("open the lock", path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => {
                let mut holder = String::new();
                drop(file.read_to_string(&mut holder));
                return Ok(Err(holder));
            }
            Err(error) => return Err(Error::io("take the lock", path)(error.into())),
        }
        if !is_at(&file, path) {
            return Ok(Err("which has just ended".into()));
        }
        // For the message of whoever waits in vain; the lock itself does not depend on it.
        let note = format!("wxc {verb}, process {}", std::process::id());
        drop(file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes())));
        Ok(Ok(Self { path: path.to_owned(), _file: file }))
    }

    /// The container is gone: so is its lock, before somebody else can take it.
    pub fn discard(self) {
        drop(fs::remove_file(&self.path));
    }
}

/// The file of a container's lock.
fn of(layout: &Layout, name: &Name) -> PathBuf {
    layout.run.join(format!("{name}.lock"))
}

/// Whether an open file is still the one at its path.
fn is_at(file: &File, path: &Path) -> bool {
    let ids = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(a), Ok(b)) if ids(&a) == ids(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_and_a_discarded_one_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout { path: directory.path().into(), run: directory.path().into() };
        let name: Name = "web".parse().unwrap();
        let lock = Lock::take(&layout, &name, "create").unwrap();
        assert!(Lock::try_take(&layout, &name, "start").unwrap().is_none());
        lock.discard();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        drop(Lock::try_take(&layout, &name, "start").unwrap().unwrap());
        assert!(Lock::try_take(&layout, &name, "start").unwrap().is_some());
    }

    #[test]
    fn a_file_that_was_replaced_is_not_at_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let file = File::create(&path).unwrap();
        assert!(is_at(&file, &path));
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&file, &path));
        File::create(&path).unwrap();
        assert!(!is_at(&file, &path));
    }
}
