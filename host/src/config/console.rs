#![forbid(unsafe_code)]
//! `[console]`: terminals of the container and what is kept of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::is_default;
use super::size::Size;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Console {
    /// How many of `/dev/tty1`, `/dev/tty2`, ... there are.
    pub ttys: u32,
    /// How much of the console is kept in memory for those who look later; a power of two, or 0.
    pub buffer: Size,
    /// File that gets everything, relative to the container's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// Size at which the log starts anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_size: Option<Size>,
    /// Keep the log before that one as `FILE.1`.
    #[serde(skip_serializing_if = "is_default")]
    pub log_rotate: bool,
}

impl Default for Console {
    fn default() -> Self {
        Self { ttys: 4, buffer: Size(128 << 10), log: None, log_size: None, log_rotate: false }
    }
}
