#![forbid(unsafe_code)]
//! Whether files are on the disk: asked of the file system, which knows where it put each block and which it has put nowhere yet.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::report::{Step, Stop, here};
use crate::sys::extents::without_a_place;

/// The regular files below a directory that are, at least in part, in memory alone.
pub(super) fn not_on_disk(below: &Path) -> Step<Vec<String>> {
    let mut found = Vec::new();
    let mut left = vec![below.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).map_err(here)? {
            let entry = entry.map_err(here)?;
            let kind = entry.file_type().map_err(here)?;
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                let bytes = bytes(&entry.path()).map_err(cannot_tell)?;
                let name = entry.path();
                let name = name.strip_prefix(below).unwrap_or(&name).display().to_string();
                found.extend((bytes > 0).then(|| format!("{bytes} bytes of {name}")));
            }
        }
    }
    Ok(found)
}

fn bytes(path: &Path) -> io::Result<u64> {
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    without_a_place(file.as_fd())
}

fn cannot_tell(error: io::Error) -> Stop {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOTTY) => Stop::Skip(
            "the file system of the pool does not tell what is on the disk (ext4, xfs and btrfs do)".into(),
        ),
        _ => here(error),
    }
}
