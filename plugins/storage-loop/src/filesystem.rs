//! What is different about the file systems that a disk can have.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::volume::error;

/// The file system of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    Ext4,
    Xfs,
    Btrfs,
}

/// How one can be made smaller. All of them grow while they are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resizing {
    /// By a program, while it is not mounted, as it can grow, too; interrupted, it leaves a broken one.
    Program,
    /// By the kernel, step by step.
    Kernel,
    /// Not at all.
    GrowsOnly,
}

const MIB: u64 = 1 << 20;

impl Filesystem {
    pub fn named(name: &str) -> Result<Self, Error> {
        match name {
            "ext4" => Ok(Self::Ext4),
            "xfs" => Ok(Self::Xfs),
            "btrfs" => Ok(Self::Btrfs),
            _ => Err(error(ErrorKind::Unsupported, format!("a disk with the file system {name:?}"))),
        }
    }

    /// As the kernel spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The least that its program makes.
    pub fn smallest(self) -> u64 {
        match self {
            Self::Ext4 => 16 * MIB,
            Self::Xfs => 300 * MIB,
            Self::Btrfs => 128 * MIB,
        }
    }

    /// How it is mounted. What is removed inside is to become free outside; btrfs sees to that by itself. A copy
    /// of an xfs keeps its identity, which cannot be changed while its log is not empty: so nobody asks for it.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["discard"],
            Self::Xfs => &["discard", "nouuid"],
            Self::Btrfs => &[],
        }
    }

    pub fn resizing(self) -> Resizing {
        match self {
            Self::Ext4 => Resizing::Program,
            Self::Xfs => Resizing::GrowsOnly,
            Self::Btrfs => Resizing::Kernel,
        }
    }

    /// A size that a disk with it can have: whole blocks, and not less than the least.
    pub fn fits(self, size: u64) -> Result<u64, Error> {
        const BLOCK: u64 = 4096;
        if size < self.smallest() {
            let (name, least) = (self.name(), self.smallest() / MIB);
            return Err(error(ErrorKind::Invalid, format!("a disk with {name} has at least {least} MiB")));
        }
        Ok(size / BLOCK * BLOCK)
    }
}
