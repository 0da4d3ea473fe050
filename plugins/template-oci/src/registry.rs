//! Images of a registry (OCI distribution-spec 1.1), with a token where it wants one (RFC 6750, and Docker's service for these).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::bindings::wxc::host::fetch::{Request, Response};
use crate::bindings::wxc::host::types::{Error, ErrorKind, Pair};
use crate::bindings::wxc::template::types::{Assembly, Manifest, Origin, Remote};
use crate::choice::{Choice, of_kernel};
use crate::error;
use crate::spec::{self, Descriptor, INDEXES, MANIFESTS, Source};

/// What stands for itself in an address (RFC 3986, section 2.3) is left.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Longest document.
const LONGEST: u32 = 8 << 20;
/// Seconds for which a name's digest is fresh; a digest's document is for ever.
const FRESH: u32 = 60;

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

struct Registry<'a> {
    server: &'a str,
    repository: String,
    /// The value of `authorization`, once it is known.
    authorization: Option<String>,
    choice: &'a Choice<'a>,
}

/// `NAME`, `NAME:TAG` or `NAME@DIGEST`.
fn reference(image: &str) -> Result<(String, String), Error> {
    let invalid = |why: &str| error(ErrorKind::Invalid, format!("--image {image:?}: {why}"));
    let (name, reference) = match image.split_once('@') {
        Some((name, digest)) => {
            spec::digest(digest).map_err(|why| invalid(&why.message))?;
            // Both may be given; the digest is what counts.
            (name.split(':').next().unwrap_or(name), digest)
        }
        None => image.rsplit_once(':').unwrap_or((image, "latest")),
    };
    let word = |part: &str| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        !part.is_empty() && part.bytes().all(good) && part.as_bytes()[0].is_ascii_alphanumeric()
    };
    if name.len() > 255 || !name.split('/').all(word) {
        return Err(invalid("a name is of a-z, 0-9, ., _ and -, in parts between slashes"));
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !image.contains('@') && (reference.is_empty() || reference.len() > 128 || !reference.bytes().all(good))
    {
        return Err(invalid("a tag is of letters, digits, ., _ and -"));
    }
    Ok((name.to_owned(), reference.to_owned()))
}

pub fn resolve(choice: &Choice<'_>, image: &str) -> Result<Manifest, Error> {
    let Some(server) = choice.registry else {
        return Err(error(ErrorKind::Invalid, "--image needs --registry: whose image it is"));
    };
    let (repository, reference) = reference(image)?;
    let mut registry = Registry { server, repository, authorization: None, choice };
    let (document, digest) = registry.first(&reference)?;
    let at = Descriptor::of(digest);
    let first = First { registry: &registry, digest: at.digest.clone(), document };
    let image = spec::image(&first, at, choice.machine)?;
    let by_digest = reference.contains(':');
    // A name that leads to something older than before is worth a question; a digest is what was asked for.
    let created = image.configuration.created.filter(|_| !by_digest).unwrap_or_default();
    let good =
        created.len() <= 40 && created.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:.+".contains(&b));
    let separator = if by_digest { '@' } else { ':' };
    Ok(Manifest {
        product: format!("oci/{}{separator}{reference}", registry.repository),
        serial: if good { created } else { String::new() },
        architecture: of_kernel(&image.configuration.architecture).into(),
        expires: None,
        signer: None,
        assembly: Assembly::Layers(image.layers),
    })
}

impl Descriptor {
    fn of(digest: String) -> Self {
        let text = serde_json::json!({ "digest": digest });
        // Everything else has a default.
        serde_json::from_value(text).unwrap_or_else(|_| unreachable!("a descriptor has a digest"))
    }
}

/// The registry, with the one document that a name led to.
struct First<'a> {
    registry: &'a Registry<'a>,
    digest: String,
    document: Vec<u8>,
}

impl Source for First<'_> {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        if descriptor.digest == self.digest {
            return Ok(self.document.clone());
        }
        let manifest = MANIFESTS.contains(&descriptor.media_type.as_str())
            || INDEXES.contains(&descriptor.media_type.as_str());
        let kind = if manifest { "manifests" } else { "blobs" };
        let url = self.registry.url(kind, &descriptor.digest);
        let request = self.registry.request(&url);
        request.expect(&spec::digest(&descriptor.digest)?);
        let response = request.send()?;
        match response.status() {
            200 => Ok(response.body()),
            status => Err(refused(&url, status)),
        }
    }

    fn origin(&self, descriptor: &Descriptor) -> Result<Origin, Error> {
        let urls = vec![self.registry.url("blobs", &descriptor.digest)];
        let header = |value: &String| Pair { name: "authorization".into(), value: value.clone() };
        let headers = self.registry.authorization.iter().map(header).collect();
        Ok(Origin::Remote(Remote { urls, headers }))
    }
}

impl Registry<'_> {
    fn url(&self, kind: &str, reference: &str) -> String {
        format!("{}/v2/{}/{kind}/{reference}", self.server, self.repository)
    }

    fn request(&self, url: &str) -> Request {
        let request = Request::new(url);
        request.set_limit(LONGEST);
        request.set_header("accept", &[&INDEXES[..], &MANIFESTS[..]].concat().join(", "));
        if let Some(authorization) = &self.authorization {
            request.set_header("authorization", authorization);
        }
        request
    }

    /// The document that a name leads to, and its digest; logs in if that is wanted.
    fn first(&mut self, reference: &str) -> Result<(Vec<u8>, String), Error> {
        let url = self.url("manifests", reference);
        let mut response = self.ask(&url, reference)?;
        if response.status() == 401 {
            let wanted = response.header("www-authenticate").unwrap_or_default();
            self.authorization = Some(self.log_in(&wanted)?);
            response = self.ask(&url, reference)?;
        }
        if response.status() != 200 {
            return Err(refused(&url, response.status()));
        }
        let body = response.body();
        let digest = match reference.contains(':') {
            true => reference.to_owned(),
            false => spec::digest_of(&body),
        };
        Ok((body, digest))
    }

    fn ask(&self, url: &str, reference: &str) -> Result<Response, Error> {
        let request = self.request(url);
        if reference.contains(':') {
            request.expect(&spec::digest(reference)?);
        } else if self.authorization.is_none() {
            request.accept_age(FRESH);
        }
        request.send()
    }

    /// What to say in `authorization`.
    fn log_in(&self, wanted: &str) -> Result<String, Error> {
        let denied =
            |why: String| error(ErrorKind::Denied, format!("cannot log in at {}: {why}", self.server));
        let basic = match (self.choice.user, self.choice.password) {
            (Some(user), Some(password)) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            (None, None) => None,
            _ => return Err(denied("--user and --password belong together".into())),
        };
        let (scheme, parameters) = wanted.split_once(' ').unwrap_or((wanted, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return basic.ok_or_else(|| denied("it wants --user and --password".into()));
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(denied("it does not say how".into()));
        }
        let realm = parameter(parameters, "realm").ok_or_else(|| denied("it does not say where".into()))?;
        let mut url = realm.clone();
        let scope = format!("repository:{}:pull", self.repository);
        let service = parameter(parameters, "service").unwrap_or_default();
        for (name, value) in [("service", service.as_str()), ("scope", &scope)] {
            if !value.is_empty() {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(&format!("{name}={}", utf8_percent_encode(value, UNRESERVED)));
            }
        }
        let request = Request::new(&url);
        if let Some(basic) = &basic {
            request.set_header("authorization", basic);
        }
        let response = request.send().map_err(|why| match why.kind {
            ErrorKind::Denied => denied(format!(
                "it gives tokens at {realm}, which is another server: name it in wxc.toml, as `also` of this remote ({})",
                why.message
            )),
            _ => why,
        })?;
        if response.status() != 200 {
            return Err(denied(format!("{realm} answered {}", response.status())));
        }
        let token: Token = spec::parse("the token", &response.body())?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
        Ok(format!("Bearer {}", token.ok_or_else(|| denied("it gave no token".into()))?))
    }
}

fn refused(url: &str, status: u16) -> Error {
    let (kind, why) = match status {
        404 => (ErrorKind::NotFound, "there is no such image".to_owned()),
        401 | 403 => (ErrorKind::Denied, format!("the registry wants somebody else (it answered {status})")),
        status => (ErrorKind::Failed, format!("the registry answered {status}")),
    };
    error(kind, format!("cannot fetch {url}: {why}"))
}

/// The value of `name="value"` in a list of such.
fn parameter(list: &str, name: &str) -> Option<String> {
    let mut rest = list;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').map_or((after, ""), |(value, rest)| (value, rest)),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        let of = |image: &str| reference(image).map_err(|why| why.message);
        let pair = |name: &str, tag: &str| Ok((name.to_owned(), tag.to_owned()));
        assert_eq!(of("library/debian"), pair("library/debian", "latest"));
        assert_eq!(of("debian:13"), pair("debian", "13"));
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(of(&format!("a/b:c@{digest}")), pair("a/b", &digest));
        for bad in ["", "Debian", "a//b", "../x", "a:b/../c", "a:", "a@sha256:1", "a b", "a?b=c", "-a"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_challenge_is_a_list_of_values() {
        let list = "realm=\"https://auth.example/token\",service=\"registry.example\", scope=\"a:b,c\"";
        assert_eq!(parameter(list, "realm").unwrap(), "https://auth.example/token");
        assert_eq!(parameter(list, "SCOPE").unwrap(), "a:b,c");
        assert_eq!(parameter("realm=plain, x=y", "x").unwrap(), "y");
        for bad in ["", "realm", "realm=\"open", ",,,"] {
            assert_eq!(parameter(bad, "realm"), None, "{bad}");
        }
    }
}
