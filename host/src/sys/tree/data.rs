//! The bytes of one file: shared where the filesystem can, copied in the kernel otherwise, holes kept.

use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, seek};
use rustix::io::{Errno, Result, pread, pwrite};

/// Bytes per step, so that a large file still reports progress and hears a cancellation.
const STEP: u64 = 16 << 20;
const BUFFER: usize = 256 << 10;

/// What the pair of filesystems can do; learnt at the first file and kept for the whole tree.
#[derive(Debug, Clone, Copy)]
pub struct Holes {
    clone: bool,
    range: bool,
}

impl Default for Holes {
    fn default() -> Self {
        Self { clone: true, range: true }
    }
}

/// Copies `size` bytes from the start of `from` into the new, empty file `to`.
///
/// `dense` says that the source has no holes (its blocks cover its size), which saves asking. `tick` hears
/// the bytes of every step; its error ends the copy. A source that shrinks meanwhile gives a hole at the end.
pub fn copy_data<E: From<Errno>>(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    size: u64,
    dense: bool,
    able: &mut Holes,
    tick: &mut dyn FnMut(u64) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if size == 0 {
        return Ok(());
    }
    if able.clone {
        match ioctl_ficlone(to, from) {
            Ok(()) => return tick(size),
            // Not this pair of filesystems; every other file of the tree would answer the same.
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::NOSYS) => able.clone = false,
            // Not this file: one without checksums on btrfs, a swap file.
            Err(_) => {}
        }
    }
    let mut at = 0;
    while at < size {
        let (start, end) = if dense { (at, size) } else { next_extent(from, at, size)? };
        at = start;
        while at < end {
            let done = step(from, to, at, (end - at).min(STEP), able)?;
            if done == 0 {
                return Ok(ftruncate(to, size)?);
            }
            at += done;
            tick(done)?;
        }
    }
    // Only a hole at the end has not been written, but a file of the right size costs nothing to say again.
    if !dense { Ok(ftruncate(to, size)?) } else { Ok(()) }
}

/// The next run of data at or after `at`; empty at `size` when only a hole is left.
fn next_extent(from: BorrowedFd<'_>, at: u64, size: u64) -> Result<(u64, u64)> {
    let start = match seek(from, SeekFrom::Data(at)) {
        Ok(start) => start.min(size),
        Err(Errno::NXIO) => return Ok((size, size)),
        Err(Errno::INVAL) => return Ok((at, size)),
        Err(e) => return Err(e),
    };
    let end = seek(from, SeekFrom::Hole(start)).map_or(size, |end| end.min(size));
    Ok((start, end.max(start)))
}

fn step(from: BorrowedFd<'_>, to: BorrowedFd<'_>, at: u64, len: u64, able: &mut Holes) -> Result<u64> {
    if able.range {
        let (mut read, mut write) = (at, at);
        let len = usize::try_from(len).unwrap_or(BUFFER);
        match copy_file_range(from, Some(&mut read), to, Some(&mut write), len) {
            Ok(done) => return Ok(done as u64),
            Err(Errno::INTR | Errno::AGAIN) => return step(from, to, at, len as u64, able),
            // Two filesystems that cannot do it between them, or a kernel or filter without the call.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                able.range = false;
            }
            // A file that is swapped to can be read.
            Err(Errno::TXTBSY) => {}
            Err(e) => return Err(e),
        }
    }
    let mut buffer = vec![0; BUFFER.min(usize::try_from(len).unwrap_or(BUFFER))];
    let got = rustix::io::retry_on_intr(|| pread(from, &mut *buffer, at))?;
    let mut put = 0;
    while put < got {
        put += rustix::io::retry_on_intr(|| pwrite(to, &buffer[put..got], at + put as u64))?;
    }
    Ok(got as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn holes_stay_holes_in_every_way_of_copying() {
        let dir = tempfile::tempdir().unwrap();
        let mut from = std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(dir.path().join("from"))
            .unwrap();
        from.write_all(b"head").unwrap();
        from.seek(std::io::SeekFrom::Start(8 << 20)).unwrap();
        from.write_all(b"tail").unwrap();
        from.set_len(16 << 20).unwrap();
        let content = std::fs::read(dir.path().join("from")).unwrap();
        for (n, range) in [(0, true), (1, false)] {
            let path = dir.path().join(format!("to{n}"));
            let to = std::fs::File::options().write(true).create_new(true).open(&path).unwrap();
            let mut able = Holes { clone: false, range };
            copy_data::<Errno>(from.as_fd(), to.as_fd(), 16 << 20, false, &mut able, &mut |_| Ok(()))
                .unwrap();
            assert!(std::fs::read(&path).unwrap() == content);
            assert!(std::fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20);
        }
    }
}
