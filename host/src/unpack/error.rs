//! What went wrong, in words that name the entry.
//!
//! The same type crosses from the helper to its caller, so an error holds text and numbers only, and every
//! name in it went through [`printable`].

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::sys::tree::{TreeError, shown};

/// Why a tree was not unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum UnpackError {
    /// Not an archive, or one that is cut off or damaged.
    #[error("the archive cannot be read at {place}: {why}")]
    Archive {
        /// The entry, or how far the archive was read.
        place: String,
        /// What is wrong there.
        why: String,
    },
    /// An entry that no image may hold.
    #[error("{entry} is refused: {why}")]
    Refused {
        /// The entry.
        entry: String,
        /// The rule.
        why: String,
    },
    /// The image costs more than it may.
    #[error("at {entry} the image has more than {limit} {what}")]
    Limit {
        /// The entry at which the limit was passed.
        entry: String,
        /// The limit.
        limit: u64,
        /// Of what.
        what: String,
    },
    /// A system call failed on an entry of the target or the source.
    #[error("cannot {doing} {entry}: {}", Errno::from_raw_os_error(*errno))]
    Entry {
        /// What was attempted, as a verb.
        doing: String,
        /// The entry.
        entry: String,
        /// The kernel's answer (errno(3)).
        errno: i32,
    },
    /// The target is not what a new tree needs.
    #[error("the target directory {why}")]
    Target {
        /// What is wrong with it.
        why: String,
    },
    /// The helper could not confine itself, so nothing was unpacked.
    #[error("the unpacker cannot {step}: {why}")]
    Confine {
        /// What was attempted, as a verb.
        step: String,
        /// The cause.
        why: String,
    },
    /// The helper ended without an answer.
    #[error("the unpacker {why}")]
    Helper {
        /// How it ended.
        why: String,
    },
    /// The caller's flag was set.
    #[error("unpacking was cancelled")]
    Cancelled,
}

impl UnpackError {
    /// The kernel's answer, where that is what is wrong.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Entry { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// What to do next, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Archive { .. } => {
                "compare the file's size and checksum with its origin and fetch it again; tar archives, plain \
                 or compressed with gzip, xz or zstd, and squashfs images are understood"
            }
            Self::Refused { .. } => {
                "the image was made wrongly or to do harm; nothing of it is used. Pack it again from a tree \
                 with the ids of the container (0 to 65535) and names inside the tree"
            }
            Self::Limit { .. } => "no honest image is known to need more; if this one is, make it smaller",
            Self::Entry { errno, .. } => return errno_hint(Errno::from_raw_os_error(*errno)),
            Self::Target { .. } => "name a new container, or remove what is there first",
            Self::Confine { .. } => {
                "an unprivileged caller needs entries in /etc/subuid and /etc/subgid, the programs newuidmap \
                 and newgidmap, and user namespaces that the kernel allows"
            }
            Self::Helper { .. } => "run it again with -v; if it happens again, this is a bug worth reporting",
            Self::Cancelled => return None,
        })
    }

    pub(crate) fn call(doing: &str, entry: &[u8]) -> impl FnOnce(Errno) -> Self {
        let (doing, entry) = (doing.to_owned(), printable(entry));
        move |errno| Self::Entry { doing, entry, errno: errno.raw_os_error() }
    }

    pub(crate) fn refused(entry: &[u8], why: impl Into<String>) -> Self {
        Self::Refused { entry: printable(entry), why: why.into() }
    }

    pub(crate) fn archive(place: &[u8], why: impl Into<String>) -> Self {
        Self::Archive { place: printable(place), why: why.into() }
    }

    pub(crate) fn limit(entry: &[u8], limit: u64, what: &str) -> Self {
        Self::Limit { entry: printable(entry), limit, what: what.to_owned() }
    }

    pub(crate) fn confine(step: &str, why: impl std::fmt::Display) -> Self {
        Self::Confine { step: step.to_owned(), why: why.to_string() }
    }
}

impl From<TreeError> for UnpackError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Io { doing, path, source } => {
                Self::Entry { doing: doing.to_owned(), entry: shown(&path), errno: source.raw_os_error() }
            }
            TreeError::Refused { path, why } => Self::Refused { entry: shown(&path), why },
            TreeError::TooLarge { path, limit } => {
                let why = format!("it is larger than the {limit} bytes that are read of it");
                Self::Refused { entry: shown(&path), why }
            }
            TreeError::Stopped => Self::Cancelled,
        }
    }
}

fn errno_hint(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::NOSPC => "free space on the filesystem of the container, or choose another path with -P",
        Errno::DQUOT => "the quota of the container's directory is used up: raise it or choose another path",
        Errno::ROFS => "the filesystem of the container is mounted read-only: choose another path with -P",
        Errno::MFILE | Errno::NFILE => "raise the limit of open files (ulimit -n)",
        Errno::NAMETOOLONG => "the target's filesystem does not take names of this length",
        Errno::IO => "the disk reports an error: see dmesg",
        Errno::FBIG => "the target's filesystem does not take files of this size",
        Errno::XDEV => "something is mounted inside the target: unmount it",
        _ => return None,
    })
}

/// A name as it may be printed; see [`shown`].
pub(crate) fn printable(name: &[u8]) -> String {
    shown(Path::new(OsStr::from_bytes(name)))
}
