//! Back to a snapshot: a new root is made beside the old one, and then their names are exchanged.
//!
//! Exchanging twice would swap back, so what was exchanged is told by UUID: the new root's is in the note before the
//! exchange, and when the root has it, the exchange has happened.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume};
use crate::layout;
use crate::note::Note;
use crate::pool::{Pool, There};
use crate::volume::{error, get, get_in};

pub fn restore(pool: &impl Pool, operation: &str, snapshot: &str) -> Result<Volume, Error> {
    let id = snapshot.split('@').next().unwrap_or(snapshot);
    let (root, new) = (layout::root(id), layout::new(id));
    get_in(pool, id, Phase::Writable)?;
    if !is_restored(pool, operation, id)? {
        get_in(pool, snapshot, Phase::Sealed)?;
        pool.remove(&new)?;
        pool.snapshot(&layout::root(snapshot), &new, false)?;
        // A snapshot has the files and not the limit of what it was taken of.
        if let Some(bytes) = pool.limit(&root)? {
            pool.set_limit(&new, Some(bytes))?;
        }
        let There::Subvolume(uuid) = pool.look(&new)? else {
            return Err(error(ErrorKind::Failed, format!("{new} went away")));
        };
        Note { restored: Some(uuid), ..Note::new(Phase::Writable, operation) }.save(pool, id)?;
        pool.exchange(&root, &new)?;
    }
    pool.remove(&new)?;
    get(pool, id)
}

/// Whether this operation has exchanged the roots already.
fn is_restored(pool: &impl Pool, operation: &str, id: &str) -> Result<bool, Error> {
    let note = Note::load(pool, id)?;
    let Some(uuid) = note.restored.filter(|_| note.operation.as_deref() == Some(operation)) else {
        return Ok(false);
    };
    Ok(pool.look(&layout::root(id))? == There::Subvolume(uuid))
}
