//! Back to a snapshot, in place: content and configuration of its moment.
//!
//! Where the host copies, the new content is complete and durable in a volume of its own before anything of the container
//! is touched; then a note is written, and from there on every interruption leads forward.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::lock::Lock;
use super::super::undo::Undo;
use super::super::{Error, Host, leftover, plugins, store, volume, watch};
use super::exchange::{Place, Tag};
use super::{Volume, content, record, remove, volume_id};
use crate::config::{Container, Name, toml, write};
use crate::plugin::storage::{Access, Storage as _};

/// The note that decides, in the directory of the fresh volume.
const NOTE: &str = "restore.json";

/// What was restored.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    pub container: Name,
    pub snapshot: Name,
    /// Every file was copied, because the storage restores no snapshots itself.
    pub copied: bool,
}

/// All that it takes to finish.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The fresh content, which belongs at the container's place.
    fresh: Tag,
    /// The configuration that belongs to it.
    configuration: String,
}

/// Gives a stopped container the content and the configuration that it had when the snapshot was taken.
///
/// # Errors
/// It runs, there is no such snapshot, or the storage cannot; the container is as it was then.
pub fn restore(host: &Host, name: &Name, snapshot: &Name) -> Result<Restored, Error> {
    store::require(host, name)?;
    let _lock = Lock::take(&host.layout, name, "restore")?;
    if leftover::look(host, name) != leftover::Kind::Complete {
        return Err(store::not_found(host, name));
    }
    settle(host, name)?;
    remove::sweep(host, name)?;
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
    let operation = plugins::operation("restore");
    if target.native {
        refuse_blockers(&target, name, snapshot)?;
        target.storage.restore(&operation, &volume_id(name, snapshot))?;
        store::replace(&host.layout.config(name), text.as_bytes())?;
    } else {
        let fresh: Name = operation.parse()?;
        prepare(host, name, snapshot, &container, &target, &fresh, text)?;
        finish(host, name, &fresh)?;
    }
    tracing::info!(%name, %snapshot, copied = !target.native, "restored");
    Ok(Restored { container: name.clone(), snapshot: snapshot.clone(), copied: !target.native })
}

/// Finishes what was interrupted after it was decided. What was interrupted before is removed as any other
/// directory without a file is ([`remove::sweep`]).
pub(super) fn settle(host: &Host, name: &Name) -> Result<(), Error> {
    for directory in super::directories(host, name)? {
        if note_path(host, name, &directory).is_file() {
            finish(host, name, &directory)?;
        }
    }
    Ok(())
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

/// Makes the fresh volume, and decides.
fn prepare(
    host: &Host,
    name: &Name,
    snapshot: &Name,
    container: &Container,
    target: &Volume,
    fresh: &Name,
    configuration: String,
) -> Result<(), Error> {
    let storage = &target.storage;
    let (from_id, id) = (volume_id(name, snapshot), volume_id(name, fresh));
    // Found out before anything is copied.
    Place::of(storage, &target.id)?;
    super::take::make_directory(host, name, fresh)?;
    let mut undo = Undo::default();
    undo.push("remove the copy that was not finished", || {
        remove::remove_volume(host, name, container, storage, fresh).map_err(|error| error.to_string())
    });
    let size = if storage.abilities().sizes { storage.size(&from_id)? } else { None };
    storage.create(fresh.as_str(), &id, size)?;
    let from = volume::open(storage, &from_id, Access::ReadOnly)?;
    let to = volume::open(storage, &id, Access::ReadWrite)?;
    let shown = host.layout.snapshot(name, snapshot);
    content::copy(host, container, from.root(), to.root(), &shown)?;
    to.sync().map_err(Error::io("make durable", &shown))?;
    drop((from, to));
    host.check_cancelled()?;
    let note = Note { fresh: Place::of(storage, &id)?.tag()?, configuration };
    let note = serde_json::to_vec(&note).map_err(|error| io::Error::other(error.to_string()));
    let path = note_path(host, name, fresh);
    store::replace(&path, &note.map_err(Error::io("write", &path))?)?;
    undo.dismiss();
    Ok(())
}

/// Goes forward from the note; may be repeated.
fn finish(host: &Host, name: &Name, fresh: &Name) -> Result<(), Error> {
    let path = note_path(host, name, fresh);
    let text = fs::read(&path).map_err(Error::io("read", &path))?;
    let note: Note = serde_json::from_slice(&text)
        .map_err(|error| Error::io("read", &path)(io::Error::other(error.to_string())))?;
    let container = toml::parse(&note.configuration, &path)?;
    let target = Volume::of(host, name, &container)?;
    let place = Place::of(&target.storage, &target.id)?;
    if place.tag()? != note.fresh {
        place.exchange(&Place::of(&target.storage, &volume_id(name, fresh))?)?;
    }
    store::replace(&host.layout.config(name), note.configuration.as_bytes())?;
    remove::remove_volume(host, name, &container, &target.storage, fresh)
}

fn note_path(host: &Host, name: &Name, fresh: &Name) -> PathBuf {
    host.layout.snapshot(name, fresh).join(NOTE)
}
