//! Copying a tree with all that belongs to it: holes, hard links, owners, modes, times, attributes.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, linkat, mkdirat, mknodat, openat,
    openat2, readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::{BELOW, Holes, TreeError, copy_data, open_child};

/// Levels of directories: two descriptors each, within the usual limit of 1024.
const MAX_DEPTH: usize = 256;
/// The kernel's own limits on one value and on the list of names (xattr(7)).
const XATTR_MAX: usize = 64 << 10;

/// What a copy did, also while it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Entries made, of every kind.
    pub entries: u64,
    /// Bytes of file content, holes not counted.
    pub bytes: u64,
    /// Sockets and refused device nodes that were left out.
    pub skipped: u64,
    /// Directories on which something else was mounted: made, but empty. Also the target itself, left out.
    pub mounts: u64,
    /// Extended attributes that the policy or the target filesystem did not take.
    pub attributes: u64,
}

/// What a copy keeps, changes or refuses. The reasons it gives reach the user with the entry's name.
pub trait CopyPolicy {
    /// The owner that is written for an entry of this owner.
    fn owner(&mut self, uid: u32, gid: u32) -> Result<(u32, u32), String>;
    /// The value to store for an extended attribute, or `None` to leave it out.
    fn attribute(&mut self, name: &[u8], value: Vec<u8>) -> Option<Vec<u8>>;
    /// Whether a device node is made (`true`) or left out.
    fn device(&mut self, major: u32, minor: u32) -> Result<bool, String>;
    /// Called before each entry and after each piece of a large file; an error ends the copy.
    fn progress(&mut self, path: &Path, done: &Copied) -> Result<(), TreeError>;
}

/// Everything exactly as it is: what copying a container of one's own means.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exact;

impl CopyPolicy for Exact {
    fn owner(&mut self, uid: u32, gid: u32) -> Result<(u32, u32), String> {
        Ok((uid, gid))
    }
    fn attribute(&mut self, _: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        Some(value)
    }
    fn device(&mut self, _: u32, _: u32) -> Result<bool, String> {
        Ok(true)
    }
    fn progress(&mut self, _: &Path, _: &Copied) -> Result<(), TreeError> {
        Ok(())
    }
}

/// Copies what is in the directory `from` into the existing directory `to`, and then `from`'s own owner,
/// mode, times and attributes onto it.
///
/// File data is shared (`FICLONE`) where both are on one filesystem that can, and copied in the kernel
/// otherwise. A name that exists in `to` already is an error, except for directories, which are joined.
pub fn copy_tree(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    policy: &mut dyn CopyPolicy,
) -> Result<Copied, TreeError> {
    let target = inode(&fstat(to).map_err(TreeError::io("examine", Path::new("")))?);
    let mut work =
        Copy { to, target, policy, done: Copied::default(), able: Holes::default(), links: HashMap::new() };
    work.run(from)?;
    Ok(work.done)
}

struct Copy<'a> {
    to: BorrowedFd<'a>,
    target: (u64, u64),
    policy: &'a mut dyn CopyPolicy,
    done: Copied,
    able: Holes,
    /// Where each file with several names was made first.
    links: HashMap<(u64, u64), PathBuf>,
}

/// One directory in the middle of being copied.
struct Level {
    from: Dir,
    to: OwnedFd,
    stat: Stat,
}

/// An error of one call before the path is known.
enum Fault {
    Call(&'static str, Errno),
    Rule(String),
    Whole(TreeError),
}

impl From<Errno> for Fault {
    fn from(e: Errno) -> Self {
        Self::Call("copy", e)
    }
}

/// Names the attempted step.
fn when<T>(doing: &'static str, result: Result<T, Errno>) -> Result<T, Fault> {
    result.map_err(|e| Fault::Call(doing, e))
}

impl Copy<'_> {
    fn run(&mut self, from: BorrowedFd<'_>) -> Result<(), TreeError> {
        let mut path = PathBuf::new();
        let mut levels = vec![self.root(from).map_err(|e| e.at(&path))?];
        while let Some(level) = levels.last_mut() {
            match level.from.read() {
                None => {
                    self.metadata(
                        level.from.fd().map_err(TreeError::io("read", &path))?,
                        level.to.as_fd(),
                        &level.stat,
                    )
                    .map_err(|e| e.at(&path))?;
                    levels.pop();
                    path.pop();
                }
                Some(entry) => {
                    let entry = entry.map_err(TreeError::io("read", &path))?;
                    let name = entry.file_name();
                    if name == c"." || name == c".." {
                        continue;
                    }
                    path.push(OsStr::from_bytes(name.to_bytes()));
                    self.policy.progress(&path, &self.done)?;
                    match self.entry(level, name, &path).map_err(|e| e.at(&path))? {
                        Some(_) if levels.len() >= MAX_DEPTH => {
                            let why = format!("more than {MAX_DEPTH} directories deep");
                            return Err(TreeError::Refused { path, why });
                        }
                        Some(child) => levels.push(child),
                        None => _ = path.pop(),
                    }
                }
            }
        }
        Ok(())
    }

    fn root(&self, from: BorrowedFd<'_>) -> Result<Level, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let from = when("open", openat(from, c".", flags, Mode::empty()))?;
        let to = when("open", openat(self.to, c".", flags, Mode::empty()))?;
        let stat = when("examine", fstat(&from))?;
        Ok(Level { from: when("read", Dir::new(from))?, to, stat })
    }

    /// Copies one entry; a directory is made and handed back to be walked.
    fn entry(&mut self, level: &Level, name: &CStr, path: &Path) -> Result<Option<Level>, Fault> {
        let (from, to) = (level.from.fd()?, level.to.as_fd());
        let stat = when("examine", statat(from, name, AtFlags::SYMLINK_NOFOLLOW))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        // The target may be inside the source (a copy of `/`): it must not be copied into itself.
        if kind == FileType::Directory && inode(&stat) == self.target {
            self.done.mounts += 1;
            return Ok(None);
        }
        if kind == FileType::Directory {
            return self.directory(from, to, name, stat);
        }
        if stat.st_nlink > 1 && self.linked(to, name, path, &stat)? {
            return Ok(None);
        }
        match kind {
            FileType::RegularFile => self.file(from, to, name, &stat, path)?,
            FileType::Symlink => self.symlink(from, to, name, &stat)?,
            FileType::Fifo => self.node(to, name, &stat, kind)?,
            FileType::CharacterDevice | FileType::BlockDevice => {
                let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
                if !self.policy.device(major, minor).map_err(Fault::Rule)? {
                    self.done.skipped += 1;
                    return Ok(None);
                }
                self.node(to, name, &stat, kind)?;
            }
            // A socket belongs to the process that listens on it; a copy would answer nobody.
            _ => {
                self.done.skipped += 1;
                return Ok(None);
            }
        }
        self.done.entries += 1;
        if stat.st_nlink > 1 {
            self.links.insert(inode(&stat), path.to_owned());
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
            Ok(()) => self.done.entries += 1,
            Err(Errno::EXIST) => {}
            Err(e) => return Err(Fault::Call("create", e)),
        }
        let target = when("open", open_child(to, name))?;
        let source = match open_child(from, name) {
            Err(Errno::XDEV) => {
                self.done.mounts += 1;
                let (uid, gid) = self.policy.owner(stat.st_uid, stat.st_gid).map_err(Fault::Rule)?;
                when(
                    "change the owner of",
                    fchown(&target, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))),
                )?;
                when("change the mode of", fchmod(&target, mode(&stat)))?;
                return Ok(None);
            }
            other => when("open", other)?,
        };
        Ok(Some(Level { from: when("read", Dir::new(source))?, to: target, stat }))
    }

    /// Makes another name for a file that was copied before.
    fn linked(&self, to: BorrowedFd<'_>, name: &CStr, path: &Path, stat: &Stat) -> Result<bool, Fault> {
        let Some(first) = self.links.get(&inode(stat)) else { return Ok(false) };
        let (Some(parent), Some(base)) = (first.parent(), first.file_name()) else { return Ok(false) };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = when("open", openat2(self.to, parent, flags, Mode::empty(), BELOW))?;
        match linkat(&dir, base, to, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            // The filesystem's limit on names of one file: the content is copied again.
            Err(Errno::MLINK) if path != first => Ok(false),
            Err(e) => Err(Fault::Call("link", e)),
        }
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
        let target = when("create", openat(to, name, flags, Mode::RUSR | Mode::WUSR))?;
        let size = u64::try_from(now.st_size).unwrap_or(0);
        let dense = u64::try_from(now.st_blocks).unwrap_or(0) * 512 >= size;
        let (done, policy) = (&mut self.done, &mut *self.policy);
        copy_data(source.as_fd(), target.as_fd(), size, dense, &mut self.able, &mut |step| {
            done.bytes += step;
            policy.progress(path, done).map_err(Fault::Whole)
        })?;
        self.metadata(source.as_fd(), target.as_fd(), &now)
    }

    /// Owner before attributes and mode: changing the owner clears capabilities and set-id bits.
    fn metadata(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<(), Fault> {
        let (uid, gid) = self.owner(stat)?;
        when("change the owner of", fchown(to, Some(uid), Some(gid)))?;
        self.attributes(from, to)?;
        when("change the mode of", fchmod(to, mode(stat)))?;
        when("set the times of", futimens(to, &times(stat)))
    }

    fn owner(&mut self, stat: &Stat) -> Result<(Uid, Gid), Fault> {
        let (uid, gid) = self.policy.owner(stat.st_uid, stat.st_gid).map_err(Fault::Rule)?;
        Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
    }

    fn attributes(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Fault> {
        let mut small = [0; 1024];
        let names = match flistxattr(from, &mut small) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Ok(n) => small[..n].to_vec(),
            Err(Errno::RANGE) => {
                let mut list = vec![0; XATTR_MAX];
                let n = when("list the attributes of", flistxattr(from, &mut list))?;
                list.truncate(n);
                list
            }
            Err(e) => return Err(Fault::Call("list the attributes of", e)),
        };
        for name in names.split(|b| *b == 0).filter(|n| !n.is_empty()) {
            let name = CString::new(name).unwrap_or_default();
            let mut value = vec![0; XATTR_MAX];
            match fgetxattr(from, &name, &mut value) {
                Ok(n) => value.truncate(n),
                // Listed, but gone since or not for us to read.
                Err(Errno::NODATA | Errno::ACCESS | Errno::PERM) => {
                    self.done.attributes += 1;
                    continue;
                }
                Err(e) => return Err(Fault::Call("read an attribute of", e)),
            }
            let Some(value) = self.policy.attribute(name.to_bytes(), value) else {
                self.done.attributes += 1;
                continue;
            };
            match fsetxattr(to, &name, &value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP | Errno::PERM) => self.done.attributes += 1,
                Err(e) => return Err(Fault::Call("set an attribute of", e)),
            }
        }
        Ok(())
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
        let (uid, gid) = self.owner(stat)?;
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        when("change the owner of", chownat(to, name, Some(uid), Some(gid), nofollow))?;
        when("set the times of", utimensat(to, name, &times(stat), nofollow))
    }

    fn node(&mut self, to: BorrowedFd<'_>, name: &CStr, stat: &Stat, kind: FileType) -> Result<(), Fault> {
        let (uid, gid) = self.owner(stat)?;
        when("create", mknodat(to, name, kind, Mode::empty(), stat.st_rdev))?;
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        when("change the owner of", chownat(to, name, Some(uid), Some(gid), nofollow))?;
        // The one call that cannot refuse a link; the node is ours, in a directory that nobody else reaches.
        when("change the mode of", chmodat(to, name, mode(stat), AtFlags::empty()))?;
        when("set the times of", utimensat(to, name, &times(stat), nofollow))
    }
}

impl Fault {
    fn at(self, path: &Path) -> TreeError {
        match self {
            Self::Call(doing, source) => TreeError::Io { doing, path: path.into(), source },
            Self::Rule(why) => TreeError::Refused { path: path.into(), why },
            Self::Whole(e) => e,
        }
    }
}

fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn links_times_modes_and_fifos_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join("sub/deep")).unwrap();
        fs::create_dir(&b).unwrap();
        fs::write(a.join("sub/file"), "hello").unwrap();
        fs::hard_link(a.join("sub/file"), a.join("other")).unwrap();
        std::os::unix::fs::symlink("/nowhere", a.join("link")).unwrap();
        fs::set_permissions(a.join("sub"), fs::Permissions::from_mode(0o2751)).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, a.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let old = fs::File::open(a.join("sub/deep")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_891_234)).unwrap();

        let (from, to) = (fs::File::open(&a).unwrap(), fs::File::open(&b).unwrap());
        let done = copy_tree(from.as_fd(), to.as_fd(), &mut Exact).unwrap();
        assert_eq!((done.entries, done.skipped), (5, 0));
        assert_eq!(fs::read(b.join("other")).unwrap(), b"hello");
        assert_eq!(
            fs::metadata(b.join("other")).unwrap().ino(),
            fs::metadata(b.join("sub/file")).unwrap().ino()
        );
        assert_eq!(fs::read_link(b.join("link")).unwrap(), Path::new("/nowhere"));
        assert_eq!(fs::metadata(b.join("sub")).unwrap().mode() & 0o7777, 0o2751);
        assert_eq!(fs::metadata(b.join("sub/deep")).unwrap().mtime(), 1234);
        assert_eq!(fs::metadata(b.join("sub/deep")).unwrap().mtime_nsec(), 567_891_234);
        assert_eq!(fs::symlink_metadata(b.join("fifo")).unwrap().mode() & 0o7777, 0o400);
    }

    #[test]
    fn an_existing_link_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(&a).unwrap();
        fs::create_dir(&b).unwrap();
        fs::write(a.join("x"), "evil").unwrap();
        fs::write(dir.path().join("victim"), "safe").unwrap();
        std::os::unix::fs::symlink("../victim", b.join("x")).unwrap();
        let (from, to) = (fs::File::open(&a).unwrap(), fs::File::open(&b).unwrap());
        let error = copy_tree(from.as_fd(), to.as_fd(), &mut Exact).unwrap_err();
        assert!(error.to_string().starts_with("cannot create x: "), "{error}");
        assert_eq!(fs::read(dir.path().join("victim")).unwrap(), b"safe");
    }
}
