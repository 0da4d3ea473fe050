//! One entry of a tree, by its kind.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::PoisonError;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, mkdirat, mknodat, openat, readlinkat, statat, symlinkat,
};
use rustix::io::Errno;

use crate::sys::failpoint;

use super::super::listing::{Listing, Place};
use super::super::{copy_data, open_child};
use super::{Fault, Level, Worker, inode, when};

impl Worker<'_> {
    /// Copies one entry; a directory is made and handed back to be walked.
    pub(super) fn entry(&mut self, level: &Level, name: &CStr, path: &Path) -> Result<Option<Level>, Fault> {
        let (from, to, shared) = (level.from.fd()?, level.to.fd()?, self.shared);
        failpoint::pass_errno("copy.entry")?;
        let stat = when("examine", statat(from, name, AtFlags::SYMLINK_NOFOLLOW))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            // The target may be inside the source (a copy of `/`): it must not be copied into itself.
            if inode(&stat) == shared.target {
                shared.tally.mounts(1);
                return Ok(None);
            }
            return self.directory(from, to, name, stat);
        }
        // Held until the file is there: another thread may have come across another name of it.
        let mut links =
            (stat.st_nlink > 1).then(|| shared.links.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(links) = &mut links
            && links.again(shared.to, to, name, path, &stat)?
        {
            return Ok(None);
        }
        let made = match kind {
            FileType::RegularFile => self.file(from, to, name, &stat, path).map(|()| true)?,
            FileType::Symlink => self.symlink(from, to, name, &stat).map(|()| true)?,
            _ => self.special(from, to, name, &stat, kind)?,
        };
        if !made {
            shared.tally.skipped(1);
            return Ok(None);
        }
        shared.tally.entries(1);
        if let Some(links) = &mut links {
            links.made(&stat, path);
        }
        Ok(None)
    }

    fn directory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: Stat,
    ) -> Result<Option<Level>, Fault> {
        let name = OsStr::from_bytes(name.to_bytes());
        match mkdirat(to, name, Mode::RWXU) {
            Ok(()) => self.shared.tally.entries(1),
            Err(Errno::EXIST) => {}
            Err(e) => return Err(Fault::Call("create", e)),
        }
        let target = when("open", open_child(to, name))?;
        let source = match open_child(from, name) {
            Err(Errno::XDEV) => {
                self.shared.tally.mounts(1);
                return self.owner_and_mode(target.as_fd(), &stat).map(|()| None);
            }
            other => when("open", other)?,
        };
        let made = inode(&when("examine", fstat(&target))?);
        let from = Listing::new(Place::new(source, inode(&stat)));
        Ok(Some(Level { from, to: Place::new(target, made), stat }))
    }

    fn file(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        path: &Path,
    ) -> Result<(), Fault> {
        // Without waiting, so that a FIFO put there since the examination cannot stop us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let source = when("open", openat(from, name, flags, Mode::empty()))?;
        let now = when("examine", fstat(&source))?;
        if inode(&now) != inode(stat) {
            return Err(Fault::Rule("it was replaced while it was copied".into()));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Nobody but the owner until it has its own.
        let mode = Mode::from_raw_mode(stat.st_mode) & Mode::RWXU;
        let target = when("create", openat(to, name, flags, mode))?;
        self.content(source.as_fd(), target.as_fd(), &now, path)
    }

    /// The content and the belongings of an open file, onto a new and empty one.
    pub(super) fn content(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        stat: &Stat,
        path: &Path,
    ) -> Result<(), Fault> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let dense = u64::try_from(stat.st_blocks).unwrap_or(0) * 512 >= size;
        let (tally, policy) = (&self.shared.tally, &mut *self.policy);
        copy_data(from, to, size, dense, &mut self.able, &mut |step| {
            tally.bytes(step);
            policy.progress(path, &tally.so_far()).map_err(Fault::Whole)
        })?;
        self.belongings(from, to, stat)
    }

    fn symlink(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> Result<(), Fault> {
        let target = when("read", readlinkat(from, name, Vec::new()))?;
        when("create", symlinkat(&target, to, name))?;
        self.belongings_of_special(from, to, name, stat)
    }

    /// Whether it was made.
    fn special(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        kind: FileType,
    ) -> Result<bool, Fault> {
        let wanted = match kind {
            FileType::Fifo => true,
            FileType::CharacterDevice | FileType::BlockDevice => {
                let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
                self.policy.device(major, minor).map_err(Fault::Rule)?
            }
            _ => self.policy.whole(),
        };
        if wanted {
            when("create", mknodat(to, name, kind, Mode::empty(), stat.st_rdev))?;
            self.belongings_of_special(from, to, name, stat)?;
        }
        Ok(wanted)
    }
}
