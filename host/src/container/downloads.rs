#![forbid(unsafe_code)]
//! What a template's manifest names and a server has: which servers a template may reach, and their files on this machine.
//!
//! Everything is below `.downloads` of the containers' directory: archives by their digests, which are shared by all containers,
//! and the lists that templates read. It can be removed at any time.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::options::Answers;
use super::{Error, Host, apt};
use crate::config::system::Remote;
use crate::fetch::{
    self, Blobs, Documents, FetchError, Learned, Mirrors, Origin, Patience, Reach, Session, Unknown, Wanted,
    Watch,
};
use crate::plugin::template::digest_of;
use crate::plugin::template::types::{ArchiveRole, Archives, Blob, Origin as From, Pair};
use crate::plugin::{Fetcher, Progress, TemplatePlugin, Unit};

/// Where downloads are kept, which no container can have as a name.
const DOWNLOADS: &str = ".downloads";

/// Addresses of proxies, as the caller's environment has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    pub https: Option<String>,
    pub http: Option<String>,
    /// Servers that are reached without one, with commas between.
    pub none: Option<String>,
}

/// The downloads of one command.
#[derive(Clone)]
pub(super) struct Downloads {
    blobs: Blobs,
    reach: Reach,
    progress: Arc<dyn Progress>,
    cancel: &'static AtomicBool,
}

impl std::fmt::Debug for Downloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Downloads").field("reach", &self.reach).finish_non_exhaustive()
    }
}

fn blobs(host: &Host) -> Blobs {
    Blobs::new(host.layout.path.join(DOWNLOADS).join("blobs"))
}

fn documents(host: &Host) -> Documents {
    Documents::new(host.layout.path.join(DOWNLOADS).join("documents"))
}

/// Removes what is kept of downloads; returns how many bytes that were.
///
/// # Errors
/// Something cannot be removed.
pub fn clear(host: &Host) -> Result<u64, Error> {
    documents(host).clear()?;
    Ok(blobs(host).clear()?)
}

/// Lets a template reach the servers that its manifest declares and that the user named. What the user wrote in short, or
/// by the name of a remote, is an address afterwards. `fresh`: what was kept of its lists does not count. `None` for a template that declares no servers.
///
/// # Errors
/// What the user named is no server, or one that nobody can recognise.
pub(super) fn connect(
    host: &Host,
    template: &mut TemplatePlugin,
    answers: &mut Answers,
    fresh: bool,
) -> Result<Option<Downloads>, Error> {
    let Some(declared) = template.declared_servers() else { return Ok(None) };
    let mut servers = declared.origins.clone();
    let is_said = |answers: &Answers, name: &String| answers.shown.iter().any(|answer| answer.name == *name);
    if let Some(name) = declared.apt_sources.as_ref().filter(|name| !is_said(answers, name)) {
        let found = apt::sources_of(Path::new("/etc"));
        // The updates of one archive are not those of another that the user names.
        let further = declared.apt_security.as_ref().filter(|name| !is_said(answers, name));
        for (name, place) in [(Some(name), found.mirror), (further, found.security)] {
            answers.shown.extend(name.zip(place).map(|(name, value)| Pair { name: name.clone(), value }));
        }
    }
    for answer in &mut answers.shown {
        if declared.from_parameters.contains(&answer.name) {
            answer.value = address(host, &answer.name, &answer.value, declared.signed)?;
            servers.push(answer.value.clone());
        }
    }
    let reach = reach(host, &servers)?;
    template.reach_through(Fetcher { reach: reach.clone(), documents: documents(host), fresh });
    Ok(Some(Downloads { blobs: blobs(host), reach, progress: host.progress.clone(), cancel: host.cancel }))
}

/// The address of what the user called a server: a remote of `wxc.toml`, a name, or an address.
fn address(host: &Host, option: &str, word: &str, signed: bool) -> Result<String, Error> {
    let remote = host.settings.remotes.get(word);
    let address = match remote {
        Some(remote) => remote.server.clone(),
        None if word.contains("://") => word.to_owned(),
        None => format!("https://{word}"),
    };
    let refuse = |why: String, hint: &str| Error::Invalid {
        message: format!("--{option}: {word:?} is no server: {why}"),
        hint: hint.to_owned(),
    };
    let origin = Origin::of(&address).map_err(|why| {
        refuse(why, "give an address such as https://images.example, or the name of a remote in wxc.toml")
    })?;
    let spelled = Origin::spelled(&address).unwrap_or(address);
    let known =
        |remote: &Remote| remote.insecure && Origin::of(&remote.server).is_ok_and(|own| own == origin);
    // What is signed needs nobody who can show who they are.
    if !origin.is_secure() && !signed && !host.settings.remotes.values().any(known) {
        return Err(refuse(
            "without https nobody can tell that it is itself".into(),
            "use https; or write it into wxc.toml as a remote with `insecure = true`",
        ));
    }
    Ok(spelled)
}

/// What is no address is told by whoever asks there.
pub(super) fn spelled(address: &str) -> String {
    Origin::spelled(address).unwrap_or_else(|_| address.trim_end_matches('/').to_owned())
}

/// How these servers are reached.
pub(super) fn reach(host: &Host, servers: &[String]) -> Result<Reach, Error> {
    let wrong = |what: &str, why: String| Error::Invalid {
        message: format!("{what:?} cannot be asked: {why}"),
        hint: "a server is written as https://images.example".into(),
    };
    let origin = |text: &str| Origin::of(text).map_err(|why| wrong(text, why));
    let mut origins = servers.iter().map(|server| origin(server)).collect::<Result<Vec<_>, _>>()?;
    let mut reach = Reach {
        https_proxy: host.proxies.https.clone(),
        http_proxy: host.proxies.http.clone(),
        no_proxy: host.proxies.none.clone(),
        ..Reach::default()
    };
    // Where a server leads to may be a remote of its own, with its own certificate.
    for remote in host.settings.remotes.values() {
        if origins.contains(&origin(&remote.server)?) {
            let further = remote.also.iter().map(|also| origin(also)).collect::<Result<Vec<_>, _>>()?;
            origins.extend(further);
        }
    }
    // A mirror is believed as its server is, unless it is a remote, too.
    let known = host.settings.remotes.values().map(|remote| origin(&remote.server));
    let known: Vec<Origin> = known.collect::<Result<_, _>>()?;
    for remote in host.settings.remotes.values() {
        let own = origin(&remote.server)?;
        // A server that this template may not reach brings no others along.
        if !origins.contains(&own) {
            continue;
        }
        if let Some(seconds) = remote.timeout {
            let seconds = Duration::from_secs(seconds.max(1).into());
            reach.patience =
                Patience { connect: seconds.min(reach.patience.connect), silence: seconds, ..reach.patience };
        }
        if let Some(ca) = &remote.ca {
            reach.roots.insert(own, ca.clone());
        }
        let others = remote.mirrors.iter().map(|mirror| mirror.trim_end_matches('/').to_owned());
        let others: Vec<String> = others.collect();
        for other in &others {
            let other = origin(other)?;
            if let Some(ca) = remote.ca.as_ref().filter(|_| !known.contains(&other)) {
                reach.roots.insert(other, ca.clone());
            }
        }
        reach.mirrors.push(Mirrors { server: spelled(&remote.server), others });
    }
    reach.origins = origins;
    Ok(reach)
}

impl Downloads {
    /// What a manifest names, from a server or from what was downloaded before.
    ///
    /// # Errors
    /// It cannot be had, or nobody says what it has to be.
    pub(super) fn blob(&self, blob: &Blob) -> Result<File, Error> {
        let mut shown = Shown { downloads: self, begun: false, file: name_of(first_address(blob)) };
        self.obtain(&mut Session::default(), blob, &mut shown)
    }

    /// Whether what has this digest is here.
    pub(super) fn has(&self, digest: &fetch::Digest) -> bool {
        matches!(self.blobs.find(digest), Ok(Some(_)))
    }

    /// As [`Downloads::blob`], with somebody who follows the file while it grows.
    ///
    /// # Errors
    /// The same.
    pub(super) fn blob_while(&self, blob: &Blob, tail: &dyn Tail) -> Result<File, Error> {
        let shown = Shown { downloads: self, begun: false, file: name_of(first_address(blob)) };
        self.obtain(&mut Session::default(), blob, &mut Followed { shown, tail })
    }

    /// The same as one of many that are shown together.
    ///
    /// # Errors
    /// As [`Downloads::blob`].
    pub(super) fn quietly(&self, session: &mut Session, blob: &Blob) -> Result<File, Error> {
        self.as_part(session, blob, &mut |_| {})
    }

    /// The same; `came` hears how many bytes there are.
    ///
    /// # Errors
    /// As [`Downloads::blob`].
    pub(super) fn as_part(
        &self,
        session: &mut Session,
        blob: &Blob,
        came: &mut dyn FnMut(u64),
    ) -> Result<File, Error> {
        self.obtain(session, blob, &mut Part { downloads: self, came })
    }

    fn obtain(&self, session: &mut Session, blob: &Blob, watch: &mut dyn Watch) -> Result<File, Error> {
        let From::Remote(remote) = &blob.origin else { return Err(undigested("a file of the user's")) };
        let first = remote.urls.first().map_or("", String::as_str);
        let digest = blob.digest.as_ref().and_then(digest_of).ok_or_else(|| undigested(first))?;
        let headers = remote.headers.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect();
        let wanted = Wanted { urls: remote.urls.clone(), headers, digest, size: blob.size };
        Ok(self.blobs.obtain_through(session, &wanted, &self.reach, watch)?)
    }

    /// Downloads what nobody says of what it has to be; `None` when another command has just done so. `secure`: its server has to show who it is.
    ///
    /// # Errors
    /// It cannot be had.
    pub(super) fn learn(&self, blob: &Blob, secure: bool) -> Result<Option<Learned>, Error> {
        let From::Remote(remote) = &blob.origin else { return Err(undigested("a file of the user's")) };
        let headers = remote.headers.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect();
        let wanted = Unknown { urls: remote.urls.clone(), headers, size: blob.size, secure };
        let mut shown = Shown { downloads: self, begun: false, file: name_of(first_address(blob)) };
        Ok(self.blobs.learn(&mut Session::default(), &wanted, &self.reach, &mut shown)?)
    }

    /// Has all parts here; the root's archive only where it is wanted.
    ///
    /// # Errors
    /// One cannot be had.
    pub(super) fn all(&self, archives: &Archives, root: bool) -> Result<(), Error> {
        let wanted = archives.parts.iter().filter(|part| root || part.role != ArchiveRole::Root);
        wanted.map(|part| &part.blob).try_for_each(|blob| self.blob(blob).map(drop))
    }

    /// Checks the digest over all parts that a publisher gave.
    ///
    /// # Errors
    /// It is another one.
    pub(super) fn check_combined(&self, archives: &Archives) -> Result<(), Error> {
        let Some(wanted) = &archives.combined_digest else { return Ok(()) };
        let mut hash = Sha256::new();
        for part in &archives.parts {
            let mut file = self.blob(&part.blob)?;
            let mut buffer = vec![0; 256 << 10];
            loop {
                let count = file.read(&mut buffer).map_err(|error| unreadable(&error))?;
                let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
                hash.update(bytes);
            }
        }
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found == wanted.hex {
            return Ok(());
        }
        Err(Error::Fetch(FetchError::Digest {
            url: "the parts of the image together".into(),
            algorithm: "sha256".into(),
            expected: wanted.hex.clone(),
            found,
        }))
    }
}

fn unreadable(error: &io::Error) -> Error {
    Error::Fetch(FetchError::File { doing: "read what was downloaded".into(), why: error.to_string() })
}

fn undigested(what: &str) -> Error {
    Error::Invalid {
        message: format!("nobody says what {what} has to be: the template gives no digest of it"),
        hint: "use a server that publishes digests".into(),
    }
}

/// The last part of an address, for people.
fn name_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("it").to_owned()
}

fn first_address(blob: &Blob) -> &str {
    match &blob.origin {
        From::Remote(remote) => remote.urls.first().map_or("", String::as_str),
        From::Given(_) => "",
    }
}

/// Who follows a file while it is downloaded.
pub(super) trait Tail {
    /// The file. It may be cut and begin anew.
    fn begins(&self, file: File);
    /// There may be more in it.
    fn grew(&self);
}

/// Shown, and followed.
struct Followed<'a> {
    shown: Shown<'a>,
    tail: &'a dyn Tail,
}

impl Watch for Followed<'_> {
    fn progress(&mut self, at: fetch::Progress) {
        self.tail.grew();
        self.shown.progress(at);
    }

    fn trouble(&mut self, what: &str) {
        self.shown.trouble(what);
    }

    fn goes_into(&mut self, file: &File) {
        // Without one there is nobody who follows: then it is read afterwards.
        if let Ok(file) = file.try_clone() {
            self.tail.begins(file);
        }
    }

    fn begins(&mut self, validator: Option<&str>) {
        self.shown.begins(validator);
    }

    fn cancelled(&self) -> bool {
        self.shown.cancelled()
    }
}

/// One of many.
struct Part<'a> {
    downloads: &'a Downloads,
    came: &'a mut dyn FnMut(u64),
}

impl Watch for Part<'_> {
    fn progress(&mut self, at: fetch::Progress) {
        (self.came)(at.bytes);
    }

    fn trouble(&mut self, what: &str) {
        tracing::info!("{what}");
    }

    fn begins(&mut self, _: Option<&str>) {}

    fn cancelled(&self) -> bool {
        self.downloads.cancel.load(Ordering::Relaxed) || self.downloads.progress.cancelled()
    }
}

/// Shows how far it is.
struct Shown<'a> {
    downloads: &'a Downloads,
    begun: bool,
    file: String,
}

impl Watch for Shown<'_> {
    fn progress(&mut self, at: fetch::Progress) {
        if !self.begun {
            self.begun = true;
            self.downloads.progress.phase(&format!("downloading {}", self.file));
        }
        self.downloads.progress.report(at.bytes, at.total, Unit::Bytes);
    }

    fn trouble(&mut self, what: &str) {
        let plain: String = what.chars().filter(|c| !c.is_control()).collect();
        self.downloads.progress.note(&plain);
    }

    fn begins(&mut self, _: Option<&str>) {}

    fn cancelled(&self) -> bool {
        self.downloads.cancel.load(Ordering::Relaxed) || self.downloads.progress.cancelled()
    }
}
