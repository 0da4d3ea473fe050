#![forbid(unsafe_code)]
//! Programs of the host at LXC's hook points, told what LXC tells them: a bridge for those who come from there.
//!
//! Nothing confines such a program, so the administrator has to allow it, and every place that shows hooks says so. What it
//! gets that it did not get from LXC is an end: after its time, it and its whole process group are killed.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::act::Happening;
use crate::container::Error;
use crate::plan::{Plan, RootSource};
use crate::plugin::hook::types::Detail;
use crate::sys::run::{self, How, Invocation};

/// One line for the shell.
#[derive(Debug)]
pub(super) struct Program<'a> {
    pub(super) line: &'a str,
    /// 0 tells with arguments, 1 with variables alone.
    pub(super) version: u32,
    pub(super) budget: Duration,
}

const SHELL: &str = "/bin/sh";
/// Most bytes of each output that are kept.
const KEPT: usize = 16 << 10;
/// Set for every program: commands of wxc's refuse to change the container whose hook they are called from.
pub(crate) const INSIDE: &str = "WXC_HOOK_OF";

/// Runs it; what it wrote.
pub(super) fn run(
    plan: &Plan,
    event: &str,
    happening: &Happening,
    program: &Program<'_>,
) -> Result<String, Error> {
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
    }
    argv.extend(happening.arguments.iter().cloned());
    let argv: Vec<OsString> = argv.into_iter().map(OsString::from).collect();
    let environment = environment(plan, event, happening, program.version);
    let invocation = Invocation {
        program: Path::new(SHELL),
        argv: &argv,
        environment: &environment,
        inherit: &[],
        deadline: program.budget,
        capture: KEPT,
    };
    let ended = run::run(&invocation, &|| false).map_err(|why| failed(format!("could not be run: {why}")))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let last = said.lines().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {line}"));
    let last = last.unwrap_or_default();
    match ended.how {
        How::Itself(0) => Ok(said),
        How::Itself(code @ 129..) => Err(failed(format!("was ended by signal {}{last}", code - 128))),
        How::Itself(code) => Err(failed(format!("failed with exit code {code}{last}"))),
        How::Late => Err(failed(format!("was ended after its {} ms{last}", program.budget.as_millis()))),
        How::Cancelled => Err(failed("was stopped".into())),
    }
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
