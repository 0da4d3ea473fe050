//! What is decoded before somebody waits for it.
//!
//! What comes is told in order; the data in it is a promise, which decoders fulfil in any order. How many promises there are at a
//! time is bounded, so that memory is, too.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use super::super::error::UnpackError;
use super::super::member::Member;
use super::block::{Compression, Decoder};

/// Members and data that may wait for the unpacker.
const WAITING: usize = 512;
/// Blocks that are decoded or about to be, and not unpacked: at a mebibyte at most.
const BLOCKS: usize = 32;
/// More decoders would wait for the disk.
const DECODERS: usize = 8;

/// What comes next.
pub(super) enum Event {
    Member(Member),
    /// Data of the member before, in a part of a block.
    Data(Arc<Slot>, Range<usize>),
    End,
}

/// The content of a block, when it is there.
pub(super) struct Slot {
    content: OnceLock<Result<Vec<u8>, String>>,
    room: Arc<Room>,
}

impl Slot {
    /// Waits for it.
    pub(super) fn content(&self) -> Result<&[u8], String> {
        self.content.wait().as_deref().map_err(Clone::clone)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.room.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.room.less.notify_one();
    }
}

/// How many slots there are.
#[derive(Default)]
struct Room {
    taken: Mutex<usize>,
    less: Condvar,
}

/// One block to decode.
pub(super) struct Block {
    pub(super) at: u64,
    pub(super) stored: u32,
    pub(super) is_compressed: bool,
    /// Bytes that it has at most.
    pub(super) most: u32,
    /// Whether it has exactly as many.
    pub(super) is_exact: bool,
}

/// A block with the slot for it.
struct Job {
    block: Block,
    slot: Arc<Slot>,
}

impl Drop for Job {
    fn drop(&mut self) {
        // Whoever waits is told also when a decoder met a bug; what is there already stays.
        drop(self.slot.content.set(Err("its decoder stopped".into())));
    }
}

/// The walk's end of it.
pub(super) struct Ahead {
    events: SyncSender<Result<Event, UnpackError>>,
    jobs: Sender<Job>,
    room: Arc<Room>,
}

/// Nobody wants any more of it.
pub(super) struct Unwanted;

impl Ahead {
    /// Starts decoders; the other end is the unpacker's.
    pub(super) fn start(
        file: &Arc<File>,
        compression: Compression,
        read: &Arc<AtomicU64>,
    ) -> std::io::Result<(Self, Receiver<Result<Event, UnpackError>>)> {
        let (events, come) = sync_channel(WAITING);
        let (jobs, wanted) = channel::<Job>();
        let wanted = Arc::new(Mutex::new(wanted));
        let count = thread::available_parallelism().map_or(1, usize::from).min(DECODERS);
        for _ in 0..count {
            let (file, wanted, read) = (Arc::clone(file), Arc::clone(&wanted), Arc::clone(read));
            let mut decoder = Decoder::new(compression)?;
            let work = move || {
                // One waits for the next job, and the others for it.
                let next = || wanted.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
                while let Some(job) = next() {
                    let content = decode(&mut decoder, &file, &job.block);
                    read.fetch_add(job.block.stored.into(), Ordering::Relaxed);
                    drop(job.slot.content.set(content));
                }
            };
            thread::Builder::new().name("decode".to_owned()).stack_size(1 << 20).spawn(work)?;
        }
        Ok((Self { events, jobs, room: Arc::default() }, come))
    }

    /// Has a block decoded; waits while too many are.
    pub(super) fn block(&self, block: Block) -> Result<Arc<Slot>, Unwanted> {
        let taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut usize| *taken >= BLOCKS;
        let mut taken = self.room.less.wait_while(taken, full).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        drop(taken);
        let slot = Arc::new(Slot { content: OnceLock::new(), room: Arc::clone(&self.room) });
        self.jobs.send(Job { block, slot: Arc::clone(&slot) }).map_err(|_| Unwanted)?;
        Ok(slot)
    }

    pub(super) fn tell(&self, event: Result<Event, UnpackError>) -> Result<(), Unwanted> {
        self.events.send(event).map_err(|_| Unwanted)
    }
}

fn decode(decoder: &mut Decoder, file: &File, block: &Block) -> Result<Vec<u8>, String> {
    let Block { at, stored, is_compressed, most, is_exact } = *block;
    let content = decoder.decode(file, at, stored as usize, is_compressed, most as usize)?;
    if is_exact && content.len() != most as usize {
        let length = content.len();
        return Err(format!("its block at byte {at} has {length} bytes, and {most} belong there"));
    }
    Ok(content)
}
