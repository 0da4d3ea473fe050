#![forbid(unsafe_code)]
//! Snapshots that come along with a copy of their container, before it is one.

use super::super::carry::Carried;
use super::super::journal::Operation;
use super::super::shift::Shifted;
use super::super::{Error, Host, carry, identity, volume};
use super::{content, file, list, record, volume_id};
use crate::config::{Container, Name, toml};
use crate::plugin::StoragePlugin;
use crate::plugin::storage::{Access, Storage as _};

/// A container and its copy.
pub(in crate::container) struct Along<'a> {
    pub(in crate::container) from: (&'a Host, &'a Name, &'a StoragePlugin),
    pub(in crate::container) to: (&'a Host, &'a Name, &'a StoragePlugin),
    /// Both are in one pool of a storage with clones, and may share.
    pub(in crate::container) share: bool,
    /// The host name in the files is renewed.
    pub(in crate::container) rename: bool,
}

impl Along<'_> {
    /// Gives the copy every snapshot there is, oldest first; `renew` makes the copy's configuration of one of the
    /// original's. What is interrupted goes with the unfinished copy.
    pub(in crate::container) fn bring(
        &self,
        operation: &Operation,
        renew: &dyn Fn(&str, &Container) -> Result<Carried, Error>,
    ) -> Result<Vec<Name>, Error> {
        let (host, from, _) = self.from;
        let mut brought = Vec::new();
        for snapshot in list(host, from)?.into_iter().map(|record| record.name) {
            host.check_cancelled()?;
            host.progress.phase(&format!("copying snapshot {snapshot}"));
            self.one(operation, &snapshot, renew)?;
            brought.push(snapshot);
        }
        Ok(brought)
    }

    fn one(
        &self,
        operation: &Operation,
        snapshot: &Name,
        renew: &dyn Fn(&str, &Container) -> Result<Carried, Error>,
    ) -> Result<(), Error> {
        let ((host, from, _), (there, to, storage)) = (self.from, self.to);
        let (mut moment, text) = record::read(host, from, snapshot).content()?;
        let then = toml::parse(&text, &file(host, from, snapshot))?;
        let carried = renew(&text, &then)?;
        operation.step("copy.snapshot")?;
        super::take::make_directory(there, to, snapshot)?;
        let id = volume_id(to, snapshot);
        moment.size =
            self.volume(operation, snapshot, Shifted::between(host, &then, &carried.container.ids))?;
        let root = volume::open(storage, &id, Access::ReadWrite)?;
        let (old, new) = (carry::host_name(&then, from), carry::host_name(&carried.container, to));
        let renamed = identity::NewName { old: &old, new: &new };
        identity::renew(root.root(), Some(&renamed).filter(|_| self.rename))?;
        drop(root);
        operation.step("copy.snapshot.seal")?;
        storage.seal(operation.id(), &id)?;
        record::write(there, to, snapshot, &moment, &carried.text)
    }

    /// The volume, still writable. The bytes that were copied, where they were.
    fn volume(
        &self,
        operation: &Operation,
        snapshot: &Name,
        policy: Shifted<'_>,
    ) -> Result<Option<u64>, Error> {
        let ((host, from, source), (_, to, target)) = (self.from, self.to);
        let (old, new) = (volume_id(from, snapshot), volume_id(to, snapshot));
        if self.share {
            target.clone_volume(operation.id(), &old, &new, None)?;
            return Ok(None);
        }
        let sized = source.abilities().sizes && target.abilities().sizes;
        let size = if sized { source.size(&old)? } else { None };
        target.create(operation.id(), &new, size)?;
        let from_root = volume::open(source, &old, Access::ReadOnly)?;
        let to_root = volume::open(target, &new, Access::ReadWrite)?;
        let shown = host.layout.snapshot(from, snapshot);
        content::copy(host, policy, from_root.root(), to_root.root(), &shown).map(Some)
    }
}
