#![forbid(unsafe_code)]
//! Ranges of ids that no two containers share.

use super::idregistry::{IdError, Registry};
use super::{Error, Host, idpools};
use crate::config::Name;
use crate::config::ids::IdMap;

/// A range for a new container, its own until [`release`].
pub(super) fn allocate(host: &Host, name: &Name) -> Result<IdMap, Error> {
    let registry = Registry::open(&host.registry)?;
    let pools = idpools::of_caller(&host.settings.ids)?;
    Ok(registry.allocate(&host.layout.directory(name), &pools)?)
}

/// The container is gone, and its range free.
pub(super) fn release(host: &Host, name: &Name) -> Result<(), Error> {
    Ok(Registry::open(&host.registry)?.release(&host.layout.directory(name))?)
}

impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        Self::Ids(Box::new(error))
    }
}
