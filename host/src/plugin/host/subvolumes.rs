#![forbid(unsafe_code)]
//! `wxc:host/subvolumes`: btrfs subvolumes of a pool.
//!
//! Confined as [`super::tree`] is: a path is resolved beneath its handle without links, and only what holds
//! volumes is made, changed or removed. Subvolumes inside a volume may have been made by a container: they are
//! found by the kernel's references, reached beneath the volume, and taken for hostile.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, fchmod, fstat, futimens, openat2, syncfs, unlinkat,
};
use rustix::io::Errno;
use wasmtime::component::Resource;

use super::State;
use super::failure::{failure, stopped};
use super::handles::{Directory, never_minted};
use super::place::{At, CONFINED, Class, Need, Zone};
use crate::plugin::bindings::host::wxc::host::handles::{ByteSink, ByteSource};
use crate::plugin::bindings::host::wxc::host::subvolumes::{Host, Subvolume, SubvolumeUsage};
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::sys::btrfs::{self, Nested};
use crate::sys::{failpoint, tree};

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Base = Resource<Directory>;

/// Most paths of one answer.
const MOST_PATHS: u32 = 1000;
/// How often a removal begins again because another subvolume has appeared in what it removes.
const ATTEMPTS: u32 = 8;

impl State {
    /// Resolves the path, does the work.
    fn on<T>(
        &mut self,
        base: &Base,
        path: &str,
        need: Need,
        work: impl FnOnce(&At) -> Result<T, Error>,
    ) -> Answer<T> {
        Ok(self.directory(base)?.at(path, need).and_then(|at| work(&at)))
    }
}

impl Host for State {
    fn create(&mut self, base: Base, path: String) -> Answer<()> {
        let called = self.called("subvolumes.create", &(base.rep(), &path))?;
        self.answer(called, |state| state.on(&base, &path, Need::Change, create))
    }

    fn snapshot(
        &mut self,
        base: Base,
        path: String,
        target_path: String,
        read_only: bool,
        nested: bool,
    ) -> Answer<()> {
        let called =
            self.called("subvolumes.snapshot", &(base.rep(), &path, &target_path, read_only, nested))?;
        self.answer(called, |state| {
            let directory = state.directory(&base)?;
            let both = directory.at(&path, Need::Look).and_then(|from| {
                let to = directory.at(&target_path, Need::Change)?;
                Ok((content(from)?, to))
            });
            Ok(both.and_then(|(from, to)| snapshot(&from, &to, read_only, nested)))
        })
    }

    fn remove(&mut self, base: Base, path: String) -> Answer<()> {
        let called = self.called("subvolumes.remove", &(base.rep(), &path))?;
        self.answer(called, |state| state.on(&base, &path, Need::Change, remove))
    }

    fn inspect(&mut self, base: Base, path: String) -> Answer<Subvolume> {
        let called = self.called("subvolumes.inspect", &(base.rep(), &path))?;
        self.answer(called, |state| {
            state.on(&base, &path, Need::Look, |at| {
                let fd = subvolume(at)?;
                let refused = |e| at.refused("look at", e);
                let info = btrfs::info(fd.as_fd()).map_err(refused)?;
                Ok(Subvolume {
                    uuid: uuid(info.uuid).unwrap_or_default(),
                    parent_uuid: uuid(info.parent_uuid),
                    received_uuid: uuid(info.received_uuid),
                    read_only: btrfs::is_read_only(fd.as_fd()).map_err(refused)?,
                })
            })
        })
    }

    fn all(&mut self, base: Base, path: String, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        let called = self.called("subvolumes.all", &(base.rep(), &path, &after, limit))?;
        self.answer(called, |state| {
            state.on(&base, &path, Need::Look, |at| list(at, after.as_deref(), limit.min(MOST_PATHS)))
        })
    }

    fn set_read_only(&mut self, base: Base, path: String, read_only: bool) -> Answer<()> {
        let called = self.called("subvolumes.set-read-only", &(base.rep(), &path, read_only))?;
        self.answer(called, |state| {
            state.on(&base, &path, Need::Change, |at| {
                at.pass("subvolumes.set-read-only")?;
                set_read_only(&subvolume(at)?, read_only).map_err(|e| at.refused("change", e))
            })
        })
    }

    fn protect(&mut self, base: Base, path: String, read_only: bool) -> Answer<()> {
        let called = self.called("subvolumes.protect", &(base.rep(), &path, read_only))?;
        self.answer(called, |state| {
            state.on(&base, &path, Need::Change, |at| {
                at.pass("subvolumes.protect")?;
                btrfs::set_read_only(subvolume(at)?.as_fd(), read_only).map_err(|e| at.refused("change", e))
            })
        })
    }

    fn sync(&mut self, base: Base, path: String) -> Answer<()> {
        let called = self.called("subvolumes.sync", &(base.rep(), &path))?;
        self.answer(called, |state| {
            state.on(&base, &path, Need::Look, |at| {
                let subvolume = subvolume(at)?;
                at.pass("subvolumes.sync")?;
                syncfs(subvolume).map_err(|e| at.refused("write to the disk", e))
            })
        })
    }

    fn set_limit(&mut self, base: Base, path: String, bytes: Option<u64>) -> Answer<()> {
        let called = self.called("subvolumes.set-limit", &(base.rep(), &path, bytes))?;
        self.answer(called, |state| state.on(&base, &path, Need::Change, |at| set_limit(at, bytes)))
    }

    fn limit(&mut self, base: Base, path: String) -> Answer<Option<u64>> {
        let called = self.called("subvolumes.limit", &(base.rep(), &path))?;
        self.answer(called, |state| {
            state.on(&base, &path, Need::Look, |at| {
                btrfs::limit(subvolume(at)?.as_fd()).map_err(|e| quota_refused(at, "ask for the limit of", e))
            })
        })
    }

    fn usage(&mut self, base: Base, path: String) -> Answer<SubvolumeUsage> {
        let called = self.called("subvolumes.usage", &(base.rep(), &path))?;
        self.answer(called, |state| {
            state.on(&base, &path, Need::Look, |at| {
                let usage = btrfs::usage(subvolume(at)?.as_fd());
                let btrfs::Usage { referenced, exclusive } =
                    usage.map_err(|e| quota_refused(at, "ask for the usage of", e))?;
                Ok(SubvolumeUsage { referenced, exclusive })
            })
        })
    }

    // A guest cannot have a sink or a source: nothing mints one in this version.

    fn send(&mut self, _: Base, _: String, _: Option<String>, _: Resource<ByteSink>) -> Answer<()> {
        Err(never_minted())
    }

    fn receive(&mut self, _: Base, _: String, _: Resource<ByteSource>) -> Answer<()> {
        Err(never_minted())
    }
}

/// What is being snapshotted has to be part of a volume, too: a whole pool would take configurations along.
fn content(at: At) -> Result<At, Error> {
    if at.zone.class() == Class::Content {
        return Ok(at);
    }
    Err(failure(ErrorKind::Denied, format!("{:?} is not part of a volume", at.said)))
}

/// Says where it is not btrfs, instead of letting each call fail in its own way.
fn on_btrfs(at: &At, fd: BorrowedFd<'_>) -> Result<(), Error> {
    if btrfs::is_btrfs(fd).map_err(|e| at.refused("look at", e))? {
        return Ok(());
    }
    let said = if at.said.is_empty() { "the pool" } else { &at.said };
    Err(failure(ErrorKind::Unsupported, format!("{said} is not on btrfs, and only btrfs has subvolumes")))
}

/// Opens the subvolume that is there.
fn subvolume(at: &At) -> Result<OwnedFd, Error> {
    let fd = at.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
    on_btrfs(at, fd.as_fd())?;
    if btrfs::is_subvolume(fd.as_fd()).map_err(|e| at.refused("look at", e))? {
        return Ok(fd);
    }
    Err(failure(ErrorKind::Invalid, format!("{} is an ordinary directory and no subvolume", at.said)))
}

/// The directory that a subvolume is in, opened so that these calls take it.
fn above(at: &At) -> Result<OwnedFd, Error> {
    let fd = at.open_parent()?;
    on_btrfs(at, fd.as_fd())?;
    Ok(fd)
}

fn create(at: &At) -> Result<(), Error> {
    let (parent, name) = (above(at)?, at.named()?);
    let refused = |e| at.refused("make the subvolume", e);
    at.pass("subvolumes.create")?;
    btrfs::create(parent.as_fd(), name.as_ref()).map_err(refused)?;
    at.pass("subvolumes.create.permissions")?;
    // The umask had its say.
    let made = at.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
    fchmod(made, Mode::from_raw_mode(0o755)).map_err(refused)
}

fn snapshot(from: &At, to: &At, read_only: bool, nested: bool) -> Result<(), Error> {
    let (source, parent, name) = (subvolume(from)?, above(to)?, OsStr::new(to.named()?));
    let refused = |e| match e {
        Errno::XDEV => {
            failure(ErrorKind::Unsupported, format!("{} and {} are on two file systems", from.said, to.said))
        }
        Errno::NAMETOOLONG => failure(
            ErrorKind::Unsupported,
            format!(
                "cannot take a snapshot of {}: a subvolume in it is so deep that no path leads to it",
                from.said
            ),
        ),
        e => from.refused("take a snapshot of", e),
    };
    to.pass("subvolumes.snapshot")?;
    let inside = if nested { btrfs::nested(source.as_fd()).map_err(refused)? } else { Vec::new() };
    if inside.is_empty() {
        return btrfs::snapshot(source.as_fd(), parent.as_fd(), name, read_only).map_err(refused);
    }
    // Writable until everything is in it.
    btrfs::snapshot(source.as_fd(), parent.as_fd(), name, false).map_err(refused)?;
    to.pass("subvolumes.snapshot.nested")?;
    let filled = to
        .open(OFlags::RDONLY | OFlags::DIRECTORY)
        .and_then(|copy| fill(&source, &copy, &inside, read_only).map_err(refused));
    filled.inspect_err(|_| {
        // Half of it is of no use under this name; what cannot be removed is still no volume.
        let _removed = remove(to);
    })
}

/// Puts the subvolumes that are inside `source` into a copy of it, each as read-only as it was.
fn fill(source: &OwnedFd, copy: &OwnedFd, inside: &[Nested], read_only: bool) -> Result<(), Errno> {
    for one in inside {
        failpoint::pass_errno("subvolumes.snapshot.inside")?;
        snapshot_inside(source, copy, &one.path)?;
    }
    // The innermost first: nothing can be put into one that is read-only.
    for Nested { path, .. } in inside.iter().rev() {
        let made =
            below(source, path).and_then(|was| Ok((btrfs::is_read_only(was.as_fd())?, below(copy, path)?)));
        match made {
            Ok((true, made)) => btrfs::set_read_only(made.as_fd(), true)?,
            Ok((false, _)) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    if read_only { btrfs::set_read_only(copy.as_fd(), true) } else { Ok(()) }
}

/// Snapshots one nested subvolume to the same place in a copy of what it is in.
fn snapshot_inside(source: &OwnedFd, copy: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let (Some(name), Some(above)) = (path.file_name(), path.parent()) else { return Err(Errno::INVAL) };
    let opened = below(source, path).and_then(|inside| Ok((inside, below(copy, above)?)));
    let (inside, parent) = match opened {
        Ok(both) => both,
        // Moved, removed or made since: the snapshot has the state of before or after, as for any file.
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let before = fstat(&parent)?;
    // In the snapshot, an empty directory stands where the subvolume is.
    match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    btrfs::snapshot(inside.as_fd(), parent.as_fd(), name, false)?;
    // Putting it there was not a change of the directory that anybody should see.
    let time = |sec: i64, nsec| Timespec { tv_sec: sec, tv_nsec: nsec };
    let times = Timestamps {
        last_access: time(before.st_atime, before.st_atime_nsec as _),
        last_modification: time(before.st_mtime, before.st_mtime_nsec as _),
    };
    futimens(&parent, &times)
}

/// Opens a directory below a volume's root.
fn below(top: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    openat2(top, path, flags, Mode::empty(), CONFINED)
}

/// Those inside first: as long as the outermost has its old state, so has the volume.
fn set_read_only(top: &OwnedFd, read_only: bool) -> Result<(), Errno> {
    for Nested { path, .. } in btrfs::nested(top.as_fd())?.iter().rev() {
        match below(top, path).and_then(|inside| btrfs::set_read_only(inside.as_fd(), read_only)) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    btrfs::set_read_only(top.as_fd(), read_only)
}

fn remove(at: &At) -> Result<(), Error> {
    at.pass("subvolumes.remove")?;
    let top = match subvolume(at) {
        Ok(top) => top,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (parent, name) = (above(at)?, OsStr::new(at.named()?));
    let refused = |e| at.refused("remove the subvolume", e);
    match destroy(&top, parent.as_fd(), name) {
        Err(Errno::PERM | Errno::ACCESS | Errno::ROFS) => {}
        other => return other.map_err(refused),
    }
    // Without privileges the kernel removes writable ones at most, and those only on a file system mounted with
    // `user_subvol_rm_allowed`; elsewhere an empty one goes as a directory does.
    set_read_only(&top, false).map_err(refused)?;
    match destroy(&top, parent.as_fd(), name) {
        Err(Errno::PERM | Errno::ACCESS) => {
            tree::remove_tree(parent.as_fd(), name).map(drop).map_err(stopped)
        }
        other => other.map_err(refused),
    }
}

/// Removes a subvolume and those inside it, deepest first.
fn destroy(top: &OwnedFd, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    for _ in 0..ATTEMPTS {
        match btrfs::nested(top.as_fd()) {
            Ok(inside) => inside.iter().rev().try_for_each(|one| {
                failpoint::pass_errno("subvolumes.remove.inside")?;
                destroy_inside(top, &one.path)
            })?,
            // A container can put one deeper than any path leads.
            Err(Errno::NAMETOOLONG) => btrfs::destroy_below(top.as_fd())?,
            Err(errno) => return Err(errno),
        }
        match btrfs::destroy(parent, name) {
            Err(Errno::NOTEMPTY) => {}
            Err(Errno::NOENT) => return Ok(()),
            other => return other,
        }
    }
    Err(Errno::BUSY)
}

fn destroy_inside(top: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let (Some(name), Some(above)) = (path.file_name(), path.parent()) else { return Err(Errno::INVAL) };
    match below(top, above).and_then(|parent| btrfs::destroy(parent.as_fd(), name)) {
        // Gone or moved, or another came into it: the next round sees to it.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NOTEMPTY) => Ok(()),
        other => other,
    }
}

/// The subvolumes below a directory, as far as a guest may see them.
fn list(at: &At, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    let fd = at.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
    on_btrfs(at, fd.as_fd())?;
    let seen = |path: &Path| zone(&at.zone, path).is_none_or(|zone| zone.class() != Class::Hidden);
    // One that no path leads to cannot be told; it must not hide all the others either.
    let (found, _) =
        btrfs::reachable(fd.as_fd(), &seen).map_err(|e| at.refused("look for subvolumes in", e))?;
    let text = |one: Nested| PathBuf::into_os_string(one.path).into_string().ok();
    let mut paths: Vec<String> = found.into_iter().filter_map(text).collect();
    paths.retain(|path| after.is_none_or(|after| path.as_str() > after));
    paths.sort_unstable();
    paths.truncate(limit as usize);
    Ok(paths)
}

/// Where a path is in the pool; none for one that is not UTF-8, which only a container can have made, in its volume.
fn zone(above: &Zone, path: &Path) -> Option<Zone> {
    let parts = path.iter().map(OsStr::to_str).collect::<Option<Vec<&str>>>()?;
    Some(above.below(&parts))
}

fn set_limit(at: &At, bytes: Option<u64>) -> Result<(), Error> {
    if bytes == Some(0) || bytes == Some(u64::MAX) {
        return Err(failure(ErrorKind::Invalid, "a limit is a number of bytes above zero"));
    }
    let fd = subvolume(at)?;
    at.pass("subvolumes.set-limit")?;
    let set = match btrfs::set_limit(fd.as_fd(), bytes) {
        Err(Errno::NOTCONN) if bytes.is_none() => Ok(()),
        // Whoever asks for a limit asks for what it takes; the kernel counts once what is there.
        Err(Errno::NOTCONN) => {
            btrfs::enable_quota(fd.as_fd()).and_then(|()| btrfs::set_limit(fd.as_fd(), bytes))
        }
        other => other,
    };
    set.map_err(|e| quota_refused(at, "limit", e))
}

/// What errors mean for quota groups.
fn quota_refused(at: &At, doing: &str, errno: Errno) -> Error {
    let message = |why: &str| failure(ErrorKind::Unsupported, format!("cannot {doing} {}: {why}", at.said));
    match errno {
        Errno::NOTCONN => message("quota groups are off in this file system"),
        Errno::AGAIN => message("the file system is counting its quota groups anew"),
        errno => at.refused(doing, errno),
    }
}

/// The usual text form; none for zeroes.
fn uuid(bytes: [u8; 16]) -> Option<String> {
    if bytes == [0; 16] {
        return None;
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_usual_form() {
        assert_eq!(uuid([0; 16]), None);
        let bytes = std::array::from_fn(|i| u8::try_from(i).unwrap() * 17);
        assert_eq!(uuid(bytes).as_deref(), Some("00112233-4455-6677-8899-aabbccddeeff"));
    }

    #[test]
    fn only_what_holds_volumes_is_reached_and_elsewhere_than_on_btrfs_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("web/rootfs")).unwrap();
        let fd = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let pool = Directory { fd, zone: Zone::default() };
        for path in ["web", "web/container", "", ".journal/x"] {
            let error = pool.at(path, Need::Change).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Denied, "{path}: {}", error.message);
        }
        assert_eq!(content(pool.at("web", Need::Look).unwrap()).unwrap_err().kind, ErrorKind::Denied);
        let root = pool.at("web/rootfs", Need::Look).unwrap();
        if btrfs::is_btrfs(root.parent()).is_ok_and(|it_is| !it_is) {
            let error = subvolume(&root).unwrap_err();
            assert_eq!(error.message, "web/rootfs is not on btrfs, and only btrfs has subvolumes");
            assert_eq!(remove(&root).unwrap_err().kind, ErrorKind::Unsupported);
        }
    }
}
