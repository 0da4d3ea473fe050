//! The harness of the tests that run `wxc` itself: a fixed world, real guests, honest skips.
//!
//! A test opens with what it needs (`needs!`), makes an [`Env`], and runs commands in it as a
//! person would. docs/testing.md tells how to write one.

#![forbid(unsafe_code)]

/// A world of its own for one test: paths, environment, commands, and cleaning up.
pub mod env;

/// Commands that are killed, or fail, at a chosen place.
pub mod failpoints;

/// Guests: a busybox tree and a real Debian, made once and kept below `target/fixtures`.
pub mod fixtures;

/// Plugins made for a test.
pub mod guest;

/// A file system for a test, of a size of its own.
pub mod mount;

/// Keys that sign what a server has.
pub mod keys;

/// OCI images.
pub mod oci;

/// `needs!`: run, or say why not, so that it is counted.
pub mod needs;

/// What runs on the machine, read from `/proc`.
pub mod proc;

/// A real terminal with a program on it.
pub mod pty;

/// Device nodes of a test's own.
pub mod nodes;

/// A command with a deadline, and what it gave back.
pub mod run;

/// An image server on loopback, which can be told to misbehave.
pub mod server;

/// An ordinary user, made for a test.
pub mod user;

/// Random commands, killed at random instants.
pub mod torture;

/// Everything that there is, to be compared.
pub mod world;

pub use env::Env;
pub use run::{Output, Run};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The top of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Asks until there is an answer. For what the kernel or a guest does in its own time and nobody
/// announces; what wxc promises when a command returns is asserted at once instead.
///
/// # Panics
/// When there is no answer in time.
pub fn until<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
