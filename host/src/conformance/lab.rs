#![forbid(unsafe_code)]
//! What a case works with: a backend, a pool of its own, and the part of the host's work that comes with each verb.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::content::Root;
use super::report::{Step, fault, here, must, told};
use super::rules;
use crate::plugin::storage::{Abilities, Access, Volume};
use crate::plugin::trial::Trial;
use crate::plugin::{FailureKind, Interruption, PluginError, Quiet, Storage, StoragePlugin};
use crate::sys::tree;

/// A directory in which all pools of one run are.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it, under a name that nobody else has.
    pub(super) fn new(below: &Path) -> Result<Self, Error> {
        let now = jiff::Timestamp::now().as_nanosecond();
        let path = below.join(format!("wxc-plugin-test-{}-{now}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| Error::Scratch { doing: "make", path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// A pool of its own for a case.
    pub(super) fn pool(&self, case: &str) -> Result<PathBuf, Error> {
        let path = self.0.join(case);
        let made = fs::DirBuilder::new().mode(0o755).create(&path);
        made.map_err(|source| Error::Scratch { doing: "make", path: path.clone(), source })?;
        Ok(path)
    }

    /// Removes it with everything in it.
    pub(super) fn remove(self) -> Result<(), Error> {
        remove_tree(&self.0).map_err(|source| Error::Scratch {
            doing: "remove",
            path: self.0.clone(),
            source,
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After a run that went well there is nothing left; otherwise somebody else reports why.
        let _removed = remove_tree(&self.0);
    }
}

fn remove_tree(path: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = fs::File::open(parent)?;
    match tree::remove_tree(std::os::fd::AsFd::as_fd(&parent), name) {
        Ok(_) => Ok(()),
        Err(_) if !path.exists() => Ok(()),
        Err(error) => Err(std::io::Error::other(told(&error))),
    }
}

/// Everything below a directory: for each path what can be known without opening it.
pub(super) type Picture = BTreeMap<PathBuf, String>;

/// A backend on a pool.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    trial: &'a Trial,
    /// The pool, as the host sees it.
    pub(super) pool: PathBuf,
    /// The backend, as the host calls it.
    pub(super) storage: StoragePlugin,
    operations: Cell<u32>,
}

impl<'a> Lab<'a> {
    pub(super) fn new(trial: &'a Trial, pool: PathBuf) -> Self {
        let storage = trial.on(pool.clone(), Arc::new(Quiet), None);
        Self { trial, pool, storage, operations: Cell::new(0) }
    }

    /// The same backend on another pool inside this one's directory, which is then no pool of its own.
    pub(super) fn fresh(&self, name: &str) -> Step<Lab<'a>> {
        let pool = self.pool.join(name);
        fs::create_dir(&pool).map_err(here)?;
        Ok(Lab::new(self.trial, pool))
    }

    /// The same backend on the same pool, with something that strikes in one of its calls.
    pub(super) fn interrupted(&self, interruption: &Arc<Interruption>) -> StoragePlugin {
        self.trial.on(self.pool.clone(), Arc::new(Quiet), Some(Arc::clone(interruption)))
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.storage.abilities()
    }

    /// An operation id that was never used.
    pub(super) fn operation(&self) -> String {
        self.operations.set(self.operations.get() + 1);
        format!("op-{}", self.operations.get())
    }

    /// Where the host keeps a volume, whether or not it is there.
    pub(super) fn home_of(&self, id: &str) -> PathBuf {
        match id.split_once('@') {
            None => self.pool.join(id),
            Some((".images", digest)) => self.pool.join(".images").join(digest),
            Some((container, snapshot)) => self.pool.join(container).join("snaps").join(snapshot),
        }
    }

    /// The host's part of making a volume: its directory.
    pub(super) fn home(&self, id: &str) -> Step<PathBuf> {
        let home = self.home_of(id);
        fs::create_dir_all(&home).map_err(here)?;
        Ok(home)
    }

    /// An empty writable volume.
    pub(super) fn create(&self, id: &str) -> Step<Volume> {
        self.home(id)?;
        self.storage.create(&self.operation(), id, None).map_err(|e| breaking(e, &rules::CREATE))
    }

    /// A writable volume with something in it.
    pub(super) fn filled(&self, id: &str, words: &str) -> Step {
        self.create(id)?;
        self.root(id, Access::ReadWrite)?.fill(words)
    }

    /// A sealed volume with something in it.
    pub(super) fn sealed(&self, id: &str, words: &str) -> Step {
        self.filled(id, words)?;
        self.seal(id)
    }

    pub(super) fn seal(&self, id: &str) -> Step {
        self.storage.seal(&self.operation(), id).map(drop).map_err(|e| breaking(e, &rules::SEAL))
    }

    pub(super) fn clone_volume(&self, parent: &str, id: &str) -> Step<Volume> {
        self.home(id)?;
        let made = self.storage.clone_volume(&self.operation(), parent, id, None);
        made.map_err(|e| breaking(e, &rules::CLONE))
    }

    pub(super) fn snapshot(&self, of: &str, name: &str) -> Step<String> {
        let id = format!("{of}@{name}");
        self.home(&id)?;
        let taken = self.storage.snapshot(&self.operation(), of, &id);
        taken.map_err(|e| breaking(e, &rules::TAKE))?;
        Ok(id)
    }

    /// A snapshot of a volume that is mounted, and not written meanwhile.
    pub(super) fn snapshot_at_rest(&self, root: &Root, of: &str, name: &str) -> Step<String> {
        let id = format!("{of}@{name}");
        self.home(&id)?;
        let taken = root.quietly(|| self.storage.snapshot_at_rest(&self.operation(), of, &id))?;
        taken.map_err(|e| breaking(e, &rules::REST_TAKE))?;
        Ok(id)
    }

    pub(super) fn restore(&self, snapshot: &str) -> Step {
        let restored = self.storage.restore(&self.operation(), snapshot);
        restored.map(drop).map_err(|e| breaking(e, &rules::RESTORE))
    }

    pub(super) fn remove(&self, id: &str) -> Step {
        self.storage.remove(&self.operation(), id).map_err(|e| breaking(e, &rules::REMOVE))
    }

    /// The root of a volume, mounted as the backend says.
    pub(super) fn root(&self, id: &str, access: Access) -> Step<Root> {
        Root::open(&self.storage, id, access)
    }

    /// What a volume holds.
    pub(super) fn words(&self, id: &str) -> Step<String> {
        self.root(id, Access::ReadOnly)?.words()
    }

    /// That a volume holds exactly what was put there.
    pub(super) fn holds(&self, id: &str, words: &str, otherwise: &str) -> Step {
        let seen = self.words(id)?;
        must(seen == words, otherwise, || format!("{id} holds {seen:?} where {words:?} was expected"))
    }

    /// All volumes, in pages.
    pub(super) fn scan(&self) -> Step<Vec<Volume>> {
        let mut all: Vec<Volume> = Vec::new();
        loop {
            let after = all.last().map(|volume| volume.id.clone());
            let page = self.storage.scan(after.as_deref(), 100).map_err(|e| breaking(e, &rules::SCAN))?;
            let last = page.len() < 100;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// A volume as `scan` tells it.
    pub(super) fn listed(&self, id: &str) -> Step<Option<Volume>> {
        Ok(self.scan()?.into_iter().find(|volume| volume.id == id))
    }

    /// A volume that has to be there.
    pub(super) fn there(&self, id: &str) -> Step<Volume> {
        match self.listed(id)? {
            Some(volume) => Ok(volume),
            None => fault(
                "scan does not list a volume that is there",
                format!("{id} is not in {:?}", self.ids()?),
            )
            .map_err(|stop| stop.breaking(&rules::SCAN)),
        }
    }

    /// The ids of all volumes.
    pub(super) fn ids(&self) -> Step<Vec<String>> {
        Ok(self.scan()?.into_iter().map(|volume| volume.id).collect())
    }

    /// The names in a volume's home.
    pub(super) fn left_at(&self, id: &str) -> Step<Vec<String>> {
        let Ok(entries) = fs::read_dir(self.home_of(id)) else { return Ok(Vec::new()) };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<Result<Vec<_>, _>>().map_err(here)?;
        // The host's own, for the homes of snapshots.
        names.retain(|name| name != "snaps");
        names.sort();
        Ok(names)
    }

    /// What the host sees of a part of the pool, without following anything.
    pub(super) fn picture(&self, below: &Path) -> Step<Picture> {
        let mut picture = Picture::new();
        let mut left = vec![below.to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).map_err(here)? {
                let entry = entry.map_err(here)?;
                let about = entry.metadata().map_err(here)?;
                if about.is_dir() {
                    left.push(entry.path());
                }
                let text = format!(
                    "inode {} mode {:o} owner {}:{} size {} changed {}.{}",
                    about.ino(),
                    about.mode(),
                    about.uid(),
                    about.gid(),
                    about.size(),
                    about.mtime(),
                    about.mtime_nsec()
                );
                let path = entry.path();
                picture.insert(path.strip_prefix(&self.pool).unwrap_or(&path).to_owned(), text);
            }
        }
        Ok(picture)
    }

    /// Removes what is left of a case: through the backend first, because it alone knows how.
    pub(super) fn tidy(&self) {
        for _ in 0..8 {
            let Ok(volumes) = self.scan() else { return };
            let removed =
                volumes.iter().filter(|v| self.storage.remove(&self.operation(), &v.id).is_ok()).count();
            if removed == 0 {
                return;
            }
        }
    }
}

/// Nothing changed between two pictures.
pub(super) fn unchanged(before: &Picture, after: &Picture, otherwise: &str) -> Step {
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let changed: Vec<String> = before
        .keys()
        .chain(after.keys().filter(|path| !before.contains_key(*path)))
        .filter(differs)
        .map(|path| path.display().to_string())
        .collect();
    must(changed.is_empty(), otherwise, || format!("changed: {}", changed.join(", ")))
}

/// A verb that has to be refused with a failure of this kind.
pub(super) fn refused<T: std::fmt::Debug>(
    result: Result<T, PluginError>,
    kind: FailureKind,
    what: &str,
) -> Step {
    match result {
        Ok(answer) => fault(format!("{what} is not refused"), format!("it answered {answer:?}")),
        Err(PluginError::Failed { kind: seen, message, .. }) => {
            must(seen == kind, format!("{what} is refused for another reason than {kind:?}"), || {
                format!("{seen:?}: {message}")
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn breaking(error: PluginError, rule: &'static rules::Rule) -> super::report::Stop {
    super::report::Stop::from(error).breaking(rule)
}
