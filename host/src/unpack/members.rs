//! Small files out of an archive, for whoever reads an image's metadata.
//!
//! The helper that does it has no file system: it reads the archive and writes what was asked for into a file in memory. Each is
//! framed by its lengths: name, content, both as four bytes in little-endian order before their bytes.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::fs::{MemfdFlags, memfd_create};

use super::entries::Entries;
use super::error::UnpackError;
use super::member::{Kind, Members};
use super::request::{IdMapMode, Limits, Options};
use super::run::{Helper, SELF};
use super::wire::Task;
use super::{codec, names};

/// The longest of them, and all together (wit/template/types.wit).
const LONGEST: u64 = 256 << 10;
const TOGETHER: u64 = 4 << 20;
/// An archive of metadata has a few dozen entries.
const ENTRIES: u64 = 100_000;
const BYTES: u64 = 1 << 30;

/// The regular files of these names in an archive, each with its content. A name with a slash at its end means everything below
/// it. Names that are not there are no error. `whole` is for archives that have a root file system beside them.
///
/// # Errors
/// The archive cannot be read, or one of the files is longer than a file of metadata may be.
pub fn members(
    archive: BorrowedFd<'_>,
    wanted: &[String],
    whole: bool,
    cancel: &AtomicBool,
) -> Result<Vec<(String, Vec<u8>)>, UnpackError> {
    members_with(Path::new(SELF), archive, wanted, whole, cancel)
}

/// The same with a named program as the helper.
///
/// # Errors
/// As [`members`].
pub fn members_with(
    program: &Path,
    archive: BorrowedFd<'_>,
    wanted: &[String],
    whole: bool,
    cancel: &AtomicBool,
) -> Result<Vec<(String, Vec<u8>)>, UnpackError> {
    let failed = |error: std::io::Error| UnpackError::confine("keep what it finds", error);
    let memory = memfd_create("wxc-members", MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let mut options = Options::new(IdMapMode::AsIs { max: u32::MAX });
    if !whole {
        options.limits = Limits { bytes: BYTES, entries: ENTRIES, ..Limits::default() };
    }
    options.members = wanted.to_vec();
    let mut helper = Helper::start(program)?;
    helper.order(Task::Members, (0, 0), &options, &[archive, memory.as_fd()])?;
    helper.outcome(cancel)?;
    let mut file = File::from(memory);
    let mut framed = Vec::new();
    file.rewind().map_err(failed)?;
    // What comes back is limited as what goes in.
    file.take(2 * TOGETHER).read_to_end(&mut framed).map_err(failed)?;
    let mut rest = framed.as_slice();
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    while !rest.is_empty() {
        let unframed = piece(&mut rest).zip(piece(&mut rest));
        let (name, content) =
            unframed.ok_or_else(|| UnpackError::Helper { why: "is not understood".into() })?;
        let name = String::from_utf8_lossy(name).into_owned();
        // As with files: of two that have one name the later one counts.
        found.retain(|(known, _)| *known != name);
        found.push((name, content.to_vec()));
    }
    Ok(found)
}

/// Writes one regular file of an archive, whatever its size, to `out`; the first one of that name counts, and its digest is the caller's to check.
///
/// # Errors
/// The archive cannot be read, or does not hold it.
pub fn member(
    archive: BorrowedFd<'_>,
    wanted: &str,
    out: BorrowedFd<'_>,
    cancel: &AtomicBool,
) -> Result<(), UnpackError> {
    member_with(Path::new(SELF), archive, wanted, out, cancel)
}

/// The same with a named program as the helper.
///
/// # Errors
/// As [`member`].
pub fn member_with(
    program: &Path,
    archive: BorrowedFd<'_>,
    wanted: &str,
    out: BorrowedFd<'_>,
    cancel: &AtomicBool,
) -> Result<(), UnpackError> {
    let mut options = Options::new(IdMapMode::AsIs { max: u32::MAX });
    options.members = vec![wanted.to_owned()];
    let mut helper = Helper::start(program)?;
    helper.order(Task::Member, (0, 0), &options, &[archive, out])?;
    helper.outcome(cancel).map(drop)
}

fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (piece, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(piece)
}

/// The helper's part.
pub(crate) fn collect(archive: File, mut out: File, options: &Options) -> Result<(), UnpackError> {
    let limits = &options.limits;
    // Of an image of a file system or of an archive, whichever it is.
    let mut members = Entries::open(archive, options)?;
    let (mut entries, mut room) = (0, TOGETHER);
    while let Some(member) = members.next()? {
        entries += 1;
        if entries > limits.entries {
            return Err(UnpackError::limit(&member.name, limits.entries, "entries"));
        }
        let name = names::clean(&member.name, limits.depth)?;
        let Kind::File(size) = member.kind else { continue };
        if !options.members.iter().any(|wanted| is_wanted(&name, wanted)) {
            continue;
        }
        if size > LONGEST {
            return Err(UnpackError::limit(&member.name, LONGEST, "bytes in a file of metadata"));
        }
        room = room
            .checked_sub(size + name.len() as u64 + 8)
            .ok_or_else(|| UnpackError::limit(&member.name, TOGETHER, "bytes of metadata"))?;
        let mut content = Vec::new();
        while (content.len() as u64) < size {
            let left = size - content.len() as u64;
            members.data(left, &member.name, |bytes| {
                content.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        for piece in [&name, &content] {
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX).to_le_bytes();
            out.write_all(&length)
                .and_then(|()| out.write_all(piece))
                .map_err(|error| UnpackError::confine("keep what it finds", error))?;
        }
    }
    members.finish().map(drop)
}

/// The helper's part for one of any size.
pub(crate) fn copy(archive: File, mut out: File, options: &Options) -> Result<(), UnpackError> {
    let limits = &options.limits;
    let failed = |error: std::io::Error| UnpackError::confine("keep what it finds", error);
    let mut members = Members::new(codec::open(archive, *limits)?, limits);
    while let Some(member) = members.next()? {
        let name = names::clean(&member.name, limits.depth)?;
        let Kind::File(mut left) = member.kind else { continue };
        if !options.members.iter().any(|wanted| is_wanted(&name, wanted)) {
            continue;
        }
        while left > 0 {
            let (n, ()) = members
                .data(left, &member.name)?
                .with(&member.name, |bytes| out.write_all(bytes).map_err(failed))?;
            left -= n as u64;
        }
        // The rest is not looked at: whoever wants this file knows its digest.
        return Ok(());
    }
    let wanted = options.members.first().map_or(&b""[..], |name| name.as_bytes());
    Err(UnpackError::archive(wanted, "the archive does not hold this file"))
}

fn is_wanted(name: &[u8], wanted: &str) -> bool {
    match wanted.strip_suffix('/') {
        Some(directory) => name.strip_prefix(directory.as_bytes()).is_some_and(|rest| rest.starts_with(b"/")),
        None => name == wanted.as_bytes(),
    }
}
