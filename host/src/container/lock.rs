#![forbid(unsafe_code)]
//! One writer for each container.
//!
//! flock(2) on a file that is never removed: a lock on a file that somebody unlinks would be a lock
//! on nothing. The kernel drops it with its holder, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
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
    _file: File,
}

impl Lock {
    /// Takes the lock of `name`, waiting for whoever has it. `verb` is what others are told.
    ///
    /// # Errors
    /// Another command keeps it for more than a minute, or the file cannot be made.
    pub fn take(layout: &Layout, name: &Name, verb: &str) -> Result<Self, Error> {
        let mut holder = String::new();
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            match Self::attempt(layout, name, verb)? {
                Ok(lock) => return Ok(lock),
                Err(who) => holder = who,
            }
            std::thread::sleep(PAUSE);
        }
        Err(Error::Locked { name: name.to_string(), holder })
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn try_take(layout: &Layout, name: &Name, verb: &str) -> Result<Option<Self>, Error> {
        Ok(Self::attempt(layout, name, verb)?.ok())
    }

    /// One try; the inner error says who has it.
    fn attempt(layout: &Layout, name: &Name, verb: &str) -> Result<Result<Self, String>, Error> {
        let path = layout.run.join(format!("{name}.lock"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(Error::io("open the lock", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => {
                let mut holder = String::new();
                drop(file.read_to_string(&mut holder));
                return Ok(Err(holder));
            }
            Err(error) => return Err(Error::io("take the lock", &path)(error.into())),
        }
        // For the message of whoever waits in vain; the lock itself does not depend on it.
        let note = format!("wxc {verb}, process {}", std::process::id());
        drop(file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes())));
        Ok(Ok(Self { _file: file }))
    }
}
