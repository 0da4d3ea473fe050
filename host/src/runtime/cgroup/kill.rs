#![forbid(unsafe_code)]
//! End all processes of a container.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open, openat},
    process::{Pid, Signal, kill_process},
};

use super::{
    CgroupError, Cgroups, Place,
    freeze::wait_for_event,
    put,
    remove::{Step, walk},
};

const NAP: Duration = Duration::from_millis(2);

impl Cgroups {
    /// Kill everything in the payload and wait until it is empty.
    ///
    /// # Errors
    /// When there is no cgroup to do it with, or processes are left after `timeout` (one that
    /// waits for a device in the kernel cannot be killed).
    pub fn kill(&self, timeout: Duration) -> Result<(), CgroupError> {
        // Any hierarchy holds all of the processes; the v2 one can do it in one step.
        let place = self.unified().or_else(|| self.place_of("freezer")).or(self.places.first());
        let place = place.ok_or(CgroupError::Impossible { action: "kill" })?;
        let wrap = |source| CgroupError::Control { action: "kill", path: place.payload.clone(), source };
        let gone = match kill_at_once(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !place.payload.exists() => Ok(true),
            // Before 5.14, or v1.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.kill_each(place, timeout),
            Err(error) => Err(error),
            Ok(()) => wait_for_event(&place.payload, "populated 0", timeout),
        };
        if gone.map_err(wrap)? {
            return Ok(());
        }
        Err(CgroupError::Slow {
            action: "end",
            path: place.payload.clone(),
            milliseconds: timeout.as_millis(),
        })
    }

    /// Frozen processes cannot fork away from the list that is killed. A signal to a frozen v1
    /// process is delivered when it thaws, so each round ends with that.
    fn kill_each(&self, place: &Place, timeout: Duration) -> io::Result<bool> {
        let end = Instant::now() + timeout;
        loop {
            // Without a freezer, or when it is slow, the loop alone wins against all but fork bombs.
            let frozen = self.freeze(Duration::from_millis(500)).is_ok();
            let killed = kill_all_in(&place.payload)?;
            if frozen {
                let _thawed = self.thaw(Duration::from_millis(500));
            }
            if killed == 0 {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            std::thread::sleep(NAP);
        }
    }
}

/// The kernel kills the whole tree, forks that are under way included.
fn kill_at_once(place: &Place) -> io::Result<()> {
    put(&place.payload.join("cgroup.kill"), "1")
}

/// SIGKILL to every process in the tree; how many there were.
fn kill_all_in(directory: &Path) -> io::Result<usize> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = open(directory, flags, Mode::empty())?;
    let mut killed = kill_in(top.as_fd())?;
    walk(top.as_fd(), &mut |step| {
        if let Step::Enter(cgroup) = step {
            killed += kill_in(cgroup)?;
        }
        Ok(())
    })?;
    Ok(killed)
}

/// The same in one cgroup.
fn kill_in(cgroup: BorrowedFd<'_>) -> io::Result<usize> {
    let list = openat(cgroup, "cgroup.procs", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let mut text = String::new();
    match list.map_err(io::Error::from).and_then(|list| File::from(list).read_to_string(&mut text)) {
        Ok(_) => {}
        // The guest removed it, or made it a threaded one whose processes its parent lists.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP)) => {}
        Err(error) => return Err(error),
    }
    let pids: Vec<Pid> =
        text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw).collect();
    for pid in &pids {
        match kill_process(*pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(pids.len())
}
