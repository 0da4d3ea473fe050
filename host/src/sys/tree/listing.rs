//! Directories read in large pieces, and walks that go deeper than a process may have files open.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, RawDir, SeekFrom, fstat, openat, seek};
use rustix::io::{Errno, Result};

/// Bytes of names that the kernel is asked for at a time.
const PIECE: usize = 32 << 10;
/// Levels of a walk whose directories are open at the same time.
const OPEN: usize = 48;

/// What names are read into; one for each thread that walks.
#[derive(Debug)]
pub struct Scratch(Box<[MaybeUninit<u8>]>);

impl Default for Scratch {
    fn default() -> Self {
        Self(vec![MaybeUninit::uninit(); PIECE].into_boxed_slice())
    }
}

/// A directory that can be closed in the middle of a walk, and found again from one in it.
#[derive(Debug)]
pub struct Place {
    fd: Option<OwnedFd>,
    id: (u64, u64),
}

impl Place {
    /// `id` is its device and its inode, by which it is known again.
    #[must_use]
    pub fn new(fd: OwnedFd, id: (u64, u64)) -> Self {
        Self { fd: Some(fd), id }
    }

    /// The directory; `EBADF` while it is closed.
    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        self.fd.as_ref().map(OwnedFd::as_fd).ok_or(Errno::BADF)
    }

    /// Closes it.
    pub fn fold(&mut self) {
        self.fd = None;
    }

    /// Opens it again through a directory in it; `ESTALE` when that has been moved elsewhere meanwhile.
    pub fn unfold(&mut self, child: &Self) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(child.fd()?, c"..", flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        if (stat.st_dev, stat.st_ino) != self.id {
            return Err(Errno::STALE);
        }
        self.fd = Some(fd);
        Ok(())
    }
}

/// A directory that is being read.
#[derive(Debug)]
pub struct Listing {
    place: Place,
    /// The names of this piece, each with a NUL at its end.
    names: Vec<u8>,
    found: Vec<Found>,
    at: usize,
    /// Where the directory goes on after the entry that was answered last.
    resume: u64,
}

#[derive(Debug)]
struct Found {
    name: usize,
    kind: FileType,
    next: u64,
}

impl Listing {
    /// From the start of a directory that has just been opened.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self { place, names: Vec::new(), found: Vec::new(), at: 0, resume: 0 }
    }

    /// The directory; `EBADF` while it is closed.
    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        self.place.fd()
    }

    /// The next entry, without `.` and `..`. Not every file system says here what it is.
    pub fn next(&mut self, scratch: &mut Scratch) -> Result<Option<(CString, FileType)>> {
        if self.at == self.found.len() {
            self.fill(scratch)?;
        }
        let Some(found) = self.found.get(self.at) else { return Ok(None) };
        let name = CStr::from_bytes_until_nul(&self.names[found.name..]).map_err(|_| Errno::ILSEQ)?;
        self.at += 1;
        self.resume = found.next;
        Ok(Some((name.to_owned(), found.kind)))
    }

    /// Takes one piece over, so that the buffer is free for the directories below.
    fn fill(&mut self, scratch: &mut Scratch) -> Result<()> {
        self.clear();
        loop {
            let mut raw = RawDir::new(self.place.fd()?, &mut scratch.0);
            let mut any = false;
            while let Some(entry) = raw.next() {
                let entry = match entry {
                    // Removed by somebody else meanwhile.
                    Err(Errno::NOENT) => return Ok(()),
                    other => other?,
                };
                any = true;
                let name = entry.file_name();
                if name != c"." && name != c".." {
                    let (kind, next) = (entry.file_type(), entry.next_entry_cookie());
                    self.found.push(Found { name: self.names.len(), kind, next });
                    self.names.extend_from_slice(name.to_bytes_with_nul());
                }
                if raw.is_buffer_empty() {
                    break;
                }
            }
            if !any || !self.found.is_empty() {
                return Ok(());
            }
        }
    }

    fn clear(&mut self) {
        self.names.clear();
        self.found.clear();
        self.at = 0;
    }
}

/// One level of a walk, which may be closed while the walk is further down.
pub trait Fold {
    /// Closes what is open.
    fn fold(&mut self);
    /// Opens it again, through the level below.
    ///
    /// # Errors
    /// It cannot be reached any more.
    fn unfold(&mut self, below: &Self) -> Result<()>;
}

impl Fold for Listing {
    fn fold(&mut self) {
        self.place.fold();
        self.names = Vec::new();
        self.found = Vec::new();
        self.at = 0;
    }

    fn unfold(&mut self, below: &Self) -> Result<()> {
        self.place.unfold(&below.place)?;
        seek(self.place.fd()?, SeekFrom::Start(self.resume)).map(drop)
    }
}

/// The levels from where a walk began to where it is. The first one and the lowest few dozen are open.
#[derive(Debug)]
pub struct Stack<L> {
    levels: Vec<L>,
    /// The levels from the second one up to here, exclusive, are closed.
    folded: usize,
}

impl<L: Fold> Stack<L> {
    /// A walk that begins here.
    pub fn new(first: L) -> Self {
        Self { levels: vec![first], folded: 1 }
    }

    /// Goes down.
    pub fn push(&mut self, level: L) {
        if self.levels.len() - self.folded >= OPEN {
            self.levels[self.folded].fold();
            self.folded += 1;
        }
        self.levels.push(level);
    }

    /// Where it is.
    pub fn last_mut(&mut self) -> Option<&mut L> {
        self.levels.last_mut()
    }

    /// Goes up; the level that it comes from.
    ///
    /// # Errors
    /// The one above was closed and cannot be reached any more.
    pub fn pop(&mut self) -> Result<Option<L>> {
        let done = self.levels.pop();
        let left = self.levels.len();
        if let Some(done) = &done
            && left > 1
            && left == self.folded
        {
            self.folded -= 1;
            self.levels[left - 1].unfold(done)?;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(at: &std::path::Path) -> Place {
        let fd = OwnedFd::from(std::fs::File::open(at).unwrap());
        let stat = fstat(&fd).unwrap();
        Place::new(fd, (stat.st_dev, stat.st_ino))
    }

    #[test]
    fn every_name_is_read_once_also_around_a_closing() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..3000 {
            std::fs::write(dir.path().join(format!("{n}-{}", "x".repeat(40))), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("below")).unwrap();
        let below = Listing::new(open(&dir.path().join("below")));
        let (mut listing, mut scratch) = (Listing::new(open(dir.path())), Scratch::default());
        let mut names = Vec::new();
        while let Some((name, _)) = listing.next(&mut scratch).unwrap() {
            names.push(name);
            if names.len() % 700 == 0 {
                listing.fold();
                assert!(listing.fd().is_err());
                listing.unfold(&below).unwrap();
            }
        }
        assert_eq!(names.len(), 3001);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3001);
    }

    #[test]
    fn a_directory_that_was_moved_is_not_mistaken_for_another() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let (mut a, b) = (open(&dir.path().join("a")), open(&dir.path().join("a/b")));
        a.fold();
        std::fs::rename(dir.path().join("a/b"), dir.path().join("b")).unwrap();
        assert_eq!(a.unfold(&b), Err(Errno::STALE));
    }
}
