#![forbid(unsafe_code)]
//! What is unfinished: written down before anything changes, gone when it is done.
//!
//! An operation of more than one step is one call of [`perform`]: its intent becomes a record on disk, its
//! steps are made, the record goes away. A command that dies in between leaves the record, and the next
//! one that wants one of the same containers ([`claim`]) finds it under their locks and has it settled by
//! the verb that wrote it: finished or taken back, whichever its own moment of truth on disk says. A
//! command that *fails* is settled in the same way at once, so there is one way back and not two.
//!
//! ```text
//! claim(names)   locks in the order of names; what is unfinished of them is settled
//! perform(intent)
//!   record       .journal/web.create-71-1790.json, durable          2 fsyncs, one commit of the file system
//!   work         steps, each repeatable with the operation's id
//!   commit       the record goes                                    nothing is waited for
//! ```
//!
//! A record may outlive its operation (power may fail between the last step and the removal, and the removal
//! itself is not waited for), so settling looks at what is there and decides by that, never by the record's being there. It cannot
//! come back beside a later operation: the record of that one is made durable in the same directory, which takes the
//! removal along.
//!
//! A record that only has to survive a kill ([`Survives::Kill`]) is not waited for at all. After a loss of power it is there, empty, or
//! not there; an empty one says that its writing was cut short, and nothing else.
//!
//! A verb adds a row to [`Intent`] and to [`Intent::settle`].

/// Records on disk.
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use record::{Record, all, cut_short};

use super::lock::Lock;
use super::{
    Error, Host, copy, ephemeral, hooks, ids, leftover, plugins, rename, resize, snapshot, store, transfer,
};
use crate::config::Name;
use crate::sys::failpoint;

/// How long something that is unfinished may still be in use by what a killed command had started.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// What a command is about to do, with what taking it back needs to know. The first name of each is the container
/// that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Intent {
    /// The moment of truth is that `container.toml` is there.
    Create { name: Name, storage: String },
    /// The moment of truth is that `container.toml` is not there.
    Destroy { name: Name, storage: String },
    /// As a create; `of` is the original, if it is in the same directory of containers.
    Copy { name: Name, of: Option<Name>, storage: String },
    /// As a create.
    Import { name: Name, storage: String },
    /// Only what is read changes: a snapshot of the volume that it is read from, which goes in any case.
    Export { name: Name, volume: String },
    /// The moment of truth is that the directory has its new name.
    Rename { from: Name, to: Name, keep_name: bool },
    /// The moment of truth is that `snapshot.toml` is there.
    Snapshot {
        of: Name,
        snapshot: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// The moment of truth is that `snapshot.toml` is not there.
    Unsnapshot { of: Name, snapshots: Vec<Name> },
    /// The moment of truth is that `restore.json` is there, in the directory of the operation.
    Restore { of: Name, snapshot: Name },
    /// The moment of truth is the storage's own answer. `size` is what it is to be.
    Resize { name: Name, storage: String, volume: String, size: Option<u64> },
}

impl Intent {
    /// The container whose state changes.
    #[must_use]
    pub fn subject(&self) -> &Name {
        match self {
            Self::Create { name, .. }
            | Self::Destroy { name, .. }
            | Self::Import { name, .. }
            | Self::Export { name, .. }
            | Self::Copy { name, .. }
            | Self::Resize { name, .. } => name,
            Self::Rename { from, .. } => from,
            Self::Snapshot { of, .. } | Self::Unsnapshot { of, .. } | Self::Restore { of, .. } => of,
        }
    }

    /// Whose locks the command holds until it is done.
    #[must_use]
    pub fn containers(&self) -> Vec<&Name> {
        match self {
            Self::Create { name, .. }
            | Self::Destroy { name, .. }
            | Self::Import { name, .. }
            | Self::Export { name, .. }
            | Self::Resize { name, .. } => vec![name],
            Self::Copy { name, of, .. } => std::iter::once(name).chain(of).collect(),
            Self::Rename { from, to, .. } => vec![from, to],
            Self::Snapshot { of, .. } | Self::Unsnapshot { of, .. } | Self::Restore { of, .. } => vec![of],
        }
    }

    /// As the user knows it.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Destroy { .. } => "destroy",
            Self::Copy { .. } => "copy",
            Self::Import { .. } => "import",
            Self::Export { .. } => "export",
            Self::Rename { .. } => "rename",
            Self::Snapshot { .. } => "snapshot",
            Self::Unsnapshot { .. } => "unsnapshot",
            Self::Restore { .. } => "restore",
            Self::Resize { .. } => "resize",
        }
    }

    /// Whether it only removes. On a full disk it has to go on without a record, or nobody could make room: everything that is left
    /// of it says itself what it is, as a leftover or an unfinished snapshot.
    fn makes_room(&self) -> bool {
        matches!(self, Self::Destroy { .. } | Self::Unsnapshot { .. })
    }

    /// Finishes it or takes it back; a sentence if there was anything to do. The caller holds the locks.
    fn settle(&self, host: &Host, operation: &str) -> Result<Option<String>, Error> {
        match self {
            Self::Create { name, storage } => Ok(leftover::settle(host, name, operation, storage)?
                .then(|| format!("removed what an interrupted create had left of {name}"))),
            Self::Import { name, storage } => Ok(leftover::settle(host, name, operation, storage)?
                .then(|| format!("removed what an interrupted import had left of {name}"))),
            Self::Export { name, volume } => transfer::export::settle(host, name, operation, volume),
            Self::Destroy { name, storage } => Ok(leftover::settle(host, name, operation, storage)?
                .then(|| format!("finished the interrupted destroy of {name}"))),
            Self::Copy { name, of, storage } => {
                Ok(copy::settle(host, name, of.as_ref(), operation, storage)?
                    .then(|| format!("removed what an interrupted copy had left of {name}")))
            }
            Self::Rename { from, to, keep_name } => {
                Ok(rename::settle(host, from, to, *keep_name, operation)?
                    .then(|| format!("finished renaming {from} to {to}")))
            }
            Self::Snapshot { of, snapshot, comment } => {
                snapshot::take::settle(host, of, snapshot, comment.as_ref(), operation)
            }
            Self::Unsnapshot { of, snapshots } => snapshot::remove::settle(host, of, snapshots, operation),
            Self::Restore { of, snapshot } => snapshot::restore::settle(host, of, snapshot, operation),
            Self::Resize { name, storage, volume, size } => {
                resize::settle(host, name, operation, storage, volume, *size).map(Some)
            }
        }
    }
}

/// What an operation's record has to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// Loss of power: it is on the disk before the first step.
    PowerLoss,
    /// The end of the process: for containers that do not survive more themselves, and for operations of which everything
    /// that a loss of power can leave says itself what it is.
    Kill,
}

/// An operation whose record is on disk.
#[derive(Debug)]
pub struct Operation {
    id: String,
    path: PathBuf,
}

impl Operation {
    /// For every call of a storage plugin that belongs to this operation.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Stands before a step; tests kill the process here or make it fail.
    ///
    /// # Errors
    /// In a test's build only.
    pub fn step(&self, site: &'static str) -> Result<(), Error> {
        failpoint::pass(site).map_err(Error::io("go on after", &self.path))
    }

    /// It is done, or nothing is left of it: the record goes.
    ///
    /// # Errors
    /// It cannot be removed; whoever comes next finds that there is nothing to do.
    pub fn commit(self) -> Result<(), Error> {
        forget(&self.path)
    }
}

/// Writes down what is about to happen. The caller holds the locks of all its containers, and does so until
/// the operation is committed.
///
/// # Errors
/// The record cannot be written; nothing has happened.
pub fn begin(host: &Host, intent: &Intent, survives: Survives) -> Result<Operation, Error> {
    ids::act_for_all(host)?;
    let directory = record::directory(host);
    match DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) if survives == Survives::PowerLoss => store::sync_directory(&host.layout.path)?,
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::io("make", &directory)(error));
        }
        _ => {}
    }
    let id = plugins::operation(intent.verb());
    let path = record::path(host, intent, &id);
    let text = record::text(intent, &id).map_err(|error| Error::io("write", &path)(error.into()))?;
    let written = match survives {
        Survives::PowerLoss => store::add(&path, &text),
        Survives::Kill => store::replace_fleeting(&path, &text),
    };
    if let Err(error) = written {
        // The name may be there although it is not durable. Nothing has begun.
        drop(fs::remove_file(&path));
        if !(intent.makes_room() && error.is_full()) {
            return Err(error);
        }
    }
    tracing::debug!(operation = id, ?intent, "begun");
    Ok(Operation { id, path })
}

/// Does `work` as one operation: when it fails, what it did is settled as after a crash.
///
/// # Errors
/// The record could not be written, or the work failed.
pub fn perform<T>(
    host: &Host,
    intent: &Intent,
    survives: Survives,
    work: impl FnOnce(&Operation) -> Result<T, Error>,
) -> Result<T, Error> {
    let operation = begin(host, intent, survives)?;
    let done = work(&operation);
    let settled = match &done {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::debug!(operation = operation.id, %error, "failed, settling");
            intent.settle(host, &operation.id).map(drop)
        }
    };
    // Whether it was done is decided: what is wrong with the record now must not hide that. A command that has done what was asked
    // for succeeds: whoever repeats it because it failed would find the name taken, or do it twice. The record that stays is
    // looked at by the next command, which finds that there is nothing to do.
    if let Err(error) = settled.and_then(|()| operation.commit()) {
        let name = intent.subject();
        host.progress.note(&format!("the next command on {name} has to tidy up: {}", chain(&error)));
    }
    done
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The locks of containers, with nothing unfinished about any of them.
#[derive(Debug)]
pub struct Claim {
    locks: BTreeMap<Name, Lock>,
    settled: Vec<Name>,
}

impl Claim {
    /// Whether something unfinished was settled that changed this container.
    #[must_use]
    pub fn settled(&self, name: &Name) -> bool {
        self.settled.contains(name)
    }

    /// This container is gone: so is its lock.
    pub fn discard(&mut self, name: &Name) {
        if let Some(lock) = self.locks.remove(name) {
            lock.discard();
        }
    }
}

/// Takes the locks of `names`, in their order, and settles what is unfinished about them. `verb` is what others who wait
/// are told.
///
/// # Errors
/// Somebody else keeps a lock, or something unfinished cannot be settled.
pub fn claim(host: &Host, names: &[&Name], verb: &str) -> Result<Claim, Error> {
    claim_by(host, names, |name| Lock::take(&host.layout, name, verb))
}

/// The same if nobody has any of the locks.
///
/// # Errors
/// Something unfinished cannot be settled.
pub fn try_claim(host: &Host, names: &[&Name], verb: &str) -> Result<Option<Claim>, Error> {
    let take = |name: &Name| {
        let busy = || Error::Locked { name: name.to_string(), holder: String::new() };
        Lock::try_take(&host.layout, name, verb)?.ok_or_else(busy)
    };
    match claim_by(host, names, take) {
        Ok(claim) => Ok(Some(claim)),
        Err(Error::Locked { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A record may be about more containers than are asked for. Locks are only ever taken in the order of names,
/// or two commands could wait for each other: so all are let go and taken again, until nothing new turns up.
fn claim_by(
    host: &Host,
    names: &[&Name],
    take: impl Fn(&Name) -> Result<Lock, Error>,
) -> Result<Claim, Error> {
    for name in names {
        host.check_not_within(name, "a change")?;
    }
    let asked: BTreeSet<Name> = names.iter().map(|name| (*name).clone()).collect();
    let mut wanted = asked.clone();
    loop {
        let locks: BTreeMap<Name, Lock> =
            wanted.iter().map(|name| Ok((name.clone(), take(name)?))).collect::<Result<_, Error>>()?;
        let unfinished = concerning(host, &wanted)?;
        let more = unfinished.iter().flat_map(|record| record.containers.iter().cloned());
        let all: BTreeSet<Name> = wanted.iter().cloned().chain(more).collect();
        if all != wanted {
            wanted = all;
            continue;
        }
        let mut claim = Claim { locks, settled: Vec::new() };
        for record in &unfinished {
            claim.settled.extend(settle(host, record)?);
        }
        for name in &asked {
            record::sweep(host, name)?;
            hooks::settle(host, name)?;
            if ephemeral::settle(host, name)? {
                claim.settled.push(name.clone());
            }
        }
        for name in wanted.difference(&asked) {
            // A lock of a name that nobody has is not left lying about.
            match leftover::look(host, name) {
                leftover::Kind::Absent => claim.discard(name),
                _ => drop(claim.locks.remove(name)),
            }
        }
        return Ok(claim);
    }
}

/// The records about any of these containers.
fn concerning(host: &Host, names: &BTreeSet<Name>) -> Result<Vec<Record>, Error> {
    let mut records = record::all(host)?;
    records.retain(|record| record.containers.iter().any(|name| names.contains(name)));
    Ok(records)
}

/// Settles one record under the locks of its containers; the container that was changed by it.
fn settle(host: &Host, record: &Record) -> Result<Option<Name>, Error> {
    let intent = match &record.intent {
        Ok(intent) => intent,
        Err(why) => {
            let name = record.containers.first().map(ToString::to_string).unwrap_or_default();
            return Err(Error::Record { name, path: record.path.clone(), why: why.clone() });
        }
    };
    let name = intent.subject();
    let failed =
        |source| Error::Unsettled { name: name.to_string(), verb: intent.verb(), source: Box::new(source) };
    ids::act_for_all(host)?;
    let said = patiently(|| intent.settle(host, &record.operation)).map_err(failed)?;
    for name in &record.containers {
        store::sweep(&host.layout.directory(name))?;
        for snapshot in snapshot::names(host, name)? {
            store::sweep(&host.layout.snapshot(name, &snapshot))?;
        }
    }
    forget(&record.path)?;
    tracing::info!(operation = record.operation, said, "settled");
    let Some(said) = said else { return Ok(None) };
    host.progress.note(&said);
    Ok(Some(name.clone()))
}

/// Tries again while something is in use. A command that was killed lets go of its locks at once, and the kernel unmounts what
/// its helpers had mounted a moment later.
fn patiently<T>(settle: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let since = Instant::now();
    loop {
        match settle() {
            Err(error) if error.is_busy() && since.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// Removes a record. Nobody waits for the disk: one that comes back after a loss of power finds what it was about done.
fn forget(path: &Path) -> Result<(), Error> {
    let failed = || Error::io("remove", path);
    failpoint::pass("journal.forget").map_err(failed())?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
        _ => {}
    }
    failpoint::pass("journal.forgotten").map_err(failed())
}
