//! The identity of a component, and of what was compiled from it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Cpu, config};

/// SHA-256 of a component's bytes, as 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Hashes a component.
    #[must_use]
    pub fn of(component: &[u8]) -> Self {
        Self(hex(&Sha256::digest(component)))
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let good = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(Self(text)) } else { Err(format!("not a SHA-256 in lower-case hexadecimal: {text:?}")) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names the artifact of one component under one engine on one kind of processor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The key for a component: whatever could make its machine code differ is in it.
    #[must_use]
    pub fn of(component: &Digest, cpu: Cpu) -> Self {
        let mut hash = Sha256::new();
        for part in [component.as_str(), &config::stamp(), std::env::consts::OS, &cpu.describe()] {
            hash.update(part);
            // A separator that no part contains, so that parts cannot be shifted into each other.
            hash.update([0]);
        }
        Self(hex(&hash.finalize()))
    }

    /// 64 hexadecimal digits; safe as a file name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_sha256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
    }

    #[test]
    fn digest_refuses_what_could_be_a_path() {
        assert!(Digest::try_from("../../etc/passwd".to_owned()).is_err());
        assert!(Digest::try_from("A".repeat(64)).is_err());
    }

    #[test]
    fn key_differs_by_component_and_by_processor() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_ne!(Key::of(&a, Cpu::Native), Key::of(&b, Cpu::Native));
        assert_ne!(Key::of(&a, Cpu::Native), Key::of(&a, Cpu::Baseline));
        assert_eq!(Key::of(&a, Cpu::Native), Key::of(&a, Cpu::Native));
    }
}
