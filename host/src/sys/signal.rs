//! Signals as events: blocked, and read from a signalfd (signalfd(2)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

fn set_of(signals: impl IntoIterator<Item = i32>) -> libc::sigset_t {
    // SAFETY: an all-zero set is valid; the calls below only write to it, and refuse bad numbers.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// Blocks `signals` in this thread.
///
/// # Errors
/// As sigprocmask(2).
pub fn block(signals: impl IntoIterator<Item = i32>) -> io::Result<()> {
    let set = set_of(signals);
    // SAFETY: the set is initialised; the old one is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Lets `signals` through again.
///
/// # Errors
/// As sigprocmask(2).
pub fn unblock(signals: impl IntoIterator<Item = i32>) -> io::Result<()> {
    let set = set_of(signals);
    // SAFETY: the set is initialised; the old one is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// An fd that is readable when one of `signals`, which must be blocked, is pending.
///
/// # Errors
/// As signalfd(2).
pub fn descriptor(signals: impl IntoIterator<Item = i32>) -> io::Result<OwnedFd> {
    let set = set_of(signals);
    // SAFETY: the set is initialised; -1 asks for a new fd.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this fd for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next pending signal of a [`descriptor`], with the process that sent it (0: the kernel).
///
/// # Errors
/// As read(2).
pub fn next(descriptor: BorrowedFd<'_>) -> io::Result<Option<(i32, u32)>> {
    // SAFETY: an all-zero record is a valid value.
    let mut record: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the kernel writes whole records of this size only.
    let count = unsafe { libc::read(descriptor.as_raw_fd(), (&raw mut record).cast(), size) };
    if count < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    Ok(Some((record.ssi_signo.cast_signed(), record.ssi_pid)))
}

/// Sends any signal, real-time ones included, to the process of a pidfd (pidfd_send_signal(2)).
///
/// # Errors
/// As pidfd_send_signal(2).
pub fn send(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let details: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: without details the kernel makes them as for kill(2).
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, details, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// As [`send`], to the process group that the process leads; to the process alone on kernels before
/// Linux 6.9, which cannot name a group by a pidfd.
///
/// # Errors
/// As pidfd_send_signal(2).
pub fn send_to_group(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    /// `PIDFD_SIGNAL_PROCESS_GROUP` of `linux/pidfd.h`.
    const PROCESS_GROUP: libc::c_uint = 1 << 2;
    let details: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: without details the kernel makes them as for kill(2).
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, details, PROCESS_GROUP)
    };
    if result < 0 { send(pidfd, signal) } else { Ok(()) }
}

/// SIGRTMIN+`n` as programs know it: the C library keeps the first two for itself.
#[must_use]
pub fn realtime(n: i32) -> i32 {
    libc::SIGRTMIN() + n
}
