//! Counts what goes in and comes out: the limits against bombs.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::error::UnpackError;
use super::request::Limits;

/// Output that is free of the ratio: a small image of zeros is no bomb.
pub(crate) const FREE: u64 = 1 << 30;

/// Counts the bytes read of the source.
#[derive(Debug)]
pub(crate) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R) -> (Self, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        (Self { inner, count: Arc::clone(&count) }, count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Where plain bytes come from.
pub(crate) trait Supply {
    /// The next bytes, empty at the end only. What is read ahead beyond `most` is lost to other readers of the source.
    fn peek(&mut self, most: u64) -> io::Result<&[u8]>;
    fn consume(&mut self, n: usize);
}

impl<R: BufRead> Supply for R {
    fn peek(&mut self, _: u64) -> io::Result<&[u8]> {
        self.fill_buf()
    }
    fn consume(&mut self, n: usize) {
        BufRead::consume(self, n);
    }
}

/// The decompressed archive, under limits.
pub(crate) struct Input {
    reader: Box<dyn Supply>,
    source: Arc<AtomicU64>,
    limits: Limits,
    /// Of everything taken, where somebody wants it, and as it was when the current member began.
    digest: Option<(Sha256, Sha256)>,
    /// Bytes taken so far: the place to name when the archive itself is broken.
    pub(crate) taken: u64,
}

impl Input {
    pub(crate) fn new(reader: Box<dyn Supply>, source: Arc<AtomicU64>, limits: Limits) -> Self {
        Self { reader, source, limits, digest: None, taken: 0 }
    }

    /// The same with a digest of `before` and everything taken. Such an input is plain already: no ratio holds.
    pub(crate) fn digested(reader: Box<dyn Supply>, limits: Limits, before: &[u8]) -> Self {
        let digest = Sha256::new_with_prefix(before);
        let limits = Limits { ratio: u64::MAX, ..limits };
        let source = Arc::new(AtomicU64::new(u64::MAX));
        Self { reader, source, limits, digest: Some((digest.clone(), digest)), taken: 0 }
    }

    /// From here on with a digest of everything taken.
    pub(crate) fn digest_all(&mut self) {
        self.digest = Some((Sha256::new(), Sha256::new()));
    }

    /// The digest of everything taken so far.
    pub(crate) fn digest_so_far(&self) -> String {
        self.digest.as_ref().map_or_else(String::new, |(now, _)| format!("{:x}", now.clone().finalize()))
    }

    /// A member begins here.
    pub(crate) fn mark(&mut self) {
        if let Some((now, at)) = &mut self.digest {
            at.clone_from(now);
        }
    }

    /// The digest up to the current member's first header, as hexadecimal digits; empty if nobody wanted one.
    pub(crate) fn digest(&self) -> String {
        self.digest.as_ref().map_or_else(String::new, |(_, at)| format!("{:x}", at.clone().finalize()))
    }

    /// Bytes of the source that were read.
    pub(crate) fn source_read(&self) -> u64 {
        self.source.load(Ordering::Relaxed)
    }

    /// The next bytes, at most `most`, empty at the end only; `entry` is named by errors.
    pub(crate) fn peek(&mut self, most: u64, entry: &[u8]) -> Result<&[u8], UnpackError> {
        if self.taken > self.limits.bytes {
            return Err(UnpackError::limit(entry, self.limits.bytes, "bytes of content"));
        }
        if self.taken > FREE && self.taken / self.limits.ratio.max(1) > self.source_read() {
            return Err(UnpackError::limit(entry, self.limits.ratio, "bytes of content per byte of archive"));
        }
        let place = self.taken;
        match self.reader.peek(most) {
            Ok(bytes) => Ok(&bytes[..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))]),
            Err(e) => Err(UnpackError::archive(&place_of(entry, place), text(&e))),
        }
    }

    pub(crate) fn consume(&mut self, n: usize) {
        if let Some((now, _)) = &mut self.digest
            && n > 0
            // They have been looked at, so they are there.
            && let Ok(bytes) = self.reader.peek(n as u64)
        {
            now.update(&bytes[..n.min(bytes.len())]);
        }
        self.reader.consume(n);
        self.taken += n as u64;
    }

    /// Fills the whole buffer, or says how much there was.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], entry: &[u8]) -> Result<usize, UnpackError> {
        let mut have = 0;
        while have < buffer.len() {
            let bytes = self.peek((buffer.len() - have) as u64, entry)?;
            let n = bytes.len();
            if n == 0 {
                break;
            }
            buffer[have..have + n].copy_from_slice(bytes);
            have += n;
            self.consume(n);
        }
        Ok(have)
    }

    /// Passes over bytes that nobody wants.
    pub(crate) fn skip(&mut self, mut bytes: u64, entry: &[u8]) -> Result<(), UnpackError> {
        while bytes > 0 {
            let n = self.peek(bytes, entry)?.len();
            if n == 0 {
                return Err(self.cut(entry));
            }
            self.consume(n);
            bytes -= n as u64;
        }
        Ok(())
    }

    /// The error for an archive that ends too early.
    pub(crate) fn cut(&self, entry: &[u8]) -> UnpackError {
        UnpackError::archive(&place_of(entry, self.taken), "it ends in the middle: it is cut off")
    }
}

pub(crate) fn place_of(entry: &[u8], taken: u64) -> Vec<u8> {
    if entry.is_empty() { format!("byte {taken}").into_bytes() } else { entry.to_owned() }
}

/// What a decoder says, in the user's words where the usual ones are unhelpful.
fn text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends in the middle: it is cut off".to_owned(),
        _ => format!("the compressed data is damaged ({error})"),
    }
}
