#![forbid(unsafe_code)]
//! `[stop]`: how the container is asked to end.

use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::signal::Signal;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stop {
    /// Asks init to halt. Missing: SIGRTMIN+3 if init handles that one (systemd), else SIGPWR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halt: Option<Signal>,
    pub reboot: Signal,
    /// Ends init without asking.
    pub kill: Signal,
    /// How long init may take.
    pub timeout: Span,
}

impl Default for Stop {
    fn default() -> Self {
        Self { halt: None, reboot: Signal(2), kill: Signal(9), timeout: Span::seconds(60) }
    }
}
