//! The configuration of a container: typed, validated; `container.toml` is one codec of it.

/// User and group ids of host and container.
pub mod ids;
