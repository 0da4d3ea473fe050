#![forbid(unsafe_code)]
//! Downloads: bytes of servers, checked on the way into a file.
//!
//! ```text
//!  caller (run)                      helper process (worker), same binary
//!   file to write to        ────────▶ reads the certificates; then: no capability, Landlock, list of system calls
//!   order                   ────────▶ TLS, HTTP, redirects within the origins, ranges, retries, mirrors
//!   progress, fetched, error ◀─────── transfer → file, hashed as it is written
//! ```
//!
//! What a server may be asked is decided in [`origin`]: the caller names the origins, and no redirect leaves them. What is
//! kept of answers is in [`blobs`] (by digest, for good) and [`documents`] (by address, for a while).

/// Content by its digest: downloaded once, resumed, shared.
pub mod blobs;

/// Small documents, kept for a while.
pub mod documents;

/// Which servers may be asked.
pub mod origin;

/// What is to be fetched, and what came of it.
pub mod order;

/// What went wrong.
pub mod error;

/// Messages to servers.
mod post;

/// Servers, mirrors, certificates and proxies: what holds for all downloads of a command.
mod reach;

/// The caller's side: starts the helper, hears its answers.
mod run;

/// The helper's side.
mod worker;

/// What the helper takes from itself before it talks to a server.
mod confine;

/// Requests, answers, ranges, retries.
mod transfer;

/// The same for messages.
mod posting;

/// From an address along redirects to an answer.
mod walk;

/// Names of servers.
mod names;

/// The file that is written to, and its digest.
mod sink;

pub use blobs::{Blobs, Learned, Unknown, Wanted};
pub use documents::{Document, DocumentRequest, Documents};
pub use error::FetchError;
pub use order::{Algorithm, Digest, Fetched, Patience, Progress};
pub use origin::Origin;
pub use post::{LONGEST_MESSAGE, Message, post};
pub use reach::{Mirrors, Reach};
pub use run::{ROLE, Session, Watch};
pub use worker::dispatch;
