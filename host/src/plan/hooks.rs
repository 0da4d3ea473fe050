#![forbid(unsafe_code)]
//! What hooks have to do with a start: what they changed before this plan was built, and when they are called.
//!
//! The plan names hooks and events by their words, so that a monitor can tell what is due without a plugin. Whoever calls
//! them finds in the plan all that they are told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{MountAttributes, MountSource, MountStep, NodeKind, Plan, Setting};

/// Everything about hooks; empty for a container that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HooksPlan {
    /// In the order in which they were merged.
    pub changes: Vec<HookChange>,
    /// Those of one event in the order in which they are called.
    pub calls: Vec<HookCall>,
    /// The container's labels, with what hooks set for this start.
    pub labels: BTreeMap<String, String>,
    /// Where the root is mounted in the host's tree, as the container's namespace has it, before it is entered: for programs of
    /// the host that work on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<PathBuf>,
    /// Limits as they are configured, by key below `cgroup`.
    pub limits: Vec<Setting>,
}

/// A change of the configuration for this start, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookChange {
    pub plugin: String,
    /// In the contract's word for it, and what it sets.
    pub change: String,
}

/// One call that is due at an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCall {
    /// In the contract's word.
    pub event: String,
    pub target: HookTarget,
    /// A failure ends the operation, at an event that can still be taken back.
    pub aborts: bool,
    /// The most time it may take, in milliseconds.
    pub budget: u64,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookTarget {
    /// A plugin, kept in its place by its grant; with what it is told about this container.
    Plugin { name: String, settings: BTreeMap<String, String> },
    /// A line for the host's shell, with all the rights of whoever starts the container; told in LXC's way of this version.
    Program { line: String, version: u32 },
}

/// Events at which programs of the host run in the container's namespaces and see the host's files.
pub const AMID_MOUNTS: [&str; 3] = ["pre-mount", "mount", "autodev"];

/// What a monitor knows about an event and the plan does not: it goes to the process that calls what is due.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Occasion {
    /// Init, as the host sees it.
    pub pid: Option<i32>,
    pub ending: Option<Ending>,
    /// The host's ends of network interfaces, by the name inside.
    pub peers: BTreeMap<String, String>,
    /// The namespaces of a container that has stopped, held by its monitor: their names as below `/proc/PID/ns`, and where they
    /// can be opened.
    pub namespaces: Vec<(String, PathBuf)>,
}

/// How init ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub out_of_memory: bool,
    /// It starts again.
    pub reboot: bool,
}

/// The socket in the run directory at which init can say that the system is up.
pub const NOTIFY: &str = "notify";
/// Where the container has it: in its own `/dev`, which an init system leaves as it is.
const NOTIFY_INSIDE: &str = "dev/wxc-notify";
/// What tells programs of it (sd_notify(3)).
const NOTIFY_VARIABLE: &str = "NOTIFY_SOCKET";

/// Lets init say that the system is up, where a hook waits for that. One who set the variable already knows better.
pub fn listen_for_ready(plan: &mut Plan) {
    let environment = &mut plan.init.environment;
    if !plan.hooks.is_due("ready") || environment.iter().any(|setting| setting.key == NOTIFY_VARIABLE) {
        return;
    }
    environment.push(Setting { key: NOTIFY_VARIABLE.into(), value: format!("/{NOTIFY_INSIDE}") });
    plan.mounts.push(MountStep {
        source: MountSource::Bind {
            path: plan.container.run.join(NOTIFY),
            recursive: false,
            idmapped: false,
        },
        target: NOTIFY_INSIDE.into(),
        attributes: MountAttributes { nosuid: true, nodev: true, noexec: true, ..MountAttributes::default() },
        create: Some(NodeKind::File),
        optional: false,
        asked_by: None,
        reason: "a hook waits until the system is up, and init says so there".into(),
    });
}

/// The directory, the same for all containers of a caller, at which a root is mounted where programs of the host have to know
/// it by a path. Each has it in its own mount namespace, so nobody is in another's way.
pub fn place_root(plan: &mut Plan) {
    let amid = |call: &HookCall| {
        AMID_MOUNTS.contains(&call.event.as_str()) && matches!(call.target, HookTarget::Program { .. })
    };
    if plan.hooks.calls.iter().any(amid) {
        // Beside the directories that are closed to everybody: the container's root has to get there.
        plan.hooks.rootfs = plan.container.run.ancestors().nth(2).map(|top| top.join("rootfs"));
    }
}

impl HooksPlan {
    /// What is due at an event.
    pub fn due<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a HookCall> {
        self.calls.iter().filter(move |call| call.event == event)
    }

    /// Whether a program of the host is.
    #[must_use]
    pub fn runs_program(&self, event: &str) -> bool {
        self.due(event).any(|call| matches!(call.target, HookTarget::Program { .. }))
    }

    /// Whether anything is.
    #[must_use]
    pub fn is_due(&self, event: &str) -> bool {
        self.due(event).next().is_some()
    }
}

impl HookCall {
    /// As people read it.
    #[must_use]
    pub fn phrase(&self) -> String {
        match &self.target {
            HookTarget::Plugin { name, .. } => format!("{}: call {name}", self.event),
            HookTarget::Program { line, .. } => format!("{}: run {line} (unconfined)", self.event),
        }
    }

    /// How it is kept in bounds.
    #[must_use]
    pub fn terms(&self) -> String {
        let failure = if self.aborts { "a failure ends the operation" } else { "a failure is reported" };
        format!("at most {} ms; {failure}", self.budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_told_by_the_event_alone() {
        let call = |event: &str, line: &str| HookCall {
            event: event.into(),
            target: HookTarget::Program { line: line.into(), version: 0 },
            aborts: true,
            budget: 10,
        };
        let plan = HooksPlan {
            calls: vec![call("stop", "a"), call("pre-start", "b"), call("stop", "c")],
            ..HooksPlan::default()
        };
        let due: Vec<String> = plan.due("stop").map(HookCall::phrase).collect();
        assert_eq!(due, ["stop: run a (unconfined)", "stop: run c (unconfined)"]);
        assert!(plan.is_due("pre-start") && !plan.is_due("post-stop"));
    }
}
