//! What to unpack, where, with which ids and limits.

use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

/// One unpacking.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Where the tree comes from.
    pub source: Source<'a>,
    /// The directory that becomes the root of the tree; must exist.
    pub target: BorrowedFd<'a>,
    /// Everything that does not need a handle.
    pub options: Options,
}

/// Where a tree comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A tar archive, plain or compressed, open for reading at its start; a pipe will do.
    Archive(BorrowedFd<'a>),
    /// One section of an export ([`Options::section`]), plain, and read to its last byte and no further.
    Section(BorrowedFd<'a>),
    /// A directory, copied with everything below it on the same mount.
    Directory(BorrowedFd<'a>),
}

/// How to unpack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Whose ids the files get.
    pub ids: IdMapMode,
    /// What happens to device nodes.
    pub devices: Devices,
    /// What an image may at most cost.
    pub limits: Limits,
    /// The directory in an archive that becomes the root of the tree, such as `rootfs`; empty for its top.
    /// What is beside it is left out.
    pub prefix: String,
    /// Whether the target may hold something already, for images of several layers.
    pub onto_existing: bool,
    /// Which part of an export it is; `None` for an archive of another kind.
    pub section: Option<Section>,
    /// Files whose content is wanted, and nothing else of the archive.
    pub members: Vec<String>,
    /// Whether a directory of the archive leaves a link to a directory as it is that stands in its place, as dpkg does.
    pub keep_links: bool,
    /// It is a layer over what is there already, with whiteouts (OCI image-spec, layer.md): the SHA-256 of the archive without
    /// compression, as 64 digits.
    pub layer: Option<String>,
}

/// A tree's part of an export (docs/export-format.md). The names of its members begin with `prefix`, those of
/// entries that are to go with `removed`, and its last member is the seal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Directory of the entries.
    pub prefix: String,
    /// Directory of the entries that go, if it is a tree of changes.
    pub removed: Option<String>,
    /// The seal before it.
    pub before: String,
}

impl Options {
    /// A new tree with the usual limits, without device nodes.
    pub fn new(ids: IdMapMode) -> Self {
        Self {
            ids,
            devices: Devices::Skip,
            limits: Limits::default(),
            prefix: String::new(),
            onto_existing: false,
            section: None,
            members: Vec::new(),
            keep_links: false,
            layer: None,
        }
    }
}

/// Whose ids the files on disk get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdMapMode {
    /// The image's own: for a caller with root's capabilities. The mount shows them shifted at run time.
    AsIs {
        /// First id that the container does not have; entries from here on are refused.
        max: u32,
    },
    /// The image's ids as a user namespace maps them: for a caller without capabilities, who may use the
    /// outside ids according to subuid(5) and subgid(5).
    Userns {
        /// The container's map of users.
        uids: Vec<MapRange>,
        /// The container's map of groups.
        gids: Vec<MapRange>,
    },
}

impl IdMapMode {
    /// The owner of an entry on disk as the helper writes it, or the rule that the entry breaks.
    pub(crate) fn owner(&self, uid: u64, gid: u64) -> Result<(u32, u32), String> {
        Ok((self.check("user", uid, true)?, self.check("group", gid, false)?))
    }

    fn check(&self, kind: &str, id: u64, user: bool) -> Result<u32, String> {
        let known = u32::try_from(id).ok().filter(|id| match self {
            Self::AsIs { max } => id < max,
            Self::Userns { uids, gids } => (if user { uids } else { gids }).iter().any(|r| r.holds(*id)),
        });
        known.ok_or_else(|| format!("it belongs to {kind} {id}, which is outside the container's ids"))
    }
}

/// One line of a map of ids (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRange {
    /// First id inside the container.
    pub inside: u32,
    /// First id on the host.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl MapRange {
    fn holds(&self, id: u32) -> bool {
        id >= self.inside && id - self.inside < self.count
    }
}

/// What happens to device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Devices {
    /// Left out and counted: an unprivileged container gets its few devices from the host at start.
    Skip,
    /// Made: for a privileged container. An overlay whiteout (character device 0:0) is refused all the same.
    Make,
}

/// What an image may at most cost. Beyond any of these the run ends with an error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes after decompression, or bytes copied; holes do not count.
    pub bytes: u64,
    /// Entries of every kind.
    pub entries: u64,
    /// Size of one file, holes included.
    pub file: u64,
    /// Bytes out per byte in, beyond the first gibibyte of output.
    pub ratio: u64,
    /// Directories in a path.
    pub depth: usize,
    /// Bytes of one extended header, or of all directories' names and attributes kept for the end.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 256 << 30,
            entries: 10_000_000,
            file: 16 << 40,
            ratio: 250,
            depth: 256,
            memory: 512 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_outside_the_container_is_refused() {
        let root = IdMapMode::AsIs { max: 65536 };
        assert_eq!(root.owner(65535, 0), Ok((65535, 0)));
        assert!(root.owner(65536, 0).unwrap_err().contains("user 65536"));
        assert!(root.owner(0, 1 << 32).unwrap_err().contains("group 4294967296"));
        let uids = vec![MapRange { inside: 0, outside: 100_000, count: 10 }];
        let gids = vec![MapRange { inside: 5, outside: 100_000, count: 1 }];
        let user = IdMapMode::Userns { uids, gids };
        assert_eq!(user.owner(9, 5), Ok((9, 5)));
        assert!(user.owner(10, 5).is_err() && user.owner(9, 6).is_err() && user.owner(9, 4).is_err());
    }
}
