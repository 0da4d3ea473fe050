#![forbid(unsafe_code)]
//! From a template's manifest to a filled root: the host does it, the template only said how.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::downloads::Downloads;
use super::options::Answers;
use super::{Error, Host, beneath, early, given, ids, packages, root_check, side_by_side};
use crate::config::Container;
use crate::config::mounts::{Create, Mount};
use crate::plugin::storage::Pool;
use crate::plugin::template::types::{
    Archive, ArchiveFormat, ArchiveRole, Archives, Assembly, Blob, DigestAlgorithm, Given, HostDirectories,
    Layer, Layers, Manifest, Member, Origin,
};
use crate::plugin::template::{Template as _, digest_of};
use crate::plugin::{TemplatePlugin, Unit};
use crate::unpack::{self, Devices, Options, Source, UnpackError};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    /// Mounts the container needs for its root to be whole.
    pub mounts: Vec<Mount>,
    /// What was left out, in words.
    pub notes: Vec<String>,
    /// Bytes of the archive; 0 where there was none.
    pub size: u64,
}

/// Where the bytes come from that a manifest names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Supplies<'a> {
    pub answers: &'a Answers,
    /// For a template that may reach servers.
    pub downloads: Option<&'a Downloads>,
}

impl Supplies<'_> {
    /// The bytes of a blob, which are what they have to be, and what to call them.
    pub(super) fn open(&self, host: &Host, blob: &Blob) -> Result<(PathBuf, File), Error> {
        match &blob.origin {
            Origin::Given(given) => {
                let named = given_path(self.answers, given)?;
                let mut file = given::bytes(host, &named, &given.path)?;
                let place = if given.path.is_empty() { named } else { named.join(&given.path) };
                if let Some(digest) = blob.digest.as_ref().and_then(digest_of) {
                    given::check(host, &place, &mut file, &digest)?;
                }
                Ok((place, file))
            }
            Origin::Remote(remote) => {
                let downloads = self.downloads.ok_or_else(|| not_given("a download"))?;
                let name = remote.urls.first().map_or_else(PathBuf::new, PathBuf::from);
                Ok((name, downloads.blob(blob)?))
            }
        }
    }
}

/// What a template knows the configuration of a layered image by.
const CONFIG: &str = "config";
/// Longest configuration of a layered image.
const LONGEST_CONFIG: u64 = 4 << 20;

/// Settings that an image may bring: how its first program is run, and nothing that gives it power.
const ALLOWED: &[&str] = &[
    "arch",
    "init.command",
    "init.cwd",
    "init.group",
    "init.groups",
    "init.stub",
    "init.user",
    "stop.halt",
    "stop.reboot",
    "console.ttys",
];
/// The same for free names: variables of init's environment.
const ALLOWED_BELOW: &[&str] = &["environment.set."];

/// Whether a template may set `key`.
#[must_use]
pub(super) fn is_allowed(key: &str) -> bool {
    ALLOWED.contains(&key) || ALLOWED_BELOW.iter().any(|prefix| key.starts_with(prefix))
}

/// Refuses what this version cannot assemble, before anything is made.
pub(super) fn check(template: &TemplatePlugin, manifest: &Manifest) -> Result<(), Error> {
    let unsupported = |what: &str| {
        Err(Error::Invalid {
            message: format!(
                "{} wants {what}, which this version of wxc cannot assemble",
                template.identity()
            ),
            hint: "use a template that unpacks an archive or copies a directory, or shows the host".into(),
        })
    };
    match &manifest.assembly {
        Assembly::Empty | Assembly::Tree(_) | Assembly::HostSystem(_) | Assembly::Packages(_) => Ok(()),
        Assembly::Archives(archives) => match the_archive(archives) {
            Some(_) => Ok(()),
            None => unsupported("archives that it cannot read"),
        },
        Assembly::Layers(layers) => match layers.stack.iter().all(is_understood) {
            true => Ok(()),
            false => unsupported("a layer of which nobody gives a digest"),
        },
        Assembly::Bootstrap(_) => unsupported("a bootstrap"),
    }
}

/// Whether everything is said that has to be known of a layer.
fn is_understood(layer: &Layer) -> bool {
    let known = matches!(layer.blob.origin, Origin::Given(_)) || layer.blob.digest.is_some();
    // The unpacker computes this one, and no other.
    known && layer.diff_id.algorithm == DigestAlgorithm::Sha256
}

/// The archive with the root in it, if all that there is can be used.
pub(super) fn the_archive(archives: &Archives) -> Option<&Archive> {
    let understood = |part: &Archive| {
        let known = match &part.blob.origin {
            // The user vouches for what they name.
            Origin::Given(given) => given.path.is_empty() && part.blob.digest.is_none(),
            // A digest that nobody gives is found out (`pin`).
            Origin::Remote(_) => true,
        };
        // What it is, its first bytes say.
        known
    };
    let root = archives.parts.iter().find(|part| part.role != ArchiveRole::Metadata)?;
    archives.parts.iter().all(understood).then_some(root)
}

/// The archive of the user's that the root is in.
fn given_archive(archives: &Archives) -> Option<(&Given, &str)> {
    let part = the_archive(archives)?;
    match &part.blob.origin {
        Origin::Given(given) => Some((given, part.prefix.as_str())),
        Origin::Remote(_) => None,
    }
}

/// The local archive that is unpacked as a whole, and where in it the root is.
pub(super) fn local_archive<'a>(manifest: &'a Manifest, answers: &Answers) -> Option<(PathBuf, &'a str)> {
    let Assembly::Archives(archives) = &manifest.assembly else { return None };
    let (given, prefix) = given_archive(archives)?;
    Some((answers.given.get(&given.parameter)?.clone(), prefix))
}

/// Refuses to begin what cannot fit: a disk that fills up in the middle costs minutes.
pub(super) fn check_room(
    host: &Host,
    room: &Pool,
    manifest: &Manifest,
    answers: &Answers,
) -> Result<(), Error> {
    let need = match &manifest.assembly {
        Assembly::Archives(archives) => given_archive(archives)
            .and_then(|(given, _)| answers.given.get(&given.parameter))
            .and_then(|path| path.metadata().ok())
            .map_or(0, |meta| meta.len()),
        _ => 0,
    };
    if need > room.available {
        return Err(Error::Invalid {
            message: format!(
                "the archive alone is larger ({need} bytes) than what is left in {} ({} bytes)",
                host.layout.path.display(),
                room.available
            ),
            hint: "make room on that file system, or choose another directory with -P".into(),
        });
    }
    Ok(())
}

/// Fills the root at `target`.
pub(super) fn assemble(
    host: &Host,
    container: &Container,
    manifest: &Manifest,
    supplies: Supplies<'_>,
    target: BorrowedFd<'_>,
) -> Result<Assembled, Error> {
    match &manifest.assembly {
        Assembly::Empty => Ok(Assembled::default()),
        Assembly::HostSystem(shown) => Ok(Assembled { mounts: shown_mounts(shown), ..Assembled::default() }),
        Assembly::Tree(given) => {
            let path = given_path(supplies.answers, given)?;
            let tree = if given.path.is_empty() {
                beneath::open(&path, Path::new("."))?
            } else {
                beneath::open(&path, Path::new(&given.path))?
            };
            unpack_from(host, container, (&path, Source::Directory(tree.as_fd())), "", target, "copying")
        }
        Assembly::Archives(archives) => {
            let part = the_archive(archives).ok_or_else(|| not_given("an archive"))?;
            let prefix = part.prefix.as_str();
            if let Some(downloads) = supplies.downloads
                // An image of a file system begins at its end.
                && part.format == ArchiveFormat::Tar
                && early::is_possible(downloads, &part.blob)
            {
                let mut options = options(container);
                prefix.clone_into(&mut options.prefix);
                let (file, report) = early::unpack(host, downloads, &part.blob, &options, target)?;
                downloads.check_combined(archives)?;
                root_check::check(target, &called(part))?;
                let size = file.metadata().map_or(0, |meta| meta.len());
                let notes = report.notes.iter().map(ToString::to_string).collect();
                return Ok(Assembled { size, notes, ..Assembled::default() });
            }
            let (path, file) = supplies.open(host, &part.blob)?;
            if let Some(downloads) = supplies.downloads {
                downloads.check_combined(archives)?;
            }
            let source = Source::Archive(file.as_fd());
            let size = file.metadata().map_or(0, |meta| meta.len());
            let assembled = unpack_from(host, container, (&path, source), prefix, target, "unpacking")?;
            root_check::check(target, &path.display().to_string())?;
            Ok(Assembled { size, ..assembled })
        }
        Assembly::Layers(layers) => stack(host, container, layers, supplies, target),
        Assembly::Packages(all) => packages::lay(host, container, all, supplies, target),
        Assembly::Bootstrap(_) => Err(not_given("an assembly")),
    }
}

/// What to call an archive in a message.
fn called(part: &Archive) -> String {
    match &part.blob.origin {
        Origin::Remote(remote) => remote.urls.first().cloned().unwrap_or_default(),
        Origin::Given(given) => given.path.clone(),
    }
}

/// The host path behind what the template named.
pub(super) fn given_path(answers: &Answers, given: &Given) -> Result<PathBuf, Error> {
    answers.given.get(&given.parameter).cloned().ok_or_else(|| not_given(&given.parameter))
}

fn not_given(what: &str) -> Error {
    Error::Invalid {
        message: format!("the template named {what}, which nobody gave"),
        hint: "this is a mistake of the template: tell its author".into(),
    }
}

/// Has all layers here that a server has.
pub(super) fn obtain_layers(host: &Host, layers: &Layers, supplies: Supplies<'_>) -> Result<(), Error> {
    let remote = |layer: &&Layer| matches!(layer.blob.origin, Origin::Remote(_));
    let blobs: Vec<&Blob> = layers.stack.iter().filter(remote).map(|layer| &layer.blob).collect();
    if blobs.is_empty() { Ok(()) } else { side_by_side::obtain(host, supplies, "layers", &blobs) }
}

/// Unpacks layers, one over the other.
fn stack(
    host: &Host,
    container: &Container,
    layers: &Layers,
    supplies: Supplies<'_>,
    target: BorrowedFd<'_>,
) -> Result<Assembled, Error> {
    obtain_layers(host, layers, supplies)?;
    let mut all = Assembled::default();
    let count = layers.stack.len();
    for (at, layer) in layers.stack.iter().enumerate() {
        let (path, file) = supplies.open(host, &layer.blob)?;
        all.size += file.metadata().map_or(0, |meta| meta.len());
        let mut options = options(container);
        options.onto_existing = true;
        options.layer = Some(layer.diff_id.hex.clone());
        let phase = format!("unpacking layer {} of {count}", at + 1);
        all.notes.extend(unpack_with(host, options, (&path, Source::Archive(file.as_fd())), target, &phase)?);
    }
    Ok(all)
}

/// The metadata that a template wants to see.
pub(super) fn members(
    host: &Host,
    manifest: &Manifest,
    supplies: Supplies<'_>,
) -> Result<Vec<Member>, Error> {
    match &manifest.assembly {
        Assembly::Archives(archives) => archived_members(host, archives, supplies),
        Assembly::Layers(layers) => {
            Ok(vec![Member { name: CONFIG.into(), content: layers_config(host, layers, supplies)? }])
        }
        _ => Ok(Vec::new()),
    }
}

fn archived_members(host: &Host, archives: &Archives, supplies: Supplies<'_>) -> Result<Vec<Member>, Error> {
    let mut members = Vec::new();
    for part in archives.parts.iter().filter(|part| part.role != ArchiveRole::Root) {
        let (path, mut file) = supplies.open(host, &part.blob)?;
        file.rewind().map_err(Error::io("read", &path))?;
        let whole = part.role == ArchiveRole::Combined;
        let found = unpack::members(file.as_fd(), &archives.members, whole, host.cancel)
            .map_err(|source| failed(&path, source))?;
        members.extend(found.into_iter().map(|(name, content)| Member { name, content }));
    }
    Ok(members)
}

/// The configuration of a layered image, for the template.
fn layers_config(host: &Host, layers: &Layers, supplies: Supplies<'_>) -> Result<Vec<u8>, Error> {
    let Some(blob) = &layers.config else { return Ok(Vec::new()) };
    let (path, file) = supplies.open(host, blob)?;
    let mut bytes = Vec::new();
    file.take(LONGEST_CONFIG + 1).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
    if bytes.len() as u64 > LONGEST_CONFIG {
        let long = std::io::Error::other(format!("it is longer than {LONGEST_CONFIG} bytes"));
        return Err(Error::io("read", &path)(long));
    }
    Ok(bytes)
}

/// How everything is unpacked for this container.
pub(super) fn options(container: &Container) -> Options {
    let mut options = Options::new(ids::id_mode(container));
    if container.privileged {
        options.devices = Devices::Make;
    }
    options
}

/// Unpacks in the confined helper, with the container's ids.
fn unpack_from(
    host: &Host,
    container: &Container,
    (from, source): (&Path, Source<'_>),
    prefix: &str,
    target: BorrowedFd<'_>,
    phase: &str,
) -> Result<Assembled, Error> {
    let mut options = options(container);
    options.prefix = prefix.to_owned();
    let notes = unpack_with(host, options, (from, source), target, phase)?;
    Ok(Assembled { notes, ..Assembled::default() })
}

/// The same with everything said; what was left out.
fn unpack_with(
    host: &Host,
    options: Options,
    (from, source): (&Path, Source<'_>),
    target: BorrowedFd<'_>,
    phase: &str,
) -> Result<Vec<String>, Error> {
    host.progress.phase(phase);
    let shown = &mut |at: unpack::Progress| host.progress.report(at.read, at.total, Unit::Bytes);
    unpack_showing(host, options, (from, source), target, shown)
}

/// The same as one of many that are shown together.
pub(super) fn unpack_quietly(
    host: &Host,
    options: Options,
    (from, source): (&Path, Source<'_>),
    target: BorrowedFd<'_>,
) -> Result<Vec<String>, Error> {
    unpack_showing(host, options, (from, source), target, &mut |_| {})
}

fn unpack_showing(
    host: &Host,
    options: Options,
    (from, source): (&Path, Source<'_>),
    target: BorrowedFd<'_>,
    show: &mut dyn FnMut(unpack::Progress),
) -> Result<Vec<String>, Error> {
    let request = unpack::Request { source, target, options };
    let mut watch = |at: unpack::Progress| {
        show(at);
        // A plugin's progress is cancelled through the same flag.
        if host.progress.cancelled() {
            host.cancel.store(true, Ordering::Relaxed);
        }
    };
    let report = unpack::run(&request, &mut watch, host.cancel).map_err(|source| failed(from, source))?;
    Ok(report.notes.iter().map(ToString::to_string).collect())
}

/// Who asked for the end knows what was read.
fn failed(from: &Path, source: UnpackError) -> Error {
    match source {
        UnpackError::Cancelled => Error::Cancelled,
        source => Error::Image { from: from.to_owned(), source },
    }
}

/// The host's own directories, as mounts of the container. Their files belong to nobody inside, so
/// set-id programs and file capabilities of theirs must not count.
fn shown_mounts(shown: &HostDirectories) -> Vec<Mount> {
    shown
        .directories
        .iter()
        .map(|path| {
            let mut mount = Mount::bind(path, path);
            mount.create = Create::Dir;
            mount.read_only = true;
            mount.nosuid = true;
            mount.nodev = true;
            mount
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn an_image_sets_how_it_runs_and_nothing_that_gives_power() {
        assert!(is_allowed("init.command") && is_allowed("environment.set.PATH"));
        for key in
            ["privileged", "mounts", "security.capabilities.keep", "ids.users", "environment.keep", "hooks.x"]
        {
            assert!(!is_allowed(key), "{key}");
        }
    }
}
