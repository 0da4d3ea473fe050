//! Small documents, kept for a while: indexes that every create would otherwise fetch anew.
//!
//! A document is one file, named by the digest of its address: a line of JSON about it, then its bytes. It is written whole or not
//! at all. What does not fit its own digest is not used.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::FetchError;
use super::order::{Digest, Fetched, Order};
use super::reach::Reach;
use super::run::{Session, Watch};

const FOUND: u16 = 200;
const NOT_FOUND: u16 = 404;
/// How long it is believed that there is none: shorter, for who misses one puts it there and tries again.
const ABSENT: Duration = Duration::from_secs(600);

/// One document.
#[derive(Debug, Clone)]
pub struct DocumentRequest {
    pub url: String,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// The most bytes after decoding.
    pub limit: u64,
    /// How old a kept one may be.
    pub accept_age: Duration,
    /// What it has to be.
    pub expect: Option<Digest>,
    /// Whether the server has to answer, however young and good what is kept is.
    pub fresh: bool,
}

/// What a server answered, now or a while ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How old it is where the server could not be asked.
    pub stale: Option<Duration>,
}

/// A directory of documents.
#[derive(Debug, Clone)]
pub struct Documents {
    /// None where nothing is kept.
    directory: Option<PathBuf>,
}

/// The first line of a kept document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    url: String,
    accept: String,
    /// Seconds since 1970 when the server last vouched for it.
    asked: u64,
    sha256: String,
    headers: Vec<(String, String)>,
    /// 200; or 404, of a server that has no such document.
    #[serde(default = "usual")]
    status: u16,
}

fn usual() -> u16 {
    FOUND
}

impl Documents {
    /// Documents in a directory, which is made when the first one comes.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory: Some(directory) }
    }

    /// Documents of which none is kept.
    #[must_use]
    pub fn fleeting() -> Self {
        Self { directory: None }
    }

    /// A document: a kept one that is young enough or has the right digest, or what the server says now, or without a
    /// network what was kept.
    ///
    /// # Errors
    /// The server cannot be asked, and nothing was kept; or it is not what is expected.
    pub fn get(
        &self,
        request: &DocumentRequest,
        reach: &Reach,
        watch: &mut dyn Watch,
    ) -> Result<Document, FetchError> {
        let accept = header(&request.headers, "accept").unwrap_or_default().to_owned();
        // What is told to somebody who said who he is is not for everybody.
        let keeps = header(&request.headers, "authorization").is_none();
        let path = self.path(&request.url, &accept).filter(|_| keeps);
        let known = path.as_ref().and_then(|path| load(path, request, &accept));
        if let Some((kept, body)) = &known
            && (request.expect.is_some()
                || !request.fresh && age(kept).is_some_and(|age| age < most(kept, request)))
        {
            return Ok(document(kept, body.clone(), None));
        }
        let mut headers = request.headers.clone();
        let own =
            header(&headers, "if-none-match").is_some() || header(&headers, "if-modified-since").is_some();
        if let Some((kept, _)) = known.as_ref().filter(|(kept, _)| !own && kept.status == FOUND) {
            let since = [("etag", "if-none-match"), ("last-modified", "if-modified-since")];
            let since =
                since.iter().filter_map(|(had, ask)| Some((*ask, header(&kept.headers, had)?.to_owned())));
            headers.extend(since.map(|(ask, value)| (ask.to_owned(), value)));
        }
        match fetch(request, headers, reach, watch) {
            Err(error) if error.is_network() && known.is_some() && !request.fresh => {
                let Some((kept, body)) = known else { return Err(error) };
                watch.trouble(&error.to_string());
                let old = age(&kept);
                Ok(document(&kept, body, old))
            }
            Err(error) => Err(error),
            Ok((fetched, _)) if fetched.status == 304 && !own => {
                let Some((mut kept, body)) = known else {
                    return Err(FetchError::Status { url: request.url.clone(), status: 304 });
                };
                kept.asked = now();
                if let Some(path) = &path {
                    self.keep(path, &kept, &body);
                }
                Ok(document(&kept, body, None))
            }
            Ok((fetched, body)) => {
                let (asked, sha256) = (now(), fetched.sha256.clone());
                let (url, status, headers) = (request.url.clone(), fetched.status, fetched.headers);
                let kept = Kept { url, accept, asked, sha256, headers, status };
                if let (Some(path), FOUND | NOT_FOUND) = (&path, status) {
                    self.keep(path, &kept, &body);
                }
                Ok(Document { status, headers: kept.headers, body, stale: None })
            }
        }
    }

    fn path(&self, url: &str, accept: &str) -> Option<PathBuf> {
        let digest = Sha256::new_with_prefix(url).chain_update([0]).chain_update(accept).finalize();
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(self.directory.as_ref()?.join(name))
    }

    /// Keeping it is a favour: nobody depends on it.
    fn keep(&self, path: &Path, kept: &Kept, body: &[u8]) {
        if let Err(error) = self.write(path, kept, body) {
            tracing::debug!(url = kept.url, %error, "a document is not kept");
        }
    }

    fn write(&self, path: &Path, kept: &Kept, body: &[u8]) -> std::io::Result<()> {
        let directory = path.parent().unwrap_or(path);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut text = serde_json::to_vec(kept)?;
        text.push(b'\n');
        let written = fs::File::create(&new).and_then(|mut file| {
            file.write_all(&text)?;
            file.write_all(body)
        });
        written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
    }

    /// Removes all of them.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn clear(&self) -> Result<(), FetchError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FetchError::File {
                doing: format!("remove {}", directory.display()),
                why: error.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

fn fetch(
    request: &DocumentRequest,
    headers: Vec<(String, String)>,
    reach: &Reach,
    watch: &mut dyn Watch,
) -> Result<(Fetched, Vec<u8>), FetchError> {
    let failed = |error: std::io::Error| FetchError::File {
        doing: "keep a document in memory".into(),
        why: error.to_string(),
    };
    let file = memfd_create("wxc-document", MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let mut file = fs::File::from(file);
    let order = Order {
        headers,
        limit: request.limit,
        digest: request.expect.clone(),
        document: true,
        ..reach.order(std::slice::from_ref(&request.url))
    };
    let fetched = Session::default().get(&order, file.as_fd(), watch)?;
    let mut body = Vec::new();
    file.rewind().map_err(failed)?;
    file.take(request.limit).read_to_end(&mut body).map_err(failed)?;
    Ok((fetched, body))
}

fn load(path: &Path, request: &DocumentRequest, accept: &str) -> Option<(Kept, Vec<u8>)> {
    let content = fs::read(path).ok()?;
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let kept: Kept = serde_json::from_slice(&content[..end]).ok()?;
    let body = &content[end + 1..];
    let found: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = request.expect.as_ref();
    let fits = expected.is_none_or(|digest| digest_of(digest, body) == digest.hex());
    let same = kept.url == request.url && kept.accept == accept && kept.sha256 == found;
    let fits = fits && (expected.is_none() || kept.status == FOUND);
    (same && fits && body.len() as u64 <= request.limit).then(|| (kept, body.to_vec()))
}

fn digest_of(digest: &Digest, body: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match digest.algorithm() {
        super::Algorithm::Sha256 => hex(&Sha256::digest(body)),
        super::Algorithm::Sha512 => hex(&sha2::Sha512::digest(body)),
    }
}

fn document(kept: &Kept, body: Vec<u8>, stale: Option<Duration>) -> Document {
    Document { status: kept.status, headers: kept.headers.clone(), body, stale }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// How old it may be.
fn most(kept: &Kept, request: &DocumentRequest) -> Duration {
    if kept.status == FOUND { request.accept_age } else { request.accept_age.min(ABSENT) }
}

/// `None` for one from the future: the clock is not what it was.
fn age(kept: &Kept) -> Option<Duration> {
    now().checked_sub(kept.asked).map(Duration::from_secs)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
