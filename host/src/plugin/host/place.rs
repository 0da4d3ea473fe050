#![forbid(unsafe_code)]
//! From a path of a guest to a descriptor and a name.
//!
//! Two rules meet here. A path is relative, has no `.`, `..`, empty part or NUL, and is opened by the
//! kernel beneath the handle without following a link or crossing a mount. And of a pool, which is the
//! directory in which whole containers live, a backend sees and touches only what holds volumes: with
//! `container.toml` in reach it could give any container any privilege.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};

use super::failure::{failure, refused};
use super::handles::Directory;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::plugin::volume_id;
use crate::sys::failpoint;

/// Beneath the handle, no link, no mount point.
pub(super) const CONFINED: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Longest path, as the kernel's own (path_resolution(7)).
const LONGEST: usize = 4095;

/// What a path in the pool is to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plugin) enum Class {
    /// The pool, a container's own directory, `snaps`, a snapshot's, `.images`, an image's: the host
    /// makes and removes it, a backend looks into it.
    Shelf,
    /// What holds a volume, and all below: the backend's.
    Content,
    /// Configuration, locks, logs, and whatever else: not there.
    Hidden,
}

/// A path from the pool's root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::plugin) struct Zone(Vec<String>);

/// What begins the name of an entry that holds a volume.
const PREFIXES: [&str; 4] = ["rootfs", "rootdev", "delta", "overlay"];

impl Zone {
    /// The zone of a path below this one.
    pub(in crate::plugin) fn below(&self, parts: &[&str]) -> Self {
        let below = self.0.iter().map(String::as_str).chain(parts.iter().copied());
        Self(below.map(str::to_owned).collect())
    }

    /// What it is.
    pub(in crate::plugin) fn class(&self) -> Class {
        let parts: Vec<&str> = self.0.iter().map(String::as_str).collect();
        let name = volume_id::is_name;
        let inside = match parts.as_slice() {
            [] | [".images"] => return Class::Shelf,
            [container] if name(container) => return Class::Shelf,
            [container, "snaps"] if name(container) => return Class::Shelf,
            [container, "snaps", snapshot] if name(container) && name(snapshot) => return Class::Shelf,
            [".images", image] if name(image) => return Class::Shelf,
            [container, "snaps", snapshot, entry, ..] if name(container) && name(snapshot) => entry,
            [".images", image, entry, ..] if name(image) => entry,
            [container, entry, ..] if name(container) => entry,
            _ => return Class::Hidden,
        };
        if PREFIXES.iter().any(|p| inside.starts_with(p)) { Class::Content } else { Class::Hidden }
    }
}

/// What a verb is going to do at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Look at it.
    Look,
    /// Make, change or remove it.
    Change,
}

/// A path taken apart and resolved: the directory it is in, and its name there.
#[derive(Debug)]
pub(super) struct At {
    pub(super) parent: OwnedFd,
    /// Empty for the handle's own directory, which is then `parent`.
    pub(super) name: String,
    pub(super) zone: Zone,
    /// As the guest said it, for messages.
    pub(super) said: String,
}

/// The parts of a path.
pub(in crate::plugin) fn parts(path: &str) -> Result<Vec<&str>, Error> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = path.split('/').collect();
    let good = |part: &&str| !part.is_empty() && *part != "." && *part != ".." && !part.contains('\0');
    if path.len() > LONGEST || !parts.iter().all(good) {
        let message = format!("{path:?} is not a relative path without `.`, `..` and empty parts");
        return Err(failure(ErrorKind::Invalid, message.chars().take(300).collect::<String>()));
    }
    Ok(parts)
}

impl Directory {
    /// Resolves a path for a verb.
    pub(super) fn at(&self, path: &str, need: Need) -> Result<At, Error> {
        let parts = parts(path)?;
        let zone = self.zone.below(&parts);
        let allowed = match (zone.class(), need) {
            (Class::Content, _) => true,
            (Class::Shelf, need) => need == Need::Look,
            (Class::Hidden, _) => false,
        };
        if !allowed {
            let message = format!("{path:?} is not part of a volume, and not for a storage plugin to touch");
            return Err(failure(ErrorKind::Denied, message));
        }
        let (name, above) = match parts.split_last() {
            Some((name, above)) => (*name, above.join("/")),
            None => ("", String::new()),
        };
        let above = if above.is_empty() { "." } else { &above };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat2(&self.fd, above, flags, Mode::empty(), CONFINED)
            .map_err(|e| refused("reach", path, e))?;
        Ok(At { parent, name: name.to_owned(), zone, said: path.to_owned() })
    }
}

impl At {
    /// Opens what is there. `O_NONBLOCK`, so that a FIFO in a guest's tree cannot make us wait.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Error> {
        // openat2(2) takes neither of the two together with O_PATH, which opens nothing anyway.
        let calm =
            if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NONBLOCK | OFlags::NOCTTY };
        let flags = flags | calm | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat2(&self.parent, self.name_or_dot(), flags, Mode::empty(), CONFINED)
            .map_err(|e| self.refused("open", e))
    }

    /// The directory it is in, as something that can be synced or worked on: a descriptor with `O_PATH` cannot.
    pub(super) fn open_parent(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.parent, ".", flags, Mode::empty()).map_err(|e| self.refused("reach", e))
    }

    /// A place where a test may kill the process or make the verb fail.
    pub(super) fn pass(&self, site: &'static str) -> Result<(), Error> {
        failpoint::pass_errno(site).map_err(|errno| self.refused("change", errno))
    }

    pub(super) fn refused(&self, doing: &str, errno: rustix::io::Errno) -> Error {
        refused(doing, &self.said, errno)
    }

    pub(super) fn name_or_dot(&self) -> &str {
        if self.name.is_empty() { "." } else { &self.name }
    }

    /// The name, for verbs that cannot work on a handle's own directory.
    pub(super) fn named(&self) -> Result<&str, Error> {
        if self.name.is_empty() {
            return Err(failure(ErrorKind::Invalid, "the empty path has no name to work on"));
        }
        Ok(&self.name)
    }

    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(path: &str) -> Class {
        Zone::default().below(&parts(path).unwrap()).class()
    }

    #[test]
    fn a_backend_reaches_volumes_and_nothing_beside_them() {
        for shelf in ["", "web", "web/snaps", "web/snaps/s0", ".images", ".images/0a1b"] {
            assert_eq!(class(shelf), Class::Shelf, "{shelf}");
        }
        for content in [
            "web/rootfs",
            "web/rootfs/etc/passwd",
            "web/rootfs.volume",
            "web/overlay-work",
            "web/snaps/s0/delta",
            ".images/0a1b/rootdev",
        ] {
            assert_eq!(class(content), Class::Content, "{content}");
        }
        for hidden in [
            "web/container.toml",
            "web/config",
            "web/lock",
            ".journal",
            ".journal/rootfs",
            "web/snaps/s0/config",
            ".images/0a1b/manifest",
            "-x/rootfs",
            "web/snaps/.x/rootfs",
        ] {
            assert_eq!(class(hidden), Class::Hidden, "{hidden}");
        }
    }

    #[test]
    fn a_handle_further_down_does_not_change_what_is_hidden() {
        let web = Zone::default().below(&["web"]);
        assert_eq!(web.below(&["container.toml"]).class(), Class::Hidden);
        assert_eq!(web.below(&["rootfs"]).below(&["container.toml"]).class(), Class::Content);
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for bad in ["/", "/etc", "..", "a/../b", ".", "a//b", "a/", "a\0b", &"a".repeat(5000)] {
            assert!(parts(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parts("a/b").unwrap(), ["a", "b"]);
    }

    #[test]
    fn links_in_a_guests_tree_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("web/rootfs")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("web/rootfs/etc")).unwrap();
        let fd = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
        let pool = Directory { fd, zone: Zone::default() };
        let error = pool.at("web/rootfs/etc/passwd", Need::Look).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{}", error.message);
        assert!(pool.at("web/rootfs/etc", Need::Look).unwrap().open(OFlags::RDONLY).is_err());
    }
}
