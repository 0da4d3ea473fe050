//! Storage on btrfs: a volume is a subvolume, a clone and a snapshot are snapshots of it.
//!
//! Reading order: `plugin.toml`, this file beside the files of `wit/storage`, then `volume.rs` and `restore.rs`.
#![deny(unsafe_code)]

/// From volume ids to paths.
mod layout;
/// What is remembered of a volume besides its files.
mod note;
/// The pool, by calls to the host.
mod pool;
/// Back to a snapshot.
mod restore;
/// What the verbs do.
mod volume;

/// The pool of the tests.
#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/storage"],
        inline: "
            package wxc:storage-btrfs;
            world plugin {
                include wxc:storage/storage-plugin-cow@0.1.0;
                export wxc:storage/snapshots-at-rest@0.1.0;
            }
        ",
        world: "wxc:storage-btrfs/plugin",
        generate_all,
    });
    export!(Btrfs with_types_in self);
    use super::Btrfs;
}

use bindings::exports::wxc::storage::{clones, sizes, snapshots, snapshots_at_rest, volumes};
use bindings::wxc::host::tree;
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::storage::scope;
use bindings::wxc::storage::types::{Access, Mount, MountSource, Phase, Place, Volume, VolumeUsage};
use pool::Pool as _;
use volume::error;

struct Btrfs;

impl volumes::Guest for Btrfs {
    fn open() -> Result<volumes::Pool, Error> {
        let pool = scope::pool()?;
        let filesystem = tree::filesystem(&pool)?;
        if filesystem != "btrfs" {
            let message = format!(
                "the containers are on {filesystem} and not on btrfs: use another storage, or another path"
            );
            return Err(error(ErrorKind::Unsupported, message));
        }
        let room = tree::space(&pool)?;
        Ok(volumes::Pool { total: room.total, available: room.available, metadata_available: None })
    }

    fn scan(after: Option<String>, limit: u32) -> Result<Vec<Volume>, Error> {
        volume::scan(&scope::pool()?, after.as_deref(), limit as usize)
    }

    fn create(operation: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        volume::create(&scope::pool()?, &operation, &id, size)
    }

    fn seal(operation: String, id: String) -> Result<Volume, Error> {
        volume::seal(&scope::pool()?, &operation, &id)
    }

    fn mounts(id: String, access: Access) -> Result<Vec<Mount>, Error> {
        let volume = volume::get(&scope::pool()?, &id)?;
        if volume.phase == Phase::Sealed && access == Access::ReadWrite {
            return Err(error(ErrorKind::Invalid, format!("volume {id} is sealed: it can only be read")));
        }
        let root = MountSource::Tree(Place { handle: "pool".to_owned(), path: layout::root(&id) });
        Ok(vec![Mount {
            source: root,
            target: String::new(),
            read_only: access == Access::ReadOnly,
            options: Vec::new(),
        }])
    }

    fn usage(id: String) -> Result<VolumeUsage, Error> {
        volume::usage(&scope::pool()?, &id)
    }

    fn remove(_operation: String, id: String) -> Result<(), Error> {
        volume::remove(&scope::pool()?, &id)
    }
}

impl clones::Guest for Btrfs {
    fn describe() -> Result<clones::Traits, Error> {
        Ok(clones::Traits { instant: true, pins_parent: false })
    }

    fn clone(operation: String, parent: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        let pool = scope::pool()?;
        volume::get_in(&pool, &parent, Phase::Sealed)?;
        let size = size.map_or_else(|| pool.limit(&layout::root(&parent)), |size| Ok(Some(size)))?;
        volume::copy(&pool, &operation, (&parent, &id), Phase::Writable, size)
    }

    fn unseal(operation: String, id: String) -> Result<Volume, Error> {
        volume::unseal(&scope::pool()?, &operation, &id)
    }
}

impl snapshots::Guest for Btrfs {
    fn describe() -> Result<snapshots::Traits, Error> {
        // Each subvolume has an instant of its own, and containers make some: systemd does at the first boot.
        let nested = scope::pool()?.below("")?.iter().any(|path| layout::is_inside_a_container(path));
        Ok(snapshots::Traits { live: !nested, instant: true, pins_volume: false })
    }

    fn take(operation: String, of: String, snapshot: String) -> Result<Volume, Error> {
        volume::take(&scope::pool()?, &operation, &of, &snapshot)
    }

    fn restore_blockers(snapshot: String) -> Result<Vec<String>, Error> {
        volume::get(&scope::pool()?, &snapshot).map(|_| Vec::new())
    }

    fn restore(operation: String, snapshot: String) -> Result<Volume, Error> {
        restore::restore(&scope::pool()?, &operation, &snapshot)
    }
}

impl snapshots_at_rest::Guest for Btrfs {
    fn describe() -> Result<snapshots_at_rest::Traits, Error> {
        Ok(snapshots_at_rest::Traits { instant: true })
    }

    fn take(operation: String, of: String, snapshot: String) -> Result<Volume, Error> {
        // Several instants are one when nothing is written between them.
        volume::take(&scope::pool()?, &operation, &of, &snapshot)
    }
}

impl sizes::Guest for Btrfs {
    fn describe() -> Result<sizes::Traits, Error> {
        // Not strict: what the container makes a subvolume of its own is not counted.
        Ok(sizes::Traits { strict: false, grows_live: true, shrinks: true, always: false })
    }

    fn get(id: String) -> Result<Option<u64>, Error> {
        let pool = scope::pool()?;
        volume::get(&pool, &id)?;
        pool.limit(&layout::root(&id))
    }

    fn set(_operation: String, id: String, size: Option<u64>) -> Result<(), Error> {
        volume::set_size(&scope::pool()?, &id, size)
    }
}
