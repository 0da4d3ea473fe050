#![forbid(unsafe_code)]
//! User and group ids, and the map between a container's and the host's.
//!
//! The two kinds of id are the pair most often confused, so they are two types: one that a process
//! inside the container would see, one that the host's kernel checks permissions with
//! (user_namespaces(7), "User and group ID mappings").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An id as the host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

/// An id as the container sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub u32);

/// One line of `/proc/PID/uid_map`: `count` ids from `container` on are `host` and following.
/// Written `CONTAINER:HOST:COUNT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    pub container: ContainerId,
    pub host: HostId,
    /// Number of ids, at least 1.
    pub count: u32,
}

/// The maps of a user namespace. Read with one of them missing, it is the same as the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct IdMap {
    pub users: Vec<IdRange>,
    pub groups: Vec<IdRange>,
}

/// What a file says.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    users: Vec<IdRange>,
    groups: Vec<IdRange>,
}

impl From<Written> for IdMap {
    fn from(written: Written) -> Self {
        let Written { mut users, mut groups } = written;
        if users.is_empty() {
            users.clone_from(&groups);
        } else if groups.is_empty() {
            groups.clone_from(&users);
        }
        Self { users, groups }
    }
}

impl IdRange {
    /// The host's id for `id`, if this range has it.
    #[must_use]
    pub fn to_host(self, id: ContainerId) -> Option<HostId> {
        let offset = id.0.checked_sub(self.container.0)?;
        (offset < self.count).then(|| self.host.0.checked_add(offset).map(HostId))?
    }

    /// The container's id for the host's `id`, if this range has it.
    #[must_use]
    pub fn to_container(self, id: HostId) -> Option<ContainerId> {
        let offset = id.0.checked_sub(self.host.0)?;
        (offset < self.count).then(|| self.container.0.checked_add(offset).map(ContainerId))?
    }

    /// The line for `/proc/PID/uid_map`.
    #[must_use]
    pub fn to_line(self) -> String {
        format!("{} {} {}\n", self.container.0, self.host.0, self.count)
    }
}

impl FromStr for IdRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            let text = text.escape_debug();
            format!("\"{text}\" is not a range of ids: {why}, as in \"0:1000000000:65536\"")
        };
        let parts: Vec<&str> = text.split(':').collect();
        let [container, host, count] = parts[..] else {
            return Err(wrong("write CONTAINER:HOST:COUNT"));
        };
        // By hand and not `u32::from_str` alone, which would take "+5".
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse::<u32>().ok()).flatten().ok_or_else(|| wrong("all three are numbers"))
        };
        let range = Self {
            container: ContainerId(number(container)?),
            host: HostId(number(host)?),
            count: number(count)?,
        };
        // The last of 2^32 ids is the "no id" of chown(2) and never mapped.
        let fits = |first: u32| first.checked_add(range.count).is_some();
        match range.count {
            0 => Err(wrong("COUNT is at least 1")),
            _ if !fits(range.container.0) || !fits(range.host.0) => Err(wrong("it ends above the last id")),
            _ => Ok(range),
        }
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.container.0, self.host.0, self.count)
    }
}

impl Serialize for IdRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IdRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl IdMap {
    /// The same range for users and groups: what an ordinary container has.
    #[must_use]
    pub fn single(host: HostId, count: u32) -> Self {
        let range = IdRange { container: ContainerId(0), host, count };
        Self { users: vec![range], groups: vec![range] }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// The host's user for a user of the container.
    #[must_use]
    pub fn host_user(&self, id: ContainerId) -> Option<HostId> {
        self.users.iter().find_map(|range| range.to_host(id))
    }

    /// The container's user for a user of the host.
    #[must_use]
    pub fn container_user(&self, id: HostId) -> Option<ContainerId> {
        self.users.iter().find_map(|range| range.to_container(id))
    }

    /// The container's group for a group of the host.
    #[must_use]
    pub fn container_group(&self, id: HostId) -> Option<ContainerId> {
        self.groups.iter().find_map(|range| range.to_container(id))
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
        assert_eq!(RANGE.to_container(HostId(165_535)), Some(ContainerId(65_535)));
        assert_eq!(RANGE.to_container(HostId(99_999)), None);
        assert_eq!(RANGE.to_container(HostId(165_536)), None);
    }

    #[test]
    fn a_range_is_read_and_shown_the_same() {
        assert_eq!("0:100000:65536".parse(), Ok(RANGE));
        assert_eq!(RANGE.to_string(), "0:100000:65536");
    }

    #[test]
    fn refuses_what_is_not_a_range() {
        for text in ["", "0:1", "0:1:0", "0:1:2:3", "a:1:1", "+0:1:1", "-1:1:1", "0:4294967295:2", "0 1 1"] {
            assert!(text.parse::<IdRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_line_is_what_the_kernel_reads() {
        assert_eq!(RANGE.to_line(), "0 100000 65536\n");
    }
}
