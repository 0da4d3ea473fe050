//! From members to files.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, ftruncate};
use rustix::io::{pwrite, retry_on_intr};

use super::entries::Entries;
use super::error::UnpackError;
use super::member::{Kind, Member};
use super::place::{Metadata, Place};
use super::report::{NoteKind, Progress, Report};
use super::request::{Devices, Options};
use super::{acl, attrs, layer, names, section};

/// Hears how far it is, and may end it with an error.
pub(crate) type Listen<'a> = &'a mut dyn FnMut(&Progress) -> Result<(), UnpackError>;

/// Unpacks an archive into a directory within this process.
///
/// This is what the helper runs once it is confined; [`super::run`] is the way in for everyone else. The
/// caller needs the capabilities to give files away.
pub fn extract(
    archive: File,
    target: BorrowedFd<'_>,
    options: &Options,
    listen: Listen<'_>,
) -> Result<Report, UnpackError> {
    let mut report = Report::default();
    let stat = rustix::fs::fstat(&archive).map_err(UnpackError::call("examine", b"the archive"))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        report.progress.total = u64::try_from(stat.st_size).ok();
    }
    let entries = Entries::open(archive, options)?;
    let changes = options.section.as_ref().is_some_and(|section| section.removed.is_some());
    let mut place = match options.layer {
        Some(_) => Place::of_layer(target, options.limits.memory),
        None => Place::new(target, options.limits.memory, changes),
    };
    place.keep_links = options.keep_links;
    let prefix = names::clean(options.prefix.as_bytes(), options.limits.depth)?;
    let mut work = Extract { entries, place, options, prefix, found: false, report, listen };
    work.run()?;
    work.finish()
}

struct Extract<'a> {
    entries: Entries,
    place: Place<'a>,
    options: &'a Options,
    prefix: Vec<u8>,
    /// Whether anything was below the prefix.
    found: bool,
    report: Report,
    listen: Listen<'a>,
}

impl Extract<'_> {
    fn run(&mut self) -> Result<(), UnpackError> {
        while let Some(member) = self.entries.next()? {
            if self.options.section.is_some()
                && let Some(seal) = self.entries.seal(&member)?
            {
                self.report.seal = seal;
                return Ok(());
            }
            self.report.progress.entries += 1;
            if self.report.progress.entries > self.options.limits.entries {
                return Err(UnpackError::limit(&member.name, self.options.limits.entries, "entries"));
            }
            self.member(member)?;
            self.tick()?;
        }
        if self.options.section.is_some() {
            return Err(UnpackError::archive(section::SEAL.as_bytes(), "it is missing: the file is cut off"));
        }
        if self.found || self.prefix.is_empty() {
            return Ok(());
        }
        Err(UnpackError::archive(&self.prefix, "the archive does not hold this directory"))
    }

    fn finish(mut self) -> Result<Report, UnpackError> {
        let trailing = if self.options.section.is_some() { 0 } else { self.entries.finish()? };
        self.check_layer()?;
        self.report.note(NoteKind::Trailing, trailing, b"the end of the archive");
        let unsupported = self.place.finish()?;
        self.report.note(NoteKind::Unsupported, unsupported, b"the target");
        self.report.progress.read = self.entries.source_read();
        Ok(self.report)
    }

    /// A layer is what its image says, without its compression, too.
    fn check_layer(&self) -> Result<(), UnpackError> {
        let Some(wanted) = &self.options.layer else { return Ok(()) };
        let found = self.entries.digest();
        if found == *wanted {
            return Ok(());
        }
        let why = format!("its content has the digest {found}, and the image says {wanted} (diff id)");
        Err(UnpackError::archive(b"the layer", why))
    }

    fn tick(&mut self) -> Result<(), UnpackError> {
        self.report.progress.read = self.entries.source_read();
        (self.listen)(&self.report.progress)
    }

    fn member(&mut self, member: Member) -> Result<(), UnpackError> {
        let path = names::clean(&member.name, self.options.limits.depth)?;
        let path = match &self.options.section {
            Some(section) => match section::place(&path, section)? {
                section::Place::Entry(path) => path.to_vec(),
                section::Place::Gone(path) => return self.place.gone(path),
            },
            None => match names::below(&path, &self.prefix) {
                Some(path) => path.to_vec(),
                None => return Ok(()),
            },
        };
        self.found = true;
        if self.options.layer.is_some() {
            match layer::meaning(&path)? {
                layer::Meaning::Entry => {}
                layer::Meaning::Gone(path) => return self.place.gone_below(&path),
                layer::Meaning::Opaque(path) => return self.place.opaque(&path),
                layer::Meaning::Nothing => return Ok(()),
            }
        }
        self.entry(member, path)
    }

    fn entry(&mut self, member: Member, path: Vec<u8>) -> Result<(), UnpackError> {
        let (uid, gid) = self
            .options
            .ids
            .owner(member.uid, member.gid)
            .map_err(|why| UnpackError::refused(&member.name, why))?;
        let attributes = self.attributes(&member, &path);
        let meta = Metadata { uid, gid, mode: member.mode, mtime: member.mtime, attributes };
        let made = match member.kind {
            Kind::Directory => self.place.directory(&path, meta),
            Kind::File(size) => self.file(&path, size, &[(0, size)], &meta),
            Kind::Sparse(map) => self.file(&path, map.size, &map.pieces, &meta),
            Kind::Symlink(target) => {
                names::link_target(&path, &target)?;
                self.place.symlink(&path, &target, &meta)
            }
            Kind::Hardlink(target) => {
                let target = names::clean(&target, self.options.limits.depth)?;
                let why = "it is a hard link to an entry beside the tree";
                let prefix = self.options.section.as_ref().map_or(&*self.prefix, |s| s.prefix.as_bytes());
                let target = names::below(&target, prefix).ok_or_else(|| UnpackError::refused(&path, why))?;
                self.place.hardlink(&path, target)
            }
            Kind::Fifo => self.place.node(&path, FileType::Fifo, (0, 0), &meta),
            Kind::Socket => {
                self.report.note(NoteKind::Socket, 1, &member.name);
                return Ok(());
            }
            Kind::Device { block, major, minor } => self.device(&path, block, (major, minor), &meta),
            Kind::Label => {
                self.report.note(NoteKind::Label, 1, &member.name);
                Ok(())
            }
        };
        made?;
        self.place.bring(&path)
    }

    /// Attributes that are accepted. Only files and directories can carry them.
    fn attributes(&mut self, member: &Member, path: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut kept = Vec::new();
        if !matches!(member.kind, Kind::File(_) | Kind::Sparse(_) | Kind::Directory) {
            self.report.note(NoteKind::Attribute, member.attributes.len() as u64, path);
            return kept;
        }
        for (name, value) in &member.attributes {
            match attrs::accept(name, value, &self.options.ids) {
                Some(value) => kept.push((name.clone(), value)),
                None => self.report.note(NoteKind::Attribute, 1, path),
            }
        }
        for (text, name) in member.acls.iter().zip([attrs::ACL_ACCESS, attrs::ACL_DEFAULT]) {
            let Some(text) = text else { continue };
            let list = acl::from_text(text);
            self.report.note(NoteKind::AclName, list.as_ref().map_or(0, |l| l.1), path);
            match list.and_then(|(list, _)| attrs::accept(name, &list, &self.options.ids)) {
                Some(value) => kept.push((name.to_vec(), value)),
                None => self.report.note(NoteKind::Attribute, 1, path),
            }
        }
        kept
    }

    fn file(
        &mut self,
        path: &[u8],
        size: u64,
        pieces: &[(u64, u64)],
        meta: &Metadata,
    ) -> Result<(), UnpackError> {
        if size > self.options.limits.file {
            return Err(UnpackError::limit(path, self.options.limits.file, "bytes in one file"));
        }
        let fd = self.place.file(path)?;
        let mut end = 0;
        for (at, length) in pieces {
            self.piece(path, &fd, *at, *length)?;
            end = at + length;
        }
        if end < size {
            ftruncate(&fd, size).map_err(UnpackError::call("extend", path))?;
        }
        self.place.close(path, fd, meta)
    }

    fn piece(&mut self, path: &[u8], fd: &OwnedFd, mut at: u64, mut left: u64) -> Result<(), UnpackError> {
        while left > 0 {
            let n = self.entries.data(left, path, |bytes| write_all(fd.as_fd(), bytes, at, path))?;
            at += n as u64;
            left -= n as u64;
            self.report.progress.written += n as u64;
            self.tick()?;
        }
        Ok(())
    }

    fn device(
        &mut self,
        path: &[u8],
        block: bool,
        device: (u32, u32),
        meta: &Metadata,
    ) -> Result<(), UnpackError> {
        // Where overlayfs meets it, a whiteout hides a file of another layer: of another container.
        if !block && device == (0, 0) {
            return Err(UnpackError::refused(path, "it is a whiteout of an overlay (character device 0:0)"));
        }
        if self.options.devices == Devices::Skip {
            self.report.note(NoteKind::Device, 1, path);
            return Ok(());
        }
        let kind = if block { FileType::BlockDevice } else { FileType::CharacterDevice };
        self.place.node(path, kind, device, meta)
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64, path: &[u8]) -> Result<(), UnpackError> {
    while !bytes.is_empty() {
        let n = retry_on_intr(|| pwrite(fd, bytes, at)).map_err(UnpackError::call("write", path))?;
        bytes = &bytes[n..];
        at += n as u64;
    }
    Ok(())
}
