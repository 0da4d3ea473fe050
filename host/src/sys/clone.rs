//! Processes by clone3(2), each with a pidfd and nothing but a [`Program`] to run.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::process::Pid;
use wxc_child::Program;

/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const INTO_CGROUP: u64 = 0x2_0000_0000;
/// `CLONE_PIDFD` of `linux/sched.h`.
const PIDFD: u64 = 0x1000;

/// `struct clone_args` of clone3(2), up to Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A child of this process, not yet waited for.
#[derive(Debug)]
pub struct Process {
    pub pid: Pid,
    /// Stays the process's even when the number is used again.
    pub pidfd: OwnedFd,
}

/// A new process in new namespaces (`CLONE_NEW*`), from birth in the v2 cgroup of `cgroup` if there
/// is one. It runs `program` and nothing else.
///
/// That this process may have other threads does no harm: the interpreter makes system calls only,
/// so no lock that another thread holds can matter to it.
///
/// # Errors
/// As clone3(2).
pub fn spawn(program: &Program<'_>, namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Process> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: namespaces | PIDFD,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without CLONE_VM the child has its own copy of this memory and goes on here on a copy
    // of this stack; it only ever runs the interpreter, which makes system calls and never returns.
    // The kernel writes the pidfd to a local that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    if result == 0 {
        wxc_child::run(program);
    }
    // Only then: a negative number is no process, and nothing to make one of.
    let pid = i32::try_from(result).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    let Some(pid) = pid else { return Err(io::Error::last_os_error()) };
    // SAFETY: the kernel has just made this fd for us, close-on-exec.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Process { pid, pidfd })
}
