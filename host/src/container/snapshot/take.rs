//! Taking a snapshot.
//!
//! Its directory, its volume, and last its file, whose rename into place makes it true. The container is frozen, where
//! it has to be, only while the volume is made.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use serde::Serialize;

use super::super::journal::{self, Intent, Operation, Survives};
use super::super::shift::Shifted;
use super::super::{Error, Host, dependents, hooks, leftover, plugins, store, volume, watch};
use super::meanwhile::{self, Meanwhile, Rest};
use super::record::{self, Moment, Record};
use super::{PREFIX, Volume, content, remove, volume_id};
use crate::config::{Container, Name, toml};
use crate::plugin::hook::types::Detail;
use crate::plugin::storage::{Access, Storage as _};

/// One snapshot.
#[derive(Debug, Clone)]
pub struct TakeRequest {
    pub container: Name,
    /// `None`: the first of `snap0`, `snap1`, ... that is free.
    pub name: Option<Name>,
    pub comment: Option<String>,
}

/// What was taken.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    pub container: Name,
    #[serde(flatten)]
    pub record: Record,
    /// Content was copied, because the storage takes no snapshots at once.
    pub copied: bool,
    /// The container was frozen meanwhile.
    pub frozen: bool,
}

/// Takes a snapshot.
///
/// # Errors
/// Nothing of it is left then, and a container that was frozen for it runs again.
pub fn take(host: &Host, request: &TakeRequest) -> Result<Taken, Error> {
    store::require(host, &request.container)?;
    let name = &request.container;
    let _claim = journal::claim(host, &[name], "snapshot")?;
    if leftover::look(host, name) != leftover::Kind::Complete {
        return Err(store::not_found(host, name));
    }
    remove::sweep(host, name, &plugins::operation("remove"))?;
    let text = store::text(host, name)?;
    let container = toml::parse(&text, &host.layout.config(name))?;
    let source = Volume::of(host, name, &container)?;
    let snapshot = match &request.name {
        Some(snapshot) => free(host, name, snapshot)?,
        None => lowest(host, name)?,
    };
    let (meanwhile, way) = choose(host, name, &container, &source)?;
    let comment = request.comment.clone();
    let intent = Intent::Snapshot { of: name.clone(), snapshot: snapshot.clone(), comment };
    let about = ("snapshot", Detail::Snapshot(snapshot.to_string()));
    let work = |operation: &Operation| {
        operation.step("snapshot.directory")?;
        make_directory(host, name, &snapshot)?;
        operation.step("snapshot.volume")?;
        let rest = match meanwhile {
            Meanwhile::RunsOn | Meanwhile::Refused(_) => None,
            Meanwhile::Rests { disk: true } => Some(Rest::with_disk(host, name, &source)?),
            Meanwhile::Rests { disk: false } | Meanwhile::Copied => Some(Rest::begin(host, name)?),
        };
        operation.step("snapshot.rest")?;
        let size = make_volume(host, &source, way, operation, &volume_id(name, &snapshot))?;
        rest.map_or(Ok(()), Rest::end)?;
        host.check_cancelled()?;
        operation.step("snapshot.file")?;
        let moment = Moment { created: record::now(), comment: request.comment.clone(), size };
        record::write(host, name, &snapshot, &moment, &text)
    };
    hooks::before(host, name, &container, about, || {
        journal::perform(host, &intent, Survives::PowerLoss, work)
    })
    .inspect_err(|_| {
        if super::file(host, name, &snapshot).is_file() {
            host.progress.note(&format!("the snapshot {snapshot} of {name} is complete all the same"));
        }
    })?;
    let (copied, frozen) = (way.copies(&source), meanwhile != Meanwhile::RunsOn);
    tracing::info!(%name, %snapshot, copied, frozen, "took a snapshot");
    let record = record::read(host, name, &snapshot).record();
    Ok(Taken { container: name.clone(), record, copied, frozen })
}

/// Who makes the volume of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its storage (`snapshots`).
    Native,
    /// Its storage, while nothing is written (`snapshots-at-rest`).
    AtRest,
    /// The host, file by file.
    Copy,
}

impl Way {
    /// Of what nobody writes to.
    fn of_stopped(source: &Volume) -> Self {
        match (source.native, source.at_rest) {
            (true, _) => Self::Native,
            (false, Some(_)) => Self::AtRest,
            (false, None) => Self::Copy,
        }
    }

    /// Whether it takes the longer, the more there is.
    fn copies(self, source: &Volume) -> bool {
        match self {
            Self::Native => false,
            Self::AtRest => source.at_rest != Some(true),
            Self::Copy => true,
        }
    }
}

/// What happens to the container meanwhile, and who makes the volume.
fn choose(
    host: &Host,
    name: &Name,
    container: &Container,
    source: &Volume,
) -> Result<(Meanwhile, Way), Error> {
    let stopped = Way::of_stopped(source);
    let Some(running) = watch::snapshot(host, name) else {
        // What is copied by the host is only read.
        if stopped != Way::Copy {
            dependents::regain(host, name, container, &source.storage, "snapshotted")?;
        }
        return Ok((Meanwhile::RunsOn, stopped));
    };
    let native = if source.native { Some(source.storage.snapshot_traits()?) } else { None };
    let plan = source.storage.mounts(&source.id, Access::ReadOnly)?;
    let meanwhile = meanwhile::decide(native, source.at_rest.is_some(), &plan);
    match meanwhile {
        Meanwhile::RunsOn => Ok((meanwhile, Way::Native)),
        Meanwhile::Rests { .. } => Ok((meanwhile, Way::AtRest)),
        Meanwhile::Copied => Ok((meanwhile, Way::Copy)),
        Meanwhile::Refused(why) => Err(refused(name, source, &running.state.to_string(), why)),
    }
}

/// A snapshot of a container in the making, which belongs to the making's own operation. `configuration` is that of
/// its moment.
pub(in crate::container) fn adopt(
    host: &Host,
    (name, container): (&Name, &Container),
    operation: &Operation,
    (snapshot, created, comment): (&Name, &str, Option<&str>),
    configuration: &str,
) -> Result<(), Error> {
    let source = Volume::of(host, name, container)?;
    make_directory(host, name, snapshot)?;
    let size = make_volume(host, &source, Way::of_stopped(&source), operation, &volume_id(name, snapshot))?;
    let moment = Moment { created: created.into(), comment: comment.map(Into::into), size };
    record::write(host, name, snapshot, &moment, configuration)
}

/// Takes back what was interrupted: without its file it is no snapshot.
pub(in crate::container) fn settle(
    host: &Host,
    name: &Name,
    snapshot: &Name,
    comment: Option<&String>,
    operation: &str,
) -> Result<Option<String>, Error> {
    if !host.layout.snapshot(name, snapshot).is_dir() || super::file(host, name, snapshot).is_file() {
        return Ok(None);
    }
    remove::sweep(host, name, operation)?;
    if host.layout.snapshot(name, snapshot).is_dir() {
        // The container is built on it already, and has not changed since: the only way out is forward.
        let moment = Moment { created: record::now(), comment: comment.cloned(), size: None };
        record::write(host, name, snapshot, &moment, &store::text(host, name)?)?;
        return Ok(Some(format!("finished the interrupted snapshot {snapshot} of {name}")));
    }
    Ok(Some(format!("removed what an interrupted snapshot had left of {snapshot} of {name}")))
}

fn refused(name: &Name, source: &Volume, state: &str, why: &str) -> Error {
    Error::Invalid {
        message: format!(
            "container {name} is {state}, and {} cannot take a snapshot of it meanwhile: {why}",
            source.storage.identity()
        ),
        hint: format!("stop it first: wxc stop {name}"),
    }
}

/// Makes the sealed volume. The bytes that it takes up, where that is known.
fn make_volume(
    host: &Host,
    source: &Volume,
    way: Way,
    operation: &Operation,
    id: &str,
) -> Result<Option<u64>, Error> {
    let storage = &source.storage;
    match way {
        Way::Native => return Ok(storage.snapshot(operation.id(), &source.id, id).map(|_| None)?),
        Way::AtRest => return Ok(storage.snapshot_at_rest(operation.id(), &source.id, id).map(|_| None)?),
        Way::Copy => {}
    }
    storage.create(operation.id(), id, source.size()?)?;
    operation.step("snapshot.copy")?;
    let from = volume::open(storage, &source.id, Access::ReadOnly)?;
    let to = volume::open(storage, id, Access::ReadWrite)?;
    let bytes = content::copy(
        host,
        Shifted::exact(host),
        from.root(),
        to.root(),
        &host.layout.path.join(&source.id),
    )?;
    // A mounted disk cannot be sealed.
    drop((from, to));
    operation.step("snapshot.seal")?;
    storage.seal(operation.id(), id)?;
    Ok(Some(bytes))
}

pub(super) fn make_directory(host: &Host, name: &Name, snapshot: &Name) -> Result<(), Error> {
    let shelf = host.layout.snapshots(name);
    let path = host.layout.snapshot(name, snapshot);
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true);
    builder.create(&shelf).map_err(Error::io("make", &shelf))?;
    builder.recursive(false).create(&path).map_err(Error::io("make", &path))?;
    store::sync_directory(&shelf)?;
    store::sync_directory(&host.layout.directory(name))
}

/// The name, if nobody has it.
fn free(host: &Host, name: &Name, snapshot: &Name) -> Result<Name, Error> {
    let path = host.layout.snapshot(name, snapshot);
    if path.symlink_metadata().is_err() {
        return Ok(snapshot.clone());
    }
    let message = if super::file(host, name, snapshot).is_file() {
        format!("there is a snapshot {snapshot} of {name} already")
    } else {
        format!("a removed snapshot {snapshot} of {name} is kept, because something is built on it")
    };
    Err(Error::Invalid { message, hint: "choose another name, or none".into() })
}

/// The first of `snap0`, `snap1`, ... that nobody has.
fn lowest(host: &Host, name: &Name) -> Result<Name, Error> {
    let taken = super::directories(host, name)?;
    let mut number = 0_u64;
    loop {
        let candidate: Name = format!("{PREFIX}{number}").parse()?;
        if !taken.contains(&candidate) {
            return Ok(candidate);
        }
        number += 1;
    }
}
