//! Single files of a container's root tree, which the guest controls.
//!
//! Every path is resolved as if the tree's root were `/` (`RESOLVE_IN_ROOT`), so a link can lead anywhere
//! inside and nowhere outside. What is read must be a regular file of a bounded size; what is written
//! replaces the entry and is never written through a link, FIFO or device that stands in its place.
//!
//! Which mounts below it belong to the tree is the caller's to say ([`Edge`]).

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, StatxFlags, Uid, chownat, fchmod, fchown, fstat,
    fstatfs, major, minor, mkdirat, openat, openat2, renameat, statx, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::tree::TreeError;
use super::{failpoint, mountinfo};

/// As if the tree's root were the root of everything; no links of `/proc`.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// Where a new entry waits until it takes its name, in a tree that nobody else changes.
const NEW: &str = ".wxc-new";

/// Who owns an entry and what may be done with it, as it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Where a tree ends, when something is mounted in it.
#[derive(Debug, Clone)]
pub enum Edge {
    /// Nobody else's mounts are in it; writing ends at mounts all the same.
    Alone,
    /// It is the root of a container that runs, which mounts what it likes: at every mount.
    Mounts,
    /// It is the root of a container that is being started: at every mount but those of memory that is the container's own.
    Memory(Boundary),
}

/// What is the container's own in the mounts of a start.
#[derive(Debug, Clone)]
pub struct Boundary {
    /// The number of the root's mount.
    root: u64,
    /// File systems that the caller has mounted, too: what a container sees of these is the host's.
    host: Vec<(u32, u32)>,
}

impl Boundary {
    /// Around the mount of a root directory, as this process sees its own mounts.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn around(root: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let host = mountinfo::read().into_iter().map(|mount| mount.device).collect();
        Ok(Self { root: mount_of(root)?, host })
    }

    /// Whether something open is the container's own. The rest is the kernel's (`/proc` shows settings of the host) or was
    /// bound from the host, and is nothing that a path inside may lead somebody with rights on the host to.
    fn contains(&self, fd: BorrowedFd<'_>) -> rustix::io::Result<bool> {
        if mount_of(fd)? == self.root {
            return Ok(true);
        }
        let device = fstat(fd)?.st_dev;
        let known = self.host.contains(&(major(device), minor(device)));
        Ok(!known && fstatfs(fd)?.f_type == libc::TMPFS_MAGIC)
    }
}

/// The number of the mount that something open is on (`STATX_MNT_ID`), as in mountinfo.
///
/// # Errors
/// The kernel does not tell.
pub fn mount_of(fd: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    // Not from a server or a daemon that may not answer.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(statx(fd, c"", flags, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// What tells a root directory from every other: its mount, and the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    mount: u64,
    device: (u32, u32),
    inode: u64,
}

impl Mark {
    /// Of something open.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn of(fd: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        // Not from a server or a daemon that may not answer.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let found = statx(fd, c"", flags, StatxFlags::MNT_ID | StatxFlags::INO)?;
        Ok(Self {
            mount: found.stx_mnt_id,
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
        })
    }
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// UTF-8, or it is not listed.
    pub name: String,
    /// What has that name, links not followed.
    pub kind: FileType,
}

/// A root tree by its open directory. Paths may begin with `/`, which is the tree's root.
#[derive(Debug, Clone, Copy)]
pub struct Rootfs<'a> {
    root: BorrowedFd<'a>,
    edge: &'a Edge,
}

impl<'a> Rootfs<'a> {
    /// The tree below a directory.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, edge: &Edge::Alone }
    }

    /// The same, with mounts in it.
    #[must_use]
    pub fn within(root: BorrowedFd<'a>, edge: &'a Edge) -> Self {
        Self { root, edge }
    }

    /// Who owns a file or directory, and its permission bits; links are followed. `None` if nothing is there.
    ///
    /// # Errors
    /// When the way there is not one, or leads out of the tree.
    pub fn status(&self, path: &Path) -> Result<Option<(u32, Owner)>, TreeError> {
        match self.resolve(path, OFlags::PATH) {
            Ok(fd) => {
                let stat = fstat(&fd).map_err(TreeError::io("examine", path))?;
                Ok(Some((stat.st_mode & 0o7777, Owner { uid: stat.st_uid, gid: stat.st_gid })))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(TreeError::io("find", path)(e)),
        }
    }

    /// The `limit` first names of a directory behind `after`, sorted. Those that are not UTF-8 are left out.
    ///
    /// # Errors
    /// When it is no directory, or leads out of the tree.
    pub fn list(&self, path: &Path, after: Option<&str>, limit: usize) -> Result<Vec<Named>, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
        let fd = self.resolve(path, flags).map_err(TreeError::io("open", path))?;
        let mut found = std::collections::BTreeMap::new();
        for entry in Dir::new(fd).map_err(TreeError::io("read", path))? {
            let entry = entry.map_err(TreeError::io("read", path))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") || after.is_some_and(|after| name <= after) {
                continue;
            }
            // No more than was asked for is held, however many the guest has made.
            found.insert(name.to_owned(), entry.file_type());
            if found.len() > limit {
                found.pop_last();
            }
        }
        let named = |(name, kind): (String, FileType)| match kind {
            FileType::Unknown => {
                let kind = self.kind(&path.join(&name), false)?.unwrap_or(FileType::Unknown);
                Ok(Named { name, kind })
            }
            kind => Ok(Named { name, kind }),
        };
        found.into_iter().map(named).collect()
    }

    /// Removes a directory that is empty; `false` if there is none.
    ///
    /// # Errors
    /// When it is something else, or not empty.
    pub fn rmdir(&self, path: &Path) -> Result<bool, TreeError> {
        let (dir, name) = match self.parent(path) {
            Err(TreeError::Io { source: Errno::NOENT, .. }) => return Ok(false),
            other => other?,
        };
        match unlinkat(&dir, &name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(TreeError::io("remove", path)(e)),
        }
    }

    /// What is at a path: links are followed, but for the last component unless `follow`. `None` if nothing is.
    ///
    /// # Errors
    /// When the way there is not one, for example a loop of links.
    pub fn kind(&self, path: &Path, follow: bool) -> Result<Option<FileType>, TreeError> {
        let flags = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        match self.resolve(path, OFlags::PATH | flags) {
            Ok(fd) => {
                let stat = fstat(&fd).map_err(TreeError::io("examine", path))?;
                Ok(Some(FileType::from_raw_mode(stat.st_mode)))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(TreeError::io("find", path)(e)),
        }
    }

    /// Opens a regular file for reading; anything else is refused without opening it.
    ///
    /// # Errors
    /// When there is no such file, or something else is there.
    pub fn open(&self, path: &Path) -> Result<File, TreeError> {
        let refused = || TreeError::Refused { path: path.into(), why: "it is not a regular file".into() };
        // A path descriptor first: opening a FIFO would wait, and opening a device may do something.
        let found = self.resolve(path, OFlags::PATH).map_err(TreeError::io("find", path))?;
        if !is_regular(&found).map_err(TreeError::io("examine", path))? {
            return Err(refused());
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = match self.edge {
            // Looked up again, and not opened through `/proc`, which a confined process does not have. What a
            // guest can put there in between is a FIFO, which then neither waits nor passes for a file.
            Edge::Alone => self.resolve(path, flags),
            // A guest that runs can put a device there.
            Edge::Mounts | Edge::Memory(_) => {
                let name = format!("/proc/self/fd/{}", found.as_raw_fd());
                rustix::fs::open(name, flags | OFlags::CLOEXEC, Mode::empty())
            }
        };
        let fd = opened.map_err(TreeError::io("open", path))?;
        if is_regular(&fd).map_err(TreeError::io("examine", path))? {
            Ok(File::from(fd))
        } else {
            Err(refused())
        }
    }

    /// The content of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::open`], and for a larger file.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, TreeError> {
        self.read_with_owner(path, limit).map(|(data, ..)| data)
    }

    /// The same with the permission bits and the owner, for writing it again.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_with_owner(&self, path: &Path, limit: u64) -> Result<(Vec<u8>, u32, Owner), TreeError> {
        let file = self.open(path)?;
        let stat = fstat(&file).map_err(TreeError::io("examine", path))?;
        let mut data = Vec::new();
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut data);
        read.map_err(|e| TreeError::io("read", path)(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
        if data.len() as u64 > limit {
            return Err(TreeError::TooLarge { path: path.into(), limit });
        }
        Ok((data, stat.st_mode & 0o7777, Owner { uid: stat.st_uid, gid: stat.st_gid }))
    }

    /// Writes a whole file, in one step for whoever looks: what was there, a link above all, is replaced.
    ///
    /// # Errors
    /// When its directory is missing, or a directory is in its place.
    pub fn write(&self, path: &Path, data: &[u8], mode: u32, owner: Owner) -> Result<(), TreeError> {
        let (dir, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let new = self.waiting_place(dir.as_fd()).map_err(TreeError::io("create", path))?;
        let fd =
            openat(&dir, &*new, flags, Mode::RUSR | Mode::WUSR).map_err(TreeError::io("create", path))?;
        failpoint::pass_errno("rootfs.write")
            .and_then(|()| put(&fd, data))
            .and_then(|()| fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid))))
            // After the owner, whose change clears set-id bits.
            .and_then(|()| fchmod(&fd, Mode::from_raw_mode(mode & 0o7777)))
            .and_then(|()| renameat(&dir, &*new, &dir, &name))
            .map_err(|e| {
                unlinkat(&dir, &*new, AtFlags::empty()).ok();
                TreeError::io("write", path)(e)
            })
    }

    /// Makes a directory and those above it; new ones get the mode and owner, existing ones stay as they are.
    ///
    /// # Errors
    /// When something else is in its place.
    pub fn mkdir(&self, path: &Path, mode: u32, owner: Owner) -> Result<(), TreeError> {
        let mut at = PathBuf::new();
        for part in components(path)? {
            let dir = self.directory(&at).map_err(TreeError::io("open", path))?;
            match mkdirat(&dir, part, Mode::RWXU) {
                Ok(()) => {
                    let made =
                        super::tree::open_child(dir.as_fd(), part).map_err(TreeError::io("open", path))?;
                    fchown(&made, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
                        .and_then(|()| fchmod(&made, Mode::from_raw_mode(mode & 0o7777)))
                        .map_err(TreeError::io("create", path))?;
                }
                // Must be a directory, or a link to one inside: the next step or the check below says.
                Err(Errno::EXIST) => {}
                Err(e) => return Err(TreeError::io("create", path)(e)),
            }
            at.push(part);
        }
        self.directory(&at).map(drop).map_err(TreeError::io("create", path))
    }

    /// Makes a symbolic link, replacing anything but a directory.
    ///
    /// # Errors
    /// When its directory is missing, or a directory is in its place.
    pub fn symlink(&self, path: &Path, target: &Path, owner: Owner) -> Result<(), TreeError> {
        let (dir, name) = self.parent(path)?;
        let new = self.waiting_place(dir.as_fd()).map_err(TreeError::io("create", path))?;
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        symlinkat(target, &dir, &*new)
            .and_then(|()| chownat(&dir, &*new, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))
            .and_then(|()| renameat(&dir, &*new, &dir, &name))
            .map_err(|e| {
                unlinkat(&dir, &*new, AtFlags::empty()).ok();
                TreeError::io("create", path)(e)
            })
    }

    /// The name under which a new entry waits; nothing has it when this returns.
    fn waiting_place(&self, dir: BorrowedFd<'_>) -> rustix::io::Result<std::borrow::Cow<'static, str>> {
        match self.edge {
            Edge::Alone => {
                discard(dir);
                Ok(NEW.into())
            }
            // Whoever runs in it could fill what is in the way as fast as we empty it. None of these names can be guessed.
            Edge::Mounts | Edge::Memory(_) => {
                let mut bytes = [0; 8];
                rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
                Ok(format!("{NEW}-{:016x}", u64::from_ne_bytes(bytes)).into())
            }
        }
    }

    /// Removes one entry that is not a directory; `false` if there is none.
    ///
    /// # Errors
    /// When it is a directory, or the kernel refuses.
    pub fn unlink(&self, path: &Path) -> Result<bool, TreeError> {
        let (dir, name) = match self.parent(path) {
            Err(TreeError::Io { source: Errno::NOENT, .. }) => return Ok(false),
            other => other?,
        };
        match unlinkat(&dir, &name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(TreeError::io("remove", path)(e)),
        }
    }

    /// Opens what is at a path, for [`OFlags::PATH`] or a directory.
    fn resolve(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolution = match self.edge {
            Edge::Alone | Edge::Memory(_) => INSIDE,
            Edge::Mounts => INSIDE | ResolveFlags::NO_XDEV,
        };
        self.look_up(path, flags, resolution)
    }

    fn look_up(&self, path: &Path, flags: OFlags, how: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        for _ in 0..64 {
            // EAGAIN: something was renamed during a look-up that may not race (openat2(2)).
            match openat2(self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other.and_then(|fd| self.bounded(fd)),
            }
        }
        Err(Errno::AGAIN)
    }

    /// What is open, if it is not beyond the edge.
    fn bounded(&self, fd: OwnedFd) -> rustix::io::Result<OwnedFd> {
        match self.edge {
            Edge::Memory(boundary) if !boundary.contains(fd.as_fd())? => Err(Errno::XDEV),
            _ => Ok(fd),
        }
    }

    fn directory(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolution = match self.edge {
            // Writing ends at mounts: what is shown there belongs to somebody else.
            Edge::Alone | Edge::Mounts => INSIDE | ResolveFlags::NO_XDEV,
            Edge::Memory(_) => INSIDE,
        };
        self.look_up(path, OFlags::PATH | OFlags::DIRECTORY, resolution)
    }

    fn parent(&self, path: &Path) -> Result<(OwnedFd, std::ffi::OsString), TreeError> {
        let mut parts = components(path)?;
        let Some(name) = parts.pop() else {
            return Err(TreeError::Refused { path: path.into(), why: "it is the root of the tree".into() });
        };
        let parent: PathBuf = parts.iter().collect();
        let dir = self.directory(&parent).map_err(TreeError::io("open the directory of", path))?;
        Ok((dir, name.to_owned()))
    }
}

/// The names in a path; `..` is refused, because where it leads depends on links.
fn components(path: &Path) -> Result<Vec<&std::ffi::OsStr>, TreeError> {
    let refused = || TreeError::Refused { path: path.into(), why: "a path in a tree has no ..".into() };
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(refused()),
        }
    }
    Ok(parts)
}

/// Removes what an interrupted write has left, or a guest has put in its place. If that fails, so does the
/// creation that follows, with the better message.
fn discard(dir: BorrowedFd<'_>) {
    drop(super::tree::remove_tree(dir, NEW.as_ref()));
}

fn is_regular(fd: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::RegularFile)
}

fn put(fd: &OwnedFd, mut data: &[u8]) -> rustix::io::Result<()> {
    while !data.is_empty() {
        let n = rustix::io::retry_on_intr(|| rustix::io::write(fd, data))?;
        data = &data[n..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    struct Tree(tempfile::TempDir, File);

    impl Tree {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("victim"), "safe").unwrap();
            fs::create_dir_all(dir.path().join("root/etc")).unwrap();
            let root = File::open(dir.path().join("root")).unwrap();
            Self(dir, root)
        }
        fn path(&self, below: &str) -> PathBuf {
            self.0.path().join("root").join(below)
        }
        fn rootfs(&self) -> Rootfs<'_> {
            Rootfs::new(self.1.as_fd())
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            assert_eq!(fs::read(self.0.path().join("victim")).unwrap(), b"safe");
        }
    }

    fn me() -> Owner {
        Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    #[test]
    fn reading_stays_inside_and_is_bounded() {
        let tree = Tree::new();
        fs::write(tree.path("etc/passwd"), "root:x:0:0").unwrap();
        symlink("/etc/passwd", tree.path("inside")).unwrap();
        symlink("../victim", tree.path("outside")).unwrap();
        symlink("/proc/self/exe", tree.path("magic")).unwrap();
        let rootfs = tree.rootfs();
        assert_eq!(rootfs.read(Path::new("/etc/passwd"), 100).unwrap(), b"root:x:0:0");
        assert_eq!(rootfs.read(Path::new("inside"), 10).unwrap(), b"root:x:0:0");
        assert!(rootfs.read(Path::new("inside"), 9).unwrap_err().to_string().contains("larger"));
        for missing in ["outside", "magic", "../victim", "nothing"] {
            let error = rootfs.read(Path::new(missing), 100).unwrap_err();
            assert!(matches!(error, TreeError::Io { source: Errno::NOENT, .. }), "{missing}: {error}");
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let tree = Tree::new();
        rustix::fs::mknodat(rustix::fs::CWD, tree.path("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        symlink("loop", tree.path("loop")).unwrap();
        let rootfs = tree.rootfs();
        assert!(rootfs.read(Path::new("fifo"), 9).unwrap_err().to_string().contains("not a regular file"));
        assert!(rootfs.read(Path::new("etc"), 9).is_err());
        assert!(rootfs.read(Path::new("loop"), 9).is_err());
        assert_eq!(rootfs.kind(Path::new("fifo"), true).unwrap(), Some(FileType::Fifo));
        assert_eq!(rootfs.kind(Path::new("loop"), false).unwrap(), Some(FileType::Symlink));
        assert_eq!(rootfs.kind(Path::new("etc/x/y"), true).unwrap(), None);
        assert!(rootfs.kind(Path::new("loop"), true).is_err());
    }

    #[test]
    fn writing_replaces_what_is_in_the_way() {
        let tree = Tree::new();
        let rootfs = tree.rootfs();
        symlink("../../victim", tree.path("etc/hostname")).unwrap();
        symlink("../../victim", tree.path("etc/.wxc-new")).unwrap();
        rootfs.write(Path::new("/etc/hostname"), b"guest\n", 0o4640, me()).unwrap();
        let made = fs::symlink_metadata(tree.path("etc/hostname")).unwrap();
        assert_eq!((made.mode(), made.len()), (0o104_640, 6));
        assert_eq!(fs::read_dir(tree.path("etc")).unwrap().count(), 1);
        rootfs.symlink(Path::new("etc/hostname"), Path::new("/victim"), me()).unwrap();
        assert_eq!(fs::read_link(tree.path("etc/hostname")).unwrap(), Path::new("/victim"));
        assert!(rootfs.unlink(Path::new("etc/hostname")).unwrap());
        assert!(!rootfs.unlink(Path::new("etc/hostname")).unwrap());
        assert!(rootfs.write(Path::new("etc"), b"", 0o644, me()).is_err());
        assert!(rootfs.write(Path::new("etc/../../victim"), b"", 0o644, me()).is_err());
    }

    #[test]
    fn a_directory_that_is_a_link_outside_is_made_inside() {
        let tree = Tree::new();
        let rootfs = tree.rootfs();
        symlink("/", tree.path("var")).unwrap();
        rootfs.write(Path::new("var/victim"), b"evil", 0o644, me()).unwrap();
        assert_eq!(fs::read(tree.path("victim")).unwrap(), b"evil");
        rootfs.mkdir(Path::new("/a/b/c"), 0o750, me()).unwrap();
        assert_eq!(fs::metadata(tree.path("a/b/c")).unwrap().mode() & 0o7777, 0o750);
        rootfs.mkdir(Path::new("var/a/d"), 0o700, me()).unwrap();
        assert!(tree.path("a/d").is_dir());
        symlink("nowhere", tree.path("dangling")).unwrap();
        assert!(rootfs.mkdir(Path::new("dangling/x"), 0o755, me()).is_err());
        fs::write(tree.path("file"), "").unwrap();
        assert!(rootfs.mkdir(Path::new("file"), 0o755, me()).is_err());
    }
}
