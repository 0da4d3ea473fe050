#![forbid(unsafe_code)]
//! Write limits and move processes.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::fs::{Mode, OFlags};

use crate::plan::CgroupWrite;

use super::{CgroupError, Cgroups, put};

impl Cgroups {
    /// Write the limits of a plan, in order.
    ///
    /// # Errors
    /// At the first that the kernel does not take; the error names its configuration key.
    pub fn apply(&self, writes: &[CgroupWrite]) -> Result<(), CgroupError> {
        writes.iter().try_for_each(|write| self.write(write))
    }

    fn write(&self, write: &CgroupWrite) -> Result<(), CgroupError> {
        let CgroupWrite { controller, file, value, key } = write;
        let place = self
            .place_of(controller)
            .ok_or_else(|| CgroupError::NoController { key: key.clone(), controller: controller.clone() })?;
        let path = place.payload.join(file);
        put(&path, value).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => CgroupError::NoFile { key: key.clone(), path },
            _ => CgroupError::Limit { key: key.clone(), path, value: value.clone(), source },
        })
    }

    /// The v2 cgroup, for `CLONE_INTO_CGROUP` of clone(2): the child is born in it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn v2_fd(&self) -> Result<Option<OwnedFd>, CgroupError> {
        self.open_v2(OFlags::PATH)
    }

    /// The same, as a directory that was really opened: what bpf(2) attaches to.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn v2_directory(&self) -> Result<Option<OwnedFd>, CgroupError> {
        self.open_v2(OFlags::RDONLY)
    }

    fn open_v2(&self, how: OFlags) -> Result<Option<OwnedFd>, CgroupError> {
        let Some(place) = self.unified() else { return Ok(None) };
        let flags = how | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&place.payload, flags, Mode::empty())
            .map(Some)
            .map_err(|error| CgroupError::Read { path: place.payload.clone(), source: error.into() })
    }

    /// Run `spawn` with this process in the container's v1 cgroups, so that what it clones is born
    /// there, and come back. `CLONE_INTO_CGROUP` with [`Cgroups::v2_fd`] does the same on v2.
    ///
    /// A single thread that moves itself is spared the grace period that moving any other process
    /// costs (`cgroup_procs_write_start` in the kernel), which is most of the time of a start. The
    /// caller must have one thread only: others would stay where they are.
    ///
    /// # Errors
    /// When a cgroup does not take it; then `spawn` was not called.
    pub fn spawn_inside<T>(&self, spawn: impl FnOnce() -> T) -> Result<T, CgroupError> {
        let legacy = || self.places.iter().filter(|place| !place.unified);
        let entered = legacy().try_for_each(|place| move_this_thread(&place.payload));
        let result = entered.map(|()| spawn());
        for place in legacy() {
            let back = place.monitor.as_deref().or(place.payload.parent());
            // The child exists, so this is no failure of the call; it will show when the cgroup
            // cannot be removed.
            if let Some(Err(error)) = back.map(move_this_thread) {
                tracing::warn!("the monitor stays in a cgroup of its container: {error}");
            }
        }
        result
    }

    /// Move a process into the v1 cgroups; it was born in the v2 one.
    ///
    /// # Errors
    /// When one does not take it.
    pub fn enter(&self, pid: i32) -> Result<(), CgroupError> {
        let mut legacy = self.places.iter().filter(|place| !place.unified);
        legacy.try_for_each(|place| move_process(pid, &place.payload))
    }

    /// Move a process into all of the container's cgroups: what attaches to it shares its limits.
    ///
    /// # Errors
    /// When one does not take it.
    pub fn enter_all(&self, pid: i32) -> Result<(), CgroupError> {
        self.places.iter().try_for_each(|place| move_process(pid, &place.payload))
    }

    /// Move this process into the monitor's cgroups.
    ///
    /// # Errors
    /// When one does not take it.
    pub fn enter_monitor(&self) -> Result<(), CgroupError> {
        let own = std::process::id().cast_signed();
        let mut monitors = self.places.iter().filter_map(|place| place.monitor.as_deref());
        monitors.try_for_each(|path| move_process(own, path))
    }
}

/// This thread alone, into a v1 cgroup.
fn move_this_thread(directory: &Path) -> Result<(), CgroupError> {
    let pid = std::process::id().cast_signed();
    put(&directory.join("tasks"), "0").map_err(|source| CgroupError::Enter {
        pid,
        path: directory.to_owned(),
        source,
    })
}

/// The whole process with all of its threads.
pub(super) fn move_process(pid: i32, directory: &Path) -> Result<(), CgroupError> {
    put(&directory.join("cgroup.procs"), &pid.to_string()).map_err(|source| CgroupError::Enter {
        pid,
        path: directory.to_owned(),
        source,
    })
}
