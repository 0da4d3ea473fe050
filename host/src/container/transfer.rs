#![forbid(unsafe_code)]
//! A container with its snapshots as one file, and back (docs/export-format.md).
//!
//! Both ways are streams: nothing is kept beside the container and the file. What reads a tree or an archive is a
//! confined helper ([`crate::unpack`]); here it is decided what goes in, what is taken out, and in which order.

/// A container becomes a file.
pub mod export;
/// A file becomes a container.
pub mod import;
/// What a file says of itself.
mod manifest;
/// The file that an export goes to.
pub(super) mod target;
/// What a foreign configuration may say.
mod trust;

use crate::unpack::Section;

/// The section of the tree at this place of the manifest.
pub(super) fn section(index: usize, before: &str) -> Section {
    match index {
        0 => Section { prefix: "tree".into(), removed: None, before: before.into() },
        n => Section {
            prefix: format!("changes-{n}"),
            removed: Some(format!("removed-{n}")),
            before: before.into(),
        },
    }
}
