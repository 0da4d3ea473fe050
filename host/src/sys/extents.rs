//! Where the blocks of a file are (`FS_IOC_FIEMAP`, Documentation/filesystems/fiemap.rst), which rustix lacks.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// `_IOWR('f', 11, struct fiemap)`, the same on every architecture that wxc runs on.
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
/// The extent is the last one of the file.
const LAST: u32 = 0x1;
/// Its place on the disk is not chosen yet: the data is in memory alone.
const DELALLOC: u32 = 0x4;
/// Extents asked for at a time.
const MANY: u32 = 64;

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_too: [u32; 3],
}

/// `struct fiemap` with room for extents.
#[repr(C)]
struct Map {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
    extents: [Extent; MANY as usize],
}

/// How many bytes of a file have been written to memory and have no place on the disk yet.
///
/// # Errors
/// As ioctl(2); `EOPNOTSUPP` or `ENOTTY` where the file system does not tell.
pub fn without_a_place(file: BorrowedFd<'_>) -> io::Result<u64> {
    let (mut start, mut bytes) = (0, 0);
    loop {
        let mut map = Map {
            start,
            length: u64::MAX - start,
            flags: 0,
            mapped: 0,
            room: MANY,
            reserved: 0,
            extents: [Extent::default(); MANY as usize],
        };
        // SAFETY: the request reads and writes a `struct fiemap` followed by `room` extents, which `Map` is with
        // `room` equal to the length of its array, and it outlives the call.
        if unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP as libc::Ioctl, &raw mut map) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let found = &map.extents[..map.mapped.min(MANY) as usize];
        bytes += found.iter().filter(|e| e.flags & DELALLOC != 0).map(|e| e.length).sum::<u64>();
        match found.last() {
            Some(last) if last.flags & LAST == 0 => start = last.logical + last.length,
            _ => return Ok(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    #[test]
    fn what_was_synced_has_its_place() {
        let mut file = tempfile::tempfile_in("/var/tmp").unwrap();
        file.write_all(&[7; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        match super::without_a_place(file.as_fd()) {
            Ok(bytes) => assert_eq!(bytes, 0),
            // A file system that does not tell.
            Err(error) => {
                assert!(matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOTTY)), "{error}")
            }
        }
    }
}
