//! Volumes as directories: `rootfs`, the note `rootfs.volume` beside it (phase, operation, parent, size), `rootfs.new` for what is being
//! made and `rootfs.removed` for what is being taken apart.

use crate::bindings::wxc::host::handles::Directory;
use crate::bindings::wxc::host::tree;
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::storage::types::{Phase, Volume};
use crate::{error, fault};

pub struct Store(pub Directory);

pub fn home(id: &str) -> String {
    match id.split_once('@') {
        None => id.to_owned(),
        Some((".images", digest)) => format!(".images/{digest}"),
        Some((container, snapshot)) => format!("{container}/snaps/{snapshot}"),
    }
}

pub fn root(id: &str) -> String {
    home(id) + "/rootfs"
}

fn beside(id: &str, ending: &str) -> String {
    root(id) + ending
}

/// What is remembered of a volume.
struct Note {
    phase: Phase,
    operation: Option<String>,
    parent: Option<String>,
    size: Option<u64>,
}

impl Store {
    pub fn create(&self, operation: &str, id: &str, size: Option<u64>) -> Result<Volume, Error> {
        match self.find(id)? {
            Some(volume) if volume.phase == Phase::Writable || volume.phase == Phase::Sealed => {
                let mine = volume.operation.as_deref() == Some(operation) && !fault("create-once");
                if mine || fault("create-anyway") {
                    return Ok(volume);
                }
                return Err(error(ErrorKind::AlreadyExists, format!("volume {id} exists already")));
            }
            Some(_) => self.remove(id)?,
            None => {}
        }
        if fault("create-elsewhere") && tree::inspect(&self.0, "db").is_ok() {
            tree::write(&self.0, "db/rootfs.index", id.as_bytes(), 0o644)?;
        }
        let operation = Some(operation.to_owned());
        self.save(id, &Note { phase: Phase::Writable, operation, parent: None, size })?;
        let permissions = if fault("create-permissions") { 0o700 } else { 0o755 };
        tree::make_directory(&self.0, &root(id), permissions)?;
        if fault("create-furnished") {
            tree::write(&self.0, &(root(id) + "/welcome"), b"hello", 0o644)?;
        }
        tree::sync(&self.0, &root(id))?;
        self.get(id)
    }

    pub fn seal(&self, operation: &str, id: &str) -> Result<Volume, Error> {
        let volume = self.get(id)?;
        if volume.phase != Phase::Sealed {
            if !fault("seal-unsynced") {
                tree::sync(&self.0, &root(id))?;
            }
            self.change(id, |note| {
                (note.phase, note.operation) = (Phase::Sealed, Some(operation.to_owned()));
            })?;
        } else if fault("seal-once") {
            return Err(error(ErrorKind::Invalid, format!("volume {id} is sealed already")));
        }
        let told = if fault("seal-forgotten") { Phase::Sealed } else { self.get(id)?.phase };
        Ok(Volume { phase: told, ..self.get(id)? })
    }

    pub fn unseal(&self, operation: &str, id: &str) -> Result<Volume, Error> {
        if self.get(id)?.phase == Phase::Sealed {
            self.change(id, |note| {
                (note.phase, note.operation) = (Phase::Writable, Some(operation.to_owned()));
            })?;
        }
        self.get(id)
    }

    /// A copy under a name of its own, which takes the volume's name when it is whole.
    pub fn copy(
        &self,
        operation: &str,
        from: &str,
        id: &str,
        phase: Phase,
        parent: Option<&str>,
    ) -> Result<Volume, Error> {
        match self.find(id)? {
            Some(volume) if volume.phase == Phase::Writable || volume.phase == Phase::Sealed => {
                if volume.operation.as_deref() == Some(operation) {
                    return Ok(volume);
                }
                return Err(error(ErrorKind::AlreadyExists, format!("volume {id} exists already")));
            }
            Some(volume) if volume.phase == Phase::Removing => self.remove(id)?,
            _ => {}
        }
        let note = Note {
            phase,
            operation: Some(operation.to_owned()),
            parent: parent.map(str::to_owned),
            size: None,
        };
        if fault("copy-in-place") {
            self.save(id, &note)?;
            tree::make_directory(&self.0, &root(id), 0o755)?;
            tree::remove(&self.0, &root(id))?;
            tree::copy(&self.0, &root(from), &self.0, &root(id))?;
            return self.get(id);
        }
        let new = beside(id, ".new");
        tree::remove_tree(&self.0, &new)?;
        tree::copy(&self.0, &root(from), &self.0, &new)?;
        tree::sync(&self.0, &new)?;
        self.save(id, &note)?;
        tree::rename(&self.0, &new, &root(id))?;
        tree::sync(&self.0, &root(id))?;
        self.get(id)
    }

    /// Repeating it makes another copy of the same snapshot: what was exchanged before makes no difference.
    pub fn restore(&self, operation: &str, snapshot: &str) -> Result<Volume, Error> {
        self.get(snapshot)?;
        let id = snapshot.split('@').next().unwrap_or_default();
        let new = beside(id, ".new");
        tree::remove_tree(&self.0, &new)?;
        if fault("restore-in-place") {
            tree::remove_tree(&self.0, &root(id))?;
            tree::copy(&self.0, &root(snapshot), &self.0, &root(id))?;
            return self.get(id);
        }
        if fault("restore-once") {
            tree::rename(&self.0, &root(snapshot), &new)?;
            tree::make_directory(&self.0, &root(snapshot), 0o755)?;
        } else {
            tree::copy(&self.0, &root(snapshot), &self.0, &new)?;
        }
        tree::sync(&self.0, &new)?;
        tree::exchange(&self.0, &root(id), &new)?;
        tree::sync(&self.0, &root(id))?;
        self.change(id, |note| note.operation = Some(operation.to_owned()))?;
        tree::remove_tree(&self.0, &new)?;
        self.get(id)
    }

    pub fn remove(&self, id: &str) -> Result<(), Error> {
        if fault("remove-strict") && self.find(id)?.is_none() {
            return Err(error(ErrorKind::NotFound, format!("there is no volume {id}")));
        }
        tree::remove_tree(&self.0, &beside(id, ".new"))?;
        if fault("remove-in-place") {
            for name in ["/words", "/etc"] {
                tree::remove_tree(&self.0, &(root(id) + name))?;
            }
            tree::remove_tree(&self.0, &root(id))?;
        } else if self.is_directory(&root(id))? {
            tree::remove_tree(&self.0, &beside(id, ".removed"))?;
            tree::rename(&self.0, &root(id), &beside(id, ".removed"))?;
        }
        if !fault("remove-leaves") {
            tree::remove(&self.0, &beside(id, ".volume"))?;
        }
        tree::remove_tree(&self.0, &beside(id, ".removed"))
    }

    pub fn size(&self, id: &str) -> Result<Option<u64>, Error> {
        self.get(id)?;
        self.load(id).map(|note| note.size)
    }

    pub fn set_size(&self, _operation: &str, id: &str, size: Option<u64>) -> Result<(), Error> {
        self.change(id, |note| note.size = size)
    }

    pub fn scan(&self) -> Result<Vec<Volume>, Error> {
        let mut volumes = Vec::new();
        for name in self.directories("")? {
            let (shelf, prefix) = match name.as_str() {
                ".images" => (".images".to_owned(), ".images@".to_owned()),
                hidden if hidden.starts_with('.') => continue,
                container => {
                    volumes.extend(self.find(container)?);
                    (format!("{container}/snaps"), format!("{container}@"))
                }
            };
            for below in self.directories(&shelf)?.iter().filter(|name| !name.starts_with('.')) {
                volumes.extend(self.find(&format!("{prefix}{below}"))?);
            }
        }
        Ok(volumes)
    }

    pub fn get(&self, id: &str) -> Result<Volume, Error> {
        match self.find(id)? {
            Some(volume) if volume.phase == Phase::Writable || volume.phase == Phase::Sealed => Ok(volume),
            _ => Err(error(ErrorKind::NotFound, format!("there is no volume {id}"))),
        }
    }

    fn find(&self, id: &str) -> Result<Option<Volume>, Error> {
        let note = self.load(id)?;
        let phase = if self.is_directory(&root(id))? {
            if fault("seal-forgotten") { Phase::Writable } else { note.phase }
        } else if self.is_directory(&beside(id, ".new"))? {
            Phase::Incomplete
        } else if self.is_directory(&beside(id, ".removed"))? {
            Phase::Removing
        } else {
            return Ok(None);
        };
        Ok(Some(Volume { id: id.to_owned(), phase, parent: note.parent, operation: note.operation }))
    }

    fn load(&self, id: &str) -> Result<Note, Error> {
        let bytes = found(tree::read(&self.0, &beside(id, ".volume"), 1024))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut words = text.split_whitespace().map(|word| (word != "-").then(|| word.to_owned()));
        let phase = match words.next().flatten().as_deref() {
            Some("sealed") => Phase::Sealed,
            _ => Phase::Writable,
        };
        let mut next = || words.next().flatten();
        Ok(Note { phase, operation: next(), parent: next(), size: next().and_then(|size| size.parse().ok()) })
    }

    fn save(&self, id: &str, note: &Note) -> Result<(), Error> {
        let phase = if note.phase == Phase::Sealed { "sealed" } else { "writable" };
        let or_none = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
        let size = or_none(&note.size.map(|size| size.to_string()));
        let text = format!("{phase} {} {} {size}\n", or_none(&note.operation), or_none(&note.parent));
        tree::write(&self.0, &beside(id, ".volume"), text.as_bytes(), 0o644)
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Note)) -> Result<(), Error> {
        let mut note = self.load(id)?;
        change(&mut note);
        self.save(id, &note)
    }

    fn is_directory(&self, path: &str) -> Result<bool, Error> {
        let kind = found(tree::inspect(&self.0, path))?.map(|status| status.kind);
        Ok(kind == Some(tree::NodeKind::Directory))
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Error> {
        let entries = found(tree::entries(&self.0, path, None, 1000))?.unwrap_or_default();
        let directories = entries.into_iter().filter(|entry| entry.kind == tree::NodeKind::Directory);
        Ok(directories.map(|entry| entry.name).collect())
    }
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
