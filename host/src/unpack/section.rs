//! Sections of an export: where each ends, and that nothing of it is damaged (docs/export-format.md).
//!
//! A section ends with a member that holds its seal: the digest of the seal before it and of everything since. So the
//! last seal vouches for the whole file. Several processes read one stream after another, hence nobody reads ahead.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::BorrowedFd;

use super::error::{UnpackError, printable};
use super::member::{Kind, Member, Members};
use super::meter::{Input, Supply};
use super::request::{Limits, Section};

/// The member that every export begins with.
pub const MANIFEST: &str = "wxc-export.json";
/// The member that every section ends with.
pub const SEAL: &str = "wxc-seal";
/// Bytes of the manifest: a configuration of a mebibyte for each of some snapshots.
pub(crate) const MANIFEST_MAX: u64 = 64 << 20;

/// Bytes of a seal: the digits of a SHA-256, and a line feed.
const SEAL_LENGTH: u64 = 65;
/// Bytes that are read at once where that many are wanted.
const PIECE: usize = 256 << 10;

/// Reads what was asked for and not a byte more.
struct Exact {
    file: File,
    piece: Vec<u8>,
    at: usize,
}

impl Supply for Exact {
    fn peek(&mut self, most: u64) -> io::Result<&[u8]> {
        if self.at == self.piece.len() {
            let most = usize::try_from(most).unwrap_or(PIECE).min(PIECE);
            self.piece.resize(most, 0);
            self.at = 0;
            let read = loop {
                match self.file.read(&mut self.piece) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            self.piece.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.piece.len());
    }
}

/// The members of the section that begins where `stream` stands.
pub(crate) fn members(stream: File, before: &str, limits: Limits) -> Members {
    let exact = Exact { file: stream, piece: Vec::new(), at: 0 };
    Members::new(Input::digested(Box::new(exact), limits, before.as_bytes()), &limits)
}

/// Whether a member is a seal; the seal then, which is right.
pub(crate) fn seal(members: &mut Members, member: &Member) -> Result<Option<String>, UnpackError> {
    if member.name != SEAL.as_bytes() {
        return Ok(None);
    }
    let right = members.input().digest();
    if member.kind != Kind::File(SEAL_LENGTH) {
        return Err(UnpackError::refused(SEAL.as_bytes(), "it is not a seal"));
    }
    let found = content(members, SEAL_LENGTH, SEAL.as_bytes())?;
    members.skip_rest()?;
    if found.strip_suffix(b"\n") != Some(right.as_bytes()) {
        let why = "what is before it is not what was written: the file was damaged or changed";
        return Err(UnpackError::archive(SEAL.as_bytes(), why));
    }
    Ok(Some(right))
}

/// What an archive begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum First {
    /// The manifest of an export, and the seal of its section.
    Manifest(Vec<u8>, String),
    /// Another member; its name, safe to print.
    Other(String),
}

/// Reads the first section of a plain archive.
///
/// # Errors
/// It is no archive, or an export whose first section is damaged.
pub fn first(stream: BorrowedFd<'_>) -> Result<First, UnpackError> {
    let limits = Limits { bytes: 2 * MANIFEST_MAX, ..Limits::default() };
    let mut members = members(own(stream)?, "", limits);
    let Some(member) = members.next()? else {
        return Err(UnpackError::archive(b"its start", "there is nothing in it"));
    };
    let size = match member.kind {
        Kind::File(size) if member.name == MANIFEST.as_bytes() => size,
        _ => return Ok(First::Other(printable(&member.name))),
    };
    if size > MANIFEST_MAX {
        return Err(UnpackError::limit(&member.name, MANIFEST_MAX, "bytes in the manifest"));
    }
    let manifest = content(&mut members, size, &member.name)?;
    match members.next()? {
        Some(member) => match seal(&mut members, &member)? {
            Some(seal) => Ok(First::Manifest(manifest, seal)),
            None => Err(UnpackError::archive(&member.name, "there is no seal behind the manifest")),
        },
        None => Err(UnpackError::archive(b"its start", "it ends behind the manifest: it is cut off")),
    }
}

/// Reads what is behind the last section: the end of the archive, and nothing else.
///
/// # Errors
/// There is something else.
pub fn end(stream: BorrowedFd<'_>) -> Result<(), UnpackError> {
    let mut members = members(own(stream)?, "", Limits::default());
    if let Some(member) = members.next()? {
        return Err(UnpackError::archive(&member.name, "it comes after everything that the manifest lists"));
    }
    match members.finish()? {
        0 => Ok(()),
        _ => Err(UnpackError::archive(b"the end of the archive", "there is something behind it")),
    }
}

fn own(stream: BorrowedFd<'_>) -> Result<File, UnpackError> {
    let stream = stream.try_clone_to_owned().map_err(|e| UnpackError::confine("read the archive", e))?;
    Ok(File::from(stream))
}

fn content(members: &mut Members, size: u64, name: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let mut found = Vec::new();
    while (found.len() as u64) < size {
        let left = size - found.len() as u64;
        members.data(left, name)?.with(name, |bytes| {
            found.extend_from_slice(bytes);
            Ok(())
        })?;
    }
    Ok(found)
}

/// What a member of a section asks for.
pub(crate) enum Place<'a> {
    /// To be made, at this path.
    Entry(&'a [u8]),
    /// To go.
    Gone(&'a [u8]),
}

/// Where a clean name belongs; an honest section has no others.
pub(crate) fn place<'a>(path: &'a [u8], section: &Section) -> Result<Place<'a>, UnpackError> {
    use super::names::below;
    if let Some(path) = below(path, section.prefix.as_bytes()) {
        return Ok(Place::Entry(path));
    }
    match section.removed.as_ref().and_then(|prefix| below(path, prefix.as_bytes())) {
        Some(path) if !path.is_empty() => Ok(Place::Gone(path)),
        _ => Err(UnpackError::refused(path, format!("it is not below {}", section.prefix))),
    }
}
