//! Everything that makes files, confined to the target.
//!
//! The parent of every entry is resolved by the kernel with `RESOLVE_IN_ROOT`: links on the way are
//! followed (a Debian tree has `lib -> usr/lib` and then names below `lib/`), but as if the target were
//! `/`, so neither an absolute link nor `..` in one leads out; magic links and other mounts are refused.
//! The last component is never followed: what stands in the way is unlinked, never opened.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat,
    chownat, fchmod, fchown, flistxattr, fremovexattr, fsetxattr, futimens, linkat, makedev, mkdirat,
    mknodat, openat, openat2, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::attrs::{ACL_ACCESS, ACL_DEFAULT};
use super::error::UnpackError;
use super::layer::Brought;
use super::names::split;
use crate::sys::tree::remove_tree;

/// As if the target were the root of everything, and no way into `/proc` or another mount.
const INSIDE: ResolveFlags =
    ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);

/// How a directory is opened to be changed.
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What an entry gets besides its content. Everything in it has been accepted.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    pub(crate) mtime: (i64, i64),
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The tree under construction.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    root: BorrowedFd<'a>,
    /// The last entry's directory: the next entry is usually in it, too.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Directories get their modes and times at the end: making entries changes a directory's time, a
    /// default list would be inherited, and a read-only one would refuse its entries.
    pending: HashMap<Vec<u8>, Metadata>,
    memory: usize,
    limit: usize,
    /// The tree is there already, and becomes another.
    changes: bool,
    /// Links to directories stay where the archive has a directory.
    pub(crate) keep_links: bool,
    /// Of a layer: what it has brought. What is not among it was there before, and gives way.
    brought: Option<Brought>,
    /// Attributes that the filesystem did not take.
    pub(crate) unsupported: u64,
}

/// Makes a directory the top of a tree as storage makes it: of root, and with nothing but a mode.
pub(crate) fn reset(top: BorrowedFd<'_>) -> Result<(), UnpackError> {
    let call = |doing| UnpackError::call(doing, b".");
    let mut list = vec![0; 64 << 10];
    let length = match flistxattr(top, &mut *list) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other.map_err(call("list the attributes of"))?,
    };
    for name in list[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        // Those of the storage and of the machine's own policy stay.
        let ours = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if ours || [ACL_ACCESS, ACL_DEFAULT, &b"security.capability"[..]].contains(&name) {
            fremovexattr(top, name).map_err(call("remove an attribute of"))?;
        }
    }
    fchown(top, Some(Uid::from_raw(0)), Some(Gid::from_raw(0))).map_err(call("change the owner of"))?;
    fchmod(top, Mode::from_raw_mode(0o755)).map_err(call("change the mode of"))
}

impl<'a> Place<'a> {
    /// `limit` bounds the bytes kept about directories until the end.
    pub(crate) fn new(root: BorrowedFd<'a>, limit: usize, changes: bool) -> Self {
        let (pending, brought, keep_links) = (HashMap::new(), None, false);
        Self { keep_links, root, parent: None, pending, memory: 0, limit, changes, brought, unsupported: 0 }
    }

    /// For a layer over the tree that is there.
    pub(crate) fn of_layer(root: BorrowedFd<'a>, limit: usize) -> Self {
        Self { brought: Some(Brought::default()), ..Self::new(root, limit, true) }
    }

    /// An entry of the layer comes now.
    pub(crate) fn bring(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let limit = self.limit;
        self.brought.as_mut().map_or(Ok(()), |brought| brought.add(path, limit))
    }

    fn is_brought(&self, path: &[u8]) -> bool {
        self.brought.as_ref().is_none_or(|brought| brought.holds(path))
    }

    /// Removes an entry of the layers below, unless this layer brings it, too.
    pub(crate) fn gone_below(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        if self.is_brought(path) { self.opaque(path) } else { self.gone(path) }
    }

    /// Removes everything of a directory that is of the layers below.
    pub(crate) fn opaque(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let name = if path.is_empty() { &b"."[..] } else { path };
        let dir = match retry(|| openat2(self.root, name, DIRECTORY, Mode::empty(), INSIDE)) {
            // There is nothing to hide, or the layer has put something else there.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            other => other.map_err(UnpackError::call("open", path))?,
        };
        let entries = Dir::read_from(&dir).map_err(UnpackError::call("read", path))?;
        for entry in entries {
            let entry = entry.map_err(UnpackError::call("read", path))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            self.gone_below(&[path, slash, name].concat())?;
        }
        Ok(())
    }

    /// Removes an entry with everything below it. One that is not there was left out before: a device, a socket.
    pub(crate) fn gone(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let (parent, name) = split(path);
        self.parent = None;
        let dir = match self.open_parent(parent) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other.map_err(|e| bad_parent(parent, path, e))?,
        };
        let below = [path, b"/"].concat();
        self.pending.retain(|known, _| known != path && !known.starts_with(&below));
        Ok(remove_tree(dir.as_fd(), OsStr::from_bytes(name)).map(drop)?)
    }

    /// Makes a directory, or keeps the one that is there.
    pub(crate) fn directory(&mut self, path: &[u8], meta: Metadata) -> Result<(), UnpackError> {
        if self.keep_links && !path.is_empty() && self.is_link_to_directory(path)? {
            return Ok(());
        }
        if !path.is_empty() {
            let made = self.make(path, |dir, name| match mkdirat(dir, name, Mode::RWXU) {
                Err(Errno::EXIST) if kind_of(dir, name)? == FileType::Directory => Ok(()),
                other => other,
            });
            made?;
        }
        if self.changes {
            self.strip_default(path)?;
        }
        let attributes: usize = meta.attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.memory += path.len() + attributes + 128;
        if self.memory > self.limit {
            return Err(UnpackError::limit(
                path,
                self.limit as u64,
                "bytes of directory names and attributes",
            ));
        }
        self.pending.insert(path.to_vec(), meta);
        Ok(())
    }

    fn is_link_to_directory(&mut self, path: &[u8]) -> Result<bool, UnpackError> {
        let (parent, name) = split(path);
        let dir = self.enter(parent, path)?;
        match kind_of(dir, name) {
            Ok(FileType::Symlink) => Ok(self.open_parent(path).is_ok()),
            _ => Ok(false),
        }
    }

    /// Makes an empty file and hands it out for writing; [`Self::close`] finishes it.
    pub(crate) fn file(&mut self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.make(path, |dir, name| openat(dir, name, flags, Mode::RUSR | Mode::WUSR))
    }

    /// Owner, attributes, mode and time of a file, in the order in which one does not undo another:
    /// changing the owner clears capabilities and set-id bits.
    pub(crate) fn close(&mut self, path: &[u8], fd: OwnedFd, meta: &Metadata) -> Result<(), UnpackError> {
        self.metadata(path, fd.as_fd(), meta)
    }

    pub(crate) fn symlink(&mut self, path: &[u8], target: &[u8], meta: &Metadata) -> Result<(), UnpackError> {
        self.make(path, |dir, name| {
            symlinkat(target, dir, name)?;
            own(dir, name, meta)?;
            utimensat(dir, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Another name for an entry made before, which is resolved inside the target like every name.
    pub(crate) fn hardlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), UnpackError> {
        let (parent, base) = split(target);
        let missing = |e| match e {
            Errno::NOENT | Errno::NOTDIR => UnpackError::refused(
                path,
                "it is a hard link to an entry that the archive does not hold before it",
            ),
            e => UnpackError::call("find the target of the hard link", path)(e),
        };
        let from = self.open_parent(parent).map_err(missing)?;
        let stat = statat(&from, base, AtFlags::SYMLINK_NOFOLLOW).map_err(missing)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(UnpackError::refused(path, "it is a hard link to a directory"));
        }
        self.make(path, |dir, name| match linkat(&from, base, dir, name, AtFlags::empty()) {
            // A second name for itself must not remove the first.
            Err(Errno::EXIST)
                if statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|s| (s.st_dev, s.st_ino) == (stat.st_dev, stat.st_ino)) =>
            {
                Ok(())
            }
            other => other,
        })
    }

    /// A FIFO, or a device node where those are allowed.
    pub(crate) fn node(
        &mut self,
        path: &[u8],
        kind: FileType,
        device: (u32, u32),
        meta: &Metadata,
    ) -> Result<(), UnpackError> {
        self.make(path, |dir, name| {
            mknodat(dir, name, kind, Mode::empty(), makedev(device.0, device.1))?;
            own(dir, name, meta)?;
            // The one call that cannot refuse a link; the node is ours, and nobody else reaches the tree.
            chmodat(dir, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
            utimensat(dir, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Gives every directory its owner, attributes, mode and time, the deepest first.
    pub(crate) fn finish(mut self) -> Result<u64, UnpackError> {
        let mut pending: Vec<_> = std::mem::take(&mut self.pending).into_iter().collect();
        pending
            .sort_unstable_by_key(|(path, _)| std::cmp::Reverse(path.iter().filter(|b| **b == b'/').count()));
        // The root itself is above everything.
        if let Some(i) = pending.iter().position(|(path, _)| path.is_empty()) {
            let root = pending.remove(i);
            pending.push(root);
        }
        for (path, meta) in pending {
            let name = if path.is_empty() { &b"."[..] } else { &path };
            match retry(|| openat2(self.root, name, DIRECTORY, Mode::empty(), INSIDE)) {
                Ok(fd) => {
                    if self.changes {
                        self.strip(&path, fd.as_fd(), &meta)?;
                    }
                    self.metadata(&path, fd.as_fd(), &meta)?;
                }
                // Replaced by something else later in the archive.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
                Err(e) => return Err(UnpackError::call("open", &path)(e)),
            }
        }
        Ok(self.unsupported)
    }

    /// The default list that a directory has had would go to everything made in it until it gets its new one.
    fn strip_default(&self, path: &[u8]) -> Result<(), UnpackError> {
        let name = if path.is_empty() { &b"."[..] } else { path };
        let dir = retry(|| openat2(self.root, name, DIRECTORY, Mode::empty(), INSIDE))
            .map_err(UnpackError::call("open", path))?;
        match fremovexattr(&dir, ACL_DEFAULT) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            Err(e) => Err(UnpackError::call("remove an attribute of", path)(e)),
        }
    }

    /// Removes attributes that a directory has had and no longer has.
    fn strip(&self, path: &[u8], fd: BorrowedFd<'_>, meta: &Metadata) -> Result<(), UnpackError> {
        let mut list = vec![0; 64 << 10];
        let length = match flistxattr(fd, &mut *list) {
            Err(Errno::OPNOTSUPP) => 0,
            other => other.map_err(UnpackError::call("list the attributes of", path))?,
        };
        for name in list[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
            let ours = name.starts_with(b"user.") || name == ACL_ACCESS || name == ACL_DEFAULT;
            if ours && !meta.attributes.iter().any(|(kept, _)| kept == name) {
                fremovexattr(fd, name).map_err(UnpackError::call("remove an attribute of", path))?;
            }
        }
        Ok(())
    }

    fn metadata(&mut self, path: &[u8], fd: BorrowedFd<'_>, meta: &Metadata) -> Result<(), UnpackError> {
        let call = |doing| UnpackError::call(doing, path);
        fchown(fd, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))
            .map_err(call("change the owner of"))?;
        // Before the lists, whose mask it would change (acl(5)), and after the owner, whose change clears set-id bits and capabilities.
        fchmod(fd, Mode::from_raw_mode(meta.mode)).map_err(call("change the mode of"))?;
        for (name, value) in &meta.attributes {
            match fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP) => self.unsupported += 1,
                Err(e) => return Err(call("set an attribute of")(e)),
            }
        }
        futimens(fd, &times(meta)).map_err(call("set the times of"))
    }

    /// Calls `f` with the entry's directory and name, once more after removing what is in the way.
    fn make<T>(
        &mut self,
        path: &[u8],
        f: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> Result<T, UnpackError> {
        let (parent, name) = split(path);
        if name.is_empty() {
            return Err(UnpackError::refused(b"/", "the root of the tree can only be a directory"));
        }
        let own = self.is_brought(path);
        let dir = self.enter(parent, path)?;
        match f(dir, name) {
            Err(Errno::EXIST) => {}
            other => return other.map_err(UnpackError::call("create", path)),
        }
        if own {
            remove_existing(dir, name, path)?;
        } else {
            self.gone(path)?;
        }
        self.pending.remove(path);
        // What was removed may have been a directory on the way to the one that is kept open.
        self.parent = None;
        let dir = self.enter(parent, path)?;
        f(dir, name).map_err(UnpackError::call("create", path))
    }

    /// The directory of an entry, made with its own parents if the archive has not named it.
    fn enter(&mut self, parent: &[u8], entry: &[u8]) -> Result<BorrowedFd<'_>, UnpackError> {
        if self.parent.as_ref().is_none_or(|(path, _)| path != parent) {
            let fd = match self.open_parent(parent) {
                Err(Errno::NOENT) => self.make_parents(parent, entry)?,
                other => other.map_err(|e| bad_parent(parent, entry, e))?,
            };
            self.parent = Some((parent.to_vec(), fd));
        }
        match &self.parent {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Ok(self.root),
        }
    }

    fn open_parent(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name = if path.is_empty() { &b"."[..] } else { path };
        retry(|| openat2(self.root, name, flags, Mode::empty(), INSIDE))
    }

    fn make_parents(&self, path: &[u8], entry: &[u8]) -> Result<OwnedFd, UnpackError> {
        let mut dir = self.open_parent(b"").map_err(UnpackError::call("open", b""))?;
        for end in path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i).chain([path.len()]) {
            let (done, name) = split(&path[..end]);
            dir = match self.open_parent(&path[..end]) {
                Err(Errno::NOENT) => {
                    // Fails for a link to nowhere, whose end is not made up.
                    mkdirat(&dir, name, Mode::from_raw_mode(0o755))
                        .map_err(|e| bad_parent(done, entry, e))?;
                    self.open_parent(&path[..end]).map_err(|e| bad_parent(&path[..end], entry, e))?
                }
                other => other.map_err(|e| bad_parent(&path[..end], entry, e))?,
            };
        }
        Ok(dir)
    }
}

fn bad_parent(parent: &[u8], entry: &[u8], error: Errno) -> UnpackError {
    let why = match error {
        Errno::NOTDIR => "is not a directory",
        Errno::LOOP => "is a loop of links, or a link that may not be followed",
        Errno::EXIST => "is a link to nowhere",
        Errno::XDEV => "is on another mount",
        e => return UnpackError::call("open the directory of", entry)(e),
    };
    let parent = super::error::printable(parent);
    UnpackError::refused(entry, format!("the directory that it is in, {parent}, {why}"))
}

/// Removes one entry: never a directory with something in it.
fn remove_existing(dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<(), UnpackError> {
    let result = match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(dir, name, AtFlags::REMOVEDIR),
        other => other,
    };
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTEMPTY) => {
            Err(UnpackError::refused(path, "a directory with entries of the same name comes before it"))
        }
        Err(e) => Err(UnpackError::call("replace", path)(e)),
    }
}

fn kind_of(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<FileType> {
    Ok(FileType::from_raw_mode(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode))
}

fn own(dir: BorrowedFd<'_>, name: &[u8], meta: &Metadata) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(meta: &Metadata) -> Timestamps {
    let time = Timespec { tv_sec: meta.mtime.0, tv_nsec: meta.mtime.1 };
    Timestamps { last_access: time, last_modification: time }
}

/// `EAGAIN` means that something was renamed during a look-up that may not race (openat2(2)).
fn retry<T>(f: impl Fn() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    for _ in 0..64 {
        match f() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    f()
}
