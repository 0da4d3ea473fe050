//! One compressed block.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use flate2::{Decompress, FlushDecompress};
use liblzma::stream::{Action, Stream};

/// What `xz` may take: a dictionary is as large as a block, of at most a mebibyte.
const XZ_MEMORY: u64 = 64 << 20;

/// How the blocks of an image are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// By the number in the superblock.
    pub(super) fn of(number: u16) -> Result<Self, String> {
        let other = match number {
            1 => return Ok(Self::Gzip),
            4 => return Ok(Self::Xz),
            6 => return Ok(Self::Zstd),
            2 => "LZMA",
            3 => "LZO",
            5 => "LZ4",
            _ => return Err(format!("its compression {number} is not known")),
        };
        Err(format!("it is compressed with {other}, which is not understood (gzip, xz and zstd are)"))
    }
}

/// Decodes one block after the other.
pub(super) struct Decoder {
    compression: Compression,
    input: Vec<u8>,
    gzip: Decompress,
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Decoder {
    pub(super) fn new(compression: Compression) -> std::io::Result<Self> {
        let (input, gzip) = (Vec::new(), Decompress::new(true));
        Ok(Self { compression, input, gzip, zstd: zstd::bulk::Decompressor::new()? })
    }

    /// The block of `stored` bytes at a place, of at most `most` bytes when it is decoded.
    pub(super) fn decode(
        &mut self,
        file: &File,
        at: u64,
        stored: usize,
        is_compressed: bool,
        most: usize,
    ) -> Result<Vec<u8>, String> {
        self.input.resize(stored, 0);
        file.read_exact_at(&mut self.input, at)
            .map_err(|error| format!("its block at byte {at} cannot be read ({error})"))?;
        if !is_compressed {
            return match stored <= most {
                true => Ok(self.input.clone()),
                false => Err(format!("its block at byte {at} is longer than a block")),
            };
        }
        self.decompress(most).map_err(|why| format!("the compressed data at byte {at} is damaged ({why})"))
    }

    /// Never more than `most` bytes, whatever the data says.
    fn decompress(&mut self, most: usize) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(most);
        let is_whole = match self.compression {
            Compression::Gzip => {
                self.gzip.reset(true);
                let end = self.gzip.decompress_vec(&self.input, &mut out, FlushDecompress::Finish);
                end.map_err(|error| error.to_string())? == flate2::Status::StreamEnd
            }
            Compression::Xz => {
                let mut stream =
                    Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(|error| error.to_string())?;
                let end = stream.process_vec(&self.input, &mut out, Action::Finish);
                end.map_err(|error| error.to_string())? == liblzma::stream::Status::StreamEnd
            }
            Compression::Zstd => {
                // The room that it may fill is the vector's.
                let end = self.zstd.decompress_to_buffer(&self.input, &mut out);
                end.map_err(|error| error.to_string())?;
                true
            }
        };
        match is_whole && out.len() <= most {
            true => Ok(out),
            false => Err("it is cut off, or longer than a block".into()),
        }
    }
}
