//! Documents of the server, and who vouches for them.

use crate::bindings::wxc::host::{fetch, trust};
use crate::error;
use image_metadata::host_types::{Error, ErrorKind};

/// The keys that belong to the server, where somebody keeps them.
pub const KEYS: &str = "server";
/// Bytes of a signature.
const LONGEST_SIGNATURE: u32 = 64 << 10;
/// What a signature's name ends in.
const SIGNATURES: [&str; 3] = [".asc", ".gpg", ".sig"];

/// A document.
pub struct Document {
    pub text: String,
    /// Fingerprint of the key that vouches for it.
    pub signer: Option<String>,
}

/// A text; `None` where the server has none of this name.
fn get(url: &str, limit: u32, age: u32) -> Result<Option<String>, Error> {
    let Some(body) = get_bytes(url, limit, age)? else { return Ok(None) };
    let text = String::from_utf8(body);
    text.map(Some).map_err(|_| error(ErrorKind::Integrity, format!("{url} is no text")))
}

/// A text and who signed it, where there are keys to find that out with. One that is not signed has no signer; one whose
/// signature does not hold is an error.
pub fn document(url: &str, limit: u32, age: u32) -> Result<Option<Document>, Error> {
    match look(url, limit, age) {
        // One of both may be from before a change on the server: as they are now they must fit.
        Err(Error { kind: ErrorKind::Integrity | ErrorKind::NotFound, .. }) if age > 0 => look(url, limit, 0),
        other => other,
    }
}

/// The same for one without which nothing goes on: that there was none a while ago is not enough.
pub fn needed(url: &str, limit: u32, age: u32) -> Result<Option<Document>, Error> {
    match document(url, limit, age)? {
        None if age > 0 => document(url, limit, 0),
        found => Ok(found),
    }
}

/// A document of a server that is signed beside itself or, under a name of its own, around.
pub fn signed(server: &str, path: &str, limit: u32, age: u32) -> Result<Option<Document>, Error> {
    let url = format!("{server}/{path}");
    let Some(stem) = path.strip_suffix(".json") else { return clear(&url, limit, age) };
    let plain = document(&url, limit, age)?;
    if !trust::has_keyring(KEYS) || plain.as_ref().is_some_and(|found| found.signer.is_some()) {
        return Ok(plain);
    }
    Ok(clear(&format!("{server}/{stem}.sjson"), limit, age)?.or(plain))
}

fn clear(url: &str, limit: u32, age: u32) -> Result<Option<Document>, Error> {
    let Some(bytes) = get_bytes(url, limit, age)? else { return Ok(None) };
    let signed = trust::verify_clear(KEYS, &bytes)
        .map_err(|why| error(why.kind, format!("{url}: {}", why.message)))?;
    let text = String::from_utf8(signed.content);
    let text = text.map_err(|_| error(ErrorKind::Integrity, format!("{url} is no text")))?;
    Ok(Some(Document { text, signer: Some(signed.signer) }))
}

fn look(url: &str, limit: u32, age: u32) -> Result<Option<Document>, Error> {
    let Some(text) = get(url, limit, age)? else { return Ok(None) };
    if !trust::has_keyring(KEYS) {
        return Ok(Some(Document { text, signer: None }));
    }
    if let Some((place, signature)) = beside(url, age)? {
        let signer = trust::verify(KEYS, text.as_bytes(), &signature)
            .map_err(|why| error(why.kind, format!("{place}: {}", why.message)))?;
        return Ok(Some(Document { text, signer: Some(signer) }));
    }
    // Nor is that there was no signature.
    if age > 0 { look(url, limit, 0) } else { Ok(Some(Document { text, signer: None })) }
}

/// The signature of something that is too long to be read here, for the host to check: where there are keys, and the server has one.
pub fn signature(url: &str, age: u32) -> Result<Option<Vec<u8>>, Error> {
    if !trust::has_keyring(KEYS) {
        return Ok(None);
    }
    let found = match beside(url, age)? {
        None if age > 0 => beside(url, 0)?,
        found => found,
    };
    Ok(found.map(|(_, signature)| signature))
}

/// The first signature that lies beside a file, and where.
fn beside(url: &str, age: u32) -> Result<Option<(String, Vec<u8>)>, Error> {
    for ending in SIGNATURES {
        let place = format!("{url}{ending}");
        if let Some(signature) = get_bytes(&place, LONGEST_SIGNATURE, age)? {
            return Ok(Some((place, signature)));
        }
    }
    Ok(None)
}

fn get_bytes(url: &str, limit: u32, age: u32) -> Result<Option<Vec<u8>>, Error> {
    let request = fetch::Request::new(url);
    request.set_limit(limit);
    request.accept_age(age);
    let response = request.send()?;
    match response.status() {
        200 => Ok(Some(response.body())),
        404 | 410 => Ok(None),
        status => Err(error(ErrorKind::Failed, format!("cannot fetch {url}: the server answered {status}"))),
    }
}
