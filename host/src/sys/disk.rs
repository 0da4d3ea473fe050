//! File systems in regular files: mounted out of everybody's sight, and made longer or shorter.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstatvfs, openat};
use rustix::io::{Errno, read};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::loopdev::LoopDevice;

/// How a disk is to be mounted.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// Its type, as the kernel spells it.
    pub fstype: &'a str,
    /// Options of the file system or of the mount, one each, as mount(8) takes them.
    pub options: &'a [String],
    pub read_only: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
}

/// Options that are of the mount and not of the file system.
const OF_THE_MOUNT: &[(&str, MountAttrFlags)] = &[
    ("noatime", MountAttrFlags::MOUNT_ATTR_NOATIME),
    ("relatime", MountAttrFlags::MOUNT_ATTR_RELATIME),
    ("nodiratime", MountAttrFlags::MOUNT_ATTR_NODIRATIME),
];

/// Mounts the file system in a file. What comes back is a mount that is nowhere yet; the loop device lives
/// as long as it, or what it is moved to.
///
/// `file` is open for reading and, when the device is to be `writable`, for writing.
///
/// # Errors
/// As loop(4), fsopen(2) and fsmount(2), with what the file system says of it.
pub fn mount(file: BorrowedFd<'_>, writable: bool, manner: Manner<'_>) -> io::Result<OwnedFd> {
    let device = LoopDevice::attach(file, !writable)?;
    mount_device(&device, manner)
}

/// The same for a device that is attached already. While it is mounted somewhere else, this is another
/// view of the same file system. One that somebody left frozen is thawed.
///
/// # Errors
/// As [`mount`].
pub fn mount_device(device: &LoopDevice, manner: Manner<'_>) -> io::Result<OwnedFd> {
    let context = fsopen(manner.fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mut attributes = attributes(manner);
    let configured = (|| {
        fsconfig_set_string(&context, "source", device.path())?;
        for option in manner.options {
            match (OF_THE_MOUNT.iter().find(|(name, _)| name == option), option.split_once('=')) {
                (Some((_, attribute)), _) => attributes |= *attribute,
                (None, Some((key, value))) => fsconfig_set_string(&context, key, value)?,
                (None, None) => fsconfig_set_flag(&context, option.as_str())?,
            }
        }
        // The whole file system, unless somebody else may have it mounted for writing.
        if manner.read_only && !device.is_shared() {
            fsconfig_set_flag(&context, "ro")?;
        }
        fsconfig_create(&context)
    })();
    configured.map_err(|errno| explained(errno, context.as_fd()))?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    if device.is_shared() {
        // Whoever froze it may have been killed, and its last user with him: then it is still in the kernel, and frozen.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        thaw(openat(&mount, ".", flags, Mode::empty())?.as_fd())?;
    }
    Ok(mount)
}

fn attributes(manner: Manner<'_>) -> MountAttrFlags {
    [
        (manner.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (manner.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (manner.nodev, MountAttrFlags::MOUNT_ATTR_NODEV),
        (manner.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ]
    .into_iter()
    .filter_map(|(set, flag)| set.then_some(flag))
    .collect()
}

/// With what the kernel wrote into the context of a mount that failed.
fn explained(errno: Errno, context: BorrowedFd<'_>) -> io::Error {
    let mut line = [0; 512];
    match read(context, &mut line) {
        Ok(length) if length > 2 => {
            // `e `, `w ` or `i ` stands before the text.
            let said = String::from_utf8_lossy(&line[2..length]);
            io::Error::new(io::Error::from(errno).kind(), format!("{}: {errno}", said.trim()))
        }
        _ => errno.into(),
    }
}

/// Requests of `<linux/fs.h>`.
const FREEZE: u32 = 0xc004_5877;
const THAW: u32 = 0xc004_5878;

/// Writes everything that a file system has in memory to its disk and lets nothing be written from then on: whoever
/// tries waits for [`thaw`]. It outlives this process and the last mount, so somebody has to see to its end.
///
/// # Errors
/// `EBUSY` when it is frozen already; as ioctl_fsfreeze(2).
pub fn freeze(inside: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: FIFREEZE does not look at its argument.
    let done = unsafe { libc::ioctl(inside.as_raw_fd(), FREEZE as libc::Ioctl, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends [`freeze`]; nothing to do for a file system that is not frozen.
///
/// # Errors
/// As ioctl_fsfreeze(2).
pub fn thaw(inside: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: FITHAW does not look at its argument.
    let done = unsafe { libc::ioctl(inside.as_raw_fd(), THAW as libc::Ioctl, 0) };
    match Errno::from_io_error(&io::Error::last_os_error()) {
        _ if done == 0 => Ok(()),
        Some(Errno::INVAL) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Requests of `<linux/ext4.h>`, of `xfs_fs.h`, and of `<linux/btrfs.h>`.
const EXT4_RESIZE: u32 = 0x4008_6610;
const XFS_GEOMETRY: u32 = 0x8070_5864;
const XFS_GROW_DATA: u32 = 0x4010_586e;
const BTRFS_RESIZE: u32 = 0x5000_9403;

/// `struct xfs_fsop_geom_v1` of `xfs_fs.h`, as far as it is read here.
#[repr(C)]
struct XfsGeometry {
    block_size: u32,
    unread: [u32; 6],
    inodes_percent: u32,
    rest: [u64; 10],
}

/// `struct xfs_growfs_data` of `xfs_fs.h`.
#[repr(C)]
struct XfsGrow {
    blocks: u64,
    inodes_percent: u32,
}

/// `struct btrfs_ioctl_vol_args` of `<linux/btrfs.h>`.
#[repr(C)]
struct BtrfsArguments {
    fd: i64,
    name: [u8; 4088],
}

/// Makes a mounted file system as long as `size` bytes. `mount` is any directory of it. The kernel moves
/// what is in the way, and refuses what it cannot do.
///
/// # Errors
/// `EOPNOTSUPP` for a type that the kernel cannot change while it is mounted; `ENOSPC` when what is
/// in it does not fit.
pub fn resize(mount: BorrowedFd<'_>, fstype: &str, size: u64) -> io::Result<()> {
    let root = openat(mount, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let fd = root.as_raw_fd();
    let done = match fstype {
        "ext4" => {
            let blocks = size / fstatvfs(&root)?.f_bsize;
            // SAFETY: EXT4_IOC_RESIZE_FS reads one u64 from a live local.
            unsafe { libc::ioctl(fd, EXT4_RESIZE as libc::Ioctl, &raw const blocks) }
        }
        "xfs" => {
            let mut geometry =
                XfsGeometry { block_size: 0, unread: [0; 6], inodes_percent: 0, rest: [0; 10] };
            // SAFETY: XFS_IOC_FSGEOMETRY_V1 writes 112 bytes, the size of the structure, to a live local.
            let asked = unsafe { libc::ioctl(fd, XFS_GEOMETRY as libc::Ioctl, &raw mut geometry) };
            if asked != 0 || geometry.block_size == 0 {
                return Err(io::Error::last_os_error());
            }
            let blocks = size / u64::from(geometry.block_size);
            // The share of inodes stays as it is.
            let grow = XfsGrow { blocks, inodes_percent: geometry.inodes_percent };
            // SAFETY: XFS_IOC_FSGROWFSDATA reads one `xfs_growfs_data` from a live local of its layout.
            unsafe { libc::ioctl(fd, XFS_GROW_DATA as libc::Ioctl, &raw const grow) }
        }
        "btrfs" => {
            let mut arguments = BtrfsArguments { fd: 0, name: [0; 4088] };
            let text = size.to_string();
            arguments.name[..text.len()].copy_from_slice(text.as_bytes());
            // SAFETY: BTRFS_IOC_RESIZE reads one `btrfs_ioctl_vol_args`, whose name ends with a NUL, from
            // a live local of its layout.
            unsafe { libc::ioctl(fd, BTRFS_RESIZE as libc::Ioctl, &raw const arguments) }
        }
        _ => return Err(Errno::OPNOTSUPP.into()),
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_layout() {
        assert_eq!(
            (size_of::<XfsGeometry>(), size_of::<XfsGrow>(), size_of::<BtrfsArguments>()),
            (112, 16, 4096)
        );
    }
}
