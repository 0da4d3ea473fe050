#![forbid(unsafe_code)]
//! Which containers are built on others, as the storage itself tells.
//!
//! A stopped container lends its storage to a clone by being sealed: from then on it can be neither started
//! nor destroyed, until nothing is built on it any more and it is unsealed again, by whoever needs it next.
//! What is destroyed all the same (`-f`) is gone as a container, and its storage is *kept* until the last
//! clone goes: nothing that somebody has is ever broken.

use std::fs;
use std::io;

use super::journal::{self, Intent, Survives};
use super::layout::{KEPT, LENT};
use super::{Error, Host, leftover, plugins, snapshot, store};
use crate::config::{Container, Name, toml};
use crate::plugin::storage::{Access, Phase, Storage, Volume as Stored};
use crate::plugin::{FailureKind, PluginError, StoragePlugin};

/// What depends on a container, and what it depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ties {
    /// The volume below it: `web`, `web@before` or `.images@DIGEST`.
    pub parent: Option<String>,
    /// The containers that are built on it, sorted.
    pub clones: Vec<String>,
}

/// The ties of a container, from a look at everything in its storage. Without clones in that storage there are none.
pub(super) fn of(host: &Host, name: &Name, container: &Container) -> Result<Ties, Error> {
    let mut ties = Ties::default();
    for storage in storages(host, name, container)? {
        if storage.abilities().clones {
            let found = among(&volumes(&storage)?, volume_id(name, container));
            ties.parent = ties.parent.or(found.parent);
            for clone in found.clones {
                ties.clones.extend(standing(host, clone)?);
            }
        }
    }
    ties.clones.sort();
    ties.clones.dedup();
    Ok(ties)
}

/// A clone that is itself only kept stands for those that it is kept for: they are what a person can see.
fn standing(host: &Host, clone: String) -> Result<Vec<String>, Error> {
    match clone.parse::<Name>() {
        Ok(name) if leftover::look(host, &name) == leftover::Kind::Kept => {
            let others = kept_for(host, &name)?;
            Ok(if others.is_empty() { vec![clone] } else { others })
        }
        _ => Ok(vec![clone]),
    }
}

fn volume_id<'a>(name: &'a Name, container: &'a Container) -> &'a str {
    container.rootfs.volume.as_deref().unwrap_or(name.as_str())
}

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

/// What is built on the volume `id` or its snapshots, and what these are built on that is somebody else's.
fn among(all: &[Stored], id: &str) -> Ties {
    let mut ties = Ties::default();
    for volume in all.iter().filter(|volume| volume.phase != Phase::Removing) {
        let Some(parent) = volume.parent.as_deref() else { continue };
        match (base(&volume.id) == id, base(parent) == id) {
            (true, false) => ties.parent = Some(parent.to_owned()),
            (false, true) => ties.clones.push(base(&volume.id).to_owned()),
            (true, true) | (false, false) => {}
        }
    }
    ties.clones.sort();
    ties.clones.dedup();
    ties
}

/// The parents of all containers of a storage, by container: one look instead of one for each.
///
/// # Errors
/// The storage cannot be asked.
pub fn parents(host: &Host, storage: &str) -> Result<Vec<(String, String)>, Error> {
    let storage = plugins::load_storage(host, storage)?;
    if !storage.abilities().clones {
        return Ok(Vec::new());
    }
    let all = volumes(&storage)?;
    let own = all.iter().filter(|volume| !volume.id.contains('@'));
    Ok(own.filter_map(|volume| Some((volume.id.clone(), among(&all, &volume.id).parent?))).collect())
}

/// The storages that know of a container's volume: its own, and those of clones.
pub(super) fn storages(
    host: &Host,
    name: &Name,
    container: &Container,
) -> Result<impl Iterator<Item = StoragePlugin>, Error> {
    let own = plugins::load_storage(host, &container.rootfs.storage)?;
    Ok(std::iter::once(own).chain(lenders(host, name)?))
}

/// Other storages that a container has lent its volume to: those of clones that are on another storage than it is.
fn lenders(host: &Host, name: &Name) -> Result<Vec<StoragePlugin>, Error> {
    let path = host.layout.directory(name).join(LENT);
    match fs::read_to_string(&path) {
        Ok(text) => text.lines().map(|storage| plugins::load_storage(host, storage)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// Remembers that a container's volume is used by another storage than its own, which cannot tell.
pub(super) fn remember_lender(host: &Host, name: &Name, storage: &str) -> Result<(), Error> {
    let path = host.layout.directory(name).join(LENT);
    let known = fs::read_to_string(&path).unwrap_or_default();
    if known.lines().any(|line| line == storage) {
        return Ok(());
    }
    store::replace(&path, format!("{known}{storage}\n").as_bytes())
}

/// A sealed volume becomes writable again unless something is built on it; the error says what.
pub(super) fn reclaim(
    host: &Host,
    name: &Name,
    container: &Container,
    verb: &'static str,
) -> Result<(), Error> {
    let ties = of(host, name, container)?;
    if !ties.clones.is_empty() {
        return Err(in_use(name, ties.clones, verb));
    }
    let operation = plugins::operation("unseal");
    for storage in storages(host, name, container)? {
        if storage.abilities().clones {
            unseal(&storage, volume_id(name, container), &operation)?;
        }
    }
    match fs::remove_file(host.layout.directory(name).join(LENT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("forget a clone of", &host.layout.directory(name))(error))
        }
        _ => Ok(()),
    }
}

/// Sees to it that a stopped container's volume can be written, before something is done that needs it so: it may
/// have lent itself to clones that are gone since.
pub(super) fn regain(
    host: &Host,
    name: &Name,
    container: &Container,
    storage: &impl Storage,
    verb: &'static str,
) -> Result<(), Error> {
    match storage.mounts(volume_id(name, container), Access::ReadWrite) {
        Err(error) if is(&error, FailureKind::Invalid) => reclaim(host, name, container, verb),
        // It went away, and may come back from a snapshot.
        Err(error) if is(&error, FailureKind::NotFound) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Makes a sealed volume writable again; one that others are built on stays as it is.
pub(super) fn unseal(storage: &impl Storage, id: &str, operation: &str) -> Result<(), Error> {
    match storage.unseal(operation, id) {
        Err(error) if !is(&error, FailureKind::InUse) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Whether an error of a storage may mean that the volume is sealed.
pub(super) fn may_be_sealed(error: &Error) -> bool {
    // What a hook calls invalid has nothing to do with it, and the hook is not to be asked twice.
    let of_storage =
        |error: &PluginError| error.who_reported().is_some_and(|who| who.name.starts_with("storage-"));
    matches!(error, Error::Plugin(error) if is(error, FailureKind::Invalid) && of_storage(error))
}

fn is(error: &PluginError, kind: FailureKind) -> bool {
    error.failure() == Some(kind)
}

/// The error for what others are built on.
pub(super) fn in_use(name: &Name, clones: Vec<String>, verb: &'static str) -> Error {
    Error::InUse { name: name.to_string(), clones, verb }
}

/// After something that was built on `parent` is gone: removes what was only there for it. `storage` is that
/// of what is gone.
///
/// # Errors
/// It cannot be removed; then it stays, and does no harm.
pub(super) fn let_go(host: &Host, storage: &str, parent: &str) -> Result<(), Error> {
    let Ok(owner) = base(parent).parse::<Name>() else { return Ok(()) };
    // Whoever works on it looks by itself; waiting here could be waiting for each other.
    let Some(mut claim) = journal::try_claim(host, &[&owner], "tidy")? else { return Ok(()) };
    if is_hidden(host, parent) {
        let storage = plugins::load_storage(host, storage)?;
        if !volumes(&storage)?.iter().any(|volume| volume.parent.as_deref() == Some(parent)) {
            remove_hidden(host, &storage, parent)?;
        }
    }
    if leftover::look(host, &owner) == leftover::Kind::Kept {
        match drop_kept(host, &owner) {
            Err(Error::InUse { .. }) => {}
            other => {
                other?;
                claim.discard(&owner);
            }
        }
    }
    Ok(())
}

/// Removes a storage that was kept for others. The caller holds the lock.
///
/// # Errors
/// Others are still built on it.
pub(super) fn drop_kept(host: &Host, name: &Name) -> Result<(), Error> {
    let container = kept(host, name)?;
    let ties = of(host, name, &container)?;
    if !ties.clones.is_empty() {
        return Err(in_use(name, ties.clones, "removed"));
    }
    let storage = container.rootfs.storage;
    let intent = Intent::Destroy { name: name.clone(), storage: storage.clone() };
    journal::perform(host, &intent, Survives::PowerLoss, |operation| {
        leftover::remove(host, name, operation.id(), None)
    })?;
    tracing::info!(%name, "removed what was kept");
    match &ties.parent {
        Some(parent) => let_go(host, &storage, parent),
        None => Ok(()),
    }
}

/// Whether a volume is a snapshot that a copy made for itself: no person has named it.
fn is_hidden(host: &Host, id: &str) -> bool {
    id.split_once('@').is_some_and(|(of, snapshot)| {
        snapshot.starts_with("copy-")
            && host.layout.path.join(of).is_dir()
            && !host.layout.path.join(of).join("snaps").join(snapshot).join("snapshot.toml").exists()
    })
}

/// Removes such a snapshot with its directory.
pub(super) fn remove_hidden(host: &Host, storage: &impl Storage, id: &str) -> Result<(), Error> {
    storage.remove(&plugins::operation("remove"), id)?;
    let Some((of, name)) = id.split_once('@') else { return Ok(()) };
    let shelf = host.layout.path.join(of).join("snaps");
    let home = shelf.join(name);
    store::sweep(&home)?;
    // With what was to become it.
    for file in [snapshot::REMOVED, "snapshot.new"] {
        drop(fs::remove_file(home.join(file)));
    }
    match fs::remove_dir(&home) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &home)(error));
        }
        _ => {}
    }
    // Only when there is no other in it.
    drop(fs::remove_dir(&shelf));
    Ok(())
}

/// The containers that a kept storage is kept for.
pub(super) fn kept_for(host: &Host, name: &Name) -> Result<Vec<String>, Error> {
    Ok(of(host, name, &kept(host, name)?)?.clones)
}

/// The configuration of what is kept.
fn kept(host: &Host, name: &Name) -> Result<Container, Error> {
    let mark = host.layout.directory(name).join(KEPT);
    let text = fs::read_to_string(&mark).map_err(Error::io("read", &mark))?;
    Ok(toml::parse_unchecked(&text, &mark)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(id: &str, parent: Option<&str>) -> Stored {
        let parent = parent.map(str::to_owned);
        Stored { id: id.into(), phase: Phase::Sealed, parent, operation: None }
    }

    #[test]
    fn ties_are_those_to_others() {
        let all = [
            volume(".images@0a", None),
            volume("web", Some("web@first")),
            volume("web@first", Some(".images@0a")),
            volume("clone", Some("web@first")),
            volume("clone@s", Some("web")),
            volume("web2", None),
        ];
        let ties = among(&all, "web");
        assert_eq!(
            (ties.parent.as_deref(), ties.clones.as_slice()),
            (Some(".images@0a"), &["clone".into()][..])
        );
        assert_eq!(among(&all, "web2"), Ties::default());
        assert_eq!(among(&all, "clone").clones, [""; 0]);
    }
}
