//! A squashfs image as a sequence of members, as if it were an archive.
//!
//! Read by this program and never mounted: the kernel's own reader is not made for images that somebody prepared, and an
//! ordinary user may not mount them. The libraries that read this format leave out attributes and second names of a file, and
//! take memory as the image says; so this is our own, with the same limits as for archives.
//!
//! ```text
//!  walk (a thread)               decoders (one per processor)        the unpacker
//!   directories and inodes ─────▶ blocks of files, compressed ─────▶ members and their data, in order
//!      │                                                               ▲
//!      └───────────────────── what comes, in order ────────────────────┘
//! ```
//!
//! The format is version 4.0 (Linux, `fs/squashfs/squashfs_fs.h` and Documentation/filesystems/squashfs.rst): numbers are
//! little-endian; everything but the superblock is in blocks that are compressed each for itself.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use super::error::UnpackError;
use super::member::Member;
use super::request::Limits;
use ahead::{Event, Slot};

/// The first block of the image: where everything is.
mod superblock;

/// One compressed block.
mod block;

/// Blocks of metadata, and the tables in them.
mod tables;

/// Inodes.
mod inode;

/// Extended attributes.
mod attributes;

/// From directories to members.
mod walk;

/// What is decoded before somebody waits for it.
mod ahead;

/// How an image begins.
pub(crate) const MAGIC: &[u8] = b"hsqs";

/// Whether a file is such an image. A pipe is none: its end would have to be read first.
pub(crate) fn is_one(file: &File) -> bool {
    let mut start = [0; MAGIC.len()];
    file.read_exact_at(&mut start, 0).is_ok() && start == MAGIC
}

/// Bytes of a file, by its end: a helper without a file system may ask for nothing else. Whoever reads says from where.
fn length(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// An image that is being read.
pub(crate) struct Disk {
    events: Receiver<Result<Event, UnpackError>>,
    /// What is left of a block of the current file.
    current: Option<(Arc<Slot>, std::ops::Range<usize>)>,
    /// A member that came while the rest of the one before was passed over.
    waiting: Option<Member>,
    read: Arc<AtomicU64>,
    /// Bytes of the image: more are read where files share them.
    size: u64,
    ended: bool,
}

impl Disk {
    pub(crate) fn open(file: File, limits: &Limits) -> Result<Self, UnpackError> {
        let read = Arc::new(AtomicU64::new(0));
        let size = length(&file).unwrap_or(u64::MAX);
        let events = walk::start(file, limits, &read)?;
        Ok(Self { events, current: None, waiting: None, read, size, ended: false })
    }

    /// The next member: a directory before what is in it. `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        self.current = None;
        if let Some(member) = self.waiting.take() {
            return Ok(Some(member));
        }
        while !self.ended {
            match self.event()? {
                Event::Member(member) => return Ok(Some(member)),
                Event::Data(..) => {}
                Event::End => self.ended = true,
            }
        }
        Ok(None)
    }

    /// Gives out the next data of the current file, at most `most` bytes and never none; says how many.
    pub(crate) fn data(
        &mut self,
        most: u64,
        entry: &[u8],
        take: impl FnOnce(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<usize, UnpackError> {
        while self.current.as_ref().is_none_or(|(_, range)| range.is_empty()) {
            match self.event()? {
                Event::Data(slot, range) => self.current = Some((slot, range)),
                other => {
                    if let Event::Member(member) = other {
                        self.waiting = Some(member);
                    }
                    return Err(UnpackError::archive(entry, "it has less data than it says"));
                }
            }
        }
        let Some((slot, range)) = &mut self.current else { return Ok(0) };
        let content = slot.content().map_err(|why| UnpackError::archive(entry, why))?;
        let bytes = content.get(range.clone()).ok_or_else(|| {
            UnpackError::archive(entry, "its data lies beyond the end of the block that it is in")
        })?;
        let count = bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        take(&bytes[..count])?;
        range.start += count;
        Ok(count)
    }

    /// Bytes of the image that were read.
    pub(crate) fn source_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed).min(self.size)
    }

    fn event(&self) -> Result<Event, UnpackError> {
        // Whoever walks says that it is at the end; only a bug ends it without a word.
        self.events.recv().unwrap_or_else(|_| Err(UnpackError::Helper { why: "lost its reader".into() }))
    }
}
