//! Storage in layers: a volume is what it changed, over the volume that it is built on.
//!
//! The host mounts the layers of a volume as one overlay; here they are only named, sealed and put in order. Reading order:
//! `storage-dir`, which this one extends; this file beside `wit/storage/*.wit`; `volume.rs`, `clone.rs`, `snapshot.rs`.
#![deny(unsafe_code)]

/// Volumes that are built on others.
mod chain;
/// Clones: an empty layer over a sealed volume.
mod clone;
/// From volume ids to paths.
mod layout;
/// A pool in memory, for the tests.
#[cfg(test)]
mod memory;
/// What is remembered of a volume besides its files.
mod note;
/// The pool, by calls to the host.
mod pool;
/// Notes that follow a container's new name.
mod rename;
/// Snapshots and restores.
mod snapshot;
#[cfg(test)]
mod tests;
/// What the core verbs do.
mod volume;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/storage"],
        inline: "
            package wxc:storage-overlay;
            world plugin {
                include wxc:storage/storage-plugin@0.1.0;
                export wxc:storage/clones@0.1.0;
                export wxc:storage/snapshots@0.1.0;
                export wxc:storage/renames@0.1.0;
                export wxc:storage/snapshots-at-rest@0.1.0;
            }
        ",
        world: "wxc:storage-overlay/plugin",
        generate_all,
    });
    export!(Overlay with_types_in self);
    use super::Overlay;
}

use bindings::exports::wxc::storage::{clones, renames, snapshots, snapshots_at_rest, volumes};
use bindings::wxc::host::tree;
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::storage::scope;
use bindings::wxc::storage::types::{
    Access, Mount, MountSource, OverlayLayer, OverlayUpper, Phase, Place, Pool, Volume, VolumeUsage,
};
use volume::error;

struct Overlay;

/// File systems that the kernel takes no writable side of an overlay from: they lack whiteouts or attributes.
const CANNOT: [&str; 6] = ["overlay", "nfs", "cifs", "fuse", "9p", "vfat"];

impl volumes::Guest for Overlay {
    fn open() -> Result<Pool, Error> {
        let pool = scope::pool()?;
        let filesystem = tree::filesystem(&pool)?;
        if CANNOT.contains(&filesystem.as_str()) {
            let message = format!(
                "{filesystem} cannot hold the writable layer of an overlay: use a directory on ext4, xfs or btrfs"
            );
            return Err(error(ErrorKind::Unsupported, message));
        }
        let room = tree::space(&pool)?;
        Ok(Pool { total: room.total, available: room.available, metadata_available: None })
    }

    fn scan(after: Option<String>, limit: u32) -> Result<Vec<Volume>, Error> {
        volume::scan(&scope::pool()?, after.as_deref(), limit as usize)
    }

    fn create(operation: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        no_size(size)?;
        volume::create(&scope::pool()?, &operation, &id)
    }

    fn seal(operation: String, id: String) -> Result<Volume, Error> {
        volume::seal(&scope::pool()?, &operation, &id)
    }

    fn mounts(id: String, access: Access) -> Result<Vec<Mount>, Error> {
        let pool = scope::pool()?;
        let volume = volume::get(&pool, &id)?;
        let writing = access == Access::ReadWrite;
        if volume.phase == Phase::Sealed && writing {
            return Err(error(ErrorKind::Invalid, format!("volume {id} is sealed: it can only be read")));
        }
        let mut places = chain::layers(&pool, &id)?.into_iter().map(place);
        let source = match (places.len(), places.next()) {
            (1, Some(base)) => MountSource::Tree(base),
            (_, top) if writing => {
                let upper = top.map(|upper| OverlayUpper { upper, work: place(layout::work(&id)) });
                overlay(places, upper)
            }
            (_, top) => overlay(top.into_iter().chain(places), None),
        };
        Ok(vec![Mount { source, target: String::new(), read_only: !writing, options: Vec::new() }])
    }

    fn usage(id: String) -> Result<VolumeUsage, Error> {
        let pool = scope::pool()?;
        let mut usages = Vec::new();
        for layer in chain::layers(&pool, &id)? {
            usages.push(tree::usage(&pool, &layer)?);
        }
        let alone = usages.len() == 1;
        Ok(VolumeUsage {
            exclusive: usages.first().map(|own| own.bytes),
            referenced: Some(usages.iter().map(|layer| layer.bytes).sum()),
            // Of several layers one would have to know what hides what.
            entries: usages.first().filter(|_| alone).map(|own| own.entries),
        })
    }

    fn remove(_operation: String, id: String) -> Result<(), Error> {
        volume::remove(&scope::pool()?, &id)
    }
}

impl clones::Guest for Overlay {
    fn describe() -> Result<clones::Traits, Error> {
        Ok(clones::Traits { instant: true, pins_parent: true })
    }

    fn clone(operation: String, parent: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        no_size(size)?;
        clone::clone(&scope::pool()?, &operation, &parent, &id)
    }

    fn unseal(operation: String, id: String) -> Result<Volume, Error> {
        clone::unseal(&scope::pool()?, &operation, &id)
    }
}

impl snapshots::Guest for Overlay {
    fn describe() -> Result<snapshots::Traits, Error> {
        // A layer that is mounted for writing cannot become another one's.
        Ok(snapshots::Traits { live: false, instant: true, pins_volume: false })
    }

    fn take(operation: String, of: String, snapshot: String) -> Result<Volume, Error> {
        snapshot::take(&scope::pool()?, &operation, &of, &snapshot)
    }

    fn restore_blockers(_snapshot: String) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    fn restore(operation: String, snapshot: String) -> Result<Volume, Error> {
        snapshot::restore(&scope::pool()?, &operation, &snapshot)
    }
}

impl snapshots_at_rest::Guest for Overlay {
    fn describe() -> Result<snapshots_at_rest::Traits, Error> {
        Ok(snapshots_at_rest::Traits { instant: false })
    }

    fn take(operation: String, of: String, snapshot: String) -> Result<Volume, Error> {
        snapshot::take_at_rest(&scope::pool()?, &operation, &of, &snapshot)
    }
}

impl renames::Guest for Overlay {
    fn rename(_operation: String, id: String, new_id: String) -> Result<Volume, Error> {
        rename::rename(&scope::pool()?, &id, &new_id)
    }
}

fn place(path: String) -> Place {
    Place { handle: "pool".to_owned(), path }
}

fn overlay(lower: impl Iterator<Item = Place>, upper: Option<OverlayUpper>) -> MountSource {
    let lower = lower.map(OverlayLayer::Tree).collect();
    MountSource::Overlay(bindings::wxc::storage::types::Overlay { lower, upper })
}

fn no_size(size: Option<u64>) -> Result<(), Error> {
    match size {
        Some(_) => Err(error(ErrorKind::Unsupported, "a directory has no size of its own")),
        None => Ok(()),
    }
}
