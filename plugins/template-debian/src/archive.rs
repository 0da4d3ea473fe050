//! The release and its list of packages (the layout of archives: https://wiki.debian.org/DebianRepository/Format).

use std::io::Read as _;

use words::moment;

use crate::bindings::wxc::host::types::{Digest, DigestAlgorithm, Error, ErrorKind};
use crate::bindings::wxc::host::{fetch, trust};
use crate::choice::Choice;
use crate::control::field;
use crate::error;

/// The archives' own rings, and one that the administrator keeps for this mirror.
const SERVER: &str = "server";
const RINGS: [&str; 2] = ["debian-archive", "ubuntu-archive"];
/// Bytes of a release, and of a list of packages, compressed and not.
const LONGEST_RELEASE: u32 = 4 << 20;
const LONGEST_LIST: u32 = 64 << 20;
const LONGEST_TEXT: u64 = 256 << 20;
/// Seconds for which a release is fresh.
const FRESH: u32 = 300;

/// A signed release, or its updates.
pub struct Release {
    text: String,
    pub mirror: String,
    /// What it is called on its mirror.
    pub name: String,
    pub signer: String,
    pub origin: String,
    pub codename: String,
    suite: String,
    /// When it was made.
    pub serial: String,
    /// From when on it is no longer to be believed, where it says so: somebody who goes on showing it hides what came after.
    pub expires: Option<u64>,
}

/// The release that was asked for, and behind it what there is of its updates.
pub fn releases(choice: &Choice<'_>) -> Result<Vec<Release>, Error> {
    let (mirror, name) = (choice.mirror, choice.release);
    let main = release(mirror, name)?.ok_or_else(|| {
        let message = format!("{mirror} has no release {name:?}: there is no {}", place(mirror, name));
        error(ErrorKind::NotFound, message)
    })?;
    // What always changes has none.
    if !choice.updates || main.suite == "unstable" {
        return Ok(vec![main]);
    }
    let updates = format!("{}-updates", main.codename);
    let security = format!("{}-security", main.codename);
    let wanted = [(mirror, updates), (choice.security.unwrap_or(mirror), security)];
    let mut all = vec![main];
    for (mirror, name) in wanted {
        all.extend(release(mirror, &name)?);
    }
    Ok(all)
}

fn place(mirror: &str, name: &str) -> String {
    format!("{mirror}/dists/{name}/InRelease")
}

/// `None` where the mirror has none of this name.
fn release(mirror: &str, name: &str) -> Result<Option<Release>, Error> {
    let url = place(mirror, name);
    let Some(document) = get(&url, LONGEST_RELEASE, FRESH, None)? else { return Ok(None) };
    let signed = verified(&url, &document)?;
    let text = String::from_utf8(signed.content);
    let text = text.map_err(|_| error(ErrorKind::Integrity, format!("{url} is no text")))?;
    let word = |name: &str| {
        let value = field(&text, name).unwrap_or_default();
        let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b));
        if plain && value.len() <= 64 { value.to_owned() } else { String::new() }
    };
    let (origin, codename, suite) = (word("Origin").to_ascii_lowercase(), word("Codename"), word("Suite"));
    // Another release, signed by the same keys, is not what was asked for.
    if ![&codename, &suite].iter().any(|own| *own == name) {
        let message = format!("{url} is the release {codename} ({suite}), and not {name}");
        return Err(error(ErrorKind::Integrity, message));
    }
    let when = |name: &str| field(&text, name).and_then(moment::of_mail);
    let serial = when("Date").and_then(moment::serial);
    let serial =
        serial.ok_or_else(|| error(ErrorKind::Integrity, format!("{url} does not say when it was made")))?;
    let expires = when("Valid-Until");
    let (mirror, name, signer) = (mirror.to_owned(), name.to_owned(), signed.signer);
    Ok(Some(Release { mirror, name, signer, origin, codename, suite, serial, expires, text }))
}

/// The first of the rings whose keys vouch for it.
fn verified(url: &str, document: &[u8]) -> Result<trust::SignedText, Error> {
    let rings: &[&str] = if trust::has_keyring(SERVER) { &[SERVER] } else { &RINGS };
    let mut why = Vec::new();
    for ring in rings {
        match trust::verify_clear(ring, document) {
            Ok(signed) => return Ok(signed),
            // Somebody else's key: perhaps of the next ring.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unsupported) => {
                why.push(format!("{ring}: {}", error.message));
            }
            Err(other) => return Err(error(other.kind, format!("{url}: {}", other.message))),
        }
    }
    Err(error(ErrorKind::Integrity, format!("nobody vouches for {url}: {}", why.join("; "))))
}

/// The digests of the lists of packages, one for each component.
pub fn lists(choice: &Choice<'_>, release: &Release) -> Result<Vec<String>, Error> {
    let sums = field(&release.text, "SHA256").unwrap_or_default();
    let digest = |component: &&str| {
        let file = file(choice, component);
        let hex = sums.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let (hex, _, name) = (words.next()?, words.next()?, words.next()?);
            (name == file).then(|| hex.to_owned())
        });
        hex.ok_or_else(|| {
            let message = format!(
                "{} of {} has no {file}: another architecture or component may be there",
                release.name, release.mirror
            );
            error(ErrorKind::NotFound, message)
        })
    };
    choice.components.iter().map(digest).collect()
}

fn file(choice: &Choice<'_>, component: &str) -> String {
    format!("{component}/binary-{}/Packages.gz", choice.architecture)
}

/// The text of the lists of packages.
pub fn packages(choice: &Choice<'_>, release: &Release, digests: &[String]) -> Result<Vec<String>, Error> {
    let both = choice.components.iter().zip(digests);
    both.map(|(component, hex)| list(choice, release, component, hex)).collect()
}

fn list(choice: &Choice<'_>, release: &Release, component: &str, hex: &str) -> Result<String, Error> {
    let file = file(choice, component);
    let directory = file.trim_end_matches("/Packages.gz");
    // By its digest it is the one that the release means, also while the mirror is being updated.
    let by_digest = field(&release.text, "Acquire-By-Hash") == Some("yes");
    let place = if by_digest { format!("{directory}/by-hash/SHA256/{hex}") } else { file.clone() };
    let url = format!("{}/dists/{}/{place}", release.mirror, release.name);
    let digest = Digest { algorithm: DigestAlgorithm::Sha256, hex: hex.into() };
    let body = get(&url, LONGEST_LIST, 0, Some(&digest))?
        .ok_or_else(|| error(ErrorKind::NotFound, format!("{url} is not there, and the release names it")))?;
    let mut text = String::new();
    let bad = |why: String| error(ErrorKind::Integrity, format!("{url}: {why}"));
    let decoder = flate2::read::MultiGzDecoder::new(body.as_slice());
    decoder.take(LONGEST_TEXT + 1).read_to_string(&mut text).map_err(|why| bad(why.to_string()))?;
    if text.len() as u64 > LONGEST_TEXT {
        return Err(bad(format!("it has more than {LONGEST_TEXT} bytes")));
    }
    Ok(text)
}

fn get(url: &str, limit: u32, age: u32, digest: Option<&Digest>) -> Result<Option<Vec<u8>>, Error> {
    let request = fetch::Request::new(url);
    request.set_limit(limit);
    request.accept_age(age);
    if let Some(digest) = digest {
        request.expect(digest);
    }
    let response = request.send()?;
    match response.status() {
        200 => Ok(Some(response.body())),
        404 | 410 => Ok(None),
        status => Err(error(ErrorKind::Failed, format!("cannot fetch {url}: the mirror answered {status}"))),
    }
}
