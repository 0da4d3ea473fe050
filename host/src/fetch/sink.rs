//! The file that is written to, and its digest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256, Sha512};

use super::error::FetchError;
use super::order::{Algorithm, Digest};

const PIECE: usize = 256 << 10;

/// Bytes from the beginning of a file on, and their digests so far.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    file: &'a File,
    length: u64,
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl<'a> Sink<'a> {
    /// The first `have` bytes of a file; what is behind them goes.
    pub(super) fn open(file: &'a File, have: u64, digest: Option<&Digest>) -> Result<Self, FetchError> {
        let wide = digest.is_some_and(|digest| digest.algorithm() == Algorithm::Sha512);
        let sha512 = wide.then(Sha512::new);
        let mut sink = Self { file, length: 0, sha256: Sha256::new(), sha512 };
        sink.read_again(have).map_err(failed("read what was downloaded before"))?;
        file.set_len(sink.length).map_err(failed("cut the file to what is good of it"))?;
        Ok(sink)
    }

    fn read_again(&mut self, have: u64) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        while self.length < have {
            let most = usize::try_from(have - self.length).unwrap_or(PIECE).min(PIECE);
            let count = self.file.read_at(&mut buffer[..most], self.length)?;
            if count == 0 {
                break;
            }
            self.count(&buffer[..count]);
        }
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(wide) = &mut self.sha512 {
            wide.update(bytes);
        }
        self.length += bytes.len() as u64;
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) -> Result<(), FetchError> {
        self.file.set_len(0).map_err(failed("empty the file"))?;
        (self.length, self.sha256) = (0, Sha256::new());
        self.sha512 = self.sha512.take().map(|_| Sha512::new());
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all_at(bytes, self.length).map_err(failed("write what was downloaded"))?;
        self.count(bytes);
        Ok(())
    }

    /// SHA-256 of what is there, hexadecimal.
    pub(super) fn sha256(&self) -> String {
        hex(&self.sha256.clone().finalize())
    }

    /// What the digest is, if it is another one.
    pub(super) fn differs(&self, wanted: &Digest) -> Option<String> {
        let found = match (wanted.algorithm(), &self.sha512) {
            (Algorithm::Sha512, Some(wide)) => hex(&wide.clone().finalize()),
            _ => self.sha256(),
        };
        (found != wanted.hex()).then_some(found)
    }
}

/// Bytes as digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> FetchError {
    move |error| FetchError::File { doing: doing.to_owned(), why: error.to_string() }
}
