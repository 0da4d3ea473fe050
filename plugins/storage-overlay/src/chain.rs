//! Volumes that are built on others: downwards their layers, upwards their dependents.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::layout;
use crate::pool::Pool;
use crate::volume::{self, Found, error};

/// The most layers that a mount plan may name (`overlay.lower`). A volume that is only read shows its own layer as one of them.
pub const MOST: usize = 128;

/// The layers of a volume, as paths in the pool: its own first, the base last.
pub fn layers(pool: &impl Pool, id: &str) -> Result<Vec<String>, Error> {
    let own = volume::present(pool, id)?;
    let (mut layers, mut parent) = (named(id, &own).collect::<Vec<_>>(), own.note.parent);
    while let Some(below) = parent {
        let broken =
            |what| error(ErrorKind::Integrity, format!("volume {id} is built on {below}, which {what}"));
        if layers.len() == MOST {
            return Err(broken("is one layer too many: is it built on itself?"));
        }
        let found = volume::find(pool, &below)?.filter(|found| found.layer.is_some());
        let found = found.ok_or_else(|| broken("is not there"))?;
        layers.extend(named(&below, &found));
        parent = found.note.parent;
    }
    Ok(layers)
}

fn named(id: &str, found: &Found) -> impl Iterator<Item = String> {
    found.layer.map(|layer| layout::layer(id, layer)).into_iter()
}

/// Refuses to build on a volume that has as many layers as can be mounted.
pub fn refuse_too_many(pool: &impl Pool, id: &str) -> Result<(), Error> {
    if layers(pool, id)?.len() < MOST {
        return Ok(());
    }
    let message =
        format!("volume {id} has {MOST} layers, and there cannot be more; a full copy of it has only one");
    Err(error(ErrorKind::Unsupported, message))
}

/// The volumes that are built on this one.
pub fn dependents(pool: &impl Pool, id: &str) -> Result<Vec<String>, Error> {
    let mut dependents = Vec::new();
    for other in volume::all(pool)? {
        let found = volume::find(pool, &other)?;
        if found.is_some_and(|found| found.parent() == Some(id)) {
            dependents.push(other);
        }
    }
    dependents.sort();
    Ok(dependents)
}

/// `in-use` with the names of the dependents, if there are any.
pub fn refuse_dependents(pool: &impl Pool, id: &str, done: &str) -> Result<(), Error> {
    let dependents = dependents(pool, id)?;
    if dependents.is_empty() {
        return Ok(());
    }
    let names = dependents.join(", ");
    Err(error(
        ErrorKind::InUse,
        format!("volume {id} cannot be {done}: {names} would lose what it is built on"),
    ))
}
