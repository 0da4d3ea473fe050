//! A new container from a snapshot, with an identity of its own. It becomes true as one that is created does.

use std::path::PathBuf;

use serde::Serialize;

use super::super::journal::{self, Intent, Operation, Survives};
use super::super::shift::Shifted;
use super::super::{Error, Host, carry, create, hooks, identity, ids, leftover, store, volume};
use super::{Volume, content, record, volume_id};
use crate::config::ids::IdMap;
use crate::config::{Container, Name, toml};
use crate::plugin::hook::types::{Detail, Event};
use crate::plugin::storage::{Access, Storage as _};

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Spawned {
    pub name: Name,
    pub container: Name,
    pub snapshot: Name,
    pub directory: PathBuf,
    /// Every file was copied, because the storage has no clones that stand alone.
    pub copied: bool,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Makes the container `new` as `name` was when the snapshot was taken.
///
/// # Errors
/// There is no such snapshot, the name is taken, or a hook refuses it; nothing of the new container is left then.
pub fn spawn(host: &Host, name: &Name, snapshot: &Name, new: &Name) -> Result<Spawned, Error> {
    store::require(host, name)?;
    if new == name {
        return Err(Error::Exists { name: new.to_string(), path: host.layout.path.clone() });
    }
    let _claim = journal::claim(host, &[name, new], "restore")?;
    if leftover::look(host, name) != leftover::Kind::Complete {
        return Err(store::not_found(host, name));
    }
    super::require(host, name, snapshot)?;
    let text = record::read(host, name, snapshot).configuration()?;
    let then = toml::parse(&text, &super::file(host, name, snapshot))?;
    let source = Volume::of(host, name, &then)?;
    source.storage.open()?;
    // What has a range of its own on disk, too, shares no file with the snapshot.
    let alone = !ids::are_shifted(&then) && source.clones_alone()?;
    let notes = create::make_room(host, new)?;
    let work = Work { host, name, snapshot, new, then, text, source, alone };
    // All that is left of an interrupted one is an interrupted create.
    let intent = Intent::Create { name: new.clone(), storage: work.then.rootfs.storage.clone() };
    let spawned =
        journal::perform(host, &intent, Survives::PowerLoss, |operation| work.run(operation, notes))?;
    hooks::made(host, new, Event::Clone, (Detail::Origin(name.to_string()), &[]))?;
    tracing::info!(%name, %snapshot, %new, copied = spawned.copied, "restored into a new container");
    Ok(spawned)
}

/// One in the making.
struct Work<'a> {
    host: &'a Host,
    name: &'a Name,
    snapshot: &'a Name,
    new: &'a Name,
    /// The configuration of the snapshot's moment.
    then: Container,
    text: String,
    source: Volume,
    /// The storage makes clones that do not depend on what they were made of.
    alone: bool,
}

impl Work<'_> {
    fn run(&self, operation: &Operation, mut notes: Vec<String>) -> Result<Spawned, Error> {
        let Self { host, name, new, then, .. } = self;
        let mut mark = then.clone();
        mark.rootfs.volume = None;
        mark.ids = IdMap::default();
        operation.step("spawn.directory")?;
        create::begin(host, new, &mark)?;
        if !then.privileged {
            mark.ids = ids::allocate(host, new)?;
        }
        operation.step("spawn.volume")?;
        self.volume(operation, &mark.ids)?;
        self.host.check_cancelled()?;
        let directories = (host.layout.directory(name), host.layout.directory(new));
        let renewed = carry::Renewed {
            from: name,
            to: new,
            directories: (&directories.0, &directories.1),
            storage: &then.rootfs.storage,
            volume: None,
            ids: &mark.ids,
            keep_name: false,
            keep_mac: false,
            ephemeral: then.ephemeral,
            same_machine: false,
            set: &[],
            mounts: &[],
        };
        let carried = carry::carry(&self.text, then, &host.layout.config(new), &renewed)?;
        operation.step("spawn.identity")?;
        let root = volume::open(&self.source.storage, new.as_str(), Access::ReadWrite)?;
        let old = carry::host_name(then, name);
        let renamed = identity::NewName { old: &old, new: &carry::host_name(&carried.container, new) };
        identity::renew(root.root(), Some(&renamed))?;
        operation.step("spawn.durable")?;
        create::settle_content(host, new, &root, &carried.text, Survives::PowerLoss)?;
        drop(root);
        operation.step("spawn.complete")?;
        create::complete(host, new, Survives::PowerLoss)?;
        notes.extend(carried.notes);
        Ok(Spawned {
            name: (*new).clone(),
            container: (*name).clone(),
            snapshot: self.snapshot.clone(),
            directory: directories.1,
            copied: !self.alone,
            notes,
        })
    }

    fn volume(&self, operation: &Operation, own: &IdMap) -> Result<(), Error> {
        let storage = &self.source.storage;
        let (id, new) = (volume_id(self.name, self.snapshot), self.new.as_str());
        if self.alone {
            storage.clone_volume(operation.id(), &id, new, None)?;
            return Ok(());
        }
        let size = if storage.abilities().sizes { storage.size(&id)? } else { None };
        storage.create(operation.id(), new, size)?;
        let from = volume::open(storage, &id, Access::ReadOnly)?;
        let to = volume::open(storage, new, Access::ReadWrite)?;
        let shown = self.host.layout.snapshot(self.name, self.snapshot);
        let policy = Shifted::between(self.host, &self.then, own);
        content::copy(self.host, policy, from.root(), to.root(), &shown).map(drop)
    }
}
