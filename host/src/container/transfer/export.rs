//! A container, or one snapshot of it, becomes a file.
//!
//! What is stopped is held by its lock meanwhile. What runs is read from a snapshot where the storage takes them live,
//! and frozen where its files can be read beneath it.

use std::fs::{self, DirBuilder};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use serde::Serialize;

use super::super::copy;
use super::super::journal::{self, Intent, Operation, Survives};
use super::super::snapshot::meanwhile::{self, Meanwhile, Rest};
use super::super::snapshot::{self, Volume, record};
use super::super::volume::{self, OpenVolume};
use super::super::{Error, Host, dependents, ids, leftover, store, watch};
use super::manifest::{self, Manifest, Taken, Tree};
use super::section;
use super::target::Target;
pub use super::target::To;
use crate::config::{Container, Name, toml};
use crate::plugin::Unit;
use crate::plugin::storage::{Access, Storage as _};
use crate::unpack::{self, Coder, Compression, PackRequest, Report, UnpackError};

/// What to export.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    pub name: Name,
    /// This snapshot alone, as a container.
    pub snapshot: Option<Name>,
    /// With the container's snapshots.
    pub snapshots: bool,
    pub compression: Compression,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    pub name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Name>,
    /// The snapshots that are in it, oldest first.
    pub snapshots: Vec<String>,
    pub file: Option<PathBuf>,
    /// Bytes of the file, where it is one.
    pub bytes: Option<u64>,
    /// Bytes of content, before compression.
    pub content: u64,
    pub compression: Compression,
    /// The container was frozen meanwhile.
    pub frozen: bool,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Writes a container to `to`.
///
/// # Errors
/// There is no file then, and the container is as it was.
pub fn export(host: &Host, request: &ExportRequest, to: To<'_>) -> Result<Exported, Error> {
    let name = &request.name;
    store::require(host, name)?;
    let _claim = journal::claim(host, &[name], "export")?;
    if leftover::look(host, name) != leftover::Kind::Complete {
        return Err(store::not_found(host, name));
    }
    ids::act_for_all(host)?;
    let text = store::text(host, name)?;
    let container = toml::parse(&text, &host.layout.config(name))?;
    let source = Volume::of(host, name, &container)?;
    source.storage.open()?;
    let trees = trees(host, request, &source, &text)?;
    let work = Work { host, request, container, source, trees };
    let target = Target::open(to)?;
    let (reports, frozen) = work.read(target.fd())?;
    let bytes = target.commit()?;
    tracing::info!(%name, bytes, "exported");
    let file = match to {
        To::File { path, .. } => Some(path.to_owned()),
        To::Stream(_) => None,
    };
    let mut notes: Vec<String> =
        reports.iter().flat_map(|report| report.notes.iter().map(ToString::to_string)).collect();
    notes.dedup();
    let snapshots = work.trees.iter().filter_map(|(_, tree)| Some(tree.snapshot.as_ref()?.name.clone()));
    Ok(Exported {
        name: name.clone(),
        snapshot: request.snapshot.clone(),
        snapshots: snapshots.collect(),
        file,
        bytes,
        content: reports.iter().map(|report| report.progress.written).sum(),
        compression: request.compression,
        frozen,
        notes,
    })
}

/// Removes the snapshot that an interrupted export was reading from.
pub(in crate::container) fn settle(
    host: &Host,
    name: &Name,
    operation: &str,
    volume: &str,
) -> Result<Option<String>, Error> {
    let shelf = host.layout.path.join(volume).join("snaps");
    if !shelf.join(operation).exists() {
        return Ok(None);
    }
    // As half a snapshot it may be more than the storage knows of.
    snapshot::remove::sweep(host, name, operation)?;
    // Only when there is no other in it.
    drop(fs::remove_dir(shelf));
    Ok(Some(format!("removed the snapshot that an interrupted export of {name} was reading")))
}

/// Volumes with what the manifest says of each, in their order.
fn trees(
    host: &Host,
    request: &ExportRequest,
    source: &Volume,
    text: &str,
) -> Result<Vec<(String, Tree)>, Error> {
    let name = &request.name;
    let portable = |text: &str| {
        manifest::portable(text).map_err(|error| Error::Invalid {
            message: format!("the configuration of {name} cannot be read: {error}"),
            hint: format!("check it: wxc config validate {name}"),
        })
    };
    let of = |snapshot: &Name| record::read(host, name, snapshot).configuration();
    if let Some(snapshot) = &request.snapshot {
        snapshot::require(host, name, snapshot)?;
        let config = portable(&of(snapshot)?)?;
        return Ok(vec![(snapshot::volume_id(name, snapshot), Tree { snapshot: None, config })]);
    }
    let mut trees = Vec::new();
    let records = if request.snapshots { snapshot::list(host, name)? } else { Vec::new() };
    for record in records {
        let config = portable(&of(&record.name)?)?;
        let taken = Taken {
            name: record.name.to_string(),
            created: record.created.clone(),
            comment: record.comment.clone(),
        };
        trees.push((snapshot::volume_id(name, &record.name), Tree { snapshot: Some(taken), config }));
    }
    trees.push((source.id.clone(), Tree { snapshot: None, config: portable(text)? }));
    Ok(trees)
}

struct Work<'a> {
    host: &'a Host,
    request: &'a ExportRequest,
    container: Container,
    source: Volume,
    trees: Vec<(String, Tree)>,
}

impl Work<'_> {
    /// Writes from the volume itself, or from a snapshot while it runs. Whether it was frozen.
    fn read(&self, out: BorrowedFd<'_>) -> Result<(Vec<Report>, bool), Error> {
        let (host, name) = (self.host, &self.request.name);
        let running = watch::snapshot(host, name).filter(|_| self.request.snapshot.is_none());
        let Some(running) = running else { return Ok((self.write(out, &self.source.id, None)?, false)) };
        let source = &self.source;
        let native = if source.native { Some(source.storage.snapshot_traits()?) } else { None };
        let plan = source.storage.mounts(&source.id, Access::ReadOnly)?;
        match meanwhile::decide(native, source.at_rest.is_some(), &plan) {
            Meanwhile::RunsOn => Ok((self.by_snapshot(None, out)?, false)),
            // What would be a copy of everything is read instead.
            Meanwhile::Rests { disk } if disk || source.at_rest == Some(true) => {
                Ok((self.by_snapshot(Some(disk), out)?, true))
            }
            Meanwhile::Rests { .. } | Meanwhile::Copied => {
                let rest = Rest::begin(host, name)?;
                Ok((self.write(out, &source.id, Some(rest))?, true))
            }
            Meanwhile::Refused(why) => Err(Error::Invalid {
                message: format!(
                    "container {name} is {}, and {} cannot be read meanwhile: {why}",
                    running.state,
                    source.storage.identity()
                ),
                hint: format!(
                    "stop it first (wxc stop {name}), or export a snapshot of it: wxc export {name}@SNAPSHOT"
                ),
            }),
        }
    }

    /// From a snapshot that nobody sees and that is gone afterwards; `rest`: taken while it rests, and whether on a disk.
    fn by_snapshot(&self, rest: Option<bool>, out: BorrowedFd<'_>) -> Result<Vec<Report>, Error> {
        let (name, volume) = (self.request.name.clone(), self.source.id.clone());
        let intent = Intent::Export { name, volume };
        journal::perform(self.host, &intent, Survives::PowerLoss, |operation| {
            self.at_moment(operation, rest, out)
        })
    }

    fn at_moment(
        &self,
        operation: &Operation,
        rest: Option<bool>,
        out: BorrowedFd<'_>,
    ) -> Result<Vec<Report>, Error> {
        let (host, source) = (self.host, &self.source);
        let id = copy::hidden(&source.id, operation.id());
        let home = host.layout.path.join(&source.id).join("snaps").join(operation.id());
        operation.step("export.snapshot")?;
        DirBuilder::new().recursive(true).mode(0o700).create(&home).map_err(Error::io("make", &home))?;
        match rest {
            None => source.storage.snapshot(operation.id(), &source.id, &id)?,
            Some(disk) => {
                let name = &self.request.name;
                let rest = if disk { Rest::with_disk(host, name, source) } else { Rest::begin(host, name) }?;
                let taken = source.storage.snapshot_at_rest(operation.id(), &source.id, &id)?;
                rest.end()?;
                taken
            }
        };
        operation.step("export.write")?;
        let written = self.write(out, &id, None)?;
        operation.step("export.tidy")?;
        dependents::remove_hidden(host, &source.storage, &id)?;
        Ok(written)
    }

    /// Everything, with the container's own tree read from the volume `own`.
    fn write(&self, out: BorrowedFd<'_>, own: &str, rest: Option<Rest>) -> Result<Vec<Report>, Error> {
        let failed = |source| self.failed(source);
        if self.request.compression == Compression::None {
            return self.sections(out, own, rest);
        }
        let coder = Coder::encode(out, self.request.compression).map_err(failed)?;
        match self.sections(coder.pipe().map_err(failed)?, own, rest) {
            Ok(reports) => coder.finish(self.host.cancel).map_err(failed).map(|()| reports),
            Err(Error::Export { source, .. }) => Err(failed(coder.explain(source))),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, source: UnpackError) -> Error {
        match source {
            UnpackError::Cancelled => Error::Cancelled,
            source => Error::Export { name: self.request.name.to_string(), source },
        }
    }

    fn sections(&self, out: BorrowedFd<'_>, own: &str, rest: Option<Rest>) -> Result<Vec<Report>, Error> {
        let failed = |source| self.failed(source);
        let text = serde_json::to_vec_pretty(&self.manifest()?).map_err(|error| Error::Invalid {
            message: format!("the manifest of {} cannot be written: {error}", self.request.name),
            hint: "this is a mistake of wxc: report it".into(),
        })?;
        let mut seal = unpack::manifest(out, &text).map_err(failed)?;
        let mut reports = Vec::new();
        let mut before: Option<OpenVolume> = None;
        for (index, (id, tree)) in self.trees.iter().enumerate() {
            let is_own = tree.snapshot.is_none() && self.request.snapshot.is_none();
            let volume = volume::open(&self.source.storage, if is_own { own } else { id }, Access::ReadOnly)?;
            self.host.progress.phase(&format!("exporting {id}"));
            let request = PackRequest {
                tree: volume.root(),
                since: before.as_ref().map(OpenVolume::root),
                out,
                ids: ids::id_mode(&self.container),
                section: section(index, &seal),
            };
            let mut watch =
                |at: unpack::Progress| self.host.progress.report(at.written, at.total, Unit::Bytes);
            let report = unpack::pack(&request, &mut watch, self.host.cancel).map_err(failed)?;
            seal.clone_from(&report.seal);
            reports.push(report);
            before = Some(volume);
        }
        rest.map_or(Ok(()), Rest::end)?;
        unpack::close(out).map_err(failed)?;
        Ok(reports)
    }

    fn manifest(&self) -> Result<Manifest, Error> {
        let Volume { storage, id, .. } = &self.source;
        Ok(Manifest {
            format: manifest::FORMAT.into(),
            version: manifest::VERSION,
            wxc: env!("CARGO_PKG_VERSION").into(),
            exported: record::now(),
            name: self.request.name.to_string(),
            of_snapshot: self.request.snapshot.as_ref().map(ToString::to_string),
            arch: rustix::system::uname().machine().to_string_lossy().into_owned(),
            storage: self.container.rootfs.storage.clone(),
            size: if storage.abilities().sizes { storage.size(id)? } else { None },
            trees: self.trees.iter().map(|(_, tree)| tree.clone()).collect(),
        })
    }
}
