#![forbid(unsafe_code)]
//! What can go wrong while a plan is carried out, and what to do about it.
//!
//! An error may have happened in another process: the monitor sends it to the command, which shows
//! it. So it is data, with errno as a number.

use std::io;

use serde::{Deserialize, Serialize};

/// A failure of the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RuntimeError {
    #[error("{name} is already running")]
    AlreadyRunning { name: String },
    #[error("{name} is not running")]
    NotRunning { name: String },
    #[error("the plan cannot be carried out: {reason}")]
    Refused { reason: String },
    /// A step of the child, between clone and exec.
    #[error("step {step} of {of}: {what}: {}", text(*.errno))]
    Step {
        /// From 1.
        step: u32,
        of: u32,
        what: String,
        /// The call that failed, as in section 2 of the manual.
        call: String,
        errno: i32,
    },
    /// A call of the monitor or of the command.
    #[error("cannot {what}: {}", text(*.errno))]
    System { what: String, errno: i32 },
    /// A part of the runtime that has its own errors.
    #[error("cannot {what}: {message}")]
    Part { what: String, message: String, hint: Option<String> },
    #[error("the first process ended before it was executed, by {how}")]
    Died { how: String },
    #[error("the monitor ended without an answer")]
    MonitorGone,
    #[error("{peer} sent something that makes no sense: {message}")]
    Protocol { peer: String, message: String },
}

fn text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    // The number is for programs; `errno` has it.
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl RuntimeError {
    /// A failed call; `what` completes "cannot ...".
    pub fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let errno = source.into().raw_os_error().unwrap_or(libc::EIO);
        Self::System { what: what.into(), errno }
    }

    /// A failure of a part of the runtime; `what` completes "cannot ...".
    pub fn part(what: impl Into<String>, source: &dyn std::error::Error, hint: Option<String>) -> Self {
        Self::Part { what: what.into(), message: source.to_string(), hint }
    }

    /// What a command exits with that could not do its work; as a shell, 127 for a program that is
    /// not there and 126 for one that cannot be executed.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Step { what, errno, .. } if what.starts_with("execute ") => {
                if *errno == libc::ENOENT {
                    127
                } else {
                    126
                }
            }
            _ => 1,
        }
    }

    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::AlreadyRunning { name } => {
                Some(format!("enter it with `wxc attach {name}`, or stop it first"))
            }
            Self::NotRunning { name } => Some(format!("start it with `wxc start {name}`")),
            Self::Step { what, call, errno, .. } => {
                HINTS.iter().find(|hint| hint.fits(what, call, *errno)).map(|hint| hint.text.to_owned())
            }
            Self::System { what, errno, .. } => {
                HINTS.iter().find(|hint| hint.fits(what, "", *errno)).map(|hint| hint.text.to_owned())
            }
            Self::Part { hint, .. } => hint.clone(),
            Self::Died { .. } => Some("the kernel's log (`dmesg`) may say why".to_owned()),
            Self::MonitorGone => Some("it was probably killed; starting again cleans up after it".to_owned()),
            _ => None,
        }
    }
}

/// What an errno at a step usually means.
struct Hint {
    /// Begins the description of the step; empty for any.
    step: &'static str,
    /// The call; empty for any.
    call: &'static str,
    errno: i32,
    text: &'static str,
}

impl Hint {
    fn fits(&self, what: &str, call: &str, errno: i32) -> bool {
        self.errno == errno && what.starts_with(self.step) && (self.call.is_empty() || self.call == call)
    }
}

/// The first that fits is shown.
const HINTS: &[Hint] = &[
    Hint {
        step: "execute",
        call: "",
        errno: libc::ENOENT,
        text: "the container has no such program, or its interpreter is missing; init is chosen with `init.command`",
    },
    Hint {
        step: "make a terminal in the container",
        call: "",
        errno: libc::ENOENT,
        text: "the container has no /dev/pts; without one, use `--no-terminal`, or a pipe",
    },
    Hint {
        step: "execute",
        call: "",
        errno: libc::EACCES,
        text: "the file is not executable, or its file system is mounted noexec",
    },
    Hint {
        step: "execute",
        call: "",
        errno: libc::ENOEXEC,
        text: "the program is for another processor, or it is a script without `#!` line",
    },
    Hint {
        step: "",
        call: "openat2",
        errno: libc::ELOOP,
        text: "the rootfs has a symbolic link where something is to be mounted or made; wxc does not follow it",
    },
    Hint {
        step: "",
        call: "openat2",
        errno: libc::ENOTDIR,
        text: "the rootfs has a file where a directory is needed",
    },
    Hint {
        step: "",
        call: "mkdirat",
        errno: libc::EROFS,
        text: "the place to mount on is missing in the rootfs, and that is read-only",
    },
    Hint {
        step: "map the ids",
        call: "",
        errno: libc::EINVAL,
        text: "the kernel refuses overlapping or too many ranges of ids",
    },
    Hint {
        step: "show the rootfs in the container's ids",
        call: "",
        errno: libc::EINVAL,
        text: "this file system cannot be idmapped on this kernel; ext4, xfs, btrfs and tmpfs can, from Linux 5.12 to 6.3 on",
    },
    Hint {
        step: "create the first process",
        call: "",
        errno: libc::EPERM,
        text: "namespaces are not allowed here: see /proc/sys/user/max_user_namespaces and, on Debian or Ubuntu, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns",
    },
    Hint {
        step: "create the first process",
        call: "",
        errno: libc::ENOSPC,
        text: "too many namespaces: see /proc/sys/user/",
    },
    Hint {
        step: "create the first process",
        call: "",
        errno: libc::EINVAL,
        text: "this kernel lacks a kind of namespace that the plan asks for",
    },
    Hint {
        step: "mount proc",
        call: "",
        errno: libc::EPERM,
        text: "a new /proc is refused where the existing one is partly covered, as in some containers",
    },
    Hint {
        step: "mount sysfs",
        call: "",
        errno: libc::EPERM,
        text: "/sys needs a network namespace of the container's own; mount it from the host instead",
    },
    Hint {
        step: "make the container's root",
        call: "pivot_root",
        errno: libc::EINVAL,
        text: "the host runs from its initial ramdisk, which pivot_root(2) cannot leave",
    },
    Hint {
        step: "",
        call: "seccomp",
        errno: libc::EACCES,
        text: "a filter needs no_new_privs or CAP_SYS_ADMIN in the container",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_reads_as_a_sentence() {
        let error = RuntimeError::Step {
            step: 12,
            of: 31,
            what: "mount proc on /proc".into(),
            call: "fsconfig".into(),
            errno: libc::EPERM,
        };
        assert_eq!(error.to_string(), "step 12 of 31: mount proc on /proc: Operation not permitted");
        assert!(error.hint().is_some_and(|hint| hint.contains("/proc")));
    }

    #[test]
    fn an_error_crosses_processes() {
        let error = RuntimeError::system("open x", io::Error::from_raw_os_error(libc::ENOENT));
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<RuntimeError>(&json).unwrap(), error);
    }
}
