#![forbid(unsafe_code)]
//! Walks over a tree: what it takes up, and making it durable.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fsync, openat2, statat, syncfs};
use rustix::io::Errno;

use super::place::CONFINED;
use crate::sys::tree::{Listing, Place, Scratch, Stack};

/// Trees of at most this many entries are synced one by one; larger ones with the whole file system, which may have much
/// to write that is not ours. But each fsync has the disk empty its cache, also when there is nothing to write: half a
/// millisecond for each file, where the whole file system takes a few.
const FEW: u64 = 4;

/// What a tree takes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

/// Why a walk ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The kernel refused.
    Errno(Errno),
    /// The visitor has seen enough.
    Enough,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// Counts a tree; `cancelled` is asked once per entry.
pub(super) fn measure(root: OwnedFd, cancelled: &dyn Fn() -> bool) -> Result<Measured, Stop> {
    let mut measured = Measured::default();
    // A file with several names takes up its blocks once.
    let mut seen = HashSet::new();
    walk(root, &mut |stat: &Stat, _| {
        if cancelled() {
            return Err(Stop::Enough);
        }
        measured.entries += 1;
        let single = stat.st_nlink < 2 || FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if single || seen.insert((stat.st_dev, stat.st_ino)) {
            measured.bytes += stat.st_blocks.cast_unsigned() * 512;
        }
        Ok(())
    })?;
    Ok(measured)
}

/// Writes a tree, or a single file, to the disk.
pub(super) fn sync_tree(root: OwnedFd) -> Result<(), Errno> {
    if FileType::from_raw_mode(rustix::fs::fstat(&root)?.st_mode) == FileType::RegularFile {
        return fsync(root);
    }
    let whole = root.try_clone().map_err(|_| Errno::MFILE)?;
    let mut entries = 0;
    let walked = walk(root, &mut |stat, open| {
        entries += 1;
        if entries > FEW {
            return Err(Stop::Enough);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Directory => Ok(fsync(open()?)?),
            // Links and special files have no content: their directory holds all of them.
            _ => Ok(()),
        }
    });
    match walked {
        Ok(()) => Ok(()),
        Err(Stop::Enough) => syncfs(whole),
        Err(Stop::Errno(errno)) => Err(errno),
    }
}

/// Hears of each entry, the root first, and can open it.
type Visit<'a> = dyn FnMut(&Stat, &dyn Fn() -> Result<OwnedFd, Errno>) -> Result<(), Stop> + 'a;

fn walk(root: OwnedFd, visit: &mut Visit<'_>) -> Result<(), Stop> {
    let stat = rustix::fs::fstat(&root)?;
    visit(&stat, &|| open(root.as_fd(), c".", OFlags::empty()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let (mut levels, mut scratch) = (Stack::new(listing(root.as_fd(), c".", &stat)?), Scratch::default());
    while let Some(level) = levels.last_mut() {
        let Some((name, _)) = level.next(&mut scratch)? else {
            levels.pop()?;
            continue;
        };
        let here = level.fd()?;
        let stat = match statat(here, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Gone since it was listed: a running container may be in it.
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        };
        visit(&stat, &|| open(here, &name, OFlags::empty()))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match listing(here, &name, &stat) {
                Ok(below) => levels.push(below),
                // Something else is mounted there: not part of this tree.
                Err(Errno::XDEV | Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(())
}

fn listing(parent: BorrowedFd<'_>, name: &std::ffi::CStr, stat: &Stat) -> Result<Listing, Errno> {
    let fd = open(parent, name, OFlags::DIRECTORY)?;
    Ok(Listing::new(Place::new(fd, (stat.st_dev, stat.st_ino))))
}

fn open(parent: BorrowedFd<'_>, name: &std::ffi::CStr, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags =
        more | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat2(parent, name, flags, Mode::empty(), CONFINED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_any_path_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let mut at = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let root = at.try_clone().unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            rustix::fs::mkdirat(&at, "e", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        assert_eq!(measure(root.try_clone().unwrap(), &|| false).unwrap().entries, 6001);
        sync_tree(root.try_clone().unwrap()).unwrap();
        crate::sys::tree::empty_tree(root.as_fd()).unwrap();
    }

    #[test]
    fn a_single_file_is_measured_and_synced_as_well() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; 4096]).unwrap();
        let open = || OwnedFd::from(std::fs::File::open(file.path()).unwrap());
        assert_eq!(measure(open(), &|| false).unwrap().entries, 1);
        sync_tree(open()).unwrap();
    }

    #[test]
    fn hard_links_are_counted_once_and_links_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 1 << 20]).unwrap();
        std::fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("c")).unwrap();
        let root = || OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let measured = measure(root(), &|| false).unwrap();
        assert_eq!(measured.entries, 4);
        assert!((1 << 20..3 << 19).contains(&measured.bytes), "{measured:?}");
        assert!(matches!(measure(root(), &|| true), Err(Stop::Enough)));
        sync_tree(root()).unwrap();
    }
}
