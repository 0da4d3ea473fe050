//! The pool as the host gives it: each method is one call of `wxc:host/tree`.

use crate::bindings::wxc::host::handles::Directory;
use crate::bindings::wxc::host::tree::{self, NodeKind, Quota};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::volume::{Pool, error};

/// Longest note that is read: a phase and an operation are far shorter.
const NOTE: u32 = 1024;
/// Names asked for at a time.
const PAGE: u32 = 1000;

impl Pool for Directory {
    fn is_directory(&self, path: &str) -> Result<bool, Error> {
        Ok(found(tree::inspect(self, path))?.is_some_and(|status| status.kind == NodeKind::Directory))
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

    fn make(&self, path: &str) -> Result<(), Error> {
        tree::make_directory(self, path, 0o755)
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

    fn limit(&self, path: &str) -> Result<Option<u64>, Error> {
        tree::quota_of(self, path).map(|quota| quota.bytes)
    }

    fn set_limit(&self, path: &str, bytes: Option<u64>) -> Result<(), Error> {
        tree::set_quota(self, path, Quota { bytes, entries: None })
    }

    fn used(&self, path: &str) -> Result<u64, Error> {
        tree::usage(self, path).map(|usage| usage.bytes)
    }
}

/// None instead of `not-found`.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
