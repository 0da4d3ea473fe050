//! The use cases: what the command line, and any other program, can do with containers.

/// How cgroups are mounted here.
pub mod cgroup_facts;
/// What this machine and caller can do.
pub mod facts;
/// The mounts this process sees.
pub mod mountinfo;
