#![forbid(unsafe_code)]
//! Write limits and move processes.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use crate::{
    plan::{CgroupWrite, facts::Hierarchy},
    sys::mountinfo,
};

use super::{CgroupError, Cgroups, Place, layout, put, read};

/// Below the payload, for what enters from outside when the payload itself takes no process.
const ATTACHED: &str = "wxc.attached";

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

    /// Run `spawn` so that what it clones is born in the container's cgroups: it is given the v2
    /// one for `CLONE_INTO_CGROUP` of clone(2), and runs with this thread in the v1 ones.
    ///
    /// Moving another process costs a grace period of ten and more milliseconds, most of the time
    /// of a start; a thread that moves itself is spared that (`cgroup_procs_write_start` in the
    /// kernel).
    ///
    /// # Errors
    /// When a cgroup does not take it; then `spawn` was not called.
    pub fn spawn_inside<T>(&self, spawn: impl FnOnce(Option<BorrowedFd<'_>>) -> T) -> Result<T, CgroupError> {
        let unified = self.entrance()?.map(|path| open(&path, OFlags::PATH)).transpose()?;
        let legacy: Vec<&Place> = self.places.iter().filter(|place| !place.unified).collect();
        let before = if legacy.is_empty() { Vec::new() } else { own_directories()? };
        let entered = legacy.iter().try_for_each(|place| move_this_thread(&place.payload));
        let result = entered.map(|()| spawn(unified.as_ref().map(AsFd::as_fd)));
        for place in legacy {
            let own = before.iter().find(|own| !own.unified && own.controllers == place.controllers);
            // What was spawned exists, so this is no failure of the call; it will show when the
            // cgroup cannot be removed.
            if let Some(Err(error)) = own.map(|own| move_this_thread(&own.directory())) {
                tracing::warn!("a process of the host stays in the container: {error}");
            }
        }
        result
    }

    /// The v2 cgroup that takes processes from outside, for `CLONE_INTO_CGROUP` of clone(2).
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn v2_entrance(&self) -> Result<Option<OwnedFd>, CgroupError> {
        self.entrance()?.map(|path| open(&path, OFlags::PATH)).transpose()
    }

    /// What a process writes `0` to in order to enter the v1 cgroups by itself, and with `unified`
    /// the v2 one, too: the directory and the open file of each. Unlike [`Cgroups::spawn_inside`]
    /// that leaves the caller where it is, out of reach of the container's limits and freezer.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn entrances(&self, unified: bool) -> Result<Vec<(PathBuf, OwnedFd)>, CgroupError> {
        let legacy = self.places.iter().filter(|place| !place.unified);
        let mut directories: Vec<_> = legacy.map(|place| (place.payload.clone(), "tasks")).collect();
        if let (true, Some(path)) = (unified, self.entrance()?) {
            directories.push((path, "cgroup.procs"));
        }
        let open = |(path, file): (PathBuf, &str)| {
            let file = rustix::fs::open(path.join(file), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
            let pid = std::process::id().cast_signed();
            match file {
                Ok(file) => Ok((path, file)),
                Err(error) => Err(CgroupError::Enter { pid, path, source: error.into() }),
            }
        };
        directories.into_iter().map(open).collect()
    }

    /// Move a process into all of the container's cgroups. [`Cgroups::spawn_inside`] is faster.
    ///
    /// # Errors
    /// When one does not take it.
    pub fn enter(&self, pid: i32) -> Result<(), CgroupError> {
        if let Some(path) = self.entrance()? {
            move_process(pid, &path)?;
        }
        let mut legacy = self.places.iter().filter(|place| !place.unified);
        legacy.try_for_each(|place| move_process(pid, &place.payload))
    }

    /// The v2 directory that takes processes from outside: the payload's, or once the guest gave
    /// controllers to its children, which a cgroup with processes cannot, a leaf of its.
    fn entrance(&self) -> Result<Option<PathBuf>, CgroupError> {
        let Some(place) = self.unified() else { return Ok(None) };
        if read(&place.payload.join("cgroup.subtree_control"))?.trim().is_empty() {
            return Ok(Some(place.payload.clone()));
        }
        let path = place.payload.join(ATTACHED);
        let made = std::fs::create_dir(&path).and_then(|()| {
            // As everything below, it is the guest's to remove.
            let owner = std::fs::metadata(&place.payload)?;
            std::os::unix::fs::lchown(&path, Some(owner.uid()), Some(owner.gid()))
        });
        match made {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(CgroupError::Create { path, source })
            }
            _ => Ok(Some(path)),
        }
    }

    /// The v2 directory, opened: what bpf(2) attaches to.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn v2_directory(&self) -> Result<Option<OwnedFd>, CgroupError> {
        self.unified().map(|place| open(&place.payload, OFlags::RDONLY)).transpose()
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

fn open(path: &Path, how: OFlags) -> Result<OwnedFd, CgroupError> {
    rustix::fs::open(path, how | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| CgroupError::Read { path: path.to_owned(), source: error.into() })
}

/// Where this thread is in each hierarchy.
fn own_directories() -> Result<Vec<Hierarchy>, CgroupError> {
    let own = read(Path::new("/proc/thread-self/cgroup"))?;
    Ok(layout::parse(&mountinfo::read(), &own).hierarchies)
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
