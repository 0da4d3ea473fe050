#![forbid(unsafe_code)]
//! The list of operations of an entry, in the order in which they have to happen.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wxc_child::op::{Op, ROOT, Slot, Slots};
use wxc_child::sync::Point;

use super::Elevated;
use super::environment::Environment;
use super::streams::Streams;
use super::target::Flags;
use crate::plan::Plan;
use crate::runtime::RuntimeError;
use crate::runtime::accounts::Account;
use crate::runtime::caps::{self, CapabilitySet};
use crate::runtime::compile::{self, DEFAULT_PATH};
use crate::runtime::program::{Builder, Compiled};

/// Everything that is decided about an entry. The same list is made of it in each process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) argv: Option<Vec<String>>,
    pub(super) cwd: Option<String>,
    pub(super) elevated: Elevated,
    /// What the joiner writes itself into, for messages.
    pub(super) cgroups: Vec<PathBuf>,
    pub(super) plan: Plan,
    pub(super) account: Account,
    pub(super) environment: Environment,
    pub(super) namespaces: Flags,
    pub(super) streams: Streams,
}

/// What the first slots are given: the container's root, then this.
const INIT: Slot = Slot(1);
const STREAMS: [Slot; 3] = [Slot(2), Slot(3), Slot(4)];
/// Then the files of the cgroups.
const CGROUPS: u16 = 5;

const NONE: Slots = Slots { first: 0, count: 0 };

impl Entry {
    /// Whether the parent has limits to set before the joiner goes on.
    fn limited(&self) -> bool {
        !self.elevated.cgroup && !self.plan.limits.is_empty()
    }

    pub(super) fn compile(&self) -> Result<Compiled, RuntimeError> {
        let mut builder = Builder::default();
        let cgroups = u16::try_from(self.cgroups.len()).unwrap_or(u16::MAX);
        builder.slots(CGROUPS.saturating_add(cgroups))?;
        self.join(&mut builder, cgroups)?;
        let terminal = builder.slots(2)?;
        self.terminal(&mut builder, Slot(terminal.first), Slot(terminal.first + 1))?;
        self.restrict(&mut builder)?;
        self.execute(&mut builder, Slot(terminal.first + 1))?;
        Ok(builder.finish())
    }

    /// The joiner's part.
    fn join(&self, builder: &mut Builder, cgroups: u16) -> Result<(), RuntimeError> {
        let die = Op::DieWithParent { signal: libc::SIGKILL };
        builder.step("ask to end with the command", die);
        // Nothing in the container may look into this process while it still knows the host.
        builder.step("refuse to be traced", Op::Undumpable);
        for (path, slot) in self.cgroups.iter().zip(CGROUPS..CGROUPS + cgroups) {
            let label = format!("enter the cgroup {}", path.display());
            builder.step(label, Op::JoinCgroup { processes: Slot(slot) });
        }
        if self.limited() {
            let op = Op::Meet { point: Point::Born, send: NONE, receive: NONE };
            builder.step("wait for the resource limits", op);
        }
        if self.namespaces != 0 {
            // In one call: the user namespace gives the rights over the others, and what was
            // checked is what is entered.
            let op = Op::Enter { namespaces: INIT, flags: self.namespaces };
            builder.step("enter the namespaces", op);
        }
        builder.step("make a process inside", Op::Sibling);
        // A new process has not asked for it yet.
        builder.step("ask to end with the command", die);
        if self.namespaces & libc::CLONE_NEWUSER != 0 {
            become_user(builder, &self.plan, "become root of the container", 0, 0, &[])?;
        }
        if self.plan.security.keyring {
            builder.step("take a session keyring", Op::Keyring);
        }
        Ok(())
    }

    /// Made while still root of the container: the terminal belongs to the user from the beginning.
    fn terminal(&self, builder: &mut Builder, master: Slot, slave: Slot) -> Result<(), RuntimeError> {
        let mut send = NONE;
        if self.streams.any() {
            debug_assert_eq!(ROOT, Slot(0), "the root is the first that is given");
            let owner = Some(self.account.user);
            let op = Op::Terminal { master, slave, target: None, owner };
            builder.step("make a terminal in the container", op);
            send = Slots { first: master.0, count: 1 };
        }
        let op = Op::Meet { point: Point::Joined, send, receive: NONE };
        builder.step("hand the terminal over", op);
        Ok(())
    }

    /// As [`compile`] does for init, in the same order for the same reasons.
    fn restrict(&self, builder: &mut Builder) -> Result<(), RuntimeError> {
        let (elevated, security) = (self.elevated, &self.plan.security);
        if let Some(persona) = &self.plan.init.personality {
            builder.step(format!("take the personality {persona}"), compile::personality(persona)?);
        }
        builder.step("set the umask", Op::Umask { mask: 0o022 });
        let keep = self.capabilities()?;
        let last =
            caps::last().map_err(|error| RuntimeError::part("limit the capabilities", &error, None))?;
        builder.step("limit the bounding set", Op::Bounding { keep, last: last.into() });
        let filter = if elevated.seccomp { None } else { compile::filter(builder, &self.plan)? };
        let no_new_privs = security.no_new_privs && !elevated.capabilities;
        // A filter needs CAP_SYS_ADMIN, which may go with the ids, or no_new_privs.
        if let (Some(op), false) = (filter, no_new_privs) {
            builder.step("load the system-call filter", op);
        }
        let Account { user, group, groups, .. } = &self.account;
        let label = format!("become user {user}, group {group}");
        become_user(builder, &self.plan, &label, *user, *group, groups)?;
        builder.step("limit the capabilities", Op::Capabilities { keep });
        if no_new_privs {
            builder.step("forbid new privileges", Op::NoNewPrivs);
            if let Some(op) = filter {
                builder.step("load the system-call filter", op);
            }
        }
        Ok(())
    }

    fn capabilities(&self) -> Result<u64, RuntimeError> {
        if self.elevated.capabilities {
            return Ok(u64::MAX);
        }
        let set = CapabilitySet::from_names(&self.plan.security.capabilities);
        Ok(set.map_err(|error| RuntimeError::part("read the capabilities", &error, None))?.0)
    }

    fn execute(&self, builder: &mut Builder, slave: Slot) -> Result<(), RuntimeError> {
        // As the user, who may not be allowed to go everywhere.
        if let Some(cwd) = &self.cwd {
            let path = builder.text(cwd.as_str())?;
            builder.step(format!("change to the directory {cwd}"), Op::Chdir { path });
        } else {
            let paths = builder.texts([self.account.home.as_str(), "/"])?;
            builder.step("change to the home directory", Op::ChdirAny { paths });
        }
        // Always a session of its own: whoever shares the caller's can reach its terminal.
        let terminal = self.streams.any().then_some(slave);
        builder.step("begin a session", Op::Session { terminal });
        let [input, output, error] = self.streams.choose(STREAMS, slave);
        builder.step("connect the standard streams", Op::Stdio { input, output, error });
        builder.step("let all signals through", Op::Signals);
        builder.step("close what is the caller's", Op::CloseOnExec);
        let environment =
            self.environment.iter().map(|(name, value)| [name.as_bytes(), b"=", value.as_slice()].concat());
        let envp = builder.vector(environment)?;
        if let Some(argv) = &self.argv {
            let path = self.environment.get("PATH").map(|path| String::from_utf8_lossy(path));
            return compile::execute(builder, argv, path.as_deref().unwrap_or(DEFAULT_PATH), envp);
        }
        let shell = self.account.shell();
        if shell != Account::SHELL {
            let programs = builder.texts([shell])?;
            let argv = builder.vector([shell])?;
            // A shell that was removed must not lock its user out.
            builder.steps(&format!("execute {shell}"), true, &[Op::Exec { programs, argv, envp }])?;
        }
        compile::execute(builder, &[Account::SHELL.to_owned()], DEFAULT_PATH, envp)
    }
}

/// Changes the ids, and asks again for what a change of ids takes away.
fn become_user(
    builder: &mut Builder,
    plan: &Plan,
    label: &str,
    user: u32,
    group: u32,
    groups: &[u32],
) -> Result<(), RuntimeError> {
    let groups = compile::groups(builder, plan, groups)?;
    builder.step(label, Op::Ids { user, group, groups });
    builder.step("refuse to be traced", Op::Undumpable);
    builder.step("ask to end with the command", Op::DieWithParent { signal: libc::SIGKILL });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::attach::TerminalUse;
    use crate::runtime::attach::fixture::plan;

    fn labels(change: impl FnOnce(&mut Entry)) -> Vec<String> {
        let mut entry = Entry {
            argv: Some(vec!["id".to_owned()]),
            cwd: None,
            elevated: Elevated::default(),
            cgroups: vec!["/cg/pids".into()],
            plan: plan(),
            account: Account::stranger(7),
            environment: Environment::new(),
            namespaces: libc::CLONE_NEWNS,
            streams: Streams::of([rustix::stdio::stdin(); 3], TerminalUse::Always),
        };
        change(&mut entry);
        entry.compile().unwrap().labels().to_vec()
    }

    fn place(labels: &[String], label: &str) -> usize {
        labels.iter().position(|found| found == label).unwrap_or_else(|| panic!("{label}: {labels:?}"))
    }

    #[test]
    fn what_must_come_first_comes_first() {
        let labels = labels(|_| {});
        let order = [
            "refuse to be traced",
            "enter the cgroup /cg/pids",
            "enter the namespaces",
            "make a process inside",
            "make a terminal in the container",
            "limit the bounding set",
            "load the system-call filter",
            "become user 7, group 7",
            "limit the capabilities",
            "change to the home directory",
            "close what is the caller's",
            "execute id",
        ];
        let places: Vec<usize> = order.iter().map(|label| place(&labels, label)).collect();
        assert!(places.is_sorted(), "{labels:?}");
        assert_eq!(labels.last().map(String::as_str), Some("execute id"));
    }

    #[test]
    fn without_new_privileges_the_filter_comes_last() {
        let labels = labels(|entry| entry.plan.security.no_new_privs = true);
        let filter = place(&labels, "load the system-call filter");
        assert!(filter > place(&labels, "forbid new privileges"));
    }

    #[test]
    fn the_elevated_are_spared() {
        let labels = labels(|entry| entry.elevated = Elevated::ALL);
        assert!(!labels.iter().any(|label| label.contains("filter")), "{labels:?}");
    }
}
