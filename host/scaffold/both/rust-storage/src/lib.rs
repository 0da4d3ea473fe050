//! A storage backend: each root file system in a plain directory. The functions stand in `wit/deps/storage/volumes.wit`.
//!
//! Every call gets a fresh instance of this component, and may be the last: what it leaves behind has to be whole, or to be
//! seen as unfinished. So the order of the steps is what matters here.

/// Where the parts of a volume are, and what its note says.
mod layout;
/// The pool, by calls to the host, and what there is in it.
mod pool;

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

use bindings::exports::wxc::storage::volumes::Guest;
use bindings::wxc::host::tree;
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::storage::scope;
use bindings::wxc::storage::types::{
    Access, Mount, MountSource, Phase, Place, Pool, Volume, VolumeUsage,
};
use layout::{note, removed, root};
use pool::{error, find, get};

struct Plugin;

impl Guest for Plugin {
    fn open() -> Result<Pool, Error> {
        let room = tree::space(&scope::pool()?)?;
        Ok(Pool { total: room.total, available: room.available, metadata_available: None })
    }

    fn scan(after: Option<String>, limit: u32) -> Result<Vec<Volume>, Error> {
        let pool = scope::pool()?;
        let mut ids = pool::ids(&pool)?;
        // By the bytes of the ids: `a-b` comes before `a@s`, whatever the directories say.
        ids.sort();
        ids.retain(|id| after.as_ref().is_none_or(|after| id > after));
        let mut volumes = Vec::new();
        for id in &ids {
            if volumes.len() == limit as usize {
                break;
            }
            volumes.extend(find(&pool, id)?);
        }
        Ok(volumes)
    }

    fn create(operation: String, id: String, size: Option<u64>) -> Result<Volume, Error> {
        if size.is_some() {
            return Err(error(
                ErrorKind::Unsupported,
                "a directory has no size of its own".to_owned(),
            ));
        }
        let pool = scope::pool()?;
        match find(&pool, &id)? {
            None => {}
            Some(old) if old.phase == Phase::Removing => {
                Self::remove(operation.clone(), id.clone())?
            }
            Some(mine) if mine.operation.as_deref() == Some(&operation) => return Ok(mine),
            Some(_) => {
                return Err(error(ErrorKind::AlreadyExists, format!("volume {id} exists already")));
            }
        }
        // The note first: a root without one would be nobody's, and the repeated call would not know it as its own.
        pool::write_note(&pool, &id, "writable", &operation)?;
        tree::make_directory(&pool, &root(&id), 0o755)?;
        tree::sync(&pool, &root(&id))?;
        get(&pool, &id)
    }

    fn seal(operation: String, id: String) -> Result<Volume, Error> {
        let pool = scope::pool()?;
        if get(&pool, &id)?.phase != Phase::Sealed {
            tree::sync(&pool, &root(&id))?;
            pool::write_note(&pool, &id, "sealed", &operation)?;
        }
        get(&pool, &id)
    }

    fn mounts(id: String, access: Access) -> Result<Vec<Mount>, Error> {
        let volume = get(&scope::pool()?, &id)?;
        if volume.phase == Phase::Sealed && access == Access::ReadWrite {
            return Err(error(
                ErrorKind::Invalid,
                format!("volume {id} is sealed: it can only be read"),
            ));
        }
        let source = MountSource::Tree(Place { handle: "pool".to_owned(), path: root(&id) });
        let read_only = access == Access::ReadOnly;
        Ok(vec![Mount { source, target: String::new(), read_only, options: Vec::new() }])
    }

    fn usage(id: String) -> Result<VolumeUsage, Error> {
        let pool = scope::pool()?;
        get(&pool, &id)?;
        let usage = tree::usage(&pool, &root(&id))?;
        Ok(VolumeUsage {
            exclusive: None,
            referenced: Some(usage.bytes),
            entries: Some(usage.entries),
        })
    }

    fn remove(_operation: String, id: String) -> Result<(), Error> {
        let pool = scope::pool()?;
        if pool::is_directory(&pool, &root(&id))? {
            // Of an earlier volume of this name, if it is there at all. From the rename on the volume is gone.
            tree::remove_tree(&pool, &removed(&id))?;
            tree::rename(&pool, &root(&id), &removed(&id))?;
        }
        tree::remove(&pool, &note(&id))?;
        tree::remove_tree(&pool, &removed(&id))
    }
}
