//! A server on loopback, with TLS and a certificate that only its test trusts: real requests, real ranges, and on
//! request everything that a server can do wrong.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest as _, Sha256};

use crate::keys::Keys;

/// What goes wrong with one answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, and nothing else.
    Status(u16),
    /// Not for everybody, with this challenge.
    Unauthorized(String),
    /// Somewhere else.
    Redirect(String),
    /// Somewhere else, with the same request (307).
    Onward(String),
    /// The connection ends after so many bytes of the body.
    CutAfter(usize),
    /// Nothing comes after so many bytes, and the connection stays.
    StallAfter(usize),
    /// The whole, whatever range was asked for.
    IgnoreRange,
    /// Another length than there is.
    Length(u64),
    /// Other bytes.
    Instead(Vec<u8>),
    /// A partial answer that begins somewhere else than was asked for.
    WrongRange,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// With lower-case names.
    pub headers: BTreeMap<String, String>,
    /// What came with it.
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// The value of `authorization` without which it is refused, and the challenge that is answered then.
    guard: Option<(String, String)>,
    /// The next answers; then it behaves.
    faults: VecDeque<Fault>,
}

#[derive(Debug, Default)]
struct Shelf {
    files: BTreeMap<String, Content>,
    seen: Vec<Seen>,
    /// Bytes per second of each connection; as many as there can be unless told.
    pace: Option<u64>,
}

/// The server; it ends with its test.
#[derive(Debug)]
pub struct Server {
    port: u16,
    ca: PathBuf,
    shelf: Arc<Mutex<Shelf>>,
}

impl Server {
    /// One that keeps its certificate in this directory.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(directory: &Path) -> Self {
        let own =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ca = directory.join(format!("ca-{port}.pem"));
        fs::write(&ca, own.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let (config, shelf) = (Arc::new(config), Arc::new(Mutex::new(Shelf::default())));
        let theirs = Arc::clone(&shelf);
        // Ends with the process; a test's server has nothing to leave behind.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, shelf) = (Arc::clone(&config), Arc::clone(&theirs));
                std::thread::spawn(move || {
                    // A client that goes away in the middle is what some tests are about.
                    let _gone = serve(stream, config, &shelf);
                });
            }
        });
        Self { port, ca, shelf }
    }

    /// Its address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The file with its certificate.
    #[must_use]
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// A remote of this name for `wxc.toml`, with a short patience.
    #[must_use]
    pub fn remote(&self, name: &str) -> String {
        format!(
            "[remotes.{name}]\nserver = \"{}\"\nca = \"{}\"\ntimeout = 2\n",
            self.url(),
            self.ca.display()
        )
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a file there.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.shelf().files.entry(path.to_owned()).or_default().bytes = bytes.into();
    }

    /// What is there.
    #[must_use]
    pub fn get(&self, path: &str) -> Vec<u8> {
        self.shelf().files.get(path).map(|content| content.bytes.clone()).unwrap_or_default()
    }

    /// Puts a signature beside each of these.
    pub fn sign(&self, keys: &Keys, paths: &[&str]) {
        for path in paths {
            self.put(&format!("{path}.asc"), keys.sign(&self.get(path)));
        }
    }

    /// Takes one away.
    pub fn remove(&self, path: &str) {
        self.shelf().files.remove(path);
    }

    /// Wants this `authorization` for a path, and says so with a challenge.
    pub fn guard(&self, path: &str, authorization: &str, challenge: &str) {
        let guard = Some((authorization.to_owned(), challenge.to_owned()));
        self.shelf().files.entry(path.to_owned()).or_default().guard = guard;
    }

    /// What goes wrong with the next answers for this path.
    pub fn fail(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shelf().files.entry(path.to_owned()).or_default().faults = faults.into_iter().collect();
    }

    /// How many bytes per second each connection gets, from now on.
    pub fn pace(&self, bytes: Option<u64>) {
        self.shelf().pace = bytes;
    }

    /// The requests for a path so far.
    #[must_use]
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.shelf().seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// Puts an image there, as LXC's servers have them, and a line into both lists. Returns where its files are.
    pub fn flat_image(&self, words: [&str; 5], root: Vec<u8>, metadata: Vec<u8>) -> String {
        let place = format!("/images/{}/", words.join("/"));
        let sums = format!("{}  rootfs.tar.xz\n{}  meta.tar.xz\n", sha256(&root), sha256(&metadata));
        self.put(&format!("{place}SHA256SUMS"), sums);
        self.put(&format!("{place}rootfs.tar.xz"), root);
        self.put(&format!("{place}meta.tar.xz"), metadata);
        for list in ["/meta/1.0/index-system", "/meta/1.0/index-user"] {
            let mut shelf = self.shelf();
            let bytes = &mut shelf.files.entry(list.to_owned()).or_default().bytes;
            let line = format!("{};{place}\n", words.join(";"));
            bytes.extend_from_slice(line.as_bytes());
        }
        place
    }
}

/// SHA-256, hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _fits = write!(text, "{byte:02x}");
        text
    })
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let socket = stream.try_clone()?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(seen) = request(&mut stream)? {
        let (content, fault, pace) = {
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            shelf.seen.push(seen.clone());
            let pace = shelf.pace;
            match shelf.files.get_mut(&seen.path) {
                Some(content) => {
                    let refused = content
                        .guard
                        .as_ref()
                        .filter(|(wanted, _)| seen.headers.get("authorization") != Some(wanted));
                    let fault = match refused {
                        Some((_, challenge)) => Some(Fault::Unauthorized(challenge.clone())),
                        None => content.faults.pop_front(),
                    };
                    (Some(content.bytes.clone()), fault, pace)
                }
                None => (None, None, pace),
            }
        };
        let mut out = Paced { out: stream.get_mut(), pace };
        if !answer(&mut out, &socket, &seen, content, fault)? {
            return socket.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

/// As over a line of so many bytes per second.
struct Paced<'a, W> {
    out: &'a mut W,
    pace: Option<u64>,
}

impl<W: Write> Write for Paced<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(pace) = self.pace else { return self.out.write(bytes) };
        // A twentieth of a second's worth at once.
        let most = usize::try_from(pace / 20).unwrap_or(usize::MAX).clamp(1, bytes.len().max(1));
        let count = self.out.write(&bytes[..most.min(bytes.len())])?;
        std::thread::sleep(Duration::from_millis(1000 * count as u64 / pace));
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn request(stream: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut first = String::new();
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let method = first.split(' ').next().unwrap_or_default().to_owned();
    // LXC's template asks with two slashes, which servers take for one.
    let path = first.split(' ').nth(1).unwrap_or("/").replace("//", "/");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.take(65536).read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Seen { method, path, headers, body }))
}

/// Whether the connection goes on.
fn answer(
    out: &mut impl Write,
    socket: &TcpStream,
    seen: &Seen,
    content: Option<Vec<u8>>,
    fault: Option<Fault>,
) -> std::io::Result<bool> {
    let Some(mut bytes) = content else { return plain(out, 404, "") };
    match &fault {
        Some(Fault::Status(status)) => return plain(out, *status, ""),
        Some(Fault::Unauthorized(challenge)) => {
            return plain(out, 401, &format!("www-authenticate: {challenge}\r\n"));
        }
        Some(Fault::Onward(to)) => return plain(out, 307, &format!("location: {to}\r\n")),
        Some(Fault::Redirect(to)) => return plain(out, 302, &format!("location: {to}\r\n")),
        Some(Fault::Instead(other)) => bytes.clone_from(other),
        _ => {}
    }
    let tag = format!("\"{}\"", &sha256(&bytes)[..16]);
    if seen.headers.get("if-none-match") == Some(&tag) {
        return plain(out, 304, "");
    }
    let from = seen
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let same = seen.headers.get("if-range").is_none_or(|wanted| *wanted == tag);
    let from = from.filter(|_| same && !matches!(fault, Some(Fault::IgnoreRange)));
    let total = bytes.len();
    let mut head = match from {
        Some(from) if from >= total => return plain(out, 416, ""),
        Some(from) => {
            bytes.drain(..from);
            let begins = if matches!(fault, Some(Fault::WrongRange)) { 0 } else { from };
            format!("HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {begins}-{}/{total}\r\n", total - 1)
        }
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let length = match &fault {
        Some(Fault::Length(length)) => *length,
        _ => bytes.len() as u64,
    };
    let _fits = write!(head, "etag: {tag}\r\ncontent-length: {length}\r\naccept-ranges: bytes\r\n\r\n");
    out.write_all(head.as_bytes())?;
    let whole = !matches!(&fault, Some(Fault::CutAfter(_) | Fault::StallAfter(_) | Fault::Length(_)));
    let most = match &fault {
        Some(Fault::CutAfter(most) | Fault::StallAfter(most)) => bytes.len().min(*most),
        _ => bytes.len(),
    };
    out.write_all(&bytes[..most])?;
    out.flush()?;
    if matches!(fault, Some(Fault::StallAfter(_))) {
        // Until the client has had enough of it.
        let _ended =
            socket.set_read_timeout(Some(Duration::from_secs(60))).and_then(|()| (&*socket).read(&mut [0]));
    }
    Ok(whole)
}

fn plain(out: &mut impl Write, status: u16, header: &str) -> std::io::Result<bool> {
    let head = format!("HTTP/1.1 {status} Status\r\n{header}content-length: 0\r\n\r\n");
    out.write_all(head.as_bytes())?;
    out.flush()?;
    Ok(true)
}
