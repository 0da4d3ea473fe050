#![allow(unsafe_code, reason = "the one place of this crate for calls into the kernel")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "flags, fds, pids and lengths of small buffers, in the widths that the kernel declares"
)]
//! Every call into the kernel, one function per call.
//!
//! All of them are plain system calls on numbers and on memory that outlives the call; none takes a
//! lock or allocates. Fds are bare numbers here: the child's table of fds ends with it, so nothing
//! has to close them.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};

use crate::abi::{self, CapData, CapHeader, CloneArgs, MountAttr, OpenHow};
use crate::report::{Call, Fault, Outcome};

/// `errno` of the call that just failed.
pub(crate) fn errno() -> i32 {
    // SAFETY: glibc and musl return a valid pointer to this thread's errno.
    unsafe { *libc::__errno_location() }
}

fn check(call: Call, result: c_long) -> Outcome<i32> {
    if result < 0 {
        return Err(Fault::new(call, errno()));
    }
    // Results used here are fds and pids: they fit.
    Ok(result as i32)
}

const EMPTY: &CStr = c"";

pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: takes a number and ends the process, without exit handlers.
    unsafe { libc::_exit(status) }
}

pub(crate) fn die_with_parent(signal: i32) -> Outcome<i32> {
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    check(Call::Prctl, unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }.into())
}

pub(crate) fn undumpable() -> Outcome<i32> {
    // SAFETY: PR_SET_DUMPABLE takes a number.
    check(Call::Prctl, unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) }.into())
}

pub(crate) fn no_new_privs() -> Outcome<i32> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes numbers, the last three must be 0.
    check(Call::Prctl, unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())
}

pub(crate) fn drop_bounding(capability: u32) -> Outcome<i32> {
    // SAFETY: PR_CAPBSET_DROP takes a number.
    check(Call::Prctl, unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }.into())
}

pub(crate) fn clear_ambient() -> Outcome<i32> {
    const PR_CAP_AMBIENT: c_int = 47;
    const PR_CAP_AMBIENT_CLEAR_ALL: c_int = 4;
    // SAFETY: PR_CAP_AMBIENT takes numbers.
    check(Call::Prctl, unsafe { libc::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0).into() })
}

/// Keep of this process's capabilities those in `keep`; nothing is inheritable.
pub(crate) fn limit_capabilities(keep: u64) -> Outcome<i32> {
    let mut header = CapHeader { version: abi::CAPABILITY_VERSION, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: version 3 of the interface reads the header and writes two elements.
    check(Call::Capset, unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    for (word, shift) in data.iter_mut().zip([0u32, 32]) {
        let keep = (keep >> shift) as u32;
        word.permitted &= keep;
        word.effective = word.permitted;
        word.inheritable = 0;
    }
    // SAFETY: version 3 of the interface reads the header and two elements.
    check(Call::Capset, unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) })
}

pub(crate) fn seccomp(filter: &[u8]) -> Outcome<i32> {
    let count = filter.len() / core::mem::size_of::<libc::sock_filter>();
    let program = libc::sock_fprog {
        len: u16::try_from(count).map_err(|_| Fault::new(Call::Seccomp, libc::E2BIG))?,
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel copies `len` instructions from `filter`, whatever their alignment; there
    // are that many, and it checks them.
    check(Call::Seccomp, unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    })
}

pub(crate) fn setns(fd: i32, flags: i32) -> Outcome<i32> {
    // SAFETY: takes numbers.
    check(Call::Setns, unsafe { libc::setns(fd, flags) }.into())
}

pub(crate) fn unshare(flags: i32) -> Outcome<i32> {
    // SAFETY: takes a number; this process has one thread, so nothing shared is pulled away.
    check(Call::Unshare, unsafe { libc::unshare(flags) }.into())
}

/// As fork(2): 0 in the new process. With `pidfd`, the new process is a sibling of this one, and its
/// pidfd is written there.
pub(crate) fn fork(pidfd: Option<&mut i32>) -> Outcome<i32> {
    let mut args = CloneArgs {
        flags: 0,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
    };
    if let Some(pidfd) = pidfd {
        args.flags = (libc::CLONE_PARENT | libc::CLONE_PIDFD) as u64;
        args.pidfd = (&raw mut *pidfd) as u64;
        // A sibling inherits the signal; clone3 insists on 0.
        args.exit_signal = 0;
    }
    // SAFETY: without CLONE_VM the new process has a copy of the memory, and goes on here on a copy
    // of this stack; the kernel writes the pidfd to a place that is valid during the call.
    check(Call::Clone, unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut args, core::mem::size_of::<CloneArgs>())
    })
}

pub(crate) fn set_groups(groups: &[u8]) -> Outcome<i32> {
    let count = groups.len() / core::mem::size_of::<libc::gid_t>();
    // SAFETY: the kernel copies `count` numbers from the bytes, whatever their alignment.
    check(Call::SetGroups, unsafe { libc::syscall(libc::SYS_setgroups, count, groups.as_ptr()) })
}

pub(crate) fn set_ids(user: u32, group: u32) -> Outcome<i32> {
    // SAFETY: takes numbers. The raw call, because glibc's would signal the threads that it thinks
    // there are.
    check(Call::SetIds, unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) })?;
    // SAFETY: as above.
    check(Call::SetIds, unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) })
}

pub(crate) fn setsid() -> Outcome<i32> {
    // SAFETY: takes nothing.
    check(Call::Setsid, unsafe { libc::setsid() }.into())
}

pub(crate) fn controlling_terminal(fd: i32) -> Outcome<i32> {
    // SAFETY: TIOCSCTTY takes a number.
    check(Call::Ioctl, unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 0) }.into())
}

pub(crate) fn session_keyring() -> Outcome<i32> {
    let anonymous: *const c_char = core::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring.
    check(Call::Keyctl, unsafe {
        libc::syscall(libc::SYS_keyctl, abi::KEYCTL_JOIN_SESSION_KEYRING, anonymous)
    })
}

pub(crate) fn set_hostname(name: &[u8]) -> Outcome<i32> {
    // SAFETY: the kernel copies that many bytes.
    check(Call::SetHostname, unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into())
}

pub(crate) fn personality(persona: u32) -> Outcome<i32> {
    // SAFETY: takes a number.
    check(Call::Personality, unsafe { libc::personality(persona.into()) }.into())
}

pub(crate) fn umask(mask: u32) {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::umask(mask) };
}

/// Take the loopback device of this network namespace up (netdevice(7)).
pub(crate) fn loopback_up() -> Outcome<()> {
    // SAFETY: takes numbers.
    let socket = check(Call::Ioctl, unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0).into()
    })?;
    // SAFETY: an all-zero ifreq is a valid value.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from.cast_signed();
    }
    // SAFETY: SIOCGIFFLAGS reads the name and writes the flags of the request.
    check(Call::Ioctl, unsafe { libc::ioctl(socket, libc::SIOCGIFFLAGS as _, &raw mut request).into() })?;
    // SAFETY: the kernel has just written this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the request.
    check(Call::Ioctl, unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request).into() })?;
    close(socket);
    Ok(())
}

/// `openat2(2)`; a path of "" opens what `root` is again.
pub(crate) fn open(root: i32, path: &CStr, flags: i32, resolve: u64) -> Outcome<i32> {
    let mut how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: 0, resolve };
    loop {
        // SAFETY: the path is NUL-terminated, the structure of the length said.
        let result = check(Call::Open, unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root,
                path.as_ptr(),
                &raw mut how,
                core::mem::size_of::<OpenHow>(),
            )
        });
        // EAGAIN: a rename elsewhere made the walk uncertain; openat2(2) says to try again.
        match result {
            Err(fault) if fault.errno == libc::EAGAIN || fault.errno == libc::EINTR => {}
            other => return other,
        }
    }
}

pub(crate) fn close(fd: i32) {
    // SAFETY: closing a number is safe in a process that uses bare numbers; no owner lives on.
    unsafe { libc::close(fd) };
}

pub(crate) fn close_range(first: u32, last: u32, flags: u32) -> Outcome<i32> {
    // SAFETY: takes numbers; as in `close`.
    check(Call::CloseRange, unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) })
}

pub(crate) const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// `dup3(2)`; also when both numbers are the same, as the copy must live through exec.
pub(crate) fn duplicate(fd: i32, number: i32) -> Outcome<i32> {
    if fd == number {
        // SAFETY: takes numbers.
        return check(Call::Dup, unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }.into());
    }
    // SAFETY: takes numbers.
    check(Call::Dup, unsafe { libc::dup3(fd, number, 0) }.into())
}

/// A copy of `fd` at `least` or above, close-on-exec.
pub(crate) fn lift(fd: i32, least: i32) -> Outcome<i32> {
    // SAFETY: takes numbers.
    check(Call::Dup, unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, least) }.into())
}

pub(crate) fn make_directory(parent: i32, name: &CStr, mode: u32) -> Outcome<i32> {
    // SAFETY: the name is NUL-terminated.
    check(Call::Mkdir, unsafe { libc::mkdirat(parent, name.as_ptr(), mode) }.into())
}

pub(crate) fn make_node(parent: i32, name: &CStr, mode: u32, device: u64) -> Outcome<i32> {
    // SAFETY: the name is NUL-terminated.
    check(Call::Mknod, unsafe { libc::mknodat(parent, name.as_ptr(), mode, device) }.into())
}

pub(crate) fn make_link(target: &CStr, parent: i32, name: &CStr) -> Outcome<i32> {
    // SAFETY: both texts are NUL-terminated.
    check(Call::Symlink, unsafe { libc::symlinkat(target.as_ptr(), parent, name.as_ptr()).into() })
}

pub(crate) fn change_owner(fd: i32, user: u32) -> Outcome<i32> {
    // SAFETY: takes numbers; the group stays.
    check(Call::Chown, unsafe { libc::fchown(fd, user, u32::MAX) }.into())
}

/// Kind, permissions and device number of what `fd` is.
pub(crate) fn status(fd: i32) -> Outcome<(u32, u64)> {
    // SAFETY: an all-zero stat is a valid value.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel fills the structure; an empty path with AT_EMPTY_PATH is the fd itself.
    check(Call::Fstat, unsafe {
        libc::fstatat(fd, EMPTY.as_ptr(), &raw mut stat, libc::AT_EMPTY_PATH).into()
    })?;
    Ok((stat.st_mode, stat.st_rdev))
}

/// Which mount a path leads to.
pub(crate) fn mount_id(path: &CStr) -> Outcome<u64> {
    const STATX_MNT_ID: u32 = 0x1000;
    // SAFETY: an all-zero statx is a valid value.
    let mut stat: libc::statx = unsafe { core::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and the kernel fills the structure.
    check(Call::Fstat, unsafe {
        libc::syscall(
            libc::SYS_statx,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_NO_AUTOMOUNT,
            STATX_MNT_ID,
            &raw mut stat,
        )
    })?;
    Ok(stat.stx_mnt_id)
}

/// The magic number of the file system that `fd` is on.
pub(crate) fn filesystem(fd: i32) -> Outcome<u64> {
    // SAFETY: an all-zero statfs is a valid value.
    let mut stat: libc::statfs = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    check(Call::Fstatfs, unsafe { libc::fstatfs(fd, &raw mut stat) }.into())?;
    // Signed in one C library, unsigned in another: the bits are the kernel's.
    Ok(stat.f_type as u64)
}

pub(crate) fn write(fd: i32, data: &[u8]) -> Outcome<()> {
    // SAFETY: the kernel reads that many bytes.
    let written = unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) };
    match usize::try_from(written) {
        Err(_) => Err(Fault::new(Call::Write, errno())),
        // A file of the kernel takes all or nothing.
        Ok(count) if count < data.len() => Err(Fault::new(Call::Write, libc::EIO)),
        Ok(_) => Ok(()),
    }
}

pub(crate) fn open_tree(directory: i32, path: &CStr, recursive: bool) -> Outcome<i32> {
    let mut flags = abi::OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32;
    if recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: the path is NUL-terminated.
    check(Call::OpenTree, unsafe { libc::syscall(libc::SYS_open_tree, directory, path.as_ptr(), flags) })
}

pub(crate) fn move_mount(mount: i32, target: i32) -> Outcome<i32> {
    let flags = abi::MOVE_MOUNT_F_EMPTY_PATH | abi::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are empty, NUL-terminated texts: the fds themselves are meant.
    check(Call::MoveMount, unsafe {
        libc::syscall(libc::SYS_move_mount, mount, EMPTY.as_ptr(), target, EMPTY.as_ptr(), flags)
    })
}

pub(crate) fn mount_setattr(
    directory: i32,
    path: &CStr,
    recursive: bool,
    mut attributes: MountAttr,
) -> Outcome<i32> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is NUL-terminated, the structure of the length said.
    check(Call::MountSetattr, unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            flags,
            &raw mut attributes,
            core::mem::size_of::<MountAttr>(),
        )
    })
}

pub(crate) fn fsopen(fstype: &CStr) -> Outcome<i32> {
    // SAFETY: the name is NUL-terminated.
    check(Call::Fsopen, unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), abi::FSOPEN_CLOEXEC) })
}

pub(crate) fn fsconfig_flag(context: i32, key: &CStr) -> Outcome<i32> {
    let none: *const c_void = core::ptr::null();
    // SAFETY: the key is NUL-terminated; a flag has no value.
    check(Call::Fsconfig, unsafe {
        libc::syscall(libc::SYS_fsconfig, context, abi::FSCONFIG_SET_FLAG, key.as_ptr(), none, 0)
    })
}

pub(crate) fn fsconfig_string(context: i32, key: &CStr, value: &CStr) -> Outcome<i32> {
    // SAFETY: key and value are NUL-terminated.
    check(Call::Fsconfig, unsafe {
        libc::syscall(libc::SYS_fsconfig, context, abi::FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr(), 0)
    })
}

pub(crate) fn fsconfig_create(context: i32) -> Outcome<i32> {
    let none: *const c_void = core::ptr::null();
    // SAFETY: the command takes neither key nor value.
    check(Call::Fsconfig, unsafe {
        libc::syscall(libc::SYS_fsconfig, context, abi::FSCONFIG_CMD_CREATE, none, none, 0)
    })
}

pub(crate) fn fsmount(context: i32, attributes: u64) -> Outcome<i32> {
    // SAFETY: takes numbers.
    check(Call::Fsmount, unsafe {
        libc::syscall(libc::SYS_fsmount, context, abi::FSMOUNT_CLOEXEC, attributes)
    })
}

pub(crate) fn change_directory(fd: i32) -> Outcome<i32> {
    // SAFETY: takes a number.
    check(Call::Chdir, unsafe { libc::fchdir(fd) }.into())
}

/// Make the working directory the root; the old root covers it afterwards (pivot_root(2), NOTES).
pub(crate) fn pivot_root() -> Outcome<i32> {
    // SAFETY: both texts are NUL-terminated.
    check(Call::PivotRoot, unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })
}

pub(crate) fn detach_working_directory() -> Outcome<i32> {
    // SAFETY: the text is NUL-terminated.
    check(Call::Umount, unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }.into())
}

pub(crate) fn unlock_terminal(master: i32) -> Outcome<i32> {
    let lock: c_int = 0;
    // SAFETY: TIOCSPTLCK reads a number.
    check(Call::Ioctl, unsafe { libc::ioctl(master, libc::TIOCSPTLCK, &raw const lock) }.into())
}

/// The slave of a master, without any path (ioctl_tty(2), TIOCGPTPEER).
pub(crate) fn terminal_peer(master: i32) -> Outcome<i32> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags.
    check(Call::Ioctl, unsafe { libc::ioctl(master, libc::TIOCGPTPEER, flags) }.into())
}

pub(crate) fn block_signals(block: bool) -> Outcome<i32> {
    // SAFETY: an all-zero set is valid, and filled below.
    let mut set: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: the set is a local; both calls only write to it.
    unsafe { if block { libc::sigfillset(&raw mut set) } else { libc::sigemptyset(&raw mut set) } };
    // SAFETY: the set is initialised; the old one is not asked for.
    check(Call::Sigaction, unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, core::ptr::null_mut()).into()
    })
}

/// Handlers do not survive exec, but what is ignored stays so (Rust ignores SIGPIPE).
pub(crate) fn default_signals() {
    // `struct kernel_sigaction`, which is no longer than this on any architecture; all zero is
    // SIG_DFL. Not sigaction(3): glibc's takes a lock that another thread may have held.
    let action = [0u64; 5];
    let old: *mut u64 = core::ptr::null_mut();
    for signal in 1..=64 {
        // SAFETY: the kernel reads at most the array; the old action is not asked for. SIGKILL and
        // SIGSTOP refuse, which is as it should be.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), old, 8) };
    }
}

/// Wait for any signal; all must be blocked.
pub(crate) fn wait_signal() -> Outcome<i32> {
    // SAFETY: an all-zero set is valid, and filled by the next call.
    let mut set: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: the set is a local; no details are asked for.
    check(Call::Sigaction, unsafe {
        libc::sigfillset(&raw mut set);
        libc::sigwaitinfo(&raw const set, core::ptr::null_mut()).into()
    })
}

/// One process that ended, with its wait status; `None` when there is none now.
pub(crate) fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: the kernel writes the status to a local.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: takes numbers. The process is this one's child and not yet reaped.
    unsafe { libc::kill(pid, signal) };
}

pub(crate) fn execute(program: &CStr, argv: *const *const c_char, envp: *const *const c_char) -> Fault {
    // SAFETY: the program is NUL-terminated; both vectors end with a null pointer and point to
    // NUL-terminated texts of the program's data (checked in `run`).
    unsafe { libc::execve(program.as_ptr(), argv, envp) };
    Fault::new(Call::Exec, errno())
}

pub(crate) fn execute_file(file: i32, argv: *const *const c_char, envp: *const *const c_char) -> Fault {
    // SAFETY: as in `execute`; the empty path with AT_EMPTY_PATH is the fd itself.
    unsafe { libc::syscall(libc::SYS_execveat, file, EMPTY.as_ptr(), argv, envp, libc::AT_EMPTY_PATH) };
    Fault::new(Call::Exec, errno())
}

/// Room for the fds of one message, aligned as the header in front of them has to be.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

const FDS: usize = crate::sync::MAX_FDS;
// SAFETY: a pure computation.
const CONTROL: usize = unsafe { libc::CMSG_SPACE((FDS * 4) as u32) } as usize;

/// Send `data` and `fds` as one message.
pub(crate) fn send(socket: i32, data: &[u8], fds: &[i32]) -> Outcome<i32> {
    if fds.len() > FDS {
        return Err(Fault::new(Call::Send, libc::E2BIG));
    }
    let mut control = Control([0; CONTROL]);
    let mut vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: an all-zero message is valid: no address, no buffers.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        let bytes = size_of_val(fds);
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: pure computations; `control` has room for FDS fds, and there are not more.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(bytes as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(bytes as u32) as _;
            core::ptr::copy_nonoverlapping(fds.as_ptr().cast(), libc::CMSG_DATA(header), bytes);
        }
    }
    // SAFETY: everything the message points to is a local or an argument.
    check(Call::Send, unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) as c_long })
}

/// Receive one message into `data`, its fds into `fds`; the lengths of both.
pub(crate) fn receive(socket: i32, data: &mut [u8], fds: &mut [i32]) -> Outcome<(usize, usize)> {
    let mut control = Control([0; CONTROL]);
    let mut vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: an all-zero message is valid: no address, no buffers.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    let length = loop {
        // SAFETY: everything the message points to is a local or an argument.
        let result = check(Call::Receive, unsafe {
            libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) as c_long
        });
        match result {
            Err(fault) if fault.errno == libc::EINTR => {}
            other => break other?,
        }
    };
    let mut count = 0;
    // SAFETY: the kernel has filled `message` and `control`; CMSG_FIRSTHDR checks the length.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if !header.is_null() {
        // SAFETY: not null, so it points to a header in `control`, which is aligned for it.
        let (kind, bytes, from) =
            unsafe { ((*header).cmsg_type, (*header).cmsg_len as usize, libc::CMSG_DATA(header)) };
        // SAFETY: a pure computation.
        let bytes = bytes.saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
        count = (bytes / size_of::<i32>()).min(fds.len());
        if kind == libc::SCM_RIGHTS {
            // SAFETY: the kernel wrote `bytes` bytes there, and `fds` has room for `count` numbers.
            unsafe {
                core::ptr::copy_nonoverlapping(from, fds.as_mut_ptr().cast(), count * size_of::<i32>());
            }
        }
    }
    Ok((usize::try_from(length).unwrap_or(0), count))
}

/// Whether a vector that begins here has an end.
pub(crate) fn vector_ends(vectors: &[*const c_char]) -> bool {
    vectors.iter().any(|pointer| pointer.is_null())
}
