//! What is copied from one volume to another, and with which ids.

use std::os::fd::BorrowedFd;
use std::path::Path;

use super::super::shift::Shifted;
use super::super::{Error, Host};
use crate::sys::tree::TreeError;

/// Copies a whole root into an empty one. The bytes of content that were copied.
pub(super) fn copy(
    host: &Host,
    policy: Shifted<'_>,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    shown: &Path,
) -> Result<u64, Error> {
    host.progress.phase("copying");
    let copied = policy.copy(from, to);
    copied.map(|copied| copied.bytes).map_err(|error| match error {
        TreeError::Stopped => Error::Cancelled,
        other => Error::Io { what: "copy", path: shown.into(), source: std::io::Error::other(other) },
    })
}
