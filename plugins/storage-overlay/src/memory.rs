//! A pool in memory: paths to texts, where a directory has none. It can be cut off after a number of changes, as a power
//! failure would.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::pool::Pool;
use crate::volume::error;

#[derive(Clone, Default)]
pub struct Memory {
    pub entries: RefCell<BTreeMap<String, Option<String>>>,
    changes: Cell<usize>,
    cut: Cell<Option<usize>>,
}

impl Memory {
    /// Directories, with those above them.
    pub fn with(paths: &[&str]) -> Self {
        let pool = Self::default();
        paths.iter().for_each(|path| pool.put(path));
        pool
    }

    pub fn put(&self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.entries.borrow_mut().insert(path[..at].to_owned(), None);
        }
        self.entries.borrow_mut().insert(path.to_owned(), None);
    }

    pub fn has(&self, path: &str) -> bool {
        self.entries.borrow().contains_key(path)
    }

    /// Runs something of which only the first `changes` changes happen; whether the power failed.
    pub fn cut<T>(&self, changes: usize, work: impl FnOnce(&Self) -> Result<T, Error>) -> bool {
        self.changes.set(0);
        self.cut.set(Some(changes));
        let failed = work(self).is_err();
        self.cut.set(None);
        failed
    }

    fn change(&self) -> Result<(), Error> {
        self.changes.set(self.changes.get() + 1);
        match self.cut.get() {
            Some(cut) if self.changes.get() > cut => Err(error(ErrorKind::Failed, "power failure")),
            _ => Ok(()),
        }
    }

    fn under(path: &str, root: &str) -> bool {
        path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl Pool for Memory {
    fn directory(&self, path: &str) -> Result<Option<u32>, Error> {
        Ok(self.entries.borrow().get(path).filter(|text| text.is_none()).map(|_| 0o755))
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Error> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let entries = self.entries.borrow();
        let directories = entries.iter().filter(|(_, text)| text.is_none()).map(|(entry, _)| entry);
        let below = directories.filter_map(|entry| entry.strip_prefix(&prefix).map(str::to_owned));
        Ok(below.filter(|name| !name.contains('/')).collect())
    }

    fn read(&self, path: &str) -> Result<Option<String>, Error> {
        Ok(self.entries.borrow().get(path).cloned().flatten())
    }

    fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        self.change()?;
        let home = path.rsplit_once('/').map_or("", |(home, _)| home);
        assert!(self.has(home), "{path} is written where there is no directory");
        self.entries.borrow_mut().insert(path.to_owned(), Some(text.to_owned()));
        Ok(())
    }

    fn make(&self, path: &str, _permissions: u32) -> Result<(), Error> {
        self.change()?;
        let taken = self.entries.borrow_mut().insert(path.to_owned(), None).is_some();
        if taken { Err(error(ErrorKind::AlreadyExists, path)) } else { Ok(()) }
    }

    fn copy_tree(&self, path: &str, new: &str) -> Result<(), Error> {
        assert!(self.has(path) && !self.has(new), "{path} copied to {new}");
        let of = |entry: &String| Self::under(entry, path).then(|| format!("{new}{}", &entry[path.len()..]));
        let copies: Vec<_> = {
            let entries = self.entries.borrow();
            entries.iter().filter_map(|(entry, text)| Some((of(entry)?, text.clone()))).collect()
        };
        // Interrupted, it leaves a part.
        for (entry, text) in copies {
            self.change()?;
            self.entries.borrow_mut().insert(entry, text);
        }
        Ok(())
    }

    fn rename(&self, path: &str, new: &str) -> Result<(), Error> {
        self.change()?;
        assert!(self.has(path) && !self.has(new), "{path} renamed to {new}");
        let old = std::mem::take(&mut *self.entries.borrow_mut());
        let moved = |entry: String| match Self::under(&entry, path) {
            true => format!("{new}{}", &entry[path.len()..]),
            false => entry,
        };
        *self.entries.borrow_mut() = old.into_iter().map(|(entry, text)| (moved(entry), text)).collect();
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        self.change()?;
        self.entries.borrow_mut().remove(path);
        Ok(())
    }

    fn remove_tree(&self, path: &str) -> Result<(), Error> {
        self.change()?;
        self.entries.borrow_mut().retain(|entry, _| !Self::under(entry, path));
        Ok(())
    }

    fn sync(&self, path: &str) -> Result<(), Error> {
        assert!(self.has(path), "{path} is synced and not there");
        self.change()
    }
}
