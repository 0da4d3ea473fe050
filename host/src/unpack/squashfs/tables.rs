//! Blocks of metadata, and the tables in them.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::error::UnpackError;
use super::super::meter::FREE;
use super::super::request::Limits;
use super::block::Decoder;
use super::superblock::Superblock;

/// Bytes of a block of metadata when it is decoded.
const BLOCK: usize = 8 << 10;
/// In the two bytes before each: it is stored as it is.
const PLAIN: u16 = 1 << 15;
/// How many are kept: directories and inodes are written in the same order, and read side by side.
const KEPT: usize = 64;

/// A place in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the block begins in the image.
    block: u64,
    /// How far into its content.
    offset: usize,
}

impl Place {
    pub(super) fn new(table: u64, block: u64, offset: u64) -> Self {
        // An offset beyond a block is refused when something is read there.
        Self { block: table.saturating_add(block), offset: usize::try_from(offset).unwrap_or(usize::MAX) }
    }

    /// By a reference as it is stored: the block in the upper bits, and 16 bits of offset.
    pub(super) fn of(table: u64, reference: u64) -> Self {
        Self::new(table, reference >> 16, reference & 0xffff)
    }
}

/// A block and where the next one begins.
struct Block {
    content: Vec<u8>,
    next: u64,
}

/// The image below its files.
pub(super) struct Tables {
    pub(super) file: Arc<File>,
    pub(super) superblock: Superblock,
    decoder: Decoder,
    blocks: HashMap<u64, Arc<Block>>,
    /// The blocks that are kept, the oldest first.
    order: VecDeque<u64>,
    limits: Limits,
    /// Everything that was decoded, or will be: the limits are about it.
    decoded: u64,
    read: Arc<AtomicU64>,
}

impl Tables {
    pub(super) fn new(file: File, limits: Limits, read: Arc<AtomicU64>) -> Result<Self, UnpackError> {
        let superblock = Superblock::read(&file)?;
        let decoder = Decoder::new(superblock.compression)
            .map_err(|error| UnpackError::confine("set up a decoder", error))?;
        let (blocks, order) = (HashMap::new(), VecDeque::new());
        Ok(Self { file: Arc::new(file), superblock, decoder, blocks, order, limits, decoded: 0, read })
    }

    /// Counts what is decoded. What several files share counts each time: it costs each time.
    pub(super) fn spend(&mut self, bytes: u64, entry: &[u8]) -> Result<(), UnpackError> {
        self.decoded = self.decoded.saturating_add(bytes);
        if self.decoded > self.limits.bytes {
            return Err(UnpackError::limit(entry, self.limits.bytes, "bytes of content"));
        }
        if self.decoded > FREE && self.decoded / self.limits.ratio.max(1) > self.superblock.size {
            return Err(UnpackError::limit(entry, self.limits.ratio, "bytes of content per byte of archive"));
        }
        Ok(())
    }

    /// From a place on.
    pub(super) fn at(&mut self, place: Place) -> Reader<'_> {
        Reader { tables: self, place }
    }

    /// The numeric owner behind an index.
    pub(super) fn id(&mut self, index: u16) -> Result<u32, UnpackError> {
        let (table, count) = self.superblock.ids;
        if u32::from(index) >= count {
            return Err(damaged(table, &format!("there is no owner {index} in the table of {count}")));
        }
        self.row(table, index.into(), 4)?.word()
    }

    /// A row of `size` bytes of a table that is reached over a list of its blocks, which is not compressed.
    pub(super) fn row(&mut self, list: u64, index: u32, size: u64) -> Result<Reader<'_>, UnpackError> {
        let at = u64::from(index) * size;
        let place = list.saturating_add(at / BLOCK as u64 * 8);
        let mut block = [0; 8];
        self.plain(place, &mut block)?;
        Ok(self.at(Place::new(u64::from_le_bytes(block), 0, at % BLOCK as u64)))
    }

    /// What is stored as it is.
    pub(super) fn plain(&self, at: u64, out: &mut [u8]) -> Result<(), UnpackError> {
        self.inside(at, out.len() as u64)?;
        let read = self.file.read_exact_at(out, at);
        read.map_err(|error| damaged(at, &format!("it cannot be read ({error})")))
    }

    /// Refuses what is not in the image.
    pub(super) fn inside(&self, at: u64, length: u64) -> Result<(), UnpackError> {
        match at.checked_add(length).is_some_and(|end| end <= self.superblock.size) {
            true => Ok(()),
            false => Err(damaged(at, "it names a place beyond its end")),
        }
    }

    fn block(&mut self, at: u64) -> Result<Arc<Block>, UnpackError> {
        if let Some(block) = self.blocks.get(&at) {
            return Ok(Arc::clone(block));
        }
        let mut head = [0; 2];
        self.plain(at, &mut head)?;
        let head = u16::from_le_bytes(head);
        let stored = usize::from(head & !PLAIN);
        if stored == 0 || stored > BLOCK {
            return Err(damaged(at, &format!("a block of metadata has {stored} bytes")));
        }
        self.inside(at + 2, stored as u64)?;
        self.spend(BLOCK as u64, b"its metadata")?;
        let content = self
            .decoder
            .decode(&self.file, at + 2, stored, head & PLAIN == 0, BLOCK)
            .map_err(|why| UnpackError::archive(b"its metadata", why))?;
        self.read.fetch_add(stored as u64 + 2, Ordering::Relaxed);
        let block = Arc::new(Block { content, next: at + 2 + stored as u64 });
        if self.order.len() == KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.blocks.remove(&oldest);
        }
        self.order.push_back(at);
        self.blocks.insert(at, Arc::clone(&block));
        Ok(block)
    }
}

/// Reads numbers and bytes, on into the next block.
pub(super) struct Reader<'a> {
    tables: &'a mut Tables,
    pub(super) place: Place,
}

impl Reader<'_> {
    pub(super) fn fill(&mut self, mut out: &mut [u8]) -> Result<(), UnpackError> {
        while !out.is_empty() {
            let block = self.tables.block(self.place.block)?;
            let rest = block.content.get(self.place.offset..).unwrap_or_default();
            if rest.is_empty() {
                // Only a whole block goes on in the next one.
                if self.place.offset != BLOCK {
                    return Err(damaged(self.place.block, "something leads beyond the end of a table"));
                }
                self.place = Place { block: block.next, offset: 0 };
                continue;
            }
            let count = rest.len().min(out.len());
            let (now, later) = out.split_at_mut(count);
            now.copy_from_slice(&rest[..count]);
            (self.place.offset, out) = (self.place.offset + count, later);
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<Vec<u8>, UnpackError> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes).map(|()| bytes)
    }

    pub(super) fn short(&mut self) -> Result<u16, UnpackError> {
        let mut bytes = [0; 2];
        self.fill(&mut bytes).map(|()| u16::from_le_bytes(bytes))
    }

    pub(super) fn word(&mut self) -> Result<u32, UnpackError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    pub(super) fn long(&mut self) -> Result<u64, UnpackError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }
}

/// The image is not what it says at `at`.
pub(super) fn damaged(at: u64, why: &str) -> UnpackError {
    UnpackError::archive(format!("byte {at}").as_bytes(), why)
}
