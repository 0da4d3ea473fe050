//! mount_setattr(2), which rustix lacks; the rest of the mount API is there.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

pub const RDONLY: u64 = 0x01;
pub const NOSUID: u64 = 0x02;
pub const NODEV: u64 = 0x04;
pub const NOEXEC: u64 = 0x08;
pub const NOATIME: u64 = 0x10;
pub const STRICTATIME: u64 = 0x20;
pub const NODIRATIME: u64 = 0x80;
pub const NOSYMFOLLOW: u64 = 0x0020_0000;
/// The bits of which one is chosen; none of them is `relatime`.
pub const ATIME: u64 = 0x70;
const IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// What shall change of a mount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// Attributes to set: [`RDONLY`] and the like.
    pub set: u64,
    /// Attributes to clear before that.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, ... of mount(2), 0 for no change.
    pub propagation: u64,
    /// Show the files' owners through the maps of this user namespace.
    pub userns: Option<BorrowedFd<'a>>,
    /// The mounts below it, too.
    pub recursive: bool,
}

/// Changes the mount whose root `mount` is.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_attributes(mount: BorrowedFd<'_>, change: Change<'_>) -> io::Result<()> {
    let mut attributes = MountAttr {
        set: change.set,
        clear: change.clear,
        propagation: change.propagation,
        ..MountAttr::default()
    };
    if let Some(userns) = change.userns {
        attributes.set |= IDMAP;
        attributes.userns = u64::from(userns.as_raw_fd().cast_unsigned());
    }
    let recursive = if change.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is NUL-terminated, the structure of the length said; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw mut attributes,
            size_of::<MountAttr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
