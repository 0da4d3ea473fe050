#![forbid(unsafe_code)]
//! Images: what a template assembled, kept as a sealed volume that new containers are clones of.
//!
//! The first container from an archive unpacks it into `.images@KEY`; the next ones share that. An image is
//! there when its `image.toml` is, whose rename is the last step of making it; what is there without one was
//! interrupted, and is removed by whoever wants that image next.
//!
//! Only for storage that clones instantly: elsewhere an image would be a second copy of everything, and copying
//! it takes as long as unpacking.

/// Names that people give to images.
pub mod alias;
/// An image before there is a container of it.
mod pull;
/// The newest build of what an image was.
mod refresh;
/// Archives whose digest is known.
mod seen;
/// What an image is made of.
mod source;
/// An image as one file.
pub mod transfer;

pub use pull::{PullRequest, Pulled, pull};
pub use refresh::{Outcome, Refreshed, refresh};

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::source::{Digested, Source, digest, how, key_of, known, remember};
use super::assemble::Supplies;
use super::kept::{self, Kept};
use super::lock::Lock;
use super::{Error, Host, assemble, dependents, ids, packages, plugins, store, volume, vouch};
use crate::config::Container;
use crate::plugin::storage::{Access, Storage as _};
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{Assembly, Manifest, Moment, Request};
use crate::plugin::{FailureKind, StoragePlugin, TemplatePlugin};
use crate::unpack::IdMapMode;

/// The directory of the pool that images live in, which no container can have as a name.
pub const IMAGES: &str = ".images";
/// Storages that come with wxc and make images.
pub(super) const USUAL: [&str; 2] = ["storage-overlay", "storage-btrfs"];
/// What makes it an image.
const FILE: &str = "image.toml";

/// What is remembered of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Digest of the archive's bytes and of how they were unpacked, hexadecimal.
    pub key: String,
    /// The storage plugin that keeps it.
    pub storage: String,
    /// The template that named the archive.
    pub template: String,
    /// Where the archive was.
    pub source: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// When it was unpacked, RFC 3339.
    pub created: String,
    /// What was left out, in words: each new container is told again.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What a server calls it, such as `debian/trixie/amd64/default`; empty for a file.
    #[serde(default)]
    pub product: String,
    /// Its build there.
    #[serde(default)]
    pub serial: String,
    /// When it is out of date, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Fingerprint of the key that vouched for its digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Whether it has devices, for containers with root privileges of the host's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Whether it came as one file: then whoever brought that vouches for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
}

impl Record {
    /// The volume.
    #[must_use]
    pub fn volume(&self) -> String {
        volume_of(&self.key)
    }

    /// Whether it is out of date.
    #[must_use]
    pub fn has_expired(&self) -> bool {
        expired(self.expires).is_some()
    }

    /// What it is called where it came from, with its build.
    #[must_use]
    pub fn name(&self) -> String {
        match self.product.as_str() {
            "" => self.source.display().to_string(),
            product => [product, &self.serial].join("/").trim_end_matches('/').to_owned(),
        }
    }
}

/// The moment at which something went out of date, if that is over.
pub(super) fn expired(expires: Option<u64>) -> Option<jiff::Timestamp> {
    let at = jiff::Timestamp::from_second(i64::try_from(expires?).ok()?).ok()?;
    (at < jiff::Timestamp::now()).then_some(at)
}

/// What an image is made for: what a template chose, and all that it was asked with.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) template: &'a TemplatePlugin,
    pub(super) server: &'a str,
    pub(super) asked: &'a Request,
    pub(super) manifest: &'a Manifest,
    pub(super) supplies: Supplies<'a>,
}

/// An image that nobody removes while this is held.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) record: Record,
    _lock: Lock,
}

pub(super) fn volume_of(key: &str) -> String {
    format!("{IMAGES}@{key}")
}

/// The image that a new container can be a clone of, unpacked if it is not there yet. `None` where an image
/// would not help: what is assembled is no archive. Only for storage where it [`is_possible`].
pub(super) fn prepare(
    host: &Host,
    storage: &StoragePlugin,
    container: &Container,
    wanted: Wanted<'_>,
) -> Result<Option<Image>, Error> {
    let Wanted { manifest, supplies, .. } = wanted;
    let Some(source) = Source::of(manifest, supplies) else { return Ok(None) };
    let name = &container.rootfs.storage;
    // Who vouches for it, and what its containers are set up by, are the image's as much as its tree.
    let template = wanted.template.identity().name.as_str();
    let words =
        [name, source.prefix.as_str(), how(container), template, wanted.server, source.metadata.as_str()];
    let Digested { key, size, sight } = match &source.digests {
        Some(digests) => Digested { key: key_of(&words, digests), size: source.size, sight: None },
        None => match known(host, &source.place, &words)? {
            Some(image) => return Ok(Some(image)),
            None => digest(host, &source.place, &words)?,
        },
    };
    let lock = lock(host, &key)?;
    if let Some(record) = load(host, &key)? {
        remember(host, &key, sight, &words);
        let record = signed(host, record, manifest)?;
        return Ok(Some(Image { record, _lock: lock }));
    }
    let record = Record {
        key,
        storage: name.clone(),
        template: wanted.template.identity().name.clone(),
        source: source.place,
        size,
        created: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        notes: Vec::new(),
        product: source.product,
        serial: manifest.serial.clone(),
        expires: vouch::end_of_image(wanted.template, manifest).and_then(dated),
        signer: manifest.signer.clone(),
        privileged: container.privileged,
        imported: false,
    };
    let made = make(host, storage, container, wanted, record.clone());
    match &made {
        Ok(record) => remember(host, &record.key, sight, &words),
        // What stays is no image, and goes with the next attempt.
        Err(_) => drop(clear(host, storage, &record.key)),
    }
    Ok(Some(Image { record: made?, _lock: lock }))
}

/// An image that was here before anybody's key was asked for, and for which one vouches now.
fn signed(host: &Host, record: Record, manifest: &Manifest) -> Result<Record, Error> {
    if manifest.signer.is_none() || manifest.signer == record.signer {
        return Ok(record);
    }
    let directory = directory(host, &record.key);
    if let Some(mut kept) = Kept::of(&directory)? {
        kept.manifest.signer.clone_from(&manifest.signer);
        kept.write_durably(&directory)?;
    }
    let record = Record { signer: manifest.signer.clone(), ..record };
    complete(&directory, &record)?;
    Ok(record)
}

/// A moment that can be written down; what is later is never.
fn dated(at: u64) -> Option<u64> {
    const LATEST: u64 = 253_402_300_799;
    (at <= LATEST).then_some(at)
}

/// Whether containers like this one can be clones of an image here.
pub(super) fn is_possible(storage: &StoragePlugin, container: &Container) -> Result<bool, Error> {
    // Shifted ids on disk are the container's own: nothing to share.
    let shared = matches!(ids::id_mode(container), IdMapMode::AsIs { .. });
    Ok(shared && storage.abilities().clones && storage.clone_traits()?.instant)
}

fn make(
    host: &Host,
    storage: &StoragePlugin,
    container: &Container,
    wanted: Wanted<'_>,
    mut record: Record,
) -> Result<Record, Error> {
    let Wanted { template, server, asked, manifest, supplies } = wanted;
    let directory = begin(host, storage, &record.key)?;
    let (operation, id) = (plugins::operation("image"), record.volume());
    storage.create(&operation, &id, None)?;
    let volume = volume::open(storage, &id, Access::ReadWrite)?;
    let assembled = assemble::assemble(host, container, manifest, supplies, volume.root())?;
    host.check_cancelled()?;
    drop(volume);
    if let Assembly::Packages(all) = &manifest.assembly {
        drop(packages::install(host, storage, container, &id, all)?);
    }
    let members = assemble::members(host, manifest, supplies)?;
    if record.expires.is_none() {
        record.expires = template.finish(Moment::Create, asked, manifest, &members)?.expires.and_then(dated);
    }
    Kept::new(template, server, Vec::new(), asked, manifest, &members)?.write_durably(&directory)?;
    // The seal makes it durable.
    storage.seal(&operation, &id)?;
    record.notes = assembled.notes;
    if record.size == 0 {
        record.size = assembled.size;
    }
    complete(&directory, &record)?;
    Ok(record)
}

/// An empty directory for an image that is to be made.
fn begin(host: &Host, storage: &StoragePlugin, key: &str) -> Result<PathBuf, Error> {
    clear(host, storage, key)?;
    let directory = directory(host, key);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(Error::io("make", &directory))?;
    Ok(directory)
}

/// The last step: from here on it is an image.
fn complete(directory: &Path, record: &Record) -> Result<(), Error> {
    let text = toml_edit::ser::to_string_pretty(record).map_err(|error| Error::Invalid {
        message: format!("this image cannot be described: {error}"),
        hint: "use paths that are UTF-8".into(),
    })?;
    store::replace(&directory.join(FILE), text.as_bytes())?;
    tracing::info!(key = record.key, source = %record.source.display(), "an image");
    Ok(())
}

/// Every image of the pool, oldest first.
///
/// # Errors
/// A directory or a description cannot be read.
pub fn list(host: &Host) -> Result<Vec<Record>, Error> {
    let shelf = host.layout.path.join(IMAGES);
    let entries = match fs::read_dir(&shelf) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("list", &shelf))?,
    };
    let mut images = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", &shelf))?;
        if let Some(key) = entry.file_name().to_str() {
            images.extend(load(host, key)?);
        }
    }
    images.sort_by(|a, b| (&a.created, &a.key).cmp(&(&b.created, &b.key)));
    Ok(images)
}

/// The containers that are built on an image.
///
/// # Errors
/// Its storage does not answer.
pub fn users(host: &Host, image: &Record) -> Result<Vec<String>, Error> {
    let storage = plugins::load_storage(host, &image.storage)?;
    let volumes = dependents::volumes(&storage)?;
    let id = image.volume();
    Ok(volumes.into_iter().filter(|v| v.parent.as_deref() == Some(&id)).map(|v| v.id).collect())
}

/// The one image that has this name, or whose key begins so.
///
/// # Errors
/// There is none, or more than one.
pub fn find(host: &Host, word: &str) -> Result<Record, Error> {
    if let Some(key) = alias::key(host, word)? {
        return load(host, &key)?.ok_or_else(|| Error::Invalid {
            message: format!("the image that {word} means is gone"),
            hint: format!("pull it again: wxc image pull --alias {word} ..."),
        });
    }
    let mut found: Vec<Record> = list(host)?;
    found.retain(|image| !word.is_empty() && image.key.starts_with(word));
    match (found.len(), found.pop()) {
        (1, Some(image)) => Ok(image),
        (0, _) => Err(Error::Invalid {
            message: format!("no image is called {word:?}, and no image begins with it"),
            hint: "wxc image list shows what is there".into(),
        }),
        (count, _) => Err(Error::Invalid {
            message: format!("{count} images begin with {word:?}"),
            hint: "say more of its key".into(),
        }),
    }
}

/// An image that is there, so that nobody removes it, and what its template is asked with.
pub(super) fn hold(host: &Host, word: &str) -> Result<(Image, Kept), Error> {
    let key = find(host, word)?.key;
    let lock = lock(host, &key)?;
    let Some(record) = load(host, &key)? else { return Err(gone(&key)) };
    match Kept::of(&directory(host, &key))? {
        Some(kept) => Ok((Image { record, _lock: lock }, kept)),
        None => Err(Error::Invalid {
            message: format!("nothing says how a container of image {} is set up", short(&key)),
            hint: "it was made by an older wxc: remove it, and pull it again".into(),
        }),
    }
}

fn gone(key: &str) -> Error {
    Error::Invalid {
        message: format!("image {} was removed meanwhile", short(key)),
        hint: "wxc image list shows what is there".into(),
    }
}

/// Removes an image, and its names.
///
/// # Errors
/// Containers are built on it; nothing is removed then.
pub fn remove(host: &Host, image: &Record) -> Result<(), Error> {
    let lock = lock(host, &image.key)?;
    let storage = plugins::load_storage(host, &image.storage)?;
    let users = users(host, image)?;
    if !users.is_empty() {
        return Err(in_use(image, &users));
    }
    let file = directory(host, &image.key).join(FILE);
    // From here on it is none; what a kill leaves is removed by the next command that wants it.
    fs::remove_file(&file).map_err(Error::io("remove", &file))?;
    clear(host, &storage, &image.key)?;
    alias::drop_all(host, &image.key)?;
    lock.discard();
    Ok(())
}

/// Removes all images that no container is built on; those with a name only if `named`. What was downloaded is
/// [`super::downloads::clear`]'s.
///
/// # Errors
/// The first one that could not be removed.
pub fn prune(host: &Host, named: bool) -> Result<Vec<Record>, Error> {
    let mut removed = Vec::new();
    let names = alias::all(host)?;
    for image in list(host)? {
        let is_named = names.values().any(|key| *key == image.key);
        if (named || !is_named) && users(host, &image)?.is_empty() {
            remove(host, &image)?;
            removed.push(image);
        }
    }
    Ok(removed)
}

fn in_use(image: &Record, users: &[String]) -> Error {
    Error::Invalid {
        message: format!("image {} is what {} is built on", short(&image.key), users.join(", ")),
        hint: "destroy those first, or keep the image".into(),
    }
}

/// Enough of a key for a person.
#[must_use]
pub fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}

pub(super) fn load(host: &Host, key: &str) -> Result<Option<Record>, Error> {
    let path = directory(host, key).join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    let record: Result<Record, _> = toml_edit::de::from_str(&text);
    match record {
        Ok(record) if record.key == key => Ok(Some(record)),
        Ok(_) => Err(damaged(&path, "it describes another image")),
        Err(error) => Err(damaged(&path, error.message())),
    }
}

/// The storages that images are said to be on, as far as that can be read.
pub(super) fn recorded(host: &Host) -> Vec<String> {
    let keys = fs::read_dir(host.layout.path.join(IMAGES)).into_iter().flatten().flatten();
    let record = |entry: fs::DirEntry| load(host, entry.file_name().to_str()?).ok().flatten();
    keys.filter_map(record).map(|record| record.storage).collect()
}

/// Whether a command makes or removes it at this moment.
pub(super) fn is_busy(host: &Host, key: &str) -> bool {
    Lock::is_held_file(&lock_file(host, key))
}

/// Removes what is no image, if that is still so and nothing is built on it. `storage` has its volume, if there is one.
pub(super) fn remove_broken(host: &Host, key: &str, storage: Option<&str>) -> Result<(), Error> {
    let lock = lock(host, key)?;
    let path = directory(host, key);
    if let Ok(Some(record)) = load(host, key)
        && let Ok(plugin) = plugins::load_storage(host, &record.storage)
        && dependents::volumes(&plugin)?.iter().any(|volume| volume.id == record.volume())
    {
        return Ok(());
    }
    match storage {
        Some(storage) => clear(host, &plugins::load_storage(host, storage)?, key)?,
        None => {
            // No storage knows a volume in it: what is left are files of the host's, and the note of a volume that was to be made.
            for plugin in USUAL.iter().filter_map(|name| plugins::load_storage(host, name).ok()) {
                drop(plugin.remove(&plugins::operation("image"), &volume_of(key)));
            }
            remove_directory(&path)?;
        }
    }
    lock.discard();
    Ok(())
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::Invalid {
        message: format!("{} is no description of an image: {why}", path.display()),
        hint: "move that file away: the image is then unpacked again by the next create".into(),
    }
}

/// What an interrupted command left, if anything.
fn clear(host: &Host, storage: &StoragePlugin, key: &str) -> Result<(), Error> {
    let directory = directory(host, key);
    if !directory.exists() {
        return Ok(());
    }
    match storage.remove(&plugins::operation("image"), &volume_of(key)) {
        Err(error) if error.failure() != Some(FailureKind::NotFound) => return Err(error.into()),
        _ => {}
    }
    remove_directory(&directory)
}

/// Removes what the host put beside a volume, and the directory.
fn remove_directory(directory: &Path) -> Result<(), Error> {
    for file in [FILE, "image.new", seen::FILE, "seen.new", kept::FILE, "template.new"] {
        drop(fs::remove_file(directory.join(file)));
    }
    store::sweep(directory)?;
    fs::remove_dir(directory).map_err(Error::io("remove", directory))
}

fn directory(host: &Host, key: &str) -> PathBuf {
    host.layout.path.join(IMAGES).join(key)
}

fn lock_file(host: &Host, key: &str) -> PathBuf {
    host.layout.run.join(format!(".image-{key}.lock"))
}

/// One command at a time makes or removes an image: the others wait and find it done.
fn lock(host: &Host, key: &str) -> Result<Lock, Error> {
    Lock::take_file(&lock_file(host, key), &format!("image {}", short(key)), "create")
}
