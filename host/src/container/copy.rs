#![forbid(unsafe_code)]
//! Copying a container: in full, or as a clone that shares what both have in common.
//!
//! A copy becomes true as a container that is created does: directory and mark, ids, volume, identity, and
//! last `container.toml`. How the volume is made is [`method`]'s to choose.

mod method;

use std::path::PathBuf;

use serde::Serialize;

use super::lock::Lock;
use super::undo::Undo;
use super::{Error, Host, carry, create, identity, ids, leftover, plugins, store, watch};
use crate::config::ids::IdMap;
use crate::config::{Container, Name};

use crate::plugin::storage::Storage as _;
use crate::runtime::Client;
use crate::runtime::control::Request;

pub use method::How;
pub(super) use method::Volume;

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
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A copy that is made and still locked: whoever wants to start it does so before somebody else can.
#[derive(Debug)]
pub struct Fresh {
    pub copied: Copied,
    /// Where it is; another one than was asked when it went to another directory.
    pub host: Host,
    pub(super) locks: Vec<Lock>,
}

/// Copies a container.
///
/// # Errors
/// Nothing of the copy is left then, and the original is as it was.
pub fn copy(host: &Host, request: &CopyRequest) -> Result<Copied, Error> {
    fresh(host, request).map(|fresh| fresh.copied)
}

/// The same for a caller that goes on with the copy.
pub(super) fn fresh(host: &Host, request: &CopyRequest) -> Result<Fresh, Error> {
    store::require(host, &request.from)?;
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
    let locks = lock_both((host, &request.from), (&there, &to), "copy")?;
    let work = Work { host, there: &there, from: &request.from, to: &to, here, request };
    let copied = work.run()?;
    Ok(Fresh { copied, host: there, locks })
}

/// Takes two locks in the order of their names, so that two commands never wait for each other.
pub(super) fn lock_both(one: (&Host, &Name), two: (&Host, &Name), verb: &str) -> Result<Vec<Lock>, Error> {
    let mut wanted = [one, two];
    wanted.sort_by_key(|(host, name)| (host.layout.path.clone(), (*name).clone()));
    wanted.into_iter().map(|(host, name)| Lock::take(&host.layout, name, verb)).collect()
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
        refuse_foreign_ids(&original)?;
        let source = method::Volume::of(host, self.from, &original)?;
        let (target, why) = self.storage(&source)?;
        let choice = method::choose(&source, &target, self.here, request.sharing, running.is_some())?;

        let mut notes = create::make_room(there, self.to)?;
        notes.extend(why);
        let mut mark = original.clone();
        mark.rootfs.storage.clone_from(&target.name);
        mark.rootfs.volume = None;
        mark.ids = IdMap::default();
        create::begin(there, self.to, &mark)?;
        let operation = plugins::operation("copy");
        let mut undo = Undo::default();
        undo.push("remove what was made so far", || {
            leftover::remove(there, self.to, &operation, None).map_err(|error| error.to_string())
        });
        if !original.privileged {
            mark.ids = ids::allocate(there, self.to)?;
        }
        let frozen = match running {
            Some(_) if choice.needs_rest() => Some(frozen(host, self.from)?),
            _ => None,
        };
        let root = method::make(host, &choice, &operation, &source, &target, self.to)?;
        drop(frozen);
        host.check_cancelled()?;

        let directories = (host.layout.directory(self.from), there.layout.directory(self.to));
        let carried = carry::carry(
            &text,
            &original,
            &there.layout.config(self.to),
            &carry::Renewed {
                from: self.from,
                to: self.to,
                directories: (&directories.0, &directories.1),
                storage: &target.name,
                ids: &mark.ids,
                keep_name: request.keep_name,
                keep_mac: request.keep_mac,
                ephemeral: request.ephemeral,
            },
        )?;
        let old = carry::host_name(&original, self.from);
        let new = carry::host_name(&carried.container, self.to);
        let renamed = identity::NewName { old: &old, new: &new };
        identity::renew(root.root(), Some(&renamed).filter(|_| !request.keep_name))?;
        // As for a create: content first, and nothing for what a crash may take anyhow.
        if !request.ephemeral {
            root.sync().map_err(Error::io("make durable", &directories.1))?;
        }
        drop(root);
        create::complete(there, self.to, &carried.text)?;
        undo.dismiss();
        notes.extend(choice.notes(self.from));
        notes.extend(carried.notes);
        tracing::info!(from = %self.from, to = %self.to, how = ?choice.how, "copied");
        Ok(Copied {
            name: self.to.clone(),
            from: self.from.clone(),
            directory: directories.1,
            storage: target.name,
            how: choice.how,
            ephemeral: request.ephemeral,
            notes,
        })
    }

    /// Where the copy's volume goes, and why there if that was left to us.
    fn storage(&self, source: &method::Volume) -> Result<(method::Target, Option<String>), Error> {
        let asked = self.request.storage.as_ref().unwrap_or(&source.storage_name);
        let plugins::Chosen { name, why } = plugins::choose(self.there, asked)?;
        let storage = plugins::load_storage(self.there, &name)?;
        storage.open()?;
        Ok((method::Target { name, storage }, why))
    }
}

/// A user without privileges keeps files under the ids of the container, and the copy would have to have
/// them under its own.
fn refuse_foreign_ids(original: &Container) -> Result<(), Error> {
    if rustix::process::geteuid().is_root() || original.privileged {
        return Ok(());
    }
    Err(Error::Invalid {
        message: "its files belong to its own range of ids, and a user without privileges cannot give them to another".into(),
        hint: "copy it as root".into(),
    })
}

/// Freezes a container for as long as the connection is kept.
fn frozen(host: &Host, name: &Name) -> Result<Client, Error> {
    let client = watch::connect(host, name)?;
    client.order(&Request::Hold)?;
    Ok(client)
}
