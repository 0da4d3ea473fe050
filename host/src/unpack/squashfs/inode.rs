//! Inodes.

use super::super::error::UnpackError;
use super::tables::{Place, Tables, damaged};

/// The longest target of a symbolic link: that of a path (limits.h).
const TARGET: u32 = 4096;
/// Most blocks of one file: two tebibytes of them, as they usually are.
const BLOCKS: u64 = 1 << 24;
/// Where an index would be that is not there.
const NONE: u32 = u32::MAX;

/// What an entry is, apart from its names.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) form: Form,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: u32,
    /// How many names it has.
    pub(super) links: u32,
    /// Which of the sets of attributes is its own.
    pub(super) attributes: Option<u32>,
}

#[derive(Debug)]
pub(super) enum Form {
    /// Where its entries are, and how many bytes they take.
    Directory(Place, u64),
    File(Data),
    Symlink(Vec<u8>),
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
    Fifo,
    Socket,
}

/// Where the content of a file is.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) size: u64,
    /// Where the first of its blocks is; the others follow it.
    pub(super) start: u64,
    /// Stored size of each, with a flag; zero is a hole.
    pub(super) blocks: Vec<u32>,
    /// What is left after whole blocks is in a block that files share: its index, and how far into it.
    pub(super) fragment: Option<(u32, u32)>,
}

impl Form {
    /// As directories say it.
    pub(super) fn number(&self) -> u16 {
        match self {
            Self::Directory(..) => 1,
            Self::File(_) => 2,
            Self::Symlink(_) => 3,
            Self::Device { block: true, .. } => 4,
            Self::Device { .. } => 5,
            Self::Fifo => 6,
            Self::Socket => 7,
        }
    }
}

impl Inode {
    /// The inode behind a reference; `entry` is named by errors.
    pub(super) fn read(tables: &mut Tables, reference: u64, entry: &[u8]) -> Result<Self, UnpackError> {
        let table = tables.superblock.inodes;
        let (place, block) = (Place::of(table, reference), tables.superblock.block);
        let directories = tables.superblock.directories;
        let mut reader = tables.at(place);
        let kind = reader.short()?;
        let mode = reader.short()? & 0o7777;
        let (owner, group) = (reader.short()?, reader.short()?);
        let mtime = reader.word()?;
        // Its own number, which nothing here needs: a reference says the same.
        reader.word()?;
        let (mut links, mut attributes) = (1, NONE);
        let form = match kind {
            1 => {
                let start = reader.word()?;
                reader.word()?;
                let (size, offset) = (reader.short()?, reader.short()?);
                reader.word()?;
                directory(Place::new(directories, start.into(), offset.into()), size.into())
            }
            8 => {
                reader.word()?;
                let (size, start) = (reader.word()?, reader.word()?);
                reader.word()?;
                // Of the index behind it nobody needs anything who reads all.
                reader.short()?;
                let offset = reader.short()?;
                attributes = reader.word()?;
                directory(Place::new(directories, start.into(), offset.into()), size.into())
            }
            2 | 9 => {
                let (start, size, fragment, offset);
                if kind == 2 {
                    start = u64::from(reader.word()?);
                    (fragment, offset) = (reader.word()?, reader.word()?);
                    size = u64::from(reader.word()?);
                } else {
                    (start, size) = (reader.long()?, reader.long()?);
                    // How much of it is holes, which the blocks say, too.
                    reader.long()?;
                    links = reader.word()?;
                    (fragment, offset) = (reader.word()?, reader.word()?);
                    attributes = reader.word()?;
                }
                let fragment = (fragment != NONE).then_some((fragment, offset));
                let (whole, rest) = (size / u64::from(block), size % u64::from(block));
                let count = whole + u64::from(rest > 0 && fragment.is_none());
                if count > BLOCKS {
                    return Err(UnpackError::limit(entry, BLOCKS, "blocks of one file"));
                }
                // In pieces: memory is taken for what is there, and not for what is said.
                let mut blocks = Vec::new();
                for _ in 0..count {
                    blocks.push(reader.word()?);
                }
                Form::File(Data { size, start, blocks, fragment })
            }
            3 | 10 => {
                links = reader.word()?;
                let length = reader.word()?;
                if length == 0 || length > TARGET {
                    let why = format!("a symbolic link has a target of {length} bytes");
                    return Err(damaged(table, &why));
                }
                let target = reader.bytes(length as usize)?;
                if kind == 10 {
                    attributes = reader.word()?;
                }
                Form::Symlink(target)
            }
            4 | 5 | 11 | 12 => {
                links = reader.word()?;
                let number = reader.word()?;
                if kind > 8 {
                    attributes = reader.word()?;
                }
                // As the kernel packs both into 32 bits (linux/kdev_t.h, new_decode_dev).
                let (major, minor) = ((number & 0xf_ff00) >> 8, number & 0xff | number >> 12 & 0xf_ff00);
                Form::Device { block: matches!(kind, 4 | 11), major, minor }
            }
            6 | 7 | 13 | 14 => {
                links = reader.word()?;
                if kind > 8 {
                    attributes = reader.word()?;
                }
                if matches!(kind, 6 | 13) { Form::Fifo } else { Form::Socket }
            }
            kind => return Err(damaged(table, &format!("an inode has the type {kind}, which is not known"))),
        };
        let attributes = (attributes != NONE).then_some(attributes);
        let (uid, gid) = (tables.id(owner)?, tables.id(group)?);
        Ok(Self { form, mode, uid, gid, mtime, links, attributes })
    }
}

/// Three bytes stand for `.` and `..`, which are not stored.
fn directory(place: Place, size: u64) -> Form {
    Form::Directory(place, size.saturating_sub(3))
}
