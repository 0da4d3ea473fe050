//! What the producer and the loader of compiled plugins must agree on.
//!
//! `wxc` holds wasmtime's runtime without a compiler, `wxc-compile` holds the compiler. An artifact
//! made by one is native code that the other maps and runs, so both include this crate and nothing
//! about the agreement is written down twice.
//!
//! - [`config`]: the only `wasmtime::Config` of the project, and the version that artifacts carry
//! - [`cpu`]: which instructions an artifact may use, in words that go into its key
//! - [`key`]: the digest of a component, and the key under which its artifact is kept
//! - [`facts`]: what is known of a component without loading it: exports, imports, manifest
//! - [`artifact`]: the file that holds the machine code and the facts

#![forbid(unsafe_code)]

pub mod artifact;
pub mod config;
pub mod cpu;
pub mod facts;
pub mod key;

pub use artifact::Artifact;
pub use config::{VERSION, config};
pub use cpu::Cpu;
pub use facts::Facts;
pub use key::{Digest, Key};
