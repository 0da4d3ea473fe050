//! Content by its digest: downloaded once, resumed, shared.
//!
//! `sha256/HEX` is complete: its name is its digest, checked before it got that name. `sha256/HEX.partial` is being downloaded,
//! or was when its command ended, and the next one goes on there; a lock on that file (flock(2)) lets one at a time.
//! `HEX.etag` is what the server called what the partial file has the beginning of. `unknown/HEX.partial` is something of which nobody said
//! what it has to be, by the digest of its address. Nothing else refers to these files: they can be removed at any time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock, fsync};
use sha2::{Digest as _, Sha256};

use super::error::FetchError;
use super::order::{Algorithm, Digest, Fetched, Order, Progress};
use super::reach::Reach;
use super::run::{Session, Watch};
use super::sink::hex;
use crate::sys::failpoint;

/// How often somebody who waits for another's download looks.
const INTERVAL: Duration = Duration::from_millis(100);
/// The most bytes where nobody says how many there are.
const LARGEST: u64 = 64 << 30;

/// Content that somebody wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Addresses with these bytes, best first.
    pub urls: Vec<String>,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    pub digest: Digest,
    /// How many bytes it has, if that is known.
    pub size: Option<u64>,
}

/// Content of which nobody says what it has to be.
#[derive(Debug, Clone)]
pub struct Unknown {
    /// Addresses with these bytes, best first.
    pub urls: Vec<String>,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// How many bytes it has, if that is known.
    pub size: Option<u64>,
    /// Whether the server has to show who it is: nothing else vouches for the bytes.
    pub secure: bool,
}

/// What such content was found to be.
#[derive(Debug)]
pub struct Learned {
    pub digest: Digest,
    /// Open for reading.
    pub file: File,
    /// Others who want the same wait until this is dropped.
    _lock: File,
}

/// A directory of blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    directory: PathBuf,
}

impl Blobs {
    /// Blobs in a directory, which is made when the first one comes.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.algorithm().name()).join(digest.hex())
    }

    /// A blob that is there, open for reading.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub fn find(&self, digest: &Digest) -> Result<Option<File>, FetchError> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    /// A blob, downloaded if it is not there. Who wants what another command is downloading waits for that one.
    ///
    /// # Errors
    /// It cannot be had; what was downloaded of it is kept for the next attempt, unless that is what is wrong.
    pub fn obtain(&self, wanted: &Wanted, reach: &Reach, watch: &mut dyn Watch) -> Result<File, FetchError> {
        self.obtain_through(&mut Session::default(), wanted, reach, watch)
    }

    /// The same as one of several of a session.
    ///
    /// # Errors
    /// As [`Self::obtain`].
    pub fn obtain_through(
        &self,
        session: &mut Session,
        wanted: &Wanted,
        reach: &Reach,
        watch: &mut dyn Watch,
    ) -> Result<File, FetchError> {
        if let Some(file) = self.find(&wanted.digest)? {
            return Ok(file);
        }
        let whole = self.path(&wanted.digest);
        let directory = whole.parent().unwrap_or(&self.directory);
        make(directory)?;
        let partial = whole.with_extension("partial");
        let Some(file) = lock(&partial, watch)? else {
            return self.obtain_through(session, wanted, reach, watch);
        };
        // Another command may have finished it between the look and the lock.
        if let Some(file) = self.find(&wanted.digest)? {
            drop(fs::remove_file(&partial));
            return Ok(file);
        }
        let tag = whole.with_extension("etag");
        watch.goes_into(&file);
        self.download(session, wanted, reach, (&file, &tag), watch)?;
        keep(&file, &partial, &whole)
    }

    /// Downloads what nobody says of what it has to be, and finds that out; `None` when another command has done so meanwhile.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn learn(
        &self,
        session: &mut Session,
        wanted: &Unknown,
        reach: &Reach,
        watch: &mut dyn Watch,
    ) -> Result<Option<Learned>, FetchError> {
        let address = wanted.urls.first().map_or("", String::as_str);
        let directory = self.directory.join("unknown");
        let partial = directory.join(hex(&Sha256::digest(address))).with_extension("partial");
        make(&directory)?;
        let Some(file) = lock(&partial, watch)? else { return Ok(None) };
        let tag = partial.with_extension("etag");
        let validator = validator(&tag);
        // Of what has no name the end need not belong to the beginning that is here.
        let have = validator.as_ref().map_or(Ok(0), |_| length(&file, &partial))?;
        let mut order = Order {
            headers: wanted.headers.clone(),
            have,
            validator,
            limit: wanted.size.unwrap_or(LARGEST),
            size: wanted.size,
            ..reach.order(&wanted.urls)
        };
        if wanted.secure {
            order.secure();
        }
        if order.urls.is_empty() {
            let why =
                "nobody says what it has to be, and without https nobody can tell that the server is itself";
            return Err(FetchError::Refused { url: address.to_owned(), why: why.to_owned() });
        }
        let fetched = session.get(&order, file.as_fd(), &mut Tagging { tag: &tag, watch })?;
        let none = || FetchError::Helper { why: "did not say what it downloaded".into() };
        let digest = Digest::new(Algorithm::Sha256, &fetched.sha256).ok_or_else(none)?;
        let whole = self.path(&digest);
        make(whole.parent().unwrap_or(&self.directory))?;
        Ok(Some(Learned { file: keep(&file, &partial, &whole)?, digest, _lock: file }))
    }

    fn download(
        &self,
        session: &mut Session,
        wanted: &Wanted,
        reach: &Reach,
        (file, tag): (&File, &Path),
        watch: &mut dyn Watch,
    ) -> Result<Fetched, FetchError> {
        let order = Order {
            headers: wanted.headers.clone(),
            have: length(file, tag)?,
            validator: validator(tag),
            limit: wanted.size.unwrap_or(LARGEST),
            size: wanted.size,
            digest: Some(wanted.digest.clone()),
            ..reach.order(&wanted.urls)
        };
        let result = session.get(&order, file.as_fd(), &mut Tagging { tag, watch });
        if let Err(FetchError::Digest { .. } | FetchError::TooBig { .. } | FetchError::Size { .. }) = &result
        {
            // What is there is not the beginning of what is wanted.
            drop(file.set_len(0));
        }
        result
    }

    /// Removes everything that nobody is downloading at this moment; returns how many bytes that were.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> Result<u64, FetchError> {
        let mut bytes = 0;
        for directory in entries(&self.directory)? {
            for path in entries(&directory)? {
                let partial = path.extension().is_some_and(|extension| extension == "partial");
                let busy = |file: File| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err();
                if partial && File::open(&path).is_ok_and(busy) {
                    continue;
                }
                bytes += path.symlink_metadata().map_or(0, |meta| meta.len());
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("remove", &path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(bytes)
    }
}

/// Gives a file that is complete the name that says what it is; open for reading.
fn keep(file: &File, partial: &Path, whole: &Path) -> Result<File, FetchError> {
    file.sync_all().map_err(failed("make durable", partial))?;
    failpoint::pass("blobs.durable").map_err(failed("keep", partial))?;
    drop(fs::remove_file(partial.with_extension("etag")));
    fs::rename(partial, whole).map_err(failed("keep", partial))?;
    failpoint::pass("blobs.named").map_err(failed("keep", whole))?;
    let directory = whole.parent().unwrap_or(whole);
    let opened = File::open(directory).map_err(failed("open", directory))?;
    fsync(opened.as_fd()).map_err(|error| failed("make durable", whole)(error.into()))?;
    // Opened anew, for reading alone: it stays what it is.
    File::open(whole).map_err(failed("open", whole))
}

fn make(directory: &Path) -> Result<(), FetchError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("make", directory))
}

fn length(file: &File, path: &Path) -> Result<u64, FetchError> {
    Ok(file.metadata().map_err(failed("look at", path))?.len())
}

/// What the server called what there is the beginning of.
fn validator(tag: &Path) -> Option<String> {
    fs::read_to_string(tag).ok().filter(|text| text.len() <= 256 && !text.contains(char::is_control))
}

/// The partial file, locked; `None` when it is no longer the file of that name.
fn lock(partial: &Path, watch: &mut dyn Watch) -> Result<Option<File>, FetchError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(partial)
        .map_err(failed("open", partial))?;
    let mut told = false;
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed("lock", partial)(error.into()));
        }
        if watch.cancelled() {
            return Err(FetchError::Cancelled);
        }
        if !told {
            watch.trouble("another command is downloading the same; waiting for it");
            told = true;
        }
        std::thread::sleep(INTERVAL);
    }
    let mine = file.metadata().map_err(failed("look at", partial))?;
    // Renamed by whoever finished it, or removed: then it is no longer the file of that name.
    let named = partial.symlink_metadata();
    let same = named.is_ok_and(|named| (named.dev(), named.ino()) == (mine.dev(), mine.ino()));
    Ok(same.then_some(file))
}

/// Remembers what the server calls the content.
struct Tagging<'a> {
    tag: &'a Path,
    watch: &'a mut dyn Watch,
}

impl Watch for Tagging<'_> {
    fn progress(&mut self, at: Progress) {
        self.watch.progress(at);
    }

    fn trouble(&mut self, what: &str) {
        self.watch.trouble(what);
    }

    /// A tag that is lost costs a download from the beginning, and a wrong one is found out by the digest.
    fn begins(&mut self, validator: Option<&str>) {
        let kept = match validator {
            Some(validator) => fs::write(self.tag, validator),
            None => fs::remove_file(self.tag),
        };
        drop(kept);
        self.watch.begins(validator);
    }

    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }
}

/// What is in a directory; nothing where there is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, FetchError> {
    match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(failed("list", directory)(error)),
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FetchError + 'a {
    move |error| FetchError::File { doing: format!("{doing} {}", path.display()), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::reach::Mirrors;
    use super::*;

    struct Nobody;

    impl Watch for Nobody {
        fn progress(&mut self, _: Progress) {}
        fn trouble(&mut self, _: &str) {}
        fn begins(&mut self, _: Option<&str>) {}
        fn cancelled(&self) -> bool {
            false
        }
    }

    #[test]
    fn what_nobody_vouches_for_comes_only_from_servers_that_show_who_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path().join("blobs"));
        let reach = Reach {
            origins: vec!["http://a.example".parse().unwrap()],
            mirrors: vec![Mirrors {
                server: "http://a.example".into(),
                others: vec!["http://b.example".into()],
            }],
            ..Reach::default()
        };
        let urls = vec!["http://a.example/root".to_owned()];
        let wanted = Unknown { urls, headers: Vec::new(), size: None, secure: true };
        let refused = blobs.learn(&mut Session::default(), &wanted, &reach, &mut Nobody).unwrap_err();
        assert!(refused.to_string().contains("without https"), "{refused}");
        // Of a server that does, no mirror and no redirect that does not.
        let mut order = reach.order(&["https://a.example/x".into(), "http://a.example/x".into()]);
        order.secure();
        assert_eq!((order.urls, order.origins.len()), (vec!["https://a.example/x".to_owned()], 0));
    }
}
