//! What the caller and the helper say to each other.
//!
//! The caller does not trust what comes back: the helper reads hostile images. Handles are only ever taken in one direction.

use serde::{Deserialize, Serialize};

use super::coder::Compression;
use super::error::UnpackError;
use super::report::{Progress, Report};
use super::request::Options;
pub(crate) use crate::sys::packets::{receive, receive_handles, send};

/// What the helper is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// What to do; the source and the target are attached.
    Work {
        /// What the handles are, and what becomes of it.
        task: Task,
        /// The caller's own ids as the helper's namespace shows them.
        own: (u32, u32),
        /// The rest.
        options: Box<Options>,
    },
    /// The id map is written.
    Mapped,
}

/// What the attached source is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// An archive to unpack into the target.
    Archive,
    /// A directory to copy into the target.
    Directory,
    /// A list of [`super::Render`] as JSON, for the target.
    Render,
    /// Nothing: everything in the target is removed.
    Empty,
    /// A stream with one section of an export, to unpack into the target.
    Section,
    /// Where the target is written to as one section of an export: as what changed since the third handle's tree, if
    /// there is one.
    Pack,
    /// An archive of which a few files are written to the target, which is no directory.
    Members,
    /// An archive of which one file, whatever its size, is written to the target, which is no directory.
    Member,
    /// An archive whose plain content is written to the target, which is no directory.
    Decode,
    /// Plain content that is written compressed to the target.
    Encode(Compression),
}

impl Task {
    /// Whether the target becomes a new tree.
    pub(crate) fn makes_tree(self) -> bool {
        matches!(self, Self::Archive | Self::Directory | Self::Section)
    }

    /// Whether its handles are streams and nothing else.
    pub(crate) fn is_coding(self) -> bool {
        matches!(self, Self::Members | Self::Member | Self::Decode | Self::Encode(_))
    }
}

/// What the helper answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is in a user namespace of its own and waits for [`Order::Mapped`].
    NeedMap,
    /// How far it is.
    Progress(Progress),
    /// The end, with what was done.
    Done(Report),
    /// The end, with why.
    Failed(UnpackError),
}
