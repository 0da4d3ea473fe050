//! Subvolumes inside others.
//!
//! A container can make some of its own (systemd does, at the first boot), at any depth and under any
//! name. They are found by the kernel's own references and not by walking the tree, with calls that need no
//! privilege.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use linux_raw_sys::btrfs::{btrfs_ioctl_get_subvol_rootref_args, btrfs_ioctl_ino_lookup_user_args};
use linux_raw_sys::ioctl as codes;
use rustix::io::{Errno, Result};
use rustix::ioctl::{Updater, ioctl};

use super::{open_below, text};

/// A subvolume below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// Its number.
    pub id: u64,
    /// Where it is, from that directory.
    pub path: PathBuf,
}

/// Levels of subvolumes inside subvolumes that are followed.
const DEEPEST: usize = 256;

/// The subvolumes inside one, each before those inside it.
///
/// # Errors
/// `ENAMETOOLONG` when one is so deep that no path leads to it.
pub fn nested(top: BorrowedFd<'_>) -> Result<Vec<Nested>> {
    let (found, all) = reachable(top, &|_| true)?;
    if all { Ok(found) } else { Err(Errno::NAMETOOLONG) }
}

/// The subvolumes below a directory, each before those inside it, and whether these are all. What `enter`
/// refuses is left out with all that is inside. Only one of them is open at a time.
///
/// # Errors
/// Those of btrfs-ioctl(2).
pub fn reachable(top: BorrowedFd<'_>, enter: &dyn Fn(&Path) -> bool) -> Result<(Vec<Nested>, bool)> {
    let mut found: Vec<Nested> = Vec::new();
    let (mut waiting, mut all) = (vec![(PathBuf::new(), 0)], true);
    while let Some((path, depth)) = waiting.pop() {
        let opened = match open_below(top, &path) {
            Ok(opened) => opened,
            // Moved or removed since it was found: whoever does that may be running in there.
            Err(Errno::NOENT | Errno::NOTDIR) if depth > 0 => continue,
            Err(Errno::NAMETOOLONG) if depth > 0 => {
                all = false;
                continue;
            }
            Err(errno) => return Err(errno),
        };
        for (id, directory) in references(opened.as_fd())? {
            let below = match look_up(opened.as_fd(), id, directory) {
                Ok(below) => path.join(below),
                // Not below this directory but elsewhere in the same subvolume, or gone.
                Err(Errno::ACCESS | Errno::NOENT) => continue,
                Err(Errno::NAMETOOLONG) => {
                    all = false;
                    continue;
                }
                Err(errno) => return Err(errno),
            };
            if !enter(&below) {
                continue;
            }
            if depth >= DEEPEST {
                all = false;
                continue;
            }
            found.push(Nested { id, path: below.clone() });
            waiting.push((below, depth + 1));
        }
    }
    Ok((found, all))
}

/// The subvolumes directly inside the one that `file` is in: number, and the directory each is in.
pub(super) fn references(file: BorrowedFd<'_>) -> Result<Vec<(u64, u64)>> {
    let mut all = Vec::new();
    // SAFETY: numbers alone; zero is a number.
    let mut page: btrfs_ioctl_get_subvol_rootref_args = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: BTRFS_IOC_GET_SUBVOL_ROOTREF reads and writes this structure.
        let answer =
            unsafe { ioctl(file, Updater::<{ codes::BTRFS_IOC_GET_SUBVOL_ROOTREF }, _>::new(&mut page)) };
        let more = match answer {
            Ok(()) => false,
            Err(Errno::OVERFLOW) => true,
            Err(errno) => return Err(errno),
        };
        let listed = page.rootref.iter().take(page.num_items.into());
        all.extend(listed.map(|reference| (reference.treeid, reference.dirid)));
        if !more {
            return Ok(all);
        }
    }
}

/// Where a subvolume is, from the directory `top`.
fn look_up(top: BorrowedFd<'_>, id: u64, directory: u64) -> Result<PathBuf> {
    // SAFETY: numbers alone; zero is a number.
    let mut asked: btrfs_ioctl_ino_lookup_user_args = unsafe { std::mem::zeroed() };
    (asked.treeid, asked.dirid) = (id, directory);
    // SAFETY: BTRFS_IOC_INO_LOOKUP_USER reads and writes this structure.
    unsafe { ioctl(top, Updater::<{ codes::BTRFS_IOC_INO_LOOKUP_USER }, _>::new(&mut asked)) }?;
    // The path ends with a slash unless it is empty.
    let mut path = text(&asked.path);
    path.extend(text(&asked.name));
    Ok(OsString::from_vec(path).into())
}
