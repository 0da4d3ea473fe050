#![forbid(unsafe_code)]
//! A volume, open for the host's own work: to be filled, copied, looked into.
//!
//! What a storage plugin answers is data. Here it becomes the descriptor of a root directory: a tree is
//! opened below its pool, everything else is mounted without being attached anywhere. Such a mount needs no
//! mount namespace, is seen by nobody else, and goes away with its descriptor, also when this process
//! is killed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat, fstatvfs, openat, syncfs};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::{Error, Host, beneath};
use crate::config::Name;
use crate::plan::{OverlayUpper, RootSource};
use crate::plugin::FailureKind;
use crate::plugin::storage::{Access, Storage};
use crate::sys::disk::{self, Manner};
use crate::sys::{failpoint, overlay};

/// The root directory of a volume. Dropping it lets the volume go.
#[derive(Debug)]
pub struct OpenVolume {
    root: OwnedFd,
    /// Of an overlay: the directory that changes are written to.
    upper: Option<OwnedFd>,
    /// The mount that `root` is in, if it is one of our own.
    _mount: Option<OwnedFd>,
}

impl OpenVolume {
    /// Its root, open for reading as a directory.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The same for the volume and for everything beside it in the pool, of which `beside` is a directory.
    ///
    /// # Errors
    /// As [`OpenVolume::sync`].
    pub fn sync_with(&self, beside: &Path) -> io::Result<()> {
        let pool = File::open(beside)?;
        self.sync_apart(&pool)?;
        Ok(syncfs(pool)?)
    }

    /// The same for the volume alone, where it is not on the file system of `pool`: what is written there only seems to
    /// fit until its blocks are.
    ///
    /// # Errors
    /// As [`OpenVolume::sync`].
    pub fn sync_apart(&self, pool: &File) -> io::Result<()> {
        // A tree, and the writable layer of an overlay, are on the pool's file system, and one sync is for both. That of a disk is
        // another one, whose blocks are in a file of the pool, so it comes first. (A subvolume of btrfs looks like that, too; there
        // the second sync finds nothing to do.)
        if fstat(self.upper.as_ref().unwrap_or(&self.root))?.st_dev != fstat(pool)?.st_dev {
            self.sync().map_err(|error| explained(error, pool))?;
        }
        Ok(())
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    /// As syncfs(2): what the file system could not write since it was last asked.
    pub fn sync(&self) -> io::Result<()> {
        // An overlay writes nothing itself, and tells less about errors than the file system below it.
        failpoint::pass("volume.sync")?;
        Ok(syncfs(self.upper.as_ref().unwrap_or(&self.root))?)
    }
}

/// Makes a volume of the size that is asked for, or of the one that what goes into it happened to have: a person who asked for none
/// need not have it on a pool that limits nothing.
///
/// # Errors
/// As the storage's.
pub fn create_like(
    host: &Host,
    storage: &impl Storage,
    operation: &str,
    (name, asked, had): (&Name, Option<u64>, Option<u64>),
) -> Result<(), Error> {
    let Err(error) = storage.create(operation, name.as_str(), asked.or(had)) else { return Ok(()) };
    match error.reported() {
        Some((FailureKind::Unsupported, message)) if asked.is_none() && had.is_some() => {
            host.progress.note(&format!("{name} has no limit: {message}"));
            Ok(storage.create(operation, name.as_str(), None).map(drop)?)
        }
        _ => Err(error.into()),
    }
}

/// What a loop device cannot write is an error of the disk to the file system on it, also when its file only finds no more room.
fn explained(error: io::Error, pool: &File) -> io::Error {
    const NO_MORE: u64 = 1 << 20;
    let left = fstatvfs(pool).map_or(u64::MAX, |room| room.f_bavail.saturating_mul(room.f_frsize));
    match Errno::from_io_error(&error) {
        Some(Errno::IO) if left < NO_MORE => Errno::NOSPC.into(),
        _ => error,
    }
}

/// Opens the volume `id`. The caller sees to it that nothing else writes to it, and where the storage has
/// devices, that the volume's is attached.
///
/// With [`Access::ReadOnly`] an overlay or a disk cannot be written through it; a tree is opened
/// as it is, because only files of one mount share their blocks with a copy on every kernel.
///
/// # Errors
/// There is no such volume, it cannot be used like that, or this caller may not mount it.
pub fn open(storage: &impl Storage, id: &str, access: Access) -> Result<OpenVolume, Error> {
    let root = storage.mounts(id, access)?.root().map_err(|why| Error::Invalid {
        message: format!("{} keeps volume {id} in a way that cannot be opened: {why}", storage.identity()),
        hint: "choose another storage with -B".into(),
    })?;
    failpoint::pass("volume.open").map_err(Error::io("open", Path::new(id)))?;
    open_root(&root, access)
}

fn open_root(root: &RootSource, access: Access) -> Result<OpenVolume, Error> {
    match root {
        RootSource::Tree { pool, relative } => {
            let root = beneath::open(pool, relative)?;
            Ok(OpenVolume { root, upper: None, _mount: None })
        }
        RootSource::Overlay { pool, lower, upper } => open_overlay(pool, lower, upper.as_ref(), access),
        RootSource::Disk { pool, relative, fstype, options } => {
            open_disk(pool, relative, fstype, options, access)
        }
        RootSource::Device { device, fstype, .. } => Err(Error::Invalid {
            message: format!("{fstype} on {} cannot be opened by this version of wxc", device.display()),
            hint: "choose another storage with -B".into(),
        }),
    }
}

fn open_disk(
    pool: &Path,
    relative: &Path,
    fstype: &str,
    options: &[String],
    access: Access,
) -> Result<OpenVolume, Error> {
    let read_only = access == Access::ReadOnly;
    let manner = Manner { fstype, options, read_only, nosuid: true, nodev: true, noexec: false };
    let path = pool.join(relative);
    let file = beneath::open_file(pool, relative, read_only)?;
    let mounted = match disk::mount(file.as_fd(), !read_only, manner) {
        // It was not unmounted in order, and cannot be read before its journal is replayed.
        Err(error) if read_only && error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            let file = beneath::open_file(pool, relative, false)?;
            disk::mount(file.as_fd(), true, manner)
        }
        other => other,
    };
    let mount = mounted.map_err(|error| Error::Invalid {
        message: format!("cannot mount the {fstype} in {}: {error}", path.display()),
        hint: hint(&error).into(),
    })?;
    let root = root_of(&mount, &path)?;
    Ok(OpenVolume { root, upper: None, _mount: Some(mount) })
}

/// The descriptor of a mount opens nothing (`O_PATH`); a walk over the tree has to.
fn root_of(mount: &OwnedFd, what: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(mount, ".", flags, Mode::empty()).map_err(|e| Error::io("open", what)(e.into()))
}

/// Set-id programs and devices of a guest's tree mean nothing in a mount of the host's.
const HARMLESS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

fn open_overlay(
    pool: &Path,
    lower: &[PathBuf],
    upper: Option<&OverlayUpper>,
    access: Access,
) -> Result<OpenVolume, Error> {
    let layers: Vec<OwnedFd> =
        lower.iter().map(|layer| beneath::open(pool, layer)).collect::<Result<_, _>>()?;
    let sides = match upper {
        Some(side) => Some((beneath::open(pool, &side.upper)?, beneath::open(pool, &side.work)?)),
        None => None,
    };
    let attributes = match access {
        Access::ReadWrite => HARMLESS,
        Access::ReadOnly => HARMLESS | MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    let layers: Vec<BorrowedFd<'_>> = layers.iter().map(AsFd::as_fd).collect();
    let both = sides.as_ref().map(|(upper, work)| (upper.as_fd(), work.as_fd()));
    let mount = overlay::mount(&layers, both, attributes).map_err(|error| refused(pool, &error))?;
    let root = root_of(&mount, pool)?;
    Ok(OpenVolume { root, upper: sides.map(|(upper, _)| upper), _mount: Some(mount) })
}

fn refused(pool: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::InvalidInput => {
            "this kernel may be too old for an overlay of so many layers (Linux 6.7 takes them all)"
        }
        _ => hint(error),
    };
    Error::Invalid {
        message: format!("cannot mount an overlay of layers in {}: {error}", pool.display()),
        hint: hint.into(),
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "only root can mount that: run it as root, or choose another storage with -B best"
        }
        io::ErrorKind::ResourceBusy => "wait for the command that works on it to end, and try again",
        _ => "the kernel's log (dmesg) may say more",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{AtFlags, CWD, unlinkat};

    use super::*;

    #[test]
    fn an_overlay_is_written_above_and_only_read_below() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let pool = tempfile::tempdir().unwrap();
        for directory in ["top", "base", "upper", "work"] {
            fs::create_dir(pool.path().join(directory)).unwrap();
        }
        fs::write(pool.path().join("base/below"), "old").unwrap();
        fs::write(pool.path().join("top/gone"), "old").unwrap();
        let mut root = RootSource::Overlay {
            pool: pool.path().into(),
            lower: vec!["top".into(), "base".into()],
            upper: Some(OverlayUpper { upper: "upper".into(), work: "work".into() }),
        };
        let see = |volume: &OpenVolume| overlay::name(volume.root());

        let volume = open_root(&root, Access::ReadWrite).unwrap();
        fs::write(format!("{}/below", see(&volume)), "new").unwrap();
        unlinkat(volume.root(), "gone", AtFlags::empty()).unwrap();
        volume.sync().unwrap();
        drop(volume);
        assert_eq!(fs::read_to_string(pool.path().join("upper/below")).unwrap(), "new");
        assert_eq!(fs::read_to_string(pool.path().join("base/below")).unwrap(), "old");

        let volume = open_root(&root, Access::ReadOnly).unwrap();
        assert_eq!(fs::read_to_string(format!("{}/below", see(&volume))).unwrap(), "new");
        assert!(fs::metadata(format!("{}/gone", see(&volume))).is_err());
        assert!(fs::write(format!("{}/x", see(&volume)), "").is_err());

        if let RootSource::Overlay { upper, .. } = &mut root {
            *upper = None;
        }
        let below = open_root(&root, Access::ReadOnly).unwrap();
        assert_eq!(fs::read_to_string(format!("{}/below", see(&below))).unwrap(), "old");
        assert!(rustix::fs::mkdirat(CWD, format!("{}/x", see(&below)), Mode::RWXU).is_err());
    }
}
