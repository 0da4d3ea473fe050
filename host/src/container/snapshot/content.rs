//! What is copied from one volume to another, and with which ids.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::super::{Error, Host, ids};
use crate::config::Container;
use crate::plugin::Unit;
use crate::sys::tree::{self, Copied, CopyPolicy, TreeError};
use crate::unpack::{self, Devices, IdMapMode, Options, Source};

/// Copies a whole root into an empty one. Both are of the same container, so every id stays what it is.
/// The bytes of content that were copied.
pub(super) fn copy(
    host: &Host,
    container: &Container,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    shown: &Path,
) -> Result<u64, Error> {
    host.progress.phase("copying");
    let ids = ids::id_mode(container);
    if matches!(ids, IdMapMode::AsIs { .. }) {
        let copied = tree::copy_tree(from, to, &mut Watched(host));
        return copied.map(|copied| copied.bytes).map_err(|error| match error {
            TreeError::Stopped => Error::Cancelled,
            other => Error::Io { what: "copy", path: shown.into(), source: std::io::Error::other(other) },
        });
    }
    // The files of a user without privileges belong to subordinate ids: the helper acts for those.
    let mut options = Options::new(ids);
    options.devices = Devices::Make;
    let request = unpack::Request { source: Source::Directory(from), target: to, options };
    let mut watch = |at: unpack::Progress| host.progress.report(at.read, at.total, Unit::Bytes);
    let report = unpack::run(&request, &mut watch, host.cancel)
        .map_err(|source| Error::Image { from: shown.into(), source })?;
    Ok(report.progress.written)
}

/// Everything exactly as it is, with progress, until the user asks to stop.
struct Watched<'a>(&'a Host);

impl CopyPolicy for Watched<'_> {
    fn owner(&mut self, uid: u32, gid: u32) -> Result<(u32, u32), String> {
        Ok((uid, gid))
    }

    fn attribute(&mut self, _: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        Some(value)
    }

    fn device(&mut self, _: u32, _: u32) -> Result<bool, String> {
        Ok(true)
    }

    fn progress(&mut self, _: &Path, done: &Copied) -> Result<(), TreeError> {
        self.0.progress.report(done.bytes, None, Unit::Bytes);
        if self.0.cancel.load(Ordering::Relaxed) || self.0.progress.cancelled() {
            return Err(TreeError::Stopped);
        }
        Ok(())
    }
}
