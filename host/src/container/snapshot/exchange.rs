//! Two volumes that change places, decided by what is there.
//!
//! A backend without snapshots has no verb that gives a volume another content. But what its mount plan
//! names is all of a volume's content (`wit/README.md`), so the host exchanges the two directories, or the two
//! disks, that two plans name: one step, after which the one volume has the other's content. Repeating it
//! would swap back; so the inode numbers are written down before, and whether it has happened is read from them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, RenameFlags, StatxFlags, fsync, renameat_with, statx};
use serde::{Deserialize, Serialize};

use super::super::{Error, beneath};
use crate::plugin::mounts::{Backing, VolumeSource};
use crate::plugin::storage::{Access, Storage};

/// An entry of the pool that holds the content of a volume.
#[derive(Debug)]
pub(super) struct Place {
    kind: Kind,
    parent: OwnedFd,
    path: PathBuf,
    name: PathBuf,
}

/// What two places must have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Tree,
    Disk { filesystem: String },
}

/// A file or directory, told apart from every other one of its file system for as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tag {
    inode: u64,
    born: Option<(i64, u32)>,
}

impl Place {
    /// Where a volume is.
    pub(super) fn of(storage: &impl Storage, id: &str) -> Result<Self, Error> {
        let plan = storage.mounts(id, Access::ReadWrite)?;
        let refused = || Error::Invalid {
            message: format!(
                "{} keeps volume {id} in a way that cannot be exchanged for another, and does not restore snapshots itself",
                storage.identity()
            ),
            hint: "restore the snapshot into a new container: wxc snapshot NAME -r SNAPSHOT -N NEW".into(),
        };
        let [mount] = plan.mounts.as_slice() else { return Err(refused()) };
        let (kind, relative) = match &mount.source {
            VolumeSource::Tree(path) => (Kind::Tree, path),
            VolumeSource::Disk(disk) => match &disk.backing {
                Backing::File(path) => (Kind::Disk { filesystem: disk.filesystem.clone() }, path),
                Backing::Device { .. } => return Err(refused()),
            },
            VolumeSource::Overlay { .. } | VolumeSource::Dataset(_) => return Err(refused()),
        };
        let (Some(above), Some(name)) = (relative.parent(), relative.file_name()) else {
            return Err(refused());
        };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let parent = beneath::open(&plan.pool, above)?;
        Ok(Self { kind, parent, path: plan.pool.join(relative), name: name.into() })
    }

    /// What is at this place now.
    pub(super) fn tag(&self) -> Result<Tag, Error> {
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let found = statx(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW, wanted)
            .map_err(|e| Error::io("look at", &self.path)(e.into()))?;
        let born = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
        let born = born.then_some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec));
        Ok(Tag { inode: found.stx_ino, born })
    }

    /// Lets the two change places, durably.
    pub(super) fn exchange(&self, other: &Self) -> Result<(), Error> {
        if self.kind != other.kind {
            return Err(Error::Invalid {
                message: format!("{} and {} are not of one kind", self.path.display(), other.path.display()),
                hint: "this is a mistake of the storage plugin: tell its author".into(),
            });
        }
        let failed = |e: rustix::io::Errno| Error::io("exchange", &self.path)(e.into());
        renameat_with(&self.parent, &self.name, &other.parent, &other.name, RenameFlags::EXCHANGE)
            .map_err(failed)?;
        fsync(&self.parent).and_then(|()| fsync(&other.parent)).map_err(failed)
    }
}
