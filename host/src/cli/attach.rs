#![forbid(unsafe_code)]
//! `wxc attach`.

use std::process::ExitCode;

use super::args::Attach;
use super::context::{self, Context};
use super::foreground;
use super::report::Failure;
use crate::config::Name;
use crate::container::{Error, Host, store, watch};
use crate::plan::Namespace;
use crate::runtime::{self, AttachRequest, Elevated, TerminalUse};

/// The words for namespaces: the kernel's and, behind them, those of LXC.
const NAMESPACES: &[(Namespace, &[&str])] = &[
    (Namespace::User, &["user"]),
    (Namespace::Mount, &["mount", "mnt"]),
    (Namespace::Pid, &["pid"]),
    (Namespace::Uts, &["uts", "utsname"]),
    (Namespace::Ipc, &["ipc"]),
    (Namespace::Net, &["net", "network"]),
    (Namespace::Cgroup, &["cgroup"]),
    (Namespace::Time, &["time"]),
];

pub(super) fn attach(context: &Context, args: Attach) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let name = context::name(&args.target)?;
    let (user, group) = match args.user.as_deref().map(|user| user.split_once(':').ok_or(user)) {
        Some(Ok((user, group))) => (Some(user.to_string()), Some(group.to_string())),
        Some(Err(user)) => (Some(user.to_string()), None),
        None => (None, None),
    };
    let cwd = match args.cwd.map(|cwd| cwd.into_os_string().into_string()).transpose() {
        Ok(cwd) => cwd,
        Err(cwd) => return Err(Failure::new(format!("{} is not UTF-8", cwd.display()))),
    };
    let all = args.elevated_privileges;
    let request = AttachRequest {
        run: host.layout.run_directory(&name),
        name: name.to_string(),
        argv: (!args.command.is_empty()).then_some(args.command),
        user,
        group,
        cwd,
        environment: context::variables(&args.env)?,
        keep_environment: args.keep_env,
        namespaces: args.namespaces.as_deref().map(namespaces).transpose()?,
        elevated: Elevated { capabilities: all, seccomp: all, cgroup: false },
        terminal: match (args.terminal, args.no_terminal) {
            (true, _) => TerminalUse::Always,
            (false, true) => TerminalUse::Never,
            (false, false) => TerminalUse::Auto,
        },
        program: None,
    };
    if watch::snapshot(&host, &name).is_none() {
        store::require(&host, &name)?;
        return Err(Failure::from(Error::NotRunning { name: name.to_string() }).code(1));
    }
    match runtime::attach(&request) {
        Ok(exit) => Ok(foreground::code(exit)),
        Err(error) => Err(foreground::failed(Error::Runtime(error))),
    }
}

/// One command, with what `attach` does when nothing else is said.
pub(super) fn run(host: &Host, name: &Name, command: Vec<String>) -> Result<ExitCode, Failure> {
    let request = AttachRequest {
        run: host.layout.run_directory(name),
        name: name.to_string(),
        argv: Some(command),
        user: None,
        group: None,
        cwd: None,
        environment: Vec::new(),
        keep_environment: false,
        namespaces: None,
        elevated: Elevated { capabilities: false, seccomp: false, cgroup: false },
        terminal: TerminalUse::Auto,
        program: None,
    };
    match runtime::attach(&request) {
        Ok(exit) => Ok(foreground::code(exit)),
        Err(error) => Err(foreground::failed(Error::Runtime(error))),
    }
}

fn namespaces(list: &str) -> Result<Vec<Namespace>, Failure> {
    list.split([',', '|'])
        .map(|word| {
            let word = word.trim().to_lowercase();
            NAMESPACES
                .iter()
                .find(|(_, words)| words.contains(&word.as_str()))
                .map(|(namespace, _)| *namespace)
                .ok_or_else(|| {
                    Failure::new(format!("there is no namespace {word:?}"))
                        .hint("the namespaces are user, mount, pid, uts, ipc, net, cgroup and time")
                })
        })
        .collect()
}
