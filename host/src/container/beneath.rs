#![forbid(unsafe_code)]
//! Opening directories below others, without following anything.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::Error;

/// Opens a directory below another one, without following anything.
pub(super) fn open(base: &Path, relative: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base_fd =
        rustix::fs::open(base, flags, Mode::empty()).map_err(|e| Error::io("open", base)(e.into()))?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(&base_fd, relative, flags, Mode::empty(), resolve)
        .map_err(|e| Error::io("open", &base.join(relative))(e.into()))
}
