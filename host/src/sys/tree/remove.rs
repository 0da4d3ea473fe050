//! Removing a tree of any depth with a bounded number of open directories.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, IFlags, Mode, OFlags, chmod, fchmod, ioctl_getflags, ioctl_setflags, openat,
    renameat, statat, unlinkat,
};
use rustix::io::{Errno, Result};

use super::{TreeError, is_component, open_child};

/// Directories open at once. What lies deeper is moved up to the top first, so that a guest's tree of a
/// hundred thousand levels needs neither as many descriptors nor a `..` that someone could redirect.
const MAX_OPEN: usize = 64;

/// Removes `name` in `parent` and everything below it; returns how many entries went.
///
/// What is not there counts as removed. A mount anywhere below is an error (`EXDEV`), and what it shows is
/// left alone. Directories without write permission and immutable or append-only entries are made
/// removable first, where the caller may do that.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> std::result::Result<u64, TreeError> {
    let root = Path::new(name);
    if !is_component(name) {
        return Err(TreeError::Refused { path: root.into(), why: "not the name of one entry".into() });
    }
    match unlink_root(parent, name, AtFlags::empty()) {
        Ok(()) => return Ok(1),
        Err(Errno::NOENT) => return Ok(0),
        Err(Errno::ISDIR) => {}
        Err(e) => return Err(TreeError::io("remove", root)(e)),
    }
    let top = open_dir(parent, name).map_err(TreeError::io("open", root))?;
    let mut work = Removal { top: top.as_fd(), root, removed: 0, moved: 0 };
    loop {
        let before = work.removed;
        work.pass()?;
        match unlink_root(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => return Ok(work.removed + 1),
            // Entries that a moved directory left at the top, or that readdir skipped: go again.
            Err(Errno::NOTEMPTY) if work.removed > before => {}
            Err(e) => return Err(TreeError::io("remove", root)(e)),
        }
    }
}

/// Removes everything in a directory and not the directory itself; otherwise as [`remove_tree`].
pub fn empty_tree(top: BorrowedFd<'_>) -> std::result::Result<u64, TreeError> {
    let root = Path::new("");
    let mut work = Removal { top, root, removed: 0, moved: 0 };
    loop {
        let before = work.removed;
        work.pass()?;
        // A pass that found nothing more to remove has seen an empty directory.
        if work.removed == before {
            return Ok(work.removed);
        }
    }
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    root: &'a Path,
    removed: u64,
    moved: u64,
}

struct Level {
    dir: Dir,
    name: Vec<u8>,
}

impl Removal<'_> {
    /// One walk over everything below the top, children before their directory.
    fn pass(&mut self) -> std::result::Result<(), TreeError> {
        let dir = Dir::read_from(self.top).map_err(TreeError::io("read", self.root))?;
        let mut levels = vec![Level { dir, name: Vec::new() }];
        loop {
            let full = levels.len() >= MAX_OPEN;
            let Some(level) = levels.last_mut() else { return Ok(()) };
            let done = match level.dir.read() {
                Some(Ok(entry)) => {
                    let name = entry.file_name();
                    if name == c"." || name == c".." {
                        continue;
                    }
                    match self.entry(&level.dir, full, name, entry.file_type()) {
                        Ok(Some(child)) => {
                            levels.push(Level { dir: child, name: name.to_bytes().to_vec() });
                            Ok(())
                        }
                        Ok(None) => Ok(()),
                        Err(e) => Err((e, name.to_bytes().to_vec())),
                    }
                }
                Some(Err(e)) => Err((e, Vec::new())),
                None => self.leave(&mut levels).map_err(|e| (e, Vec::new())),
            };
            done.map_err(|(e, name)| TreeError::io("remove", &self.path(&levels, &name))(e))?;
        }
    }

    /// Removes a leaf, or answers with the directory to walk next.
    fn entry(&mut self, dir: &Dir, full: bool, name: &CStr, kind: FileType) -> Result<Option<Dir>> {
        let at = dir.fd()?;
        let name = OsStr::from_bytes(name.to_bytes());
        if kind != FileType::Directory {
            match unlink(at, name, AtFlags::empty()) {
                Ok(()) => self.removed += 1,
                Err(Errno::NOENT) => {}
                // A filesystem that does not tell types in readdir.
                Err(Errno::ISDIR) => return self.enter(at, full, name),
                Err(e) => return Err(e),
            }
            return Ok(None);
        }
        self.enter(at, full, name)
    }

    fn enter(&mut self, at: BorrowedFd<'_>, full: bool, name: &OsStr) -> Result<Option<Dir>> {
        let child = open_dir(at, name)?;
        if !full {
            return Ok(Some(Dir::new(child)?));
        }
        // Moving a directory changes its `..`, so it needs write permission on the directory itself.
        let _ = fchmod(&child, Mode::RWXU);
        loop {
            let flat = format!(".wxc-removing-{}", self.moved);
            self.moved += 1;
            match renameat(at, name, self.top, &flat) {
                // Counted, so that the next pass over the top knows that this one got somewhere.
                Ok(()) => {
                    self.removed += 1;
                    return Ok(None);
                }
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn leave(&mut self, levels: &mut Vec<Level>) -> Result<()> {
        let (Some(done), Some(parent)) = (levels.pop(), levels.last()) else { return Ok(()) };
        match unlink(parent.dir.fd()?, OsStr::from_bytes(&done.name), AtFlags::REMOVEDIR) {
            Ok(()) => self.removed += 1,
            // Gone already, or readdir skipped entries while others went: the next pass sees to it.
            Err(Errno::NOENT | Errno::NOTEMPTY) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn path(&self, levels: &[Level], name: &[u8]) -> PathBuf {
        let mut path = self.root.to_owned();
        path.extend(levels.iter().map(|l| OsStr::from_bytes(&l.name)).filter(|n| !n.is_empty()));
        if !name.is_empty() {
            path.push(OsStr::from_bytes(name));
        }
        path
    }
}

/// `unlinkat`, once more after clearing what may forbid it.
fn unlink(dir: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> Result<()> {
    match unlinkat(dir, name, flags) {
        Err(Errno::ACCESS) => fchmod(dir, Mode::RWXU)?,
        Err(Errno::PERM) => {
            unlock(dir)?;
            unlock_entry(dir, name)?;
        }
        other => return other,
    }
    unlinkat(dir, name, flags)
}

/// The same for the tree's root, whose parent is not ours to change.
fn unlink_root(dir: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> Result<()> {
    match unlinkat(dir, name, flags) {
        Err(Errno::PERM) => unlock_entry(dir, name)?,
        other => return other,
    }
    unlinkat(dir, name, flags)
}

fn unlock_entry(dir: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    let kind = FileType::from_raw_mode(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
    // Only these carry such flags, and opening any other kind of file may block or act.
    if matches!(kind, FileType::RegularFile | FileType::Directory) {
        let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        unlock(openat(dir, name, how, Mode::empty())?.as_fd())?;
    }
    Ok(())
}

/// Clears the immutable and append-only flags; fine where the filesystem has none.
fn unlock(fd: BorrowedFd<'_>) -> Result<()> {
    let Ok(flags) = ioctl_getflags(fd) else { return Ok(()) };
    let locks = IFlags::IMMUTABLE | IFlags::APPEND;
    if flags.intersects(locks) { ioctl_setflags(fd, flags - locks) } else { Ok(()) }
}

/// Opens a directory, made readable first where its owner had locked himself out.
fn open_dir(dir: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
    match open_child(dir, name) {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = openat(dir, name, how, Mode::empty())?;
    // An O_PATH descriptor has no fchmod; its name in /proc is the same object without a second look-up.
    chmod(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&path)), Mode::RWXU)?;
    open_child(dir, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn nothing_outside_is_touched_and_absence_is_success() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("keep/inner")).unwrap();
        std::fs::create_dir_all(dir.path().join("gone/a/b")).unwrap();
        std::os::unix::fs::symlink("../keep", dir.path().join("gone/link")).unwrap();
        std::fs::write(dir.path().join("gone/a/file"), "x").unwrap();
        let fd = File::open(dir.path()).unwrap();
        assert_eq!(remove_tree(fd.as_fd(), OsStr::new("gone")).unwrap(), 5);
        assert!(dir.path().join("keep/inner").exists());
        assert_eq!(remove_tree(fd.as_fd(), OsStr::new("gone")).unwrap(), 0);
        assert!(remove_tree(fd.as_fd(), OsStr::new("../x")).is_err());
    }

    #[test]
    fn deeper_than_any_descriptor_table() {
        let dir = tempfile::tempdir().unwrap();
        let top = File::open(dir.path()).unwrap();
        let mut at: OwnedFd = top.try_clone().unwrap().into();
        for _ in 0..1000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            rustix::fs::mkdirat(&at, "e", Mode::RWXU).unwrap();
            at = open_child(at.as_fd(), OsStr::new("d")).unwrap();
        }
        drop(at);
        assert!(remove_tree(top.as_fd(), OsStr::new("d")).unwrap() >= 1998);
        assert!(!dir.path().join("d").exists());
    }

    #[test]
    fn emptying_keeps_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("f"), "x").unwrap();
        let top = File::open(dir.path()).unwrap();
        assert_eq!(empty_tree(top.as_fd()).unwrap(), 3);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_without_permissions_goes_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("t/closed/x")).unwrap();
        rustix::fs::chmod(dir.path().join("t/closed"), Mode::empty()).unwrap();
        let top = File::open(dir.path()).unwrap();
        assert_eq!(remove_tree(top.as_fd(), OsStr::new("t")).unwrap(), 3);
    }
}
