#![forbid(unsafe_code)]
//! Files in volumes: a volume is opened as its mount plan says, filled, and looked at again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::report::{Step, Stop, fault, here, told};
use super::rules;
use crate::container::volume::{self, OpenVolume};
use crate::plugin::mounts::VolumeSource;
use crate::plugin::storage::{Access, Storage as _};
use crate::plugin::{PluginError, StoragePlugin};
use crate::sys::disk;

/// The root directory of a volume, for as long as this is held.
#[derive(Debug)]
pub(super) struct Root {
    /// Keeps what is mounted, and is the way to it.
    volume: OpenVolume,
    path: PathBuf,
    /// It is a file system of its own.
    disk: bool,
}

/// What a tree holds, by path: everything a copy has to keep.
pub(super) type Holdings = BTreeMap<PathBuf, String>;

/// Larger than what any file system keeps inside an inode, so that it takes blocks of its own.
const BLOCKS: usize = 256 << 10;

impl Root {
    /// Opens a volume as the backend says that it is to be mounted.
    pub(super) fn open(storage: &StoragePlugin, id: &str, access: Access) -> Step<Self> {
        let breaking = |error: PluginError| Stop::from(error).breaking(&rules::MOUNTS);
        let plan = storage.mounts(id, access).map_err(breaking)?;
        plan.root().map_err(here)?;
        let volume = match volume::open(storage, id, access) {
            Ok(volume) => volume,
            Err(error) if !rustix::process::geteuid().is_root() => return Err(here(told(&error))),
            Err(error) => {
                let seen = format!("{}; the plan was {:?}", told(&error), plan.mounts);
                return fault(format!("{id} cannot be mounted as the plugin says"), seen)
                    .map_err(|stop| stop.breaking(&rules::MOUNTS));
            }
        };
        let path = format!("/proc/self/fd/{}", volume.root().as_raw_fd()).into();
        let disk = plan.mounts.iter().any(|mount| matches!(mount.source, VolumeSource::Disk(_)));
        Ok(Self { volume, path, disk })
    }

    /// Does something while nothing can be written, as the host does it for a running container.
    pub(super) fn quietly<T>(&self, work: impl FnOnce() -> T) -> Step<T> {
        if !self.disk {
            return Ok(work());
        }
        disk::freeze(self.volume.root()).map_err(here)?;
        let done = work();
        disk::thaw(self.volume.root()).map_err(here)?;
        Ok(done)
    }

    /// Something of every kind, and the words by which it is told apart.
    pub(super) fn fill(&self, words: &str) -> Step {
        self.write("words", words)?;
        let filled = || -> std::io::Result<()> {
            let deep = self.at("etc/deep");
            fs::create_dir_all(&deep)?;
            fs::write(deep.join("file"), words)?;
            symlink("../words", self.at("etc/link"))?;
            fs::hard_link(self.at("words"), self.at("etc/same"))?;
            let tool =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(self.at("tool"))?;
            tool.set_permissions(fs::Permissions::from_mode(0o4751))?;
            fs::write(self.at("blocks"), noise(words, BLOCKS))
        };
        filled().map_err(here)
    }

    /// Writes one file.
    pub(super) fn write(&self, name: &str, text: &str) -> Step {
        File::create(self.at(name)).and_then(|mut file| file.write_all(text.as_bytes())).map_err(here)
    }

    /// Removes one file.
    pub(super) fn remove(&self, name: &str) -> Step {
        fs::remove_file(self.at(name)).map_err(here)
    }

    /// Whether there is something of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.at(name).symlink_metadata().is_ok()
    }

    /// What [`Root::fill`] was given; nothing when there is no such file.
    pub(super) fn words(&self) -> Step<String> {
        match fs::read_to_string(self.at("words")) {
            Ok(words) => Ok(words),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(here(error)),
        }
    }

    /// Owner and permissions of the root itself.
    pub(super) fn owner_and_mode(&self) -> Step<(u32, u32, u32)> {
        let about = fs::metadata(&self.path).map_err(here)?;
        Ok((about.uid(), about.gid(), about.mode() & 0o7777))
    }

    /// The names at the top. What a maker of file systems puts there is no content.
    pub(super) fn names(&self) -> Step<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(here)? {
            names.push(entry.map_err(here)?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| name != "lost+found");
        names.sort();
        Ok(names)
    }

    /// Everything in it.
    pub(super) fn holdings(&self) -> Step<Holdings> {
        let mut holdings = Holdings::new();
        for name in self.names()? {
            describe(&self.at(&name), Path::new(&name), &mut holdings).map_err(here)?;
        }
        Ok(holdings)
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn describe(at: &Path, name: &Path, holdings: &mut Holdings) -> std::io::Result<()> {
    let about = fs::symlink_metadata(at)?;
    let kind = about.file_type();
    let common = format!("mode {:o} owner {}:{}", about.mode(), about.uid(), about.gid());
    let text = if kind.is_dir() {
        for entry in fs::read_dir(at)? {
            let entry = entry?;
            describe(&entry.path(), &name.join(entry.file_name()), holdings)?;
        }
        common
    } else if kind.is_symlink() {
        format!("{common} to {}", fs::read_link(at)?.display())
    } else {
        let digest = Sha256::digest(fs::read(at)?);
        let changed = (about.mtime(), about.mtime_nsec());
        format!("{common} names {} changed {changed:?} content {digest:x}", about.nlink())
    };
    holdings.insert(name.to_owned(), text);
    Ok(())
}

/// Bytes that no file system compresses, the same for the same seed.
pub(super) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut word =
        seed.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |word, byte| (word ^ u64::from(byte)).rotate_left(7));
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // Marsaglia's xorshift: what repeats after 2^64 steps does not compress.
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
