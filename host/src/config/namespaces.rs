#![forbid(unsafe_code)]
//! `[namespaces]`: what the container has to itself (namespaces(7)).
//!
//! The user namespace follows `privileged`, and the mount namespace is always new: a container
//! without its own would mount over the host.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::is_default;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Namespaces {
    #[serde(skip_serializing_if = "is_default")]
    pub pid: Choice,
    #[serde(skip_serializing_if = "is_default")]
    pub uts: Choice,
    #[serde(skip_serializing_if = "is_default")]
    pub ipc: Choice,
    #[serde(skip_serializing_if = "is_default")]
    pub net: Choice,
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup: Choice,
    /// Seconds added to CLOCK_BOOTTIME inside. Giving one of the two makes a time namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boottime_offset: Option<i64>,
    /// Seconds added to CLOCK_MONOTONIC inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monotonic_offset: Option<i64>,
}

/// `new`, `keep`, or the path of one to join.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    #[default]
    New,
    Keep,
    Join(PathBuf),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "new" => Ok(Self::New),
            "keep" => Ok(Self::Keep),
            path if path.starts_with('/') => Ok(Self::Join(path.into())),
            other => Err(format!(
                "\"{}\" is neither \"new\" nor \"keep\" nor an absolute path such as \"/proc/1234/ns/net\"",
                other.escape_debug()
            )),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Keep => f.write_str("keep"),
            Self::Join(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
