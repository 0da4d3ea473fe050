#![forbid(unsafe_code)]
//! An image as one file, and back: the format of exports, with a manifest that describes an image (docs/export-format.md).
//!
//! Whoever imports a file vouches for it. What it says of itself decides nothing here: its key is made of the file's own bytes,
//! so that it never passes for what a server has, and who signed it elsewhere is not taken over.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source::{Digested, digest, how};
use super::{Image, Record, alias, begin, clear, complete, hold, is_possible, load, lock, pull, short};
use crate::config::{Container, system};
use crate::container::kept::Kept;
use crate::container::snapshot::record::now;
use crate::container::transfer::export::To;
use crate::container::transfer::section;
use crate::container::transfer::target::Target;
use crate::container::{Error, Host, ids, plugins, volume};
use crate::plugin::storage::{Access, Storage as _};
use crate::plugin::template::types::Assembly;
use crate::plugin::{StoragePlugin, Unit};
use crate::unpack::{
    self, Coder, Compression, Devices, First, Limits, Options, PackRequest, Source, UnpackError,
};

/// Says what the file is.
pub(in crate::container) const FORMAT: &str = "wxc-image";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Longest text in a description, in bytes.
const LONGEST: usize = 4096;
/// Most notes, files of metadata and answers.
const NOTES: usize = 1000;
/// Longest metadata of an image, in bytes; as a template may have them.
const MEMBERS: usize = 4 << 20;
/// How a squashfs image begins.
const SQUASHFS: &[u8] = b"hsqs";

/// The first member of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest {
    format: String,
    version: u32,
    /// Version of the program that wrote it.
    wxc: String,
    /// When, as RFC 3339 in UTC.
    exported: String,
    image: Record,
    /// What its template is asked with.
    template: Kept,
}

/// What every version has.
#[derive(Deserialize)]
struct Envelope {
    format: String,
    version: u32,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    pub key: String,
    pub product: String,
    pub file: Option<PathBuf>,
    /// Bytes of the file, where it is one.
    pub bytes: Option<u64>,
    /// Bytes of content, before compression.
    pub content: u64,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Writes an image to `to`.
///
/// # Errors
/// There is no file then.
pub fn export(host: &Host, word: &str, compression: Compression, to: To<'_>) -> Result<Exported, Error> {
    // Nobody removes it meanwhile.
    let (image, template) = hold(host, word)?;
    let record = &image.record;
    let storage = plugins::load_storage(host, &record.storage)?;
    storage.open()?;
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        wxc: env!("CARGO_PKG_VERSION").into(),
        exported: now(),
        image: record.clone(),
        template,
    };
    let target = Target::open(to)?;
    let report = if compression == Compression::None {
        sections(host, &storage, &manifest, target.fd())
    } else {
        let coder = Coder::encode(target.fd(), compression).map_err(|source| failed(record, source))?;
        let pipe = coder.pipe().map_err(|source| failed(record, source))?;
        match sections(host, &storage, &manifest, pipe) {
            Ok(report) => coder.finish(host.cancel).map(|()| report).map_err(|source| failed(record, source)),
            Err(Error::Export { source, .. }) => Err(failed(record, coder.explain(source))),
            Err(error) => Err(error),
        }
    }?;
    let bytes = target.commit()?;
    tracing::info!(key = record.key, bytes, "an image was exported");
    let file = match to {
        To::File { path, .. } => Some(path.to_owned()),
        To::Stream(_) => None,
    };
    Ok(Exported {
        key: record.key.clone(),
        product: record.name(),
        file,
        bytes,
        content: report.progress.written,
        notes: report.notes.iter().map(ToString::to_string).collect(),
    })
}

fn failed(image: &Record, source: UnpackError) -> Error {
    match source {
        UnpackError::Cancelled => Error::Cancelled,
        source => Error::Export { name: format!("image {}", short(&image.key)), source },
    }
}

fn sections(
    host: &Host,
    storage: &StoragePlugin,
    manifest: &Manifest,
    out: BorrowedFd<'_>,
) -> Result<unpack::Report, Error> {
    let image = &manifest.image;
    let text = serde_json::to_vec_pretty(manifest).map_err(|error| Error::Invalid {
        message: format!("image {} cannot be described: {error}", short(&image.key)),
        hint: "this is a mistake of wxc: report it".into(),
    })?;
    let seal = unpack::manifest(out, &text).map_err(|source| failed(image, source))?;
    let volume = volume::open(storage, &image.volume(), Access::ReadOnly)?;
    host.progress.phase(&format!("exporting {}", image.name()));
    let request = PackRequest {
        tree: volume.root(),
        since: None,
        out,
        ids: ids::id_mode(&container(image.privileged)),
        section: section(0, &seal),
    };
    let mut watch = |at: unpack::Progress| host.progress.report(at.written, at.total, Unit::Bytes);
    let report = unpack::pack(&request, &mut watch, host.cancel).map_err(|source| failed(image, source))?;
    unpack::close(out).map_err(|source| failed(image, source))?;
    Ok(report)
}

/// A container as those that an image is for.
fn container(privileged: bool) -> Container {
    Container { privileged, ..Container::default() }
}

/// What to make an image of.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// Storage plugin; `None`: what the configuration says.
    pub storage: Option<String>,
    /// What it is to be called.
    pub alias: Option<String>,
    /// For a file with nothing but metadata: the file with the root that belongs to it.
    pub root: Option<PathBuf>,
    /// For a file that is no export of an image: where in it the root is.
    pub prefix: Option<String>,
    /// The same: whether it becomes one for containers with root privileges of the host's.
    pub privileged: bool,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    pub image: Record,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Makes an image of a file: of an export of one, or of a root file system as other programs write them.
///
/// # Errors
/// There is no image then.
pub fn import(host: &Host, request: &ImportRequest, file: &Path) -> Result<Imported, Error> {
    if let Some(alias) = &request.alias {
        alias::check(alias)?;
    }
    let imported = match &request.root {
        Some(root) => split(host, request, file, root)?,
        None => whole(host, request, file)?,
    };
    if let Some(name) = &request.alias {
        alias::set(host, name, &imported.image.key)?;
    }
    Ok(imported)
}

/// One file with everything in it.
fn whole(host: &Host, request: &ImportRequest, file: &Path) -> Result<Imported, Error> {
    let mut archive = File::open(file).map_err(Error::io("open", file))?;
    let mut start = [0; SQUASHFS.len()];
    let read = archive.read(&mut start).and_then(|count| archive.rewind().map(|()| count));
    let is_disk = start.get(..read.map_err(Error::io("read", file))?) == Some(SQUASHFS);
    if is_disk {
        return plain_or_unified(host, request, file);
    }
    let limits = Limits { bytes: u64::MAX, ..Limits::default() };
    let coder = Coder::decode(archive.as_fd(), limits).map_err(|source| unreadable(file, source))?;
    match from_stream(host, request, &coder, (archive.as_fd(), file)) {
        Ok(Found::Image(imported)) => Ok(*imported),
        Ok(Found::Unified) if request.prefix.is_none() => {
            drop(coder);
            foreign(host, request, vec![option("tarball", file), "--unified".into()])
        }
        Ok(Found::Unified | Found::Other) => {
            drop(coder);
            plain_or_unified(host, request, file)
        }
        Err(Error::Image { source, .. }) => Err(unreadable(file, coder.explain(source))),
        Err(error) => Err(error),
    }
}

/// A root, or, where only what came of it says so, a root with metadata beside it.
fn plain_or_unified(host: &Host, request: &ImportRequest, file: &Path) -> Result<Imported, Error> {
    match foreign(host, request, vec![option("tarball", file)]) {
        Err(Error::NoRoot { unified: true, .. }) if request.prefix.is_none() => {
            foreign(host, request, vec![option("tarball", file), "--unified".into()])
        }
        other => other,
    }
}

/// Metadata in one file, and the root in another.
fn split(host: &Host, request: &ImportRequest, metadata: &Path, root: &Path) -> Result<Imported, Error> {
    foreign(host, request, vec![option("metadata", metadata), option("tarball", root)])
}

fn option(name: &str, file: &Path) -> String {
    format!("--{name}={}", file.display())
}

/// What a file turned out to be.
enum Found {
    Image(Box<Imported>),
    /// Metadata, and the root below `rootfs`, as Incus and LXD write both in one.
    Unified,
    /// No export of an image.
    Other,
}

fn from_stream(
    host: &Host,
    request: &ImportRequest,
    coder: &Coder,
    (archive, file): (BorrowedFd<'_>, &Path),
) -> Result<Found, Error> {
    let pipe = coder.pipe().map_err(|source| unreadable(file, source))?;
    match unpack::first(pipe).map_err(|source| unreadable(file, source))? {
        First::Manifest(text, seal) => {
            let manifest = parse(&text).map_err(|why| Error::Invalid {
                message: format!("{} cannot be imported: {why}", file.display()),
                hint: "import it with the version of wxc that wrote it, or fetch it again".into(),
            })?;
            let imported = own(host, request, manifest, &Stream { pipe, archive, file, seal })?;
            Ok(Found::Image(Box::new(imported)))
        }
        First::Other(member) => {
            // As it is packed, metadata comes first; otherwise what comes of it tells.
            let first = member.trim_start_matches("./").trim_start_matches('/').split('/').next();
            let unified = matches!(first, Some("metadata.yaml" | "templates"));
            Ok(if unified { Found::Unified } else { Found::Other })
        }
    }
}

fn unreadable(file: &Path, source: UnpackError) -> Error {
    match source {
        UnpackError::Cancelled => Error::Cancelled,
        source => Error::Image { from: file.to_owned(), source },
    }
}

/// A root file system that a template knows how to unpack.
fn foreign(host: &Host, request: &ImportRequest, mut options: Vec<String>) -> Result<Imported, Error> {
    options.extend(request.prefix.as_ref().map(|prefix| format!("--prefix={prefix}")));
    let wanted = pull::PullRequest {
        template: "local".into(),
        storage: request.storage.clone(),
        privileged: request.privileged,
        allow_older: false,
        alias: None,
        options,
    };
    let pulled = pull::pull(host, &wanted)?;
    match pulled.image {
        Some(image) => Ok(Imported { image, notes: pulled.notes }),
        None => Err(no_images("the storage here")),
    }
}

pub(super) fn no_images(storage: &str) -> Error {
    Error::Invalid {
        message: format!("{storage} keeps no images: it does not clone instantly"),
        hint: "name one that does: -B overlay, or -B btrfs where that is the file system".into(),
    }
}

fn parse(text: &[u8]) -> Result<Manifest, String> {
    let damaged = |error: serde_json::Error| format!("its manifest is not understood: {error}");
    let envelope: Envelope = serde_json::from_slice(text).map_err(damaged)?;
    if envelope.format != FORMAT {
        return Err("it is the export of a container: wxc import makes one of it".into());
    }
    if envelope.version != VERSION {
        return Err(format!(
            "it has version {} of the format, and this wxc knows {VERSION}",
            envelope.version
        ));
    }
    let mut manifest: Manifest = serde_json::from_slice(text).map_err(damaged)?;
    check(&manifest)?;
    let Manifest { image, template, .. } = &mut manifest;
    // Nobody here has seen that signature, and nobody asks that server for it.
    image.signer = None;
    image.imported = true;
    template.manifest.signer = None;
    template.server = String::new();
    template.moments = Vec::new();
    Ok(manifest)
}

/// What is shown to people is short and of one line, and what is to be done with it can be done.
fn check(manifest: &Manifest) -> Result<(), String> {
    let Manifest { image, template, .. } = manifest;
    let words = [&image.template, &image.product, &image.serial, &image.created, &template.template];
    let shown = words.into_iter().chain(&image.notes);
    let answers = template.request.answers.iter().flat_map(|answer| [&answer.name, &answer.value]);
    if shown.chain(answers).any(|word| word.len() > LONGEST || word.chars().any(char::is_control)) {
        return Err("its description has lines that are too long, or control characters".into());
    }
    if image.notes.len() > NOTES || template.members.len() > NOTES || template.request.answers.len() > NOTES {
        return Err(format!("its description has more than {NOTES} notes, files or answers"));
    }
    let of_manifest =
        [&template.manifest.product, &template.manifest.serial, &template.manifest.architecture];
    let names = of_manifest.into_iter().chain(template.members.iter().map(|member| &member.name));
    if names.into_iter().any(|word| word.len() > LONGEST || word.chars().any(char::is_control)) {
        return Err("what its template says has lines that are too long, or control characters".into());
    }
    if template.members.iter().map(|member| member.content.len()).sum::<usize>() > MEMBERS {
        return Err(format!("its metadata has more than {MEMBERS} bytes"));
    }
    match template.manifest.assembly {
        Assembly::Archives(_) | Assembly::Layers(_) | Assembly::Packages(_) => Ok(()),
        _ => Err("it was not made of what an image can be made of".into()),
    }
}

/// A file that is being read.
struct Stream<'a> {
    pipe: BorrowedFd<'a>,
    archive: BorrowedFd<'a>,
    file: &'a Path,
    /// Of what was read already.
    seal: String,
}

fn own(
    host: &Host,
    request: &ImportRequest,
    manifest: Manifest,
    stream: &Stream<'_>,
) -> Result<Imported, Error> {
    let configured = match (&request.storage, &host.settings.storage) {
        (Some(storage), _) | (None, Some(storage)) => storage.clone(),
        (None, None) => system::new_container(&host.defaults)?.rootfs.storage,
    };
    let chosen = plugins::choose(host, &configured)?;
    let storage = plugins::load_storage(host, &chosen.name)?;
    let room = storage.open()?;
    let container = container(manifest.image.privileged);
    if manifest.image.privileged && !request.privileged {
        return Err(Error::Invalid {
            message: format!(
                "{} is an image for containers with root privileges of the host's, and has devices",
                stream.file.display()
            ),
            hint: "if you trust whoever made it: --privileged".into(),
        });
    }
    if !is_possible(&storage, &container)? {
        return Err(no_images(&chosen.name));
    }
    let words = [chosen.name.as_str(), "an export", how(&container)];
    let Digested { key, size, .. } = digest(host, stream.file, &words)?;
    let lock = lock(host, &key)?;
    let notes = chosen.why.into_iter().collect();
    if let Some(image) = load(host, &key)? {
        return Ok(Imported { image, notes });
    }
    let Manifest { image, template, .. } = manifest;
    let mut record = Record {
        key,
        storage: chosen.name,
        source: stream.file.canonicalize().unwrap_or_else(|_| stream.file.to_owned()),
        size,
        created: now(),
        ..image
    };
    let limits = Limits { bytes: Limits::default().bytes.max(room.available), ..Limits::default() };
    let made = make(host, &storage, &mut record, &template, (stream, limits));
    if made.is_err() {
        // What stays is no image, and goes with the next attempt.
        drop(clear(host, &storage, &record.key));
    }
    made?;
    let image = Image { record, _lock: lock };
    Ok(Imported { image: image.record.clone(), notes })
}

fn make(
    host: &Host,
    storage: &StoragePlugin,
    record: &mut Record,
    template: &Kept,
    (stream, limits): (&Stream<'_>, Limits),
) -> Result<(), Error> {
    let directory = begin(host, storage, &record.key)?;
    let (operation, id) = (plugins::operation("image"), record.volume());
    storage.create(&operation, &id, None)?;
    let volume = volume::open(storage, &id, Access::ReadWrite)?;
    let failed = |source| unreadable(stream.file, source);
    let mut options = Options::new(ids::id_mode(&container(record.privileged)));
    options.limits = limits;
    options.section = Some(section(0, &stream.seal));
    if record.privileged {
        options.devices = Devices::Make;
    }
    host.progress.phase(&format!("importing {}", record.name()));
    let total = rustix::fs::fstat(stream.archive).ok().and_then(|stat| u64::try_from(stat.st_size).ok());
    let mut watch = |at: unpack::Progress| match rustix::fs::tell(stream.archive) {
        Ok(read) => host.progress.report(read, total, Unit::Bytes),
        Err(_) => host.progress.report(at.written, None, Unit::Bytes),
    };
    let request = unpack::Request { source: Source::Section(stream.pipe), target: volume.root(), options };
    let report = unpack::run(&request, &mut watch, host.cancel).map_err(failed)?;
    unpack::end(stream.pipe).map_err(failed)?;
    host.check_cancelled()?;
    drop(volume);
    for note in report.notes.iter().map(ToString::to_string) {
        if !record.notes.contains(&note) {
            record.notes.push(note);
        }
    }
    template.write_durably(&directory)?;
    // The seal makes it durable.
    storage.seal(&operation, &id)?;
    complete(&directory, record)
}
