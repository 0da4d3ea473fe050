#![forbid(unsafe_code)]
//! Several downloads at once, shown as one.

use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use super::assemble::Supplies;
use super::{Error, Host};
use crate::fetch::Session;
use crate::plugin::Unit;
use crate::plugin::template::types::Blob;

/// Downloads at once, each with a connection that it keeps: enough for the disk and the server to work at the same time.
const AT_ONCE: usize = 3;

/// Has all of these here. `what`: in words, such as `packages`.
///
/// # Errors
/// The first one that cannot be had; what was downloaded is kept for the next attempt.
pub(super) fn obtain(host: &Host, supplies: Supplies<'_>, what: &str, blobs: &[&Blob]) -> Result<(), Error> {
    let count = blobs.len();
    // As bytes where everybody says how many there are.
    let total: Option<u64> = blobs.iter().map(|blob| blob.size).sum();
    host.progress.phase(&format!("downloading {count} {what}"));
    let (next, done, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
    let show = || match total {
        Some(total) => host.progress.report(bytes.load(Ordering::Relaxed), Some(total), Unit::Bytes),
        None => host.progress.report(done.load(Ordering::Relaxed) as u64, Some(count as u64), Unit::Items),
    };
    let gate = Mutex::new(());
    let work = || -> Result<(), Error> {
        let mut session = Session::default();
        let mut begun = false;
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            // One after the other they ask for the server's address, and find it where the first did.
            let alone = (!std::mem::replace(&mut begun, true)).then(|| gate.lock());
            let mut had = 0;
            let file = open(host, supplies, &mut session, blob, &mut |at| {
                bytes.fetch_add(at.saturating_sub(had), Ordering::Relaxed);
                had = had.max(at);
                show();
            });
            drop(alone);
            if file.is_err() {
                // The others find nothing left to do.
                next.store(count, Ordering::Relaxed);
            }
            file?;
            bytes.fetch_add(blob.size.unwrap_or(had).saturating_sub(had), Ordering::Relaxed);
            done.fetch_add(1, Ordering::Relaxed);
            show();
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE.min(count)).map(|_| scope.spawn(work)).collect();
        let join = |thread: ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect::<Vec<_>>().into_iter().collect()
    })
}

fn open(
    host: &Host,
    supplies: Supplies<'_>,
    session: &mut Session,
    blob: &Blob,
    came: &mut dyn FnMut(u64),
) -> Result<File, Error> {
    match supplies.downloads {
        Some(downloads) => downloads.as_part(session, blob, came),
        None => Ok(supplies.open(host, blob)?.1),
    }
}
