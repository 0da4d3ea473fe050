#![forbid(unsafe_code)]
//! Stop and continue all processes of a container.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use super::{CgroupError, Cgroups, put, read};

/// v1 has no notification: how long to nap before its state is read again.
const NAP: Duration = Duration::from_millis(2);

impl Cgroups {
    /// Freeze everything and wait until it is; thaws again when that takes too long.
    ///
    /// # Errors
    /// When there is no freezer, or it did not finish within `timeout`.
    pub fn freeze(&self, timeout: Duration) -> Result<(), CgroupError> {
        let result = self.set_frozen(true, timeout);
        if matches!(result, Err(CgroupError::Slow { .. })) {
            // The caller is told of the failure; half frozen is the one state it must not be in.
            let _thawed = self.set_frozen(false, timeout);
        }
        result
    }

    /// Continue everything and wait until it runs.
    ///
    /// # Errors
    /// When there is no freezer, or it did not finish within `timeout`.
    pub fn thaw(&self, timeout: Duration) -> Result<(), CgroupError> {
        self.set_frozen(false, timeout)
    }

    /// Whether everything stands still, whoever made it so.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        if let Some(place) = self.unified() {
            let events = read(&place.payload.join("cgroup.events"))?;
            return Ok(events.lines().any(|line| line == "frozen 1"));
        }
        let Some(place) = self.place_of("freezer") else { return Ok(false) };
        Ok(read(&place.payload.join("freezer.state"))?.trim() != "THAWED")
    }

    fn set_frozen(&self, frozen: bool, timeout: Duration) -> Result<(), CgroupError> {
        let action = if frozen { "freeze" } else { "thaw" };
        if let Some(place) = self.unified() {
            let wrap = |source| CgroupError::Control { action, path: place.payload.clone(), source };
            put(&place.payload.join("cgroup.freeze"), if frozen { "1" } else { "0" }).map_err(wrap)?;
            let line = if frozen { "frozen 1" } else { "frozen 0" };
            let done = wait_for_event(&place.payload, line, timeout).map_err(wrap)?;
            return if done { Ok(()) } else { Err(slow(action, &place.payload, timeout)) };
        }
        let place = self.place_of("freezer").ok_or(CgroupError::Impossible { action })?;
        let wrap = |source| CgroupError::Control { action, path: place.payload.clone(), source };
        let done = freezer_state(&place.payload, frozen, timeout).map_err(wrap)?;
        if done { Ok(()) } else { Err(slow(action, &place.payload, timeout)) }
    }
}

fn slow(action: &'static str, path: &Path, timeout: Duration) -> CgroupError {
    CgroupError::Slow { action, path: path.to_owned(), milliseconds: timeout.as_millis() }
}

/// Wait until `cgroup.events` has this line: the kernel announces changes as an exceptional
/// condition. `false` when the time is over.
pub(super) fn wait_for_event(directory: &Path, line: &str, timeout: Duration) -> io::Result<bool> {
    let file =
        rustix::fs::open(directory.join("cgroup.events"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let end = Instant::now() + timeout;
    loop {
        // Read before waiting: only what happens after this read is announced.
        let mut text = [0; 256];
        let length = rustix::io::pread(&file, &mut text, 0)?;
        if text[..length].split(|byte| *byte == b'\n').any(|found| found == line.as_bytes()) {
            return Ok(true);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&file, PollFlags::PRI)], left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// v1: processes that are just forking can keep it FREEZING until it is told again.
fn freezer_state(directory: &Path, frozen: bool, timeout: Duration) -> io::Result<bool> {
    let file = directory.join("freezer.state");
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let end = Instant::now() + timeout;
    loop {
        put(&file, wanted)?;
        if std::fs::read_to_string(&file)?.trim() == wanted {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        std::thread::sleep(NAP);
    }
}
