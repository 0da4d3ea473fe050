#![forbid(unsafe_code)]
//! Ranges of ids that no two containers share.

use super::idregistry::{IdError, Registry};
use super::{Error, Host, idpools};
use crate::config::idpool::HostRange;
use crate::config::ids::IdMap;
use crate::config::{Container, Name};
use crate::sys::{own_ids, trusted};
use crate::unpack::{IdMapMode, MapRange};

/// A range for a new container, its own until [`release`].
pub(super) fn allocate(host: &Host, name: &Name) -> Result<IdMap, Error> {
    let registry = Registry::open(&host.registry)?;
    let pools = idpools::of_caller(&host.settings.ids)?;
    Ok(registry.allocate(&host.layout.directory(name), &pools)?)
}

/// The range of another container, for one whose files are that one's, too: a user without privileges can neither
/// give them to other ids nor show them under others. It stays taken until both are gone.
pub(super) fn share(host: &Host, name: &Name, ids: &IdMap) -> Result<(), Error> {
    let registry = Registry::open(&host.registry)?;
    Ok(registry.share(&host.layout.directory(name), ids)?)
}

/// Whether files on disk have the ids of the host, because this caller cannot mount them with others: then
/// two containers that share files share their ids.
pub(super) fn are_shifted(container: &Container) -> bool {
    matches!(id_mode(container), IdMapMode::Userns { .. })
}

/// Lets this process act for the files of every container of this caller: for a user without privileges they
/// belong to subordinate ids ([`own_ids`]). Whoever makes, changes, reads or removes content says so first; the first
/// time counts. Root, and a user who has no such ids, go on as they are.
///
/// # Errors
/// The user has subordinate ids, and cannot act for them.
pub(super) fn act_for_all(host: &Host) -> Result<(), Error> {
    if own_ids::has_power() {
        return Ok(());
    }
    let pools = match idpools::of_caller(&host.settings.ids) {
        Ok(pools) => pools,
        Err(IdError::NoPool { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let ranges = |pool: &[HostRange]| pool.iter().map(|r| (r.first, r.count)).collect::<Vec<_>>();
    // Root is nobody in there, and so are the files that root vouches for.
    trusted::note(host.plugins.directories().chain([host.layout.path.as_path()]));
    own_ids::enter(&ranges(&pools.users), &ranges(&pools.groups)).map_err(|why| Error::Invalid {
        message: format!("cannot act for the ids that containers have ({}): {why}", pools.source),
        hint: "newuidmap and newgidmap (package uidmap) have to be installed set-user-id root, and user namespaces to be \
               allowed: /proc/sys/user/max_user_namespaces"
            .into(),
    })?;
    tracing::debug!(?pools, "entered a user namespace that has all ids of containers");
    Ok(())
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
