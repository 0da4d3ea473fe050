//! Back to a snapshot, in place: content and configuration of its moment.
//!
//! Where the host copies, the new content is complete and durable in a volume of its own before anything of the container
//! is touched; then a note is written, and from there on every interruption leads forward.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::journal::{self, Intent, Operation, Survives};
use super::super::shift::Shifted;
use super::super::{Error, Host, dependents, hooks, leftover, plugins, store, volume, watch};
use super::exchange::{Place, Tag};
use super::{Volume, content, record, remove, volume_id};
use crate::config::{Container, Name, toml, write};
use crate::plugin::PluginError;
use crate::plugin::hook::types::Detail;
use crate::plugin::storage::{Access, Storage as _};
use crate::sys::failpoint;

/// The note that decides, in the directory of the fresh volume.
const NOTE: &str = "restore.json";

/// What was restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    pub container: Name,
    pub snapshot: Name,
    /// Content was copied, because the storage does not restore snapshots at once.
    pub copied: bool,
}

/// All that it takes to finish.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    snapshot: Name,
    /// The fresh content, which belongs at the container's place; `None`: the storage restores by itself.
    fresh: Option<Tag>,
    /// The configuration that belongs to it.
    configuration: String,
}

/// Gives a stopped container the content and the configuration that it had when the snapshot was taken.
///
/// # Errors
/// It runs, there is no such snapshot, or the storage cannot; the container is as it was then.
pub fn restore(host: &Host, name: &Name, snapshot: &Name) -> Result<Restored, Error> {
    store::require(host, name)?;
    let _claim = journal::claim(host, &[name], "restore")?;
    if leftover::look(host, name) != leftover::Kind::Complete {
        return Err(store::not_found(host, name));
    }
    remove::sweep(host, name, &plugins::operation("remove"))?;
    super::require(host, name, snapshot)?;
    if let Some(running) = watch::snapshot(host, name) {
        return Err(Error::Running {
            name: name.to_string(),
            state: running.state.to_string(),
            verb: "restore",
        });
    }
    let text = record::read(host, name, snapshot).configuration()?;
    let (container, text) = configuration(host, name, text)?;
    let target = Volume::of(host, name, &container)?;
    dependents::regain(host, name, &container, &target.storage, "restored")?;
    if target.native {
        refuse_blockers(&target, name, snapshot)?;
    }
    let intent = Intent::Restore { of: name.clone(), snapshot: snapshot.clone() };
    journal::perform(host, &intent, Survives::PowerLoss, |operation| {
        let fresh: Name = operation.id().parse()?;
        operation.step("restore.directory")?;
        super::take::make_directory(host, name, &fresh)?;
        let tag = match target.native {
            true => None,
            false => Some(fill(host, name, snapshot, &target, operation)?),
        };
        host.check_cancelled()?;
        operation.step("restore.note")?;
        let note = Note { snapshot: snapshot.clone(), fresh: tag, configuration: text };
        let path = note_path(host, name, &fresh);
        let text = serde_json::to_vec(&note).map_err(|error| Error::io("write", &path)(error.into()))?;
        store::replace(&path, &text)?;
        finish(host, name, &fresh)
    })?;
    hooks::after(host, name, "restore", Detail::Snapshot(snapshot.to_string()));
    let copied = !target.native && !target.clones_at_once()?;
    tracing::info!(%name, %snapshot, copied, "restored");
    Ok(Restored { container: name.clone(), snapshot: snapshot.clone(), copied })
}

/// Finishes what was interrupted after it was decided, and takes back what was not.
pub(in crate::container) fn settle(
    host: &Host,
    name: &Name,
    snapshot: &Name,
    operation: &str,
) -> Result<Option<String>, Error> {
    let fresh: Name = operation.parse()?;
    if is_decided(host, name, &fresh) {
        finish(host, name, &fresh)?;
        return Ok(Some(format!("finished the interrupted restore of {name} to {snapshot}")));
    }
    if !host.layout.snapshot(name, &fresh).is_dir() {
        return Ok(None);
    }
    remove::sweep(host, name, operation)?;
    Ok(Some(format!("took back the interrupted restore of {name}: it is as it was")))
}

/// The configuration to go back to. Where the container's files are, and which ids it has on the host, is as it is
/// now and not as it was.
fn configuration(host: &Host, name: &Name, text: String) -> Result<(Container, String), Error> {
    let file = host.layout.config(name);
    let mut then = toml::parse(&text, &file)?;
    // A configuration that is broken is one more reason to go back.
    let Ok(now) = store::load(host, name) else { return Ok((then, text)) };
    let place = |c: &Container| (c.rootfs.storage.clone(), c.rootfs.volume.clone());
    if then.ids == now.ids && place(&then) == place(&now) {
        return Ok((then, text));
    }
    then.ids = now.ids;
    (then.rootfs.storage, then.rootfs.volume) = (now.rootfs.storage, now.rootfs.volume);
    let text = write::fresh(&then, name).map_err(|error| Error::Invalid {
        message: format!("the configuration of the snapshot cannot be written: {error}"),
        hint: "use paths that are UTF-8".into(),
    })?;
    Ok((then, text))
}

fn refuse_blockers(target: &Volume, name: &Name, snapshot: &Name) -> Result<(), Error> {
    let blockers = target.storage.restore_blockers(&volume_id(name, snapshot))?;
    if blockers.is_empty() {
        return Ok(());
    }
    let own: Vec<&str> =
        blockers.iter().map(|id| id.split_once('@').map_or(id.as_str(), |(_, s)| s)).collect();
    Err(Error::Invalid {
        message: format!(
            "{} can restore {snapshot} of {name} only without {}",
            target.storage.identity(),
            own.join(", ")
        ),
        hint: format!(
            "remove what is newer first (wxc snapshot {name} -d SNAPSHOT), or restore into a new container: \
             wxc snapshot {name} -r {snapshot} -N NEW"
        ),
    })
}

/// Makes a volume with the content of the snapshot, durable.
fn fill(
    host: &Host,
    name: &Name,
    snapshot: &Name,
    target: &Volume,
    operation: &Operation,
) -> Result<Tag, Error> {
    let storage = &target.storage;
    let (from_id, id) = (volume_id(name, snapshot), format!("{name}@{}", operation.id()));
    // Found out before anything is copied.
    Place::of(storage, &target.id)?;
    let shown = host.layout.snapshot(name, snapshot);
    let durable = |to: volume::OpenVolume| to.sync().map_err(Error::io("make durable", &shown));
    operation.step("restore.volume")?;
    if target.clones_alone()? {
        storage.clone_volume(operation.id(), &from_id, &id, None)?;
        operation.step("restore.copy")?;
        durable(volume::open(storage, &id, Access::ReadWrite)?)?;
        return Place::of(storage, &id)?.tag();
    }
    let size = if storage.abilities().sizes { storage.size(&from_id)? } else { None };
    storage.create(operation.id(), &id, size)?;
    operation.step("restore.copy")?;
    let from = volume::open(storage, &from_id, Access::ReadOnly)?;
    let to = volume::open(storage, &id, Access::ReadWrite)?;
    content::copy(host, Shifted::exact(host), from.root(), to.root(), &shown)?;
    drop(from);
    durable(to)?;
    Place::of(storage, &id)?.tag()
}

/// Goes forward from the note; may be repeated.
fn finish(host: &Host, name: &Name, fresh: &Name) -> Result<(), Error> {
    let path = note_path(host, name, fresh);
    let text = fs::read(&path).map_err(Error::io("read", &path))?;
    let note: Note = serde_json::from_slice(&text).map_err(|error| Error::io("read", &path)(error.into()))?;
    let container = toml::parse(&note.configuration, &path)?;
    let target = Volume::of(host, name, &container)?;
    if let Some(tag) = note.fresh {
        let place = Place::of(&target.storage, &target.id)?;
        step("restore.exchange", &path)?;
        if place.tag()? != tag {
            place.exchange(&Place::of(&target.storage, &volume_id(name, fresh))?)?;
        }
    } else if let Err(error) = restore_natively(&target, &volume_id(name, &note.snapshot), fresh) {
        // The content is still the old one, or already the restored one (wit/storage/snapshots.wit). What cannot be
        // done now must not stand in the way of everything else.
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        remove::remove_volume(host, name, fresh.as_str(), &target.storage, fresh)?;
        return Err(error.into());
    }
    step("restore.configuration", &path)?;
    store::replace(&host.layout.config(name), note.configuration.as_bytes())?;
    step("restore.remove", &path)?;
    remove::remove_volume(host, name, fresh.as_str(), &target.storage, fresh)
}

/// A storage that fails half-way is asked once more: repeated, the call ends with the restored content, or it has taken
/// back what it did.
fn restore_natively(target: &Volume, snapshot: &str, operation: &Name) -> Result<(), PluginError> {
    let once = || target.storage.restore(operation.as_str(), snapshot).map(drop);
    once().or_else(|error| {
        tracing::debug!(%error, "failed, asking again");
        once()
    })
}

/// A step that is made again when it was interrupted, so it has no operation of its own at hand.
fn step(site: &'static str, path: &Path) -> Result<(), Error> {
    failpoint::pass(site).map_err(Error::io("go on after", path))
}

/// Whether a directory holds what a restore needs to be finished.
pub(super) fn is_decided(host: &Host, name: &Name, fresh: &Name) -> bool {
    note_path(host, name, fresh).is_file()
}

fn note_path(host: &Host, name: &Name, fresh: &Name) -> PathBuf {
    host.layout.snapshot(name, fresh).join(NOTE)
}
