//! The pool as the host gives it: each method is one call of `wxc:host/tree`.

use crate::bindings::wxc::host::handles::Directory;
use crate::bindings::wxc::host::tree;
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::volume::{Pool, error};

/// Longest note that is read: a phase and an operation are far shorter.
const NOTE: u32 = 1024;
/// Names asked for at a time.
const PAGE: u32 = 1000;

impl Pool for Directory {
    fn exists(&self, path: &str) -> Result<bool, Error> {
        Ok(found(tree::inspect(self, path))?.is_some())
    }

    fn names(&self, path: &str) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let page =
                found(tree::entries(self, path, names.last().map(String::as_str), PAGE))?.unwrap_or_default();
            let last = page.len() < PAGE as usize;
            names.extend(page.into_iter().map(|entry| entry.name));
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
        tree::remove(self, path)
    }

    fn remove_tree(&self, path: &str) -> Result<(), Error> {
        tree::remove_tree(self, path)
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
