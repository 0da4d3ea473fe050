//! A directory as the source: the same rules for owners, attributes and devices as for an archive.

use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::attrs;
use super::error::UnpackError;
use super::extract::Listen;
use super::report::{NoteKind, Progress, Report};
use super::request::{Devices, IdMapMode, Options};
use crate::sys::tree::{Copied, CopyPolicy, TreeError, copy_tree};

/// What the kernel answers for an owner that a user namespace does not know (user_namespaces(7)).
const OVERFLOW: u32 = 65534;

/// Copies a directory into the target within this process; see [`super::extract()`].
pub(crate) fn copy(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    options: &Options,
    own: (u32, u32),
    listen: Listen<'_>,
) -> Result<Report, UnpackError> {
    let mut rules =
        Rules { options, own, listen, report: Report::default(), at: PathBuf::new(), failure: None };
    let done = match copy_tree(source, target, &mut rules) {
        Ok(done) => done,
        Err(e) => return Err(rules.failure.take().unwrap_or_else(|| e.into())),
    };
    rules.count(&done);
    let unsupported = done.attributes - rules.refused();
    rules.report.note(NoteKind::Socket, done.skipped - rules.devices(), b"the source");
    rules.report.note(NoteKind::Mount, done.mounts, b"the source");
    rules.report.note(NoteKind::Unsupported, unsupported, b"the target");
    Ok(rules.report)
}

struct Rules<'a> {
    options: &'a Options,
    /// The caller's own ids as this process sees them: entries of his become root's.
    own: (u32, u32),
    listen: Listen<'a>,
    report: Report,
    at: PathBuf,
    /// The error that the walk was ended with, kept whole.
    failure: Option<UnpackError>,
}

impl Rules<'_> {
    fn count(&mut self, done: &Copied) {
        self.report.progress =
            Progress { read: done.bytes, total: None, entries: done.entries, written: done.bytes };
    }

    fn noted(&self, kind: NoteKind) -> u64 {
        self.report.notes.iter().find(|n| n.kind == kind).map_or(0, |n| n.count)
    }

    fn refused(&self) -> u64 {
        self.noted(NoteKind::Attribute)
    }

    fn devices(&self) -> u64 {
        self.noted(NoteKind::Device)
    }

    fn note(&mut self, kind: NoteKind) {
        let at = self.at.as_os_str().as_bytes().to_vec();
        self.report.note(kind, 1, &at);
    }

    fn limits(&mut self, path: &Path, done: &Copied) -> Result<(), UnpackError> {
        let limits = &self.options.limits;
        let entry = path.as_os_str().as_bytes();
        if done.entries > limits.entries {
            return Err(UnpackError::limit(entry, limits.entries, "entries"));
        }
        if done.bytes > limits.bytes {
            return Err(UnpackError::limit(entry, limits.bytes, "bytes of content"));
        }
        self.count(done);
        (self.listen)(&self.report.progress)
    }
}

impl CopyPolicy for Rules<'_> {
    fn owner(&mut self, uid: u32, gid: u32) -> Result<(u32, u32), String> {
        if matches!(self.options.ids, IdMapMode::AsIs { .. }) {
            return self.options.ids.owner(uid.into(), gid.into());
        }
        // Seen from the container's namespace: the caller's own files, and those of users that it does not
        // have (a tree that the host's root made, above all), are root's in the container.
        let root = |id, own| if id == own || id == OVERFLOW { 0 } else { id };
        let owner = (root(uid, self.own.0), root(gid, self.own.1));
        if uid == OVERFLOW || gid == OVERFLOW {
            self.note(NoteKind::Owner);
        }
        self.options.ids.owner(owner.0.into(), owner.1.into())
    }

    fn attribute(&mut self, name: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        let kept = attrs::accept(name, &value, &self.options.ids);
        if kept.is_none() {
            self.note(NoteKind::Attribute);
        }
        kept
    }

    fn device(&mut self, major: u32, minor: u32) -> Result<bool, String> {
        if (major, minor) == (0, 0) {
            return Err(
                "it is a whiteout of an overlay (device 0:0): copy the mounted tree, not its layer".into()
            );
        }
        let make = self.options.devices == Devices::Make;
        if !make {
            self.note(NoteKind::Device);
        }
        Ok(make)
    }

    fn progress(&mut self, path: &Path, done: &Copied) -> Result<(), TreeError> {
        path.clone_into(&mut self.at);
        self.limits(path, done).map_err(|e| {
            self.failure = Some(e);
            TreeError::Stopped
        })
    }
}
