//! The stream that is written, with the digest of it.

use std::fs::File;
use std::io::{self, Write as _};

use sha2::{Digest as _, Sha256};

use super::super::section::SEAL;
use super::header::{Entry, pad};

/// Bytes that are written at once.
const PIECE: usize = 256 << 10;

/// One section on its way out.
pub(super) struct Out {
    file: File,
    waiting: Vec<u8>,
    digest: Sha256,
}

impl Out {
    pub(super) fn new(file: File, before: &str) -> Self {
        let digest = Sha256::new_with_prefix(before.as_bytes());
        Self { file, waiting: Vec::with_capacity(2 * PIECE), digest }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    /// Room of `length` bytes at most a piece for the caller to fill; how much it filled is then written.
    pub(super) fn fill(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        let at = self.waiting.len();
        self.waiting.resize(at + length.min(PIECE), 0);
        let filled = read(&mut self.waiting[at..]);
        self.waiting.truncate(at + *filled.as_ref().unwrap_or(&0));
        let filled = filled?;
        if self.waiting.len() >= PIECE {
            self.flush()?;
        }
        Ok(filled)
    }

    /// Zeros up to a whole block behind `length` bytes of data.
    pub(super) fn fill_up(&mut self, length: u64) -> io::Result<()> {
        let rest = length.next_multiple_of(512) - length;
        self.put(&[0; 512][..usize::try_from(rest).unwrap_or(0)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.digest.update(&self.waiting);
        self.file.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Ends the section; its seal.
    pub(super) fn seal(mut self) -> io::Result<String> {
        self.flush()?;
        let seal = format!("{:x}", self.digest.finalize());
        let mut bytes = Entry::file(seal.len() as u64 + 1).bytes(SEAL.as_bytes())?;
        bytes.extend(seal.as_bytes());
        bytes.push(b'\n');
        pad(&mut bytes);
        self.file.write_all(&bytes)?;
        Ok(seal)
    }
}
