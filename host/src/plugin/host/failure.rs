#![forbid(unsafe_code)]
//! Errors of the kernel in the words of the contract.

use rustix::io::Errno;

use super::State;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind, Host};
use crate::sys::tree::TreeError;

/// `wxc:host/types` is data alone.
impl Host for State {}

/// A failure with a sentence.
pub(in crate::plugin) fn failure(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}

/// A call that the kernel refused: what was attempted, on what, and why.
pub(super) fn refused(doing: &str, path: &str, errno: Errno) -> Error {
    let path = if path.is_empty() { "the directory itself" } else { path };
    failure(kind_of(errno), format!("cannot {doing} {path}: {errno}"))
}

/// A walk over a tree that did not get to its end.
pub(super) fn stopped(error: TreeError) -> Error {
    let kind = match &error {
        TreeError::Io { source, .. } => kind_of(*source),
        TreeError::Refused { .. } => ErrorKind::Unsupported,
        TreeError::TooLarge { .. } => ErrorKind::Exhausted,
        TreeError::Stopped => ErrorKind::Cancelled,
    };
    failure(kind, error.to_string())
}

fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::NOENT => ErrorKind::NotFound,
        Errno::EXIST | Errno::NOTEMPTY => ErrorKind::AlreadyExists,
        Errno::BUSY | Errno::TXTBSY => ErrorKind::Busy,
        Errno::NOSPC | Errno::DQUOT => ErrorKind::NoSpace,
        // A link or a mount point on the way is refused by the rules of handles.
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP | Errno::XDEV => ErrorKind::Denied,
        Errno::INVAL | Errno::NAMETOOLONG | Errno::NOTDIR | Errno::ISDIR | Errno::FBIG => ErrorKind::Invalid,
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY => ErrorKind::Unsupported,
        _ => ErrorKind::Failed,
    }
}
