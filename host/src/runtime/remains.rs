#![forbid(unsafe_code)]
//! What a killed monitor left behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cgroup::Cgroups;
use super::run_directory::{self, RunDirectory};
use super::state::Snapshot;
use super::{RuntimeError, net};

/// How long the kernel may take to end or thaw processes.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a run directory is of a monitor that was killed.
#[must_use]
pub fn is_abandoned(run: &Path) -> bool {
    run_directory::is_abandoned(run)
}

/// The cgroups that it made and that are still there.
#[must_use]
pub fn abandoned_cgroups(run: &Path) -> Vec<PathBuf> {
    let places = run_directory::read(run).map(|stale| stale.cgroups.places).unwrap_or_default();
    places.into_iter().map(|place| place.payload).filter(|payload| payload.is_dir()).collect()
}

/// Ends what is left of the container's processes, and removes their cgroups and the run directory.
///
/// # Errors
/// A monitor runs there, or the directory is somebody else's.
pub fn clean_up(run: &Path, name: &str) -> Result<(), RuntimeError> {
    let directory = RunDirectory::take(run, name)?;
    if let Some(stale) = run_directory::read(run) {
        clean_up_after(&stale);
    }
    directory.remove();
    Ok(())
}

/// Its container is dead or dying, as init dies with its monitor.
pub(super) fn clean_up_after(stale: &Snapshot) {
    net::remove(&stale.links).ok();
    remove_cgroups(&stale.cgroups);
}

/// With everything that is still in them, such as what shared the host's process namespace. What
/// cannot be removed has no container any more, and is in nobody's way: names are chosen anew.
pub(super) fn remove_cgroups(cgroups: &Cgroups) {
    cgroups.kill(PATIENCE).ok();
    cgroups.remove().ok();
}
