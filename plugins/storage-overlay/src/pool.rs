//! The pool: what is asked of it, and how the host is asked.

use crate::bindings::wxc::host::handles::Directory;
use crate::bindings::wxc::host::tree::{self, NodeKind};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::volume::error;

/// What is asked of the pool. The component asks the host for it; the tests have one in memory.
pub trait Pool {
    /// The permissions of a directory; none where there is no directory, or a link to one, or something else.
    fn directory(&self, path: &str) -> Result<Option<u32>, Error>;
    /// The directories in a directory, sorted; none if there is no such directory.
    fn directories(&self, path: &str) -> Result<Vec<String>, Error>;
    /// A small file; none if there is no such file.
    fn read(&self, path: &str) -> Result<Option<String>, Error>;
    /// Replaces a small file as a whole, durably.
    fn write(&self, path: &str, text: &str) -> Result<(), Error>;
    /// Makes a directory under a name that is not taken.
    fn make(&self, path: &str, permissions: u32) -> Result<(), Error>;
    /// Copies a tree to a name that is not taken.
    fn copy_tree(&self, path: &str, new: &str) -> Result<(), Error>;
    /// Renames to a name that is not taken.
    fn rename(&self, path: &str, new: &str) -> Result<(), Error>;
    /// This and the next: nothing there is nothing to do.
    fn remove(&self, path: &str) -> Result<(), Error>;
    fn remove_tree(&self, path: &str) -> Result<(), Error>;
    /// Makes a tree durable.
    fn sync(&self, path: &str) -> Result<(), Error>;
}

/// Longest note that is read: two volumes, an operation and a phase are far shorter.
const NOTE: u32 = 1024;
/// Names asked for at a time.
const PAGE: u32 = 1000;

impl Pool for Directory {
    fn directory(&self, path: &str) -> Result<Option<u32>, Error> {
        let status = found(tree::inspect(self, path))?;
        Ok(status.filter(|s| s.kind == NodeKind::Directory).map(|s| s.permissions))
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

    fn read(&self, path: &str) -> Result<Option<String>, Error> {
        let Some(bytes) = found(tree::read(self, path, NOTE))? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| error(ErrorKind::Integrity, format!("{path} in the pool is not a text")))
    }

    fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        tree::write(self, path, text.as_bytes(), 0o644)
    }

    fn make(&self, path: &str, permissions: u32) -> Result<(), Error> {
        tree::make_directory(self, path, permissions)
    }

    fn copy_tree(&self, path: &str, new: &str) -> Result<(), Error> {
        tree::copy(self, path, self, new)
    }

    fn rename(&self, path: &str, new: &str) -> Result<(), Error> {
        tree::rename(self, path, new)
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        found(tree::remove(self, path)).map(drop)
    }

    fn remove_tree(&self, path: &str) -> Result<(), Error> {
        found(tree::remove_tree(self, path)).map(drop)
    }

    fn sync(&self, path: &str) -> Result<(), Error> {
        tree::sync(self, path)
    }
}

/// None instead of `not-found`.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
