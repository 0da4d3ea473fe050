//! Disks that get another size.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::Phase;
use crate::filesystem::{Filesystem, Shrinking};
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
    // A copy that an interrupted attempt was making smaller, or the larger disk that one took the place of.
    pool.remove(&new)?;
    if size >= get_size(pool, id)? {
        return resize(pool, &disk, inside, size);
    }
    if pool.is_attached(&disk)? {
        return Err(error(ErrorKind::Busy, format!("the disk of volume {id} is mounted: it can only grow")));
    }
    if inside.shrinking() != Shrinking::Program {
        return resize(pool, &disk, inside, size);
    }
    // The program leaves a broken file system when it is interrupted: so it works on a copy.
    pool.copy(&disk, &new)?;
    resize(pool, &new, inside, size)?;
    pool.sync(&new)?;
    pool.exchange(&disk, &new)?;
    pool.sync(&disk)?;
    pool.remove(&new)
}

/// The same for a file. A disk may be longer than its file system, and never shorter: that is the order. A repetition
/// with the length that it has already makes the file system follow.
pub fn resize(pool: &impl Pool, path: &str, inside: Filesystem, size: u64) -> Result<(), Error> {
    if size >= pool.length(path)?.unwrap_or_default() {
        pool.set_length(path, size)?;
        return pool.fit(path, inside, size);
    }
    match inside.shrinking() {
        Shrinking::Program => pool.shrink(path, size)?,
        Shrinking::Kernel => pool.fit(path, inside, size)?,
        Shrinking::Never => {
            let message =
                format!("{} cannot be made smaller; copy the container to a smaller disk", inside.name());
            return Err(error(ErrorKind::Unsupported, message));
        }
    }
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

    /// Whatever change the power fails at, the disk is whole and not shorter than what is in it.
    #[test]
    fn every_interruption_leaves_a_whole_disk() {
        for inside in [Filesystem::Ext4, Filesystem::Btrfs] {
            for (to, cut) in [GIB, 3 * GIB].into_iter().flat_map(|to| (0..12).map(move |cut| (to, cut))) {
                let pool = disk(inside);
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
