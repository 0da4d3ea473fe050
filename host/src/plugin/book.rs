#![forbid(unsafe_code)]
//! What is known of plugins besides their grants: where a file came from and who vouched for it, and which plugins are switched off.
//!
//! One file beside the grants. What is said of a file is said of its digest, so that it never becomes true of another one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wxc_engine::Digest;

use super::error::PluginError;
use super::files;

/// Its name, beside the grants.
const FILE: &str = "plugins.toml";

/// Where a file came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// An address, or the absolute path of a file.
    pub origin: String,
    /// When it was installed.
    pub installed: String,
    /// Who vouched for it; nobody for a file that the administrator had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
}

/// Why a file was believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Vouched {
    /// Its digest was known beforehand.
    Digest(String),
    /// Somebody signed it.
    Signature {
        /// Fingerprint of the key.
        signer: String,
        /// The key ring, by name or as a file.
        keys: String,
        /// Where the signature was.
        signature: String,
    },
}

impl std::fmt::Display for Vouched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digest(digest) => write!(f, "its digest, which was given: {digest}"),
            Self::Signature { signer, keys, .. } => write!(f, "the key {signer} of {keys}"),
        }
    }
}

/// The file, as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BookText {
    /// Plugins that nobody may load, by name.
    #[serde(default)]
    disabled: Vec<String>,
    #[serde(default, rename = "file")]
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    plugin: String,
    digest: Digest,
    #[serde(flatten)]
    source: Source,
}

/// What is known of the plugins of one user, or of the machine for root.
#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    text: BookText,
}

impl Book {
    /// Where it is: beside the grants.
    pub(super) fn path(grants: &Path) -> PathBuf {
        grants.with_file_name(FILE)
    }

    /// Reads it; none knows nothing.
    pub(super) fn load(grants: &Path) -> Result<Self, PluginError> {
        let path = Self::path(grants);
        let text =
            files::load_toml(&path).map_err(|why| PluginError::BookFile { path: path.clone(), why })?;
        Ok(Self { path, text })
    }

    /// Whether the administrator has switched a plugin off.
    pub(super) fn is_disabled(&self, plugin: &str) -> bool {
        self.text.disabled.iter().any(|name| name == plugin)
    }

    /// Switches one off or on; whether that changed anything.
    pub(super) fn disable(&mut self, plugin: &str, off: bool) -> bool {
        let before = self.is_disabled(plugin);
        self.text.disabled.retain(|name| name != plugin);
        if off {
            self.text.disabled.push(plugin.to_owned());
            self.text.disabled.sort();
        }
        before != off
    }

    /// Where a file came from.
    pub(super) fn source(&self, plugin: &str, digest: &Digest) -> Option<&Source> {
        let mine = self.text.files.iter().find(|entry| entry.plugin == plugin && entry.digest == *digest);
        mine.map(|entry| &entry.source)
    }

    /// Remembers it.
    pub(super) fn remember(&mut self, plugin: &str, digest: &Digest, source: Source) {
        self.text.files.retain(|entry| entry.plugin != plugin || entry.digest != *digest);
        self.text.files.push(Entry { plugin: plugin.to_owned(), digest: digest.clone(), source });
    }

    /// Forgets the files of a plugin but these.
    pub(super) fn keep_only(&mut self, plugin: &str, digests: &[Digest]) {
        self.text.files.retain(|entry| entry.plugin != plugin || digests.contains(&entry.digest));
    }

    /// Writes the file as a whole: after a crash it is the old one or the new one.
    pub(super) fn save(&self) -> Result<(), PluginError> {
        let head = "# Where installed plugins came from, and which plugins are switched off. `wxc plugin` writes it.\n\n";
        files::save_toml(&self.path, head, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_known_of_one_digest_and_survives_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let grants = dir.path().join("grants.toml");
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let signature =
            Vouched::Signature { signer: "A1".into(), keys: "plugins".into(), signature: "s".into() };
        let source =
            Source { origin: "https://x/y".into(), installed: "now".into(), vouched: Some(signature) };
        let mut book = Book::load(&grants).unwrap();
        book.remember("hook-x", &old, source.clone());
        assert!(book.disable("hook-x", true) && !book.disable("hook-x", true));
        book.save().unwrap();
        let mut book = Book::load(&grants).unwrap();
        assert_eq!(book.source("hook-x", &old), Some(&source));
        assert!(book.source("hook-x", &new).is_none() && book.is_disabled("hook-x"));
        book.keep_only("hook-x", &[new]);
        assert!(book.source("hook-x", &old).is_none());
        assert!(book.disable("hook-x", false) && !book.is_disabled("hook-x"));
    }

    #[test]
    fn a_file_that_is_not_understood_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "disabeld = []\n").unwrap();
        let error = Book::load(&dir.path().join("grants.toml")).unwrap_err();
        assert!(error.to_string().contains(FILE), "{error}");
    }
}
