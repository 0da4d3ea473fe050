//! The lists of system calls of helper processes: what a process that reads hostile bytes needs, by what it is for. Nothing
//! that starts a program, mounts, traces, or maps code; a socket only for the one that is there to have one.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To make or read files below handles that it has.
    Files,
    /// To read one stream and write another.
    Streams,
    /// To talk to servers. What it opens by name is limited by other means.
    Network,
}

/// Calls on files, fine with any argument: beyond those of [`ALLOWED`].
const FILES: &[c_long] = &[
    libc::SYS_copy_file_range,
    libc::SYS_ftruncate,
    // Making and examining entries.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_fremovexattr,
];

/// Calls of a client in the network, beyond those of [`ALLOWED`]: sockets, and what looking up a name needs.
const NETWORK: &[c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_shutdown,
    libc::SYS_ppoll,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_ftruncate,
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_readlinkat,
    libc::SYS_uname,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_clock_nanosleep,
    libc::SYS_prlimit64,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_nanosleep,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// Calls that are fine with any argument.
const ALLOWED: &[c_long] = &[
    // The socket, and the files that are open.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_fcntl,
    // Memory; mmap and mprotect are below.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Threads and signals of this process; clone is below.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
];

/// Calls that are fine when the bits of one argument are as said: call, argument, mask, value.
const WHEN: &[(c_long, u8, u64, u64)] = &[
    (libc::SYS_mmap, 2, libc::PROT_EXEC as u64, 0),
    (libc::SYS_mprotect, 2, libc::PROT_EXEC as u64, 0),
    (libc::SYS_clone, 0, libc::CLONE_THREAD as u64, libc::CLONE_THREAD as u64),
    (libc::SYS_ioctl, 1, u32::MAX as u64, FICLONE),
    // To abort itself, which is how a panic ends.
    (libc::SYS_tgkill, 2, u32::MAX as u64, libc::SIGABRT as u64),
];

/// `_IOW(0x94, 9, int)` (linux/fs.h).
const FICLONE: u64 = 0x4004_9409;

/// The filter as a program for the kernel.
pub(crate) fn filter(purpose: Purpose) -> Result<BpfProgram, seccompiler::BackendError> {
    let more = match purpose {
        Purpose::Files => FILES,
        Purpose::Streams => &[],
        Purpose::Network => NETWORK,
    };
    let calls = ALLOWED.iter().chain(more);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.map(|call| (*call, Vec::new())).collect();
    for (call, argument, mask, value) in WHEN {
        let operator = SeccompCmpOp::MaskedEq(*mask);
        let condition = SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator, *value)?;
        rules.insert(*call, vec![SeccompRule::new(vec![condition])?]);
    }
    if purpose == Purpose::Network {
        rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![not_blocking()?])?]);
    }
    // As on an older kernel: the C library then takes the call it used before (clone for clone3, whose
    // flags a filter cannot see).
    let other = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, other, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// The one request to a socket.
fn not_blocking() -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, FIONBIO)
}

/// asm-generic/ioctls.h.
const FIONBIO: u64 = 0x5421;

#[cfg(test)]
mod tests {
    #[test]
    fn it_compiles() {
        let all = super::filter(super::Purpose::Files).unwrap().len();
        let few = super::filter(super::Purpose::Streams).unwrap().len();
        assert!(few > 20 && few < all, "{few} of {all}");
        assert!(super::filter(super::Purpose::Network).unwrap().len() > few);
    }
}
