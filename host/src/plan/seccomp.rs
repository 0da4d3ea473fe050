#![forbid(unsafe_code)]
//! The system calls that a container is refused unless its configuration says otherwise.
//!
//! A system container runs what a machine runs, so this is a short list of what concerns the
//! machine alone, not a list of what an application needs. Left alone on purpose:
//!
//! - `bpf`, `perf_event_open`, `userfaultfd`, `io_uring_setup`: the kernel has a setting for each
//!   (`kernel.unprivileged_bpf_disabled`, ...), and systemd, databases and debuggers use them;
//! - `mount`, `unshare`, `setns`, `clone3`, `pivot_root`, `keyctl`: systemd and nested containers
//!   live on them, and they work inside the container's own namespaces and keyring;
//! - `settimeofday`, `iopl`, `ioperm`, `reboot`: decided by capabilities and the pid namespace.

use super::{SeccompArgument, SeccompPlan, SeccompRule};

/// One refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub syscall: &'static str,
    /// Refused only when this argument has this value under the mask.
    pub argument: Option<SeccompArgument>,
    pub reason: &'static str,
}

const EPERM: i32 = 1;
/// umount2(2).
const MNT_FORCE: u64 = 1;
/// ioctl_tty(2); the command is an `unsigned int`, whatever stands in the register's upper half.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;
const COMMAND: u64 = 0xffff_ffff;

/// The default policy.
pub const DEFAULT: [Row; 11] = [
    Row { syscall: "kexec_load", argument: None, reason: "replaces the running kernel" },
    Row { syscall: "kexec_file_load", argument: None, reason: "replaces the running kernel" },
    Row { syscall: "init_module", argument: None, reason: "loads code into the host's kernel" },
    Row { syscall: "finit_module", argument: None, reason: "loads code into the host's kernel" },
    Row { syscall: "delete_module", argument: None, reason: "takes drivers from the host" },
    Row {
        syscall: "open_by_handle_at",
        argument: None,
        reason: "opens files of a whole file system by number, outside of the rootfs, too",
    },
    Row {
        syscall: "umount2",
        argument: Some(SeccompArgument { index: 1, mask: MNT_FORCE, value: MNT_FORCE }),
        reason: "aborts requests of a network file system that others use, too",
    },
    Row { syscall: "swapon", argument: None, reason: "swap space is the machine's" },
    Row { syscall: "swapoff", argument: None, reason: "swap space is the machine's" },
    Row {
        syscall: "ioctl",
        argument: Some(SeccompArgument { index: 1, mask: COMMAND, value: TIOCSTI }),
        reason: "types into a terminal that was handed in from outside",
    },
    Row {
        syscall: "ioctl",
        argument: Some(SeccompArgument { index: 1, mask: COMMAND, value: TIOCLINUX }),
        reason: "pastes into a terminal that was handed in from outside",
    },
];

/// The default policy as part of a plan, with further calls that are refused.
#[must_use]
pub fn policy(more: &[String]) -> SeccompPlan {
    let rule = |row: &Row| SeccompRule {
        syscall: row.syscall.to_owned(),
        errno: Some(EPERM),
        arguments: row.argument.into_iter().collect(),
    };
    SeccompPlan::Deny(DEFAULT.iter().map(rule).chain(refused(more)).collect())
}

/// These calls and nothing else.
#[must_use]
pub fn only(calls: &[String]) -> SeccompPlan {
    if calls.is_empty() { SeccompPlan::Off } else { SeccompPlan::Deny(refused(calls).collect()) }
}

fn refused(calls: &[String]) -> impl Iterator<Item = SeccompRule> {
    calls.iter().map(|call| SeccompRule { syscall: call.clone(), errno: Some(EPERM), arguments: Vec::new() })
}
