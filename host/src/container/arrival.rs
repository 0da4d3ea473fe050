#![forbid(unsafe_code)]
//! A plugin's file, from this machine or from a server, and who vouches for it.
//!
//! What comes from a server counts only when its digest was given, or when a key that the administrator keeps has signed it. Both are
//! checked before anything looks into the file. It is downloaded and its signature read by the processes that do this for images.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{MemfdFlags, memfd_create};
use sha2::{Digest as _, Sha256, Sha512};

use super::{Error, Host, downloads};
use crate::fetch::{self, Algorithm, Digest, DocumentRequest, Documents, FetchError, Origin, Reach, Watch};
use crate::plugin::book::Vouched;
use crate::plugin::install::Parcel;
use crate::plugin::{Progress, Unit};
use crate::trust::{Ring, Rings, TrustError, verify_file};

/// The ring whose keys vouch for plugins unless another one is named.
pub const RING: &str = "plugins";
/// A larger component is refused.
const LARGEST: u64 = 128 << 20;
/// The longest signature.
const SIGNATURE: u64 = 64 << 10;

/// What is wanted, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// A path or an `https` address.
    pub from: String,
    /// `sha256:HEX` or `sha512:HEX`.
    pub digest: Option<String>,
    /// A path or an `https` address.
    pub signature: Option<String>,
    /// The keys that may vouch: the name of a ring, or a path.
    pub keys: Option<String>,
}

/// Whether a word is an address, and not a file.
#[must_use]
pub fn is_address(word: &str) -> bool {
    word.contains("://")
}

/// Gets it, and checks who vouches for it. A file of this machine needs nobody.
///
/// # Errors
/// It cannot be had, nobody vouches for what came from a server, or what was to vouch does not.
pub fn get(host: &Host, wanted: &Wanted) -> Result<Parcel, Error> {
    let digest = wanted.digest.as_deref().map(parse_digest).transpose()?;
    if wanted.keys.is_some() && wanted.signature.is_none() {
        return Err(Error::Invalid {
            message: "keys are named, and no signature to check with them".into(),
            hint: "name the signature, too: --signature URL or FILE".into(),
        });
    }
    // Before anything is downloaded: without keys it would be for nothing.
    let ring = wanted.signature.as_ref().map(|_| ring(host, wanted.keys.as_deref())).transpose()?;
    let bytes = bytes(host, &wanted.from, LARGEST)?;
    let mut vouched = None;
    if let Some(digest) = &digest {
        check_digest(&wanted.from, &bytes, digest)?;
        vouched = Some(Vouched::Digest(digest.to_string()));
    }
    if let (Some(signature), Some(ring)) = (&wanted.signature, &ring) {
        let signer = signer(ring, &bytes, &self::bytes(host, signature, SIGNATURE)?);
        let signer = signer.map_err(|error| unsigned(&wanted.from, ring, &error))?;
        let (keys, signature) = (ring.name.clone(), origin(signature)?);
        vouched = Some(Vouched::Signature { signer, keys, signature });
    }
    if vouched.is_none() && is_address(&wanted.from) {
        return Err(Error::Invalid {
            message: format!("nobody vouches for {}: nothing was installed", wanted.from),
            hint: format!(
                "if its author says that its digest is this, say it, too: --digest sha256:{}; or name a signature with --signature URL and the author's keys with --key FILE",
                hex(&Sha256::digest(&bytes))
            ),
        });
    }
    Ok(Parcel { bytes, origin: origin(&wanted.from)?, vouched })
}

fn parse_digest(word: &str) -> Result<Digest, Error> {
    let parsed = word.split_once(':').and_then(|(algorithm, digits)| {
        let algorithm = match algorithm {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return None,
        };
        Digest::new(algorithm, &digits.to_ascii_lowercase())
    });
    parsed.ok_or_else(|| Error::Invalid {
        message: format!("{word:?} is no digest"),
        hint: "write it as sha256: with 64 hexadecimal digits behind, or sha512: with 128".into(),
    })
}

fn check_digest(from: &str, bytes: &[u8], wanted: &Digest) -> Result<(), Error> {
    let found = match wanted.algorithm() {
        Algorithm::Sha256 => hex(&Sha256::digest(bytes)),
        Algorithm::Sha512 => hex(&Sha512::digest(bytes)),
    };
    if found == wanted.hex() {
        return Ok(());
    }
    let (url, algorithm) = (from.to_owned(), wanted.algorithm().name().to_owned());
    Err(FetchError::Digest { url, algorithm, expected: wanted.hex().to_owned(), found }.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The ring of a name, or of a file.
fn ring(host: &Host, keys: Option<&str>) -> Result<Ring, Error> {
    let rings = Rings { named: host.settings.keyrings.clone(), directory: host.defaults.join("keyrings") };
    let file = |file: &str| {
        let path = absolute(file)?;
        Ok(Ring { name: path.display().to_string(), files: vec![path] })
    };
    let found = match keys {
        Some(word) if word.contains('/') => return file(word),
        // A ring first: what happens to lie in the current directory must not take its place.
        Some(word) => match rings.find(word) {
            Err(TrustError::NoRing { .. }) if Path::new(word).is_file() => return file(word),
            found => found,
        },
        None => rings.find(RING),
    };
    found.map_err(|error| Error::Invalid {
        message: error.to_string(),
        hint: "or name a file with the author's keys: --key FILE".into(),
    })
}

/// Checks a signature in the process for that; returns who made it.
fn signer(ring: &Ring, bytes: &[u8], signature: &[u8]) -> Result<String, TrustError> {
    let lost =
        |error: std::io::Error| TrustError::Helper { why: format!("cannot be told what is signed: {error}") };
    let file = memfd_create("wxc-plugin", MemfdFlags::CLOEXEC).map_err(|error| lost(error.into()))?;
    let mut file = File::from(file);
    file.write_all(bytes).map_err(lost)?;
    verify_file(ring, &file, signature)
}

fn unsigned(from: &str, ring: &Ring, error: &TrustError) -> Error {
    Error::Invalid {
        message: format!("{from} is not what a key of {} has signed: {error}", ring.name),
        hint:
            "nothing of it is used; get the author's keys and the signature again, from where you trust them"
                .into(),
    }
}

/// How it is written down.
fn origin(from: &str) -> Result<String, Error> {
    if is_address(from) { Ok(from.to_owned()) } else { Ok(absolute(from)?.display().to_string()) }
}

fn absolute(path: &str) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(Error::io("resolve", Path::new(path)))
}

/// The bytes of a file or of what a server has.
fn bytes(host: &Host, from: &str, most: u64) -> Result<Vec<u8>, Error> {
    if is_address(from) { downloaded(host, from, most) } else { read(Path::new(from), most) }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let failed = || Error::io("read", path);
    let file = File::open(path).map_err(failed())?;
    let about = file.metadata().map_err(failed())?;
    if !about.is_file() {
        return Err(failed()(std::io::Error::other("it is no regular file")));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed())?;
    if bytes.len() as u64 > most {
        return Err(too_long(&path.display().to_string(), most));
    }
    Ok(bytes)
}

fn too_long(what: &str, most: u64) -> Error {
    Error::Invalid {
        message: format!("{what} has more than the {} that it may have", in_words(most)),
        hint: "it is something else than it should be".into(),
    }
}

fn in_words(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

fn downloaded(host: &Host, url: &str, most: u64) -> Result<Vec<u8>, Error> {
    let refuse = |why: String, hint: &str| Error::Invalid {
        message: format!("{url} cannot be downloaded: {why}"),
        hint: hint.to_owned(),
    };
    let server = Origin::of(url).map_err(|why| {
        refuse(why, "give an address such as https://plugins.example/hook-x.wasm, or a file")
    })?;
    if !server.is_secure() {
        return Err(refuse(
            "without https nobody can tell where it comes from".into(),
            "use https, or download it yourself and install the file",
        ));
    }
    let reach: Reach = downloads::reach(host, &[server.to_string()])?;
    let request = DocumentRequest {
        url: url.to_owned(),
        headers: Vec::new(),
        limit: most,
        accept_age: std::time::Duration::ZERO,
        expect: None,
        fresh: true,
    };
    let mut watch = Watching { progress: host.progress.clone(), host, begun: false, url };
    let document = Documents::fleeting().get(&request, &reach, &mut watch).map_err(|error| match error {
        FetchError::Refused { url: other, .. } if other != url => refuse(
            format!("it is kept on another server ({other})"),
            "allow that in wxc.toml: [remotes.NAME] with server = \"...\" and also = [\"...\"]",
        ),
        FetchError::Cancelled => Error::Cancelled,
        other => other.into(),
    })?;
    host.progress.settled();
    if document.status != 200 {
        return Err(FetchError::Status { url: url.to_owned(), status: document.status }.into());
    }
    Ok(document.body)
}

struct Watching<'a> {
    progress: Arc<dyn Progress>,
    host: &'a Host,
    begun: bool,
    url: &'a str,
}

impl Watch for Watching<'_> {
    fn progress(&mut self, at: fetch::Progress) {
        if !self.begun {
            self.begun = true;
            self.progress.phase(&format!("downloading {}", self.url));
        }
        self.progress.report(at.bytes, at.total, Unit::Bytes);
    }

    fn trouble(&mut self, what: &str) {
        let plain: String = what.chars().filter(|c| !c.is_control()).collect();
        self.progress.note(&plain);
    }

    fn begins(&mut self, _: Option<&str>) {}

    fn cancelled(&self) -> bool {
        self.host.cancel.load(Ordering::Relaxed) || self.progress.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_checked() {
        let good = format!("sha256:{}", hex(&Sha256::digest(b"x")));
        check_digest("f", b"x", &parse_digest(&good).unwrap()).unwrap();
        check_digest("f", b"x", &parse_digest(&good.to_uppercase().replace("SHA256", "sha256")).unwrap())
            .unwrap();
        check_digest("f", b"y", &parse_digest(&good).unwrap()).unwrap_err();
        for bad in ["", "sha256:", "sha256:12", "md5:0123", &good[7..]] {
            assert!(parse_digest(bad).unwrap_err().to_string().contains("no digest"), "{bad}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_or_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, [0; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap().len(), 100);
        assert!(read(&path, 99).unwrap_err().to_string().contains("more than"));
        assert!(read(dir.path(), 99).is_err());
        assert!(read(Path::new("/dev/zero"), 99).is_err());
    }
}
