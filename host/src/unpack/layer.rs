//! Layers: an archive over a tree that others have made, in which a name can say that something is gone
//! (OCI image-spec, layer.md).
//!
//! A whiteout is for what was there before the layer, never for what the layer itself brings, wherever in the archive it
//! stands. It is a name like every other: resolved inside the target, and never `.` or `..`.

use std::collections::BTreeSet;

use super::error::UnpackError;
use super::names::split;

/// Before the name of what is gone.
const GONE: &[u8] = b".wh.";
/// Everything of a directory is gone.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Of AUFS, and of no meaning to anybody else.
const PRIVATE: &[u8] = b".wh..wh.";

/// What a name in a layer means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An entry.
    Entry,
    /// This entry of the layers below is gone.
    Gone(Vec<u8>),
    /// All entries of this directory are gone that the layers below have.
    Opaque(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// What a clean path means.
pub(crate) fn meaning(path: &[u8]) -> Result<Meaning, UnpackError> {
    let (parent, name) = split(path);
    if let Some(above) = parent.split(|byte| *byte == b'/').find(|part| part.starts_with(GONE)) {
        if above.starts_with(PRIVATE) {
            return Ok(Meaning::Nothing);
        }
        return Err(UnpackError::refused(path, "it is below something that says that it is gone"));
    }
    if name == OPAQUE {
        return Ok(Meaning::Opaque(parent.to_vec()));
    }
    if name.starts_with(PRIVATE) {
        return Ok(Meaning::Nothing);
    }
    let Some(name) = name.strip_prefix(GONE) else { return Ok(Meaning::Entry) };
    if matches!(name, b"" | b"." | b"..") {
        return Err(UnpackError::refused(path, "it says that something is gone which has no name"));
    }
    let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
    Ok(Meaning::Gone([parent, slash, name].concat()))
}

/// What the layer itself has brought so far.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    paths: BTreeSet<Vec<u8>>,
    memory: usize,
}

impl Brought {
    /// Remembers an entry; `limit` bounds the bytes kept.
    pub(crate) fn add(&mut self, path: &[u8], limit: usize) -> Result<(), UnpackError> {
        if self.paths.insert(path.to_vec()) {
            self.memory += path.len() + 64;
        }
        if self.memory > limit {
            return Err(UnpackError::limit(path, limit as u64, "bytes of names in one layer"));
        }
        Ok(())
    }

    /// Whether this, or something below it, is the layer's own.
    pub(crate) fn holds(&self, path: &[u8]) -> bool {
        let below = [path, b"/"].concat();
        let first = self.paths.range(below.clone()..).next();
        self.paths.contains(path) || first.is_some_and(|first| first.starts_with(&below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_whiteouts() {
        assert_eq!(meaning(b"etc/hosts").unwrap(), Meaning::Entry);
        assert_eq!(meaning(b"etc/.wh.hosts").unwrap(), Meaning::Gone(b"etc/hosts".to_vec()));
        assert_eq!(meaning(b".wh.a").unwrap(), Meaning::Gone(b"a".to_vec()));
        assert_eq!(meaning(b"a/.wh..wh..opq").unwrap(), Meaning::Opaque(b"a".to_vec()));
        assert_eq!(meaning(b".wh..wh..opq").unwrap(), Meaning::Opaque(b"".to_vec()));
        assert_eq!(meaning(b".wh..wh.plnk/x").unwrap(), Meaning::Nothing);
        assert_eq!(meaning(b".wh..wh.aufs").unwrap(), Meaning::Nothing);
        for bad in [&b".wh."[..], b"a/.wh..", b"a/.wh...", b".wh.a/x", b"a/.wh.b/c"] {
            assert!(meaning(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_directory_that_holds_something_of_the_layer_is_its_own() {
        let mut brought = Brought::default();
        brought.add(b"a/b/c", 1000).unwrap();
        assert!(brought.holds(b"a/b/c") && brought.holds(b"a/b") && brought.holds(b"a"));
        assert!(!brought.holds(b"a/b/cc") && !brought.holds(b"a/bb") && !brought.holds(b"b"));
        assert!(brought.add(&[b'x'; 2000], 1000).is_err());
    }
}
