#![forbid(unsafe_code)]
//! The configuration of a container: typed, validated; `container.toml` is one codec of it.

/// Limits of resources: the `[cgroup]` table.
pub mod cgroup;
/// Spans of time: `30s`.
pub mod duration;
/// User and group ids of host and container.
pub mod ids;
/// Amounts of bytes: `512M`.
pub mod size;
