//! A pool in memory, for tests. It can be cut off after a number of changes, as a power failure would.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::filesystem::Filesystem;
use crate::volume::{Pool, error};

#[derive(Debug, Clone)]
enum Entry {
    Directory,
    Text(String),
    /// Its length, what is in it with its own length, and whether a program was interrupted in it.
    Disk {
        length: u64,
        inside: Option<(Filesystem, u64)>,
        broken: bool,
    },
}

#[derive(Default)]
pub struct Memory {
    entries: RefCell<BTreeMap<String, Entry>>,
    changes_left: Cell<Option<usize>>,
    /// Whether the disks are in use.
    pub mounted: Cell<bool>,
    /// Whether the kernel lets no file system grow.
    pub kernel_refuses: Cell<bool>,
}

impl Memory {
    /// With these directories, and those above them.
    pub fn with(homes: &[&str]) -> Self {
        let pool = Self::default();
        for home in homes {
            let above = home.match_indices('/').map(|(at, _)| &home[..at]);
            for path in above.chain([*home]) {
                pool.entries.borrow_mut().insert(path.to_owned(), Entry::Directory);
            }
        }
        pool
    }

    pub fn fail_after(&self, changes: usize) {
        self.changes_left.set(Some(changes));
    }

    pub fn go_on(&self) {
        self.changes_left.set(None);
    }

    pub fn paths(&self) -> Vec<String> {
        self.entries.borrow().keys().cloned().collect()
    }

    /// What is in a disk, and how long it is itself.
    pub fn inside(&self, path: &str) -> (Filesystem, u64) {
        match self.entries.borrow().get(path) {
            Some(Entry::Disk { inside: Some(inside), .. }) => *inside,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Whether a disk has a file system that nothing broke.
    pub fn is_whole(&self, path: &str) -> bool {
        matches!(self.entries.borrow().get(path), Some(Entry::Disk { inside: Some(_), broken: false, .. }))
    }

    fn change(&self) -> Result<(), Error> {
        match self.changes_left.get() {
            Some(0) => Err(error(ErrorKind::Failed, "power failure")),
            left => {
                self.changes_left.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    fn disk<T>(
        &self,
        path: &str,
        body: impl FnOnce(&mut u64, &mut Option<(Filesystem, u64)>, &mut bool) -> T,
    ) -> T {
        match self.entries.borrow_mut().get_mut(path) {
            Some(Entry::Disk { length, inside, broken }) => body(length, inside, broken),
            other => panic!("{path}: {other:?}"),
        }
    }

    fn take(&self, path: &str) -> Entry {
        self.entries.borrow_mut().remove(path).unwrap_or_else(|| panic!("there is no {path}"))
    }

    fn put(&self, path: &str, entry: Entry) {
        assert!(self.entries.borrow_mut().insert(path.to_owned(), entry).is_none(), "{path} was taken");
    }
}

impl Pool for Memory {
    fn length(&self, path: &str) -> Result<Option<u64>, Error> {
        Ok(match self.entries.borrow().get(path) {
            Some(Entry::Disk { length, .. }) => Some(*length),
            _ => None,
        })
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Error> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let entries = self.entries.borrow();
        let names = entries.iter().filter_map(|(entry, what)| {
            let name = entry.strip_prefix(&prefix)?;
            (matches!(what, Entry::Directory) && !name.contains('/')).then(|| name.to_owned())
        });
        Ok(names.collect())
    }

    fn read(&self, path: &str) -> Result<Option<String>, Error> {
        Ok(match self.entries.borrow().get(path) {
            Some(Entry::Text(text)) => Some(text.clone()),
            _ => None,
        })
    }

    fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        self.change()?;
        self.entries.borrow_mut().insert(path.to_owned(), Entry::Text(text.to_owned()));
        Ok(())
    }

    fn make(&self, path: &str, size: u64) -> Result<(), Error> {
        self.change()?;
        self.put(path, Entry::Disk { length: size, inside: None, broken: false });
        Ok(())
    }

    fn set_length(&self, path: &str, size: u64) -> Result<(), Error> {
        self.change()?;
        self.disk(path, |length, inside, _| {
            assert!(inside.is_none_or(|(_, held)| held <= size), "cut off what is in {path}");
            *length = size;
        });
        Ok(())
    }

    fn copy(&self, path: &str, new: &str) -> Result<(), Error> {
        let entry = self.entries.borrow().get(path).cloned().unwrap_or_else(|| panic!("there is no {path}"));
        let part = Entry::Disk { length: 0, inside: None, broken: true };
        self.put(new, part);
        self.change()?;
        self.entries.borrow_mut().insert(new.to_owned(), entry);
        Ok(())
    }

    fn rename(&self, path: &str, new: &str) -> Result<(), Error> {
        self.change()?;
        let entry = self.take(path);
        self.put(new, entry);
        Ok(())
    }

    fn exchange(&self, path: &str, other: &str) -> Result<(), Error> {
        self.change()?;
        let (one, two) = (self.take(path), self.take(other));
        self.put(path, two);
        self.put(other, one);
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        self.change()?;
        self.entries.borrow_mut().remove(path);
        Ok(())
    }

    fn sync(&self, _path: &str) -> Result<(), Error> {
        self.change()
    }

    fn format(&self, path: &str, filesystem: Filesystem) -> Result<(), Error> {
        self.disk(path, |_, _, broken| *broken = true);
        self.change()?;
        self.disk(path, |length, inside, broken| (*inside, *broken) = (Some((filesystem, *length)), false));
        Ok(())
    }

    fn renew(&self, path: &str, _: Filesystem) -> Result<(), Error> {
        self.disk(path, |_, _, broken| *broken = true);
        self.change()?;
        self.disk(path, |_, _, broken| *broken = false);
        Ok(())
    }

    fn refit(&self, path: &str, size: u64) -> Result<(), Error> {
        self.disk(path, |_, _, broken| *broken = true);
        self.change()?;
        self.disk(path, |_, inside, broken| {
            *broken = false;
            if let Some((_, held)) = inside {
                *held = size;
            }
        });
        Ok(())
    }

    fn fit(&self, path: &str, filesystem: Filesystem, size: u64) -> Result<(), Error> {
        if self.kernel_refuses.get() {
            return Err(error(ErrorKind::Denied, "the kernel refuses"));
        }
        self.change()?;
        self.disk(path, |length, inside, _| {
            assert!(size <= *length, "{path} is too short");
            *inside = Some((filesystem, size));
        });
        Ok(())
    }

    fn is_attached(&self, _path: &str) -> Result<bool, Error> {
        Ok(self.mounted.get())
    }

    fn probe(&self, path: &str) -> Result<Filesystem, Error> {
        Ok(self.inside(path).0)
    }
}
