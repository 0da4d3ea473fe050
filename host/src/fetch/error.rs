//! What went wrong. The same type crosses from the helper to its caller, so it holds text and numbers alone.

use serde::{Deserialize, Serialize};

/// Why there are no bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FetchError {
    /// Not a server that may be asked.
    #[error("{url} is not fetched: {why}")]
    Refused { url: String, why: String },
    /// No answer, or one that broke off.
    #[error("cannot fetch {url}: {why}")]
    Network { url: String, why: String },
    /// An answer, and not what was wanted.
    #[error("cannot fetch {url}: the server answered {status}{}", meaning(*status))]
    Status { url: String, status: u16 },
    /// More bytes than there may be.
    #[error("{url} has more than the {limit} bytes that it may have")]
    TooBig { url: String, limit: u64 },
    /// Not the bytes that were promised.
    #[error("{url} is not what it should be: {algorithm} {found} instead of {expected}")]
    Digest { url: String, algorithm: String, expected: String, found: String },
    /// Not as many bytes as were promised.
    #[error("{url} has {found} bytes instead of {expected}")]
    Size { url: String, expected: u64, found: u64 },
    /// The certificates to trust cannot be had.
    #[error("cannot trust any server: {why}")]
    Roots { why: String },
    /// The file cannot be written or read.
    #[error("cannot {doing}: {why}")]
    File { doing: String, why: String },
    /// The helper is not as it should be.
    #[error("the downloader {why}")]
    Helper { why: String },
    #[error("the download was stopped")]
    Cancelled,
}

impl FetchError {
    /// What to do next, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Refused { .. } => {
                "only servers that the plugin's manifest declares, or that you name yourself, are asked; wxc plugin show lists them"
            }
            Self::Network { .. } => {
                "check the network and the server's name; a proxy is taken from https_proxy; what was downloaded is kept, and the next attempt goes on there"
            }
            Self::Status { status: 404 | 410, .. } => {
                "it may have been replaced by a newer one: look again in a while, or choose another"
            }
            Self::Status { status: 401 | 403, .. } => {
                "the server wants to know who asks, or does not let you"
            }
            Self::Status { .. } | Self::Size { .. } => "try again later, or use another server",
            Self::TooBig { .. } => "the server sends something else than it announced; nothing of it is used",
            Self::Digest { .. } => {
                "nothing of it is used. Try again: the server may have been in the middle of a change; if it stays so, somebody changed the file"
            }
            Self::Roots { .. } => {
                "install the system's certificates (package ca-certificates), or name a file with `ca` in wxc.toml"
            }
            Self::File { .. } => "look whether there is room, and whether the directory is yours",
            Self::Helper { .. } | Self::Cancelled => return None,
        })
    }

    /// Whether it was the network, so that what is kept from before may do.
    #[must_use]
    pub fn is_network(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

fn meaning(status: u16) -> String {
    let known = ureq::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    known.map_or_else(String::new, |words| format!(" ({words})"))
}
