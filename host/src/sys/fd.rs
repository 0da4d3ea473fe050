//! Fds that come by number: what a program is given when it is executed.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// Takes over an inherited fd and makes it close-on-exec.
///
/// The caller must be the only one to take this number; [`crate::runtime::roles`] does it once, first
/// thing in `main`.
///
/// # Errors
/// When there is no such fd.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers; fails for a number that is no fd.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the fd is open (checked above), and by the contract above nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
