#![forbid(unsafe_code)]
//! An archive that is unpacked while it comes.
//!
//! The unpacker reads a pipe, into which a thread puts what a download has written so far; the same thread digests what it
//! puts there. What was unpacked counts only when exactly those bytes have the digest that they have to have. Otherwise (a
//! server that changed its mind in the middle, another command that had the archive already) the tree is emptied, and
//! the archive, which is whole and checked by then, is unpacked as any other.
//!
//! Bytes reach the unpacker before they are checked. It is made for that: an archive may lie whoever vouches for it, so it is
//! confined, limited, and believed by nobody.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write as _, pipe};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::downloads::{Downloads, Tail};
use super::{Error, Host};
use crate::fetch::{Algorithm, Digest};
use crate::plugin::Unit;
use crate::plugin::template::digest_of;
use crate::plugin::template::types::{Blob, Origin};
use crate::unpack::{self, Options, Report, Source, UnpackError};

/// What is moved at once.
const PIECE: usize = 256 << 10;
/// How long something new can go unnoticed.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a blob is one that can be unpacked while it comes: from a server, not here yet, with a digest that can be followed.
pub(super) fn is_possible(downloads: &Downloads, blob: &Blob) -> bool {
    let digest = blob.digest.as_ref().and_then(digest_of);
    let followed = digest.filter(|digest| digest.algorithm() == Algorithm::Sha256);
    matches!(blob.origin, Origin::Remote(_)) && followed.is_some_and(|digest| !downloads.has(&digest))
}

/// Downloads an archive and unpacks it meanwhile; the archive, and what the unpacker says.
pub(super) fn unpack(
    host: &Host,
    downloads: &Downloads,
    blob: &Blob,
    options: &Options,
    target: BorrowedFd<'_>,
) -> Result<(File, Report), Error> {
    let (reader, writer) = pipe().map_err(Error::io("make a pipe to", Path::new("the unpacker")))?;
    let (growth, read, cancel) = (Growth::default(), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let unpacking = scope.spawn(|| unpacked(reader, options, target, &read, &cancel));
        let feeding = scope.spawn(|| feed(&growth, writer));
        let file = downloads.blob_while(blob, &growth);
        growth.end(file.is_ok());
        // Nobody wants what was unpacked of half an archive.
        cancel.store(file.is_err(), Ordering::Relaxed);
        let fed = feeding.join().ok().flatten();
        if file.is_ok() {
            host.progress.phase("unpacking");
            let total = file.as_ref().ok().and_then(|file| file.metadata().ok()).map(|meta| meta.len());
            while !unpacking.is_finished() {
                host.progress.report(read.load(Ordering::Relaxed), total, Unit::Bytes);
                let asked = host.cancel.load(Ordering::Relaxed) || host.progress.cancelled();
                cancel.fetch_or(asked, Ordering::Relaxed);
                thread::sleep(PAUSE);
            }
        }
        let unpacked =
            unpacking.join().unwrap_or_else(|_| Err(UnpackError::Helper { why: "is lost".into() }));
        let file = file?;
        host.check_cancelled()?;
        let wanted = blob.digest.as_ref().and_then(digest_of);
        let report = if fed.is_some() && fed == wanted {
            unpacked.map_err(|source| failed(blob, source))?
        } else {
            tracing::info!("the archive was not read as a whole while it came: once more");
            unpack::empty(target, options.ids.clone()).map_err(|source| failed(blob, source))?;
            let request =
                unpack::Request { source: Source::Archive(file.as_fd()), target, options: options.clone() };
            let mut watch = |at: unpack::Progress| host.progress.report(at.read, at.total, Unit::Bytes);
            unpack::run(&request, &mut watch, host.cancel).map_err(|source| failed(blob, source))?
        };
        Ok((file, report))
    })
}

fn failed(blob: &Blob, source: UnpackError) -> Error {
    let Origin::Remote(remote) = &blob.origin else { return Error::Image { from: PathBuf::new(), source } };
    Error::Image { from: remote.urls.first().map_or_else(PathBuf::new, PathBuf::from), source }
}

fn unpacked(
    reader: PipeReader,
    options: &Options,
    target: BorrowedFd<'_>,
    read: &AtomicU64,
    cancel: &AtomicBool,
) -> Result<Report, UnpackError> {
    let request =
        unpack::Request { source: Source::Archive(reader.as_fd()), target, options: options.clone() };
    let mut watch = |at: unpack::Progress| read.store(at.read, Ordering::Relaxed);
    unpack::run(&request, &mut watch, cancel)
}

/// A file that grows while it is downloaded.
#[derive(Debug, Default)]
struct Growth {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The file; nothing before the download has one.
    file: Option<File>,
    /// It will not grow any more, and whether it is whole.
    ended: Option<bool>,
}

impl Tail for Growth {
    fn begins(&self, file: File) {
        self.lock().file = Some(file);
        self.news.notify_all();
    }

    fn grew(&self) {
        self.news.notify_all();
    }
}

impl Growth {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, whole: bool) {
        self.lock().ended = Some(whole);
        self.news.notify_all();
    }

    /// Waits for news, but not for long.
    fn wait(&self) {
        drop(self.news.wait_timeout(self.lock(), PAUSE));
    }

    fn file(&self) -> Option<File> {
        self.lock().file.take()
    }

    fn ended(&self) -> Option<bool> {
        self.lock().ended
    }
}

/// Puts a growing file into a pipe, to its end; the digest of what it put there, or nothing where there was no whole file.
fn feed(growth: &Growth, writer: PipeWriter) -> Option<Digest> {
    let file = loop {
        match (growth.file(), growth.ended()) {
            (Some(file), _) => break file,
            (None, Some(_)) => return None,
            (None, None) => growth.wait(),
        }
    };
    let mut writer = Some(writer);
    let (mut hash, mut at) = (Sha256::new(), 0);
    let mut buffer = vec![0; PIECE];
    loop {
        // Asked before the file is: what comes between the two is then read in the next round.
        let ended = growth.ended();
        let bytes = file.read_at(&mut buffer, at).ok().and_then(|count| buffer.get(..count))?;
        if bytes.is_empty() {
            match ended {
                Some(true) => break,
                Some(false) => return None,
                None => growth.wait(),
            }
            continue;
        }
        hash.update(bytes);
        at += bytes.len() as u64;
        // An unpacker that has ended wants no more, and what it was given still counts.
        if writer.as_mut().is_some_and(|writer| writer.write_all(bytes).is_err()) {
            writer = None;
        }
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Digest::new(Algorithm::Sha256, &hex)
}
