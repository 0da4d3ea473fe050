//! The release and its list of packages (the layout of archives: https://wiki.debian.org/DebianRepository/Format).

use std::io::{self, Read};

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

/// A list of packages, as a release names it.
pub struct List {
    /// The directory of its component and architecture.
    directory: String,
    file: &'static str,
    pub digest: String,
}

/// How lists are compressed: the first that a release has is the fastest to read. Updates have the second only.
const FILES: [&str; 2] = ["Packages.gz", "Packages.xz"];

/// The lists of packages, one for each component.
pub fn lists(choice: &Choice<'_>, release: &Release) -> Result<Vec<List>, Error> {
    let sums = field(&release.text, "SHA256").unwrap_or_default();
    let list = |component: &&str| {
        let directory = format!("{component}/binary-{}", choice.architecture);
        let digest = |file: &str| {
            let path = format!("{directory}/{file}");
            sums.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                let (hex, _, name) = (words.next()?, words.next()?, words.next()?);
                (name == path).then(|| hex.to_owned())
            })
        };
        let found = FILES.into_iter().find_map(|file| Some((file, digest(file)?)));
        let (file, digest) = found.ok_or_else(|| {
            let message = format!(
                "{} of {} has no {directory}/{}: another architecture or component may be there",
                release.name, release.mirror, FILES[0]
            );
            error(ErrorKind::NotFound, message)
        })?;
        Ok(List { directory, file, digest })
    };
    choice.components.iter().map(list).collect()
}

/// Its text.
pub fn packages(release: &Release, list: &List) -> Result<String, Error> {
    let List { directory, file, digest } = list;
    // By its digest it is the one that the release means, also while the mirror is being updated.
    let by_digest = field(&release.text, "Acquire-By-Hash") == Some("yes");
    let name = if by_digest { format!("by-hash/SHA256/{digest}") } else { (*file).to_owned() };
    let url = format!("{}/dists/{}/{directory}/{name}", release.mirror, release.name);
    let digest = Digest { algorithm: DigestAlgorithm::Sha256, hex: digest.clone() };
    let body = get(&url, LONGEST_LIST, 0, Some(&digest))?
        .ok_or_else(|| error(ErrorKind::NotFound, format!("{url} is not there, and the release names it")))?;
    let bad = |why: String| error(ErrorKind::Integrity, format!("{url}: {why}"));
    let text = unpacked(file, &body).map_err(|why| bad(why.to_string()))?;
    if text.len() as u64 > LONGEST_TEXT {
        return Err(bad(format!("it has more than {LONGEST_TEXT} bytes")));
    }
    Ok(text)
}

/// One byte more than there may be of what is too long.
fn unpacked(file: &str, bytes: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    if file == FILES[0] {
        flate2::read::MultiGzDecoder::new(bytes).take(LONGEST_TEXT + 1).read_to_string(&mut text)?;
    } else {
        lzma_rust2::XzReader::new(bytes, true).take(LONGEST_TEXT + 1).read_to_string(&mut text)?;
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn lists_are_read_in_each_form() {
        let text = "Package: a\n\n".repeat(10_000);
        for (file, program) in [("Packages.gz", "gzip"), ("Packages.xz", "xz")] {
            let mut child =
                Command::new(program).arg("-9").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            let packed = child.wait_with_output().unwrap().stdout;
            assert_eq!(unpacked(file, &packed).unwrap(), text, "{file}");
            unpacked(file, &packed[..packed.len() / 2]).unwrap_err();
        }
    }
}
