#![forbid(unsafe_code)]
//! `wxc plugin new`: a directory with everything that a plugin of a kind, in a language, is built of.
//!
//! - `files`: which files those are, put together of what lies in `host/scaffold` and of `wit`
//! - `write`: the directory, whole or not at all

mod files;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::manifest::is_name;
use super::registry::Kind;

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, with `wit-bindgen`.
    Rust,
    /// C, with clang and a libc for WebAssembly.
    C,
    /// Go.
    Go,
    /// Python, with `componentize-py`.
    Python,
    /// JavaScript, with `componentize-js`.
    Js,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Go => "go",
            Self::Python => "python",
            Self::Js => "js",
        })
    }
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// A name that cannot be a plugin's.
    #[error("{0:?} is not a plugin name: use a-z, 0-9 and -, beginning with a letter, 63 at most")]
    Name(String),
    /// A language that nothing is known to work for.
    #[error(
        "nothing to begin a plugin in Go with has been found to work yet: what wit-bindgen makes for Go needs a Go module \
         that wxc's own builds cannot fetch, so it could not be tried"
    )]
    NoGo,
    /// Something is in the way.
    #[error("{} is there already, and not an empty directory", .0.display())]
    Taken(PathBuf),
    /// It would be taken away under whoever works there.
    #[error("{} is the current directory: it would have to be replaced", .0.display())]
    Here(PathBuf),
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl ScaffoldError {
    /// What to do next, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoGo => Some(
                "use --lang rust, c, python or js; or make a component of the interfaces in wit/ with the tools that you have, \
                 and then: wxc plugin pack COMPONENT --manifest plugin.toml",
            ),
            Self::Taken(_) | Self::Here(_) => {
                Some("name a directory that is not there yet, with --directory DIR")
            }
            Self::Io { doing: "find the directory above", .. } => {
                Some("make that directory first, or name another one with --directory DIR")
            }
            _ => None,
        }
    }
}

/// Writes a plugin that can be built at once, in a new or empty directory. `name` is the whole name, with its kind.
///
/// # Errors
/// When the name is none, something is there, or it cannot be written. Nothing is left then.
pub fn new(name: &str, kind: Kind, language: Language, directory: &Path) -> Result<(), ScaffoldError> {
    // `hook-` is what becomes of no name at all.
    if !is_name(name) || name.ends_with('-') {
        return Err(ScaffoldError::Name(name.to_owned()));
    }
    if language == Language::Go {
        return Err(ScaffoldError::NoGo);
    }
    write::directory(directory, &files::of(name, kind, language))
}
