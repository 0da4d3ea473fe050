#![forbid(unsafe_code)]
//! The one unpacker: a root tree from a hostile archive or directory into a directory handle.
//!
//! ```text
//!  caller (run)                      helper process (worker), same binary
//!   archive or directory fd ─────────▶ own user namespace when unprivileged
//!   target directory fd     ─────────▶ no network, chroot into the target, few capabilities,
//!   request                 ─────────▶ system call list, limits
//!   progress, report, error ◀───────── codec → member → place
//! ```
//!
//! What an image may do is decided in exactly one place each: its names in [`names`], its owners in
//! [`request`], its attributes in [`attrs`], its sizes in [`meter`], and every file system call that makes
//! something of it is in [`place`], resolved by the kernel inside the target (`RESOLVE_IN_ROOT`).
//!
//! An export ([`PackRequest`], docs/export-format.md) is made and read by the same helper: its sections are packed and
//! unpacked one after another, and a [`Coder`] compresses or decompresses beside it.
//!
//! On disk the tree holds set-id programs and file capabilities as the image has them, so **the
//! container's directory must be closed to other users of the host** (mode 0700, by whoever makes it).
//! Durability is the storage's `seal`; what a failed or cancelled run leaves is the caller's to remove
//! ([`crate::sys::tree::remove_tree`]).

/// What to unpack, where, with which ids and limits.
pub mod request;

/// What was done, while it goes on and at the end.
pub mod report;

/// What went wrong, in words that name the entry.
pub mod error;

/// Sections of an export, and their seals.
mod section;

/// A tree as a section of an export.
mod pack;

/// Compression in a process of its own.
mod coder;

/// The caller's side: starts the helper, passes handles, hears its answers.
mod run;

/// The helper's side: confines itself, then unpacks.
mod worker;

/// Messages between the two, with handles attached.
mod wire;

/// What the helper takes from itself before it reads the first byte of an image.
mod confine;

/// The container's id map for a helper without privileges.
mod idmap;

/// Which compression, by its first bytes, and its decoder.
mod codec;

/// Counts what goes in and comes out: the limits against bombs.
mod meter;

/// The archive as a sequence of members; headers only through the `tar` crate.
mod member;

/// A squashfs image as a sequence of members.
mod squashfs;

/// Members of an archive or of an image.
mod entries;

/// Records of extended headers.
mod pax;

/// Which parts of a sparse file are data.
mod sparse;

/// Names inside an archive: what is accepted.
mod names;

/// Extended attributes: what is accepted.
mod attrs;

/// Access control lists from their text form.
mod acl;

/// Everything that makes files, confined to the target.
mod place;

/// From members to files.
mod extract;

/// Small files out of an archive.
mod members;

/// Debian packages.
mod deb;

/// Layers of images, one over the other.
mod layer;

/// A directory as the source.
mod directory;

/// Files that a template puts into a fresh tree.
mod render;

pub use coder::{Coder, Compression};
pub use error::UnpackError;
pub use extract::extract;
pub use members::{member, member_with, members, members_with};
pub use pack::{close, manifest};
pub use render::{Node, Render};
pub use report::{Note, NoteKind, Progress, Report};
pub use request::{Devices, IdMapMode, Limits, MapRange, Options, Request, Section, Source};
pub use run::{
    PackRequest, ROLE, empty, pack, pack_with, remove, remove_with, render, render_with, run, run_with,
};
pub use section::{First, MANIFEST, SEAL, end, first};
pub use worker::{dispatch, worker_main};
