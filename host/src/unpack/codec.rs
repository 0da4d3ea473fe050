//! Which compression, by its first bytes, and its decoder.
//!
//! Names lie and pipes have none, so only the content decides. Decoding has a thread of its own: it is as
//! slow as making files, and both can go on at once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::mpsc::{Receiver, sync_channel};

use super::error::UnpackError;
use super::meter::{Counted, Input};
use super::request::Limits;

/// Decoded bytes that are passed on at once, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;
/// `xz -9` needs 65 MiB to decode; the format allows four gigabytes.
const XZ_MEMORY: u64 = 256 << 20;
/// log2 of the largest window: what `zstd -22` and `--long` use, and not `--long=31` with its two gigabytes.
const ZSTD_WINDOW: u32 = 27;

type Source = io::Chain<Cursor<Vec<u8>>, Counted<File>>;

/// The forms that an archive may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

/// Known by their first bytes, and not understood: the message can be precise.
const OTHERS: &[(&[u8], &str)] = &[
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x5d\x00\x00", "lzma"),
    (b"PK\x03\x04", "a zip archive"),
    (b"hsqs", "a squashfs image"),
    (b"QFI\xfb", "a disk image"),
    (b"!<arch>", "a Debian package or ar archive"),
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
    let reader = decoder(codec, source).map_err(|e| UnpackError::confine("set up a decoder", e))?;
    Ok(Input::new(Box::new(reader), count, limits))
}

fn decoder(codec: Codec, source: Source) -> io::Result<Box<dyn BufRead>> {
    let source = BufReader::with_capacity(PIECE, source);
    Ok(match codec {
        Codec::Plain => Box::new(source),
        Codec::Gzip => Box::new(threaded(flate2::bufread::MultiGzDecoder::new(source))?),
        Codec::Xz => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(threaded(liblzma::bufread::XzDecoder::new_stream(source, stream))?)
        }
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(threaded(decoder)?)
        }
    })
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
