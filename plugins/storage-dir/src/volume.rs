//! What the verbs of a volume do to its directory, one step after the other.
//!
//! The order is what makes them safe to interrupt and to repeat: a volume is there when its root is,
//! its note is written before its root is made, and a root is renamed before it is taken apart.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume};
use crate::layout;
use crate::note::Note;

/// What is asked of the pool. The component asks the host for it; the tests have one in memory.
pub trait Pool {
    /// Whether a directory is there, and not a link to one or something else.
    fn is_directory(&self, path: &str) -> Result<bool, Error>;
    /// The directories in a directory, sorted; none if there is no such directory.
    fn directories(&self, path: &str) -> Result<Vec<String>, Error>;
    /// A small file; none if there is no such file.
    fn read(&self, path: &str) -> Result<Option<String>, Error>;
    /// Replaces a small file as a whole, durably.
    fn write(&self, path: &str, text: &str) -> Result<(), Error>;
    /// Makes a directory under a name that is not taken.
    fn make(&self, path: &str) -> Result<(), Error>;
    /// Renames to a name that is not taken.
    fn rename(&self, path: &str, new: &str) -> Result<(), Error>;
    /// This and the next: nothing there is nothing to do.
    fn remove(&self, path: &str) -> Result<(), Error>;
    fn remove_tree(&self, path: &str) -> Result<(), Error>;
    /// Makes a tree durable.
    fn sync(&self, path: &str) -> Result<(), Error>;
}

pub fn create(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    match find(pool, id)? {
        None => {}
        Some(volume) if volume.phase == Phase::Removing => remove(pool, id)?,
        Some(volume) if volume.operation.as_deref() == Some(operation) => return Ok(volume),
        Some(_) => return Err(error(ErrorKind::AlreadyExists, format!("volume {id} exists already"))),
    }
    Note::new(Phase::Writable, operation).save(pool, id)?;
    pool.make(&layout::root(id))?;
    pool.sync(&layout::root(id))?;
    get(pool, id)
}

pub fn seal(pool: &impl Pool, operation: &str, id: &str) -> Result<Volume, Error> {
    if get(pool, id)?.phase != Phase::Sealed {
        pool.sync(&layout::root(id))?;
        Note::new(Phase::Sealed, operation).save(pool, id)?;
    }
    get(pool, id)
}

pub fn remove(pool: &impl Pool, id: &str) -> Result<(), Error> {
    let (root, removed) = (layout::root(id), layout::removed(id));
    if pool.is_directory(&root)? {
        // Left over from an earlier volume of this name, if it is there at all.
        pool.remove_tree(&removed)?;
        pool.rename(&root, &removed)?;
    }
    pool.remove(&layout::note(id))?;
    pool.remove_tree(&removed)
}

pub fn scan(pool: &impl Pool, after: Option<&str>, limit: usize) -> Result<Vec<Volume>, Error> {
    let mut volumes = Vec::new();
    for (shelf, prefix) in layout::shelves(&pool.directories("")?) {
        for name in pool.directories(&shelf)?.iter().filter(|name| !name.starts_with('.')) {
            volumes.extend(find(pool, &format!("{prefix}{name}"))?);
        }
    }
    volumes.retain(|volume| after.is_none_or(|after| volume.id.as_str() > after));
    volumes.sort_by(|a, b| a.id.cmp(&b.id));
    volumes.truncate(limit);
    Ok(volumes)
}

/// The volume, or `not-found`.
pub fn get(pool: &impl Pool, id: &str) -> Result<Volume, Error> {
    match find(pool, id)? {
        Some(volume) if volume.phase != Phase::Removing => Ok(volume),
        _ => Err(error(ErrorKind::NotFound, format!("there is no volume {id}"))),
    }
}

pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}

fn find(pool: &impl Pool, id: &str) -> Result<Option<Volume>, Error> {
    let phase = if pool.is_directory(&layout::root(id))? {
        None
    } else if pool.is_directory(&layout::removed(id))? {
        Some(Phase::Removing)
    } else {
        return Ok(None);
    };
    let note = Note::load(pool, id)?;
    Ok(Some(Volume {
        id: id.to_owned(),
        phase: phase.unwrap_or(note.phase),
        parent: None,
        operation: note.operation,
    }))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use super::*;

    /// A pool in memory: paths to texts, where a directory has none. It can be cut off after a number of changes,
    /// as a power failure would.
    #[derive(Default)]
    struct Memory {
        entries: RefCell<BTreeMap<String, Option<String>>>,
        changes: Cell<usize>,
        cut: Cell<Option<usize>>,
    }

    impl Memory {
        fn with(homes: &[&str]) -> Self {
            let pool = Self::default();
            for home in homes {
                for (at, _) in home.match_indices('/') {
                    pool.entries.borrow_mut().insert(home[..at].to_owned(), None);
                }
                pool.entries.borrow_mut().insert((*home).to_owned(), None);
            }
            pool
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
        fn is_directory(&self, path: &str) -> Result<bool, Error> {
            Ok(self.entries.borrow().get(path).is_some_and(Option::is_none))
        }

        fn directories(&self, path: &str) -> Result<Vec<String>, Error> {
            let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
            let below = |entry: &String| entry.strip_prefix(&prefix).map(str::to_owned);
            let entries = self.entries.borrow();
            let directories = entries.iter().filter(|(_, text)| text.is_none()).map(|(entry, _)| entry);
            Ok(directories.filter_map(below).filter(|name| !name.contains('/')).collect())
        }

        fn read(&self, path: &str) -> Result<Option<String>, Error> {
            Ok(self.entries.borrow().get(path).cloned().flatten())
        }

        fn write(&self, path: &str, text: &str) -> Result<(), Error> {
            self.change()?;
            self.entries.borrow_mut().insert(path.to_owned(), Some(text.to_owned()));
            Ok(())
        }

        /// Makes a directory under a name that is not taken.
        fn make(&self, path: &str) -> Result<(), Error> {
            self.change()?;
            let taken = self.entries.borrow_mut().insert(path.to_owned(), None).is_some();
            if taken { Err(error(ErrorKind::AlreadyExists, path)) } else { Ok(()) }
        }

        fn rename(&self, path: &str, new: &str) -> Result<(), Error> {
            self.change()?;
            assert!(!self.entries.borrow().contains_key(new), "renamed over {new}");
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

        fn sync(&self, _path: &str) -> Result<(), Error> {
            self.change()
        }
    }

    fn ids(pool: &Memory) -> Vec<String> {
        scan(pool, None, 100).unwrap().into_iter().map(|volume| volume.id).collect()
    }

    #[test]
    fn a_volume_is_created_sealed_and_removed() {
        let pool = Memory::with(&["web"]);
        assert_eq!(create(&pool, "op1", "web").unwrap().phase, Phase::Writable);
        assert_eq!(seal(&pool, "op2", "web").unwrap().phase, Phase::Sealed);
        assert_eq!(scan(&pool, None, 9).unwrap()[0].phase, Phase::Sealed);
        remove(&pool, "web").unwrap();
        assert_eq!(get(&pool, "web").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(pool.entries.borrow().keys().collect::<Vec<_>>(), ["web"]);
    }

    #[test]
    fn the_same_operation_converges_and_another_one_is_refused() {
        let pool = Memory::with(&["web"]);
        create(&pool, "op1", "web").unwrap();
        assert_eq!(create(&pool, "op1", "web").unwrap().operation.as_deref(), Some("op1"));
        assert_eq!(create(&pool, "op2", "web").unwrap_err().kind, ErrorKind::AlreadyExists);
        remove(&pool, "web").unwrap();
        remove(&pool, "web").unwrap();
    }

    /// Whatever change the power fails at, there is either no volume or the whole one, and a repetition ends as usual.
    #[test]
    fn every_interruption_can_be_repeated() {
        let whole = ["web/rootfs", "web/rootfs/bin"];
        for cut in 0.. {
            let pool = Memory::with(&whole);
            pool.cut.set(Some(cut));
            let interrupted = remove(&pool, "web").is_err();
            pool.cut.set(None);
            let left = find(&pool, "web").unwrap();
            let files = pool.is_directory(&(layout::root("web") + "/bin")).unwrap();
            assert!(left.is_none_or(|volume| (volume.phase == Phase::Removing) != files), "cut {cut}");
            remove(&pool, "web").unwrap();
            assert_eq!(ids(&pool), Vec::<String>::new(), "cut {cut}");
            if !interrupted {
                break;
            }
        }
        for cut in 0.. {
            let pool = Memory::with(&["web"]);
            pool.cut.set(Some(cut));
            let interrupted = create(&pool, "op", "web").and_then(|_| seal(&pool, "op2", "web")).is_err();
            pool.cut.set(None);
            if !interrupted {
                break;
            }
            if pool.is_directory("web/rootfs").unwrap() {
                assert_eq!(get(&pool, "web").unwrap().operation.as_deref(), Some("op"), "cut {cut}");
            }
            create(&pool, "op", "web").unwrap();
            assert_eq!(seal(&pool, "op2", "web").unwrap().phase, Phase::Sealed, "cut {cut}");
        }
    }

    #[test]
    fn scan_finds_roots_snapshots_images_and_nothing_else() {
        let pool = Memory::with(&[
            ".images/0a1b/rootfs",
            ".journal/x/rootfs",
            "db/rootfs",
            "half",
            "web/rootfs",
            "web/snaps/before/rootfs",
            "web/snaps/after/rootfs.removed",
        ]);
        pool.entries.borrow_mut().insert("notes.txt".to_owned(), Some("not a container".to_owned()));
        assert_eq!(ids(&pool), [".images@0a1b", "db", "web", "web@after", "web@before"]);
        assert_eq!(scan(&pool, None, 9).unwrap()[3].phase, Phase::Removing);
        let page = scan(&pool, Some("db"), 2).unwrap();
        assert_eq!(page.iter().map(|volume| volume.id.as_str()).collect::<Vec<_>>(), ["web", "web@after"]);
    }

    #[test]
    fn a_new_volume_takes_the_place_of_one_half_removed() {
        let pool = Memory::with(&["web/rootfs.removed/bin"]);
        assert_eq!(create(&pool, "op", "web").unwrap().phase, Phase::Writable);
        assert_eq!(pool.directories("web").unwrap(), ["rootfs"]);
    }

    #[test]
    fn a_container_of_lxc_is_a_writable_volume() {
        let pool = Memory::with(&["old/rootfs"]);
        let volume = get(&pool, "old").unwrap();
        assert_eq!((volume.phase, volume.operation), (Phase::Writable, None));
    }
}
