//! A file system for a test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Run;

/// A mounted file system in memory, until dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// # Panics
    /// When it cannot be mounted, which takes root.
    #[must_use]
    pub fn new(target: &Path, options: &str) -> Self {
        fs::create_dir(target).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
        let words = ["-t", "tmpfs", "-o", options, "tmpfs"].map(OsStr::new);
        Run::host("mount", words.into_iter().chain([target.as_os_str()])).ok();
        Self(target.to_owned())
    }

    /// A file system of a type of its own, in a sparse file beside the place it is mounted at.
    ///
    /// # Panics
    /// When it cannot be made or mounted, which takes root and its `mkfs`.
    #[must_use]
    pub fn disk(target: &Path, filesystem: &str, bytes: u64) -> Self {
        fs::create_dir(target).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
        let disk = target.with_extension("disk");
        let file = fs::File::create_new(&disk).and_then(|file| file.set_len(bytes));
        file.unwrap_or_else(|error| panic!("{}: {error}", disk.display()));
        Run::host(&format!("mkfs.{filesystem}"), [OsStr::new("-q"), disk.as_os_str()]).ok();
        let words = ["-t", filesystem, "-o", "loop"].map(OsStr::new);
        Run::host("mount", words.into_iter().chain([disk.as_os_str(), target.as_os_str()])).ok();
        Self(target.to_owned())
    }

    /// The same in memory: the file has no name once it is mounted, and goes with the mount.
    ///
    /// # Panics
    /// As [`Mount::disk`].
    #[must_use]
    pub fn memory_disk(target: &Path, filesystem: &str, bytes: u64) -> Self {
        let disk =
            tempfile::Builder::new().prefix("wxc-t").tempfile_in("/dev/shm").expect("a file in memory");
        disk.as_file().set_len(bytes).expect("a sparse file");
        fs::create_dir(target).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
        Run::host(&format!("mkfs.{filesystem}"), [OsStr::new("-q"), disk.path().as_os_str()]).ok();
        let words = ["-t", filesystem, "-o", "loop"].map(OsStr::new);
        Run::host("mount", words.into_iter().chain([disk.path().as_os_str(), target.as_os_str()])).ok();
        Self(target.to_owned())
    }

    /// An overlay, on a directory of its own that goes with it.
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[must_use]
    pub fn overlay(options: &str) -> Self {
        let target = tempfile::Builder::new().prefix("wxc-t").tempdir().expect("a directory").keep();
        Run::host("mount", ["-t", "overlay", "-o", options, "overlay", &target.to_string_lossy()]).ok();
        Self(target)
    }

    /// What is in a disk, to be looked at, on a directory of its own that goes with it.
    ///
    /// # Panics
    /// When it cannot be mounted.
    #[must_use]
    pub fn inside(disk: &Path, options: &str) -> Self {
        let target = tempfile::Builder::new().prefix("wxc-t").tempdir().expect("a directory").keep();
        let words = ["-o", options].map(OsStr::new);
        Run::host("mount", words.into_iter().chain([disk.as_os_str(), target.as_os_str()])).ok();
        Self(target)
    }

    #[must_use]
    pub fn path(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
        let _removed = fs::remove_dir(&self.0);
    }
}
