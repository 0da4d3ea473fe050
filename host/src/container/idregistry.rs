#![forbid(unsafe_code)]
//! Who has which host ids: a small file under a lock, so that no two containers share any.
//!
//! Two containers with common ids could signal each other's processes and read each other's files
//! through any hole, so a range stays taken until its container is gone. The file is replaced
//! atomically; ranges of containers that it does not know (restored from a backup, made on another
//! machine) are found by reading what lies beside.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::config::idpool::{self, HostRange, PER_CONTAINER};
use crate::config::ids::{ContainerId, HostId, IdMap, IdRange};

use super::idpools::Pools;
use crate::sys::failpoint;

/// Why a container has no ids.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is damaged: {source}", .path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("no {PER_CONTAINER} neighbouring ids are left for another container ({taken} ranges are taken)")]
    Exhausted { taken: usize, hint: String },
    #[error("user {user} has no subordinate ids")]
    NoPool { user: String },
}

impl IdError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "check that the directory exists and may be written".into(),
            Self::Damaged { path, .. } => format!(
                "move {} away: it is made anew from the container.toml files that are found",
                path.display()
            ),
            Self::Exhausted { hint, .. } => hint.clone(),
            Self::NoPool { user } => format!(
                "as root, run `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}` \
                 (with numbers that nobody else has in /etc/subuid and /etc/subgid), or run wxc as root"
            ),
        }
    }

    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.into(), source }
    }
}

/// One container's ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// The container's directory.
    container: PathBuf,
    ids: IdMap,
}

/// The registry in a directory of its own.
#[derive(Debug)]
pub struct Registry {
    directory: PathBuf,
}

impl Registry {
    /// In `directory` (`/var/lib/wxc/.ids`), which is made when missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(directory: &Path) -> Result<Self, IdError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(IdError::io("make", directory))?;
        Ok(Self { directory: directory.into() })
    }

    /// The ids of the container in `container`: those it has, or the next free ones of `pools`.
    /// They are its own when this returns, until [`Registry::release`].
    ///
    /// # Errors
    /// When none are left, or the registry cannot be read or written.
    pub fn allocate(&self, container: &Path, pools: &Pools) -> Result<IdMap, IdError> {
        let _locked = self.lock()?;
        let mut entries = self.read()?;
        if let Some(known) = entries.iter().find(|entry| entry.container == container) {
            return Ok(known.ids.clone());
        }
        entries.extend(self.unknown_neighbours(container, &entries));
        let mut found = free(&entries, pools);
        if found.is_none() {
            // Only now: a container on a disk that is not mounted is not gone.
            entries.retain(|entry| entry.container.exists());
            found = free(&entries, pools);
        }
        let ids = found.ok_or_else(|| IdError::Exhausted { taken: entries.len(), hint: pools.hint() })?;
        entries.push(Entry { container: container.into(), ids: ids.clone() });
        self.write(&entries)?;
        Ok(ids)
    }

    /// Gives the container in `container` ids that another one has. They are taken until both are released.
    ///
    /// # Errors
    /// When the registry cannot be read or written.
    pub fn share(&self, container: &Path, ids: &IdMap) -> Result<(), IdError> {
        let _locked = self.lock()?;
        let mut entries = self.read()?;
        entries.retain(|entry| entry.container != container);
        entries.push(Entry { container: container.into(), ids: ids.clone() });
        self.write(&entries)
    }

    /// The container is gone: its ids are free.
    ///
    /// # Errors
    /// When the registry cannot be read or written.
    pub fn release(&self, container: &Path) -> Result<(), IdError> {
        let _locked = self.lock()?;
        let mut entries = self.read()?;
        let before = entries.len();
        entries.retain(|entry| entry.container != container);
        if entries.len() == before { Ok(()) } else { self.write(&entries) }
    }

    /// The same, if its directory is gone indeed.
    ///
    /// # Errors
    /// When the registry cannot be read or written.
    pub fn release_gone(&self, container: &Path) -> Result<(), IdError> {
        if container.symlink_metadata().is_ok() { Ok(()) } else { self.release(container) }
    }

    /// The directories of all containers that have ids, sorted.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn containers(&self) -> Result<Vec<PathBuf>, IdError> {
        let mut containers: Vec<PathBuf> = self.read()?.into_iter().map(|entry| entry.container).collect();
        containers.sort();
        Ok(containers)
    }

    /// The container has another directory now.
    ///
    /// # Errors
    /// When the registry cannot be read or written.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), IdError> {
        let _locked = self.lock()?;
        let mut entries = self.read()?;
        for entry in entries.iter_mut().filter(|entry| entry.container == from) {
            entry.container = to.into();
        }
        self.write(&entries)
    }

    /// Held until dropped; the kernel lets go of it when the process dies.
    fn lock(&self) -> Result<File, IdError> {
        let path = self.directory.join("lock");
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(IdError::io("open", &path))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| IdError::io("lock", &path)(errno.into()))?;
        Ok(file)
    }

    fn file(&self) -> PathBuf {
        self.directory.join("ranges.json")
    }

    fn read(&self) -> Result<Vec<Entry>, IdError> {
        let path = self.file();
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| IdError::Damaged { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(IdError::io("read", &path)(error)),
        }
    }

    /// Complete or not at all: a new file, on disk before it takes the old one's place.
    fn write(&self, entries: &[Entry]) -> Result<(), IdError> {
        let (path, fresh) = (self.file(), self.directory.join("ranges.json.new"));
        let text = serde_json::to_vec_pretty(entries)
            .map_err(|source| IdError::Damaged { path: path.clone(), source })?;
        let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh);
        let mut file = file.map_err(IdError::io("make", &fresh))?;
        failpoint::pass("ids.write").map_err(IdError::io("write", &fresh))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(IdError::io("write", &fresh))?;
        failpoint::pass("ids.rename").map_err(IdError::io("replace", &path))?;
        fs::rename(&fresh, &path).map_err(IdError::io("replace", &path))?;
        failpoint::pass("ids.sync").map_err(IdError::io("sync", &self.directory))?;
        let directory = File::open(&self.directory).map_err(IdError::io("open", &self.directory))?;
        directory.sync_all().map_err(IdError::io("sync", &self.directory))
    }

    /// Containers beside `container` that no entry knows: their files say which ids they have.
    fn unknown_neighbours(&self, container: &Path, known: &[Entry]) -> Vec<Entry> {
        let Some(listing) = container.parent().and_then(|path| fs::read_dir(path).ok()) else {
            return Vec::new();
        };
        let directories = listing.filter_map(Result::ok).map(|entry| entry.path());
        let unknown = directories.filter(|path| !known.iter().any(|entry| entry.container == *path));
        unknown.filter_map(|path| Some(Entry { ids: ids_on_disk(&path)?, container: path })).collect()
    }
}

/// The `[ids]` of a container, however wrong the rest of its file may be.
fn ids_on_disk(directory: &Path) -> Option<IdMap> {
    #[derive(Deserialize)]
    struct OnlyIds {
        #[serde(default)]
        ids: IdMap,
    }
    let text = fs::read_to_string(directory.join("container.toml")).ok()?;
    let found: OnlyIds = toml_edit::de::from_str(&text).ok()?;
    (!found.ids.is_empty()).then_some(found.ids)
}

fn free(entries: &[Entry], pools: &Pools) -> Option<IdMap> {
    // Users and groups alike: one number means one container, whichever it is of.
    let ranges = entries.iter().flat_map(|entry| entry.ids.users.iter().chain(&entry.ids.groups));
    let mut taken: Vec<HostRange> = ranges.copied().map(HostRange::from).collect();
    taken.extend(&pools.reserved);
    let one = |pool: &[HostRange]| {
        let range = idpool::next_free(pool, &taken, PER_CONTAINER)?;
        Some(IdRange { container: ContainerId(0), host: HostId(range.first), count: range.count })
    };
    Some(IdMap { users: vec![one(&pools.users)?], groups: vec![one(&pools.groups)?] })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        directory: tempfile::TempDir,
        registry: Registry,
        pools: Pools,
    }

    fn world(blocks: u32) -> World {
        let directory = tempfile::tempdir().unwrap();
        let registry = Registry::open(&directory.path().join(".ids")).unwrap();
        let pool = vec![HostRange { first: 1_000_000_000, count: blocks * PER_CONTAINER }];
        let pools =
            Pools { users: pool.clone(), groups: pool, reserved: Vec::new(), source: "/etc/subuid".into() };
        World { directory, registry, pools }
    }

    impl World {
        fn make(&self, name: &str) -> PathBuf {
            let path = self.directory.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        }

        fn allocate(&self, name: &str) -> Result<u32, IdError> {
            let ids = self.registry.allocate(&self.make(name), &self.pools)?;
            Ok(ids.users[0].host.0)
        }
    }

    #[test]
    fn ranges_are_remembered_distinct_and_used_again_after_release() {
        let world = world(3);
        let first = world.allocate("a").unwrap();
        let second = world.allocate("b").unwrap();
        assert_ne!(first, second);
        assert_eq!(world.allocate("a").unwrap(), first);
        world.registry.release(&world.make("a")).unwrap();
        assert_eq!(world.allocate("c").unwrap(), first);
        assert_eq!(world.allocate("b").unwrap(), second);
    }

    #[test]
    fn containers_found_on_disk_keep_their_ids() {
        let world = world(3);
        let restored = world.make("restored");
        let text = "[ids]\nusers = [\"0:1000000000:65536\"]\ngroups = [\"0:1000065536:65536\"]\n";
        fs::write(restored.join("container.toml"), format!("nonsense = 1\n{text}")).unwrap();
        assert_eq!(world.allocate("a").unwrap(), 1_000_131_072);
    }

    #[test]
    fn exhaustion_is_an_error_that_says_where_ids_come_from() {
        let world = world(1);
        world.allocate("a").unwrap();
        let error = world.allocate("b").unwrap_err();
        assert!(matches!(error, IdError::Exhausted { taken: 1, .. }), "{error}");
        assert!(error.hint().contains("/etc/subuid"), "{}", error.hint());
    }

    #[test]
    fn ids_of_a_container_that_is_gone_are_taken_back_only_when_needed() {
        let world = world(2);
        let first = world.allocate("a").unwrap();
        fs::remove_dir(world.make("a")).unwrap();
        assert_ne!(world.allocate("b").unwrap(), first);
        assert_eq!(world.allocate("c").unwrap(), first);
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_the_old_state() {
        let world = world(3);
        let first = world.allocate("a").unwrap();
        fs::write(world.directory.path().join(".ids/ranges.json.new"), "[{").unwrap();
        assert_eq!(world.allocate("a").unwrap(), first);
        assert_ne!(world.allocate("b").unwrap(), first);
    }

    #[test]
    fn threads_that_allocate_at_once_get_different_ranges() {
        let world = world(16);
        let mut all: Vec<u32> = std::thread::scope(|scope| {
            let names: Vec<String> = (0..16).map(|n| format!("c{n}")).collect();
            let threads: Vec<_> = names
                .into_iter()
                .map(|name| {
                    scope.spawn({
                        let world = &world;
                        move || world.allocate(&name).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 16);
    }
}
