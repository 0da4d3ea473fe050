#![forbid(unsafe_code)]
//! Copying a container: in full, or as a clone that shares what both have in common.
//!
//! A copy becomes true as a container that is created does: directory and mark, ids, volume, identity, and
//! last `container.toml`. How the volume is made is [`method`]'s to choose.

mod method;

use std::path::PathBuf;

use serde::Serialize;

use super::destroy::{self, DestroyOptions};
use super::journal::{self, Claim, Intent, Operation, Survives};
use super::shift::Shifted;
use super::start::{self, StartRequest};
use super::{
    Error, Host, again, carry, create, dependents, ephemeral, hooks, identity, ids, leftover, plugins,
    snapshot, store, watch,
};
use crate::config::ids::IdMap;
use crate::config::mounts::Mount;
use crate::config::{Container, Name};
use crate::plugin::hook::types::{Detail, Event};
use crate::plugin::storage::Storage as _;
use crate::runtime::Launched;

use super::snapshot::along::Along;
use super::snapshot::meanwhile::Rest;
pub use method::How;
use method::{Activity, Quiet};
pub(super) use method::{Volume, hidden};

/// What to copy, and how.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    pub from: Name,
    /// `None`: the original's name with a dash and letters that nobody has.
    pub to: Option<Name>,
    /// Another directory of containers for the copy.
    pub path: Option<PathBuf>,
    /// Storage plugin of the copy; `None`: that of the original.
    pub storage: Option<String>,
    pub sharing: Sharing,
    /// The copy goes away when it stops.
    pub ephemeral: bool,
    /// Copy it also while it runs.
    pub allow_running: bool,
    /// Keep the host name.
    pub keep_name: bool,
    /// Keep the hardware addresses.
    pub keep_mac: bool,
    /// Configuration keys of the copy, with what they are to be.
    pub set: Vec<(String, String)>,
    /// What is mounted in the copy besides what the original has.
    pub mounts: Vec<Mount>,
    /// Its snapshots come along.
    pub with_snapshots: bool,
    /// The most that the copy may take up; `None`: what the original may.
    pub size: Option<u64>,
    /// What hooks are told, as `lxc-copy` passes words after `--` to clone hooks.
    pub hook_arguments: Vec<String>,
}

/// Whether the copy may share its storage with the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Independent of the original.
    Never,
    /// Shared, or nothing is copied.
    Required,
    /// Shared where that can be; otherwise a full copy.
    Preferred,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Copied {
    pub name: Name,
    pub from: Name,
    pub directory: PathBuf,
    pub storage: String,
    pub how: How,
    pub ephemeral: bool,
    /// Those of the original that came along.
    pub snapshots: Vec<Name>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A copy that is made and still locked.
struct Fresh {
    copied: Copied,
    /// Where it is; another one than was asked when it went to another directory.
    host: Host,
    claims: Vec<Claim>,
}

/// What became of a copy that was started.
#[derive(Debug)]
pub struct Started {
    pub copied: Copied,
    pub launched: Launched,
    /// Where it runs.
    pub host: Host,
}

/// Copies a container and starts the copy before anybody else can.
///
/// # Errors
/// It could not be copied or started; nothing of the copy is left.
pub fn copy_and_start(host: &Host, request: &CopyRequest, start: &StartRequest) -> Result<Started, Error> {
    let Fresh { copied, host, claims } = fresh(host, request)?;
    let launched = match start::start_locked(&host, &copied.name, start) {
        Ok(launched) => launched,
        Err(error) => {
            // The error that led here is the one to tell.
            if let Err(left) = destroy::destroy_locked(&host, &copied.name, DestroyOptions::ALL) {
                tracing::warn!(name = %copied.name, "the copy could not be removed: {left}");
            }
            return Err(error);
        }
    };
    drop(claims);
    Ok(Started { copied, launched, host })
}

/// Copies a container.
///
/// # Errors
/// Nothing of the copy is left then, and the original is as it was.
pub fn copy(host: &Host, request: &CopyRequest) -> Result<Copied, Error> {
    fresh(host, request).map(|fresh| fresh.copied)
}

/// The same for a caller that goes on with the copy.
fn fresh(host: &Host, request: &CopyRequest) -> Result<Fresh, Error> {
    store::require(host, &request.from)?;
    ephemeral::sweep(host);
    let there = match &request.path {
        Some(path) => host.elsewhere(path)?,
        None => host.clone(),
    };
    let to = match &request.to {
        Some(name) => name.clone(),
        None => there.fresh_name(&format!("{}-", request.from))?,
    };
    let here = there.layout.path == host.layout.path;
    if here && to == request.from {
        return Err(Error::Exists { name: to.to_string(), path: host.layout.path.clone() });
    }
    let claims = claim_both(host, &there, &request.from, &to, here)?;
    let work = Work { host, there: &there, from: &request.from, to: &to, here, request };
    let copied = work.run()?;
    let origin = Detail::Origin(request.from.to_string());
    hooks::made(&there, &to, Event::Clone, (origin, &request.hook_arguments))?;
    Ok(Fresh { copied, host: there, claims })
}

/// The locks of both containers; of two directories in the order of their paths, so that two commands never wait
/// for each other.
fn claim_both(host: &Host, there: &Host, from: &Name, to: &Name, here: bool) -> Result<Vec<Claim>, Error> {
    if here {
        return Ok(vec![journal::claim(host, &[from, to], "copy")?]);
    }
    let mut wanted = [(host, from), (there, to)];
    wanted.sort_by_key(|(host, _)| &host.layout.path);
    wanted.into_iter().map(|(host, name)| journal::claim(host, &[name], "copy")).collect()
}

/// Ends an interrupted copy: a container, or nothing. Whether there was anything to remove.
pub(super) fn settle(
    host: &Host,
    name: &Name,
    of: Option<&Name>,
    operation: &str,
    storage: &str,
) -> Result<bool, Error> {
    let is_made = host.layout.exists(name);
    let removed = leftover::settle(host, name, operation, storage)?;
    // The snapshot that it was to be a clone of, or the seal of the original.
    if let Some(of) = of.filter(|of| !is_made && host.layout.exists(of)) {
        let container = store::load(host, of)?;
        let original = method::Volume::of(host, of, &container)?;
        let id = method::hidden(&original.id, operation);
        dependents::remove_hidden(host, &original.storage, &id)?;
        match dependents::reclaim(host, of, &container, "unsealed") {
            // Sealed for others.
            Err(Error::InUse { .. }) => {}
            other => other?,
        }
    }
    Ok(removed)
}

/// One copy in the making.
struct Work<'a> {
    host: &'a Host,
    there: &'a Host,
    from: &'a Name,
    to: &'a Name,
    /// Both are in one directory of containers.
    here: bool,
    request: &'a CopyRequest,
}

/// What was found out before anything is made.
struct Found {
    /// The original's configuration, as it is written and as it is meant.
    text: String,
    original: Container,
    source: method::Volume,
    target: method::Target,
    choice: method::Choice,
    running: bool,
    survives: Survives,
}

impl Work<'_> {
    fn run(&self) -> Result<Copied, Error> {
        let (host, there, request) = (self.host, self.there, self.request);
        if leftover::look(host, self.from) != leftover::Kind::Complete {
            return Err(store::not_found(host, self.from));
        }
        let text = store::text(host, self.from)?;
        let original = store::load(host, self.from)?;
        let running = watch::snapshot(host, self.from).map(|snapshot| snapshot.state);
        if let Some(state) = running.filter(|_| !request.allow_running) {
            let name = self.from.to_string();
            return Err(Error::Running { name, state: state.to_string(), verb: "copy" });
        }
        let source = method::Volume::of(host, self.from, &original)?;
        let (target, why) = self.storage(&source)?;
        let activity = match running {
            None => Activity::Stopped,
            Some(_) if request.sharing == Sharing::Never => Activity::Running { rests: false },
            Some(_) => {
                let rests = snapshot::Volume::of(host, self.from, &original)?.at_rest.is_some();
                Activity::Running { rests }
            }
        };
        let choice = method::choose(&source, &target, self.here, request.sharing, activity)?;

        let mut notes = create::make_room(there, self.to)?;
        notes.extend(why);
        // What a crash may take anyhow is not worth waiting for the disk.
        let survives = if request.ephemeral { Survives::Kill } else { Survives::PowerLoss };
        let intent = Intent::Copy {
            name: self.to.clone(),
            of: self.here.then(|| self.from.clone()),
            storage: target.name.clone(),
        };
        let running = running.is_some();
        let found = Found { text, original, source, target, choice, running, survives };
        let copied =
            journal::perform(there, &intent, survives, |operation| self.make(operation, &found, notes))?;
        tracing::info!(from = %self.from, to = %self.to, how = ?choice.how, "copied");
        Ok(copied)
    }

    /// The steps.
    fn make(&self, operation: &Operation, found: &Found, mut notes: Vec<String>) -> Result<Copied, Error> {
        let (host, there) = (self.host, self.there);
        let Found { original, source, target, choice, .. } = found;
        let mut mark = original.clone();
        mark.rootfs.storage.clone_from(&target.name);
        mark.rootfs.volume = None;
        mark.ids = IdMap::default();
        operation.step("copy.directory")?;
        create::begin(there, self.to, &mark)?;
        operation.step("copy.ids")?;
        if choice.shares_ids {
            ids::share(there, self.to, &original.ids)?;
            mark.ids.clone_from(&original.ids);
        } else if !original.privileged {
            mark.ids = ids::allocate(there, self.to)?;
        }
        operation.step("copy.volume")?;
        let quiet = if found.running { choice.quiet(source)? } else { Quiet::Nothing };
        let rest = match quiet {
            Quiet::Nothing => None,
            Quiet::Processes => Some(Rest::begin(host, self.from)?),
            Quiet::Disk => {
                Some(Rest::with_disk(host, self.from, &snapshot::Volume::of(host, self.from, original)?)?)
            }
        };
        let policy = Shifted::between(host, original, &mark.ids);
        let to = (self.to, self.request.size);
        let root = method::make(host, choice, operation, source, target, to, policy)?;
        rest.map_or(Ok(()), Rest::end)?;
        host.check_cancelled()?;

        operation.step("copy.identity")?;
        let carried = self.carry(&found.text, original, found, &mark.ids)?;
        let old = carry::host_name(original, self.from);
        let new = carry::host_name(&carried.container, self.to);
        let renamed = identity::NewName { old: &old, new: &new };
        identity::renew(root.root(), Some(&renamed).filter(|_| !self.request.keep_name))?;
        let directories = (host.layout.directory(self.from), there.layout.directory(self.to));
        again::copied(there, (&directories.0, &directories.1), &new, &carried.container, &root)?;
        // Content first, then the name that says it is complete.
        operation.step("copy.durable")?;
        let directory = there.layout.directory(self.to);
        create::settle_content(there, self.to, &root, &carried.text, found.survives)?;
        drop(root);
        let snapshots =
            if self.request.with_snapshots { self.bring(operation, found, &mark.ids)? } else { Vec::new() };
        operation.step("copy.complete")?;
        create::complete(there, self.to, found.survives)?;
        notes.extend(choice.notes(self.from));
        notes.extend(carried.notes);
        Ok(Copied {
            name: self.to.clone(),
            from: self.from.clone(),
            directory,
            storage: target.name.clone(),
            how: choice.how,
            ephemeral: self.request.ephemeral,
            snapshots,
            notes,
        })
    }

    fn bring(&self, operation: &Operation, found: &Found, ids: &IdMap) -> Result<Vec<Name>, Error> {
        let along = Along {
            from: (self.host, self.from, &found.source.storage),
            to: (self.there, self.to, &found.target.storage),
            // Otherwise the copy would be independent of the original, and its snapshots not.
            share: found.choice.how != How::Bytes,
            rename: !self.request.keep_name,
        };
        along.bring(operation, &|text, then| self.carry(text, then, found, ids))
    }

    /// The configuration of the copy, of that of the original or of one of its snapshots.
    fn carry(
        &self,
        text: &str,
        original: &Container,
        found: &Found,
        ids: &IdMap,
    ) -> Result<carry::Carried, Error> {
        let directories = (self.host.layout.directory(self.from), self.there.layout.directory(self.to));
        let renewed = carry::Renewed {
            from: self.from,
            to: self.to,
            directories: (&directories.0, &directories.1),
            storage: &found.target.name,
            volume: None,
            ids,
            keep_name: self.request.keep_name,
            keep_mac: self.request.keep_mac,
            ephemeral: self.request.ephemeral,
            same_machine: false,
            set: &self.request.set,
            mounts: &self.request.mounts,
        };
        carry::carry(text, original, &self.there.layout.config(self.to), &renewed)
    }

    /// Where the copy's volume goes, and why there if that was left to us. What is to share and cannot on its own
    /// storage goes over it, as in LXC.
    fn storage(&self, source: &method::Volume) -> Result<(method::Target, Option<String>), Error> {
        let load = |name: &str| -> Result<method::Target, Error> {
            let storage = plugins::load_storage(self.there, name)?;
            storage.open()?;
            Ok(method::Target { name: name.to_owned(), storage })
        };
        if let Some(asked) = &self.request.storage {
            let plugins::Chosen { name, why } = plugins::choose(self.there, asked)?;
            return Ok((load(&name)?, why));
        }
        if self.shares_elsewhere(source)
            && let Ok(over) = load(OVER)
            && method::knows(&over.storage, source)?
        {
            return Ok((over, None));
        }
        if self.here {
            // Its volume is in use: nobody has to ask whether this storage can be, or load it once more.
            let (name, storage) = (source.storage_name.clone(), source.storage.clone());
            return Ok((method::Target { name, storage }, None));
        }
        Ok((load(&source.storage_name)?, None))
    }

    fn shares_elsewhere(&self, source: &method::Volume) -> bool {
        self.here && self.request.sharing != Sharing::Never && !source.storage.abilities().clones
    }
}

/// The storage that builds on others' directories.
const OVER: &str = "overlay";
