#![forbid(unsafe_code)]
//! `[environment]`: nothing of the caller's environment reaches init unless it is named here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::is_default;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Environment {
    /// Variables and their values.
    #[serde(skip_serializing_if = "is_default")]
    pub set: BTreeMap<String, String>,
    /// Variables of whoever starts the container that are passed on, if they are set.
    #[serde(skip_serializing_if = "is_default")]
    pub keep: Vec<String>,
}
