//! Leaving what a process was born with: namespaces, and descriptors it was given by accident.

use rustix::io::{Errno, Result};
use rustix::thread::UnshareFlags;

/// Puts this process into new namespaces of the given kinds (unshare(2)).
///
/// # Errors
/// `EINVAL` for anything but namespaces; the kernel's answer otherwise.
pub fn unshare_namespaces(kinds: UnshareFlags) -> Result<()> {
    if kinds.intersects(UnshareFlags::FILES) {
        return Err(Errno::INVAL);
    }
    // SAFETY: only a table of descriptors of one's own is a danger to other threads, and that was excluded.
    unsafe { rustix::thread::unshare_unsafe(kinds) }
}

/// Closes every descriptor above standard error.
///
/// A caller's shell may leave directories or devices open across exec, which a confined process must not
/// hold. Only for the first lines of `main` of a role, when nothing in this program has opened one.
///
/// # Errors
/// The kernel's answer (close_range(2)).
pub fn close_inherited() -> Result<()> {
    // SAFETY: takes numbers. By the contract above no value of this program owns any of them yet.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }
}
