//! Subvolumes that no path leads to.
//!
//! A container can put one below more directories than fit into a path. The kernel's removal by number composes
//! the path, too, and refuses; but a directory can be opened by the handle that a file server would use for it.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use linux_raw_sys::btrfs::BTRFS_FIRST_FREE_OBJECTID;
use rustix::io::{Errno, Result};

use super::nested::references;
use super::{destroy, info};

/// `FILEID_BTRFS_WITHOUT_PARENT` of the kernel's exportfs.h.
const WITHOUT_PARENT: libc::c_int = 0x4d;
/// Bytes of such a handle: inode and subvolume (64 bits each), generation (32 bits).
const LENGTH: usize = 20;

/// `struct file_handle` of open_by_handle_at(2), with the bytes of btrfs.
#[repr(C)]
struct Handle {
    length: libc::c_uint,
    kind: libc::c_int,
    bytes: [u8; LENGTH],
}

/// Removes every subvolume inside one, deepest first. Takes `CAP_SYS_ADMIN` and `CAP_DAC_READ_SEARCH`.
///
/// # Errors
/// Those of btrfs-ioctl(2) and open_by_handle_at(2).
pub fn destroy_below(subvolume: BorrowedFd<'_>) -> Result<()> {
    // Number, and where it is: the subvolume and the directory in that.
    let mut found = Vec::new();
    let mut waiting = vec![info(subvolume)?.id];
    while let Some(parent) = waiting.pop() {
        let opened = match open_by_number(subvolume, parent, u64::from(BTRFS_FIRST_FREE_OBJECTID)) {
            Ok(opened) => opened,
            Err(Errno::STALE) => continue,
            Err(errno) => return Err(errno),
        };
        for (id, directory) in references(opened.as_fd())? {
            found.push((id, parent, directory));
            waiting.push(id);
        }
    }
    // Each was found after the one it is in.
    for (id, parent, directory) in found.into_iter().rev() {
        let removed =
            open_by_number(subvolume, id, u64::from(BTRFS_FIRST_FREE_OBJECTID)).and_then(|opened| {
                let name = info(opened.as_fd())?.name;
                destroy(open_by_number(subvolume, parent, directory)?.as_fd(), &name)
            });
        match removed {
            Ok(()) | Err(Errno::NOENT | Errno::STALE) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Opens a directory of the file system that `any` is on, by its numbers.
fn open_by_number(any: BorrowedFd<'_>, subvolume: u64, inode: u64) -> Result<OwnedFd> {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&inode.to_ne_bytes());
    // The generation stays zero, which fits every one: numbers of inodes and subvolumes are not used again.
    bytes[8..16].copy_from_slice(&subvolume.to_ne_bytes());
    let length = libc::c_uint::try_from(LENGTH).unwrap_or(0);
    let handle = Handle { length, kind: WITHOUT_PARENT, bytes };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the kernel reads the head of the handle and as many bytes after it as that says.
    let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, any.as_raw_fd(), &raw const handle, flags) };
    match libc::c_int::try_from(fd) {
        // SAFETY: a new descriptor, which the kernel has given to us alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
