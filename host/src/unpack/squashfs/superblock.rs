//! The first block of the image: where everything is.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::super::error::UnpackError;
use super::block::Compression;

/// Bytes of it.
const SIZE: usize = 96;
/// The version of the format; images of others are older than Linux 2.6.29.
const VERSION: (u16, u16) = (4, 0);
/// log2 of the smallest and the largest block.
const BLOCK_LOG: std::ops::RangeInclusive<u16> = 12..=20;
/// Where a table would begin that is not there.
const NONE: u64 = u64::MAX;

/// What has been checked of it. Places are bytes from the start of the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Superblock {
    pub(super) compression: Compression,
    /// Bytes of a block of a file.
    pub(super) block: u32,
    /// Bytes of the image; the file may be longer.
    pub(super) size: u64,
    /// Where the root's inode is: see [`super::tables::Place::of`].
    pub(super) root: u64,
    pub(super) inodes: u64,
    pub(super) directories: u64,
    pub(super) ids: (u64, u32),
    pub(super) fragments: Option<(u64, u32)>,
    pub(super) attributes: Option<u64>,
}

impl Superblock {
    pub(super) fn read(file: &File) -> Result<Self, UnpackError> {
        let mut bytes = [0; SIZE];
        file.read_exact_at(&mut bytes, 0).map_err(|_| bad("it is shorter than its first block"))?;
        let length = super::length(file).map_err(|error| bad(&error.to_string()))?;
        Self::parse(&bytes, length)
    }

    fn parse(bytes: &[u8; SIZE], length: u64) -> Result<Self, UnpackError> {
        let (short, word) =
            (|at| u16::from_le_bytes(part(bytes, at)), |at| u32::from_le_bytes(part(bytes, at)));
        let long = |at| u64::from_le_bytes(part(bytes, at));
        let version = (short(28), short(30));
        if version != VERSION {
            let (major, minor) = version;
            return Err(bad(&format!("it has version {major}.{minor} of the format, and 4.0 is known")));
        }
        let (block, log) = (word(12), short(22));
        if !BLOCK_LOG.contains(&log) || block != 1 << log {
            return Err(bad(&format!("it has blocks of {block} bytes")));
        }
        let size = long(40);
        if size > length {
            return Err(bad(&format!("it is cut off: it has {length} of {size} bytes")));
        }
        // A table that begins beyond the end is found when something is read of it.
        let table = |at| Some(long(at)).filter(|place| *place != NONE);
        Ok(Self {
            compression: Compression::of(short(20)).map_err(|why| bad(&why))?,
            block,
            size,
            root: long(32),
            inodes: long(64),
            directories: long(72),
            ids: (long(48), short(26).into()),
            fragments: table(80).map(|place| (place, word(16))),
            attributes: table(56),
        })
    }
}

/// The bytes of a number; zeros where there are none.
pub(super) fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn bad(why: &str) -> UnpackError {
    UnpackError::archive(b"its start", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..4].copy_from_slice(b"hsqs");
        bytes[12..16].copy_from_slice(&131_072u32.to_le_bytes());
        bytes[20] = 1;
        bytes[22] = 17;
        bytes[28] = 4;
        bytes[40..48].copy_from_slice(&500u64.to_le_bytes());
        bytes
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert_eq!(Superblock::parse(&good(), 500).unwrap().block, 131_072);
        let said = |at: usize, value: u8, length| {
            let mut bytes = good();
            bytes[at] = value;
            Superblock::parse(&bytes, length).unwrap_err().to_string()
        };
        assert!(said(28, 3, 500).contains("version 3.0"));
        assert!(said(22, 16, 500).contains("blocks of 131072"));
        assert!(said(20, 3, 500).contains("LZO"));
        assert!(said(20, 99, 500).contains("99"));
        assert!(said(96 - 1, 0, 499).contains("499 of 500"));
    }
}
