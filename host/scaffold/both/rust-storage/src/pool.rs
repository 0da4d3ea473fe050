//! The pool, by calls to the host, and what there is in it.

use crate::bindings::wxc::host::handles::Directory;
use crate::bindings::wxc::host::tree::{self, NodeKind};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume};
use crate::layout::{is_container, note, parse, removed, root, shelf};

/// The volume as the pool shows it. What is there decides; the note only tells more about it.
pub fn find(pool: &Directory, id: &str) -> Result<Option<Volume>, Error> {
    let bytes = found(tree::read(pool, &note(id), 1024))?.unwrap_or_default();
    let (sealed, operation) = parse(&String::from_utf8_lossy(&bytes));
    let phase = if is_directory(pool, &root(id))? {
        if sealed { Phase::Sealed } else { Phase::Writable }
    } else if is_directory(pool, &removed(id))? {
        Phase::Removing
    } else {
        return Ok(None);
    };
    Ok(Some(Volume { id: id.to_owned(), phase, parent: None, operation }))
}

/// The volume, for verbs that need one.
pub fn get(pool: &Directory, id: &str) -> Result<Volume, Error> {
    match find(pool, id)? {
        Some(volume) if volume.phase != Phase::Removing => Ok(volume),
        _ => Err(error(ErrorKind::NotFound, format!("there is no volume {id}"))),
    }
}

/// The ids of everything that could be a volume, by the directories there are.
pub fn ids(pool: &Directory) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for top in directories(pool, "")? {
        if let Some(shelf) = shelf(&top) {
            let below =
                directories(pool, &shelf)?.into_iter().filter(|name| !name.starts_with('.'));
            ids.extend(below.map(|name| format!("{top}@{name}")));
        }
        if is_container(&top) {
            ids.push(top);
        }
    }
    Ok(ids)
}

pub fn write_note(pool: &Directory, id: &str, phase: &str, operation: &str) -> Result<(), Error> {
    tree::write(pool, &note(id), format!("{phase} {operation}").as_bytes(), 0o644)
}

pub fn is_directory(pool: &Directory, path: &str) -> Result<bool, Error> {
    Ok(found(tree::inspect(pool, path))?.is_some_and(|status| status.kind == NodeKind::Directory))
}

/// The directories in a directory, which come a page at a time; none where it is missing.
fn directories(pool: &Directory, path: &str) -> Result<Vec<String>, Error> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = found(tree::entries(pool, path, after.as_deref(), 1000))?.unwrap_or_default();
        let last = page.len() < 1000;
        after = page.last().map(|entry| entry.name.clone());
        names.extend(
            page.into_iter()
                .filter(|entry| entry.kind == NodeKind::Directory)
                .map(|entry| entry.name),
        );
        if last {
            return Ok(names);
        }
    }
}

/// "Not there" is an answer, not a failure.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

pub fn error(kind: ErrorKind, message: String) -> Error {
    Error { kind, message }
}
