//! Removing a tree of any depth with a bounded number of open directories.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, FileType, IFlags, Mode, OFlags, chmod, fchmod, ioctl_getflags, ioctl_setflags, openat, renameat,
    statat, unlinkat,
};
use rustix::io::{Errno, Result};

use super::listing::{Listing, Place, Scratch};
use super::team::{self, Hand};
use super::{TreeError, is_component, open_child};
use crate::sys::failpoint;

/// Directories open at once. What lies deeper is moved up to the top first, so that a guest's tree of a
/// hundred thousand levels needs neither as many descriptors nor a `..` that someone could redirect.
const MAX_OPEN: usize = 64;

/// Removes `name` in `parent` and everything below it; returns how many entries went.
///
/// What is not there counts as removed. A mount anywhere below is an error (`EXDEV`), and what it shows is
/// left alone. Directories without write permission and immutable or append-only entries are made
/// removable first, where the caller may do that. A large tree is removed by a few threads, which have ended on return.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> std::result::Result<u64, TreeError> {
    remove_tree_watched(parent, name, &|_| ())
}

/// The same; `watch` hears how many entries have gone so far, from any of the threads.
pub fn remove_tree_watched(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    watch: &(dyn Fn(u64) + Sync),
) -> std::result::Result<u64, TreeError> {
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
    let work = Removal::new(top.as_fd(), root, watch);
    loop {
        let before = work.removed();
        team::share(work.top()?, &|task, hand| work.pass(task, hand))?;
        match unlink_root(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => return Ok(work.removed() + 1),
            // Entries that a moved directory left at the top, or that readdir skipped, and directories whose last
            // entries were with another thread: go again.
            Err(Errno::NOTEMPTY) if work.removed() > before => {}
            Err(e) => return Err(TreeError::io("remove", root)(e)),
        }
    }
}

/// Removes everything in a directory and not the directory itself; otherwise as [`remove_tree`], on this thread alone.
pub fn empty_tree(top: BorrowedFd<'_>) -> std::result::Result<u64, TreeError> {
    let work = Removal::new(top, Path::new(""), &|_| ());
    loop {
        let before = work.removed();
        work.pass(work.top()?, &mut Hand::alone())?;
        // A pass that found nothing more to remove has seen an empty directory.
        if work.removed() == before {
            return Ok(before);
        }
    }
}

/// What the threads of one removal have in common.
struct Removal<'a> {
    top: BorrowedFd<'a>,
    root: &'a Path,
    watch: &'a (dyn Fn(u64) + Sync),
    removed: AtomicU64,
    moved: AtomicU64,
}

/// A directory that is to be emptied.
struct Task {
    level: Level,
    path: PathBuf,
    /// Where it is removed from when it is empty; none for the top.
    parent: Option<OwnedFd>,
}

struct Level {
    dir: Listing,
    name: CString,
}

impl Level {
    fn new(fd: OwnedFd, name: CString) -> Self {
        // Never closed in the middle, and so never looked for again.
        Self { dir: Listing::new(Place::new(fd, (0, 0))), name }
    }
}

impl<'a> Removal<'a> {
    fn new(top: BorrowedFd<'a>, root: &'a Path, watch: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self { top, root, watch, removed: AtomicU64::new(0), moved: AtomicU64::new(0) }
    }

    fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }

    fn gone(&self) {
        (self.watch)(self.removed.fetch_add(1, Ordering::Relaxed) + 1);
    }

    fn top(&self) -> std::result::Result<Task, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(self.top, c".", flags, Mode::empty()).map_err(TreeError::io("open", self.root))?;
        Ok(Task { level: Level::new(fd, CString::default()), path: self.root.to_owned(), parent: None })
    }

    /// One walk over everything below a directory, children before the directory that they are in.
    fn pass(&self, task: Task, hand: &mut Hand<'_, Task, TreeError>) -> std::result::Result<(), TreeError> {
        let Task { level, path: above, parent } = task;
        let mut scratch = Scratch::default();
        let mut levels = vec![level];
        while let Some(level) = levels.last_mut() {
            if hand.stopped() {
                return Ok(());
            }
            let failed =
                |levels: &[Level], name: &CStr, e| TreeError::io("remove", &path(&above, levels, name))(e);
            match level.dir.next(&mut scratch) {
                Err(e) => return Err(failed(&levels, c"", e)),
                Ok(None) => self.leave(&mut levels, parent.as_ref()).map_err(|e| failed(&levels, c"", e))?,
                Ok(Some((name, kind))) => {
                    let full = levels.len() >= MAX_OPEN;
                    let Some(level) = levels.last() else { return Ok(()) };
                    let below =
                        self.entry(&level.dir, full, &name, kind).map_err(|e| failed(&levels, &name, e))?;
                    let Some(below) = below.map(|fd| Level::new(fd, name)) else { continue };
                    let kept = match levels.last() {
                        Some(level) if hand.wants() => {
                            let parent = level.dir.fd().and_then(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 0));
                            let parent = parent.map_err(|e| failed(&levels, &below.name, e))?;
                            let path =
                                path(&above, &levels, c"").join(OsStr::from_bytes(below.name.to_bytes()));
                            hand.give(Task { level: below, path, parent: Some(parent) })
                                .map(|task| task.level)
                        }
                        _ => Some(below),
                    };
                    levels.extend(kept);
                }
            }
        }
        Ok(())
    }

    /// Removes a leaf, or answers with the directory to walk next.
    fn entry(&self, dir: &Listing, full: bool, name: &CStr, kind: FileType) -> Result<Option<OwnedFd>> {
        let at = dir.fd()?;
        let name = OsStr::from_bytes(name.to_bytes());
        if kind != FileType::Directory {
            failpoint::pass_errno("remove.entry")?;
            match unlink(at, name, AtFlags::empty()) {
                Ok(()) => self.gone(),
                Err(Errno::NOENT) => {}
                // A filesystem that does not tell types in readdir.
                Err(Errno::ISDIR) => return self.enter(at, full, name),
                Err(e) => return Err(e),
            }
            return Ok(None);
        }
        self.enter(at, full, name)
    }

    fn enter(&self, at: BorrowedFd<'_>, full: bool, name: &OsStr) -> Result<Option<OwnedFd>> {
        let child = match open_dir(at, name) {
            // Removed by the thread that had it.
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        if !full {
            return Ok(Some(child));
        }
        // Moving a directory changes its `..`, so it needs write permission on the directory itself.
        let _ = fchmod(&child, Mode::RWXU);
        loop {
            let flat = format!(".wxc-removing-{}", self.moved.fetch_add(1, Ordering::Relaxed));
            match renameat(at, name, self.top, &flat) {
                // Counted, so that the next pass over the top knows that this one got somewhere.
                Ok(()) => {
                    self.removed.fetch_add(1, Ordering::Relaxed);
                    return Ok(None);
                }
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn leave(&self, levels: &mut Vec<Level>, parent: Option<&OwnedFd>) -> Result<()> {
        let Some(done) = levels.pop() else { return Ok(()) };
        let from = match (levels.last(), parent) {
            (Some(level), _) => level.dir.fd()?,
            (None, Some(parent)) => parent.as_fd(),
            (None, None) => return Ok(()),
        };
        match unlink(from, OsStr::from_bytes(done.name.to_bytes()), AtFlags::REMOVEDIR) {
            Ok(()) => self.gone(),
            // Gone already, or readdir skipped entries while others went: the next pass sees to it.
            Err(Errno::NOENT | Errno::NOTEMPTY) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

fn path(above: &Path, levels: &[Level], name: &CStr) -> PathBuf {
    let mut path = above.to_owned();
    path.extend(levels.iter().skip(1).map(|level| OsStr::from_bytes(level.name.to_bytes())));
    if !name.is_empty() {
        path.push(OsStr::from_bytes(name.to_bytes()));
    }
    path
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
