//! Whole directory trees: copied and removed from directory handles, never by absolute path.
//!
//! Both walks take the tree for hostile: no symbolic link is followed, no mount is crossed (a host
//! directory that is still mounted somewhere below must not be emptied with the container), depth and
//! the number of open directories are bounded, and special files are never opened.

mod copy;
mod data;
mod listing;
mod remove;
mod team;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};

pub use copy::{Copied, CopyPolicy, Watch, copy_exactly, copy_file, copy_tree};
pub use data::{Holes, copy_data};
pub use listing::{Fold, Listing, Place, Scratch, Stack};
pub use remove::{empty_tree, remove_tree, remove_tree_watched};

/// Why a tree was not copied or removed completely.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A system call failed on one entry of the tree.
    #[error("cannot {doing} {}: {source}", shown(path))]
    Io {
        /// What was attempted, as a verb: `read`, `create`, `remove`.
        doing: &'static str,
        /// The entry, relative to the tree's root.
        path: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// The entry is something that this copy does not accept.
    #[error("{}: {why}", shown(path))]
    Refused {
        /// The entry, relative to the tree's root.
        path: PathBuf,
        /// The rule that it breaks.
        why: String,
    },
    /// A file is longer than what is read of one.
    #[error("{}: it is larger than the {limit} bytes that are read of it", shown(path))]
    TooLarge {
        /// The entry, relative to the tree's root.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// The policy asked to stop.
    #[error("stopped before the end of the tree")]
    Stopped,
}

impl TreeError {
    pub(in crate::sys) fn io(doing: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

/// A path as it may be printed: a name may hold escape sequences and newlines, and may be long.
pub fn shown(path: &Path) -> String {
    const LIMIT: usize = 200;
    let text = path.to_string_lossy();
    let text = if text.is_empty() { ".".into() } else { text };
    let mut out: String = text.chars().take(LIMIT).flat_map(escape).collect();
    if text.chars().nth(LIMIT).is_some() {
        out.push('…');
    }
    out
}

fn escape(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

/// Opens a directory below `dir` that is a real directory of the same mount.
pub(in crate::sys) fn open_child(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(dir, name, flags, Mode::empty(), BELOW | ResolveFlags::NO_XDEV)
}

/// Strictly inside the directory, and not through any link.
const BELOW: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A name that is one component: what `unlinkat` and `mkdirat` may be given.
fn is_component(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/') && !bytes.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_names_hold_no_escape_sequence_and_end() {
        assert_eq!(shown(Path::new("a\x1b[31m\nb")), "a\\u{1b}[31m\\nb");
        assert_eq!(shown(Path::new("")), ".");
        assert_eq!(shown(Path::new(&"x".repeat(5000))).chars().count(), 201);
    }

    #[test]
    fn only_one_component_is_a_name() {
        for bad in ["", ".", "..", "a/b", "/", "a\0"] {
            assert!(!is_component(OsStr::new(bad)), "{bad:?}");
        }
        assert!(is_component(OsStr::new("...")));
    }
}
