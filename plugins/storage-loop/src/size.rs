//! Disks that get another size.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::Phase;
use crate::filesystem::{Filesystem, Resizing};
use crate::layout;
use crate::volume::{Pool, error, get, inside};

/// The length of a volume's disk.
pub fn get_size(pool: &impl Pool, id: &str) -> Result<u64, Error> {
    get(pool, id)?;
    pool.length(&layout::disk(id))?
        .ok_or_else(|| error(ErrorKind::NotFound, format!("there is no disk of {id}")))
}

/// Changes the length of a volume's disk, and its file system with it.
pub fn set_size(pool: &impl Pool, id: &str, size: u64) -> Result<(), Error> {
    if get(pool, id)?.phase == Phase::Sealed {
        return Err(error(ErrorKind::Invalid, format!("volume {id} is sealed: it cannot be changed")));
    }
    let (disk, new, inside) = (layout::disk(id), layout::new(id), inside(pool, id)?);
    let size = inside.fits(size)?;
    // What an interrupted attempt was working on, or the disk that it took the place of.
    pool.remove(&new)?;
    let (larger, mounted) = (size >= get_size(pool, id)?, pool.is_attached(&disk)?);
    if mounted && !larger {
        return Err(error(ErrorKind::Busy, format!("the disk of volume {id} is mounted: it can only grow")));
    }
    if larger || inside.resizing() == Resizing::Kernel {
        match by_kernel(pool, &disk, inside, size) {
            Err(refused) if refused.kind == ErrorKind::Denied && mounted => {
                let message = format!("{}; it can grow while the container is stopped", refused.message);
                return Err(error(ErrorKind::Denied, message));
            }
            Err(refused) if needs_program(&refused, inside) => {}
            other => return other,
        }
    }
    has_program(inside)?;
    // The program leaves a broken file system when it is interrupted: so it works on a copy.
    let copied = pool.copy(&disk, &new).and_then(|()| by_program(pool, &new, inside, size));
    if let Err(refused) = copied {
        // Of no use to anybody; if it stays, the next attempt removes it.
        let _removed = pool.remove(&new);
        return Err(refused);
    }
    pool.sync(&new)?;
    pool.exchange(&disk, &new)?;
    pool.sync(&disk)?;
    pool.remove(&new)
}

/// The same for a disk that is not a volume yet: it may be broken by an interruption.
pub fn resize(pool: &impl Pool, path: &str, inside: Filesystem, size: u64) -> Result<(), Error> {
    let larger = size >= pool.length(path)?.unwrap_or_default();
    if larger || inside.resizing() == Resizing::Kernel {
        match by_kernel(pool, path, inside, size) {
            Err(refused) if needs_program(&refused, inside) => {}
            other => return other,
        }
    }
    by_program(pool, path, inside, size)
}

/// Letting a mounted ext4 grow is a capability of its own, which not every root has.
fn needs_program(refused: &Error, inside: Filesystem) -> bool {
    refused.kind == ErrorKind::Denied && inside.resizing() == Resizing::Program
}

/// A disk may be longer than its file system, and never shorter: that is the order. A repetition with the length that
/// it has already makes the file system follow.
fn by_kernel(pool: &impl Pool, path: &str, inside: Filesystem, size: u64) -> Result<(), Error> {
    let before = pool.length(path)?.unwrap_or_default();
    if size < before {
        pool.fit(path, inside, size)?;
        return pool.set_length(path, size);
    }
    pool.set_length(path, size)?;
    pool.fit(path, inside, size).or_else(|refused| {
        // Its length is what people are told: not one that its file system does not have.
        pool.set_length(path, before)?;
        Err(refused)
    })
}

fn has_program(inside: Filesystem) -> Result<(), Error> {
    if inside.resizing() == Resizing::Program {
        return Ok(());
    }
    let message = format!("{} cannot be made smaller; copy the container to a smaller disk", inside.name());
    Err(error(ErrorKind::Unsupported, message))
}

fn by_program(pool: &impl Pool, path: &str, inside: Filesystem, size: u64) -> Result<(), Error> {
    has_program(inside)?;
    if size > pool.length(path)?.unwrap_or_default() {
        pool.set_length(path, size)?;
    }
    pool.refit(path, size)?;
    pool.set_length(path, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::volume::create;

    const GIB: u64 = 1 << 30;

    fn disk(inside: Filesystem) -> Memory {
        let pool = Memory::with(&["web"]);
        create(&pool, "op", "web", inside, 2 * GIB).unwrap();
        pool
    }

    #[test]
    fn disks_grow_while_they_are_mounted_and_shrink_while_not() {
        for (inside, shrinks) in
            [(Filesystem::Ext4, true), (Filesystem::Btrfs, true), (Filesystem::Xfs, false)]
        {
            let pool = disk(inside);
            pool.mounted.set(true);
            set_size(&pool, "web", 3 * GIB).unwrap();
            assert_eq!(pool.inside("web/rootdev"), (inside, 3 * GIB));
            assert_eq!(set_size(&pool, "web", GIB).unwrap_err().kind, ErrorKind::Busy);
            pool.mounted.set(false);
            let shrunk = set_size(&pool, "web", GIB);
            if shrinks {
                shrunk.unwrap();
                assert_eq!(pool.inside("web/rootdev"), (inside, GIB));
                assert_eq!(get_size(&pool, "web").unwrap(), GIB);
            } else {
                assert_eq!(shrunk.unwrap_err().kind, ErrorKind::Unsupported);
                assert_eq!(get_size(&pool, "web").unwrap(), 3 * GIB);
            }
        }
    }

    #[test]
    fn without_the_capability_an_ext4_grows_when_it_is_not_mounted() {
        let pool = disk(Filesystem::Ext4);
        pool.kernel_refuses.set(true);
        pool.mounted.set(true);
        assert_eq!(set_size(&pool, "web", 3 * GIB).unwrap_err().kind, ErrorKind::Denied);
        assert_eq!(get_size(&pool, "web").unwrap(), 2 * GIB);
        pool.mounted.set(false);
        set_size(&pool, "web", 3 * GIB).unwrap();
        assert_eq!(pool.inside("web/rootdev"), (Filesystem::Ext4, 3 * GIB));
    }

    /// Whatever change the power fails at, the disk is whole and not shorter than what is in it.
    #[test]
    fn every_interruption_leaves_a_whole_disk() {
        for (inside, refuses) in
            [(Filesystem::Ext4, false), (Filesystem::Ext4, true), (Filesystem::Btrfs, false)]
        {
            for (to, cut) in [GIB, 3 * GIB].into_iter().flat_map(|to| (0..16).map(move |cut| (to, cut))) {
                let pool = disk(inside);
                pool.kernel_refuses.set(refuses);
                pool.fail_after(cut);
                let _interrupted = set_size(&pool, "web", to);
                pool.go_on();
                let (length, (_, held)) = (get_size(&pool, "web").unwrap(), pool.inside("web/rootdev"));
                assert!(pool.is_whole("web/rootdev") && held <= length, "{inside:?} to {to}, cut {cut}");
                set_size(&pool, "web", to).unwrap();
                assert_eq!((get_size(&pool, "web").unwrap(), pool.inside("web/rootdev").1), (to, to));
                assert_eq!(pool.paths(), ["web", "web/rootdev", "web/rootdev.volume"]);
            }
        }
    }
}
