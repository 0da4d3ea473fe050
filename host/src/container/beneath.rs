#![forbid(unsafe_code)]
//! Opening directories below others, without following anything.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::Error;

/// Opens a directory below another one, without following anything.
pub(super) fn open(base: &Path, relative: &Path) -> Result<OwnedFd, Error> {
    open_as(base, relative, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a regular file below a directory, in the same way.
pub(super) fn open_file(base: &Path, relative: &Path, read_only: bool) -> Result<OwnedFd, Error> {
    let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    open_as(base, relative, access | OFlags::NONBLOCK)
}

fn open_as(base: &Path, relative: &Path, how: OFlags) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base_fd =
        rustix::fs::open(base, flags, Mode::empty()).map_err(|e| Error::io("open", base)(e.into()))?;
    let flags = how | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(&base_fd, relative, flags, Mode::empty(), resolve)
        .map_err(|e| Error::io("open", &base.join(relative))(e.into()))
}
