//! A backend with one fault that is chosen by its setting `fault`, and with none otherwise: it shows that the suite finds each of them,
//! and that it is the fault which is found. Never to be used.
//!
//! Without a fault it is an honest backend that copies: clones and snapshots are whole trees, and sizes are not to be had.
#![deny(unsafe_code)]

mod volume;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/storage"],
        inline: "
            package wxc:storage-faulty;
            world plugin {
                include wxc:storage/storage-plugin-cow@0.1.0;
                export wxc:storage/snapshots-at-rest@0.1.0;
            }
        ",
        world: "wxc:storage-faulty/plugin",
        generate_all,
    });
    export!(Faulty with_types_in self);
    use super::Faulty;
}

use bindings::exports::wxc::storage::{clones, sizes, snapshots, snapshots_at_rest, volumes};
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::host::{settings, tree};
use bindings::wxc::storage::scope;
use bindings::wxc::storage::types::{Access, Mount, MountSource, Phase, Place, Pool, Volume, VolumeUsage};
use volume::{Store, home, root};

struct Faulty;

/// Whether this is the fault that was chosen.
fn fault(name: &str) -> bool {
    settings::get("fault").as_deref() == Some(name)
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}

fn store() -> Result<Store, Error> {
    scope::pool().map(Store)
}

impl volumes::Guest for Faulty {
    fn open() -> Result<Pool, Error> {
        let room = tree::space(&scope::pool()?)?;
        Ok(Pool { total: room.total, available: room.available, metadata_available: None })
    }

    fn scan(after: Option<String>, limit: u32) -> Result<Vec<Volume>, Error> {
        let mut all = store()?.scan()?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        if fault("scan-order") {
            all.reverse();
        }
        if fault("scan-forgets") {
            all.retain(|volume| !volume.id.contains('@'));
        }
        if !fault("scan-after") {
            all.retain(|volume| after.as_ref().is_none_or(|after| volume.id > *after));
        }
        if fault("scan-short") && all.len() > 2 {
            all.pop();
        }
        all.truncate(limit as usize);
        Ok(all)
    }

    fn create(operation: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        if size.is_some() && !fault("limit-ignored") {
            return Err(error(ErrorKind::Unsupported, "directories have no size of their own"));
        }
        store()?.create(&operation, &id, size)
    }

    fn seal(operation: String, id: String) -> Result<Volume, Error> {
        if fault("seal-panics") {
            panic!("on purpose");
        }
        store()?.seal(&operation, &id)
    }

    fn mounts(id: String, access: Access) -> Result<Vec<Mount>, Error> {
        let store = store()?;
        let volume = store.get(&id)?;
        if fault("mounts-write") {
            tree::write(&store.0, &format!("{}/rootfs.mounted", home(&id)), b"yes", 0o644)?;
        }
        if volume.phase == Phase::Sealed && access == Access::ReadWrite && !fault("sealed-written") {
            return Err(error(ErrorKind::Invalid, format!("volume {id} is sealed: it can only be read")));
        }
        let path = match volume.parent {
            Some(parent) if fault("clone-shares") => root(&parent),
            _ if fault("mounts-outside") => format!("{}/container.toml", home(&id)),
            _ if fault("mounts-other") && id != "db" && store.get("db").is_ok() => root("db"),
            _ => root(&id),
        };
        let source = MountSource::Tree(Place { handle: "pool".to_owned(), path });
        let read_only = access == Access::ReadOnly || fault("mounts-read-only");
        let options = if fault("mounts-option") { vec!["suid".to_owned()] } else { Vec::new() };
        Ok(vec![Mount { source, target: String::new(), read_only, options }])
    }

    fn usage(id: String) -> Result<VolumeUsage, Error> {
        let store = store()?;
        store.get(&id)?;
        let usage = tree::usage(&store.0, &root(&id))?;
        let bytes = if fault("usage-nothing") { 0 } else { usage.bytes };
        Ok(VolumeUsage { exclusive: None, referenced: Some(bytes), entries: Some(usage.entries) })
    }

    fn remove(_operation: String, id: String) -> Result<(), Error> {
        store()?.remove(&id)
    }
}

impl clones::Guest for Faulty {
    fn describe() -> Result<clones::Traits, Error> {
        let pins_parent = fault("parent-lost") || fault("clone-shares");
        Ok(clones::Traits { instant: false, pins_parent })
    }

    fn clone(operation: String, parent: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        if size.is_some() {
            return Err(error(ErrorKind::Unsupported, "directories have no size of their own"));
        }
        let store = store()?;
        if store.get(&parent)?.phase != Phase::Sealed && !fault("clone-of-writable") {
            return Err(error(ErrorKind::Invalid, format!("volume {parent} is not sealed")));
        }
        let told = fault("parent-lost") || fault("clone-shares");
        store.copy(&operation, &parent, &id, Phase::Writable, told.then_some(parent.as_str()))
    }

    fn unseal(operation: String, id: String) -> Result<Volume, Error> {
        store()?.unseal(&operation, &id)
    }
}

impl snapshots::Guest for Faulty {
    fn describe() -> Result<snapshots::Traits, Error> {
        Ok(snapshots::Traits { live: false, instant: false, pins_volume: false })
    }

    fn take(operation: String, of: String, snapshot: String) -> Result<Volume, Error> {
        let store = store()?;
        store.get(&of)?;
        if fault("take-anew") {
            store.remove(&snapshot)?;
        }
        store.copy(&operation, &of, &snapshot, Phase::Sealed, None)
    }

    fn restore_blockers(snapshot: String) -> Result<Vec<String>, Error> {
        store()?.get(&snapshot).map(|_| Vec::new())
    }

    fn restore(operation: String, snapshot: String) -> Result<Volume, Error> {
        store()?.restore(&operation, &snapshot)
    }
}

impl snapshots_at_rest::Guest for Faulty {
    fn describe() -> Result<snapshots_at_rest::Traits, Error> {
        Ok(snapshots_at_rest::Traits { instant: false })
    }

    fn take(operation: String, of: String, snapshot: String) -> Result<Volume, Error> {
        let store = store()?;
        if fault("rest-anew") {
            store.remove(&snapshot)?;
        }
        let taken = store.copy(&operation, &of, &snapshot, Phase::Sealed, None)?;
        if fault("rest-moves") {
            tree::exchange(&store.0, &root(&of), &root(&snapshot))?;
        }
        if fault("rest-forgets") {
            tree::remove(&store.0, &(root(&snapshot) + "/tool"))?;
        }
        Ok(taken)
    }
}

impl sizes::Guest for Faulty {
    fn describe() -> Result<sizes::Traits, Error> {
        none(sizes::Traits { strict: true, grows_live: true, shrinks: false, always: false })
    }

    fn get(id: String) -> Result<Option<u64>, Error> {
        none(store()?.size(&id)?)
    }

    fn set(operation: String, id: String, size: Option<u64>) -> Result<(), Error> {
        none(())?;
        store()?.set_size(&operation, &id, size)
    }
}

/// There are sizes only where they are a lie.
fn none<T>(value: T) -> Result<T, Error> {
    if fault("limit-ignored") {
        return Ok(value);
    }
    Err(error(ErrorKind::Unsupported, "directories have no size of their own"))
}
