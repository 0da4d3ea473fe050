#![forbid(unsafe_code)]
//! Images: what a template assembled, kept as a sealed volume that new containers are clones of.
//!
//! The first container from an archive unpacks it into `.images@KEY`; the next ones share that. An image is
//! there when its `image.toml` is, whose rename is the last step of making it; what is there without one was
//! interrupted, and is removed by whoever wants that image next.
//!
//! Only for storage that clones instantly: elsewhere an image would be a second copy of everything, and copying
//! it takes as long as unpacking.

/// An image before there is a container of it.
mod pull;
/// Archives whose digest is known.
mod seen;

pub use pull::{PullRequest, Pulled, pull};

use std::fs::{self, DirBuilder, File};
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::assemble::Supplies;
use super::lock::Lock;
use super::{Error, Host, assemble, dependents, ids, packages, plugins, store, volume};
use crate::config::Container;
use crate::plugin::Unit;
use crate::plugin::storage::{Access, Storage as _};
use crate::plugin::template::types::{Assembly, Manifest, Origin};
use crate::plugin::{FailureKind, StoragePlugin};
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
}

impl Record {
    /// The volume.
    #[must_use]
    pub fn volume(&self) -> String {
        volume_of(&self.key)
    }
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
/// would not help: what is assembled is no archive, or the storage does not clone instantly.
pub(super) fn prepare(
    host: &Host,
    storage: &StoragePlugin,
    container: &Container,
    template: &str,
    manifest: &Manifest,
    supplies: Supplies<'_>,
) -> Result<Option<Image>, Error> {
    let Some(source) = Source::of(manifest, supplies) else { return Ok(None) };
    // Shifted ids on disk are the container's own: nothing to share.
    let IdMapMode::AsIs { .. } = ids::id_mode(container) else { return Ok(None) };
    if !storage.abilities().clones || !storage.clone_traits()?.instant {
        return Ok(None);
    }
    let name = &container.rootfs.storage;
    let words = [name, source.prefix.as_str(), how(container)];
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
        return Ok(Some(Image { record, _lock: lock }));
    }
    let record = Record {
        key,
        storage: name.clone(),
        template: template.to_owned(),
        source: source.place,
        size,
        created: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        notes: Vec::new(),
        product: source.product,
        serial: manifest.serial.clone(),
        expires: manifest.expires,
        signer: manifest.signer.clone(),
    };
    let made = make(host, storage, container, manifest, supplies, record.clone());
    match &made {
        Ok(record) => remember(host, &record.key, sight, &words),
        // What stays is no image, and goes with the next attempt.
        Err(_) => drop(clear(host, storage, &record.key)),
    }
    Ok(Some(Image { record: made?, _lock: lock }))
}

/// What an image is made of.
struct Source {
    /// Where the archive is: a path, or an address.
    place: PathBuf,
    prefix: String,
    size: u64,
    /// What it is called, if it is not just a file.
    product: String,
    /// The digests of all parts, where they are known without a look at them.
    digests: Option<Vec<String>>,
}

impl Source {
    fn of(manifest: &Manifest, supplies: Supplies<'_>) -> Option<Self> {
        if let Some((place, prefix)) = assemble::local_archive(manifest, supplies.answers) {
            let prefix = prefix.to_owned();
            return Some(Self { place, prefix, size: 0, product: String::new(), digests: None });
        }
        if let Assembly::Packages(packages) = &manifest.assembly {
            // What is installed, how, and in which order.
            let blobs = packages.stack.iter().map(|package| &package.blob);
            let digests = blobs.map(|blob| blob.digest.as_ref().map(|digest| digest.hex.clone()));
            let mut digests: Vec<String> = digests.collect::<Option<_>>()?;
            digests.push(format!("{:?} {:?} {:?}", packages.install, packages.environment, packages.first));
            return Some(Self {
                place: PathBuf::from(&manifest.product),
                prefix: String::new(),
                size: packages.stack.iter().filter_map(|package| package.blob.size).sum(),
                product: manifest.product.clone(),
                digests: Some(digests),
            });
        }
        if let Assembly::Layers(layers) = &manifest.assembly {
            // What the layers are without their compression: that is checked when they are unpacked.
            let digests = layers.stack.iter().map(|layer| layer.diff_id.hex.clone()).collect();
            return Some(Self {
                place: PathBuf::from(&manifest.product),
                prefix: String::new(),
                size: 0,
                product: manifest.product.clone(),
                digests: Some(digests),
            });
        }
        let Assembly::Archives(archives) = &manifest.assembly else { return None };
        let root = assemble::the_archive(archives)?;
        let Origin::Remote(remote) = &root.blob.origin else { return None };
        // Metadata makes no difference to the tree, and its digest none to the image.
        let digest = root.blob.digest.as_ref()?;
        Some(Self {
            place: PathBuf::from(remote.urls.first()?),
            prefix: root.prefix.clone(),
            size: root.blob.size.unwrap_or(0),
            product: manifest.product.clone(),
            digests: Some(vec![digest.hex.clone()]),
        })
    }
}

/// The key of an image whose parts are known by their digests.
fn key_of(words: &[&str], digests: &[String]) -> String {
    let mut hash = Sha256::new();
    // Not what any archive's own bytes could begin with.
    for word in words.iter().copied().chain(["by digest"]).chain(digests.iter().map(String::as_str)) {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What else than bytes decides what a tree looks like: devices are made for privileged containers alone.
fn how(container: &Container) -> &'static str {
    if container.privileged { "with devices" } else { "without devices" }
}

/// The image of an archive that was digested before and has not changed since.
fn known(host: &Host, archive: &Path, words: &[&str]) -> Result<Option<Image>, Error> {
    let sight = File::open(archive).ok().and_then(|file| seen::Sight::of(&file));
    let Some(key) = sight.and_then(|sight| seen::find(host, &sight, words)) else { return Ok(None) };
    let lock = lock(host, &key)?;
    // Removed meanwhile: then it is made anew, from what the archive is found to be.
    Ok(load(host, &key)?.map(|record| Image { record, _lock: lock }))
}

fn remember(host: &Host, key: &str, sight: Option<seen::Sight>, words: &[&str]) {
    if let Some(sight) = sight {
        seen::remember(host, key, sight, words);
    }
}

/// What an archive was found to be.
struct Digested {
    /// Of its bytes and of some words.
    key: String,
    size: u64,
    /// The file, if it did not change meanwhile and will not change unnoticed.
    sight: Option<seen::Sight>,
}

fn digest(host: &Host, archive: &Path, words: &[&str]) -> Result<Digested, Error> {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    let mut file = File::open(archive).map_err(Error::io("open", archive))?;
    let before = seen::Sight::before_reading(&file);
    let total = file.metadata().map(|meta| meta.len()).ok();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    host.progress.phase("looking whether this image is known");
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("read", archive))?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        size += part.len() as u64;
        host.progress.report(size, total, Unit::Bytes);
        host.check_cancelled()?;
    }
    let key = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let sight = before.filter(|before| seen::Sight::of(&file).as_ref() == Some(before));
    Ok(Digested { key, size, sight })
}

fn make(
    host: &Host,
    storage: &StoragePlugin,
    container: &Container,
    manifest: &Manifest,
    supplies: Supplies<'_>,
    mut record: Record,
) -> Result<Record, Error> {
    clear(host, storage, &record.key)?;
    let directory = directory(host, &record.key);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(Error::io("make", &directory))?;
    let (operation, id) = (plugins::operation("image"), record.volume());
    storage.create(&operation, &id, None)?;
    let volume = volume::open(storage, &id, Access::ReadWrite)?;
    let assembled = assemble::assemble(host, container, manifest, supplies, volume.root())?;
    host.check_cancelled()?;
    drop(volume);
    if let Assembly::Packages(all) = &manifest.assembly {
        drop(packages::install(host, storage, container, &id, all)?);
    }
    // The seal makes it durable.
    storage.seal(&operation, &id)?;
    record.notes = assembled.notes;
    if record.size == 0 {
        record.size = assembled.size;
    }
    let text = toml_edit::ser::to_string_pretty(&record).map_err(|error| Error::Invalid {
        message: format!("this image cannot be described: {error}"),
        hint: "use paths that are UTF-8".into(),
    })?;
    store::replace(&directory.join(FILE), text.as_bytes())?;
    tracing::info!(key = record.key, source = %record.source.display(), "an image");
    Ok(record)
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

/// The one image whose key begins with `start`.
///
/// # Errors
/// There is none, or more than one.
pub fn find(host: &Host, start: &str) -> Result<Record, Error> {
    let mut found: Vec<Record> = list(host)?;
    found.retain(|image| image.key.starts_with(start));
    match (found.len(), found.pop()) {
        (1, Some(image)) => Ok(image),
        (0, _) => Err(Error::Invalid {
            message: format!("no image begins with {start:?}"),
            hint: "wxc image list shows what is there".into(),
        }),
        (count, _) => Err(Error::Invalid {
            message: format!("{count} images begin with {start:?}"),
            hint: "say more of its key".into(),
        }),
    }
}

/// Removes an image.
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
    lock.discard();
    Ok(())
}

/// Removes all images that no container is built on. What was downloaded is [`super::downloads::clear`]'s.
///
/// # Errors
/// The first one that could not be removed.
pub fn prune(host: &Host) -> Result<Vec<Record>, Error> {
    let mut removed = Vec::new();
    for image in list(host)? {
        if users(host, &image)?.is_empty() {
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
    for file in [FILE, "image.new", seen::FILE, "seen.new"] {
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
