#![forbid(unsafe_code)]
//! Gives each download of a manifest the digest that it has, where its template says none, and has signatures checked that lie
//! beside archives.
//!
//! Such a digest is found out by downloading, once: it is remembered by address and build, as LXC remembers the builds that it has.
//! What vouches for these bytes is a signature over them, or that their server showed who it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::downloads::Downloads;
use super::vouch::Vouching;
use super::{Error, Host, images, kept, store};
use crate::plugin::template::digest_of;
use crate::plugin::template::types::{Blob, Digest, DigestAlgorithm, Manifest, Origin, Signature};

/// Most downloads that are remembered.
const MOST: usize = 10_000;

/// What is remembered of a download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// SHA-256 of its bytes, hexadecimal.
    digest: String,
    /// The signature over them that held, by its SHA-256, and the key that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed: Option<(String, String)>,
}

/// By build and address.
type All = BTreeMap<String, Known>;

/// What is remembered counts for bytes that are here, or for images that are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered {
    pub(super) blobs: bool,
    pub(super) images: bool,
}

/// Completes a manifest; says what a person should know of that.
///
/// # Errors
/// Something cannot be had, or nobody vouches for it.
pub(super) fn pin(
    host: &Host,
    downloads: &Downloads,
    vouching: &Vouching,
    remembered: Remembered,
    manifest: &mut Manifest,
) -> Result<Option<String>, Error> {
    let serial = manifest.serial.clone();
    let mut believed = false;
    for blob in kept::blobs(&mut manifest.assembly) {
        let Origin::Remote(remote) = &blob.origin else { continue };
        if blob.digest.is_some() && blob.signature.is_none() {
            continue;
        }
        believed |= blob.digest.is_none() && blob.signature.is_none();
        let address = remote.urls.first().cloned().unwrap_or_default();
        let pin = Pin { host, downloads, vouching, key: format!("{serial} {address}"), address };
        // A build without a name is not the same one tomorrow.
        let known = if serial.is_empty() { None } else { load(host)?.remove(&pin.key) };
        let known = known.map(|known| pin.still(known, &serial, remembered)).transpose()?.flatten();
        pin.complete(blob, known)?;
    }
    Ok(believed.then(|| {
        let product = &manifest.product;
        format!("nobody says what {product} has to be, neither with a digest nor with a signature: its server, which showed who it is, is believed")
    }))
}

/// One download.
struct Pin<'a> {
    host: &'a Host,
    downloads: &'a Downloads,
    vouching: &'a Vouching,
    key: String,
    address: String,
}

impl Pin<'_> {
    fn complete(&self, blob: &mut Blob, known: Option<Known>) -> Result<(), Error> {
        let signature = blob.signature.take();
        if blob.digest.is_none() && signature.is_none() && !self.vouching.believes_server() {
            return Err(self.vouching.nobody(&self.address));
        }
        if let Some(known) = known.filter(|known| self.is_enough(blob, signature.as_ref(), known)) {
            blob.digest.get_or_insert(sha256(known.digest));
            return Ok(());
        }
        if blob.digest.is_some() {
            let file = self.downloads.blob(blob)?;
            let signed = self.check(signature.as_ref(), &file)?;
            if let Some(digest) = blob.digest.as_ref().filter(|own| own.algorithm == DigestAlgorithm::Sha256)
            {
                self.remember(Known { digest: digest.hex.clone(), signed })?;
            }
            return Ok(());
        }
        // Nothing else vouches for what has no signature than who has it.
        let secure = signature.is_none();
        let learned = loop {
            if let Some(learned) = self.downloads.learn(blob, secure)? {
                break learned;
            }
            // Another command has it now, and remembers more than the bytes.
            let known = load(self.host)?.remove(&self.key);
            if let Some(known) = known.filter(|known| self.is_enough(blob, signature.as_ref(), known)) {
                blob.digest = Some(sha256(known.digest));
                return Ok(());
            }
        };
        let signed = self.check(signature.as_ref(), &learned.file)?;
        let digest = learned.digest.hex().to_owned();
        self.remember(Known { digest: digest.clone(), signed })?;
        blob.digest = Some(sha256(digest));
        Ok(())
    }

    /// What is remembered of bytes that are here, or of which there is an image. Of others it would be worth nothing: what the server has
    /// now is what is wanted, though it may have put it in the place of what it had.
    fn still(&self, known: Known, serial: &str, counts: Remembered) -> Result<Option<Known>, Error> {
        let digest = digest_of(&sha256(known.digest.clone()));
        let is_blob = || digest.is_some_and(|digest| self.downloads.has(&digest));
        let is_image = || -> Result<bool, Error> {
            let same = |image: &images::Record| {
                image.serial == serial && image.source.to_str() == Some(self.address.as_str())
            };
            Ok(images::list(self.host)?.iter().any(same))
        };
        let is_here = counts.blobs && is_blob() || counts.images && is_image()?;
        Ok(is_here.then_some(known))
    }

    /// Whether what is remembered says all that a download would.
    fn is_enough(&self, blob: &Blob, signature: Option<&Signature>, known: &Known) -> bool {
        let same = blob.digest.as_ref().is_none_or(|own| own.hex == known.digest);
        let vouched = signature.is_none_or(|signature| {
            // The key has to count today: it did for the list.
            let held = known.signed.as_ref().filter(|(of, _)| *of == hex_of(&signature.content));
            held.is_some_and(|(_, signer)| self.vouching.has_seen(&signature.keyring, signer))
        });
        same && vouched && digest_of(&sha256(known.digest.clone())).is_some()
    }

    fn check(&self, signature: Option<&Signature>, file: &File) -> Result<Option<(String, String)>, Error> {
        let Some(Signature { keyring, content }) = signature else { return Ok(None) };
        let signer = self.vouching.check_file(keyring, file, content).map_err(|error| Error::Invalid {
            message: format!("{}: {error}", self.address),
            hint: "what the server said a while ago may be over: --flush-cache asks anew; if it stays, do not use this image".into(),
        })?;
        tracing::info!(self.address, signer, "a signature over an archive holds");
        Ok(Some((hex_of(content), signer)))
    }

    /// Two commands at once may lose one of two new entries: then it is found out again.
    fn remember(&self, known: Known) -> Result<(), Error> {
        if self.key.starts_with(' ') {
            return Ok(());
        }
        let mut all = load(self.host)?;
        if all.get(&self.key) == Some(&known) || all.len() >= MOST && !all.contains_key(&self.key) {
            return Ok(());
        }
        all.insert(self.key.clone(), known);
        let path = path(self.host);
        let text = serde_json::to_vec_pretty(&all).map_err(io::Error::from);
        store::replace(&path, &text.map_err(Error::io("write", &path))?)
    }
}

fn path(host: &Host) -> PathBuf {
    host.layout.path.join(".known-downloads.json")
}

/// What cannot be read is not remembered: it costs a download.
fn load(host: &Host) -> Result<All, Error> {
    let path = path(host);
    match fs::read(&path) {
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(All::new()),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

fn sha256(hex: String) -> Digest {
    Digest { algorithm: DigestAlgorithm::Sha256, hex }
}

fn hex_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
