#![forbid(unsafe_code)]
//! Ephemeral containers are gone when they stop, whoever was killed.
//!
//! Their monitor has them removed (`release`). One that was killed cannot, nor one whose machine lost power: so
//! a file `.journal/NAME.runs` is there from the start on. With it, and without a monitor, an ephemeral container has stopped, and the
//! next command that wants it, or makes or starts another one, removes it. It goes while a container starts itself again, which is no stop.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use super::layout::JOURNAL;
use super::{Error, Host, destroy, journal, leftover, store, watch};
use crate::config::Name;

/// What the name of such a file ends with.
const RUNS: &str = ".runs";

fn mark(host: &Host, name: &Name) -> PathBuf {
    host.layout.path.join(JOURNAL).join(format!("{name}{RUNS}"))
}

/// It is about to run. The caller holds its lock.
pub(super) fn begin(host: &Host, name: &Name) -> Result<(), Error> {
    let path = mark(host, name);
    let failed = || Error::io("make", &path);
    match DirBuilder::new().mode(0o700).create(host.layout.path.join(JOURNAL)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed()(error)),
        _ => {}
    }
    File::create(&path).map(drop).map_err(failed())
}

/// It does not run, and that is no reason to remove it; or it is gone.
pub(super) fn forget(host: &Host, name: &Name) -> Result<(), Error> {
    let path = mark(host, name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
        _ => Ok(()),
    }
}

/// Whether it has stopped without anybody there to remove it.
#[must_use]
pub fn is_over(host: &Host, name: &Name) -> bool {
    mark(host, name).is_file()
        && watch::snapshot(host, name).is_none()
        && store::load(host, name).is_ok_and(|container| container.ephemeral)
}

/// Removes it if it is over; whether it was. The caller holds its lock.
pub(super) fn settle(host: &Host, name: &Name) -> Result<bool, Error> {
    if !is_over(host, name) {
        return Ok(false);
    }
    destroy::destroy_locked(host, name, destroy::DestroyOptions::ALL)?;
    host.progress.note(&format!("removed {name}, which was ephemeral and has stopped"));
    Ok(true)
}

/// Removes all that are over and that nobody works on.
pub(super) fn sweep(host: &Host) {
    let Ok(entries) = fs::read_dir(host.layout.path.join(JOURNAL)) else { return };
    let words = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names = words.filter_map(|word| word.strip_suffix(RUNS)?.parse::<Name>().ok());
    for name in names.filter(|name| watch::snapshot(host, name).is_none()) {
        // What cannot be removed is told by the next command that wants it, and by `wxc doctor`.
        let swept = journal::try_claim(host, &[&name], "sweep").and_then(|claim| {
            let Some(mut claim) = claim else { return Ok(()) };
            if leftover::look(host, &name) == leftover::Kind::Absent {
                claim.discard(&name);
                forget(host, &name)?;
            }
            Ok(())
        });
        swept.unwrap_or_else(|error| tracing::warn!(%name, "cannot be removed: {error}"));
    }
}
