#![forbid(unsafe_code)]
//! `[init]`: the first process, and `arch`: the machine it believes to be on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::is_default;

/// What runs as process 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Init {
    /// Program (a path inside the container) and arguments.
    pub command: Vec<String>,
    /// Ids inside the container.
    #[serde(skip_serializing_if = "is_default")]
    pub user: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub group: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub groups: Vec<u32>,
    /// Working directory inside the container.
    pub cwd: PathBuf,
    /// wxc's own small init is process 1 and `command` its child.
    #[serde(skip_serializing_if = "is_default")]
    pub stub: bool,
}

impl Default for Init {
    fn default() -> Self {
        Self {
            command: vec!["/sbin/init".into()],
            user: 0,
            group: 0,
            groups: Vec::new(),
            cwd: "/".into(),
            stub: false,
        }
    }
}

/// What uname(2) says inside: only matters for 32-bit guests (personality(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    #[serde(alias = "amd64")]
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(alias = "i386", alias = "x86")]
    I686,
    #[serde(alias = "arm64")]
    Aarch64,
    #[serde(alias = "armhf", alias = "armv7")]
    Armv7l,
    Riscv64,
    #[serde(alias = "ppc64el")]
    Ppc64le,
    S390x,
}

impl Arch {
    /// The machine (uname(2)) that runs it natively, and whether it is the 32-bit half of it.
    #[must_use]
    pub fn machine(self) -> (&'static str, bool) {
        match self {
            Self::X86_64 => ("x86_64", false),
            Self::I686 => ("x86_64", true),
            Self::Aarch64 => ("aarch64", false),
            Self::Armv7l => ("aarch64", true),
            Self::Riscv64 => ("riscv64", false),
            Self::Ppc64le => ("ppc64le", false),
            Self::S390x => ("s390x", false),
        }
    }
}
