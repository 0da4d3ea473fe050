#![allow(unsafe_code, reason = "the one place of the host for calls into the kernel")]
//! Every syscall wrapper of the host and, with `host/child`, all of its unsafe code.
//!
//! Rules of the folder: borrowed fds in, owned fds out; every fd is close-on-exec from birth; a
//! failed call is an `io::Error` or `Errno` and never a message; nothing here decides anything.

/// Programs in the kernel that decide on the use of devices.
pub mod bpf;
/// btrfs subvolumes.
pub mod btrfs;
/// What a helper process takes from itself.
pub(crate) mod confine;
/// Where the blocks of a file are.
pub mod extents;
/// What is mounted where.
pub mod mountinfo;
/// A socket for network configuration, here or in another network namespace.
pub mod netlink;
/// Limits on directory trees.
pub mod project;
/// Whole directory trees: copied and removed from directory handles.
pub mod tree;

/// Processes by clone3(2) that run the child's interpreter.
pub mod clone;
/// Our own executable, and a sealed image of it.
/// File systems in regular files.
pub mod disk;
/// Our own executable, and a sealed copy of it.
pub mod exe;
/// Places where a test may kill this process or make it fail.
pub mod failpoint;
/// Inherited fds.
pub mod fd;
/// Making files as somebody else.
pub mod fs_ids;
/// What a process allocates.
pub mod heap;
/// Leaving the namespaces and descriptors that a process was born with.
pub mod leave;
/// Regular files as block devices.
pub mod loopdev;
/// Files as memory.
pub(crate) mod mapped;
/// Attributes of mounts.
pub mod mount;
/// The machine code of compiled plugins.
pub(crate) mod native;
/// Several directories, one over the other.
pub mod overlay;
/// Power over the files of one's own subordinate ids, for a user without privileges.
pub mod own_ids;
/// Messages between processes of ours.
pub(crate) mod packets;
/// Programs of the host, run to their end.
pub mod run;
/// Signals as events.
pub mod signal;
/// The system calls that a helper process may make.
pub(crate) mod syscalls;
/// Proof of being alone in the process.
pub mod thread;
/// The timer signal that stops a guest which computes for too long.
pub mod timer;
/// Files that only root or this user could have written.
pub mod trusted;

/// A flag that signals set.
pub mod interrupt;
/// Single files of a container's root tree, which the guest controls.
pub mod rootfs;
