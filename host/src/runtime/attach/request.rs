#![forbid(unsafe_code)]
//! What is asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plan::Namespace;

/// Whether the command gets a terminal of the container's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TerminalUse {
    /// In the place of those of the caller's standard streams that are terminals.
    #[default]
    Auto,
    /// In the place of all three.
    Always,
    /// The caller's streams as they are. One that is a terminal is then open to the container.
    Never,
}

/// Which of the container's restrictions the command is spared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elevated {
    /// All capabilities, and new privileges.
    pub capabilities: bool,
    /// No system-call filter.
    pub seccomp: bool,
    /// The caller's cgroups and resource limits.
    pub cgroup: bool,
}

impl Elevated {
    /// `-e` without a list.
    pub const ALL: Elevated = Elevated { capabilities: true, seccomp: true, cgroup: true };
}

/// A command to run in a container.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest {
    /// Run directory of the container.
    pub run: PathBuf,
    /// Name of the container, for messages.
    pub name: String,
    /// `None`: the user's shell, not as a login shell (as LXC does), or `/bin/sh`.
    pub argv: Option<Vec<String>>,
    /// Name or number; `None`: who init is.
    ///
    /// A name is looked up in the container's own account files. A number needs no account, and is
    /// never taken for a name.
    pub user: Option<String>,
    /// Name or number. With a group the user is in that one alone; `None`: in those of the account.
    pub group: Option<String>,
    /// `None`: the home directory, or `/`.
    pub cwd: Option<String>,
    /// Variables, above all others.
    pub environment: Vec<(String, String)>,
    /// Begin with the caller's environment instead of an empty one.
    pub keep_environment: bool,
    /// `None`: all that the container does not share with the caller.
    ///
    /// Without the user namespace users, names and numbers, are the host's.
    pub namespaces: Option<Vec<Namespace>>,
    pub elevated: Elevated,
    pub terminal: TerminalUse,
    /// The program of helpers; `None`: the running one. It must call
    /// [`crate::runtime::roles::dispatch`] first thing in `main`.
    pub program: Option<PathBuf>,
}
