#![forbid(unsafe_code)]
//! The directory of a running container: `lock`, `state.json`, `control`.
//!
//! The monitor holds `lock` as long as it lives, whatever else is left behind: who gets the lock may
//! clean up and start, who does not finds a running container. Sockets are bound and connected
//! through `/proc/self/fd`, because their paths are limited to 107 bytes and ours are not.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use super::RuntimeError;
use super::state::Snapshot;
use crate::plan::hooks::NOTIFY;

const LOCK: &str = "lock";
const STATE: &str = "state.json";
const CONTROL: &str = "control";
/// Longest `state.json` that is read.
const STATE_LIMIT: usize = 1 << 20;

/// The directory, held by its monitor.
#[derive(Debug)]
pub(super) struct RunDirectory {
    path: PathBuf,
    directory: OwnedFd,
    _lock: OwnedFd,
}

impl RunDirectory {
    /// Makes the directory and takes the lock; what a killed monitor has left is there to be read
    /// with [`read`], and otherwise overwritten.
    pub(super) fn take(path: &Path, name: &str) -> Result<Self, RuntimeError> {
        let fail = |error: io::Error| {
            RuntimeError::system(format!("make the run directory {}", path.display()), error)
        };
        loop {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
            let directory = open_directory(path).map_err(fail)?;
            check_owner(&directory).map_err(fail)?;
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let lock = match openat(&directory, LOCK, flags, Mode::from_raw_mode(0o600)) {
                // Removed between the two calls, by a monitor that ends.
                Err(rustix::io::Errno::NOENT) => continue,
                other => other.map_err(|error| fail(error.into()))?,
            };
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(RuntimeError::AlreadyRunning { name: name.to_owned() });
                }
                Err(error) => return Err(fail(error.into())),
            }
            // The lock counts only if it is the one that others would find.
            let same = |found: rustix::fs::Stat, ours: rustix::fs::Stat| {
                (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
            };
            let ours = rustix::fs::fstat(&lock).map_err(|error| fail(error.into()))?;
            if rustix::fs::stat(path.join(LOCK)).is_ok_and(|found| same(found, ours)) {
                return Ok(Self { path: path.to_owned(), directory, _lock: lock });
            }
        }
    }

    /// Replaces `state.json` as a whole.
    pub(super) fn write(&self, snapshot: &Snapshot) -> Result<(), RuntimeError> {
        let fail = |error| RuntimeError::system("write the state", error);
        let json = serde_json::to_vec(snapshot).map_err(|error| fail(io::Error::from(error)))?;
        let new = "state.json.new";
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&self.directory, new, flags, Mode::from_raw_mode(0o600))
            .map_err(|error| fail(error.into()))?;
        fs::File::from(file).write_all(&json).map_err(fail)?;
        rustix::fs::renameat(&self.directory, new, &self.directory, STATE).map_err(|error| fail(error.into()))
    }

    /// Gives this start a boot id of its own: a random UUID, in the form in which the kernel shows its own.
    pub(super) fn write_boot_id(&self, path: &Path) -> Result<(), RuntimeError> {
        // One that a killed monitor left is not writable.
        fs::remove_file(path).ok();
        fs::read("/proc/sys/kernel/random/uuid")
            .and_then(|uuid| fs::write(path, uuid))
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o444)))
            .map_err(|error| RuntimeError::system("write the boot id", error))
    }

    /// The control socket.
    pub(super) fn listen(&self) -> Result<OwnedFd, RuntimeError> {
        let fail = |error: rustix::io::Errno| RuntimeError::system("make the control socket", error);
        match rustix::fs::unlinkat(&self.directory, CONTROL, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(fail(error)),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(fail)?;
        let address = address(&self.directory, CONTROL)
            .map_err(|error| RuntimeError::system("name the socket", error))?;
        // The directory is closed to others; the socket's own mode is for who is let in later.
        bind(&socket, &address).map_err(fail)?;
        listen(&socket, 64).map_err(fail)?;
        Ok(socket)
    }

    /// The socket at which init says that the system is up. Its file is shown in the container, whose users may write to it.
    pub(super) fn listen_for_ready(&self) -> Result<OwnedFd, RuntimeError> {
        let fail = |error: rustix::io::Errno| RuntimeError::system("make the socket for init's word", error);
        match rustix::fs::unlinkat(&self.directory, NOTIFY, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(fail(error)),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).map_err(fail)?;
        let address = address(&self.directory, NOTIFY)
            .map_err(|error| RuntimeError::system("name the socket for init's word", error))?;
        bind(&socket, &address).map_err(fail)?;
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::chmodat(&self.directory, NOTIFY, mode, AtFlags::empty()).map_err(fail)?;
        Ok(socket)
    }

    /// Removes everything; the lock goes last and with it.
    pub(super) fn remove(self) {
        for name in ["boot-id", NOTIFY, CONTROL, STATE, LOCK] {
            // What is left is cleaned up by the next start.
            rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()).ok();
        }
        fs::remove_dir(&self.path).ok();
    }
}

/// What `state.json` says, whether or not a monitor lives.
pub(super) fn read(path: &Path) -> Option<Snapshot> {
    let bytes = fs::read(path.join(STATE)).ok().filter(|bytes| bytes.len() <= STATE_LIMIT)?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether a monitor holds the directory.
pub(super) fn is_held(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(lock) = openat(CWD, path.join(LOCK), flags, Mode::empty()) else { return false };
    flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Whether a monitor was here that is no more.
pub(super) fn is_abandoned(path: &Path) -> bool {
    path.join(LOCK).is_file() && !is_held(path)
}

/// A connection to the monitor.
pub(super) fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let directory = open_directory(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &address(&directory, CONTROL)?)?;
    Ok(socket)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn address(directory: &OwnedFd, name: &str) -> io::Result<SocketAddrUnix> {
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    Ok(SocketAddrUnix::new(path)?)
}

/// A directory that somebody else prepared could hold links in the place of our files.
fn check_owner(directory: &OwnedFd) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    let found = fs::metadata(path)?;
    if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0 {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}
