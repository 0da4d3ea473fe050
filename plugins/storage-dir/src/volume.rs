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
    /// The most bytes that a tree may take up; this and the next: `unsupported` where the file system limits nothing.
    fn limit(&self, path: &str) -> Result<Option<u64>, Error>;
    /// Changes that. One that never had any has to be empty.
    fn set_limit(&self, path: &str, bytes: Option<u64>) -> Result<(), Error>;
    /// The bytes that a tree takes up.
    fn used(&self, path: &str) -> Result<u64, Error>;
}

pub fn create(pool: &impl Pool, operation: &str, id: &str, size: Option<u64>) -> Result<Volume, Error> {
    match find(pool, id)? {
        None => {}
        Some(volume) if volume.phase == Phase::Removing => remove(pool, id)?,
        Some(volume) if volume.operation.as_deref() == Some(operation) => return Ok(volume),
        Some(_) => return Err(error(ErrorKind::AlreadyExists, format!("volume {id} exists already"))),
    }
    let (root, new) = (layout::root(id), layout::new(id));
    pool.remove_tree(&new)?;
    pool.make(&new)?;
    // Without a size, too: the file system then counts what the volume takes up, and can limit it later.
    if let Err(refused) = limit(pool, &new, size) {
        pool.remove_tree(&new)?;
        return Err(refused);
    }
    Note::new(Phase::Writable, operation).save(pool, id)?;
    pool.rename(&new, &root)?;
    pool.sync(&root)?;
    get(pool, id)
}

/// The most that a volume may take up; none also where there are no limits.
pub fn size(pool: &impl Pool, id: &str) -> Result<Option<u64>, Error> {
    get(pool, id)?;
    match pool.limit(&layout::root(id)) {
        Err(refused) if refused.kind == ErrorKind::Unsupported => Ok(None),
        other => other,
    }
}

pub fn set_size(pool: &impl Pool, id: &str, size: Option<u64>) -> Result<(), Error> {
    if get(pool, id)?.phase == Phase::Sealed {
        return Err(error(ErrorKind::Invalid, format!("volume {id} is sealed: it cannot be changed")));
    }
    let root = layout::root(id);
    if let Some(size) = size {
        // Looked at first: counting a tree that could not be limited anyway may take long.
        let smaller = pool.limit(&root)?.is_none_or(|limit| size < limit);
        let used = if smaller { pool.used(&root)? } else { 0 };
        if used > size {
            let message = format!("volume {id} takes up {used} bytes: it does not fit into {size}");
            return Err(error(ErrorKind::Invalid, message));
        }
    }
    limit(pool, &root, size)
}

/// No limit is nothing to do where none can be set.
fn limit(pool: &impl Pool, path: &str, size: Option<u64>) -> Result<(), Error> {
    match pool.set_limit(path, size) {
        Err(refused) if refused.kind == ErrorKind::Unsupported && size.is_none() => Ok(()),
        other => other,
    }
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
    if pool.is_directory(&removed)? {
        // Nothing is to be remembered of it when it is gone.
        limit(pool, &removed, None)?;
    }
    pool.remove_tree(&layout::new(id))?;
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
        /// Whether it has quotas, and what is limited.
        limits: Option<RefCell<BTreeMap<String, Option<u64>>>>,
        used: Cell<u64>,
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
            if let Some(limits) = &self.limits {
                let limit = limits.borrow_mut().remove(path).flatten();
                limits.borrow_mut().insert(new.to_owned(), limit);
            }
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

        fn limit(&self, path: &str) -> Result<Option<u64>, Error> {
            let limits = self.limits.as_ref().ok_or_else(|| error(ErrorKind::Unsupported, "no quotas"))?;
            Ok(limits.borrow().get(path).copied().flatten())
        }

        fn set_limit(&self, path: &str, bytes: Option<u64>) -> Result<(), Error> {
            let limits = self.limits.as_ref().ok_or_else(|| error(ErrorKind::Unsupported, "no quotas"))?;
            self.change()?;
            limits.borrow_mut().insert(path.to_owned(), bytes);
            Ok(())
        }

        fn used(&self, _path: &str) -> Result<u64, Error> {
            Ok(self.used.get())
        }
    }

    fn ids(pool: &Memory) -> Vec<String> {
        scan(pool, None, 100).unwrap().into_iter().map(|volume| volume.id).collect()
    }

    #[test]
    fn a_volume_is_created_sealed_and_removed() {
        let pool = Memory::with(&["web"]);
        assert_eq!(create(&pool, "op1", "web", None).unwrap().phase, Phase::Writable);
        assert_eq!(seal(&pool, "op2", "web").unwrap().phase, Phase::Sealed);
        assert_eq!(scan(&pool, None, 9).unwrap()[0].phase, Phase::Sealed);
        remove(&pool, "web").unwrap();
        assert_eq!(get(&pool, "web").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(pool.entries.borrow().keys().collect::<Vec<_>>(), ["web"]);
    }

    #[test]
    fn the_same_operation_converges_and_another_one_is_refused() {
        let pool = Memory::with(&["web"]);
        create(&pool, "op1", "web", None).unwrap();
        assert_eq!(create(&pool, "op1", "web", None).unwrap().operation.as_deref(), Some("op1"));
        assert_eq!(create(&pool, "op2", "web", None).unwrap_err().kind, ErrorKind::AlreadyExists);
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
            let interrupted =
                create(&pool, "op", "web", None).and_then(|_| seal(&pool, "op2", "web")).is_err();
            pool.cut.set(None);
            if !interrupted {
                break;
            }
            if pool.is_directory("web/rootfs").unwrap() {
                assert_eq!(get(&pool, "web").unwrap().operation.as_deref(), Some("op"), "cut {cut}");
            }
            create(&pool, "op", "web", None).unwrap();
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
        assert_eq!(create(&pool, "op", "web", None).unwrap().phase, Phase::Writable);
        assert_eq!(pool.directories("web").unwrap(), ["rootfs"]);
    }

    #[test]
    fn a_container_of_lxc_is_a_writable_volume() {
        let pool = Memory::with(&["old/rootfs"]);
        let volume = get(&pool, "old").unwrap();
        assert_eq!((volume.phase, volume.operation), (Phase::Writable, None));
    }

    #[test]
    fn a_limit_is_there_before_the_volume_and_gone_after_it() {
        let pool = Memory { limits: Some(RefCell::default()), ..Memory::with(&["web"]) };
        create(&pool, "op", "web", Some(100)).unwrap();
        assert_eq!(size(&pool, "web").unwrap(), Some(100));
        pool.used.set(60);
        assert_eq!(set_size(&pool, "web", Some(50)).unwrap_err().kind, ErrorKind::Invalid);
        set_size(&pool, "web", Some(200)).unwrap();
        set_size(&pool, "web", Some(70)).unwrap();
        set_size(&pool, "web", None).unwrap();
        assert_eq!(size(&pool, "web").unwrap(), None);
        set_size(&pool, "web", Some(80)).unwrap();
        remove(&pool, "web").unwrap();
        assert_eq!(pool.limits.unwrap().borrow().values().copied().flatten().next(), None);
    }

    #[test]
    fn a_file_system_without_limits_refuses_one_and_nothing_is_left() {
        let pool = Memory::with(&["web"]);
        assert_eq!(create(&pool, "op", "web", Some(1)).unwrap_err().kind, ErrorKind::Unsupported);
        assert_eq!(pool.entries.borrow().keys().collect::<Vec<_>>(), ["web"]);
        create(&pool, "op", "web", None).unwrap();
        assert_eq!(size(&pool, "web").unwrap(), None);
        set_size(&pool, "web", None).unwrap();
        assert_eq!(set_size(&pool, "web", Some(1)).unwrap_err().kind, ErrorKind::Unsupported);
    }
}
