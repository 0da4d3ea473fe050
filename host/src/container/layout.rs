#![forbid(unsafe_code)]
//! Where things are: containers, run-time state, locks.
//!
//! A container is a directory below the pool's path, and the directories alone are enough to
//! recover (design: storage on disk). What only matters while something runs is below the run-time
//! directory, which a reboot empties.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Error;
use crate::config::name::Name;

/// The file that makes a directory a container; writing it is the last step of a create.
pub const CONFIG: &str = "container.toml";
/// A create or a destroy is under way, or was when it was killed.
pub const PARTIAL: &str = ".partial";
/// The container is gone, and its storage is there for others that are built on it.
pub const KEPT: &str = ".kept";
/// The storages, one a line, of clones that are on another storage than the container.
pub const LENT: &str = ".lent";

/// What is unfinished, a file for each operation.
pub const JOURNAL: &str = ".journal";

/// Where containers live and where their run-time state goes.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Holds one directory for each container; absolute, without symbolic links.
    pub path: PathBuf,
    /// Holds the run-time directories of the containers of `path`; 0700.
    pub run: PathBuf,
}

impl Layout {
    /// Opens the pool at `path`, with run-time state below `run_base`; both are made when missing.
    ///
    /// The run-time directory carries a digest of the path, so that containers of one name in two
    /// pools do not meet.
    ///
    /// # Errors
    /// A directory cannot be made, or the run-time directory belongs to somebody else or is open to
    /// others: who could write there could answer for a container (compare CVE-2015-1331).
    pub fn open(path: &Path, run_base: &Path) -> Result<Self, Error> {
        make(path, 0o711).map_err(Error::io("make the directory of the containers", path))?;
        let path = fs::canonicalize(path).map_err(Error::io("resolve", path))?;
        let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let key: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        make(run_base, 0o711).map_err(Error::io("make the run-time directory", run_base))?;
        let run = run_base.join(key);
        make(&run, 0o700).map_err(Error::io("make the run-time directory", &run))?;
        let meta = fs::symlink_metadata(&run).map_err(Error::io("look at", &run))?;
        let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw();
        if !ours || meta.permissions().mode() & 0o077 != 0 {
            return Err(Error::UnsafeDirectory { path: run });
        }
        Ok(Self { path, run })
    }

    /// The container's own directory.
    #[must_use]
    pub fn directory(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// The container's configuration.
    #[must_use]
    pub fn config(&self, name: &Name) -> PathBuf {
        self.directory(name).join(CONFIG)
    }

    /// Where its snapshots are.
    #[must_use]
    pub fn snapshots(&self, name: &Name) -> PathBuf {
        self.directory(name).join("snaps")
    }

    /// The directory of one of them.
    #[must_use]
    pub fn snapshot(&self, name: &Name, snapshot: &Name) -> PathBuf {
        self.snapshots(name).join(snapshot.as_str())
    }

    /// Where the control socket and the state are while it runs.
    #[must_use]
    pub fn run_directory(&self, name: &Name) -> PathBuf {
        self.run.join(name.as_str())
    }

    /// Every container of the pool by name; what is half made or no container is left out.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<Name>, Error> {
        let mut names = self.candidates()?;
        names.retain(|name| self.exists(name));
        Ok(names)
    }

    /// Everything in the pool that has a name a container could have, sorted; for who looks into each in any case.
    pub(super) fn candidates(&self) -> Result<Vec<Name>, Error> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(Error::io("list", &self.path))? {
            let entry = entry.map_err(Error::io("list", &self.path))?;
            names.extend(entry.file_name().to_str().and_then(|word| word.parse::<Name>().ok()));
        }
        names.sort();
        Ok(names)
    }

    /// Whether the container exists: complete, not half made.
    #[must_use]
    pub fn exists(&self, name: &Name) -> bool {
        self.config(name).is_file()
    }
}

/// Makes a directory and what is missing above it; one that is there is good.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}
