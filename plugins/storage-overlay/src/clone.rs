//! Clones: an empty layer over a sealed volume.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume};
use crate::chain;
use crate::layout::{self, DELTA};
use crate::note::Note;
use crate::pool::Pool;
use crate::volume::{self, error};

pub fn clone(pool: &impl Pool, operation: &str, parent: &str, id: &str) -> Result<Volume, Error> {
    if volume::is_made(pool, operation, id)? {
        return volume::get(pool, id);
    }
    if volume::present(pool, parent)?.phase() != Phase::Sealed {
        let message = format!("volume {parent} can still be written: only a sealed one can be cloned");
        return Err(error(ErrorKind::Invalid, message));
    }
    chain::refuse_too_many(pool, parent)?;
    Note::new(Phase::Writable, operation, Some(parent)).save(pool, id)?;
    make_work(pool, id)?;
    make_layer(pool, parent, &layout::layer(id, DELTA))?;
    volume::get(pool, id)
}

pub fn unseal(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    let found = volume::present(pool, id)?;
    if found.phase() == Phase::Sealed {
        chain::refuse_dependents(pool, id, "made writable")?;
        if found.note.parent.is_some() {
            // What was made as a snapshot was never mounted for writing.
            make_work(pool, id)?;
        }
        let note = Note { phase: Phase::Writable, operation: Some(operation.to_owned()), ..found.note };
        note.save(pool, id)?;
    }
    volume::get(pool, id)
}

/// An empty layer over `parent`. The root of an overlay is that of its topmost layer, so it has the permissions
/// of the one below.
pub fn make_layer(pool: &impl Pool, parent: &str, path: &str) -> Result<(), Error> {
    let below = volume::present(pool, parent)?.layer.unwrap_or(DELTA);
    let permissions = pool.directory(&layout::layer(parent, below))?.unwrap_or(0o755);
    pool.make(path, permissions)
}

/// The kernel's work directory, if it is not there yet.
pub fn make_work(pool: &impl Pool, id: &str) -> Result<(), Error> {
    match pool.directory(&layout::work(id))? {
        Some(_) => Ok(()),
        None => pool.make(&layout::work(id), 0o700),
    }
}
