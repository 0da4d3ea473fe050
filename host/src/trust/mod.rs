#![forbid(unsafe_code)]
//! Signatures: whether one of the keys that the administrator keeps vouches for some bytes.
//!
//! ```text
//!  caller (run)                       helper process (worker), same binary
//!   ring, signed bytes, signature ──▶ no capability, no path, no network; then it parses what a stranger wrote
//!   who signed, and what          ◀── openpgp, ssh
//! ```
//!
//! A key ring is a few files of the administrator's. A signature counts when a key of the ring made it that is neither
//! expired nor revoked, over a digest that nobody can forge.

/// What is asked, and what comes back.
mod question;

/// OpenPGP (RFC 9580): key rings, detached and clear-text signatures.
mod openpgp;

/// Signatures of ssh-keygen(1).
mod ssh;

/// Which files a key ring is.
mod rings;

/// The caller's side.
mod run;

/// The helper's side.
mod worker;

pub use question::{Form, TrustError, Vouched};
pub use rings::{Ring, Rings};
pub use run::{ROLE, verify, verify_file, verify_with};
pub use worker::dispatch;
