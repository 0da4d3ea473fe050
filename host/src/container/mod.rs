//! The use cases: what the command line, and any other program, can do with containers.

/// What this machine and caller can do.
pub mod facts;
/// From which host ids a caller may give.
pub mod idpools;
/// Who has which host ids.
pub mod idregistry;
