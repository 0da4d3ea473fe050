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

    #[must_use]
    pub fn path(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
