//! Files that only root or this user could have written.
//!
//! The path is walked from `/` by descriptor. Each directory, and the file, must belong to root or
//! to the effective user, and be writable by nobody else: who can write to any directory on the way
//! can put another file in place (the rule of sshd's StrictModes). A write right given by an access
//! list shows in the group bits of the mode (acl(5)), so the mode tells all.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{self, FileType, Mode, OFlags, Stat};

/// Why a file or directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Nothing there.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// There, and somebody else could have written it.
    #[error("{} is not trusted: {why}", path.display())]
    Untrusted {
        /// The first offending part of the path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The kernel refused to tell.
    #[error("cannot open {}", path.display())]
    Io {
        /// What was being opened.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl TrustError {
    fn at(path: &Path, errno: rustix::io::Errno) -> Self {
        match errno {
            rustix::io::Errno::NOENT => Self::Missing(path.to_owned()),
            other => Self::Io { path: path.to_owned(), source: other.into() },
        }
    }
}

/// A directory whose whole path passed the check.
#[derive(Debug, Clone)]
pub struct TrustedDir(Arc<Walked>);

#[derive(Debug)]
struct Walked {
    fd: OwnedFd,
    path: PathBuf,
    /// Device and inode.
    mark: (u64, u64),
}

/// Directories that this process has walked to, by the path that was asked for.
static KEPT: Mutex<BTreeMap<PathBuf, TrustedDir>> = Mutex::new(BTreeMap::new());

/// A regular file in a [`TrustedDir`], opened once.
#[derive(Debug)]
pub struct TrustedFile {
    file: File,
    stat: Stat,
}

impl TrustedDir {
    /// Walks to `path`. Links on the way are resolved first, and what they lead to is checked.
    ///
    /// # Errors
    /// [`TrustError::Missing`] when it is not there, the others as they say.
    pub fn open(path: &Path) -> Result<Self, TrustError> {
        let path = path.canonicalize().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => TrustError::Missing(path.to_owned()),
            _ => TrustError::Io { path: path.to_owned(), source },
        })?;
        let mut walked = PathBuf::from("/");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut fd = fs::open("/", flags, Mode::empty()).map_err(|e| TrustError::at(&walked, e))?;
        let mut stat = check(fd.as_fd(), &walked)?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            walked.push(name);
            // The path has just been resolved: a link found now was put there in between.
            fd = fs::openat(&fd, name, flags | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|e| TrustError::at(&walked, e))?;
            stat = check(fd.as_fd(), &walked)?;
        }
        Ok(Self(Arc::new(Walked { fd, path, mark: (stat.st_dev, stat.st_ino) })))
    }

    /// The same, remembered: a path that still leads to the directory that was walked to is not walked again by this process.
    /// Whoever could lead it there by another way since is trusted with all of them anyway, and what is opened in it is checked
    /// each time.
    ///
    /// # Errors
    /// As [`TrustedDir::open`].
    pub fn kept(path: &Path) -> Result<Self, TrustError> {
        let stat = fs::stat(path).map_err(|e| TrustError::at(path, e))?;
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        // While it is open, its inode is nobody else's.
        if let Some(known) = kept.get(path).filter(|known| known.0.mark == (stat.st_dev, stat.st_ino)) {
            check_stat(&stat, &known.0.path)?;
            return Ok(known.clone());
        }
        let opened = Self::open(path)?;
        kept.insert(path.to_owned(), opened.clone());
        Ok(opened)
    }

    /// Opens a file in it.
    ///
    /// # Errors
    /// As [`TrustedDir::open`], and when it is not a regular file with one name.
    pub fn file(&self, name: &OsStr) -> Result<TrustedFile, TrustError> {
        let path = self.path().join(name);
        // NONBLOCK: to open a FIFO must not wait for its writer before we can refuse it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::openat(&self.0.fd, name, flags, Mode::empty()).map_err(|e| TrustError::at(&path, e))?;
        let stat = check(fd.as_fd(), &path)?;
        let untrusted = |why| TrustError::Untrusted { path: path.clone(), why };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(untrusted("it is not a regular file"));
        }
        // A second name could lie where others may write, for example in a backup or a spool.
        if stat.st_nlink != 1 {
            return Err(untrusted("it has more than one name (hard links)"));
        }
        Ok(TrustedFile { file: File::from(fd), stat })
    }

    /// Where it is, with links resolved; for messages and for the names of children.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl AsFd for TrustedDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl TrustedFile {
    /// Reads all of it.
    ///
    /// # Errors
    /// When it is longer than `max` bytes, or cannot be read.
    pub fn read(&self, max: u64) -> io::Result<Vec<u8>> {
        if self.len() > max {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {max} bytes")));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        (&self.file).take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Length in bytes when it was opened.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.stat.st_size.cast_unsigned()
    }

    /// What tells it from other files and from what it was before: device, inode, length, and when anything of it changed last.
    #[must_use]
    pub fn stamp(&self) -> [u64; 5] {
        let Stat { st_dev, st_ino, st_size, st_ctime, st_ctime_nsec, .. } = self.stat;
        // Times before 1970 become large numbers, which are as good.
        [st_dev, st_ino, st_size.cast_unsigned(), st_ctime.cast_unsigned(), st_ctime_nsec]
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The open file.
    #[must_use]
    pub fn as_file(&self) -> &File {
        &self.file
    }
}

/// What was root's when it was looked at by [`note`]: device and inode.
static NOTED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// Remembers what of these directories, of what is in them and of the way to them is root's. For a process that is
/// about to enter a user namespace without root: there its files seem to be nobody's (user_namespaces(7)).
pub fn note<'a>(directories: impl IntoIterator<Item = &'a Path>) {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut look = |path: &Path| {
        // What is not there now is none of the files that were there.
        if let Ok(stat) = fs::lstat(path)
            && stat.st_uid == 0
        {
            noted.insert((stat.st_dev, stat.st_ino));
        }
    };
    for directory in directories.into_iter().filter_map(|directory| directory.canonicalize().ok()) {
        directory.ancestors().for_each(&mut look);
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        entries.for_each(|entry| look(&entry.path()));
    }
}

/// What is remembered, as a word of a command line: for a process that begins in such a namespace. Nothing where there is nothing.
#[must_use]
pub fn noted() -> Option<String> {
    let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let words: Vec<String> = noted.iter().map(|(device, inode)| format!("{device}:{inode}")).collect();
    (!words.is_empty()).then(|| words.join(","))
}

/// Takes over what another process of ours has remembered; what is no such word is none.
pub fn take_over(words: &str) {
    let pair = |word: &str| {
        let (device, inode) = word.split_once(':')?;
        Some((device.parse().ok()?, inode.parse().ok()?))
    };
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    noted.extend(words.split(',').filter_map(pair));
}

fn is_roots(stat: &Stat) -> bool {
    let noted = || NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    stat.st_uid == 0 || stat.st_uid == NOBODY && noted().contains(&(stat.st_dev, stat.st_ino))
}

/// How an owner is shown who is not in the map of this user namespace.
const NOBODY: u32 = 65534;

/// Owner and mode of one step.
fn check(fd: BorrowedFd<'_>, path: &Path) -> Result<Stat, TrustError> {
    let stat = fs::fstat(fd).map_err(|e| TrustError::at(path, e))?;
    check_stat(&stat, path)?;
    Ok(stat)
}

fn check_stat(stat: &Stat, path: &Path) -> Result<(), TrustError> {
    let untrusted = |why| Err(TrustError::Untrusted { path: path.to_owned(), why });
    let me = rustix::process::geteuid().as_raw();
    let roots = is_roots(stat);
    if !roots && stat.st_uid != me {
        return untrusted("it belongs to another user");
    }
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    // In a sticky directory of root's, such as /tmp, nobody can rename what is not theirs, and the
    // next step checks whose it is.
    let sticky = directory && roots && stat.st_mode & 0o1000 != 0;
    if stat.st_mode & 0o022 != 0 && !sticky {
        return untrusted("its group or everybody can write it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn refused(dir: &Path, name: &str) -> String {
        let opened = TrustedDir::open(dir).and_then(|d| d.file(OsStr::new(name)));
        opened.expect_err("must be refused").to_string()
    }

    #[test]
    fn own_file_is_trusted_until_others_can_write_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"code").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let file = TrustedDir::open(dir.path()).unwrap().file(OsStr::new("a")).unwrap();
        assert_eq!(file.read(4).unwrap(), b"code");
        assert!(file.read(3).is_err());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o664)).unwrap();
        assert!(refused(dir.path(), "a").contains("can write it"));
    }

    #[test]
    fn a_directory_that_others_can_write_spoils_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("open");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("a"), b"").unwrap();
        std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(refused(&inner, "a").contains("open is not trusted"));
    }

    #[test]
    fn a_kept_directory_is_walked_to_again_when_its_path_leads_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins");
        let with = |content: &[u8]| {
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("a"), content).unwrap();
            std::fs::set_permissions(path.join("a"), PermissionsExt::from_mode(0o644)).unwrap();
        };
        let read = || TrustedDir::kept(&path)?.file(OsStr::new("a"));
        assert!(matches!(read(), Err(TrustError::Missing(_))));
        with(b"old");
        assert_eq!(read().unwrap().read(9).unwrap(), b"old");
        std::fs::rename(&path, dir.path().join("away")).unwrap();
        assert!(matches!(read(), Err(TrustError::Missing(_))));
        with(b"new");
        assert_eq!(read().unwrap().read(9).unwrap(), b"new");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(read(), Err(TrustError::Untrusted { .. })));
    }

    #[test]
    fn links_and_special_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b"").unwrap();
        std::fs::hard_link(dir.path().join("a"), dir.path().join("second")).unwrap();
        assert!(refused(dir.path(), "a").contains("more than one name"));
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert!(refused(dir.path(), "link").contains("cannot open"));
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(refused(dir.path(), "fifo").contains("not a regular file"));
    }
}
