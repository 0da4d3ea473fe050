#![forbid(unsafe_code)]
//! `[autostart]`: whether and when the container starts with the host.

use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::is_default;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Autostart {
    #[serde(skip_serializing_if = "is_default")]
    pub enabled: bool,
    /// Lower starts earlier and stops later.
    #[serde(skip_serializing_if = "is_default")]
    pub order: i32,
    /// Wait after it has started, before the next one.
    #[serde(skip_serializing_if = "is_default")]
    pub delay: Span,
    #[serde(skip_serializing_if = "is_default")]
    pub groups: Vec<String>,
}
