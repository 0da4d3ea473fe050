//! What the core verbs do, one step after the other.
//!
//! The order is what makes them safe to interrupt and to repeat. A volume is there when its layer is, its note is written before
//! its layer is made, and a layer is renamed before it is taken apart. What a snapshot or a restore makes of a volume is
//! decided by one rename: see `snapshot.rs`.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume};
use crate::chain;
use crate::layout::{self, BASE, DELTA, NEXT};
use crate::note::Note;
use crate::pool::Pool;

/// A volume as it was found.
pub struct Found {
    /// What holds now: where the layer has been moved away, the note as it is afterwards.
    pub note: Note,
    /// The name of its layer; none when it is being removed, or not complete.
    pub layer: Option<&'static str>,
    /// Its layer is being copied.
    pub incomplete: bool,
}

impl Found {
    pub fn phase(&self) -> Phase {
        match self.layer {
            Some(_) => self.note.phase,
            None if self.incomplete => Phase::Incomplete,
            None => Phase::Removing,
        }
    }

    /// The volume below; what is being removed needs none any more.
    pub fn parent(&self) -> Option<&str> {
        self.layer.and(self.note.parent.as_deref())
    }

    fn made_by(&self, operation: &str) -> bool {
        self.note.operation.as_deref() == Some(operation)
    }

    fn tell(self, id: &str) -> Volume {
        let parent = self.parent().map(str::to_owned);
        Volume { id: id.to_owned(), phase: self.phase(), parent, operation: self.note.operation }
    }
}

pub fn create(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    if is_made(pool, operation, id)? {
        return get(pool, id);
    }
    Note::new(Phase::Writable, operation, None).save(pool, id)?;
    pool.make(&layout::layer(id, BASE), 0o755)?;
    pool.sync(&layout::layer(id, BASE))?;
    get(pool, id)
}

pub fn seal(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    let found = settle(pool, id)?;
    if let (Phase::Writable, Some(layer)) = (found.phase(), found.layer) {
        pool.sync(&layout::layer(id, layer))?;
        Note { phase: Phase::Sealed, operation: Some(operation.to_owned()), ..found.note }.save(pool, id)?;
    }
    get(pool, id)
}

pub fn remove(pool: &impl Pool, id: &str) -> Result<(), Error> {
    let (removed, of) = (layout::removed(id), layout::container(id));
    // A snapshot that was begun and never taken: its volume still waits for its layer to be moved away.
    if of != id && find(pool, of)?.is_some_and(|found| found.layer.is_some()) {
        settle(pool, of)?;
    }
    if let Some(layer) = find(pool, id)?.and_then(|found| found.layer) {
        // Also, an empty layer that waits for this one to be moved away must not take its place.
        let found = settle(pool, id)?;
        // Nothing was ever built on a volume that can be written.
        if found.phase() == Phase::Sealed {
            chain::refuse_dependents(pool, id, "removed")?;
        }
        // Left over from an earlier volume of this name, if it is there at all.
        pool.remove_tree(&removed)?;
        let layer = if layer == NEXT { DELTA } else { layer };
        pool.rename(&layout::layer(id, layer), &removed)?;
    }
    pool.remove_tree(&layout::work(id))?;
    pool.remove_tree(&layout::copy(id))?;
    pool.remove(&layout::note(id))?;
    pool.remove_tree(&removed)
}

pub fn scan(pool: &impl Pool, after: Option<&str>, limit: usize) -> Result<Vec<Volume>, Error> {
    let mut ids = all(pool)?;
    ids.retain(|id| after.is_none_or(|after| id.as_str() > after));
    ids.sort();
    let mut volumes = Vec::new();
    for id in ids {
        if volumes.len() == limit {
            break;
        }
        volumes.extend(find(pool, &id)?.map(|found| found.tell(&id)));
    }
    Ok(volumes)
}

/// The volume, or `not-found`.
pub fn get(pool: &impl Pool, id: &str) -> Result<Volume, Error> {
    present(pool, id).map(|found| found.tell(id))
}

/// The same with what is known about it here.
pub fn present(pool: &impl Pool, id: &str) -> Result<Found, Error> {
    match find(pool, id)? {
        Some(found) if found.layer.is_some() => Ok(found),
        _ => Err(error(ErrorKind::NotFound, format!("there is no volume {id}"))),
    }
}

/// Whether this operation has made the volume already. Otherwise its name is free afterwards.
pub fn is_made(pool: &impl Pool, operation: &str, id: &str) -> Result<bool, Error> {
    match find(pool, id)? {
        None => Ok(false),
        Some(found) if found.layer.is_none() => remove(pool, id).map(|()| false),
        Some(found) if found.made_by(operation) => Ok(true),
        Some(_) => Err(error(ErrorKind::AlreadyExists, format!("volume {id} exists already"))),
    }
}

/// Ends what an interrupted snapshot or restore has left to do: forwards where the layer was moved away, otherwise backwards.
pub fn settle(pool: &impl Pool, id: &str) -> Result<Found, Error> {
    let found = present(pool, id)?;
    if found.layer == Some(NEXT) {
        found.note.save(pool, id)?;
        pool.rename(&layout::layer(id, NEXT), &layout::layer(id, DELTA))?;
    } else if found.note.next.is_some() {
        pool.remove_tree(&layout::layer(id, NEXT))?;
        Note { next: None, ..found.note }.save(pool, id)?;
    } else {
        return Ok(found);
    }
    present(pool, id)
}

/// The ids of what may be volumes: one for each home there is.
pub fn all(pool: &impl Pool) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for (shelf, prefix) in layout::shelves(&pool.directories("")?) {
        let names = pool.directories(&shelf)?;
        ids.extend(names.iter().filter(|name| !name.starts_with('.')).map(|name| format!("{prefix}{name}")));
    }
    Ok(ids)
}

pub fn find(pool: &impl Pool, id: &str) -> Result<Option<Found>, Error> {
    for layer in [BASE, DELTA, NEXT] {
        if pool.directory(&layout::layer(id, layer))?.is_some() {
            let note = Note::load(pool, id)?;
            let note = if layer == NEXT { note.after() } else { note };
            return Ok(Some(Found { note, layer: Some(layer), incomplete: false }));
        }
    }
    for (path, incomplete) in [(layout::copy(id), true), (layout::removed(id), false)] {
        if pool.directory(&path)?.is_some() {
            return Ok(Some(Found { note: Note::load(pool, id)?, layer: None, incomplete }));
        }
    }
    Ok(None)
}

pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}
