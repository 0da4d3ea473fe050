#![forbid(unsafe_code)]
//! `wxc:host/tree`: files and directories of a pool.
//!
//! Each function here is one verb: resolve ([`super::place`]), one or two calls of the kernel, errors in the
//! contract's words. Walks over whole trees are in [`super::measure`] and `sys::tree`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, StatxFlags, fchmod, fstat, fstatfs, fstatvfs, fsync,
    ftruncate, ioctl_ficlone, mkdirat, openat, openat2, renameat, renameat_with, statat, statx, unlinkat,
};
use rustix::io::Errno;
use wasmtime::component::Resource;

use super::State;
use super::failure::{failure, refused, stopped};
use super::handles::Directory;
use super::measure::{self, Stop};
use super::place::{At, CONFINED, Class, Need, parts};
use super::progress::{Progress, Unit};
use super::quota;
use crate::plugin::bindings::host::wxc::host::tree::{Entry, Host, NodeKind, Quota, Room, Status, TreeUsage};
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::sys::failpoint;
use crate::sys::tree::{self, Copied, TreeError};

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Base = Resource<Directory>;

/// Longest file that is read into a guest.
const MOST_READ: u32 = 1 << 20;
/// Most entries of one answer.
const MOST_ENTRIES: u32 = 1000;

/// `?` for a function whose answer is a result inside a result.
macro_rules! attempt {
    ($e:expr) => {
        match $e {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}

impl State {
    /// Finds the handle, resolves the path.
    fn at(&mut self, base: &Base, path: &str, need: Need) -> Answer<At> {
        if let Some(interruption) = &self.scope.interruption {
            attempt!(interruption.fail());
        }
        Ok(self.directory(base)?.at(path, need))
    }
}

impl Host for State {
    fn open(&mut self, base: Base, path: String) -> Answer<Base> {
        let called = self.called("tree.open", &(base.rep(), &path))?;
        self.answer_handle(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Look)?);
            let fd = attempt!(at.open(OFlags::RDONLY | OFlags::DIRECTORY));
            state.mint(Directory { fd, zone: at.zone }).map(Ok)
        })
    }

    fn inspect(&mut self, base: Base, path: String) -> Answer<Status> {
        let called = self.called("tree.inspect", &(base.rep(), &path))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Look)?);
            let looked = statat(&at.parent, at.name_or_dot(), AtFlags::SYMLINK_NOFOLLOW);
            Ok(looked.map_err(|e| at.refused("look at", e)).map(|stat| {
                let kind = kind_of(FileType::from_raw_mode(stat.st_mode));
                let size = if kind == NodeKind::Directory { 0 } else { stat.st_size.cast_unsigned() };
                Status { kind, size, permissions: stat.st_mode & 0o7777 }
            }))
        })
    }

    fn entries(&mut self, base: Base, path: String, after: Option<String>, limit: u32) -> Answer<Vec<Entry>> {
        let called = self.called("tree.entries", &(base.rep(), &path, &after, limit))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Look)?);
            Ok(list(&at, after.as_deref(), limit.min(MOST_ENTRIES)))
        })
    }

    fn identity(&mut self, base: Base, path: String) -> Answer<String> {
        let called = self.called("tree.identity", &(base.rep(), &path))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Look)?);
            let mask = StatxFlags::INO | StatxFlags::BTIME;
            let looked = statx(&at.parent, at.name_or_dot(), AtFlags::SYMLINK_NOFOLLOW, mask);
            // An inode number is used again after a removal; with the time of birth it is not.
            Ok(looked.map_err(|e| at.refused("look at", e)).map(|s| {
                let (born, device) = (s.stx_btime, (s.stx_dev_major, s.stx_dev_minor));
                format!("{:x}:{:x}:{:x}:{:x}.{:x}", device.0, device.1, s.stx_ino, born.tv_sec, born.tv_nsec)
            }))
        })
    }

    fn make_directory(&mut self, base: Base, path: String, permissions: u32) -> Answer<()> {
        let called = self.called("tree.make-directory", &(base.rep(), &path, permissions))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Change)?);
            Ok(make_directory(&at, permissions))
        })
    }

    fn ensure_directory(&mut self, base: Base, path: String, permissions: u32) -> Answer<()> {
        let called = self.called("tree.ensure-directory", &(base.rep(), &path, permissions))?;
        self.answer(called, |state| {
            let directory = state.directory(&base)?;
            let all = attempt!(parts(&path));
            for end in 1..=all.len() {
                let at = attempt!(directory.at(&all[..end].join("/"), Need::Look));
                if at.zone.class() == Class::Content {
                    match make_directory(&at, permissions) {
                        Err(error) if error.kind == ErrorKind::AlreadyExists => {}
                        other => attempt!(other),
                    }
                }
                // What is there already has to be a directory; what is not ours to make has to be there.
                attempt!(at.open(OFlags::PATH | OFlags::DIRECTORY));
            }
            Ok(Ok(()))
        })
    }

    fn read(&mut self, base: Base, path: String, limit: u32) -> Answer<Vec<u8>> {
        let called = self.called("tree.read", &(base.rep(), &path, limit))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Look)?);
            Ok(read(&at, limit.min(MOST_READ)))
        })
    }

    fn write(&mut self, base: Base, path: String, content: Vec<u8>, permissions: u32) -> Answer<()> {
        let called = self.called("tree.write", &(base.rep(), &path, &content, permissions))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Change)?);
            Ok(write(&at, &content, permissions, state.scope.durable_later))
        })
    }

    fn make_file(&mut self, base: Base, path: String, size: u64, permissions: u32) -> Answer<()> {
        let called = self.called("tree.make-file", &(base.rep(), &path, size, permissions))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Change)?);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let name = attempt!(at.named());
            attempt!(at.pass("tree.make-file"));
            let made = openat2(&at.parent, name, flags, Mode::RUSR | Mode::WUSR, CONFINED).and_then(|fd| {
                let shaped = ftruncate(&fd, size).and_then(|()| fchmod(&fd, mode(permissions)));
                // A file without its size is not what the name promises.
                shaped.inspect_err(|_| _ = unlinkat(&at.parent, name, AtFlags::empty()))
            });
            Ok(made.map_err(|e| at.refused("make", e)))
        })
    }

    fn set_size(&mut self, base: Base, path: String, size: u64) -> Answer<()> {
        let called = self.called("tree.set-size", &(base.rep(), &path, size))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Change)?);
            let fd = attempt!(open_file(&at, OFlags::WRONLY));
            attempt!(at.pass("tree.set-size"));
            Ok(ftruncate(&fd, size).map_err(|e| at.refused("change the length of", e)))
        })
    }

    fn copy(&mut self, base: Base, path: String, target_base: Base, target_path: String) -> Answer<()> {
        let called = self.called("tree.copy", &(base.rep(), &path, target_base.rep(), &target_path))?;
        self.answer(called, |state| {
            let from = attempt!(state.at(&base, &path, Need::Look)?);
            if from.zone.class() != Class::Content {
                return Ok(Err(failure(ErrorKind::Denied, format!("{path:?} is not part of a volume"))));
            }
            let to = attempt!(state.at(&target_base, &target_path, Need::Change)?);
            attempt!(to.pass("tree.copy"));
            Ok(copy(&from, &to, &*state.progress))
        })
    }

    fn shares_blocks(&mut self, base: Base) -> Answer<bool> {
        let called = self.called("tree.shares-blocks", &(base.rep(),))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, "", Need::Look)?);
            Ok(shares_blocks(&at))
        })
    }

    fn rename(&mut self, base: Base, path: String, new_path: String) -> Answer<()> {
        let called = self.called("tree.rename", &(base.rep(), &path, &new_path))?;
        self.answer(called, |state| {
            let from = attempt!(state.at(&base, &path, Need::Change)?);
            let to = attempt!(state.at(&base, &new_path, Need::Change)?);
            Ok(rename(&from, &to, RenameFlags::NOREPLACE))
        })
    }

    fn exchange(&mut self, base: Base, path: String, other_path: String) -> Answer<()> {
        let called = self.called("tree.exchange", &(base.rep(), &path, &other_path))?;
        self.answer(called, |state| {
            let from = attempt!(state.at(&base, &path, Need::Change)?);
            let to = attempt!(state.at(&base, &other_path, Need::Change)?);
            Ok(rename(&from, &to, RenameFlags::EXCHANGE))
        })
    }

    fn remove(&mut self, base: Base, path: String) -> Answer<()> {
        let called = self.called("tree.remove", &(base.rep(), &path))?;
        self.answer(called, |state| match state.at(&base, &path, Need::Change)? {
            Ok(at) => Ok(remove(&at)),
            Err(error) => Ok(nothing_there(error)),
        })
    }

    fn remove_tree(&mut self, base: Base, path: String) -> Answer<()> {
        let called = self.called("tree.remove-tree", &(base.rep(), &path))?;
        self.answer(called, |state| {
            let at = match state.at(&base, &path, Need::Change)? {
                Ok(at) => at,
                Err(error) => return Ok(nothing_there(error)),
            };
            let name = attempt!(at.named());
            attempt!(at.pass("tree.remove-tree"));
            let progress = &*state.progress;
            let watch = |gone| progress.report(gone, None, Unit::Items);
            let removed = tree::remove_tree_watched(at.parent(), name.as_ref(), &watch).map_err(stopped);
            Ok(removed.map(|entries| progress.report(entries, Some(entries), Unit::Items)))
        })
    }

    fn sync(&mut self, base: Base, path: String) -> Answer<()> {
        let called = self.called("tree.sync", &(base.rep(), &path))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Look)?);
            let fd = attempt!(at.open(OFlags::RDONLY));
            let above = attempt!(at.open_parent());
            attempt!(at.pass("tree.sync"));
            if state.scope.durable_later {
                return Ok(Ok(()));
            }
            let synced = measure::sync_tree(fd).and_then(|()| fsync(above));
            Ok(synced.map_err(|e| at.refused("write to the disk", e)))
        })
    }

    fn usage(&mut self, base: Base, path: String) -> Answer<TreeUsage> {
        let called = self.called("tree.usage", &(base.rep(), &path))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Look)?);
            let fd = attempt!(at.open(OFlags::RDONLY));
            if let Some(account) = quota::counted(&at, fd.as_fd()) {
                return Ok(Ok(TreeUsage { bytes: account.bytes, entries: account.entries }));
            }
            let progress = state.progress.clone();
            Ok(match measure::measure(fd, &|| progress.cancelled()) {
                Ok(measured) => Ok(TreeUsage { bytes: measured.bytes, entries: measured.entries }),
                Err(Stop::Enough) => Err(failure(ErrorKind::Cancelled, "stopped counting")),
                Err(Stop::Errno(e)) => Err(at.refused("count", e)),
            })
        })
    }

    fn space(&mut self, base: Base) -> Answer<Room> {
        let called = self.called("tree.space", &(base.rep(),))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, "", Need::Look)?);
            Ok(fstatvfs(&at.parent).map_err(|e| at.refused("ask for the room of", e)).map(|s| Room {
                total: s.f_blocks.saturating_mul(s.f_frsize),
                available: s.f_bavail.saturating_mul(s.f_frsize),
                entries_available: (s.f_files > 0).then_some(s.f_favail),
            }))
        })
    }

    fn filesystem(&mut self, base: Base) -> Answer<String> {
        let called = self.called("tree.filesystem", &(base.rep(),))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, "", Need::Look)?);
            Ok(fstatfs(&at.parent)
                .map(|s| filesystem_name(s.f_type))
                .map_err(|e| at.refused("ask for the type of", e)))
        })
    }

    fn set_quota(&mut self, base: Base, path: String, quota: Quota) -> Answer<()> {
        let called = self.called("tree.set-quota", &(base.rep(), &path, &quota))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Change)?);
            Ok(quota::set(&at, quota))
        })
    }

    fn quota_of(&mut self, base: Base, path: String) -> Answer<Quota> {
        let called = self.called("tree.quota-of", &(base.rep(), &path))?;
        self.answer(called, |state| {
            let at = attempt!(state.at(&base, &path, Need::Look)?);
            Ok(quota::get(&at))
        })
    }
}

fn kind_of(kind: FileType) -> NodeKind {
    match kind {
        FileType::RegularFile => NodeKind::File,
        FileType::Directory => NodeKind::Directory,
        FileType::Symlink => NodeKind::Symlink,
        _ => NodeKind::Other,
    }
}

fn mode(permissions: u32) -> Mode {
    Mode::from_raw_mode(permissions & 0o7777)
}

/// The entries that a guest may see, in the order of their bytes.
fn list(at: &At, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, Error> {
    let fd = at.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
    let directory = Dir::new(fd).map_err(|e| at.refused("read", e))?;
    let mut names = Vec::new();
    for entry in directory {
        let entry = entry.map_err(|e| at.refused("read", e))?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let seen = name != "." && name != ".." && after.is_none_or(|after| name > after);
        if seen && at.zone.below(&[name]).class() != Class::Hidden {
            names.push((name.to_owned(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    names.truncate(limit as usize);
    let parent = at.open(OFlags::PATH | OFlags::DIRECTORY)?;
    let entry = |(name, kind): (String, FileType)| {
        // Not every file system says in the listing what an entry is.
        let asked = || statat(&parent, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        let kind = match kind {
            FileType::Unknown => asked().map_or(FileType::Unknown, |s| FileType::from_raw_mode(s.st_mode)),
            known => known,
        };
        Entry { name, kind: kind_of(kind) }
    };
    Ok(names.into_iter().map(entry).collect())
}

fn make_directory(at: &At, permissions: u32) -> Result<(), Error> {
    let name = at.named()?;
    at.pass("tree.make-directory")?;
    mkdirat(&at.parent, name, Mode::RWXU).map_err(|e| at.refused("make", e))?;
    // Through a descriptor, because the mode given to mkdir passes through the umask.
    let fd = at.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
    fchmod(fd, mode(permissions)).map_err(|e| at.refused("set the permissions of", e))
}

/// Opens a regular file, and nothing else: reading a device of a guest's tree would reach the host's.
pub(super) fn open_file(at: &At, flags: OFlags) -> Result<OwnedFd, Error> {
    // Looked at first through a descriptor that opens nothing: to open a device already acts on it.
    let looked = at.open(OFlags::PATH)?;
    let before = fstat(&looked).map_err(|e| at.refused("look at", e))?;
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Err(failure(ErrorKind::Invalid, format!("{} is not a regular file", at.said)));
    }
    let fd = at.open(flags)?;
    let after = fstat(&fd).map_err(|e| at.refused("look at", e))?;
    if (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino) {
        return Err(failure(ErrorKind::Busy, format!("{} was replaced meanwhile", at.said)));
    }
    Ok(fd)
}

fn read(at: &At, limit: u32) -> Result<Vec<u8>, Error> {
    let fd = open_file(at, OFlags::RDONLY)?;
    let mut bytes = Vec::new();
    let read = File::from(fd).take(u64::from(limit) + 1).read_to_end(&mut bytes);
    read.map_err(|e| failure(ErrorKind::Failed, format!("cannot read {}: {e}", at.said)))?;
    if bytes.len() > limit as usize {
        return Err(failure(ErrorKind::Exhausted, format!("{} is longer than {limit} bytes", at.said)));
    }
    Ok(bytes)
}

/// A hidden name beside the file, synced and renamed over it; the name is always the same, so that what a
/// crash leaves is taken up by the next attempt. `later`: a file of a new volume, which is made durable as a whole.
fn write(at: &At, content: &[u8], permissions: u32, later: bool) -> Result<(), Error> {
    let name = at.named()?;
    let part = format!(".{name}.part");
    at.pass("tree.write")?;
    let failed = |e: std::io::Error| match Errno::from_io_error(&e) {
        Some(errno) => at.refused("write", errno),
        None => failure(ErrorKind::Failed, format!("cannot write {}: {e}", at.said)),
    };
    match unlinkat(&at.parent, &part, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(at.refused("write", errno)),
    }
    // What is there already may be another volume's, such as a note of the original: it is never put at risk.
    let is_new = || matches!(statat(&at.parent, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT));
    let later = later && is_new();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&at.parent, &part, flags, Mode::RUSR | Mode::WUSR).map_err(|e| at.refused("write", e))?;
    let mut file = File::from(fd);
    let written = file.write_all(content).and_then(|()| {
        fchmod(&file, mode(permissions))?;
        if !later {
            file.sync_all()?;
        }
        failpoint::pass("tree.write.rename")?;
        renameat(&at.parent, &part, &at.parent, name)?;
        Ok(())
    });
    if let Err(error) = written {
        // Of no use to anybody; if it stays, the next attempt removes it.
        let _removed = unlinkat(&at.parent, &part, AtFlags::empty());
        return Err(failed(error));
    }
    at.pass("tree.write.sync")?;
    if later {
        return Ok(());
    }
    fsync(at.open_parent()?).map_err(|e| at.refused("write", e))
}

fn rename(from: &At, to: &At, flags: RenameFlags) -> Result<(), Error> {
    let (old, new) = (from.named()?, to.named()?);
    from.pass("tree.rename")?;
    renameat_with(&from.parent, old, &to.parent, new, flags).map_err(|e| match e {
        Errno::NOENT => from.refused("rename", e),
        _ => refused(&format!("rename {} to", from.said), &to.said, e),
    })
}

/// Where not even the directory is, there is nothing to remove.
fn nothing_there(error: Error) -> Result<(), Error> {
    if error.kind == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn remove(at: &At) -> Result<(), Error> {
    let name = at.named()?;
    at.pass("tree.remove")?;
    let removed = match unlinkat(&at.parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => unlinkat(&at.parent, name, AtFlags::REMOVEDIR),
        other => other,
    };
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTEMPTY) => Err(failure(ErrorKind::InUse, format!("{} is not empty", at.said))),
        Err(errno) => Err(at.refused("remove", errno)),
    }
}

/// Tells how far a copy is, and ends it when the user asked for that.
fn watched(progress: &dyn Progress, done: &Copied, total: Option<u64>) -> Result<(), TreeError> {
    progress.report(done.bytes, total, Unit::Bytes);
    if progress.cancelled() { Err(TreeError::Stopped) } else { Ok(()) }
}

fn copy(from: &At, to: &At, progress: &dyn Progress) -> Result<(), Error> {
    let source = statat(&from.parent, from.name_or_dot(), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| from.refused("look at", e))?;
    match FileType::from_raw_mode(source.st_mode) {
        FileType::Directory => {
            mkdirat(&to.parent, to.named()?, Mode::RWXU).map_err(|e| to.refused("make", e))?;
            let (source, target) = (
                from.open(OFlags::RDONLY | OFlags::DIRECTORY)?,
                to.open(OFlags::RDONLY | OFlags::DIRECTORY)?,
            );
            tree::copy_exactly(source.as_fd(), target.as_fd(), &|done| watched(progress, done, None))
                .map(drop)
                .map_err(stopped)
        }
        FileType::RegularFile => copy_file(from, to, progress),
        _ => Err(failure(ErrorKind::Unsupported, format!("{} is neither a file nor a directory", from.said))),
    }
}

/// One file, such as a disk, with all that belongs to it.
fn copy_file(from: &At, to: &At, progress: &dyn Progress) -> Result<(), Error> {
    let source = open_file(from, OFlags::RDONLY)?;
    let total = fstat(&source).map_err(|e| from.refused("look at", e))?.st_size.cast_unsigned();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = openat2(&to.parent, to.named()?, flags, Mode::RUSR | Mode::WUSR, CONFINED)
        .map_err(|e| to.refused("make", e))?;
    let copied =
        tree::copy_file(source.as_fd(), target.as_fd(), &|done| watched(progress, done, Some(total)));
    copied.map(drop).map_err(|error| match error {
        TreeError::Io { doing, source, .. } => from.refused(doing, source),
        other => stopped(other),
    })
}

/// Tried on two files without a name.
fn shares_blocks(at: &At) -> Result<bool, Error> {
    let unnamed = || {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        openat(&at.parent, ".", flags, Mode::RUSR | Mode::WUSR).map_err(|e| at.refused("make a file in", e))
    };
    let (one, other) = (unnamed()?, unnamed()?);
    rustix::io::pwrite(&one, &[1; 4096], 0).map_err(|e| at.refused("write to", e))?;
    Ok(ioctl_ficlone(&other, &one).is_ok())
}

/// The kernel's spelling for a magic number of statfs(2). ext2 and ext3 are ext4 to the kernel of today.
pub(super) fn filesystem_name(magic: rustix::fs::FsWord) -> String {
    const NAMES: &[(i64, &str)] = &[
        (0xef53, "ext4"),
        (0x9123_683e, "btrfs"),
        (0x5846_5342, "xfs"),
        (0x2fc1_2fc1, "zfs"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlay"),
        (0xf2f5_2010, "f2fs"),
        (0xca45_1a4e, "bcachefs"),
        (0x6969, "nfs"),
        (0x6573_5546, "fuse"),
        (0xff53_4d42, "cifs"),
        (0x0102_1997, "9p"),
    ];
    // The word is signed on some architectures; the magic numbers are 32 bits everywhere.
    let magic = magic & 0xffff_ffff;
    let known = NAMES.iter().find(|(number, _)| *number == magic);
    known.map_or_else(|| format!("{magic:#x}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use rustix::fs::{Timespec, Timestamps, UTIME_OMIT, XattrFlags, futimens, lgetxattr, setxattr};

    use super::*;
    use crate::plugin::host::Quiet;
    use crate::plugin::host::place::Zone;

    #[test]
    fn a_single_file_is_copied_with_all_that_belongs_to_it() {
        // Not in memory: a tmpfs may have no attributes of users.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let (one, other) = (dir.path().join("web/rootdev"), dir.path().join("web/rootdev.new"));
        fs::create_dir(dir.path().join("web")).unwrap();
        fs::write(&one, vec![7; 10_000]).unwrap();
        fs::set_permissions(&one, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        setxattr(&one, "user.kept", b"yes", XattrFlags::empty()).unwrap();
        let changed = UNIX_EPOCH + Duration::from_nanos(1_234_567_891_234);
        fs::File::open(&one).unwrap().set_modified(changed).unwrap();
        let read = Timespec { tv_sec: 99, tv_nsec: 7 };
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access: read, last_modification: omit };
        futimens(fs::File::open(&one).unwrap(), &times).unwrap();

        let fd = OwnedFd::from(fs::File::open(dir.path()).unwrap());
        let pool = Directory { fd, zone: Zone::default() };
        let from = pool.at("web/rootdev", Need::Look).unwrap();
        let to = pool.at("web/rootdev.new", Need::Change).unwrap();
        copy(&from, &to, &Quiet).unwrap();

        let stat = rustix::fs::stat(&other).unwrap();
        assert_eq!((stat.st_atime, stat.st_atime_nsec, stat.st_mode & 0o7777), (99, 7, 0o640));
        assert_eq!(fs::metadata(&other).unwrap().modified().unwrap(), changed);
        let mut value = [0; 8];
        let length = lgetxattr(&other, "user.kept", &mut value).unwrap();
        assert_eq!(&value[..length], b"yes");
        assert_eq!(fs::read(&other).unwrap(), vec![7; 10_000]);
        let refused = copy(&from, &to, &Quiet).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::AlreadyExists, "{}", refused.message);
    }
}
