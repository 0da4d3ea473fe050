#![forbid(unsafe_code)]
//! Take a container's cgroups away, with those that the guest made in its delegated part.
//!
//! What the guest made has any names and any depth up to the limit it was given, longer than a
//! path may be: the walk goes from directory to directory.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, unlinkat};

use super::{CgroupError, Cgroups, Place, write::move_process};

/// Deeper and more than the delegation allows (`create::DEEPEST`, `MOST_DESCENDANTS`).
const DEEPEST: u32 = 128;
const MOST: u32 = 100_000;

/// A cgroup stays busy for a moment after its last process was reaped; one removal waits no
/// longer than this for all of them together.
const BUSY: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_millis(1);

impl Cgroups {
    /// Remove all directories; those that are gone already are as good. What is left when one
    /// cannot be removed is still removed.
    ///
    /// # Errors
    /// The first failure, such as a process that is left.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let end = Instant::now() + BUSY;
        let results: Vec<_> = self.places.iter().map(|place| remove_place(place, end)).collect();
        results.into_iter().collect()
    }
}

fn remove_place(place: &Place, end: Instant) -> Result<(), CgroupError> {
    let wrap = |path: &Path| {
        let path = path.to_owned();
        move |source| CgroupError::Remove { path, source }
    };
    let payload = remove_tree(&place.payload, end).map_err(wrap(&place.payload));
    let Some(monitor) = &place.monitor else { return payload };
    if is_inside(monitor)
        && let Some(parent) = monitor.parent()
        && let Err(error) = move_out(parent)
    {
        return payload.and(Err(error));
    }
    payload.and(remove_tree(monitor, end).map_err(wrap(monitor)))
}

/// Where monitors wait for their end when they cannot go back: one for all of them, empty but for
/// an instant, and taken along when the last one can.
const LEAVING: &str = "wxc.leaving";

/// Move this process out of its monitor's cgroup, so that it can be removed.
fn move_out(parent: &Path) -> Result<(), CgroupError> {
    let own = std::process::id().cast_signed();
    let leaving = parent.join(LEAVING);
    let busy = |error: &CgroupError| matches!(error, CgroupError::Enter { source, .. } if source.raw_os_error() == Some(libc::EBUSY));
    match move_process(own, parent) {
        // Of monitors that went that way before; busy while one is in it.
        Ok(()) => {
            let _busy_or_gone = std::fs::remove_dir(leaving);
            Ok(())
        }
        // A v2 cgroup whose children have controllers takes no process, save the root.
        Err(error) if busy(&error) => {
            let made = std::fs::create_dir(&leaving);
            if let Err(source) = made
                && source.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(CgroupError::Create { path: leaving, source });
            }
            move_process(own, &leaving)
        }
        Err(error) => Err(error),
    }
}

/// Is this process in the cgroup?
fn is_inside(directory: &Path) -> bool {
    let own = std::process::id().to_string();
    std::fs::read_to_string(directory.join("cgroup.procs"))
        .is_ok_and(|list| list.lines().any(|pid| pid == own))
}

pub(super) fn remove_tree(path: &Path, end: Instant) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // The usual container leaves nothing inside.
    match remove_patiently(rustix::fs::CWD, path, Instant::now()) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
        result => return result,
    }
    let Some(parent) = gone_is_none(open_directory(rustix::fs::CWD, parent))? else { return Ok(()) };
    let Some(directory) = gone_is_none(open_directory(parent.as_fd(), Path::new(name)))? else {
        return Ok(());
    };
    walk(directory.as_fd(), &mut |step| match step {
        Step::Enter(_) => Ok(()),
        Step::Leave(parent, name) => remove_patiently(parent, name, end),
    })?;
    remove_patiently(parent.as_fd(), name, end)
}

/// rmdir(2) until it is not busy any more, or until `end`.
fn remove_patiently<P: rustix::path::Arg + Copy>(
    parent: BorrowedFd<'_>,
    name: P,
    end: Instant,
) -> io::Result<()> {
    loop {
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            // ENODEV: the hierarchy itself was taken apart meanwhile.
            Ok(()) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV) => return Ok(()),
            Err(rustix::io::Errno::BUSY) if Instant::now() < end => std::thread::sleep(NAP),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where a walk is.
pub(super) enum Step<'a> {
    /// In a cgroup below the first one, before its children.
    Enter(BorrowedFd<'a>),
    /// Behind it and its children: the parent and the name.
    Leave(BorrowedFd<'a>, &'a CString),
}

/// Every cgroup below `directory`, parents before children on `Enter` and after them on `Leave`.
pub(super) fn walk(
    directory: BorrowedFd<'_>,
    act: &mut dyn FnMut(Step<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut left = MOST;
    walk_level(directory, act, &mut left, DEEPEST)
}

fn walk_level(
    directory: BorrowedFd<'_>,
    act: &mut dyn FnMut(Step<'_>) -> io::Result<()>,
    left: &mut u32,
    depth: u32,
) -> io::Result<()> {
    let deeper = depth.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
    for name in children(directory)? {
        *left = left.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
        let Some(child) = gone_is_none(open_directory(directory, name.as_c_str()))? else { continue };
        act(Step::Enter(child.as_fd()))?;
        walk_level(child.as_fd(), act, left, deeper)?;
        drop(child);
        act(Step::Leave(directory, &name))?;
    }
    Ok(())
}

fn children(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn open_directory<P: rustix::path::Arg>(parent: BorrowedFd<'_>, name: P) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_what_a_guest_made_however_deep() {
        let base = tempfile::tempdir().unwrap();
        let payload = base.path().join("payload");
        std::fs::create_dir_all(payload.join("a/b/c")).unwrap();
        std::fs::create_dir_all(payload.join("d e\n")).unwrap();
        // A path longer than PATH_MAX, one directory at a time.
        let long = "x".repeat(200);
        let mut at = open_directory(rustix::fs::CWD, payload.as_path()).unwrap();
        for _ in 0..30 {
            rustix::fs::mkdirat(&at, long.as_str(), Mode::RWXU).unwrap();
            at = open_directory(at.as_fd(), long.as_str()).unwrap();
        }
        let place = Place { unified: true, controllers: vec![], payload: payload.clone(), monitor: None };
        let cgroups = Cgroups { places: vec![place] };
        // Directories of an ordinary file system that are not empty answer ENOTEMPTY, those of
        // cgroups EBUSY, so the walk is called directly here.
        let directory = open_directory(rustix::fs::CWD, payload.as_path()).unwrap();
        walk(directory.as_fd(), &mut |step| match step {
            Step::Enter(_) => Ok(()),
            Step::Leave(parent, name) => remove_patiently(parent, name, Instant::now()),
        })
        .unwrap();
        cgroups.remove().unwrap();
        assert!(!payload.exists());
        cgroups.remove().unwrap();
    }

    #[test]
    fn gives_up_on_a_tree_that_is_too_deep() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("a/".repeat(130))).unwrap();
        let directory = open_directory(rustix::fs::CWD, base.path()).unwrap();
        let result = walk(directory.as_fd(), &mut |_| Ok(()));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    }
}
