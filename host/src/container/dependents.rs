#![forbid(unsafe_code)]
//! Which containers are built on others, as the storage itself tells.

use super::copy::Volume;
use super::{Error, Host};
use crate::plugin::storage::{Phase, Storage, Volume as Stored};
use crate::plugin::{FailureKind, PluginError};

/// Every volume of a pool.
pub(super) fn volumes(storage: &impl Storage) -> Result<Vec<Stored>, Error> {
    const PAGE: u32 = 1000;
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let page = storage.scan(all.last().map(|volume| volume.id.as_str()), PAGE)?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// The container that a volume belongs to: `web` of `web@before`.
fn base(id: &str) -> &str {
    id.split('@').next().unwrap_or(id)
}

/// The volumes of others that are built on `id` or a snapshot of it, sorted.
pub(super) fn of(storage: &impl Storage, id: &str) -> Result<Vec<String>, Error> {
    Ok(among(&volumes(storage)?, id))
}

fn among(all: &[Stored], id: &str) -> Vec<String> {
    let others = all.iter().filter(|volume| base(&volume.id) != id && volume.phase != Phase::Removing);
    others
        .filter(|volume| volume.parent.as_deref().is_some_and(|parent| base(parent) == id))
        .map(|volume| volume.id.clone())
        .collect()
}

/// Makes a volume that lent itself writable again, unless something is still built on it.
pub(super) fn unseal(host: &Host, volume: &Volume, operation: &str) -> Result<bool, Error> {
    let _ = host;
    match volume.storage.unseal(operation, &volume.id) {
        Ok(_) => Ok(true),
        Err(error) if is_in_use(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_in_use(error: &PluginError) -> bool {
    error.failure() == Some(FailureKind::InUse)
}
