//! Storage in disks: each root file system in one file, with ext4, xfs or btrfs in it.
//!
//! It makes and copies disks; mounting them is the host's, which attaches a loop device that goes away with
//! the mount. Reading order: `plugin.toml`, this file beside `wit/storage/`, then `volume.rs` and `size.rs`.
#![deny(unsafe_code)]

/// What is different about the file systems.
mod filesystem;
/// From volume ids to paths.
mod layout;
/// A pool for tests.
#[cfg(test)]
mod memory;
/// What is remembered of a volume besides its disk.
mod note;
/// The pool, by calls to the host.
mod pool;
/// Disks that get another size.
mod size;
/// What the verbs do.
mod volume;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/storage"],
        inline: "
            package wxc:storage-loop;
            world plugin {
                include wxc:storage/storage-plugin@0.1.0;
                export wxc:storage/clones@0.1.0;
                export wxc:storage/sizes@0.1.0;
                export wxc:storage/snapshots-at-rest@0.1.0;
            }
        ",
        world: "wxc:storage-loop/plugin",
        generate_all,
    });
    export!(Loop with_types_in self);
    use super::Loop;
}

use bindings::exports::wxc::storage::{clones, sizes, snapshots_at_rest, volumes};
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::host::{settings, tree};
use bindings::wxc::storage::scope;
use bindings::wxc::storage::types::{
    Access, Disk, DiskBacking, Mount, MountSource, Phase, Place, Pool, Volume, VolumeUsage,
};
use filesystem::Filesystem;
use volume::error;

struct Loop;

/// The file system of new disks.
fn chosen() -> Result<Filesystem, Error> {
    Filesystem::named(&settings::get("filesystem").unwrap_or_default())
}

/// The size of new disks; the host has checked that it is one.
fn usual_size() -> u64 {
    settings::get("size").and_then(|size| size.parse().ok()).unwrap_or_default()
}

impl volumes::Guest for Loop {
    fn open() -> Result<Pool, Error> {
        let room = tree::space(&scope::pool()?)?;
        Ok(Pool { total: room.total, available: room.available, metadata_available: None })
    }

    fn scan(after: Option<String>, limit: u32) -> Result<Vec<Volume>, Error> {
        volume::scan(&scope::pool()?, after.as_deref(), limit as usize)
    }

    fn create(operation: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        let size = size.unwrap_or_else(usual_size);
        volume::create(&scope::pool()?, &operation, &id, chosen()?, size)
    }

    fn seal(operation: String, id: String) -> Result<Volume, Error> {
        volume::seal(&scope::pool()?, &operation, &id)
    }

    fn mounts(id: String, access: Access) -> Result<Vec<Mount>, Error> {
        let pool = scope::pool()?;
        let volume = volume::get(&pool, &id)?;
        if volume.phase == Phase::Sealed && access == Access::ReadWrite {
            return Err(error(ErrorKind::Invalid, format!("volume {id} is sealed: it can only be read")));
        }
        let inside = volume::inside(&pool, &id)?;
        let file = Place { handle: "pool".to_owned(), path: layout::disk(&id) };
        let disk = Disk { backing: DiskBacking::File(file), filesystem: inside.name().to_owned() };
        Ok(vec![Mount {
            source: MountSource::Disk(disk),
            target: String::new(),
            read_only: access == Access::ReadOnly,
            options: inside.options().iter().map(|&option| option.to_owned()).collect(),
        }])
    }

    fn usage(id: String) -> Result<VolumeUsage, Error> {
        let pool = scope::pool()?;
        volume::get(&pool, &id)?;
        let usage = tree::usage(&pool, &layout::disk(&id))?;
        Ok(VolumeUsage { exclusive: None, referenced: Some(usage.bytes), entries: None })
    }

    fn remove(_operation: String, id: String) -> Result<(), Error> {
        volume::remove(&scope::pool()?, &id)
    }
}

impl clones::Guest for Loop {
    fn describe() -> Result<clones::Traits, Error> {
        Ok(clones::Traits { instant: tree::shares_blocks(&scope::pool()?)?, pins_parent: false })
    }

    fn clone(operation: String, parent: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        volume::clone(&scope::pool()?, &operation, &parent, &id, size)
    }

    fn unseal(operation: String, id: String) -> Result<Volume, Error> {
        volume::unseal(&scope::pool()?, &operation, &id)
    }
}

impl snapshots_at_rest::Guest for Loop {
    fn describe() -> Result<snapshots_at_rest::Traits, Error> {
        Ok(snapshots_at_rest::Traits { instant: tree::shares_blocks(&scope::pool()?)? })
    }

    fn take(operation: String, of: String, snapshot: String) -> Result<Volume, Error> {
        volume::take(&scope::pool()?, &operation, &of, &snapshot)
    }
}

impl sizes::Guest for Loop {
    fn describe() -> Result<sizes::Traits, Error> {
        // An xfs does not shrink, and says so itself: a pool may hold disks of every kind.
        Ok(sizes::Traits { strict: true, grows_live: true, shrinks: true, always: true })
    }

    fn get(id: String) -> Result<Option<u64>, Error> {
        size::get_size(&scope::pool()?, &id).map(Some)
    }

    fn set(_operation: String, id: String, size: Option<u64>) -> Result<(), Error> {
        let size = size.ok_or_else(|| error(ErrorKind::Invalid, "a disk always has a size"))?;
        size::set_size(&scope::pool()?, &id, size)
    }
}
