//! What is asked of the pool, and the pool as the host gives it: each method is one call of `wxc:host`.

use crate::bindings::wxc::host::handles::Directory;
use crate::bindings::wxc::host::subvolumes;
use crate::bindings::wxc::host::tree::{self, NodeKind};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::volume::error;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    Nothing,
    /// An ordinary directory, or a file.
    Other,
    /// A subvolume, with its UUID.
    Subvolume(String),
}

/// What a volume takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    pub referenced: u64,
    pub exclusive: u64,
}

/// The component asks the host for it; the tests have one in memory.
pub trait Pool {
    fn look(&self, path: &str) -> Result<There, Error>;
    /// The directories in a directory, sorted; none if there is no such directory.
    fn directories(&self, path: &str) -> Result<Vec<String>, Error>;
    /// The subvolumes below a directory, from there.
    fn below(&self, path: &str) -> Result<Vec<String>, Error>;
    /// A small file; none if there is no such file.
    fn read(&self, path: &str) -> Result<Option<String>, Error>;
    /// Replaces a small file as a whole, durably.
    fn write(&self, path: &str, text: &str) -> Result<(), Error>;
    /// Removes a file; nothing there is nothing to do.
    fn forget(&self, path: &str) -> Result<(), Error>;
    /// Renames to a name that is not taken.
    fn rename(&self, path: &str, new: &str) -> Result<(), Error>;
    /// Exchanges two names.
    fn exchange(&self, path: &str, other: &str) -> Result<(), Error>;
    /// Makes an empty subvolume.
    fn make(&self, path: &str) -> Result<(), Error>;
    /// Snapshots a subvolume with those inside it. One step, and durable, if there are none inside.
    fn snapshot(&self, path: &str, new: &str, read_only: bool) -> Result<(), Error>;
    /// Removes a subvolume with those inside it; nothing there is nothing to do.
    fn remove(&self, path: &str) -> Result<(), Error>;
    fn protect(&self, path: &str, read_only: bool) -> Result<(), Error>;
    /// Makes everything in a subvolume durable, and its name.
    fn sync(&self, path: &str) -> Result<(), Error>;
    /// This and the next: none where quota groups are off, or only root may ask.
    fn limit(&self, path: &str) -> Result<Option<u64>, Error>;
    fn usage(&self, path: &str) -> Result<Option<Bytes>, Error>;
    fn set_limit(&self, path: &str, bytes: Option<u64>) -> Result<(), Error>;
    /// Bytes and entries, counted one by one.
    fn count(&self, path: &str) -> Result<(u64, u64), Error>;
}

/// Longest note that is read: a phase, an operation and a UUID are far shorter.
const NOTE: u32 = 1024;
/// Names asked for at a time.
const PAGE: u32 = 1000;

impl Pool for Directory {
    fn look(&self, path: &str) -> Result<There, Error> {
        match subvolumes::inspect(self, path) {
            Ok(subvolume) => Ok(There::Subvolume(subvolume.uuid)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(There::Nothing),
            Err(error) if error.kind == ErrorKind::Invalid => Ok(There::Other),
            Err(error) => Err(error),
        }
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Error> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = found(tree::entries(self, path, after.as_deref(), PAGE))?.unwrap_or_default();
            after = page.last().map(|entry| entry.name.clone());
            let last = page.len() < PAGE as usize;
            let directories = page.into_iter().filter(|entry| entry.kind == NodeKind::Directory);
            names.extend(directories.map(|entry| entry.name));
            if last {
                return Ok(names);
            }
        }
    }

    fn below(&self, path: &str) -> Result<Vec<String>, Error> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let page = subvolumes::all(self, path, all.last().map(String::as_str), PAGE)?;
            let last = page.len() < PAGE as usize;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    fn read(&self, path: &str) -> Result<Option<String>, Error> {
        let Some(bytes) = found(tree::read(self, path, NOTE))? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| error(ErrorKind::Integrity, format!("{path} in the pool is not a text")))
    }

    fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        tree::write(self, path, text.as_bytes(), 0o644)
    }

    fn forget(&self, path: &str) -> Result<(), Error> {
        found(tree::remove(self, path)).map(drop)
    }

    fn rename(&self, path: &str, new: &str) -> Result<(), Error> {
        tree::rename(self, path, new)
    }

    fn exchange(&self, path: &str, other: &str) -> Result<(), Error> {
        tree::exchange(self, path, other)
    }

    fn make(&self, path: &str) -> Result<(), Error> {
        subvolumes::create(self, path)
    }

    fn snapshot(&self, path: &str, new: &str, read_only: bool) -> Result<(), Error> {
        subvolumes::snapshot(self, path, new, read_only, true)
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        found(subvolumes::remove(self, path)).map(drop)
    }

    fn protect(&self, path: &str, read_only: bool) -> Result<(), Error> {
        subvolumes::protect(self, path, read_only)
    }

    fn sync(&self, path: &str) -> Result<(), Error> {
        subvolumes::sync(self, path)
    }

    fn limit(&self, path: &str) -> Result<Option<u64>, Error> {
        counted(subvolumes::limit(self, path)).map(Option::flatten)
    }

    fn usage(&self, path: &str) -> Result<Option<Bytes>, Error> {
        let usage = counted(subvolumes::usage(self, path))?;
        Ok(usage.map(|usage| Bytes { referenced: usage.referenced, exclusive: usage.exclusive }))
    }

    fn set_limit(&self, path: &str, bytes: Option<u64>) -> Result<(), Error> {
        subvolumes::set_limit(self, path, bytes)
    }

    fn count(&self, path: &str) -> Result<(u64, u64), Error> {
        let usage = tree::usage(self, path)?;
        Ok((usage.bytes, usage.entries))
    }
}

/// None instead of `not-found`.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// None where quota groups cannot be asked.
fn counted<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if matches!(error.kind, ErrorKind::Unsupported | ErrorKind::Denied) => Ok(None),
        other => other.map(Some),
    }
}
