//! What runs between clone and exec: a list of operations and the loop that carries it out.
//!
//! A process between clone and exec has a copy of its parent's memory (or, for a helper, shares that
//! of a parent who waits), but none of its threads: a lock may be held by nobody, the allocator's included. So this crate has no `std` and no `alloc`;
//! nothing that allocates, formats, logs or locks can even be named in it. The rules:
//!
//! - The parent prepares everything: a [`Program`] holds numbers, NUL-terminated bytes and fds.
//! - A path of the container is resolved from the fd of its root ([`resolve`]), once, and what it
//!   leads to is held by fd from then on.
//! - The child meets its parent at named points ([`sync`]) and fails with one record of twelve bytes
//!   ([`report`]); the words are the parent's.
//! - It leaves by exec or `_exit`, never by returning.
#![no_std]

/// Numbers of the kernel's interface that `libc` lacks.
mod abi;
/// Every call into the kernel, one function per call: the crate's only unsafe code.
mod call;
/// The operations.
pub mod op;
/// Failures as twelve bytes.
pub mod report;
/// Paths of the container, from the fd of its root.
mod resolve;
/// The loop.
mod run;
/// A process 1 that only supervises.
mod supervise;
/// Where child and parent meet.
pub mod sync;

pub use op::{Op, Program, Step};
pub use run::run;
