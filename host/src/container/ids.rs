#![forbid(unsafe_code)]
//! Ranges of ids that no two containers share.

use super::idregistry::{IdError, Registry};
use super::{Error, Host, idpools};
use crate::config::ids::IdMap;
use crate::config::{Container, Name};
use crate::unpack::{IdMapMode, MapRange};

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

/// The container has another name now.
pub(super) fn rename(host: &Host, from: &Name, to: &Name) -> Result<(), Error> {
    let registry = Registry::open(&host.registry)?;
    Ok(registry.rename(&host.layout.directory(from), &host.layout.directory(to))?)
}

impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        Self::Ids(Box::new(error))
    }
}

/// Whose ids files get on disk: root keeps the container's own, which the mount shifts; a user
/// without privileges writes the shifted ones.
pub(super) fn id_mode(container: &Container) -> IdMapMode {
    if rustix::process::geteuid().is_root() || container.privileged {
        let count =
            container.ids.users.iter().map(|range| range.container.0.saturating_add(range.count)).max();
        return IdMapMode::AsIs { max: count.unwrap_or(u32::MAX) };
    }
    let ranges = |ranges: &[crate::config::ids::IdRange]| {
        ranges.iter().map(|r| MapRange { inside: r.container.0, outside: r.host.0, count: r.count }).collect()
    };
    IdMapMode::Userns { uids: ranges(&container.ids.users), gids: ranges(&container.ids.groups) }
}
