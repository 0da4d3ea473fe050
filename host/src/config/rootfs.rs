#![forbid(unsafe_code)]
//! `[rootfs]` and `[template]`: which volume is the root, and what it was made from.

use serde::{Deserialize, Serialize};

use super::is_default;

/// Where the root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rootfs {
    /// Name of the storage plugin that keeps the volume.
    pub storage: String,
    /// Name of the volume in the plugin's pool; the container's own name when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Nothing below `/` can be written, except where something else is mounted.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// What is written is kept in memory, over the volume, and gone when the container stops.
    #[serde(skip_serializing_if = "is_default")]
    pub in_memory: bool,
}

impl Default for Rootfs {
    fn default() -> Self {
        Self { storage: "dir".into(), volume: None, read_only: false, in_memory: false }
    }
}

/// What `wxc create` made the container from; for people, nothing depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TemplateRecord {
    /// Name of the template plugin.
    pub name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub version: String,
    /// What was unpacked, in the template's own words.
    #[serde(skip_serializing_if = "is_default")]
    pub image: String,
    /// `sha256:` and the digest of it.
    #[serde(skip_serializing_if = "is_default")]
    pub digest: String,
    /// The server that it came from; empty where none was asked.
    #[serde(skip_serializing_if = "is_default")]
    pub server: String,
    /// Fingerprint of the key that vouched for it; empty where only the server did.
    #[serde(skip_serializing_if = "is_default")]
    pub signer: String,
    /// When, as RFC 3339.
    #[serde(skip_serializing_if = "is_default")]
    pub created: String,
}
