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

/// How much stack a process gets that shares this memory: the interpreter keeps no more than a few paths there.
const STACK: usize = 128 << 10;

/// What such a process begins with.
struct Start<'a> {
    program: &'a Program<'a>,
    /// For one that is to be nobody's child: the top of a second stack, on which its own child runs the program.
    second: Option<*mut libc::c_void>,
}

/// A new process that runs `program`, which ends by executing something else. Until then it shares this memory, and this thread
/// waits, as with posix_spawn(3): to copy the tables of a process of some size, and to have each of its pages copied that is
/// written to afterwards, takes longer than all the rest. With `detach` the process that is returned is one that has ended already,
/// and whose child it was.
///
/// # Errors
/// As clone(2).
pub fn spawn_waiting(program: &Program<'_>, detach: bool) -> io::Result<Process> {
    let (mut first, mut second) = (Vec::with_capacity(STACK), Vec::with_capacity(STACK));
    let second = detach.then(|| top(&mut second));
    let start = Start { program, second };
    let mut pidfd: RawFd = -1;
    let pidfd_goes_to = (&raw mut pidfd).cast::<libc::pid_t>();
    // A handler of ours would run in the new process, too, and on our memory.
    let _blocked = AllBlocked::new()?;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let none: *mut libc::c_void = std::ptr::null_mut();
    // SAFETY: the new process has a stack of its own, which nobody else uses, and this thread waits until it has executed its
    // program or ended (CLONE_VFORK): so `start` and what it points to outlive it, and it is alone with them. It runs the
    // interpreter, which makes system calls and neither returns nor takes a lock. The pidfd is written to a local.
    let result = unsafe {
        libc::clone(
            begin,
            top(&mut first),
            flags,
            (&raw const start).cast_mut().cast(),
            pidfd_goes_to,
            none,
            none,
        )
    };
    let Some(pid) = Some(result).filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel has just made this fd for us, close-on-exec.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Process { pid, pidfd })
}

/// Where a stack begins: at its end, aligned as calls want it.
fn top(stack: &mut Vec<u8>) -> *mut libc::c_void {
    let end = stack.as_mut_ptr().wrapping_add(STACK);
    end.map_addr(|address| address & !15).cast()
}

extern "C" fn begin(start: *mut libc::c_void) -> libc::c_int {
    // SAFETY: it is the `Start` of `spawn_waiting`, or the one below, whose process waits.
    let start = unsafe { &*start.cast::<Start<'_>>() };
    let Some(stack) = start.second else { wxc_child::run(start.program) };
    let own = Start { program: start.program, second: None };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: as in `spawn_waiting`; this process waits in its turn.
    let result = unsafe { libc::clone(begin, stack, flags, (&raw const own).cast_mut().cast()) };
    // To return is to end this process (clone(2)).
    i32::from(result < 0)
}

/// No signal is delivered to this thread while it lives.
struct AllBlocked(libc::sigset_t);

impl AllBlocked {
    fn new() -> io::Result<Self> {
        // SAFETY: an all-zero set is a valid value, which is written over; the calls are given live sets.
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        // SAFETY: as above.
        let error = unsafe {
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before)
        };
        if error == 0 { Ok(Self(before)) } else { Err(io::Error::from_raw_os_error(error)) }
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that was there.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}
