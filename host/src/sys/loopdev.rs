//! Loop devices: regular files as block devices (loop(4)).
//!
//! Every device made here has `LO_FLAGS_AUTOCLEAR`: it is gone when the last one who has it open is,
//! and a mount is one who has it open. So nothing has to be undone after a kill.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, SeekFrom, fstat, major, open, seek};
use rustix::io::Errno;

/// Requests of `<linux/loop.h>`.
const CLR_FD: u32 = 0x4c01;
const GET_STATUS64: u32 = 0x4c05;
const SET_CAPACITY: u32 = 0x4c07;
const CONFIGURE: u32 = 0x4c0a;
const CTL_GET_FREE: u32 = 0x4c82;

/// Flags of `struct loop_info64`.
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;

/// The major number of loop devices (Documentation/admin-guide/devices.txt).
const MAJOR: u32 = 7;

/// How often a free device is looked for: between being told of one and taking it, others may.
const ATTEMPTS: u32 = 64;

/// `struct loop_info64` of `<linux/loop.h>`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl Info {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct loop_config` of `<linux/loop.h>`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// A loop device, open: it stays at least as long as this.
#[derive(Debug)]
pub struct LoopDevice {
    fd: OwnedFd,
    number: u32,
    /// It was attached before, for writing: it may be in use.
    shared: bool,
}

impl LoopDevice {
    /// The device of a regular file: the one that it is attached to already, or a new one. Two
    /// devices of one file would not see each other's writes.
    ///
    /// # Errors
    /// As loop(4); `EBUSY` when it is attached for reading only and is to be written, or when others
    /// take every free device first.
    pub fn attach(file: BorrowedFd<'_>, read_only: bool) -> io::Result<Self> {
        match Self::find(file)? {
            Some(found) if !read_only && found.info()?.flags & READ_ONLY != 0 => Err(Errno::BUSY.into()),
            Some(found) => Ok(found),
            None => Self::make(file, read_only),
        }
    }

    fn make(file: BorrowedFd<'_>, read_only: bool) -> io::Result<Self> {
        let control = open("/dev/loop-control", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let mut flags = AUTOCLEAR | DIRECT_IO;
        if read_only {
            flags |= READ_ONLY;
        }
        let fd = file.as_raw_fd().cast_unsigned();
        for attempt in 0..ATTEMPTS {
            // SAFETY: LOOP_CTL_GET_FREE takes no argument.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), CTL_GET_FREE as libc::Ioctl) };
            let number = u32::try_from(number).map_err(|_negative| io::Error::last_os_error())?;
            let device = match Self::open(number, read_only) {
                Ok(device) => device,
                // Removed again, or its node is not there yet.
                Err(Errno::NXIO | Errno::NOENT) => {
                    std::thread::sleep(std::time::Duration::from_millis(attempt.into()));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            // Without direct input and output, where the file cannot do it, is the kernel's own choice.
            let info = Info { flags, ..Info::EMPTY };
            let config = Config { fd, block_size: 0, info, reserved: [0; 8] };
            // SAFETY: LOOP_CONFIGURE reads one `loop_config` from a live local of its layout.
            let done =
                unsafe { libc::ioctl(device.fd.as_raw_fd(), CONFIGURE as libc::Ioctl, &raw const config) };
            match (done, io::Error::last_os_error()) {
                (0, _) => return Ok(device),
                // Somebody else was faster.
                (_, error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => {}
                (_, error) => return Err(error),
            }
        }
        Err(Errno::BUSY.into())
    }

    /// The device that a file is attached to.
    ///
    /// # Errors
    /// The file cannot be looked at. Without loop devices there is none.
    pub fn find(file: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let wanted = fstat(file)?;
        let Ok(blocks) = std::fs::read_dir("/sys/block") else { return Ok(None) };
        for entry in blocks.flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse::<u32>().ok());
            // The directory is there while something is attached: most need not be opened.
            let Some(number) = number.filter(|_| entry.path().join("loop").exists()) else { continue };
            let Ok(device) = Self::open(number, true) else { continue };
            let Ok(info) = device.info() else { continue };
            if (info.device, info.inode) == (wanted.st_dev, wanted.st_ino) {
                // For writing, which the one above is not for.
                let read_only = info.flags & READ_ONLY != 0;
                let device = Self::open(number, read_only).unwrap_or(device);
                return Ok(Some(Self { shared: !read_only, ..device }));
            }
        }
        Ok(None)
    }

    fn open(number: u32, read_only: bool) -> Result<Self, Errno> {
        let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
        let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = open(path(number), flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice || major(stat.st_rdev) != MAJOR {
            return Err(Errno::NODEV);
        }
        Ok(Self { fd, number, shared: false })
    }

    /// Whether somebody else attached it, and may have what is on it mounted for writing.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Its node.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path(self.number)
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// As lseek(2).
    pub fn size(&self) -> io::Result<u64> {
        Ok(seek(&self.fd, SeekFrom::End(0))?)
    }

    /// Takes over a new length of the file.
    ///
    /// # Errors
    /// As loop(4).
    pub fn refresh_size(&self) -> io::Result<()> {
        // SAFETY: LOOP_SET_CAPACITY takes no argument.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), SET_CAPACITY as libc::Ioctl) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Detaches the file now, instead of when the last one who has it open is gone.
    ///
    /// # Errors
    /// `EBUSY` while it is mounted or open elsewhere.
    pub fn detach(&self) -> io::Result<()> {
        // Exclusively, which a mount prevents.
        let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        drop(open(self.path(), flags, Mode::empty())?);
        // SAFETY: LOOP_CLR_FD takes no argument.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), CLR_FD as libc::Ioctl) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // With others who have it open, the kernel only makes a note of it.
        if self.info().is_ok() { Err(Errno::BUSY.into()) } else { Ok(()) }
    }

    fn info(&self) -> io::Result<Info> {
        let mut info = Info::EMPTY;
        // SAFETY: LOOP_GET_STATUS64 writes one `loop_info64` to a live local of its layout.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), GET_STATUS64 as libc::Ioctl, &raw mut info) };
        if done == 0 { Ok(info) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for LoopDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn path(number: u32) -> PathBuf {
    format!("/dev/loop{number}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_layout() {
        assert_eq!((size_of::<Info>(), size_of::<Config>()), (232, 304));
    }
}
