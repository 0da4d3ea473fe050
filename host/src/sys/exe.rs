//! Our own executable: where it is, and a copy that nobody can write to.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{self, MemfdFlags, Mode, OFlags, SealFlags};

/// The file that this process runs.
pub const SELF: &str = "/proc/self/exe";

/// The seals of a copy: neither it nor the seals can be changed any more.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Whether this process already runs a sealed copy.
#[must_use]
pub fn is_sealed() -> bool {
    let file = fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    file.and_then(fs::fcntl_get_seals).is_ok_and(|seals| seals.contains(SEALS))
}

/// The executable at `path`, copied into sealed memory.
///
/// A process of ours that a container's root can see must not run the installed file: it could be
/// overwritten through `/proc/PID/exe` (CVE-2019-5736).
///
/// # Errors
/// As open(2), memfd_create(2) and sendfile(2).
pub fn sealed_copy(path: &std::path::Path) -> io::Result<OwnedFd> {
    let from = fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Since Linux 6.3 a memfd should say whether it is meant to be executed.
    let to = fs::memfd_create("wxc", flags | MemfdFlags::EXEC).or_else(|_| fs::memfd_create("wxc", flags))?;
    loop {
        if fs::sendfile(&to, &from, None, 0x7fff_f000)? == 0 {
            break;
        }
    }
    fs::fcntl_add_seals(&to, SEALS)?;
    Ok(to)
}
