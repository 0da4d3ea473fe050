//! What the verbs of a volume do, one step after the other.
//!
//! The order is what makes them safe to interrupt and to repeat: a volume is there when its root is, its note is
//! written before its root appears, and a root gets another name before it is taken apart.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume, VolumeUsage};
use crate::layout;
use crate::note::Note;
use crate::pool::{Pool, There};

pub fn create(pool: &impl Pool, operation: &str, id: &str, size: Option<u64>) -> Result<Volume, Error> {
    if let Some(volume) = claim(pool, operation, id)? {
        return Ok(volume);
    }
    build(pool, operation, id, Phase::Writable, &|new| {
        pool.make(new)?;
        if size.is_some() { pool.set_limit(new, size) } else { Ok(()) }
    })
}

/// Makes `id` of `from`: writable, or sealed as a point in time.
pub fn copy(
    pool: &impl Pool,
    operation: &str,
    (from, id): (&str, &str),
    phase: Phase,
    size: Option<u64>,
) -> Result<Volume, Error> {
    if let Some(volume) = claim(pool, operation, id)? {
        return Ok(volume);
    }
    let (from, sealed) = (layout::root(from), phase == Phase::Sealed);
    if size.is_none() && pool.below(&from)?.is_empty() {
        // One step of the file system's, which makes it durable, too.
        pool.remove(&layout::new(id))?;
        Note::new(phase, operation).save(pool, id)?;
        pool.snapshot(&from, &layout::root(id), sealed)?;
        return get(pool, id);
    }
    let volume = build(pool, operation, id, phase, &|new| {
        pool.snapshot(&from, new, sealed)?;
        if size.is_some() { pool.set_limit(new, size) } else { Ok(()) }
    })?;
    if sealed {
        pool.sync(&layout::root(id))?;
    }
    Ok(volume)
}

/// A point in time of `of`.
pub fn take(pool: &impl Pool, operation: &str, of: &str, snapshot: &str) -> Result<Volume, Error> {
    get(pool, of)?;
    copy(pool, operation, (of, snapshot), Phase::Sealed, None)
}

/// The sync comes first, because from the note on it may become a parent; the flag is for whoever reaches
/// the files in another way than through us.
pub fn seal(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    if get(pool, id)?.phase != Phase::Sealed {
        pool.sync(&layout::root(id))?;
        Note::new(Phase::Sealed, operation).save(pool, id)?;
    }
    pool.protect(&layout::root(id), true)?;
    get(pool, id)
}

/// The other way round. Nothing ever depends on a volume here: a clone shares blocks, and needs nobody.
pub fn unseal(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    let phase = get(pool, id)?.phase;
    pool.protect(&layout::root(id), false)?;
    if phase == Phase::Sealed {
        Note::new(Phase::Writable, operation).save(pool, id)?;
    }
    get(pool, id)
}

pub fn remove(pool: &impl Pool, id: &str) -> Result<(), Error> {
    let (root, removed) = (layout::root(id), layout::removed(id));
    match pool.look(&root)? {
        There::Subvolume(_) => {
            // Left over from an earlier volume of this name, if it is there at all.
            pool.remove(&removed)?;
            pool.rename(&root, &removed)?;
        }
        There::Other => return Err(in_the_way(id)),
        There::Nothing => {}
    }
    pool.remove(&layout::new(id))?;
    pool.forget(&layout::note(id))?;
    pool.remove(&removed)
}

pub fn usage(pool: &impl Pool, id: &str) -> Result<VolumeUsage, Error> {
    get(pool, id)?;
    let root = layout::root(id);
    let Some(mut all) = pool.usage(&root)? else {
        let (bytes, entries) = pool.count(&root)?;
        return Ok(VolumeUsage { exclusive: None, referenced: Some(bytes), entries: Some(entries) });
    };
    // A quota group counts one subvolume, and not those that the container made inside it.
    for inside in pool.below(&root)? {
        if let Some(more) = pool.usage(&format!("{root}/{inside}"))? {
            all.referenced += more.referenced;
            all.exclusive += more.exclusive;
        }
    }
    Ok(VolumeUsage { exclusive: Some(all.exclusive), referenced: Some(all.referenced), entries: None })
}

pub fn set_size(pool: &impl Pool, id: &str, size: Option<u64>) -> Result<(), Error> {
    if get(pool, id)?.phase == Phase::Sealed {
        return Err(error(ErrorKind::Invalid, format!("volume {id} is sealed: its size is what it has")));
    }
    let root = layout::root(id);
    let Some(bytes) = size else { return pool.set_limit(&root, None) };
    let fits = || {
        // The counts are those of the last commit.
        pool.sync(&root)?;
        Ok::<_, Error>(pool.usage(&root)?.map(|usage| usage.referenced <= bytes))
    };
    let too_small =
        || error(ErrorKind::Invalid, format!("what is in volume {id} does not fit into {bytes} bytes"));
    match fits()? {
        Some(true) => pool.set_limit(&root, size),
        Some(false) => Err(too_small()),
        // Nobody has counted yet: the first limit makes the file system do it.
        None => {
            pool.set_limit(&root, size)?;
            if fits()? == Some(false) {
                pool.set_limit(&root, None)?;
                return Err(too_small());
            }
            Ok(())
        }
    }
}

pub fn scan(pool: &impl Pool, after: Option<&str>, limit: usize) -> Result<Vec<Volume>, Error> {
    let mut volumes = Vec::new();
    for (shelf, prefix) in layout::shelves(&pool.directories("")?) {
        for name in pool.directories(&shelf)?.iter().filter(|name| !name.starts_with('.')) {
            let id = format!("{prefix}{name}");
            if after.is_none_or(|after| id.as_str() > after) {
                volumes.extend(find(pool, &id)?);
            }
        }
    }
    volumes.sort_by(|a, b| a.id.cmp(&b.id));
    volumes.truncate(limit);
    Ok(volumes)
}

/// The volume, or `not-found`.
pub fn get(pool: &impl Pool, id: &str) -> Result<Volume, Error> {
    match find(pool, id)? {
        Some(volume) if matches!(volume.phase, Phase::Writable | Phase::Sealed) => Ok(volume),
        _ => Err(error(ErrorKind::NotFound, format!("there is no volume {id}"))),
    }
}

/// The volume, which has to be sealed, or writable.
pub fn get_in(pool: &impl Pool, id: &str, phase: Phase) -> Result<Volume, Error> {
    let volume = get(pool, id)?;
    let word = if phase == Phase::Sealed { "sealed" } else { "writable" };
    if volume.phase == phase {
        Ok(volume)
    } else {
        Err(error(ErrorKind::Invalid, format!("volume {id} is not {word}")))
    }
}

pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}

/// What is there under this name, if this operation made it; otherwise the name is free afterwards.
fn claim(pool: &impl Pool, operation: &str, id: &str) -> Result<Option<Volume>, Error> {
    match find(pool, id)? {
        Some(volume) if volume.phase == Phase::Removing => remove(pool, id).map(|()| None),
        Some(volume) if volume.phase == Phase::Incomplete => Ok(None),
        Some(volume) if volume.operation.as_deref() == Some(operation) => Ok(Some(volume)),
        Some(_) => Err(error(ErrorKind::AlreadyExists, format!("volume {id} exists already"))),
        None if pool.look(&layout::root(id))? == There::Other => Err(in_the_way(id)),
        None => Ok(None),
    }
}

/// Makes a root under another name, which it loses when all of it is there.
fn build(
    pool: &impl Pool,
    operation: &str,
    id: &str,
    phase: Phase,
    make: &dyn Fn(&str) -> Result<(), Error>,
) -> Result<Volume, Error> {
    let new = layout::new(id);
    pool.remove(&new)?;
    Note::new(phase, operation).save(pool, id)?;
    make(&new)?;
    pool.rename(&new, &layout::root(id))?;
    get(pool, id)
}

fn in_the_way(id: &str) -> Error {
    let message = format!(
        "{} is an ordinary directory and no subvolume: it belongs to another storage",
        layout::root(id)
    );
    error(ErrorKind::AlreadyExists, message)
}

fn find(pool: &impl Pool, id: &str) -> Result<Option<Volume>, Error> {
    let is_there = |path: String| Ok::<_, Error>(matches!(pool.look(&path)?, There::Subvolume(_)));
    let phase = if is_there(layout::root(id))? {
        None
    } else if is_there(layout::removed(id))? {
        Some(Phase::Removing)
    } else if is_there(layout::new(id))? {
        Some(Phase::Incomplete)
    } else {
        return Ok(None);
    };
    let note = Note::load(pool, id)?;
    Ok(Some(Volume {
        id: id.to_owned(),
        phase: phase.unwrap_or(note.phase),
        parent: None,
        operation: note.operation,
    }))
}
