//! The documentation as a book.
//!
//! Pages are ordinary Markdown that links to files of the repository, so that it can be read where it lies. `cargo xtask book`
//! puts together what `docs/SUMMARY.md` names, with everything it links to, and mdBook makes a book of that.

#![forbid(unsafe_code)]

/// What came out: every link of the HTML leads somewhere.
pub mod built;

/// Links of the repository's Markdown: each leads to a file, and to a heading where it says so.
pub mod links;

/// What a page links to, and what can be linked to in it.
pub mod markdown;

/// Pages about the contract, made from the WIT files.
pub mod reference;

/// Everything the book is made of, copied to one place.
pub mod stage;

/// The list of chapters.
pub mod summary;

use std::path::{Component, Path, PathBuf};

/// The top of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Reads a file; the error names it.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A path without `.` and `..`, by its words alone; `None` when it leads above where it begins.
#[must_use]
pub fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => plain.pop().then_some(())?,
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_plain_and_leads_nowhere_above() {
        assert_eq!(plain(Path::new("docs/../wit/./README.md")), Some("wit/README.md".into()));
        assert_eq!(plain(Path::new("docs/../../etc")), None);
    }
}
