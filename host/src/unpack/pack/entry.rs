//! One entry of a tree as it is found: examined, compared with another, read.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, fgetxattr, flistxattr, fstat, openat, readlinkat,
    seek, statat,
};
use rustix::io::{Errno, Result, pread, retry_on_intr};

/// Bytes that are compared at once.
const PIECE: usize = 128 << 10;
/// The kernel's own limits on one value and on the list of names (xattr(7)).
const XATTR_MAX: usize = 64 << 10;
/// Runs of data of one file that are told apart; a file of more is stored whole.
const MAX_RUNS: usize = 1 << 19;

/// Without following a link, or nothing where there is nothing.
pub(super) fn examine(dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<Stat>> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        other => other.map(Some),
    }
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Seconds and nanoseconds.
pub(super) fn mtime(stat: &Stat) -> (i64, i64) {
    // Nanoseconds are below 10^9 whatever their type is on this architecture.
    (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// The names in a directory, sorted.
pub(super) fn names(dir: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A regular file, which is still the one that was examined.
pub(super) fn open(dir: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<OwnedFd> {
    // Without waiting, so that a FIFO put there since the examination cannot stop us.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    if inode(&fstat(&file)?) == inode(stat) { Ok(file) } else { Err(Errno::STALE) }
}

pub(super) fn link(dir: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>> {
    Ok(readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// Every attribute that can be read, sorted by name.
pub(super) fn attributes(file: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut small = [0; 256];
    let names = match flistxattr(file, &mut small) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => small[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut list = vec![0; XATTR_MAX];
            let length = flistxattr(file, &mut *list)?;
            list.truncate(length);
            list
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; XATTR_MAX];
        match fgetxattr(file, name, &mut *value) {
            Ok(length) => value.truncate(length),
            // Listed, but gone since or not for us to read.
            Err(Errno::NODATA | Errno::ACCESS | Errno::PERM | Errno::OPNOTSUPP) => continue,
            Err(error) => return Err(error),
        }
        found.push((name.to_vec(), value));
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether two entries are alike without a look at what is in them.
pub(super) fn alike(a: &Stat, b: &Stat) -> bool {
    let device = |stat: &Stat| match kind(stat) {
        FileType::BlockDevice | FileType::CharacterDevice => stat.st_rdev,
        _ => 0,
    };
    let sized = |stat: &Stat| if kind(stat) == FileType::Directory { 0 } else { stat.st_size };
    (a.st_mode, a.st_uid, a.st_gid, mtime(a), device(a), sized(a))
        == (b.st_mode, b.st_uid, b.st_gid, mtime(b), device(b), sized(b))
}

/// Whether two files of one size hold the same bytes.
pub(super) fn same_content(a: &OwnedFd, b: &OwnedFd, size: u64) -> Result<bool> {
    let (mut here, mut there) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < size {
        // A hole in both is passed over at once.
        let data = next_data(a, at, size)?.min(next_data(b, at, size)?);
        at = data.max(at);
        if at >= size {
            break;
        }
        let (n, m) = (read_full(a, &mut here, at)?, read_full(b, &mut there, at)?);
        if n != m || here[..n] != there[..m] {
            return Ok(false);
        }
        if n == 0 {
            break;
        }
        at += n as u64;
    }
    Ok(true)
}

fn read_full(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match retry_on_intr(|| pread(file, &mut buffer[have..], at + have as u64))? {
            0 => break,
            n => have += n,
        }
    }
    Ok(have)
}

fn next_data(file: &OwnedFd, at: u64, size: u64) -> Result<u64> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(start) => Ok(start.min(size)),
        Err(Errno::NXIO) => Ok(size),
        // A file system without such a thing.
        Err(Errno::INVAL) => Ok(at),
        Err(error) => Err(error),
    }
}

/// The runs of data of a file with holes; `None` for one without.
pub(super) fn runs(file: &OwnedFd, stat: &Stat) -> Result<Option<Vec<(u64, u64)>>> {
    let size = size(stat);
    if u64::try_from(stat.st_blocks).unwrap_or(0) * 512 >= size {
        return Ok(None);
    }
    let (mut runs, mut at) = (Vec::new(), 0);
    while at < size {
        let start = next_data(file, at, size)?;
        if start >= size {
            break;
        }
        let end = seek(file.as_fd(), SeekFrom::Hole(start)).map_or(size, |end| end.min(size)).max(start + 1);
        runs.push((start, end - start));
        if runs.len() > MAX_RUNS {
            return Ok(None);
        }
        at = end;
    }
    // Small or compressed by the file system, and without a hole all the same.
    Ok((runs != [(0, size)]).then_some(runs))
}
