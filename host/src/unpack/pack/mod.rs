//! The way back: a tree as one section of an export, whole or as what changed since another tree.
//!
//! Both trees are walked together in the order of names. What is alike in all that an archive holds (owner, mode, time,
//! attributes, and every byte of content, which is read for it) is left out. A directory whose entries
//! change is always said before them, for it gets its time back at the end.

mod entry;
mod header;
mod out;

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, major, minor, openat, openat2};
use rustix::io::{Errno, pread, retry_on_intr};
use tar::EntryType;

use self::header::Entry;
use self::out::Out;
use super::error::UnpackError;
use super::extract::Listen;
use super::report::{NoteKind, Report};
use super::request::{IdMapMode, Options, Section};
use super::section::MANIFEST;
use super::{acl, attrs, pax};

/// Levels of directories: two descriptors each, within the limit of 1024.
const MAX_DEPTH: usize = 256;
/// Bytes of a name that can be unpacked again.
const PATH_MAX: usize = 4095;
/// What the kernel answers for an owner that a user namespace does not know (user_namespaces(7)).
const OVERFLOW: u32 = 65534;

/// Writes the manifest as the first section of an export; its seal.
///
/// # Errors
/// It cannot be written.
pub fn manifest(out: BorrowedFd<'_>, text: &[u8]) -> Result<String, UnpackError> {
    let write = || {
        let mut out = Out::new(File::from(out.try_clone_to_owned()?), "");
        out.put(&Entry::file(text.len() as u64).bytes(MANIFEST.as_bytes())?)?;
        out.put(text)?;
        out.fill_up(text.len() as u64)?;
        out.seal()
    };
    write().map_err(written(MANIFEST.as_bytes()))
}

/// Writes the end of the archive behind the last section.
///
/// # Errors
/// It cannot be written.
pub fn close(out: BorrowedFd<'_>) -> Result<(), UnpackError> {
    let write = || File::from(out.try_clone_to_owned()?).write_all(&[0; 1024]);
    write().map_err(written(b"the end of the archive"))
}

/// Writes a section within this process: the tree at `new`, or what changed in it since it was `old`.
pub(super) fn pack(
    out: File,
    new: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
    options: &Options,
    own: (u32, u32),
    listen: Listen<'_>,
) -> Result<Report, UnpackError> {
    let section = options.section.clone().unwrap_or_default();
    let out = Out::new(out, &section.before);
    let mut work = Pack {
        out,
        section,
        ids: &options.ids,
        own,
        listen,
        report: Report::default(),
        new_links: HashMap::new(),
        old_links: HashMap::new(),
    };
    work.run(new, old)?;
    work.report.seal = work.out.seal().map_err(written(b"the seal"))?;
    Ok(work.report)
}

/// A failure to write, with the entry it was about.
fn written(entry: &[u8]) -> impl FnOnce(std::io::Error) -> UnpackError + '_ {
    move |error| match error.raw_os_error() {
        Some(code) => UnpackError::call("write", entry)(Errno::from_raw_os_error(code)),
        None => UnpackError::refused(entry, error.to_string()),
    }
}

struct Pack<'a> {
    out: Out,
    section: Section,
    ids: &'a IdMapMode,
    /// The caller's own ids as this process sees them: entries of his are root's.
    own: (u32, u32),
    listen: Listen<'a>,
    report: Report,
    /// Where each file with several names was seen first, and whether it was left out as unchanged.
    new_links: HashMap<(u64, u64), (Vec<u8>, bool)>,
    /// The first name of each file of the old tree that stays.
    old_links: HashMap<(u64, u64), Vec<u8>>,
}

/// One directory in the middle of its entries.
struct Level {
    path: Vec<u8>,
    new: OwnedFd,
    old: Option<OwnedFd>,
    names: std::vec::IntoIter<CString>,
    /// Its own member, as long as it has not been written.
    unsaid: Option<Entry>,
}

impl Pack<'_> {
    fn run(&mut self, new: BorrowedFd<'_>, old: Option<BorrowedFd<'_>>) -> Result<(), UnpackError> {
        let root = Vec::new();
        let here = |fd| again(fd).map_err(UnpackError::call("open", b""));
        let mut levels = vec![self.level(root, here(new)?, old.map(here).transpose()?)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                continue;
            };
            if let Some(child) = self.entry(level, &name)? {
                if levels.len() >= MAX_DEPTH {
                    let why = format!("it is more than {MAX_DEPTH} directories deep");
                    return Err(UnpackError::refused(&child.path, why));
                }
                levels.push(child);
            }
            (self.listen)(&self.report.progress)?;
        }
        Ok(())
    }

    /// Opens a directory, and says it where it is new or not what it was.
    fn level(&mut self, path: Vec<u8>, new: OwnedFd, old: Option<OwnedFd>) -> Result<Level, UnpackError> {
        let call = |doing| UnpackError::call(doing, &path);
        let stat = fstat(&new).map_err(call("examine"))?;
        let mut names = entry::names(new.as_fd()).map_err(call("read"))?;
        let attributes = self.attributes(new.as_fd(), &path)?;
        let mut same = false;
        if path.is_empty() {
            let own = |name: &CString| is_file_systems_own(new.as_fd(), name);
            names.retain(|name| !own(name));
        }
        if let Some(old) = &old {
            names.extend(entry::names(old.as_fd()).map_err(call("read"))?);
            if path.is_empty() {
                names.retain(|name| !is_file_systems_own(old.as_fd(), name));
            }
            names.sort_unstable();
            names.dedup();
            let before = fstat(old).map_err(call("examine"))?;
            // The root of a snapshot may be a fresh directory, which only then looks as the old one did.
            same = !path.is_empty()
                && entry::alike(&stat, &before)
                && attributes == self.accepted(old.as_fd(), &path)?;
        }
        let member = self.header(EntryType::Directory, &stat, &path, &attributes)?;
        let mut level = Level { path, new, old, names: names.into_iter(), unsaid: Some(member) };
        if !same {
            self.say(&mut level)?;
        }
        Ok(level)
    }

    /// Writes a directory's own member, once.
    fn say(&mut self, level: &mut Level) -> Result<(), UnpackError> {
        match level.unsaid.take() {
            Some(member) => self.write(&level.path, &member),
            None => Ok(()),
        }
    }

    fn entry(&mut self, level: &mut Level, name: &CString) -> Result<Option<Level>, UnpackError> {
        let mut path = level.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        if path.len() > PATH_MAX {
            return Err(UnpackError::refused(&path, format!("its name is longer than {PATH_MAX} bytes")));
        }
        let call = |doing| UnpackError::call(doing, &path);
        let kept = |stat: &Stat| !self.is_left_out(stat);
        let new = entry::examine(level.new.as_fd(), name).map_err(call("examine"))?;
        let old = match &level.old {
            Some(old) => entry::examine(old.as_fd(), name).map_err(call("examine"))?.filter(kept),
            None => None,
        };
        let Some(new) = new.filter(|stat| {
            let left_out = self.is_left_out(stat);
            if left_out {
                self.note_left_out(stat, &path);
            }
            !left_out
        }) else {
            return if old.is_some() { self.gone(level, &path).map(|()| None) } else { Ok(None) };
        };
        let is_directory = |stat: &Stat| entry::kind(stat) == FileType::Directory;
        let old = match old {
            Some(old) if is_directory(&old) && !is_directory(&new) => {
                self.gone(level, &path)?;
                None
            }
            other => other,
        };
        if is_directory(&new) {
            return self.directory(level, name, path, old.filter(is_directory).is_some());
        }
        let old = old.filter(|old| entry::kind(old) == entry::kind(&new));
        self.leaf(level, name, &path, &new, old.as_ref()).map(|()| None)
    }

    /// What no archive holds, or no container is given.
    fn is_left_out(&self, stat: &Stat) -> bool {
        let whiteout = entry::kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0;
        entry::kind(stat) == FileType::Socket || whiteout
    }

    fn note_left_out(&mut self, stat: &Stat, path: &[u8]) {
        let socket = entry::kind(stat) == FileType::Socket;
        self.report.note(if socket { NoteKind::Socket } else { NoteKind::Device }, 1, path);
    }

    /// An entry of the old tree that the new one does not have.
    fn gone(&mut self, level: &mut Level, path: &[u8]) -> Result<(), UnpackError> {
        self.say(level)?;
        let removed = self.section.removed.as_deref().unwrap_or_default();
        let name = [removed.as_bytes(), b"/", path].concat();
        let bytes = Entry::file(0).bytes(&name).map_err(written(path))?;
        self.out.put(&bytes).map_err(written(path))
    }

    fn directory(
        &mut self,
        level: &mut Level,
        name: &CString,
        path: Vec<u8>,
        was: bool,
    ) -> Result<Option<Level>, UnpackError> {
        let new = match child(level.new.as_fd(), name) {
            Err(Errno::XDEV) => return self.mount_point(level, name, &path, was).map(|()| None),
            other => other.map_err(UnpackError::call("open", &path))?,
        };
        let old = match &level.old {
            Some(old) if was => Some(child(old.as_fd(), name).map_err(UnpackError::call("open", &path))?),
            _ => None,
        };
        if old.is_none() {
            self.say(level)?;
        }
        self.level(path, new, old).map(Some)
    }

    /// Something is mounted there, which is not the container's: the directory is empty in the archive.
    fn mount_point(
        &mut self,
        level: &mut Level,
        name: &CString,
        path: &[u8],
        was: bool,
    ) -> Result<(), UnpackError> {
        self.report.note(NoteKind::Mount, 1, path);
        if was {
            self.gone(level, path)?;
        }
        let stat = entry::examine(level.new.as_fd(), name).map_err(UnpackError::call("examine", path))?;
        let Some(stat) = stat else { return Ok(()) };
        self.say(level)?;
        let member = self.header(EntryType::Directory, &stat, path, &[])?;
        self.write(path, &member)
    }

    /// Everything that is no directory.
    fn leaf(
        &mut self,
        level: &mut Level,
        name: &CString,
        path: &[u8],
        new: &Stat,
        old: Option<&Stat>,
    ) -> Result<(), UnpackError> {
        let kind = entry::kind(new);
        // A device may be left out where it is unpacked, and then nothing can be linked to it.
        let linked = !matches!(kind, FileType::BlockDevice | FileType::CharacterDevice) && new.st_nlink > 1;
        let first = if linked { self.new_links.get(&entry::inode(new)).cloned() } else { None };
        let known = old.and_then(|old| self.old_links.get(&entry::inode(old)));
        let same = match (&first, old) {
            (_, None) => false,
            (Some((first, unchanged)), Some(_)) => *unchanged && known == Some(first),
            (None, Some(old)) => known.is_none() && self.unchanged(level, name, path, new, old)?,
        };
        if let (true, Some(old)) = (same, old) {
            self.old_links.entry(entry::inode(old)).or_insert_with(|| path.to_vec());
        }
        if linked && first.is_none() {
            self.new_links.insert(entry::inode(new), (path.to_vec(), same));
        }
        if same {
            return Ok(());
        }
        self.say(level)?;
        if let Some((first, _)) = first {
            let mut member = self.header(EntryType::Link, new, path, &[])?;
            member.link = [self.section.prefix.as_bytes(), b"/", &first].concat();
            return self.write(path, &member);
        }
        match kind {
            FileType::RegularFile => self.file(level, name, path, new),
            FileType::Symlink => {
                let mut member = self.header(EntryType::Symlink, new, path, &[])?;
                member.link =
                    entry::link(level.new.as_fd(), name).map_err(UnpackError::call("read", path))?;
                self.write(path, &member)
            }
            FileType::Fifo => self.header(EntryType::Fifo, new, path, &[]).and_then(|m| self.write(path, &m)),
            _ => {
                let block = kind == FileType::BlockDevice;
                let mut member =
                    self.header(if block { EntryType::Block } else { EntryType::Char }, new, path, &[])?;
                member.device = (major(new.st_rdev), minor(new.st_rdev));
                self.write(path, &member)
            }
        }
    }

    /// Whether an entry is in every respect what it was.
    fn unchanged(
        &mut self,
        level: &Level,
        name: &CString,
        path: &[u8],
        new: &Stat,
        old: &Stat,
    ) -> Result<bool, UnpackError> {
        let Some(before) = &level.old else { return Ok(false) };
        if !entry::alike(new, old) {
            return Ok(false);
        }
        let call = |doing| UnpackError::call(doing, path);
        match entry::kind(new) {
            FileType::RegularFile => {
                let a = entry::open(level.new.as_fd(), name, new).map_err(call("open"))?;
                let b = entry::open(before.as_fd(), name, old).map_err(call("open"))?;
                Ok(self.accepted(a.as_fd(), path)? == self.accepted(b.as_fd(), path)?
                    && entry::same_content(&a, &b, entry::size(new)).map_err(call("read"))?)
            }
            FileType::Symlink => Ok(entry::link(level.new.as_fd(), name).map_err(call("read"))?
                == entry::link(before.as_fd(), name).map_err(call("read"))?),
            _ => Ok(true),
        }
    }

    fn file(&mut self, level: &Level, name: &CString, path: &[u8], stat: &Stat) -> Result<(), UnpackError> {
        let call = |doing| UnpackError::call(doing, path);
        let file = entry::open(level.new.as_fd(), name, stat).map_err(call("open"))?;
        let attributes = self.attributes(file.as_fd(), path)?;
        let mut member = self.header(EntryType::Regular, stat, path, &attributes)?;
        let size = entry::size(stat);
        let runs = entry::runs(&file, stat).map_err(call("find the holes of"))?;
        let mut map = Vec::new();
        if let Some(runs) = &runs {
            map = sparse_map(runs, size);
            member.size = map.len() as u64 + runs.iter().map(|(_, length)| length).sum::<u64>();
            let real = [self.section.prefix.as_bytes(), b"/", path].concat();
            let realsize = size.to_string().into_bytes();
            let facts =
                [("major", b"1".to_vec()), ("minor", b"0".to_vec()), ("name", real), ("realsize", realsize)];
            let record = |(key, value): (&str, Vec<u8>)| (format!("GNU.sparse.{key}").into_bytes(), value);
            member.records.extend(facts.into_iter().map(record));
        } else {
            member.size = size;
        }
        self.write(path, &member)?;
        self.out.put(&map).map_err(written(path))?;
        for (at, length) in runs.unwrap_or_else(|| vec![(0, size)]) {
            self.data(&file, path, at, length)?;
        }
        self.out.fill_up(member.size).map_err(written(path))
    }

    fn data(&mut self, file: &OwnedFd, path: &[u8], mut at: u64, mut left: u64) -> Result<(), UnpackError> {
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let read = self.out.fill(most, |room| retry_on_intr(|| pread(file, &mut *room, at)));
            let n = read.map_err(|error| match error.raw_os_error() {
                Some(code) => UnpackError::call("copy", path)(Errno::from_raw_os_error(code)),
                None => UnpackError::refused(path, error.to_string()),
            })?;
            if n == 0 {
                return Err(UnpackError::refused(path, "it became shorter while it was read"));
            }
            at += n as u64;
            left -= n as u64;
            self.report.progress.read += n as u64;
            self.report.progress.written += n as u64;
            (self.listen)(&self.report.progress)?;
        }
        Ok(())
    }

    fn write(&mut self, path: &[u8], member: &Entry) -> Result<(), UnpackError> {
        self.report.progress.entries += 1;
        let mut name = [self.section.prefix.as_bytes(), b"/", path].concat();
        if member.kind == EntryType::Directory && !path.is_empty() {
            name.push(b'/');
        }
        let bytes = member.bytes(&name).map_err(written(path))?;
        self.out.put(&bytes).map_err(written(path))
    }

    fn header(
        &mut self,
        kind: EntryType,
        stat: &Stat,
        path: &[u8],
        attributes: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Entry, UnpackError> {
        let (uid, gid) = self.owner(stat, path)?;
        let records = attributes.iter().map(|(name, value)| record(name, value)).collect();
        let mode = stat.st_mode & 0o7777;
        let mtime = entry::mtime(stat);
        Ok(Entry { kind, mode, uid, gid, mtime, size: 0, device: (0, 0), link: Vec::new(), records })
    }

    /// The owner as the container knows it.
    fn owner(&mut self, stat: &Stat, path: &[u8]) -> Result<(u32, u32), UnpackError> {
        let refused = |why| UnpackError::refused(path, why);
        if matches!(self.ids, IdMapMode::AsIs { .. }) {
            return self.ids.owner(stat.st_uid.into(), stat.st_gid.into()).map_err(refused);
        }
        let root = |id, own| if id == own || id == OVERFLOW { 0 } else { id };
        if stat.st_uid == OVERFLOW || stat.st_gid == OVERFLOW {
            self.report.note(NoteKind::Owner, 1, path);
        }
        let (uid, gid) = (root(stat.st_uid, self.own.0), root(stat.st_gid, self.own.1));
        self.ids.owner(uid.into(), gid.into()).map_err(refused)
    }

    /// The attributes that go into the archive; what is left out is noted.
    fn attributes(&mut self, file: BorrowedFd<'_>, path: &[u8]) -> Result<Attributes, UnpackError> {
        let all = entry::attributes(file).map_err(UnpackError::call("read the attributes of", path))?;
        let count = all.len();
        let kept = self.filter(all);
        self.report.note(NoteKind::Attribute, (count - kept.len()) as u64, path);
        Ok(kept)
    }

    /// The same of what is only compared.
    fn accepted(&self, file: BorrowedFd<'_>, path: &[u8]) -> Result<Attributes, UnpackError> {
        let all = entry::attributes(file).map_err(UnpackError::call("read the attributes of", path))?;
        Ok(self.filter(all))
    }

    fn filter(&self, all: Attributes) -> Attributes {
        let accept = |(name, value): (Vec<u8>, Vec<u8>)| {
            attrs::accept(&name, &value, self.ids).map(|value| (name, value))
        };
        all.into_iter().filter_map(accept).collect()
    }
}

/// Names and values.
type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// An attribute as a record: lists as text, which every archiver understands, everything else as it is.
fn record(name: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let key = match name {
        attrs::ACL_ACCESS => Some("SCHILY.acl.access"),
        attrs::ACL_DEFAULT => Some("SCHILY.acl.default"),
        _ => None,
    };
    match key.and_then(|key| Some((key.as_bytes().to_vec(), acl::to_text(value)?))) {
        Some(record) => record,
        None => ([b"SCHILY.xattr.", &*pax::quote(name)].concat(), value.to_vec()),
    }
}

/// GNU's map of version 1.0, filled up to a block. It ends with an empty run at the end of the file, without which
/// GNU tar makes the file too short.
fn sparse_map(runs: &[(u64, u64)], size: u64) -> Vec<u8> {
    let mut text = format!("{}\n", runs.len() + 1);
    for (at, length) in runs.iter().chain([&(size, 0)]) {
        text.push_str(&format!("{at}\n{length}\n"));
    }
    let mut bytes = text.into_bytes();
    header::pad(&mut bytes);
    bytes
}

/// Whether a name at the root is what mke2fs(8) makes there, and empty: part of a disk and not of what is on it.
fn is_file_systems_own(root: BorrowedFd<'_>, name: &CString) -> bool {
    /// Its number on every ext file system.
    const INODE: u64 = 11;
    name.as_bytes() == b"lost+found"
        && entry::examine(root, name).ok().flatten().is_some_and(|stat| stat.st_ino == INODE)
        && child(root, name).and_then(|directory| entry::names(directory.as_fd())).is_ok_and(|n| n.is_empty())
}

/// A directory of the same mount, never through a link.
fn child(dir: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    openat2(dir, OsStr::from_bytes(name.as_bytes()), flags, Mode::empty(), inside)
}

fn again(dir: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    openat(dir, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
