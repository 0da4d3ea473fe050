//! Loads the machine code of compiled plugins.
//!
//! wasmtime checks that an artifact fits this engine and processor, and then trusts its bytes: a
//! forged one is code of the forger's choice in this process. So the functions here take only
//! what somebody vouches for, and the types say who.

use std::os::fd::AsRawFd as _;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::trusted::TrustedFile;

/// Who vouches for machine code that is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vouched {
    /// The linker put it into this binary; it is as good as the binary.
    InThisBinary,
    /// Our own compiler, started by this process, wrote it into a file only we hold.
    OwnCompiler,
    /// It was read through a [`TrustedFile`].
    TrustedFile,
}

/// Loads machine code from memory; wasmtime copies it.
pub(crate) fn from_memory(engine: &Engine, code: &[u8], vouched: Vouched) -> wasmtime::Result<Component> {
    tracing::trace!(?vouched, bytes = code.len(), "loading machine code");
    // SAFETY: `deserialize` asks for bytes that wasmtime's own `precompile_component` wrote. Each
    // `Vouched` is such an origin, and only `plugin::artifact` makes one, where the bytes arrive.
    unsafe { Component::deserialize(engine, code) }
}

/// Maps machine code from a file, through the descriptor that was checked.
pub(crate) fn from_file(engine: &Engine, file: &TrustedFile) -> wasmtime::Result<Component> {
    // wasmtime has no constructor from a descriptor; the name in /proc leads to the same open file,
    // so there is no second look-up to race with.
    let path = format!("/proc/self/fd/{}", file.as_file().as_raw_fd());
    // SAFETY: `deserialize_file` asks for a file that wasmtime wrote and that nobody changes while
    // it is mapped. A `TrustedFile` can be written by root and by this user alone, and `wxc`
    // replaces artifacts by rename, never in place.
    unsafe { Component::deserialize_file(engine, path) }
}
