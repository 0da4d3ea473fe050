#![forbid(unsafe_code)]
//! Which namespaces a container gets, in which order, and why (namespaces(7)).

use crate::config::Container;
use crate::config::namespaces::Choice;
use crate::config::network::NetworkKind;

use super::facts::{Facts, Support};
use super::{Namespace, NamespaceAction, NamespaceStep, PlanError, TimeOffsets};

/// What is said about a kind of namespace, and where its absence comes from.
struct Row {
    kind: Namespace,
    name: &'static str,
    /// What the kernel was built without when it lacks it.
    option: &'static str,
    new: &'static str,
}

/// In the order in which they are made.
#[rustfmt::skip]
const ROWS: [Row; 8] = [
    Row { kind: Namespace::User, name: "user", option: "CONFIG_USER_NS", new: "root inside is an ordinary user of the host; made first, so that it owns all the others" },
    Row { kind: Namespace::Mount, name: "mount", option: "", new: "mounts of the container are invisible outside" },
    Row { kind: Namespace::Pid, name: "PID", option: "CONFIG_PID_NS", new: "init is process 1, and everything dies with it" },
    Row { kind: Namespace::Uts, name: "UTS", option: "CONFIG_UTS_NS", new: "a host name of its own" },
    Row { kind: Namespace::Ipc, name: "IPC", option: "CONFIG_IPC_NS", new: "no shared memory, semaphores or message queues of the host" },
    Row { kind: Namespace::Net, name: "network", option: "CONFIG_NET_NS", new: "devices, addresses, routes and abstract sockets of its own" },
    Row { kind: Namespace::Cgroup, name: "cgroup", option: "CONFIG_CGROUPS", new: "sees its own cgroup as the root; unshared only when it is in there, because where it is becomes the root" },
    Row { kind: Namespace::Time, name: "time", option: "CONFIG_TIME_NS", new: "clocks with offsets; made before the child, because one enters only those of its parent" },
];

/// The namespaces of `container`: those joined first, because a process inside its own user
/// namespace has no right to join the host's others (setns(2)), then new ones.
///
/// # Errors
/// When this kernel or caller cannot make one of them.
pub fn steps(container: &Container, facts: &Facts) -> Result<Vec<NamespaceStep>, PlanError> {
    let mut steps = Vec::with_capacity(ROWS.len());
    for row in &ROWS {
        let Some(action) = action(row.kind, container) else { continue };
        if action == NamespaceAction::New {
            available(row, container, facts)?;
        }
        let reason = match &action {
            NamespaceAction::New => row.new,
            NamespaceAction::Keep => "asked for: the host's stays",
            NamespaceAction::Join(_) => "asked for; joined before the user namespace is entered",
        };
        steps.push(NamespaceStep { kind: row.kind, action, reason: reason.into() });
    }
    steps.sort_by_key(|step| !matches!(step.action, NamespaceAction::Join(_)));
    Ok(steps)
}

/// With its article, for a sentence: `an IPC namespace`.
#[must_use]
pub fn phrase(kind: Namespace) -> String {
    let name = ROWS.iter().find(|row| row.kind == kind).map_or("", |row| row.name);
    format!("{} {name} namespace", if kind == Namespace::Ipc { "an" } else { "a" })
}

/// `None`: not spoken of.
fn action(kind: Namespace, container: &Container) -> Option<NamespaceAction> {
    let choices = &container.namespaces;
    let choice = match kind {
        Namespace::User if container.privileged => &Choice::Keep,
        Namespace::User | Namespace::Mount => &Choice::New,
        Namespace::Pid => &choices.pid,
        Namespace::Uts => &choices.uts,
        Namespace::Ipc => &choices.ipc,
        Namespace::Net if shares_network(container) => &Choice::Keep,
        Namespace::Net => &choices.net,
        Namespace::Cgroup => &choices.cgroup,
        Namespace::Time => return offsets(container).map(|_| NamespaceAction::New),
    };
    Some(match choice {
        Choice::New => NamespaceAction::New,
        Choice::Keep => NamespaceAction::Keep,
        Choice::Join(path) => NamespaceAction::Join(path.clone()),
    })
}

/// `[[network]] type = "none"` or `namespaces.net = "keep"`.
#[must_use]
pub fn shares_network(container: &Container) -> bool {
    container.namespaces.net == Choice::Keep
        || container.network.iter().any(|entry| entry.kind == NetworkKind::None)
}

/// The offsets of a time namespace, if one is asked for.
#[must_use]
pub fn offsets(container: &Container) -> Option<TimeOffsets> {
    let (boottime, monotonic) = (container.namespaces.boottime_offset, container.namespaces.monotonic_offset);
    (boottime.is_some() || monotonic.is_some()).then(|| TimeOffsets {
        boottime: boottime.unwrap_or_default(),
        monotonic: monotonic.unwrap_or_default(),
    })
}

fn available(row: &Row, container: &Container, facts: &Facts) -> Result<(), PlanError> {
    let feature = phrase(row.kind);
    if !facts.namespaces.contains(&row.kind) {
        let advice = match row.kind {
            Namespace::User => {
                format!("boot a kernel with {}=y, or make the container privileged", row.option)
            }
            Namespace::Time => {
                format!("boot Linux 5.6 or newer with {}=y, or remove the offsets", row.option)
            }
            _ => format!("boot a kernel with {}=y", row.option),
        };
        return Err(PlanError::missing(feature, "this kernel has none", advice));
    }
    if let (Namespace::User, Support::No { because, advice }) = (row.kind, &facts.user_namespaces) {
        return Err(PlanError::missing(feature, because.clone(), advice.clone()));
    }
    // The other kinds need CAP_SYS_ADMIN, which the user namespace gives; without it one must be root.
    if container.privileged && !facts.caller.is_root() {
        return Err(PlanError::refused(
            "privileged",
            "only root can start a privileged container",
            "start it as root, or set `privileged = false`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(steps: &[NamespaceStep]) -> Vec<Namespace> {
        steps.iter().map(|step| step.kind).collect()
    }

    #[test]
    fn by_default_everything_but_time_is_new() {
        use Namespace::{Cgroup, Ipc, Mount, Net, Pid, User, Uts};
        let steps = steps(&Container::default(), &Facts::ordinary()).unwrap();
        assert_eq!(kinds(&steps), [User, Mount, Pid, Uts, Ipc, Net, Cgroup]);
        assert!(steps.iter().all(|step| step.action == NamespaceAction::New));
    }

    #[test]
    fn one_that_is_joined_comes_before_the_user_namespace() {
        let mut container = Container::default();
        container.namespaces.net = Choice::Join("/run/netns/blue".into());
        let steps = steps(&container, &Facts::ordinary()).unwrap();
        assert_eq!(steps[0].action, NamespaceAction::Join("/run/netns/blue".into()));
        assert_eq!(steps[1].kind, Namespace::User);
    }

    #[test]
    fn an_offset_makes_a_time_namespace() {
        let mut container = Container::default();
        container.namespaces.boottime_offset = Some(60);
        let steps = steps(&container, &Facts::ordinary()).unwrap();
        assert_eq!(steps.last().map(|step| step.kind), Some(Namespace::Time));
        assert_eq!(offsets(&container), Some(TimeOffsets { boottime: 60, monotonic: 0 }));
    }

    #[test]
    fn a_kernel_without_one_is_named_with_its_option() {
        let mut facts = Facts::ordinary();
        facts.namespaces.remove(&Namespace::Pid);
        let error = steps(&Container::default(), &facts).unwrap_err();
        assert_eq!(error.to_string(), "a PID namespace is not available: this kernel has none");
        assert_eq!(error.hint(), "boot a kernel with CONFIG_PID_NS=y");
    }

    #[test]
    fn forbidden_user_namespaces_are_explained_in_the_words_of_the_facts() {
        let mut facts = Facts::ordinary();
        facts.user_namespaces = Support::No { because: "a sysctl is 0".into(), advice: "set it to 1".into() };
        let error = steps(&Container::default(), &facts).unwrap_err();
        assert_eq!(error.hint(), "set it to 1");
        let privileged = Container { privileged: true, ..Container::default() };
        assert!(steps(&privileged, &facts).is_ok());
    }

    #[test]
    fn only_root_starts_a_privileged_container() {
        let mut facts = Facts::ordinary();
        facts.caller.uid = 1000;
        let container = Container { privileged: true, ..Container::default() };
        let error = steps(&container, &facts).unwrap_err();
        assert!(error.to_string().contains("only root"), "{error}");
    }
}
