//! Extended attributes.

use super::super::error::UnpackError;
use super::superblock::part;
use super::tables::{Place, Tables, damaged};

/// Bytes of names and values of one entry, as in the extended headers of an archive.
const TOGETHER: u64 = 1 << 20;
/// Bytes of a row in the table of sets.
const ROW: u64 = 16;
/// In a type: the value is somewhere else.
const ELSEWHERE: u16 = 1 << 8;

/// The namespaces, by their numbers.
const PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// Full names, and values.
pub(super) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// One set of attributes.
pub(super) fn read(tables: &mut Tables, index: u32) -> Result<Attributes, UnpackError> {
    let Some(header) = tables.superblock.attributes else {
        return Err(damaged(0, "an entry has attributes, and there is no table of them"));
    };
    // Not compressed: where the attributes begin, and how many sets of them there are.
    let mut start = [0; 12];
    tables.plain(header, &mut start)?;
    let (content, sets) = (u64::from_le_bytes(part(&start, 0)), u32::from_le_bytes(part(&start, 8)));
    if index >= sets {
        return Err(damaged(header, &format!("there is no set of attributes {index} of {sets}")));
    }
    // The header has 16 bytes; the list of blocks follows it.
    let mut row = tables.row(header.saturating_add(ROW), index, ROW)?;
    let (reference, count) = (row.long()?, row.word()?);
    let mut place = Place::of(content, reference);
    let (mut all, mut room) = (Vec::new(), TOGETHER);
    let mut take = |bytes: u64| match room.checked_sub(bytes) {
        Some(left) => {
            room = left;
            Ok(())
        }
        None => Err(UnpackError::limit(b"attributes", TOGETHER, "bytes of attributes of one entry")),
    };
    for _ in 0..count {
        let mut reader = tables.at(place);
        let (kind, length) = (reader.short()?, reader.short()?);
        take(u64::from(length) + 8)?;
        let own = reader.bytes(length.into())?;
        let length = reader.word()?;
        take(length.into())?;
        let stored = reader.bytes(length as usize)?;
        place = reader.place;
        let value = match kind & ELSEWHERE {
            0 => stored,
            _ => {
                let reference = <[u8; 8]>::try_from(stored)
                    .map_err(|_| damaged(header, "an attribute says badly where its value is"))?;
                let mut reader = tables.at(Place::of(content, u64::from_le_bytes(reference)));
                let length = reader.word()?;
                take(length.into())?;
                reader.bytes(length as usize)?
            }
        };
        let prefix = PREFIXES
            .get(usize::from(kind & !ELSEWHERE))
            .ok_or_else(|| damaged(header, "an attribute has a namespace that is not known"))?;
        all.push(([*prefix, own.as_slice()].concat(), value));
    }
    Ok(all)
}
