//! The rules themselves, free of the host.

use crate::bindings::wxc::hook::types::{Context, MountSource};

/// What the administrator set.
pub struct Rules {
    pub privileged: Privileged,
    /// The label that says why a container is privileged.
    pub label: String,
    pub memory_limit: bool,
    /// Where mounts may come from; `None`: from anywhere.
    pub directories: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Privileged {
    Allow,
    Labelled,
    Refuse,
}

impl Rules {
    /// The host has checked the words; one that it does not know is the strictest.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let privileged = match get("privileged").as_deref() {
            Some("allow") => Privileged::Allow,
            Some("labelled") => Privileged::Labelled,
            _ => Privileged::Refuse,
        };
        let list = |text: String| text.split(':').filter(|d| !d.is_empty()).map(str::to_owned).collect();
        Self {
            privileged,
            label: get("label").unwrap_or_default(),
            memory_limit: get("memory-limit").as_deref() == Some("true"),
            directories: get("host-directories").map(list),
        }
    }
}

/// The first rule that a container breaks, as a sentence.
pub fn broken(context: &Context, rules: &Rules) -> Option<String> {
    let container = &context.container;
    let labelled = container.labels.iter().any(|l| l.name == rules.label && !l.value.trim().is_empty());
    let label = &rules.label;
    match rules.privileged {
        Privileged::Refuse if container.privileged => {
            return Some("privileged containers are not allowed here".to_owned());
        }
        Privileged::Labelled if container.privileged && !labelled => {
            return Some(format!("it is privileged, and no label {label:?} says what for"));
        }
        _ => {}
    }
    if rules.memory_limit
        && !context.plan.limits.iter().any(|l| l.name == "memory.max" && l.value != "\"max\"")
    {
        return Some("it has no limit of memory (cgroup.memory.max)".to_owned());
    }
    let allowed = rules.directories.as_ref()?;
    context.plan.mounts.iter().find_map(|mount| match &mount.source {
        MountSource::Other(path) if path.starts_with('/') => {
            let inside = allowed.iter().any(|top| is_below(path, top));
            (!is_own(path, &mount.target) && !inside).then(|| {
                format!("it mounts {path} of the host, which is below none of {}", allowed.join(", "))
            })
        }
        _ => None,
    })
}

/// Whether wxc mounts it by itself, in every container: the container's own identity, and the host's devices and parts of `/sys` at their
/// own places. By the target alone anything of the host could be shown below `/dev`.
fn is_own(path: &str, target: &str) -> bool {
    let made = ["/proc/sys/kernel/random/boot_id", "/dev/wxc-notify"].contains(&target);
    made || path == target && ["/dev", "/sys"].iter().any(|top| is_below(path, top))
}

fn is_below(path: &str, top: &str) -> bool {
    let top = top.trim_end_matches('/');
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::wxc::hook::types::{Container, Detail, Event, Mount, Plan};
    use crate::bindings::wxc::host::types::Pair;

    fn context(privileged: bool) -> Context {
        Context {
            event: Event::PreStart,
            container: Container {
                name: "web".into(),
                architecture: "x86_64".into(),
                privileged,
                ephemeral: false,
                pid: None,
                labels: vec![],
                settings: vec![],
            },
            plan: Plan {
                hostname: "web".into(),
                init: vec![],
                environment: vec![],
                mounts: vec![],
                devices: vec![],
                interfaces: vec![],
                limits: vec![],
                sysctls: vec![],
                capabilities: vec![],
            },
            detail: Detail::None,
            arguments: vec![],
        }
    }

    fn rules(settings: &[(&str, &str)]) -> Rules {
        let known = [("privileged", "labelled"), ("label", "why")];
        Rules::read(|key| {
            let find =
                |list: &[(&str, &str)]| list.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned());
            find(settings).or_else(|| find(&known))
        })
    }

    #[test]
    fn privileges_need_a_reason() {
        assert!(broken(&context(false), &rules(&[])).is_none());
        assert!(broken(&context(true), &rules(&[])).unwrap().contains("no label \"why\""));
        let mut labelled = context(true);
        labelled.container.labels.push(Pair { name: "why".into(), value: "backup of the host".into() });
        assert!(broken(&labelled, &rules(&[])).is_none());
        assert!(broken(&labelled, &rules(&[("privileged", "refuse")])).is_some());
        assert!(broken(&context(true), &rules(&[("privileged", "allow")])).is_none());
        labelled.container.labels[0].value = " ".into();
        assert!(broken(&labelled, &rules(&[])).is_some());
    }

    #[test]
    fn a_limit_that_is_none_is_none() {
        let rules = rules(&[("memory-limit", "true")]);
        let mut context = context(false);
        assert!(broken(&context, &rules).is_some());
        context.plan.limits.push(Pair { name: "memory.max".into(), value: "\"max\"".into() });
        assert!(broken(&context, &rules).is_some());
        context.plan.limits[0].value = "\"512M\"".into();
        assert!(broken(&context, &rules).is_none());
    }

    #[test]
    fn mounts_come_from_where_they_may() {
        let rules = rules(&[("host-directories", "/srv:/data/")]);
        for (path, target, good) in [
            ("/srv", "/a", true),
            ("/data/x", "/a", true),
            ("/srvx", "/a", false),
            ("/etc", "/a", false),
            ("/run/wxc/k/web/boot-id", "/proc/sys/kernel/random/boot_id", true),
            ("tmpfs", "/dev/shm", true),
            ("/dev/null", "/dev/null", true),
            ("/sys/fs/cgroup", "/sys/fs/cgroup", true),
            ("the container's /proc/sys", "/proc/sys", true),
            ("/etc", "/dev/x", false),
            ("/etc", "/system", false),
            ("/sysadmin", "/sysadmin", false),
        ] {
            let mut context = context(false);
            let source = MountSource::Other(path.into());
            context.plan.mounts.push(Mount { source, target: target.into(), options: vec![] });
            assert_eq!(broken(&context, &rules).is_none(), good, "{path}");
        }
    }
}
