//! Project quotas: what a directory tree takes up and may take up, on ext4 and xfs (quotactl(2), ioctl_xfs_fsgetxattr(2)).
//!
//! A directory that hands its project on (`FS_XFLAG_PROJINHERIT`) has every file that is made below it counted under one number.
//! Nobody in a user namespace can change that, and statfs(2) below it tells the limit as the size of the file system.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use linux_raw_sys::ioctl as codes;
use rustix::io::{Errno, Result};

/// What a project may take up; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub bytes: Option<u64>,
    /// Files and directories.
    pub entries: Option<u64>,
}

/// What the kernel knows of a project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// The limits that hold.
    pub limits: Limits,
    /// Bytes that are used.
    pub bytes: u64,
    /// Files and directories that are there.
    pub entries: u64,
}

/// `FS_XFLAG_PROJINHERIT` of linux/fs.h.
const INHERIT: u32 = 0x200;
/// `PRJQUOTA` of linux/quota.h: the third kind, after users and groups.
const PROJECT: u32 = 2;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
/// `Q_XGETQSTATV` of linux/dqblk_xfs.h, which every file system answers.
const Q_XGETQSTATV: u32 = 0x5808;
/// `FS_QUOTA_PDQ_ACCT` and `FS_QUOTA_PDQ_ENFD`: projects are counted, and their limits hold.
const COUNTED_AND_HELD: u16 = 0x30;
/// `QIF_LIMITS`: both limits are being set.
const LIMITS: u32 = 5;
/// Bytes of a block of a limit (`QIF_DQBLKSIZE`).
const BLOCK: u64 = 1024;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attributes {
    flags: u32,
    extent: u32,
    extents: u32,
    project: u32,
    cow_extent: u32,
    reserved: [u8; 8],
}

/// `struct if_dqblk`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Block {
    blocks_hard: u64,
    blocks_soft: u64,
    bytes: u64,
    entries_hard: u64,
    entries_soft: u64,
    entries: u64,
    blocks_time: u64,
    entries_time: u64,
    valid: u32,
}

/// `struct fs_quota_statv`, of which the start is of interest.
#[repr(C)]
#[derive(Clone, Copy)]
struct State {
    version: i8,
    reserved: u8,
    flags: u16,
    rest: [u64; 32],
}

/// The project that a directory hands on to what is made in it; none when it hands on none, or the file system has no projects.
///
/// # Errors
/// As ioctl(2).
pub fn of(directory: BorrowedFd<'_>) -> Result<Option<u32>> {
    match attributes(directory) {
        Ok(told) => Ok((told.flags & INHERIT != 0 && told.project != 0).then_some(told.project)),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Gives an empty directory a project, and lets it hand it on.
///
/// # Errors
/// `EOPNOTSUPP` or `ENOTTY` where the file system has no projects, `EINVAL` in a user namespace.
pub fn assign(directory: BorrowedFd<'_>, project: u32) -> Result<()> {
    let told = attributes(directory)?;
    let wanted = Attributes { flags: told.flags | INHERIT, project, ..told };
    // SAFETY: FS_IOC_FSSETXATTR reads a `struct fsxattr`, which `wanted` is, and it outlives the call.
    let done = unsafe {
        libc::ioctl(directory.as_raw_fd(), codes::FS_IOC_FSSETXATTR as libc::Ioctl, &raw const wanted)
    };
    if done == 0 { Ok(()) } else { Err(last()) }
}

/// Whether the file system counts what projects take up and holds them to their limits.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn enforced(filesystem: BorrowedFd<'_>) -> Result<bool> {
    let mut state = State { version: 1, reserved: 0, flags: 0, rest: [0; 32] };
    // SAFETY: the kernel reads the version and writes a `struct fs_quota_statv`, which is shorter than `State`.
    match unsafe { quotactl(filesystem, Q_XGETQSTATV, 0, (&raw mut state).cast()) } {
        Ok(()) => Ok(state.flags & COUNTED_AND_HELD == COUNTED_AND_HELD),
        // No quotas of any kind; `ENOSYS` where this type of file system has none in this kernel, and before Linux 5.14.
        Err(Errno::SRCH | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What the kernel knows of a project; all zero for one that nobody has used.
///
/// # Errors
/// As quotactl(2).
pub fn account(filesystem: BorrowedFd<'_>, project: u32) -> Result<Account> {
    let mut block = Block::default();
    // SAFETY: the kernel writes a `struct if_dqblk`, which `block` is, and it outlives the call.
    match unsafe { quotactl(filesystem, Q_GETQUOTA, project, (&raw mut block).cast()) } {
        Ok(()) => {}
        // xfs has nothing on a project without files.
        Err(Errno::NOENT) => return Ok(Account::default()),
        Err(errno) => return Err(errno),
    }
    let limit = |number: u64| (number != 0).then_some(number);
    let limits =
        Limits { bytes: limit(block.blocks_hard.saturating_mul(BLOCK)), entries: limit(block.entries_hard) };
    Ok(Account { limits, bytes: block.bytes, entries: block.entries })
}

/// Sets both limits of a project. Bytes are rounded up to whole KiB.
///
/// # Errors
/// As quotactl(2).
pub fn limit(filesystem: BorrowedFd<'_>, project: u32, limits: Limits) -> Result<()> {
    let mut block = Block {
        blocks_hard: limits.bytes.map_or(0, |bytes| bytes.div_ceil(BLOCK).max(1)),
        entries_hard: limits.entries.map_or(0, |entries| entries.max(1)),
        valid: LIMITS,
        ..Block::default()
    };
    // SAFETY: the kernel reads a `struct if_dqblk`, which `block` is, and it outlives the call.
    unsafe { quotactl(filesystem, Q_SETQUOTA, project, (&raw mut block).cast()) }
}

fn attributes(fd: BorrowedFd<'_>) -> Result<Attributes> {
    let mut told = Attributes::default();
    // SAFETY: FS_IOC_FSGETXATTR writes a `struct fsxattr`, which `told` is, and it outlives the call.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), codes::FS_IOC_FSGETXATTR as libc::Ioctl, &raw mut told) };
    if done == 0 { Ok(told) } else { Err(last()) }
}

/// quotactl_fd(2) for projects, on the file system that `fd` is on.
///
/// # Safety
/// `argument` points to what the kernel reads or writes for this command, for the length of the call.
unsafe fn quotactl(
    fd: BorrowedFd<'_>,
    command: u32,
    project: u32,
    argument: *mut libc::c_void,
) -> Result<()> {
    // QCMD of linux/quota.h.
    let command = (command << 8) | PROJECT;
    // SAFETY: the caller's promise about `argument`; the others are numbers.
    let done = unsafe { libc::syscall(libc::SYS_quotactl_fd, fd.as_raw_fd(), command, project, argument) };
    if done == 0 { Ok(()) } else { Err(last()) }
}

fn last() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    #[test]
    fn structures_are_as_long_as_the_kernels() {
        assert_eq!(size_of::<super::Attributes>(), size_of::<linux_raw_sys::btrfs::fsxattr>());
        // Eight numbers and one of half the size, padded.
        assert_eq!(size_of::<super::Block>(), 72);
    }

    #[test]
    fn a_directory_without_a_project_has_none() {
        let directory = std::fs::File::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(super::of(directory.as_fd()).unwrap(), None);
    }
}
