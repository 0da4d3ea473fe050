//! Snapshots: the layer of a volume becomes the snapshot, and an empty one takes its place.
//!
//! Both verbs prepare everything beside the volume and then move its layer away, with one rename. Before that rename nothing
//! has happened. After it the volume is what was prepared: the layer `delta.next`, and in the note what holds `next`.
//! `volume::settle` gives both their usual names.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume};
use crate::clone::{clone, make_layer, make_work};
use crate::layout::{self, DELTA, NEXT};
use crate::note::{Next, Note};
use crate::pool::Pool;
use crate::volume::{self, Found, error};
use crate::{chain, layout::container};

pub fn take(pool: &impl Pool, operation: &str, of: &str, snapshot: &str) -> Result<Volume, Error> {
    check(snapshot, of)?;
    if volume::is_made(pool, operation, snapshot)? {
        volume::settle(pool, of)?;
        return volume::get(pool, snapshot);
    }
    let found = writable(pool, of)?;
    chain::refuse_too_many(pool, of)?;
    let Some(layer) = found.layer else { return volume::get(pool, snapshot) };
    let path = layout::layer(of, layer);
    pool.sync(&path)?;
    Note::new(Phase::Sealed, operation, found.parent()).save(pool, snapshot)?;
    let next = Next { parent: snapshot.to_owned(), operation: None };
    exchange(pool, of, found.note, next, of, (&path, &layout::layer(snapshot, layer)))?;
    // With its own name the name of the layer beside it is on the disk.
    pool.sync(&layout::note(snapshot))?;
    volume::settle(pool, of)?;
    volume::get(pool, snapshot)
}

/// A layer that is mounted has to stay where it is: the snapshot gets a copy of it, over the same layers below.
pub fn take_at_rest(pool: &impl Pool, operation: &str, of: &str, snapshot: &str) -> Result<Volume, Error> {
    check(snapshot, of)?;
    if volume::is_made(pool, operation, snapshot)? {
        return volume::get(pool, snapshot);
    }
    let found = volume::present(pool, of)?;
    if found.phase() != Phase::Writable {
        return Err(sealed(of));
    }
    let Some(layer) = found.layer else { return volume::get(pool, snapshot) };
    let (copy, name) = (layout::copy(snapshot), if layer == NEXT { DELTA } else { layer });
    Note::new(Phase::Sealed, operation, found.parent()).save(pool, snapshot)?;
    pool.copy_tree(&layout::layer(of, layer), &copy)?;
    pool.sync(&copy)?;
    pool.rename(&copy, &layout::layer(snapshot, name))?;
    pool.sync(&layout::note(snapshot))?;
    volume::get(pool, snapshot)
}

pub fn restore(pool: &impl Pool, operation: &str, snapshot: &str) -> Result<Volume, Error> {
    let of = container(snapshot);
    check(snapshot, of)?;
    if volume::present(pool, snapshot)?.phase() != Phase::Sealed {
        return Err(error(
            ErrorKind::Invalid,
            format!("volume {snapshot} is not a snapshot that is complete"),
        ));
    }
    match volume::find(pool, of)?.filter(|found| found.layer.is_some()) {
        // It is gone, and comes back.
        None => return clone(pool, operation, snapshot, of),
        Some(found) if found.phase() == Phase::Sealed => {
            chain::refuse_dependents(pool, of, "restored")?;
        }
        Some(_) => {}
    }
    if volume::present(pool, of)?.note.operation.as_deref() == Some(operation) {
        // Restored by an earlier call. What cannot be tidied up now, the next change of the volume does.
        let _tidied = volume::settle(pool, of).and_then(|_| pool.remove_tree(&layout::removed(of)));
        return volume::get(pool, of);
    }
    let found = writable(pool, of)?;
    pool.remove_tree(&layout::removed(of))?;
    let path = layout::layer(of, found.layer.unwrap_or(NEXT));
    let next = Next { parent: snapshot.to_owned(), operation: Some(operation.to_owned()) };
    exchange(pool, of, found.note, next, snapshot, (&path, &layout::removed(of)))?;
    volume::settle(pool, of)?;
    pool.remove_tree(&layout::removed(of))?;
    volume::get(pool, of)
}

/// Moves the layer of a volume away, to another name, when everything that it is made of from then on is beside it and on the
/// disk. The empty layer gets the permissions of the one of `like`.
fn exchange(
    pool: &impl Pool,
    of: &str,
    note: Note,
    next: Next,
    like: &str,
    (layer, away): (&str, &str),
) -> Result<(), Error> {
    let prepare = || {
        Note { next: Some(next), ..note }.save(pool, of)?;
        make_work(pool, of)?;
        make_layer(pool, like, &layout::layer(of, NEXT))?;
        pool.sync(&layout::layer(of, NEXT))?;
        pool.rename(layer, away)
    };
    prepare().inspect_err(|_| {
        // Of no use to anybody; if it stays, because the disk is full or worse, the next one who changes the volume removes it.
        let _removed = volume::settle(pool, of);
    })
}

fn writable(pool: &impl Pool, of: &str) -> Result<Found, Error> {
    let found = volume::settle(pool, of)?;
    match found.phase() {
        Phase::Writable => Ok(found),
        _ => Err(sealed(of)),
    }
}

fn sealed(of: &str) -> Error {
    error(ErrorKind::Invalid, format!("volume {of} is sealed: its content does not change"))
}

fn check(snapshot: &str, of: &str) -> Result<(), Error> {
    let names = snapshot.split_once('@').is_some_and(|(container, _)| container == of);
    if names && !of.starts_with('.') {
        return Ok(());
    }
    Err(error(ErrorKind::Invalid, format!("{snapshot} is not the name of a snapshot of {of}")))
}
