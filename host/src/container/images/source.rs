#![forbid(unsafe_code)]
//! What an image is made of, and by which key it is known: the digests of its parts, and how they are unpacked.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::super::assemble::{self, Supplies};
use super::super::{Error, Host};
use super::{Image, load, lock, seen};
use crate::config::Container;
use crate::plugin::Unit;
use crate::plugin::template::types::{ArchiveRole, Assembly, Blob, Manifest, Origin};

/// As much of an archive of metadata tells it apart.
const LONGEST_METADATA: u64 = 64 << 20;

/// What an image is made of.
pub(super) struct Source {
    /// Where the archive is: a path, or an address.
    pub(super) place: PathBuf,
    pub(super) prefix: String,
    /// What else than the tree belongs to the image: the digests of its metadata, hexadecimal; empty without any. What one image says of
    /// itself must not be what a container of another one gets, though both have the same tree.
    pub(super) metadata: String,
    pub(super) size: u64,
    /// What it is called, if it is not just a file.
    pub(super) product: String,
    /// The digests of all parts, where they are known without a look at them.
    pub(super) digests: Option<Vec<String>>,
}

impl Source {
    pub(super) fn of(manifest: &Manifest, supplies: Supplies<'_>) -> Option<Self> {
        if let Some((place, prefix)) = assemble::local_archive(manifest, supplies.answers) {
            let prefix = prefix.to_owned();
            let metadata = metadata(manifest, supplies);
            return Some(Self { place, prefix, metadata, size: 0, product: String::new(), digests: None });
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
                metadata: String::new(),
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
                metadata: joined(layers.config.iter()),
                size: 0,
                product: manifest.product.clone(),
                digests: Some(digests),
            });
        }
        let Assembly::Archives(archives) = &manifest.assembly else { return None };
        let root = assemble::the_archive(archives)?;
        let Origin::Remote(remote) = &root.blob.origin else { return None };
        let digest = root.blob.digest.as_ref()?;
        Some(Self {
            place: PathBuf::from(remote.urls.first()?),
            prefix: root.prefix.clone(),
            metadata: joined(archives.parts.iter().map(|part| &part.blob)),
            size: root.blob.size.unwrap_or(0),
            product: manifest.product.clone(),
            digests: Some(vec![digest.hex.clone()]),
        })
    }
}

/// The digests of these.
fn joined<'a>(blobs: impl Iterator<Item = &'a Blob>) -> String {
    let digests = blobs.filter_map(|blob| blob.digest.as_ref());
    digests.map(|digest| digest.hex.as_str()).collect::<Vec<_>>().join(" ")
}

/// What cannot be read is no reason not to look for an image: it is one when it is read.
fn metadata(manifest: &Manifest, supplies: Supplies<'_>) -> String {
    let Assembly::Archives(archives) = &manifest.assembly else { return String::new() };
    let part = archives.parts.iter().find(|part| part.role == ArchiveRole::Metadata);
    let Some(Origin::Given(given)) = part.map(|part| &part.blob.origin) else { return String::new() };
    let file = supplies.answers.given.get(&given.parameter).and_then(|path| File::open(path).ok());
    let mut bytes = Vec::new();
    let read = file.and_then(|file| file.take(LONGEST_METADATA).read_to_end(&mut bytes).ok());
    if read.is_none() {
        return String::new();
    }
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of an image whose parts are known by their digests.
pub(super) fn key_of(words: &[&str], digests: &[String]) -> String {
    let mut hash = Sha256::new();
    // Not what any archive's own bytes could begin with.
    for word in words.iter().copied().chain(["by digest"]).chain(digests.iter().map(String::as_str)) {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What else than bytes decides what a tree looks like: devices are made for privileged containers alone.
pub(super) fn how(container: &Container) -> &'static str {
    if container.privileged { "with devices" } else { "without devices" }
}

/// The image of an archive that was digested before and has not changed since.
pub(super) fn known(host: &Host, archive: &Path, words: &[&str]) -> Result<Option<Image>, Error> {
    let sight = File::open(archive).ok().and_then(|file| seen::Sight::of(&file));
    let Some(key) = sight.and_then(|sight| seen::find(host, &sight, words)) else { return Ok(None) };
    let lock = lock(host, &key)?;
    // Removed meanwhile: then it is made anew, from what the archive is found to be.
    Ok(load(host, &key)?.map(|record| Image { record, _lock: lock }))
}

pub(super) fn remember(host: &Host, key: &str, sight: Option<seen::Sight>, words: &[&str]) {
    if let Some(sight) = sight {
        seen::remember(host, key, sight, words);
    }
}

/// What an archive was found to be.
pub(super) struct Digested {
    /// Of its bytes and of some words.
    pub(super) key: String,
    pub(super) size: u64,
    /// The file, if it did not change meanwhile and will not change unnoticed.
    pub(super) sight: Option<seen::Sight>,
}

pub(super) fn digest(host: &Host, archive: &Path, words: &[&str]) -> Result<Digested, Error> {
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
