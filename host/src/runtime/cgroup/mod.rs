#![forbid(unsafe_code)]
//! Control groups of a container, on hosts with v1 hierarchies, with both, and with v2 alone
//! (cgroups(7)).
//!
//! Where a v2 tree exists, processes are frozen, killed and counted through it, even when the
//! controllers are bound to v1 hierarchies: these core files need no controller, and they notify.
//! The v1 hierarchies then serve for limits and statistics only.

/// Make the directories, and give the guest its part.
mod create;
/// Stop and continue all processes.
mod freeze;
/// End all processes.
mod kill;
/// How this host mounts its cgroups: text of the kernel in, facts out.
pub mod layout;
/// Take the directories away, with what the guest made in them.
mod remove;
/// A part that ends before the container.
mod room;
/// Usage of resources.
mod statistics;
/// Write limits, move processes.
mod write;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use layout::discover;
pub use statistics::{MemoryUsage, Statistics};

/// The cgroups of one container: plain paths, kept in its state file and used from there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    pub places: Vec<Place>,
}

/// The container's cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The v2 tree; `false`: a v1 hierarchy.
    pub unified: bool,
    /// Those that can be used here.
    pub controllers: Vec<String>,
    /// Absolute path of the directory that holds the container's processes.
    pub payload: PathBuf,
    /// The monitor's, where it cannot stay in the cgroup that it was started in.
    pub monitor: Option<PathBuf>,
}

/// What can go wrong with cgroups.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot make the cgroup {path}: {source}")]
    Create { path: PathBuf, source: io::Error },
    #[error("all names from {name} to {name}-{last} are taken by other cgroups")]
    Taken { name: String, last: u32 },
    #[error("cannot prepare the cgroup: writing \"{value}\" to {path}: {source}")]
    Prepare { path: PathBuf, value: String, source: io::Error },
    #[error("cannot hand the cgroup {path} to the container's root: {source}")]
    Delegate { path: PathBuf, source: io::Error },
    #[error("cannot move process {pid} into the cgroup {path}: {source}")]
    Enter { pid: i32, path: PathBuf, source: io::Error },
    #[error("{key}: the controller \"{controller}\" is not available to this container")]
    NoController { key: String, controller: String },
    #[error("{key}: this kernel has no {path}")]
    NoFile { key: String, path: PathBuf },
    #[error("{key}: the kernel does not take \"{value}\" for {path}: {source}")]
    Limit { key: String, path: PathBuf, value: String, source: io::Error },
    #[error("no cgroup can {action} this container")]
    Impossible { action: &'static str },
    #[error("cannot {action} the processes in {path}: {source}")]
    Control { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the processes in {path} did not {action} within {milliseconds} ms")]
    Slow { action: &'static str, path: PathBuf, milliseconds: u128 },
    #[error("cannot remove the cgroup {path}: {source}")]
    Remove { path: PathBuf, source: io::Error },
}

impl CgroupError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let denied = |source: &io::Error| {
            matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
        };
        match self {
            Self::Create { source, .. } | Self::Delegate { source, .. } if denied(source) => Some(
                "without root, a delegated cgroup is needed: `systemd-run --user --scope -p Delegate=yes wxc ...`"
                    .into(),
            ),
            Self::Prepare { source, .. } if source.raw_os_error() == Some(libc::EBUSY) => Some(
                "a cgroup with processes cannot have limited children: start wxc in one of its own, \
                 `systemd-run --scope -p Delegate=yes wxc ...`"
                    .into(),
            ),
            Self::NoController { controller, .. } => Some(format!(
                "\"{controller}\" has to be compiled into the kernel, not disabled by cgroup_disable= on its \
                 command line, and enabled in cgroup.subtree_control above; see /proc/cgroups"
            )),
            Self::NoFile { path, .. } => missing_file(path).map(str::to_owned),
            _ => None,
        }
    }
}

/// Files that exist only with certain kernels, and what makes them appear.
const OPTIONAL_FILES: [(&str, &str); 5] = [
    (
        "memory.memsw.",
        "limits of swap need CONFIG_SWAP, and swapaccount=1 on the command line of older kernels",
    ),
    (
        "memory.swap.",
        "limits of swap need CONFIG_SWAP, and swapaccount=1 on the command line of older kernels",
    ),
    ("blkio.bfq.", "weights need the BFQ scheduler: echo bfq > /sys/block/DEVICE/queue/scheduler"),
    ("io.weight", "weights need CONFIG_BLK_CGROUP_IOCOST"),
    ("cpu.", "limits of processor time need CONFIG_CFS_BANDWIDTH and CONFIG_FAIR_GROUP_SCHED"),
];

fn missing_file(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    OPTIONAL_FILES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, hint)| *hint)
}

impl Cgroups {
    /// The place in the v2 tree.
    #[must_use]
    pub fn unified(&self) -> Option<&Place> {
        self.places.iter().find(|place| place.unified)
    }

    /// The place where `controller` can be used; a v1 hierarchy that has it took it from the v2 tree.
    #[must_use]
    pub fn place_of(&self, controller: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.controllers.iter().any(|name| name == controller))
    }
}

/// A file of the kernel, whole; they are short.
fn read(path: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(|source| CgroupError::Read { path: path.to_owned(), source })
}

/// One value in one write(2): the kernel takes each call as a command.
fn put(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}
