#![forbid(unsafe_code)]
//! Programs of the host at LXC's hook points, told what LXC tells them: a bridge for those who come from there.
//!
//! Nothing confines such a program, so the administrator has to allow it, and every place that shows hooks says so. What it
//! gets that it did not get from LXC is an end: after its time, it and its whole process group are killed.

use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::act::Happening;
use super::reach;
use crate::container::journal::chain;
use crate::container::{Error, Host};
use crate::plan::hooks::AMID_MOUNTS;
use crate::plan::{Plan, RootSource};
use crate::plugin::hook::types::Detail;
use crate::runtime::{Inside, InsideProgram};
use crate::sys::run::{self, Ended, How, Invocation};

/// One line for the shell.
#[derive(Debug)]
pub(super) struct Program<'a> {
    pub(super) line: &'a str,
    /// 0 tells with arguments, 1 with variables alone.
    pub(super) version: u32,
    pub(super) budget: Duration,
}

const SHELL: &str = "/bin/sh";
/// Where a program finds the container's root.
const ROOTFS_MOUNT: &str = "LXC_ROOTFS_MOUNT";
/// Most bytes of each output that are kept.
const KEPT: usize = 16 << 10;
/// Set for every program: commands of wxc's refuse to change the container whose hook they are called from.
pub(crate) const INSIDE: &str = "WXC_HOOK_OF";

/// Runs it; what it wrote.
pub(super) fn run(
    host: &Host,
    plan: &Plan,
    event: &str,
    happening: &Happening,
    program: &Program<'_>,
) -> (String, Result<(), Error>) {
    match try_run(host, plan, event, happening, program) {
        Err(error) => (String::new(), Err(error)),
        Ok((said, result)) => (said, result),
    }
}

/// What it wrote, and how it ended, if it could be run.
fn try_run(
    host: &Host,
    plan: &Plan,
    event: &str,
    happening: &Happening,
    program: &Program<'_>,
) -> Result<(String, Result<(), Error>), Error> {
    let failed = |why: String| Error::Invalid {
        message: format!("the hook {:?} of {} at {event} {why}", program.line, plan.container.name),
        hint: format!("what it wrote is in {}", plan.container.directory.join("hooks.log").display()),
    };
    // As LXC: the arguments stand behind the line, so that one with arguments of its own keeps them first.
    let mut argv =
        vec!["sh".to_owned(), "-c".into(), format!("{} \"$@\"", program.line), program.line.into()];
    let (section, kind) = words(event);
    if program.version == 0 {
        argv.extend([plan.container.name.clone(), section.into(), kind.to_owned()]);
        argv.extend(network(happening).into_iter().map(|(_, value)| value));
        argv.extend(happening.namespaces.iter().map(|(name, path)| format!("{name}:{}", path.display())));
    }
    argv.extend(happening.arguments.iter().cloned());
    let mut environment = environment(plan, event, happening, program.version);
    let ended = if event == "start" || AMID_MOUNTS.contains(&event) {
        inside(plan, event, happening, (argv, environment), program.budget)
    } else {
        // The root of a copy is mounted for its hooks, as with LXC; here for as long as this process lives, and nowhere in a tree.
        let copied =
            if event == "clone" { Some(reach::rest(host, &plan.container.name.parse()?)?) } else { None };
        if let Some((_, volume)) = &copied {
            environment.push((ROOTFS_MOUNT.to_owned(), name_of(volume.root())));
        }
        let ended = outside(argv, &environment, program.budget);
        if let (Some((_, volume)), Ok(_)) = (&copied, &ended) {
            volume
                .sync()
                .map_err(Error::io("write what a hook changed to the disk of", &host.layout.path))?;
        }
        ended
    };
    let ended = ended.map_err(|why| failed(format!("could not be run: {why}")))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let last = said.lines().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {line}"));
    let last = last.unwrap_or_default();
    let result = match ended.how {
        How::Itself(0) => Ok(()),
        How::Itself(code @ 129..) => Err(failed(format!("was ended by signal {}{last}", code - 128))),
        How::Itself(code) => Err(failed(format!("failed with exit code {code}{last}"))),
        How::Late => Err(failed(format!("was ended after its {} ms{last}", program.budget.as_millis()))),
        How::Cancelled => Err(failed("was stopped".into())),
    };
    Ok((said, result))
}

/// On the host.
fn outside(argv: Vec<String>, environment: &[(String, String)], deadline: Duration) -> Result<Ended, String> {
    let argv: Vec<OsString> = argv.into_iter().map(OsString::from).collect();
    let program = Path::new(SHELL);
    let invocation = Invocation { program, argv: &argv, environment, inherit: &[], deadline, capture: KEPT };
    run::run(&invocation, &|| false).map_err(|error| error.to_string())
}

/// In the container's namespaces: at `start` in the container, with a shell of its own and what it may do; before that with the
/// host's files, as the root of the container.
fn inside(
    plan: &Plan,
    event: &str,
    happening: &Happening,
    (mut argv, environment): (Vec<String>, Vec<(String, String)>),
    deadline: Duration,
) -> Result<Ended, String> {
    if let Some(first) = argv.first_mut() {
        SHELL.clone_into(first);
    }
    let init = happening.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    let of_host = event != "start";
    let program = InsideProgram { argv, environment, of_host, ..InsideProgram::default() };
    let ran = Inside::starting(plan, init).and_then(|inside| inside.run(&program, deadline, KEPT, &|| false));
    ran.map_err(|error| chain(&error))
}

/// A path at which other processes find what this one has open.
fn name_of(fd: BorrowedFd<'_>) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd())
}

/// LXC's words for where a hook stands and which it is.
fn words(event: &str) -> (&'static str, &str) {
    match event.strip_prefix("network-") {
        Some(kind) => ("net", kind),
        None => ("lxc", event),
    }
}

/// What LXC tells scripts of the network, in its order.
fn network(happening: &Happening) -> Vec<(&'static str, String)> {
    let Detail::Network(link) = &happening.detail else { return Vec::new() };
    vec![
        ("LXC_NET_TYPE", link.kind.clone()),
        ("LXC_NET_PARENT", link.parent.clone().unwrap_or_default()),
        ("LXC_NET_PEER", link.peer.clone().unwrap_or_default()),
    ]
}

/// LXC's variables for namespaces.
fn namespace(name: &str) -> Option<&'static str> {
    const VARIABLES: [(&str, &str); 8] = [
        ("user", "LXC_USER_NS"),
        ("mnt", "LXC_MNT_NS"),
        ("pid", "LXC_PID_NS"),
        ("uts", "LXC_UTS_NS"),
        ("ipc", "LXC_IPC_NS"),
        ("net", "LXC_NET_NS"),
        ("cgroup", "LXC_CGROUP_NS"),
        ("time", "LXC_TIME_NS"),
    ];
    VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, variable)| *variable)
}

/// LXC's variables.
fn environment(plan: &Plan, event: &str, happening: &Happening, version: u32) -> Vec<(String, String)> {
    let directory = &plan.container.directory;
    let storage = plan.rootfs.storage.trim_start_matches("storage-");
    let root = match &plan.rootfs.source {
        RootSource::Tree { pool, relative } | RootSource::Disk { pool, relative, .. } => pool.join(relative),
        RootSource::Overlay { pool, upper, lower } => {
            let top = upper.as_ref().map(|side| &side.upper).or(lower.first());
            top.map_or_else(|| pool.clone(), |top| pool.join(top))
        }
        RootSource::Device { device, .. } => device.clone(),
    };
    let mut all = vec![
        ("LXC_NAME", plan.container.name.clone()),
        ("LXC_CONFIG_FILE", directory.join("container.toml").display().to_string()),
        ("LXC_ROOTFS_PATH", format!("{storage}:{}", root.display())),
        ("LXC_CGNS_AWARE", "1".into()),
        ("LXC_LOG_LEVEL", "INFO".into()),
        ("LXC_HOOK_VERSION", version.to_string()),
        (INSIDE, format!("{}/{}", plan.container.path.display(), plan.container.name)),
    ];
    if version == 1 {
        let (section, kind) = words(event);
        all.extend([("LXC_HOOK_TYPE", kind.to_owned()), ("LXC_HOOK_SECTION", section.into())]);
        all.extend(network(happening));
    }
    all.extend(plan.hooks.rootfs.iter().map(|path| (ROOTFS_MOUNT, path.display().to_string())));
    if version == 1 {
        let variable =
            |(name, path): &(String, PathBuf)| Some((namespace(name)?, path.display().to_string()));
        all.extend(happening.namespaces.iter().filter_map(variable));
    }
    all.extend(happening.pid.map(|pid| ("LXC_PID", pid.to_string())));
    all.extend(plan.console.log.as_ref().map(|log| ("LXC_CONSOLE_LOGPATH", log.file.display().to_string())));
    match &happening.detail {
        Detail::Ending(ending) => {
            all.push(("LXC_TARGET", if ending.reboot { "reboot" } else { "stop" }.into()));
        }
        Detail::Origin(origin) => all.push(("LXC_SRC_NAME", origin.clone())),
        _ => {}
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
