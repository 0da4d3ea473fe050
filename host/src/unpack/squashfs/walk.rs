//! From directories to members.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;
use std::thread;

use super::super::error::UnpackError;
use super::super::member::{Kind, Member};
use super::super::request::Limits;
use super::super::sparse::Map;
use super::ahead::{Ahead, Block, Event, Slot, Unwanted};
use super::attributes::{self, Attributes};
use super::inode::{Data, Form, Inode};
use super::tables::{Place, Tables, damaged};

/// In the stored size of a block: it is not compressed.
const PLAIN: u32 = 1 << 24;
/// Most entries below one header of a directory.
const GROUP: u32 = 256;
/// Blocks with ends of files that are kept for the next files: those of a directory share a few.
const FRAGMENTS: usize = 8;

/// Starts to walk in a thread of its own; what it meets comes through the other end.
pub(super) fn start(
    file: File,
    limits: &Limits,
    read: &Arc<AtomicU64>,
) -> Result<Receiver<Result<Event, UnpackError>>, UnpackError> {
    let tables = Tables::new(file, *limits, Arc::clone(read))?;
    let failed = |error| UnpackError::confine("set up a decoder", error);
    let (ahead, come) = Ahead::start(&tables.file, tables.superblock.compression, read).map_err(failed)?;
    let mut walk = Walk {
        tables,
        ahead,
        limits: *limits,
        names: HashMap::new(),
        entered: HashSet::new(),
        memory: 0,
        fragments: VecDeque::new(),
    };
    let work = move || {
        let end = match walk.all() {
            Ok(()) => Ok(Event::End),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Unwanted) => return,
        };
        // Nobody has to listen.
        drop(walk.ahead.tell(end));
    };
    thread::Builder::new().name("walk".to_owned()).stack_size(1 << 20).spawn(work).map_err(failed)?;
    Ok(come)
}

/// Why the walk ends early.
enum Stop {
    Failed(UnpackError),
    Unwanted,
}

impl From<UnpackError> for Stop {
    fn from(error: UnpackError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unwanted> for Stop {
    fn from(_: Unwanted) -> Self {
        Self::Unwanted
    }
}

struct Walk {
    tables: Tables,
    ahead: Ahead,
    limits: Limits,
    /// The first name of each inode with several, by its reference.
    names: HashMap<u64, Vec<u8>>,
    /// Directories that were entered, by the references of their inodes: each is in one place, or a few bytes make a tree without end.
    entered: HashSet<u64>,
    /// Bytes of both.
    memory: usize,
    /// Blocks with ends of files, by their index, the oldest first.
    fragments: VecDeque<(u32, Arc<Slot>)>,
}

/// A directory that is being read.
struct Level {
    path: Vec<u8>,
    place: Place,
    /// Bytes of it that are left.
    left: u64,
    /// Entries below the last header, and the block that their inodes are in.
    group: u32,
    block: u32,
    /// The name before.
    last: Vec<u8>,
}

/// An entry of a directory.
struct Entry {
    name: Vec<u8>,
    reference: u64,
    form: u16,
}

impl Walk {
    fn all(&mut self) -> Result<(), Stop> {
        let root = self.tables.superblock.root;
        let inode = Inode::read(&mut self.tables, root, b"/")?;
        let Form::Directory(place, left) = inode.form else {
            return Err(damaged(0, "its root is not a directory").into());
        };
        let mut levels = vec![self.enter(Vec::new(), root, (place, left), &inode)?];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = self.entry(level)? else {
                levels.pop();
                continue;
            };
            let mut path = level.path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            if let Some(below) = self.member(path, &entry)? {
                levels.push(below);
            }
        }
        Ok(())
    }

    /// The next entry of a directory.
    fn entry(&mut self, level: &mut Level) -> Result<Option<Entry>, UnpackError> {
        if level.group == 0 {
            if level.left == 0 {
                return Ok(None);
            }
            let mut reader = self.tables.at(level.place);
            let (count, block) = (reader.word()?, reader.word()?);
            // The number of the first inode, which nobody here needs.
            reader.word()?;
            level.place = reader.place;
            take(level, 12)?;
            if count >= GROUP {
                return Err(bad(level, "a group of its entries is too long"));
            }
            (level.group, level.block) = (count + 1, block);
        }
        let mut reader = self.tables.at(level.place);
        let offset = reader.short()?;
        // A difference of numbers of inodes.
        reader.short()?;
        let (form, length) = (reader.short()?, usize::from(reader.short()?) + 1);
        take(level, 8 + length as u64)?;
        let name = reader.bytes(length)?;
        level.place = reader.place;
        level.group -= 1;
        if name.contains(&b'/') || name == b"." || name == b".." {
            return Err(bad(level, "it holds a name that is a path"));
        }
        // Two of one name, a link and a directory, have led readers out of the tree.
        if name <= level.last {
            return Err(bad(level, "its names are not in order, or one comes twice"));
        }
        level.last.clone_from(&name);
        Ok(Some(Entry { name, reference: u64::from(level.block) << 16 | u64::from(offset), form }))
    }

    /// Tells of an entry; a directory is entered.
    fn member(&mut self, path: Vec<u8>, entry: &Entry) -> Result<Option<Level>, Stop> {
        let named = |error| named(&path, error);
        let mut inode = Inode::read(&mut self.tables, entry.reference, &path).map_err(named)?;
        if inode.form.number() != entry.form {
            return Err(UnpackError::archive(&path, "its directory says that it is something else").into());
        }
        if let Form::Directory(place, left) = inode.form {
            return self.enter(path, entry.reference, (place, left), &inode).map(Some);
        }
        if inode.links > 1 && matches!(inode.form, Form::File(_) | Form::Symlink(_) | Form::Fifo) {
            if let Some(first) = self.names.get(&entry.reference) {
                let kind = Kind::Hardlink(first.clone());
                self.ahead.tell(Ok(Event::Member(header(path, kind, &inode, Vec::new()))))?;
                return Ok(None);
            }
            self.remember(&path, path.len())?;
            self.names.insert(entry.reference, path.clone());
        }
        let attributes = self.attributes(&path, &inode)?;
        let kind = match &mut inode.form {
            Form::Symlink(target) => Kind::Symlink(std::mem::take(target)),
            Form::Device { block, major, minor } => {
                Kind::Device { block: *block, major: *major, minor: *minor }
            }
            Form::Fifo => Kind::Fifo,
            Form::Socket => Kind::Socket,
            Form::File(data) => content(&path, data, self.tables.superblock.block)?,
            // Entered above.
            Form::Directory(..) => return Ok(None),
        };
        self.ahead.tell(Ok(Event::Member(header(path.clone(), kind, &inode, attributes))))?;
        if let Form::File(data) = &inode.form {
            self.data(&path, data)?;
        }
        Ok(None)
    }

    fn enter(
        &mut self,
        path: Vec<u8>,
        reference: u64,
        (place, left): (Place, u64),
        inode: &Inode,
    ) -> Result<Level, Stop> {
        // One level more than names may have is refused when the name is.
        if !self.entered.insert(reference) {
            return Err(UnpackError::archive(&path, "it is a directory that is in another place, too").into());
        }
        self.remember(&path, 0)?;
        let attributes = self.attributes(&path, inode)?;
        let name = if path.is_empty() { b".".to_vec() } else { path.clone() };
        self.ahead.tell(Ok(Event::Member(header(name, Kind::Directory, inode, attributes))))?;
        Ok(Level { path, place, left, group: 0, block: 0, last: Vec::new() })
    }

    fn attributes(&mut self, path: &[u8], inode: &Inode) -> Result<Attributes, UnpackError> {
        let Some(index) = inode.attributes else { return Ok(Vec::new()) };
        attributes::read(&mut self.tables, index).map_err(|error| named(path, error))
    }

    /// Counts what is kept until the end.
    fn remember(&mut self, entry: &[u8], bytes: usize) -> Result<(), UnpackError> {
        self.memory += bytes + 64;
        match self.memory > self.limits.memory {
            true => {
                let what = "bytes of names of files with several";
                Err(UnpackError::limit(entry, self.limits.memory as u64, what))
            }
            false => Ok(()),
        }
    }

    /// Has the blocks of a file decoded.
    fn data(&mut self, path: &[u8], data: &Data) -> Result<(), Stop> {
        let block = self.tables.superblock.block;
        let (mut at, mut left) = (data.start, data.size);
        for stored in &data.blocks {
            let most = u32::try_from(left).map_or(block, |left| left.min(block));
            left -= u64::from(most);
            if is_hole(*stored) {
                continue;
            }
            let slot = self.decode(path, (at, *stored), (most, true))?;
            self.ahead.tell(Ok(Event::Data(slot, 0..most as usize)))?;
            at = at.saturating_add(u64::from(stored & !PLAIN));
        }
        // What is left has less than a block.
        let rest = usize::try_from(left).unwrap_or(usize::MAX);
        if let Some((index, offset)) = data.fragment.filter(|_| rest > 0) {
            let slot = self.fragment(path, index)?;
            let offset = offset as usize;
            self.ahead.tell(Ok(Event::Data(slot, offset..offset.saturating_add(rest))))?;
        }
        Ok(())
    }

    /// A block that ends of several files are in.
    fn fragment(&mut self, path: &[u8], index: u32) -> Result<Arc<Slot>, Stop> {
        if let Some((_, slot)) = self.fragments.iter().find(|(own, _)| *own == index) {
            return Ok(Arc::clone(slot));
        }
        let missing = || damaged(0, "an end of a file is in a block that is not there");
        let (table, count) = self.tables.superblock.fragments.ok_or_else(missing)?;
        if index >= count {
            return Err(missing().into());
        }
        let mut row = self.tables.row(table, index, 16)?;
        let (at, stored) = (row.long()?, row.word()?);
        let block = self.tables.superblock.block;
        if self.fragments.len() == FRAGMENTS {
            self.fragments.pop_front();
        }
        let slot = self.decode(path, (at, stored), (block, false))?;
        self.fragments.push_back((index, Arc::clone(&slot)));
        Ok(slot)
    }

    fn decode(
        &mut self,
        path: &[u8],
        (at, stored): (u64, u32),
        (most, is_exact): (u32, bool),
    ) -> Result<Arc<Slot>, Stop> {
        let (stored, is_compressed) = (stored & !PLAIN, stored & PLAIN == 0);
        if stored > self.tables.superblock.block {
            return Err(UnpackError::archive(path, "a block of it is longer than a block").into());
        }
        self.tables.inside(at, stored.into()).map_err(|error| named(path, error))?;
        self.tables.spend(most.into(), path)?;
        Ok(self.ahead.block(Block { at, stored, is_compressed, most, is_exact })?)
    }
}

fn is_hole(stored: u32) -> bool {
    stored & !PLAIN == 0
}

/// A file, or one with holes.
fn content(path: &[u8], data: &Data, block: u32) -> Result<Kind, UnpackError> {
    let block = u64::from(block);
    let mut map = Map { size: data.size, pieces: Vec::new() };
    if !data.blocks.iter().any(|stored| is_hole(*stored)) {
        return Ok(Kind::File(data.size));
    }
    for (index, _) in data.blocks.iter().enumerate().filter(|(_, stored)| !is_hole(**stored)) {
        let at = index as u64 * block;
        map.join((at, (data.size - at).min(block))).map_err(|why| UnpackError::archive(path, why))?;
    }
    let (whole, rest) = (data.blocks.len() as u64 * block, data.size % block);
    if data.fragment.is_some() && rest > 0 {
        map.join((whole, rest)).map_err(|why| UnpackError::archive(path, why))?;
    }
    Ok(Kind::Sparse(map))
}

fn header(name: Vec<u8>, kind: Kind, inode: &Inode, attributes: Attributes) -> Member {
    let (uid, gid) = (inode.uid.into(), inode.gid.into());
    let (mode, mtime) = (inode.mode.into(), (inode.mtime.into(), 0));
    Member { name, kind, mode, uid, gid, mtime, attributes, acls: [None, None] }
}

fn take(level: &mut Level, bytes: u64) -> Result<(), UnpackError> {
    let left = level.left.checked_sub(bytes);
    level.left = left.ok_or_else(|| bad(level, "its last entry is longer than it is"))?;
    Ok(())
}

fn bad(level: &Level, why: &str) -> UnpackError {
    let name = if level.path.is_empty() { &b"/"[..] } else { &level.path };
    UnpackError::archive(name, why)
}

/// An error about a table, at the entry that led there.
fn named(path: &[u8], error: UnpackError) -> UnpackError {
    match error {
        UnpackError::Archive { place, why } => UnpackError::archive(path, format!("{why} ({place})")),
        other => other,
    }
}
