#![forbid(unsafe_code)]
//! The first-party plugins inside this binary, as the build put them there.

use wxc_engine::Artifact;
use wxc_engine::artifact::ArtifactError;

/// One of them.
#[derive(Debug)]
pub(super) struct Embedded {
    /// Its name.
    pub(super) name: &'static str,
    artifact: &'static [u8],
}

/// All of them, by name.
pub(super) static EMBEDDED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

impl Embedded {
    /// The one of this name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        EMBEDDED.iter().find(|e| e.name == name)
    }

    /// Machine code and facts.
    pub(super) fn open(&self) -> Result<Artifact<'static>, ArtifactError> {
        Artifact::read(self.artifact)
    }
}
