//! What is known of a component without loading it.

use serde::{Deserialize, Serialize};

use crate::{Digest, Key};

/// Name of the custom section in which a component carries its manifest.
pub const MANIFEST_SECTION: &str = "wxc:manifest";

/// Read from the component's own bytes when it is compiled, and kept with the machine code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Hash of the component's bytes.
    pub digest: Digest,
    /// The key this was compiled under; a loader that expects another one must not use the code.
    pub key: Key,
    /// Size of the component in bytes.
    pub size: u64,
    /// Interfaces the component calls: everything it can ever touch.
    pub imports: Vec<String>,
    /// Interfaces the component offers: everything it can do.
    pub exports: Vec<String>,
    /// Text of the manifest (plugin.toml), empty when the component carries none.
    pub manifest: String,
}
