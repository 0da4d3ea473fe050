//! One file for machine code and facts.
//!
//! ```text
//! offset 0      code     what wasmtime wrote (an ELF object), so that the file can be mapped as it is
//! code.len()    facts    JSON
//! end - 16      length of the facts, u64 little endian
//! end - 8       "WXCPLUG1"
//! ```
//!
//! One file, because two could come from two compilations: a name is linked into place once, and
//! what it names is complete. The facts come last because an ELF reader does not mind what follows.

use crate::Facts;

const MAGIC: &[u8; 8] = b"WXCPLUG1";
/// Length and magic.
pub const TRAILER: usize = 16;

/// A compiled plugin in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact<'a> {
    /// Machine code, to be given to wasmtime if and only if its origin is trusted.
    pub code: &'a [u8],
    /// Facts about the component it was made from.
    pub facts: Facts,
}

/// Why bytes are not an artifact. To a cache each of these is a miss.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Cut short, or something else altogether.
    #[error("not a compiled plugin of this version (no trailer)")]
    Trailer,
    /// The trailer is there, but what it points at is not facts.
    #[error("the facts of the compiled plugin cannot be read")]
    Facts(#[source] serde_json::Error),
}

impl<'a> Artifact<'a> {
    /// Takes a file's content apart.
    ///
    /// # Errors
    /// When the bytes were not written by [`Artifact::write`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, ArtifactError> {
        let (rest, trailer) = bytes.split_last_chunk::<TRAILER>().ok_or(ArtifactError::Trailer)?;
        let length = facts_length(trailer).ok_or(ArtifactError::Trailer)?;
        let at = rest.len().checked_sub(length).ok_or(ArtifactError::Trailer)?;
        let (code, facts) = rest.split_at(at);
        Ok(Self { code, facts: parse_facts(facts)? })
    }

    /// The content of the file.
    ///
    /// # Panics
    /// Never: facts are strings and numbers, which JSON can hold.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let facts = serde_json::to_vec(&self.facts).expect("strings and numbers are JSON");
        let length = u64::try_from(facts.len()).expect("usize is at most 64 bits");
        [self.code, &facts, &length.to_le_bytes(), MAGIC].concat()
    }
}

/// Length of the facts that stand before this trailer; `None` if it is not a trailer of ours.
#[must_use]
pub fn facts_length(trailer: &[u8; TRAILER]) -> Option<usize> {
    let (length, magic) = trailer.split_first_chunk::<8>()?;
    if magic != MAGIC {
        return None;
    }
    usize::try_from(u64::from_le_bytes(*length)).ok()
}

/// Reads the facts part alone, for a loader that maps the code.
///
/// # Errors
/// When the bytes are not facts.
pub fn parse_facts(bytes: &[u8]) -> Result<Facts, ArtifactError> {
    serde_json::from_slice(bytes).map_err(ArtifactError::Facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cpu, Digest, Key};

    fn facts() -> Facts {
        let digest = Digest::of(b"component");
        Facts {
            key: Key::of(&digest, Cpu::Baseline),
            digest,
            size: 9,
            imports: vec!["wxc:host/log@0.1.0".into()],
            exports: vec![],
            manifest: "name = \"x\"\n".into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let artifact = Artifact { code: b"\x7fELF code", facts: facts() };
        assert_eq!(Artifact::read(&artifact.write()).unwrap(), artifact);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = Artifact { code: b"code", facts: facts() }.write();
        for end in 0..bytes.len() {
            assert!(Artifact::read(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_length_beyond_the_file_is_refused() {
        let mut bytes = Artifact { code: b"code", facts: facts() }.write();
        let at = bytes.len() - TRAILER;
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Artifact::read(&bytes).is_err());
    }
}
