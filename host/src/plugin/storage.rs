#![forbid(unsafe_code)]
//! Storage plugins in plain Rust: every argument is checked before the call, every answer after it.

/// What guests say, and whether the contract allows it.
mod answers;
mod data;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::Instance;

use super::bindings::host::wxc::host::types::Error as WitError;
use super::bindings::volumes::wxc::storage::types as wit;
use super::bindings::{clones, devices, renames, sizes, snapshots, snapshots_at_rest, volumes};
use super::call::Ready;
use super::error::{Identity, PluginError};
use super::host::{Interruption, Scope, State};
use super::manifest::PoolKind;
use super::mounts::{self, MountPlan};
use super::record::{Grounds, Recorded, Records};
use super::volume_id::{is_operation_id, is_volume_id};
use crate::config::system::Keep;

use answers::{volume, volume_in, wit_access};
pub use data::{
    Abilities, Access, CloneTraits, Phase, Pool, SizeTraits, SnapshotTraits, Volume, VolumeUsage,
};

/// A storage backend with its pool. `operation` is an id that the caller minted for this one operation: a
/// call that is repeated with it converges.
pub trait Storage {
    /// Name and version, for messages.
    fn identity(&self) -> &Identity;
    /// What it can do besides the core.
    fn abilities(&self) -> Abilities;
    /// Looks whether the pool can be used; changes nothing.
    fn open(&self) -> Result<Pool, PluginError>;
    /// What is there: volumes by id, those after `after`, at most `limit`.
    fn scan(&self, after: Option<&str>, limit: u32) -> Result<Vec<Volume>, PluginError>;
    /// Makes an empty writable volume. The container's own directory must be there.
    fn create(&self, operation: &str, id: &str, size: Option<u64>) -> Result<Volume, PluginError>;
    /// Makes a volume durable and unchangeable.
    fn seal(&self, operation: &str, id: &str) -> Result<Volume, PluginError>;
    /// What has to be mounted to use it, as data.
    fn mounts(&self, id: &str, access: Access) -> Result<MountPlan, PluginError>;
    /// What it takes up; may take long.
    fn usage(&self, id: &str) -> Result<VolumeUsage, PluginError>;
    /// Removes a volume in any phase; succeeds when there is none.
    fn remove(&self, operation: &str, id: &str) -> Result<(), PluginError>;
    /// How this pool clones (`clones`).
    fn clone_traits(&self) -> Result<CloneTraits, PluginError>;
    /// Makes a writable volume with the content of a sealed one (`clones`).
    fn clone_volume(
        &self,
        operation: &str,
        parent: &str,
        id: &str,
        size: Option<u64>,
    ) -> Result<Volume, PluginError>;
    /// Makes a sealed volume without dependents writable again (`clones`).
    fn unseal(&self, operation: &str, id: &str) -> Result<Volume, PluginError>;
    /// How this pool takes snapshots (`snapshots`).
    fn snapshot_traits(&self) -> Result<SnapshotTraits, PluginError>;
    /// Makes the sealed volume `snapshot` of `of` (`snapshots`).
    fn snapshot(&self, operation: &str, of: &str, snapshot: &str) -> Result<Volume, PluginError>;
    /// Whether snapshots of what is mounted and not written are instant (`snapshots-at-rest`).
    fn rest_is_short(&self) -> Result<bool, PluginError>;
    /// Makes the sealed volume `snapshot` of `of`, which may be mounted and is not written (`snapshots-at-rest`).
    fn snapshot_at_rest(&self, operation: &str, of: &str, snapshot: &str) -> Result<Volume, PluginError>;
    /// What would have to be removed before a restore (`snapshots`).
    fn restore_blockers(&self, snapshot: &str) -> Result<Vec<String>, PluginError>;
    /// Gives a volume the content of its snapshot (`snapshots`).
    fn restore(&self, operation: &str, snapshot: &str) -> Result<Volume, PluginError>;
    /// How this pool limits (`sizes`).
    fn size_traits(&self) -> Result<SizeTraits, PluginError>;
    /// The most a volume may take up (`sizes`).
    fn size(&self, id: &str) -> Result<Option<u64>, PluginError>;
    /// Changes it (`sizes`).
    fn set_size(&self, operation: &str, id: &str, size: Option<u64>) -> Result<(), PluginError>;
    /// Makes the volume's device appear; nothing to do without the ability `devices`.
    fn attach(&self, operation: &str, id: &str, access: Access) -> Result<(), PluginError>;
    /// Makes it disappear; nothing to do without the ability `devices`.
    fn detach(&self, operation: &str, id: &str) -> Result<(), PluginError>;
    /// Gives a volume another name, after the host has renamed the container's directory; without the ability
    /// `renames` the volume is only looked at.
    fn rename(&self, operation: &str, id: &str, new_id: &str) -> Result<(), PluginError>;
}

/// A storage plugin with its pool.
#[derive(Debug, Clone)]
pub struct StoragePlugin {
    pub(super) ready: Ready,
    pub(super) pool: PathBuf,
    pub(super) settings: super::Settings,
    pub(super) progress: super::Watcher,
    /// Whatever it writes is made durable by the caller.
    pub(super) durable_later: bool,
    /// What strikes in its calls, when it is being tested.
    pub(super) interruption: Option<Arc<Interruption>>,
    /// What becomes of its calls.
    pub(super) records: Records,
}

/// Verbs that make a new volume which can be written. The host makes it durable as a whole when it has been filled, before
/// anything says that it is complete, or has it sealed; whatever a loss of power leaves of it before that, is removed. So
/// nothing has to be waited for in between.
const MADE_DURABLE: [&str; 2] = ["volumes.create", "clones.clone"];

/// The most volumes asked for in one call.
const MOST_VOLUMES: u32 = 1000;

/// Calls a function of an exported interface: `ask!(self, name, world, interface, accessor, function(arguments), told, take)`. `told`
/// is what a record has for the arguments, and `take` makes of the answer what callers get, or says what is wrong with it.
macro_rules! ask {
    ($self:ident, $name:expr, $world:path, $interface:literal, $accessor:ident, $call:ident ( $($arg:expr),* ), $told:expr, $take:expr) => {{
        $self.ready.need(concat!("wxc:storage/", $interface, "@0.1.0"))?;
        let body = |store: &mut Store<State>, instance: &Instance| {
            let world = <$world>::new(&mut *store, instance)?;
            world.$accessor().$call(&mut *store, $($arg),*)
        };
        $self.call($name, &$told, body, $take)
    }};
}

impl StoragePlugin {
    /// The same plugin for volumes that belong to a new one: the caller makes all of them durable at once, and removes them
    /// when it does not come to that, also after a loss of power.
    #[must_use]
    pub fn durable_later(&self) -> Self {
        Self { durable_later: true, ..self.clone() }
    }

    /// From now on its calls are kept in this directory: those that failed, or all.
    pub fn record(&mut self, keep: Keep, directory: PathBuf) {
        self.records = Records::in_directory(keep, directory);
    }
}

impl Storage for StoragePlugin {
    fn identity(&self) -> &Identity {
        &self.ready.identity
    }

    fn abilities(&self) -> Abilities {
        let has = |name: &str| self.ready.exports(&format!("wxc:storage/{name}@0.1.0"));
        Abilities {
            clones: has("clones"),
            snapshots: has("snapshots"),
            snapshots_at_rest: has("snapshots-at-rest"),
            sizes: has("sizes"),
            devices: has("devices"),
            renames: has("renames"),
            transfer: has("transfer"),
        }
    }

    fn open(&self) -> Result<Pool, PluginError> {
        let take = |pool: wit::Pool| {
            if pool.available > pool.total || pool.metadata_available.is_some_and(|m| m > 1000) {
                return Err("more room is left than there is".to_owned());
            }
            let wit::Pool { total, available, metadata_available } = pool;
            Ok(Pool { total, available, metadata_available })
        };
        ask!(self, "volumes.open", volumes::Volumes, "volumes", wxc_storage_volumes, call_open(), (), take)
    }

    fn scan(&self, after: Option<&str>, limit: u32) -> Result<Vec<Volume>, PluginError> {
        const CALL: &str = "volumes.scan";
        let limit = limit.min(MOST_VOLUMES);
        if let Some(after) = after {
            self.check_id(CALL, after)?;
        }
        let take = |list: Vec<wit::Volume>| {
            let list: Vec<Volume> = list.into_iter().map(volume).collect::<Result<_, _>>()?;
            let ids = after.into_iter().chain(list.iter().map(|v| v.id.as_str()));
            if list.len() > limit as usize || !ids.is_sorted_by(|a, b| a < b) {
                return Err("volumes out of order, twice, or more than were asked for".to_owned());
            }
            Ok(list)
        };
        ask!(
            self,
            CALL,
            volumes::Volumes,
            "volumes",
            wxc_storage_volumes,
            call_scan(after.map(String::from).as_ref(), limit),
            (after, limit),
            take
        )
    }

    fn create(&self, operation: &str, id: &str, size: Option<u64>) -> Result<Volume, PluginError> {
        const CALL: &str = "volumes.create";
        self.check(CALL, operation, &[id])?;
        ask!(
            self,
            CALL,
            volumes::Volumes,
            "volumes",
            wxc_storage_volumes,
            call_create(&operation.into(), &id.into(), size),
            (operation, id, size),
            |made| volume_in(made, id, Phase::Writable)
        )
    }

    fn seal(&self, operation: &str, id: &str) -> Result<Volume, PluginError> {
        const CALL: &str = "volumes.seal";
        self.check(CALL, operation, &[id])?;
        ask!(
            self,
            CALL,
            volumes::Volumes,
            "volumes",
            wxc_storage_volumes,
            call_seal(&operation.into(), &id.into()),
            (operation, id),
            |sealed| volume_in(sealed, id, Phase::Sealed)
        )
    }

    fn mounts(&self, id: &str, access: Access) -> Result<MountPlan, PluginError> {
        const CALL: &str = "volumes.mounts";
        self.check_id(CALL, id)?;
        ask!(
            self,
            CALL,
            volumes::Volumes,
            "volumes",
            wxc_storage_volumes,
            call_mounts(&id.into(), wit_access(access)),
            (id, access),
            |list| mounts::convert(&self.pool, &self.ready.manifest, access, list)
        )
    }

    fn usage(&self, id: &str) -> Result<VolumeUsage, PluginError> {
        const CALL: &str = "volumes.usage";
        self.check_id(CALL, id)?;
        ask!(
            self,
            CALL,
            volumes::Volumes,
            "volumes",
            wxc_storage_volumes,
            call_usage(&id.into()),
            (id,),
            |wit::VolumeUsage { exclusive, referenced, entries }| Ok(VolumeUsage {
                exclusive,
                referenced,
                entries
            })
        )
    }

    fn remove(&self, operation: &str, id: &str) -> Result<(), PluginError> {
        const CALL: &str = "volumes.remove";
        self.check(CALL, operation, &[id])?;
        ask!(
            self,
            CALL,
            volumes::Volumes,
            "volumes",
            wxc_storage_volumes,
            call_remove(&operation.into(), &id.into()),
            (operation, id),
            Ok
        )
    }

    fn clone_traits(&self) -> Result<CloneTraits, PluginError> {
        ask!(
            self,
            "clones.describe",
            clones::Clones,
            "clones",
            wxc_storage_clones,
            call_describe(),
            (),
            |traits| Ok(CloneTraits { instant: traits.instant, pins_parent: traits.pins_parent })
        )
    }

    fn clone_volume(
        &self,
        operation: &str,
        parent: &str,
        id: &str,
        size: Option<u64>,
    ) -> Result<Volume, PluginError> {
        const CALL: &str = "clones.clone";
        self.check(CALL, operation, &[parent, id])?;
        ask!(
            self,
            CALL,
            clones::Clones,
            "clones",
            wxc_storage_clones,
            call_clone(&operation.into(), &parent.into(), &id.into(), size),
            (operation, parent, id, size),
            |made| volume_in(made, id, Phase::Writable)
        )
    }

    fn unseal(&self, operation: &str, id: &str) -> Result<Volume, PluginError> {
        const CALL: &str = "clones.unseal";
        self.check(CALL, operation, &[id])?;
        ask!(
            self,
            CALL,
            clones::Clones,
            "clones",
            wxc_storage_clones,
            call_unseal(&operation.into(), &id.into()),
            (operation, id),
            |volume| volume_in(volume, id, Phase::Writable)
        )
    }

    fn snapshot_traits(&self) -> Result<SnapshotTraits, PluginError> {
        ask!(
            self,
            "snapshots.describe",
            snapshots::Snapshots,
            "snapshots",
            wxc_storage_snapshots,
            call_describe(),
            (),
            |traits| Ok(SnapshotTraits {
                live: traits.live,
                instant: traits.instant,
                pins_volume: traits.pins_volume
            })
        )
    }

    fn snapshot(&self, operation: &str, of: &str, snapshot: &str) -> Result<Volume, PluginError> {
        const CALL: &str = "snapshots.take";
        self.check(CALL, operation, &[of, snapshot])?;
        ask!(
            self,
            CALL,
            snapshots::Snapshots,
            "snapshots",
            wxc_storage_snapshots,
            call_take(&operation.into(), &of.into(), &snapshot.into()),
            (operation, of, snapshot),
            |taken| volume_in(taken, snapshot, Phase::Sealed)
        )
    }

    fn rest_is_short(&self) -> Result<bool, PluginError> {
        ask!(
            self,
            "snapshots-at-rest.describe",
            snapshots_at_rest::Resting,
            "snapshots-at-rest",
            wxc_storage_snapshots_at_rest,
            call_describe(),
            (),
            |traits| Ok(traits.instant)
        )
    }

    fn snapshot_at_rest(&self, operation: &str, of: &str, snapshot: &str) -> Result<Volume, PluginError> {
        const CALL: &str = "snapshots-at-rest.take";
        self.check(CALL, operation, &[of, snapshot])?;
        ask!(
            self,
            CALL,
            snapshots_at_rest::Resting,
            "snapshots-at-rest",
            wxc_storage_snapshots_at_rest,
            call_take(&operation.into(), &of.into(), &snapshot.into()),
            (operation, of, snapshot),
            |taken| volume_in(taken, snapshot, Phase::Sealed)
        )
    }

    fn restore_blockers(&self, snapshot: &str) -> Result<Vec<String>, PluginError> {
        const CALL: &str = "snapshots.restore-blockers";
        self.check_id(CALL, snapshot)?;
        let take = |ids: Vec<String>| match ids.iter().find(|id| !is_volume_id(id)) {
            Some(id) => Err(format!("{id:?} is not a volume id")),
            None => Ok(ids),
        };
        ask!(
            self,
            CALL,
            snapshots::Snapshots,
            "snapshots",
            wxc_storage_snapshots,
            call_restore_blockers(&snapshot.into()),
            (snapshot,),
            take
        )
    }

    fn restore(&self, operation: &str, snapshot: &str) -> Result<Volume, PluginError> {
        const CALL: &str = "snapshots.restore";
        self.check(CALL, operation, &[snapshot])?;
        let of = snapshot.split('@').next().unwrap_or(snapshot);
        ask!(
            self,
            CALL,
            snapshots::Snapshots,
            "snapshots",
            wxc_storage_snapshots,
            call_restore(&operation.into(), &snapshot.into()),
            (operation, snapshot),
            |restored| volume_in(restored, of, Phase::Writable)
        )
    }

    fn size_traits(&self) -> Result<SizeTraits, PluginError> {
        ask!(
            self,
            "sizes.describe",
            sizes::Sizes,
            "sizes",
            wxc_storage_sizes,
            call_describe(),
            (),
            |sizes::exports::wxc::storage::sizes::Traits { strict, grows_live, shrinks, always }| Ok(
                SizeTraits { strict, grows_live, shrinks, always }
            )
        )
    }

    fn size(&self, id: &str) -> Result<Option<u64>, PluginError> {
        const CALL: &str = "sizes.get";
        self.check_id(CALL, id)?;
        ask!(self, CALL, sizes::Sizes, "sizes", wxc_storage_sizes, call_get(&id.into()), (id,), Ok)
    }

    fn set_size(&self, operation: &str, id: &str, size: Option<u64>) -> Result<(), PluginError> {
        const CALL: &str = "sizes.set";
        self.check(CALL, operation, &[id])?;
        ask!(
            self,
            CALL,
            sizes::Sizes,
            "sizes",
            wxc_storage_sizes,
            call_set(&operation.into(), &id.into(), size),
            (operation, id, size),
            Ok
        )
    }

    fn attach(&self, operation: &str, id: &str, access: Access) -> Result<(), PluginError> {
        const CALL: &str = "devices.attach";
        if !self.abilities().devices {
            return Ok(());
        }
        self.check(CALL, operation, &[id])?;
        ask!(
            self,
            CALL,
            devices::Devices,
            "devices",
            wxc_storage_devices,
            call_attach(&operation.into(), &id.into(), wit_access(access)),
            (operation, id, access),
            Ok
        )
    }

    fn detach(&self, operation: &str, id: &str) -> Result<(), PluginError> {
        const CALL: &str = "devices.detach";
        if !self.abilities().devices {
            return Ok(());
        }
        self.check(CALL, operation, &[id])?;
        ask!(
            self,
            CALL,
            devices::Devices,
            "devices",
            wxc_storage_devices,
            call_detach(&operation.into(), &id.into()),
            (operation, id),
            Ok
        )
    }

    fn rename(&self, operation: &str, id: &str, new_id: &str) -> Result<(), PluginError> {
        const CALL: &str = "renames.rename";
        if !self.abilities().renames {
            return Ok(());
        }
        self.check(CALL, operation, &[id, new_id])?;
        ask!(
            self,
            CALL,
            renames::Renames,
            "renames",
            wxc_storage_renames,
            call_rename(&operation.into(), &id.into(), &new_id.into()),
            (operation, id, new_id),
            |renamed| volume(renamed).map(|_| ())
        )
    }
}

impl StoragePlugin {
    /// One call; `take` makes of its answer what callers get, or says what the contract does not allow of it.
    fn call<R, T: Serialize>(
        &self,
        name: &'static str,
        arguments: &impl Serialize,
        body: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<R, WitError>>,
        take: impl FnOnce(R) -> Result<T, String>,
    ) -> Result<T, PluginError> {
        let pool = match self.ready.manifest.pool {
            // What is played touches nothing: its pool may be on another machine.
            Some(PoolKind::Directory) if !self.records.are_played() => Some(open_pool(&self.pool)?),
            _ => None,
        };
        let scope = Scope {
            pool,
            commands: Arc::clone(&self.ready.commands),
            settings: Arc::clone(&self.settings.0),
            store: Some(self.pool.join(".plugin-state").join(&self.ready.identity.name)),
            durable_later: self.durable_later || MADE_DURABLE.contains(&name),
            interruption: self.interruption.clone(),
            ..Scope::default()
        };
        let grounds = || Grounds { pool: Some(self.pool.clone()), ..Grounds::default() };
        let about = Recorded { call: name, budget: None, arguments, grounds: &grounds };
        let said = |line: &str| self.progress.0.said(&self.ready.identity.name, line);
        self.records.run(&self.ready, &about, scope, &said, |scope| {
            let answer = self.ready.call(name, scope, &self.progress.0, body)?;
            take(answer).map_err(|why| self.ready.broken(name, why))
        })
    }

    /// Ids are checked here as well as by whoever made them: they become names of files.
    fn check(&self, call: &'static str, operation: &str, ids: &[&str]) -> Result<(), PluginError> {
        if !is_operation_id(operation) {
            return Err(self.refuse(call, format!("{operation:?} is not an operation id")));
        }
        ids.iter().try_for_each(|id| self.check_id(call, id))
    }

    fn check_id(&self, call: &'static str, id: &str) -> Result<(), PluginError> {
        if is_volume_id(id) { Ok(()) } else { Err(self.refuse(call, format!("{id:?} is not a volume id"))) }
    }

    fn refuse(&self, call: &'static str, message: String) -> PluginError {
        let kind = super::error::FailureKind::Invalid;
        PluginError::Failed { plugin: self.ready.identity.clone(), call, kind, message }
    }
}

fn open_pool(path: &Path) -> Result<OwnedFd, PluginError> {
    let opened = File::open(path).map(OwnedFd::from);
    opened.map_err(|source| PluginError::Io { doing: "open the pool", path: path.to_owned(), source })
}
