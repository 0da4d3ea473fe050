//! btrfs subvolumes by the kernel's own calls (btrfs-ioctl(2), `<linux/btrfs.h>`).
//!
//! The structures and numbers are those of the kernel's headers as `linux-raw-sys` generates them.
//! Every function takes descriptors opened for reading: these calls refuse `O_PATH`.

mod nested;
mod quota;
mod unreachable;

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use linux_raw_sys::btrfs::{
    BTRFS_FIRST_FREE_OBJECTID, BTRFS_SUBVOL_RDONLY, BTRFS_VOL_NAME_MAX, btrfs_ioctl_get_subvol_info_args,
    btrfs_ioctl_vol_args_v2,
};
use linux_raw_sys::ioctl as codes;
use rustix::fs::{fstat, fstatfs};
use rustix::io::{Errno, Result};
use rustix::ioctl::{Getter, Opcode, Setter, ioctl};

pub use nested::{Nested, nested, reachable};
pub use quota::{Usage, enable_quota, limit, set_limit, usage};
pub use unreachable::destroy_below;

/// `BTRFS_SUPER_MAGIC` of statfs(2).
const MAGIC: i64 = 0x9123_683e;

/// What a subvolume says of itself (`BTRFS_IOC_GET_SUBVOL_INFO`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its number in this file system.
    pub id: u64,
    /// Its UUID.
    pub uuid: [u8; 16],
    /// That of the subvolume it is a snapshot of; zeroes for none.
    pub parent_uuid: [u8; 16],
    /// The one it had where it was received from; zeroes for none.
    pub received_uuid: [u8; 16],
    /// Its name in the directory it is in.
    pub name: OsString,
}

/// Whether this is on btrfs at all.
pub fn is_btrfs(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(fstatfs(fd)?.f_type & 0xffff_ffff == MAGIC)
}

/// Whether a directory of btrfs is the root of a subvolume: only those have this inode number.
pub fn is_subvolume(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(fstat(fd)?.st_ino == u64::from(BTRFS_FIRST_FREE_OBJECTID))
}

/// Makes an empty subvolume, durably.
pub fn create(parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    let arguments = named(name)?;
    // SAFETY: the structure that BTRFS_IOC_SUBVOL_CREATE_V2 reads, with a terminated name.
    unsafe { set::<{ codes::BTRFS_IOC_SUBVOL_CREATE_V2 }, _>(parent, arguments) }
}

/// Makes a snapshot of a subvolume, atomically and durably. Subvolumes inside it are not part of it: they
/// are empty directories there.
pub fn snapshot(source: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &OsStr, read_only: bool) -> Result<()> {
    let mut arguments = named(name)?;
    arguments.fd = i64::from(source.as_raw_fd());
    arguments.flags = if read_only { u64::from(BTRFS_SUBVOL_RDONLY) } else { 0 };
    // SAFETY: the structure that BTRFS_IOC_SNAP_CREATE_V2 reads, with a terminated name and a descriptor
    // that is open during the call.
    unsafe { set::<{ codes::BTRFS_IOC_SNAP_CREATE_V2 }, _>(parent, arguments) }
}

/// Removes a subvolume with all its files; `ENOTEMPTY` while another one is inside it.
pub fn destroy(parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    let arguments = named(name)?;
    // SAFETY: the structure that BTRFS_IOC_SNAP_DESTROY_V2 reads, with a terminated name.
    unsafe { set::<{ codes::BTRFS_IOC_SNAP_DESTROY_V2 }, _>(parent, arguments) }
}

/// Whether a subvolume is read-only.
pub fn is_read_only(subvolume: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: BTRFS_IOC_SUBVOL_GETFLAGS writes one 64-bit number.
    let flags = unsafe { get::<{ codes::BTRFS_IOC_SUBVOL_GETFLAGS }, u64>(subvolume) }?;
    Ok(flags & u64::from(BTRFS_SUBVOL_RDONLY) != 0)
}

/// Makes a subvolume read-only or writable, durably.
pub fn set_read_only(subvolume: BorrowedFd<'_>, read_only: bool) -> Result<()> {
    if is_read_only(subvolume)? == read_only {
        return Ok(());
    }
    let flags = if read_only { u64::from(BTRFS_SUBVOL_RDONLY) } else { 0 };
    // SAFETY: BTRFS_IOC_SUBVOL_SETFLAGS reads one 64-bit number.
    unsafe { set::<{ codes::BTRFS_IOC_SUBVOL_SETFLAGS }, u64>(subvolume, flags) }
}

/// What the subvolume that a file is in says of itself.
pub fn info(file: BorrowedFd<'_>) -> Result<Info> {
    // SAFETY: BTRFS_IOC_GET_SUBVOL_INFO writes the whole of this structure.
    let told =
        unsafe { get::<{ codes::BTRFS_IOC_GET_SUBVOL_INFO }, btrfs_ioctl_get_subvol_info_args>(file) }?;
    Ok(Info {
        id: told.treeid,
        uuid: told.uuid,
        parent_uuid: told.parent_uuid,
        received_uuid: told.received_uuid,
        name: OsString::from_vec(text(&told.name)),
    })
}

/// An argument without a name.
fn empty() -> btrfs_ioctl_vol_args_v2 {
    // SAFETY: numbers, unions of numbers, and a raw pointer: all of them may be zero.
    unsafe { std::mem::zeroed() }
}

/// An argument with a name.
fn named(name: &OsStr) -> Result<btrfs_ioctl_vol_args_v2> {
    let bytes = name.as_bytes();
    if bytes.len() > BTRFS_VOL_NAME_MAX as usize {
        return Err(Errno::NAMETOOLONG);
    }
    let mut arguments = empty();
    let mut text = [0; 4040];
    for (to, from) in text.iter_mut().zip(bytes) {
        // Signed on some architectures, unsigned on others; the bits are the same.
        *to = *from as _;
    }
    arguments.__bindgen_anon_2.name = text;
    Ok(arguments)
}

/// A text that the kernel wrote into an array.
fn text(array: &[linux_raw_sys::ctypes::c_char]) -> Vec<u8> {
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "bytes, whatever their sign is here")]
    let bytes: Vec<u8> = array.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or_else(|_| bytes.clone(), |text| text.to_bytes().to_vec())
}

/// A call that reads its argument.
///
/// # Safety
/// `T` must be what the kernel reads for this code.
unsafe fn set<const CODE: Opcode, T>(fd: BorrowedFd<'_>, argument: T) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { ioctl(fd, Setter::<CODE, T>::new(argument)) }
}

/// A call that writes its answer.
///
/// # Safety
/// `T` must be what the kernel writes for this code, all of it.
unsafe fn get<const CODE: Opcode, T>(fd: BorrowedFd<'_>) -> Result<T> {
    // SAFETY: the caller's promise.
    unsafe { ioctl(fd, Getter::<CODE, T>::new()) }
}

/// Opens a directory below another, without links and without crossing a mount.
fn open_below(top: BorrowedFd<'_>, path: &std::path::Path) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let path = if path.as_os_str().is_empty() { std::path::Path::new(".") } else { path };
    openat2(top, path, flags, Mode::empty(), confined)
}
