//! What is to be fetched, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::Origin;

/// How a digest was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// Its name, as in OCI's digests and in names of directories.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// The digest of some bytes. Its digits are checked when it is made: it becomes the name of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// A digest from its digits, in lower case; `None` if they are not as many as there should be.
    #[must_use]
    pub fn new(algorithm: Algorithm, hex: &str) -> Option<Self> {
        let good = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (hex.len() == algorithm.digits() && hex.bytes().all(good))
            .then(|| Self { algorithm, hex: hex.to_owned() })
    }

    /// How it was computed.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

/// How long a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// For its name, and for a connection.
    pub connect: Duration,
    /// For the next bytes.
    pub silence: Duration,
    /// Attempts in a row without a byte.
    pub attempts: u32,
    /// Before the second attempt; twice as long before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            attempts: 4,
            pause: Duration::from_millis(500),
        }
    }
}

/// One download.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    /// Addresses with the same bytes, tried in this order.
    pub urls: Vec<String>,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// Servers that may be asked, also by a redirect.
    pub origins: Vec<Origin>,
    /// Files with the only certificates to trust for a server; the system's hold for others.
    pub roots: BTreeMap<Origin, PathBuf>,
    /// The proxy to go through, and servers to be reached without it, as `https_proxy` and `no_proxy` have them.
    pub proxy: Option<String>,
    pub no_proxy: Option<String>,
    /// The most bytes.
    pub limit: u64,
    /// Exactly as many bytes, if that is known.
    pub size: Option<u64>,
    pub digest: Option<Digest>,
    /// Bytes that the file has already of an earlier attempt, and what the server called that content (`ETag`).
    pub have: u64,
    pub validator: Option<String>,
    /// Whether it is a document: decoded where it was sent compressed, and good with every status.
    pub document: bool,
    /// Whether the file is not written to but sent, and the answer's status is all that counts.
    pub post: bool,
    pub patience: Patience,
}

impl Order {
    /// Only servers that show who they are, also by a redirect.
    pub(super) fn secure(&mut self) {
        self.origins.retain(Origin::is_secure);
        self.urls.retain(|url| Origin::of(url).is_ok_and(|origin| origin.is_secure()));
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes that are there, those of earlier attempts included.
    pub bytes: u64,
    pub total: Option<u64>,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// Where it came from after redirects.
    pub url: String,
    /// Headers of the answer, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// Bytes in the file.
    pub bytes: u64,
    /// SHA-256 of them, hexadecimal.
    pub sha256: String,
}

impl Fetched {
    /// A header of the answer.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What the helper answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Progress(Progress),
    /// The server's name for the content that now begins, to resume by.
    Begins {
        validator: Option<String>,
    },
    /// It goes on after something went wrong.
    Trouble(String),
    Done(Fetched),
    Failed(super::FetchError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_digits() {
        let hex = "a".repeat(64);
        assert_eq!(Digest::new(Algorithm::Sha256, &hex).unwrap().to_string(), format!("sha256:{hex}"));
        for bad in ["", &hex[1..], &hex.to_uppercase(), &format!("../{}", &hex[3..]), &"g".repeat(64)] {
            assert!(Digest::new(Algorithm::Sha256, bad).is_none(), "{bad}");
        }
        assert!(Digest::new(Algorithm::Sha512, &hex).is_none());
    }
}
