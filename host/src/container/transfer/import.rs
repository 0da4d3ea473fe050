//! A file becomes a container, with the snapshots that are in it: complete or absent.
//!
//! The trees come in the order in which they were: each is laid over the one before in one and the same volume, and
//! where it was a snapshot, one is taken before the next comes. So what snapshots have in common is kept once
//! on every storage that can. The file is taken for hostile, as an image is.

use std::fs::{self, File};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::super::journal::{self, Intent, Operation, Survives};
use super::super::snapshot::take;
use super::super::volume::{self, OpenVolume};
use super::super::{Error, Host, carry, create, identity, ids, plugins, store};
use super::manifest::{self, Manifest, Tree};
use super::section;
use super::trust::{self, Taken};
use crate::config::ids::IdMap;
use crate::config::{Container, Name, edit, system, write};
use crate::plugin::storage::{Access, Storage as _};
use crate::plugin::{StoragePlugin, Unit};
use crate::unpack::{self, Coder, Devices, First, Limits, Options, Request, Source, UnpackError};

/// What to make of a file.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// `None`: the name in the file.
    pub name: Option<Name>,
    /// Storage plugin; `None`: what new containers here are kept by.
    pub storage: Option<String>,
    /// Settings of the storage plugin, for this volume alone.
    pub storage_set: Vec<(String, String)>,
    /// The most it may take up, in bytes; `None`: as much as it might where it was.
    pub size: Option<u64>,
    /// Keys and values on top of the configuration.
    pub set: Vec<(String, String)>,
    /// Take the configuration as it is, with everything that it wants of this host.
    pub trust_config: bool,
    /// Another machine id, other hardware addresses.
    pub new_identity: bool,
    /// With the snapshots in it.
    pub snapshots: bool,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    pub name: Name,
    /// The name in the file.
    pub from: String,
    pub directory: PathBuf,
    pub storage: String,
    pub privileged: bool,
    /// The snapshots that it has, oldest first.
    pub snapshots: Vec<Name>,
    /// Keys of the configuration that were left out, because the file is not trusted.
    pub left_out: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Makes a container of the export that `archive` holds; `shown` is what messages call it.
///
/// # Errors
/// Nothing of the container is left then.
pub fn import(
    host: &Host,
    request: &ImportRequest,
    archive: BorrowedFd<'_>,
    shown: &Path,
) -> Result<Imported, Error> {
    // What may be in it at most is known when the storage is.
    let limits = Limits { bytes: u64::MAX, ..Limits::default() };
    let failed = |source| image(shown, source);
    let coder = Coder::decode(archive, limits).map_err(failed)?;
    let done = from_stream(host, request, &coder, (archive, shown));
    match done {
        Ok(done) => Ok(done),
        Err(Error::Image { source, .. }) => Err(image(shown, coder.explain(source))),
        Err(error) => Err(error),
    }
}

fn image(shown: &Path, source: UnpackError) -> Error {
    match source {
        UnpackError::Cancelled => Error::Cancelled,
        // A plain stream can hold no more than it is long.
        source @ UnpackError::Limit { .. } if source.to_string().contains("per byte of archive") => {
            Error::Invalid {
                message: format!("{}: {source}", shown.display()),
                hint: "if it is a file of your own, with much that is alike in it, decompress it yourself: \
                       zstd -dc FILE | wxc import -"
                    .into(),
            }
        }
        source => Error::Image { from: shown.to_owned(), source },
    }
}

fn from_stream(
    host: &Host,
    request: &ImportRequest,
    coder: &Coder,
    (archive, shown): (BorrowedFd<'_>, &Path),
) -> Result<Imported, Error> {
    let stream = coder.pipe().map_err(|source| image(shown, source))?;
    let (text, seal) = match unpack::first(stream).map_err(|source| image(shown, source))? {
        First::Manifest(text, seal) => (text, seal),
        First::Other(member) => return Err(no_export(shown, &member)),
    };
    let manifest = manifest::parse(&text).map_err(|why| Error::Invalid {
        message: format!("{} cannot be imported: {why}", shown.display()),
        hint: "import it with the version of wxc that wrote it, or fetch it again".into(),
    })?;
    let name = match &request.name {
        Some(name) => name.clone(),
        None => manifest.name.parse()?,
    };
    let claim = journal::claim(host, &[&name], "import")?;
    let mut notes = create::make_room(host, &name)?;
    let base = base(host, request, &name)?;
    let chosen = plugins::choose(host, &base.storage)?;
    notes.extend(chosen.why);
    let storage = plugins::load_storage_set(host, &chosen.name, &request.storage_set)?;
    let room = storage.open()?;
    let configs = configs(host, request, &manifest, &name, &base.text)?;
    let work = Work {
        host,
        request,
        manifest: &manifest,
        name: &name,
        storage,
        storage_name: chosen.name,
        configs,
        stream,
        progress: Place { archive, shown },
        limits: Limits { bytes: Limits::default().bytes.max(room.available), ..Limits::default() },
    };
    let intent = Intent::Import { name: name.clone(), storage: work.storage_name.clone() };
    let imported =
        journal::perform(host, &intent, Survives::PowerLoss, |operation| work.run(operation, seal, notes))?;
    drop(claim);
    tracing::info!(%name, from = manifest.name, "imported");
    Ok(imported)
}

/// What to do with something else.
fn no_export(shown: &Path, member: &str) -> Error {
    let message = format!("{} is no export of wxc: it begins with {member}", shown.display());
    let first = member.trim_start_matches("./");
    let hint = if first == "backup" || first.starts_with("backup/") {
        "it looks like a backup of Incus or LXD. Its root file system can be used: \
         wxc create NAME -t local -- --tarball FILE --prefix backup/container/rootfs"
    } else if first == "metadata.yaml" || first.starts_with("rootfs") {
        "it looks like an image: wxc create NAME -t local -- --tarball FILE --prefix rootfs"
    } else {
        "a plain root file system becomes a container so: wxc create NAME -t local -- --tarball FILE"
    };
    Error::Invalid { message, hint: hint.into() }
}

/// What new containers here begin with.
struct Base {
    text: String,
    storage: String,
}

fn base(host: &Host, request: &ImportRequest, name: &Name) -> Result<Base, Error> {
    let container = system::new_container(&host.defaults)?;
    let file = host.defaults.join("default.toml");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let said = edit::get(&text, &file, "rootfs.storage")?.set;
    let head = write::fresh(&Container::default(), name).unwrap_or_default();
    let text = if text.is_empty() { head } else { text };
    let storage = match (&request.storage, &host.settings.storage) {
        (Some(storage), _) => storage.clone(),
        (None, Some(storage)) if !said => storage.clone(),
        _ => container.rootfs.storage,
    };
    Ok(Base { text, storage })
}

/// What is taken of each tree's configuration.
fn configs(
    host: &Host,
    request: &ImportRequest,
    manifest: &Manifest,
    name: &Name,
    base: &str,
) -> Result<Vec<Taken>, Error> {
    let file = host.layout.config(name);
    let one = |tree: &Tree| {
        let mut taken = if request.trust_config {
            trust::whole(&tree.config, &file)?
        } else {
            trust::harmless(&tree.config, &file, base)?
        };
        if tree.snapshot.is_none() {
            for (key, value) in &request.set {
                taken.text = edit::set(&taken.text, &file, key, value)?;
            }
        }
        Ok(taken)
    };
    manifest.trees.iter().map(one).collect()
}

/// How far the file is read, whoever reads it.
struct Place<'a> {
    archive: BorrowedFd<'a>,
    shown: &'a Path,
}

impl Place<'_> {
    fn report(&self, host: &Host, written: u64) {
        let total = rustix::fs::fstat(self.archive).ok();
        let total = total.and_then(|stat| u64::try_from(stat.st_size).ok()).filter(|size| *size > 0);
        match (total, rustix::fs::tell(self.archive)) {
            (Some(total), Ok(at)) => host.progress.report(at, Some(total), Unit::Bytes),
            _ => host.progress.report(written, None, Unit::Bytes),
        }
        // A plugin's progress is cancelled through the same flag.
        if host.progress.cancelled() {
            host.cancel.store(true, Ordering::Relaxed);
        }
    }
}

/// One import, with everything that was found out before.
struct Work<'a> {
    host: &'a Host,
    request: &'a ImportRequest,
    manifest: &'a Manifest,
    name: &'a Name,
    storage: StoragePlugin,
    storage_name: String,
    configs: Vec<Taken>,
    stream: BorrowedFd<'a>,
    progress: Place<'a>,
    limits: Limits,
}

impl Work<'_> {
    fn run(&self, operation: &Operation, seal: String, mut notes: Vec<String>) -> Result<Imported, Error> {
        let Self { host, name, storage, .. } = self;
        let file = host.layout.config(name);
        let last = self.configs.last().map_or("", |config| &config.text);
        let (_, mut mark) = trust::at_home(last, &file, &IdMap::default(), &self.storage_name)?;
        operation.step("import.directory")?;
        create::begin(host, name, &mark)?;
        operation.step("import.ids")?;
        if !mark.privileged {
            mark.ids = ids::allocate(host, name)?;
        }
        operation.step("import.volume")?;
        let sized = storage.abilities().sizes;
        let had = self.manifest.size.filter(|_| sized);
        volume::create_like(host, storage, operation.id(), (name, self.request.size, had))?;
        let snapshots = self.trees(operation, &mark, seal, &mut notes)?;
        unpack::end(self.stream).map_err(|source| image(self.progress.shown, source))?;

        operation.step("import.identity")?;
        let (text, container) = trust::at_home(last, &file, &mark.ids, &self.storage_name)?;
        let root = volume::open(storage, name.as_str(), Access::ReadWrite)?;
        let (text, container) = self.identify(&root, text, container, &mut notes)?;
        host.check_cancelled()?;
        // Content first, then the name that says it is complete.
        operation.step("import.durable")?;
        let directory = host.layout.directory(name);
        create::settle_content(host, name, &root, &text, Survives::PowerLoss)?;
        drop(root);
        operation.step("import.complete")?;
        create::complete(host, name, Survives::PowerLoss)?;
        let left_out: std::collections::BTreeSet<&String> =
            self.configs.iter().flat_map(|config| &config.left_out).collect();
        Ok(Imported {
            name: (*name).clone(),
            from: self.manifest.name.clone(),
            directory,
            storage: self.storage_name.clone(),
            privileged: container.privileged,
            snapshots,
            left_out: left_out.into_iter().cloned().collect(),
            notes,
        })
    }

    /// One tree after the other, with a snapshot after each that was one.
    fn trees(
        &self,
        operation: &Operation,
        container: &Container,
        mut seal: String,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Name>, Error> {
        let Self { host, name, storage, .. } = self;
        let file = host.layout.config(name);
        let mut snapshots = Vec::new();
        for (index, (tree, config)) in self.manifest.trees.iter().zip(&self.configs).enumerate() {
            operation.step("import.unpack")?;
            let volume = volume::open(storage, name.as_str(), Access::ReadWrite)?;
            seal = self.unpack(&volume, container, index, &seal, notes)?;
            let Some(taken) = tree.snapshot.as_ref().filter(|_| self.request.snapshots) else { continue };
            volume.sync().map_err(Error::io("make durable", &host.layout.directory(name)))?;
            // A mounted disk cannot be copied by everyone.
            drop(volume);
            operation.step("import.snapshot")?;
            let snapshot = taken.name()?;
            let (text, _) = trust::at_home(&config.text, &file, &container.ids, &self.storage_name)?;
            let moment = (&snapshot, taken.created.as_str(), taken.comment.as_deref());
            take::adopt(host, (name, container), operation, moment, &text)?;
            snapshots.push(snapshot);
        }
        Ok(snapshots)
    }

    fn unpack(
        &self,
        volume: &OpenVolume,
        container: &Container,
        index: usize,
        seal: &str,
        notes: &mut Vec<String>,
    ) -> Result<String, Error> {
        let host = self.host;
        let mut options = Options::new(ids::id_mode(container));
        options.limits = self.limits;
        options.onto_existing = index > 0;
        options.section = Some(section(index, seal));
        if container.privileged {
            options.devices = Devices::Make;
        }
        let what = self.manifest.trees[index].snapshot.as_ref().map_or("", |taken| &taken.name);
        let at = if what.is_empty() { "" } else { "@" };
        host.progress.phase(&format!("importing {}{at}{what}", self.name));
        let request = Request { source: Source::Section(self.stream), target: volume.root(), options };
        let mut watch = |at: unpack::Progress| self.progress.report(host, at.written);
        let report = unpack::run(&request, &mut watch, host.cancel)
            .map_err(|source| image(self.progress.shown, source))?;
        for note in &report.notes {
            let note = note.to_string();
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        Ok(report.seal)
    }

    /// Another name, or another machine altogether. Everything stays as it was under the same name.
    fn identify(
        &self,
        root: &OpenVolume,
        text: String,
        container: Container,
        notes: &mut Vec<String>,
    ) -> Result<(String, Container), Error> {
        let (host, name, again) = (self.host, self.name, self.request.new_identity);
        let old: Name = self.manifest.name.parse()?;
        if old == *name && !again {
            return Ok((text, container));
        }
        let directories = (host.layout.directory(&old), host.layout.directory(name));
        let renewed = carry::Renewed {
            from: &old,
            to: name,
            directories: (&directories.0, &directories.1),
            storage: &self.storage_name,
            volume: None,
            ids: &container.ids,
            keep_name: old == *name && container.hostname.is_some(),
            keep_mac: !again,
            ephemeral: container.ephemeral,
            same_machine: !again,
            set: &[],
            mounts: &[],
        };
        let carried = carry::carry(&text, &container, &host.layout.config(name), &renewed)?;
        let names = (carry::host_name(&container, &old), carry::host_name(&carried.container, name));
        let renamed = identity::NewName { old: &names.0, new: &names.1 };
        let renamed = Some(&renamed).filter(|_| old != *name);
        if again {
            identity::renew(root.root(), renamed)?;
        } else if let Some(renamed) = renamed {
            identity::rename(root.root(), renamed)?;
        }
        if !again && store::require(host, &old).is_ok() {
            notes.push(format!(
                "{name} is the same machine as {old}, with one machine id and the same hardware addresses: \
                 if both are to run, import it with --new-identity"
            ));
        }
        notes.extend(carried.notes.into_iter().filter(|_| again));
        Ok((carried.text, carried.container))
    }
}

/// Opens a file to import.
///
/// # Errors
/// It is not there, or not for this caller to read.
pub fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(Error::io("open", path))
}
