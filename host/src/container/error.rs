#![forbid(unsafe_code)]
//! What can go wrong in a use case, with what to do next.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error as ThisError;

use crate::config::name::NameError;
use crate::config::system::SystemError;
use crate::plugin::FailureKind;
use crate::sys::tree::TreeError;
use crate::unpack::UnpackError;

/// A use case failed. Everything it had begun was taken back, unless the message says otherwise.
#[derive(Debug, ThisError)]
pub enum Error {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("there is no container {name} in {path}")]
    NotFound { name: String, path: PathBuf, similar: Option<String> },
    #[error("there is a container {name} already in {path}")]
    Exists { name: String, path: PathBuf },
    #[error("container {name} is {state}")]
    Running { name: String, state: String, verb: &'static str },
    /// Others are built on it.
    #[error("container {name} cannot be {verb}: its storage is shared by {}", listed(clones))]
    InUse { name: String, clones: Vec<String>, verb: &'static str },
    #[error("container {name} is not running")]
    NotRunning { name: String },
    #[error("container {name} has snapshots: {}", .snapshots.join(", "))]
    HasSnapshots { name: String, snapshots: Vec<String> },
    #[error("another command works on container {name} ({holder})")]
    Locked { name: String, holder: String },
    #[error("{path} is not a directory of yours that only you can enter")]
    UnsafeDirectory { path: PathBuf },
    #[error("cannot {what} {path}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    /// `what` completes "cannot ...".
    #[error("cannot {what}")]
    Tree { what: String, source: crate::sys::tree::TreeError },
    #[error("{message}")]
    Invalid { message: String, hint: String },
    /// What came out of an archive cannot be one. `unified`: it is an image of Incus or LXD, with the root further down.
    #[error("{from} is no root file system: {what}")]
    NoRoot { from: String, what: String, hint: String, unified: bool },
    #[error("an interrupted {verb} of {name} can be neither finished nor taken back")]
    Unsettled { name: String, verb: &'static str, source: Box<Error> },
    #[error("{path} says that something is unfinished with {name}, and cannot be used: {why}")]
    Record { name: String, path: PathBuf, why: String },
    #[error("stopped on request; everything was taken back")]
    Cancelled,
    #[error("container {name} did not stop within {seconds} seconds")]
    StillRunning { name: String, seconds: u64, hint: String },
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error(transparent)]
    System(#[from] crate::config::system::SystemError),
    #[error(transparent)]
    Edit(#[from] crate::config::edit::EditError),
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    #[error("there are no ids for it: {0}")]
    Ids(Box<super::idregistry::IdError>),
    #[error(transparent)]
    Plugin(#[from] crate::plugin::PluginError),
    #[error(transparent)]
    Fetch(crate::fetch::FetchError),
    #[error(transparent)]
    Unpack(#[from] crate::unpack::UnpackError),
    /// The same, of what the user named.
    #[error("{}: {source}", from.display())]
    Image { from: PathBuf, source: crate::unpack::UnpackError },
    /// A container could not become a file.
    #[error("cannot export {name}: {source}")]
    Export { name: String, source: crate::unpack::UnpackError },
    #[error(transparent)]
    Runtime(#[from] crate::runtime::RuntimeError),
}

impl From<crate::fetch::FetchError> for Error {
    fn from(error: crate::fetch::FetchError) -> Self {
        match error {
            crate::fetch::FetchError::Cancelled => Self::Cancelled,
            other => Self::Fetch(other),
        }
    }
}

impl Error {
    /// Whether it may succeed a moment later, when nobody uses something any more.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            Self::Plugin(error) => error.failure() == Some(FailureKind::Busy),
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::DirectoryNotEmpty)
            }
            _ => false,
        }
    }

    /// Wraps an error of the kernel with what was tried on which path.
    pub(crate) fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { what, path: path.to_path_buf(), source }
    }

    /// Wraps an error of a whole tree, or of a file in a root, with what was being done.
    pub(crate) fn tree(what: impl Into<String>) -> impl FnOnce(TreeError) -> Self {
        move |source| match source {
            TreeError::Stopped => Self::Cancelled,
            source => Self::Tree { what: what.into(), source },
        }
    }

    /// Whether there is no room on a disk.
    pub(crate) fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }

    /// What a person can do next.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Name(error) => vec![error.hint().to_string()],
            Self::NotFound { similar: Some(similar), .. } => vec![format!("did you mean {similar}?")],
            Self::NotFound { .. } => vec!["`wxc ls` shows what is there; -P names another directory".into()],
            Self::Exists { name, .. } => {
                vec![format!("choose another name, or remove it first: wxc destroy {name}")]
            }
            Self::Running { name, verb: "destroy", .. } => {
                vec![format!("stop it first (wxc stop {name}), or: wxc destroy -f {name}")]
            }
            Self::Running { name, verb: "copy", .. } => {
                vec![format!(
                    "stop it first (wxc stop {name}), or copy it as it runs with -a: it is frozen as long as that takes"
                )]
            }
            Self::Running { name, verb: "export", .. } => vec![format!("stop it first: wxc stop {name}")],
            Self::Running { name, verb: "rename", .. } => vec![format!("stop it first: wxc stop {name}")],
            Self::Running { name, verb: "restore", .. } => {
                vec![format!(
                    "stop it first (wxc stop {name}), or restore into a new container: -r SNAPSHOT -N NEW"
                )]
            }
            Self::HasSnapshots { name, .. } => {
                vec![format!("destroy it with them: wxc destroy -s {name}")]
            }
            Self::Running { name, .. } => {
                vec![format!("enter it with `wxc attach {name}`, or stop it first: wxc stop {name}")]
            }
            Self::InUse { name, clones, verb: "destroyed" } => vec![format!(
                "destroy {} first; or let {name} go now and its storage with the last of them: wxc destroy -f {name}",
                listed(clones)
            )],
            Self::InUse { clones, verb: "removed", .. } => {
                vec![format!("it goes with the last of them: destroy {}", listed(clones))]
            }
            Self::InUse { name, clones, verb: "restored" } => vec![format!(
                "destroy {} first, or restore it into a new container: wxc snapshot {name} -r SNAPSHOT -N NEW",
                listed(clones)
            )],
            Self::InUse { name, clones, .. } => vec![format!(
                "destroy {} first, or work on an independent copy: wxc copy {name} NEWNAME",
                listed(clones)
            )],
            Self::NotRunning { name } => vec![format!("start it: wxc start {name}")],
            Self::Locked { .. } => vec!["wait for it to end, and try again".into()],
            Self::UnsafeDirectory { path } => {
                vec![format!("remove it, or give it to yourself: chmod 0700 {}", path.display())]
            }
            Self::Io { source, path, .. } => io_hint(source, path).into_iter().collect(),
            Self::Tree { source, .. } => tree_hint(source).into_iter().collect(),
            Self::Invalid { hint, .. } | Self::NoRoot { hint, .. } | Self::StillRunning { hint, .. } => {
                vec![hint.clone()]
            }
            Self::Unsettled { name, source, .. } => {
                let mut hints = source.hints();
                hints.push(format!("`wxc doctor {name}` explains what is there"));
                hints
            }
            Self::Record { name, .. } => vec![format!("`wxc doctor {name}` explains what is there")],
            Self::Cancelled => Vec::new(),
            Self::Config(error) => error.hint().map(Into::into).into_iter().collect(),
            Self::System(SystemError::Config(error)) => error.hint().map(Into::into).into_iter().collect(),
            Self::System(SystemError::Read { source, path }) => io_hint(source, path).into_iter().collect(),
            Self::Edit(error) => error.hint().map(Into::into).into_iter().collect(),
            Self::Ids(error) => vec![error.hint()],
            Self::Plan(error) => vec![error.hint().to_string()],
            Self::Plugin(error) => error.hint().into_iter().collect(),
            Self::Export { source, .. } => export_hint(source).into_iter().collect(),
            Self::Unpack(source) | Self::Image { source, .. } => {
                source.hint().map(Into::into).into_iter().collect()
            }
            Self::Fetch(error) => error.hint().map(Into::into).into_iter().collect(),
            Self::Runtime(error) => error.hint().into_iter().collect(),
        }
    }

    /// The exit code of a command that ends with this: 2 for "it is not running", as LXC's stop
    /// has it, 130 for a person's Ctrl-C, otherwise 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotRunning { .. } => 2,
            Self::Cancelled => 130,
            _ => 1,
        }
    }
}

/// Names as a sentence has them, not all of too many.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The same for a tree.
fn tree_hint(error: &TreeError) -> Option<String> {
    match error {
        TreeError::Io { source: Errno::NOSPC | Errno::DQUOT, .. } => {
            Some("make room on that file system, or choose another with -p".into())
        }
        TreeError::Io { source: Errno::PERM | Errno::ACCESS, .. } => Some(
            "a user without privileges cannot read or give away files of other users: try it as root".into(),
        ),
        _ => None,
    }
}

/// The same for an export.
fn export_hint(error: &UnpackError) -> Option<String> {
    match error {
        UnpackError::Entry { errno, .. }
            if [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error).contains(errno) =>
        {
            Some("make room for the file, or write it elsewhere; - is standard output".into())
        }
        UnpackError::Entry { errno, .. } if *errno == Errno::PIPE.raw_os_error() => {
            Some("whoever reads the export ended before it".into())
        }
        UnpackError::Refused { .. } => {
            Some("an archive cannot hold this entry as it is: change or remove it, and export again".into())
        }
        _ => None,
    }
}

/// What usually helps with an error of the kernel.
fn io_hint(error: &io::Error, path: &Path) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Some(format!("run it as the owner of {}, or choose a directory of yours with -P", path.display()))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room on that file system, or choose another with -P".into())
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("that file system is read-only: choose another with -P".into())
        }
        _ => None,
    }
}
