//! The use cases: what the command line, and any other program, can do with containers.

/// What this machine and caller can do.
pub mod facts;
