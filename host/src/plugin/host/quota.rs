#![forbid(unsafe_code)]
//! Limits on directory trees: one project of the file system's quota for each.
//!
//! The number of a project is taken at random from a range that people do not type, and only if the quota knows nothing of it: so there is no
//! registry that could disagree with the disk, and numbers of other programs stay theirs. Two processes that take the same one at
//! the same instant see it, because the project then has more in it than one empty directory, and both take another.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, RawDir, fstatfs};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::failure::failure;
use super::place::At;
use super::tree::filesystem_name;
use crate::plugin::bindings::host::wxc::host::tree::Quota;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::sys::project::{self, Account, Limits};

/// Numbers that are used: the upper half of those that fit into a signed one, as some programs read them.
const RANGE: std::ops::Range<u32> = 1 << 30..(1 << 31) - 1;
/// Attempts at a number that nobody has.
const ATTEMPTS: usize = 16;

/// Limits a directory tree. One that has no project of its own yet has to be empty: what is in it is not counted.
pub(super) fn set(at: &At, quota: Quota) -> Result<(), Error> {
    let directory = at.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
    let fd = directory.as_fd();
    available(at, fd)?;
    at.pass("tree.set-quota")?;
    let limits = Limits { bytes: quota.bytes, entries: quota.entries };
    let number = match own(at, fd)? {
        Some(number) => number,
        None => claim(at, &directory)?,
    };
    project::limit(fd, number, limits).map_err(|e| at.refused("limit", e))
}

/// The limits of a directory tree.
pub(super) fn get(at: &At) -> Result<Quota, Error> {
    let directory = at.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
    available(at, directory.as_fd())?;
    let account = account(at, directory.as_fd())?.unwrap_or_default();
    Ok(Quota { bytes: account.limits.bytes, entries: account.limits.entries })
}

/// What the quota knows of a tree; none where there is no quota, or it counts more than this tree.
pub(super) fn counted(at: &At, directory: BorrowedFd<'_>) -> Option<Account> {
    if !project::enforced(directory).unwrap_or(false) {
        return None;
    }
    account(at, directory).ok().flatten()
}

fn account(at: &At, directory: BorrowedFd<'_>) -> Result<Option<Account>, Error> {
    let Some(number) = own(at, directory)? else { return Ok(None) };
    project::account(directory, number).map(Some).map_err(|e| at.refused("ask for the quota of", e))
}

/// The project of this tree and no other: not one that the directory above hands on.
fn own(at: &At, directory: BorrowedFd<'_>) -> Result<Option<u32>, Error> {
    let asked = |fd| project::of(fd).map_err(|e| at.refused("ask for the project of", e));
    let Some(number) = asked(directory)? else { return Ok(None) };
    let above = asked(at.open_parent()?.as_fd())?;
    Ok((above != Some(number)).then_some(number))
}

fn claim(at: &At, directory: &OwnedFd) -> Result<u32, Error> {
    let refused = |e| at.refused("give a project to", e);
    if !is_empty(directory).map_err(refused)? {
        let message = format!(
            "what is in {} was made before there was a project quota, and is not counted; a copy of it can have a limit",
            at.said
        );
        return Err(failure(ErrorKind::Unsupported, message));
    }
    if let Some(number) = project::of(at.open_parent()?.as_fd()).map_err(refused)? {
        let message = format!("{} is part of project {number}, which somebody else has set up", at.said);
        return Err(failure(ErrorKind::Unsupported, message));
    }
    for _ in 0..ATTEMPTS {
        let number = random()?;
        if project::account(directory.as_fd(), number).map_err(refused)? != Account::default() {
            continue;
        }
        project::assign(directory.as_fd(), number).map_err(refused)?;
        // The directory itself, and nothing of anybody else.
        if project::account(directory.as_fd(), number).map_err(refused)?.entries == 1 {
            return Ok(number);
        }
    }
    Err(failure(ErrorKind::Exhausted, "found no project number that nobody uses"))
}

fn random() -> Result<u32, Error> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|e| failure(ErrorKind::Failed, format!("cannot choose a project: {e}")))?;
    Ok(RANGE.start + u32::from_ne_bytes(bytes) % (RANGE.end - RANGE.start))
}

fn is_empty(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut buffer = Vec::with_capacity(4096);
    let mut names = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = names.next() {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses where no limit would hold, with what would make one hold.
fn available(at: &At, fd: BorrowedFd<'_>) -> Result<(), Error> {
    let why = match project::enforced(fd) {
        Ok(true) => return Ok(()),
        Err(Errno::PERM) => "only root may set project quotas".to_owned(),
        Ok(false) => needed(&fstatfs(fd).map(|s| filesystem_name(s.f_type)).unwrap_or_default()),
        Err(errno) => return Err(at.refused("ask for the quotas of", errno)),
    };
    Err(failure(ErrorKind::Unsupported, why))
}

/// What a file system of this type would need.
fn needed(filesystem: &str) -> String {
    match filesystem {
        "ext4" => "this ext4 has no project quotas: they take `tune2fs -O project -Q prjquota` while it is not mounted, the mount \
                   option `prjquota`, and a kernel with CONFIG_QFMT_V2"
            .to_owned(),
        "xfs" => "this xfs is mounted without project quotas: they take the mount option `prjquota`, and a kernel with \
                  CONFIG_XFS_QUOTA"
            .to_owned(),
        "btrfs" => "btrfs has no project quotas: storage `btrfs` limits by its own".to_owned(),
        other => format!("{other} has no project quotas: storage `loop` limits everywhere"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_is_missing() {
        assert!(needed("ext4").contains("mount option `prjquota`"), "{}", needed("ext4"));
        assert!(needed("xfs").contains("`prjquota`"));
        assert!(needed("nfs").starts_with("nfs has no"));
    }

    #[test]
    fn numbers_are_from_the_range() {
        for _ in 0..50 {
            assert!(RANGE.contains(&random().unwrap()));
        }
    }
}
