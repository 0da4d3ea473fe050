#![forbid(unsafe_code)]
//! User and group ids, and the map between a container's and the host's.
//!
//! The two kinds of id are the pair most often confused, so they are two types: one that a process
//! inside the container would see, one that the host's kernel checks permissions with
//! (user_namespaces(7), "User and group ID mappings").

use serde::{Deserialize, Serialize};

/// An id as the host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

/// An id as the container sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub u32);

/// One line of `/proc/PID/uid_map`: `count` ids from `container` on are `host` and following.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRange {
    pub container: ContainerId,
    pub host: HostId,
    /// Number of ids, at least 1.
    pub count: u32,
}

/// The maps of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdMap {
    pub users: Vec<IdRange>,
    pub groups: Vec<IdRange>,
}

impl IdRange {
    /// The host's id for `id`, if this range has it.
    #[must_use]
    pub fn to_host(self, id: ContainerId) -> Option<HostId> {
        let offset = id.0.checked_sub(self.container.0)?;
        (offset < self.count).then(|| self.host.0.checked_add(offset).map(HostId))?
    }

    /// The line for `/proc/PID/uid_map`.
    #[must_use]
    pub fn to_line(self) -> String {
        format!("{} {} {}\n", self.container.0, self.host.0, self.count)
    }
}

impl IdMap {
    /// The host's user for a user of the container.
    #[must_use]
    pub fn host_user(&self, id: ContainerId) -> Option<HostId> {
        self.users.iter().find_map(|range| range.to_host(id))
    }

    /// The host's group for a group of the container.
    #[must_use]
    pub fn host_group(&self, id: ContainerId) -> Option<HostId> {
        self.groups.iter().find_map(|range| range.to_host(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: IdRange = IdRange { container: ContainerId(0), host: HostId(100_000), count: 65_536 };

    #[test]
    fn maps_only_inside_the_range() {
        assert_eq!(RANGE.to_host(ContainerId(0)), Some(HostId(100_000)));
        assert_eq!(RANGE.to_host(ContainerId(65_535)), Some(HostId(165_535)));
        assert_eq!(RANGE.to_host(ContainerId(65_536)), None);
    }

    #[test]
    fn a_line_is_what_the_kernel_reads() {
        assert_eq!(RANGE.to_line(), "0 100000 65536\n");
    }
}
