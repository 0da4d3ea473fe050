#![forbid(unsafe_code)]
//! What is said to a backend and by it, in plain Rust.

use serde::{Deserialize, Serialize};

/// Where a volume is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Phase {
    /// An unfinished create, clone, snapshot or receive: repeat it or remove the volume.
    Incomplete,
    /// It can be written, and cannot become a parent.
    Writable,
    /// It is durable, never changes, and can become a parent.
    Sealed,
    /// An unfinished remove: repeat it.
    Removing,
}

/// A volume, as the storage itself tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Its name: `web`, `web@snapshot`, `.images@DIGEST`.
    pub id: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// The volume it still depends on.
    pub parent: Option<String>,
    /// The operation that made it or last changed its phase, where the storage remembers.
    pub operation: Option<String>,
}

/// The room of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Bytes it has.
    pub total: u64,
    /// Bytes that are left.
    pub available: u64,
    /// Thousandths of the metadata space that are left, for pools that have such a thing.
    pub metadata_available: Option<u16>,
}

/// What a volume takes up; `None` for what the storage cannot tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct VolumeUsage {
    /// Bytes that would be free without it.
    pub exclusive: Option<u64>,
    /// Bytes that it refers to, shared ones included.
    pub referenced: Option<u64>,
    /// Files and directories in it.
    pub entries: Option<u64>,
}

/// How a volume is going to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// For reading only.
    ReadOnly,
    /// For reading and writing.
    ReadWrite,
}

/// How a pool clones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CloneTraits {
    /// In the same short time whatever the size.
    pub instant: bool,
    /// The parent cannot be removed while there are clones of it.
    pub pins_parent: bool,
}

/// How a pool takes snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SnapshotTraits {
    /// Of a volume that is being written, as of one instant.
    pub live: bool,
    /// In the same short time whatever the size.
    pub instant: bool,
    /// The volume cannot be removed before its snapshots.
    pub pins_volume: bool,
}

/// How a pool limits volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SizeTraits {
    /// Root inside the container cannot get around a limit.
    pub strict: bool,
    /// A volume can grow while it is mounted.
    pub grows_live: bool,
    /// A volume can be made smaller at all.
    pub shrinks: bool,
    /// Every volume has a size.
    pub always: bool,
}

/// What a backend can do: its optional exports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the interface of its name in wit/storage")]
pub struct Abilities {
    pub clones: bool,
    pub snapshots: bool,
    pub snapshots_at_rest: bool,
    pub sizes: bool,
    pub devices: bool,
    pub renames: bool,
    pub transfer: bool,
}
