//! Storage in ordinary directories: the smallest useful backend, and the first one to read.
//!
//! It exports the core and `sizes`, so the host copies where other backends clone. Reading order:
//! `plugin.toml`, this file beside `wit/storage/volumes.wit`, then `volume.rs`.
#![deny(unsafe_code)]

/// From volume ids to paths.
mod layout;
/// What is remembered of a volume besides its files.
mod note;
/// The pool, by calls to the host.
mod pool;
/// What the verbs do.
mod volume;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/storage"],
        inline: "
            package wxc:storage-dir;
            world plugin {
                include wxc:storage/storage-plugin@0.1.0;
                export wxc:storage/sizes@0.1.0;
            }
        ",
        world: "wxc:storage-dir/plugin",
        generate_all,
    });
    export!(Dir with_types_in self);
    use super::Dir;
}

use bindings::exports::wxc::storage::sizes;
use bindings::exports::wxc::storage::volumes::Guest;
use bindings::wxc::host::tree;
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::storage::scope;
use bindings::wxc::storage::types::{Access, Mount, MountSource, Phase, Place, Pool, Volume, VolumeUsage};
use volume::error;

struct Dir;

impl Guest for Dir {
    fn open() -> Result<Pool, Error> {
        let room = tree::space(&scope::pool()?)?;
        Ok(Pool { total: room.total, available: room.available, metadata_available: None })
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
        let pool = scope::pool()?;
        volume::get(&pool, &id)?;
        let usage = tree::usage(&pool, &layout::root(&id))?;
        Ok(VolumeUsage { exclusive: None, referenced: Some(usage.bytes), entries: Some(usage.entries) })
    }

    fn remove(_operation: String, id: String) -> Result<(), Error> {
        volume::remove(&scope::pool()?, &id)
    }
}

impl sizes::Guest for Dir {
    fn describe() -> Result<sizes::Traits, Error> {
        // Not strict: root of a privileged container can give its files to another project, and ext4 does not limit it at all.
        Ok(sizes::Traits { strict: false, grows_live: true, shrinks: true, always: false })
    }

    fn get(id: String) -> Result<Option<u64>, Error> {
        volume::size(&scope::pool()?, &id)
    }

    fn set(_operation: String, id: String, size: Option<u64>) -> Result<(), Error> {
        volume::set_size(&scope::pool()?, &id, size)
    }
}
