//! Which compression, by its first bytes, and its decoder.
//!
//! Names lie and pipes have none, so only the content decides. Decoding has a thread of its own: it is as
//! slow as making files, and both can go on at once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::mpsc::{Receiver, sync_channel};

use super::deb;
use super::error::UnpackError;
use super::meter::{Counted, Input};
use super::request::Limits;

/// Decoded bytes that are passed on at once, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;
/// `xz -9` needs 65 MiB to decode; the format allows four gigabytes.
const XZ_MEMORY: u64 = 256 << 20;
/// More would only take memory.
const XZ_THREADS: usize = 8;
/// log2 of the largest window: what `zstd -22` and `--long` use, and not `--long=31` with its two gigabytes.
const ZSTD_WINDOW: u32 = 27;

/// The forms that an archive may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Plain,
    Gzip,
    Xz,
    Zstd,
    /// A Debian package, in which the archive is.
    Package,
}

/// Known by their first bytes, and not understood: the message can be precise.
const OTHERS: &[(&[u8], &str)] = &[
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x5d\x00\x00", "lzma"),
    (b"PK\x03\x04", "a zip archive"),
    // As a file it is understood, where a tree is wanted.
    (b"hsqs", "a squashfs image in a stream or in a package"),
    (b"QFI\xfb", "a disk image"),
    (b"\x7fELF", "a program"),
];

fn detect(head: &[u8]) -> Result<Codec, UnpackError> {
    let zstd_skippable = head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
    if head.starts_with(&[0x1f, 0x8b]) {
        Ok(Codec::Gzip)
    } else if head.starts_with(b"\xfd7zXZ\0") {
        Ok(Codec::Xz)
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || zstd_skippable {
        Ok(Codec::Zstd)
    } else if head.starts_with(deb::MAGIC) {
        Ok(Codec::Package)
    } else if head.is_empty() {
        Err(UnpackError::archive(b"its start", "it is empty"))
    } else if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        Err(UnpackError::archive(b"its start", format!("it is {name}, which is not understood")))
    } else {
        Ok(Codec::Plain)
    }
}

/// The decompressed content of an archive, whatever its compression.
pub(crate) fn open(archive: File, limits: Limits) -> Result<Input, UnpackError> {
    let (mut counted, count) = Counted::new(archive);
    let mut head = Vec::new();
    counted
        .by_ref()
        .take(8)
        .read_to_end(&mut head)
        .map_err(|e| UnpackError::archive(b"its start", e.to_string()))?;
    let codec = detect(&head)?;
    let source = Cursor::new(head).chain(counted);
    let reader = match codec {
        Codec::Package => {
            let mut tree = deb::tree(source)?;
            let mut head = Vec::new();
            let read = tree.by_ref().take(8).read_to_end(&mut head);
            read.map_err(|e| UnpackError::archive(b"its tree", e.to_string()))?;
            match detect(&head)? {
                Codec::Package => {
                    return Err(UnpackError::archive(b"its tree", "it is a package in a package"));
                }
                codec => decoder(codec, Cursor::new(head).chain(tree)),
            }
        }
        codec => decoder(codec, source),
    };
    let reader = reader.map_err(|e| UnpackError::confine("set up a decoder", e))?;
    Ok(Input::new(Box::new(reader), count, limits))
}

fn decoder(codec: Codec, source: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead>> {
    let source = BufReader::with_capacity(PIECE, source);
    Ok(match codec {
        // A package was opened before.
        Codec::Plain | Codec::Package => Box::new(source),
        Codec::Gzip => Box::new(threaded(flate2::bufread::MultiGzDecoder::new(source))?),
        Codec::Xz => Box::new(threaded(Xz { decoder: Some(xz(source)?) })?),
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(threaded(decoder)?)
        }
    })
}

/// One stream of xz, its blocks decoded side by side where it has several: `xz -T` and `xz` since 5.6 write such, and so do the
/// servers of images. Beyond its memory it uses fewer threads.
fn xz<R: BufRead>(source: R) -> io::Result<liblzma::bufread::XzDecoder<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(XZ_THREADS);
    let stream = liblzma::stream::MtStreamBuilder::new()
        .threads(u32::try_from(threads).unwrap_or(1))
        .memlimit_threading(XZ_MEMORY)
        .memlimit_stop(XZ_MEMORY)
        .decoder()?;
    Ok(liblzma::bufread::XzDecoder::new_stream(source, stream))
}

/// Streams of xz, one after the other with padding between, which together are one file (xz-file-format, section 2).
struct Xz<R: BufRead> {
    /// `None` at the end.
    decoder: Option<liblzma::bufread::XzDecoder<R>>,
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Some(ended) = self.decoder.take() else { break };
            let mut source = ended.into_inner();
            if skip_padding(&mut source)? {
                self.decoder = Some(xz(source)?);
            }
        }
        Ok(0)
    }
}

/// Whether anything follows.
fn skip_padding(source: &mut impl BufRead) -> io::Result<bool> {
    let mut padding = 0;
    loop {
        let bytes = source.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let more = zeros < bytes.len();
        let end = bytes.is_empty();
        source.consume(zeros);
        padding += zeros;
        if more || end {
            let whole = padding % 4 == 0;
            let error =
                || io::Error::new(io::ErrorKind::InvalidData, "the padding between two streams is cut off");
            return if whole { Ok(more) } else { Err(error()) };
        }
    }
}

/// Pieces made by a thread of its own.
struct Threaded {
    pieces: Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    at: usize,
}

fn threaded(mut decoder: impl Read + Send + 'static) -> io::Result<Threaded> {
    let (send, pieces) = sync_channel(WAITING);
    let work = move || {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let result = decoder.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            let end = piece.is_empty() || result.is_err();
            // What was decoded before an error still counts: the entry that it cuts off is then named.
            if !piece.is_empty() && send.send(Ok(piece)).is_err() {
                return;
            }
            if let Err(e) = result {
                // Nobody listens any more when the other side has failed already, with a better message.
                drop(send.send(Err(e)));
            }
            if end {
                return;
            }
        }
    };
    std::thread::Builder::new().name("decode".to_owned()).stack_size(1 << 20).spawn(work)?;
    Ok(Threaded { pieces, current: Vec::new(), at: 0 })
}

impl BufRead for Threaded {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len() {
            // A closed channel is the end of the data: errors have been sent before.
            self.current = self.pieces.recv().unwrap_or(Ok(Vec::new()))?;
            self.at = 0;
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.current.len());
    }
}

impl Read for Threaded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

/// The count of an input that has no source to count.
#[cfg(test)]
pub(crate) fn from_bytes(bytes: Vec<u8>, limits: Limits) -> Input {
    Input::new(Box::new(Cursor::new(bytes)), std::sync::Arc::default(), limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_known_by_content() {
        assert_eq!(detect(b"\x1f\x8b\x08").unwrap(), Codec::Gzip);
        assert_eq!(detect(b"\xfd7zXZ\0\0").unwrap(), Codec::Xz);
        assert_eq!(detect(&[0x28, 0xb5, 0x2f, 0xfd, 0]).unwrap(), Codec::Zstd);
        assert_eq!(detect(&[0x51, 0x2a, 0x4d, 0x18, 0]).unwrap(), Codec::Zstd);
        assert_eq!(detect(b"./\0\0\0").unwrap(), Codec::Plain);
        assert!(detect(b"BZh91AY").unwrap_err().to_string().contains("bzip2"));
        assert!(detect(b"").unwrap_err().to_string().contains("empty"));
    }

    fn encoded(content: &[u8], block: u64) -> Vec<u8> {
        let mut builder = liblzma::stream::MtStreamBuilder::new();
        let stream = builder.threads(2).preset(0).block_size(block).encoder().unwrap();
        let mut out = Vec::new();
        liblzma::read::XzEncoder::new_stream(content, stream).read_to_end(&mut out).unwrap();
        out
    }

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Xz { decoder: Some(xz(bytes)?) }.read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn blocks_and_streams_of_xz_make_one_content() {
        let content: Vec<u8> = (0..1_000_000u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        let blocks = encoded(&content, 1 << 18);
        assert_eq!(decoded(&blocks).unwrap(), content);
        // Two streams with padding between and behind.
        let two = [&encoded(b"one ", 1 << 18)[..], &[0; 8], &blocks, &[0; 4]].concat();
        let both = decoded(&two).unwrap();
        assert!(both.starts_with(b"one ") && both[4..] == content[..]);
        for bad in [
            &blocks[..blocks.len() - 20],
            &blocks[..blocks.len() / 2],
            &[&blocks[..], b"\0\0"].concat()[..],
            &[&blocks[..], b"more"].concat()[..],
        ] {
            assert!(decoded(bad).is_err());
        }
        let mut broken = blocks.clone();
        let middle = broken.len() / 2;
        broken[middle] ^= 1;
        assert!(decoded(&broken).is_err());
    }

    /// A panic in the decoder's thread must not look like the end of the archive; the end marker says so.
    #[test]
    fn a_piece_before_an_error_is_delivered_first() {
        struct Bad(bool);
        impl Read for Bad {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("broken"));
                }
                buffer[0] = 7;
                Ok(1)
            }
        }
        let mut reader = threaded(Bad(false)).unwrap();
        assert_eq!(reader.fill_buf().unwrap(), [7]);
        reader.consume(1);
        assert_eq!(reader.fill_buf().unwrap_err().to_string(), "broken");
    }
}
