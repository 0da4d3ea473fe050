//! What the verbs of a volume do to its disk, one step after the other.
//!
//! The order is what makes them safe to interrupt and to repeat: a disk is made under another name and renamed
//! when it is complete, its note is written before that, and it is renamed before it is removed.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume};
use crate::filesystem::Filesystem;
use crate::note::Note;
use crate::{layout, size};

/// What is asked of the pool. The component asks the host for it; the tests have one in memory.
pub trait Pool {
    /// The length of a regular file; none if there is no such file.
    fn length(&self, path: &str) -> Result<Option<u64>, Error>;
    /// The directories in a directory, sorted; none if there is no such directory.
    fn directories(&self, path: &str) -> Result<Vec<String>, Error>;
    /// A small file; none if there is no such file.
    fn read(&self, path: &str) -> Result<Option<String>, Error>;
    /// Replaces a small file as a whole, durably.
    fn write(&self, path: &str, text: &str) -> Result<(), Error>;
    /// Makes a file of zeros under a name that is not taken.
    fn make(&self, path: &str, size: u64) -> Result<(), Error>;
    fn set_length(&self, path: &str, size: u64) -> Result<(), Error>;
    /// Copies a file to a name that is not taken.
    fn copy(&self, path: &str, new: &str) -> Result<(), Error>;
    /// Renames to a name that is not taken.
    fn rename(&self, path: &str, new: &str) -> Result<(), Error>;
    fn exchange(&self, path: &str, other: &str) -> Result<(), Error>;
    /// Nothing there is nothing to do.
    fn remove(&self, path: &str) -> Result<(), Error>;
    /// Makes a file and its name durable.
    fn sync(&self, path: &str) -> Result<(), Error>;
    /// Makes a file system in a file.
    fn format(&self, path: &str, inside: Filesystem) -> Result<(), Error>;
    /// Gives the file system in a copy an identity of its own.
    fn renew(&self, path: &str, inside: Filesystem) -> Result<(), Error>;
    /// Makes the file system in a file as long as this, by a program.
    fn refit(&self, path: &str, size: u64) -> Result<(), Error>;
    /// Has the kernel make the file system in a file as long as this, mounted or not.
    fn fit(&self, path: &str, inside: Filesystem, size: u64) -> Result<(), Error>;
    /// Whether a file is in use as a disk.
    fn is_attached(&self, path: &str) -> Result<bool, Error>;
    /// What is in a disk that this plugin did not make.
    fn probe(&self, path: &str) -> Result<Filesystem, Error>;
}

pub fn create(
    pool: &impl Pool,
    operation: &str,
    id: &str,
    inside: Filesystem,
    size: u64,
) -> Result<Volume, Error> {
    begin(pool, operation, id, |new| {
        let size = inside.fits(size)?;
        Note::save(pool, id, Phase::Writable, inside, operation)?;
        pool.make(new, size)?;
        pool.format(new, inside)
    })
}

/// A copy, sharing blocks where the pool's file system can.
pub fn clone(
    pool: &impl Pool,
    operation: &str,
    parent: &str,
    id: &str,
    size: Option<u64>,
) -> Result<Volume, Error> {
    if get(pool, parent)?.phase != Phase::Sealed {
        return Err(error(
            ErrorKind::Invalid,
            format!("volume {parent} is not sealed: it could still change"),
        ));
    }
    let inside = inside(pool, parent)?;
    begin(pool, operation, id, |new| {
        Note::save(pool, id, Phase::Writable, inside, operation)?;
        pool.copy(&layout::disk(parent), new)?;
        pool.renew(new, inside)?;
        match size {
            Some(size) => size::resize(pool, new, inside, inside.fits(size)?),
            None => Ok(()),
        }
    })
}

/// A copy of a disk that nobody writes to, mounted or not: the host has had its file system write out everything.
pub fn take(pool: &impl Pool, operation: &str, of: &str, snapshot: &str) -> Result<Volume, Error> {
    if get(pool, of)?.phase != Phase::Writable {
        return Err(error(ErrorKind::Invalid, format!("volume {of} is sealed: its content does not change")));
    }
    let inside = inside(pool, of)?;
    begin(pool, operation, snapshot, |new| {
        Note::save(pool, snapshot, Phase::Sealed, inside, operation)?;
        pool.copy(&layout::disk(of), new)?;
        // Both may be mounted at a time.
        pool.renew(new, inside)
    })
}

/// Makes a disk by `make`, under another name until it is complete. What an interrupted attempt left is of no use.
fn begin(
    pool: &impl Pool,
    operation: &str,
    id: &str,
    make: impl FnOnce(&str) -> Result<(), Error>,
) -> Result<Volume, Error> {
    let (new, disk) = (layout::new(id), layout::disk(id));
    match find(pool, id)? {
        Some(volume) if volume.phase == Phase::Removing => remove(pool, id)?,
        Some(volume) if volume.operation.as_deref() != Some(operation) => {
            return Err(error(ErrorKind::AlreadyExists, format!("volume {id} exists already")));
        }
        Some(volume) if volume.phase != Phase::Incomplete => return Ok(volume),
        _ => pool.remove(&new)?,
    }
    make(&new)?;
    pool.sync(&new)?;
    pool.rename(&new, &disk)?;
    pool.sync(&disk)?;
    get(pool, id)
}

pub fn seal(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    if get(pool, id)?.phase != Phase::Sealed {
        pool.sync(&layout::disk(id))?;
        Note::save(pool, id, Phase::Sealed, inside(pool, id)?, operation)?;
    }
    get(pool, id)
}

/// Clones are copies: nothing depends on a volume.
pub fn unseal(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    if get(pool, id)?.phase == Phase::Sealed {
        Note::save(pool, id, Phase::Writable, inside(pool, id)?, operation)?;
    }
    get(pool, id)
}

pub fn remove(pool: &impl Pool, id: &str) -> Result<(), Error> {
    let (disk, removed) = (layout::disk(id), layout::removed(id));
    if pool.length(&disk)?.is_some() {
        if pool.is_attached(&disk)? {
            return Err(error(ErrorKind::Busy, format!("the disk of volume {id} is mounted")));
        }
        // Left over from an earlier volume of this name, if it is there at all.
        pool.remove(&removed)?;
        pool.rename(&disk, &removed)?;
    }
    pool.remove(&layout::new(id))?;
    pool.remove(&layout::note(id))?;
    pool.remove(&removed)
}

pub fn scan(pool: &impl Pool, after: Option<&str>, limit: usize) -> Result<Vec<Volume>, Error> {
    let mut volumes = Vec::new();
    for (shelf, prefix) in layout::shelves(&pool.directories("")?) {
        for name in pool.directories(&shelf)?.iter().filter(|name| !name.starts_with('.')) {
            volumes.extend(find(pool, &format!("{prefix}{name}"))?);
        }
    }
    volumes.retain(|volume| after.is_none_or(|after| volume.id.as_str() > after));
    volumes.sort_by(|a, b| a.id.cmp(&b.id));
    volumes.truncate(limit);
    Ok(volumes)
}

/// The volume when it is complete, or `not-found`.
pub fn get(pool: &impl Pool, id: &str) -> Result<Volume, Error> {
    match find(pool, id)? {
        Some(volume) if matches!(volume.phase, Phase::Writable | Phase::Sealed) => Ok(volume),
        _ => Err(error(ErrorKind::NotFound, format!("there is no volume {id}"))),
    }
}

/// The file system of a volume's disk.
pub fn inside(pool: &impl Pool, id: &str) -> Result<Filesystem, Error> {
    match Note::load(pool, id)?.filesystem {
        Some(known) => Ok(known),
        None => pool.probe(&layout::disk(id)),
    }
}

pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}

fn find(pool: &impl Pool, id: &str) -> Result<Option<Volume>, Error> {
    let phase = if pool.length(&layout::disk(id))?.is_some() {
        None
    } else if pool.length(&layout::removed(id))?.is_some() {
        Some(Phase::Removing)
    } else if pool.length(&layout::new(id))?.is_some() {
        Some(Phase::Incomplete)
    } else {
        return Ok(None);
    };
    let note = Note::load(pool, id)?;
    let phase = phase.unwrap_or(note.phase);
    Ok(Some(Volume { id: id.to_owned(), phase, parent: None, operation: note.operation }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    const GIB: u64 = 1 << 30;

    fn ids(pool: &Memory) -> Vec<String> {
        scan(pool, None, 100).unwrap().into_iter().map(|volume| volume.id).collect()
    }

    #[test]
    fn a_volume_is_created_sealed_cloned_and_removed() {
        let pool = Memory::with(&["web", "copy"]);
        assert_eq!(create(&pool, "op1", "web", Filesystem::Xfs, GIB).unwrap().phase, Phase::Writable);
        assert_eq!(clone(&pool, "op2", "web", "copy", None).unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(seal(&pool, "op3", "web").unwrap().phase, Phase::Sealed);
        clone(&pool, "op4", "web", "copy", Some(2 * GIB)).unwrap();
        assert_eq!(inside(&pool, "copy").unwrap(), Filesystem::Xfs);
        assert_eq!(pool.length("copy/rootdev").unwrap(), Some(2 * GIB));
        assert_eq!(pool.inside("copy/rootdev"), (Filesystem::Xfs, 2 * GIB));
        remove(&pool, "web").unwrap();
        remove(&pool, "web").unwrap();
        assert_eq!(get(&pool, "web").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(pool.paths(), ["copy", "copy/rootdev", "copy/rootdev.volume", "web"]);
        assert_eq!(unseal(&pool, "op5", "copy").unwrap().phase, Phase::Writable);
    }

    #[test]
    fn the_same_operation_converges_and_another_one_is_refused() {
        let pool = Memory::with(&["web"]);
        create(&pool, "op1", "web", Filesystem::Ext4, GIB).unwrap();
        let again = create(&pool, "op1", "web", Filesystem::Ext4, GIB).unwrap();
        assert_eq!(again.operation.as_deref(), Some("op1"));
        let other = create(&pool, "op2", "web", Filesystem::Ext4, GIB).unwrap_err();
        assert_eq!(other.kind, ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_disk_that_is_too_small_is_not_begun() {
        let pool = Memory::with(&["web"]);
        let small = create(&pool, "op", "web", Filesystem::Xfs, 64 << 20).unwrap_err();
        assert_eq!((small.kind, pool.paths()), (ErrorKind::Invalid, vec!["web".to_owned()]));
    }

    #[test]
    fn a_disk_in_use_is_not_removed() {
        let pool = Memory::with(&["web"]);
        create(&pool, "op", "web", Filesystem::Ext4, GIB).unwrap();
        pool.mounted.set(true);
        assert_eq!(remove(&pool, "web").unwrap_err().kind, ErrorKind::Busy);
        assert_eq!(ids(&pool), ["web"]);
    }

    #[test]
    fn a_snapshot_is_a_sealed_copy_of_what_stays_mounted() {
        let pool = Memory::with(&["web", "web/snaps/s"]);
        create(&pool, "op", "web", Filesystem::Ext4, GIB).unwrap();
        pool.mounted.set(true);
        let taken = take(&pool, "t", "web", "web@s").unwrap();
        assert_eq!((taken.phase, taken.parent), (Phase::Sealed, None));
        assert_eq!(take(&pool, "t", "web", "web@s").unwrap().operation.as_deref(), Some("t"));
        assert_eq!(take(&pool, "u", "web", "web@s").unwrap_err().kind, ErrorKind::AlreadyExists);
        assert_eq!(pool.inside("web/snaps/s/rootdev"), (Filesystem::Ext4, GIB));
        assert_eq!(get(&pool, "web").unwrap().phase, Phase::Writable);
    }

    /// Whatever change the power fails at, there is either no complete volume or the whole one, and a repetition
    /// ends as usual.
    #[test]
    fn every_interruption_can_be_repeated() {
        type Verb = fn(&Memory) -> Result<(), Error>;
        let verbs: [(&str, Verb); 4] = [
            ("create", |pool| create(pool, "op", "new", Filesystem::Btrfs, GIB).map(drop)),
            ("clone", |pool| clone(pool, "op", "base", "new", Some(2 * GIB)).map(drop)),
            ("seal", |pool| seal(pool, "op", "web").map(drop)),
            ("remove", |pool| remove(pool, "web")),
        ];
        for (name, verb) in verbs {
            for cut in 0.. {
                let pool = Memory::with(&["web", "base", "new"]);
                create(&pool, "w", "web", Filesystem::Ext4, GIB).unwrap();
                create(&pool, "b", "base", Filesystem::Ext4, GIB).unwrap();
                seal(&pool, "b2", "base").unwrap();
                pool.fail_after(cut);
                let interrupted = verb(&pool).is_err();
                pool.go_on();
                for volume in scan(&pool, None, 9).unwrap() {
                    let complete = matches!(volume.phase, Phase::Writable | Phase::Sealed);
                    assert!(!complete || pool.is_whole(&layout::disk(&volume.id)), "{name}, cut {cut}");
                }
                verb(&pool).unwrap_or_else(|e| panic!("{name}, cut {cut}: {e:?}"));
                assert!(
                    !pool.paths().iter().any(|path| path.ends_with(".new") || path.ends_with(".removed"))
                );
                if !interrupted {
                    break;
                }
            }
        }
    }

    #[test]
    fn scan_finds_disks_snapshots_images_and_nothing_else() {
        let pool = Memory::with(&[".images/0a1b", "db", "half", "web/snaps/before", "web/snaps/after"]);
        for id in [".images@0a1b", "db", "web", "web@before"] {
            create(&pool, "op", id, Filesystem::Ext4, GIB).unwrap();
        }
        pool.make("half/rootdev.new", GIB).unwrap();
        pool.make("web/snaps/after/rootdev.removed", GIB).unwrap();
        assert_eq!(ids(&pool), [".images@0a1b", "db", "half", "web", "web@after", "web@before"]);
        let phases: Vec<Phase> = scan(&pool, None, 9).unwrap().iter().map(|volume| volume.phase).collect();
        assert_eq!((phases[2], phases[4]), (Phase::Incomplete, Phase::Removing));
        let page = scan(&pool, Some("db"), 2).unwrap();
        assert_eq!(page.iter().map(|volume| volume.id.as_str()).collect::<Vec<_>>(), ["half", "web"]);
    }

    #[test]
    fn a_disk_of_lxc_is_a_writable_volume() {
        let pool = Memory::with(&["old"]);
        pool.make("old/rootdev", GIB).unwrap();
        pool.format("old/rootdev", Filesystem::Btrfs).unwrap();
        let volume = get(&pool, "old").unwrap();
        assert_eq!((volume.phase, volume.operation), (Phase::Writable, None));
        assert_eq!(inside(&pool, "old").unwrap(), Filesystem::Btrfs);
    }
}
