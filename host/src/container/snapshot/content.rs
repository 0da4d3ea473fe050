//! What is copied from one volume to another, and with which ids.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::super::{Error, Host, ids};
use crate::config::Container;
use crate::plugin::Unit;
use crate::sys::tree::{self, Copied, TreeError};
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
        let copied = tree::copy_exactly(from, to, &|done| watched(host, done));
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

/// Tells how far it is, until the user asks to stop.
fn watched(host: &Host, done: &Copied) -> Result<(), TreeError> {
    host.progress.report(done.bytes, None, Unit::Bytes);
    if host.cancel.load(Ordering::Relaxed) || host.progress.cancelled() {
        return Err(TreeError::Stopped);
    }
    Ok(())
}
