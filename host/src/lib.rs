//! wxc: Linux system containers with storage, templates and hooks as sandboxed WASM components.
//!
//! The table of contents, lower layers first; lower never imports higher (`tests/layers.rs`).

/// Syscall wrappers: the host's unsafe code, and only here.
pub mod sys;

/// What a container is: typed configuration.
pub mod config;

/// What a start does: configuration and facts in, plan out.
pub mod plan;

/// Downloads: bytes of servers, checked on the way into a file.
pub mod fetch;

/// Signatures: which of the administrator's keys vouches for some bytes.
pub mod trust;

/// Plugins: components that decide, and the gate through which they reach the host.
pub mod plugin;

/// Carries a plan out: monitor, child, console, control, attach, cgroups, network.
pub mod runtime;

/// The use cases: what the command line, and any other program, can do.
pub mod container;

/// The one unpacker: a root tree from a hostile archive or directory.
pub mod unpack;

/// The suite that tells whether a storage backend is right.
pub mod conformance;

/// The command line: arguments in, use case, text out.
pub mod cli;
