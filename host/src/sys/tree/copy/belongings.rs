//! What belongs to an entry besides its content: owner, permissions, times, extended attributes and ACLs.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod,
    fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, lgetxattr, llistxattr, lsetxattr, utimensat,
};
use rustix::io::{Errno, Result as Answer};

use super::{Fault, Worker, when};

/// The kernel's own limits on one value and on the list of names (xattr(7)).
const XATTR_MAX: usize = 64 << 10;

/// Something that can have extended attributes.
#[derive(Clone, Copy)]
enum Bearer<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A link or a special file, which is not opened: the call that does not follow the last part of this path.
    Named(&'a CStr),
}

impl Bearer<'_> {
    fn list(self, into: &mut [u8]) -> Answer<usize> {
        match self {
            Self::Open(fd) => flistxattr(fd, into),
            Self::Named(path) => llistxattr(path, into),
        }
    }

    fn get(self, name: &CStr, into: &mut [u8]) -> Answer<usize> {
        match self {
            Self::Open(fd) => fgetxattr(fd, name, into),
            Self::Named(path) => lgetxattr(path, name, into),
        }
    }

    fn set(self, name: &CStr, value: &[u8]) -> Answer<()> {
        match self {
            Self::Open(fd) => fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Named(path) => lsetxattr(path, name, value, XattrFlags::empty()),
        }
    }
}

impl Worker<'_> {
    /// Owner before attributes and mode: changing the owner clears capabilities and set-id bits.
    pub(super) fn belongings(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        stat: &Stat,
    ) -> Result<(), Fault> {
        let (uid, gid) = self.owner(stat)?;
        let made = when("examine", fstat(to))?;
        let owned = (made.st_uid, made.st_gid) == (uid.as_raw(), gid.as_raw());
        if !owned {
            when("change the owner of", fchown(to, Some(uid), Some(gid)))?;
        }
        let attributes = self.attributes(Bearer::Open(from), Bearer::Open(to))?;
        // An ACL changes the permissions, too, and so does another owner those with set-id bits.
        if !owned || attributes || mode(&made) != mode(stat) {
            when("change the mode of", fchmod(to, mode(stat)))?;
        }
        when("set the times of", futimens(to, &times(stat)))
    }

    /// The same for what is not opened: a link, a device, a FIFO, a socket.
    pub(super) fn belongings_of_special(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> Result<(), Fault> {
        let (uid, gid) = self.owner(stat)?;
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        when("change the owner of", chownat(to, name, Some(uid), Some(gid), nofollow))?;
        if self.policy.whole() {
            let (from, to) = (named(from, name), named(to, name));
            self.attributes(Bearer::Named(&from), Bearer::Named(&to))?;
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            // The one call that cannot refuse a link; the node is ours, in a directory that nobody else reaches.
            when("change the mode of", chmodat(to, name, mode(stat), AtFlags::empty()))?;
        }
        when("set the times of", utimensat(to, name, &times(stat), nofollow))
    }

    /// The owner only, of a directory that something else is mounted on.
    pub(super) fn owner_and_mode(&mut self, to: BorrowedFd<'_>, stat: &Stat) -> Result<(), Fault> {
        let (uid, gid) = self.owner(stat)?;
        when("change the owner of", fchown(to, Some(uid), Some(gid)))?;
        when("change the mode of", fchmod(to, mode(stat)))
    }

    fn owner(&mut self, stat: &Stat) -> Result<(Uid, Gid), Fault> {
        let (uid, gid) = self.policy.owner(stat.st_uid, stat.st_gid).map_err(Fault::Rule)?;
        Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
    }

    /// Whether there were any.
    fn attributes(&mut self, from: Bearer<'_>, to: Bearer<'_>) -> Result<bool, Fault> {
        let mut small = [0; 1024];
        let names = match from.list(&mut small) {
            // The last one is a filter's answer, which a confined process lives with.
            Ok(0) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Ok(n) => small[..n].to_vec(),
            Err(Errno::RANGE) => {
                let mut list = vec![0; XATTR_MAX];
                let n = when("list the attributes of", from.list(&mut list))?;
                list.truncate(n);
                list
            }
            Err(e) => return Err(Fault::Call("list the attributes of", e)),
        };
        for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
            self.attribute(from, to, &CString::new(name).unwrap_or_default())?;
        }
        Ok(true)
    }

    fn attribute(&mut self, from: Bearer<'_>, to: Bearer<'_>, name: &CStr) -> Result<(), Fault> {
        self.value.resize(XATTR_MAX, 0);
        let value = match from.get(name, &mut self.value) {
            Ok(n) => self.value[..n].to_vec(),
            // Listed, but gone since or not for us to read.
            Err(Errno::NODATA | Errno::ACCESS | Errno::PERM) => {
                self.shared.tally.attributes(1);
                return Ok(());
            }
            Err(e) => return Err(Fault::Call("read an attribute of", e)),
        };
        let Some(value) = self.policy.attribute(name.to_bytes(), value) else {
            self.shared.tally.attributes(1);
            return Ok(());
        };
        match to.set(name, &value) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::PERM) => self.shared.tally.attributes(1),
            Err(e) => return Err(Fault::Call("set an attribute of", e)),
        }
        Ok(())
    }
}

/// A name in an open directory as a path, for calls that take no directory.
fn named(at: BorrowedFd<'_>, name: &CStr) -> CString {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", at.as_raw_fd()));
    path.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
    CString::new(path.into_os_string().into_encoded_bytes()).unwrap_or_default()
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn times(stat: &Stat) -> Timestamps {
    // Nanoseconds are below 10^9 whatever their type is on this architecture.
    let time = |sec: i64, nsec: u64| Timespec { tv_sec: sec, tv_nsec: i64::try_from(nsec).unwrap_or(0) };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}
