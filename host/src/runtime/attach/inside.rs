#![forbid(unsafe_code)]
//! A program in a container for somebody who waits for what it says: without a terminal, for a bounded time, and with
//! everything that it started gone afterwards.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::environment::Environment;
use super::process::{self, Joined};
use super::program::Entry;
use super::streams::Streams;
use super::target::Target;
use super::user;
use super::{AttachRequest, Elevated, TerminalUse};
use crate::plan::Plan;
use crate::runtime::accounts::Account;
use crate::runtime::compile::DEFAULT_PATH;
use crate::runtime::terminal::Signals;
use crate::runtime::{RuntimeError, run_directory};
use crate::sys::run::{self, Ended};

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The program and its arguments. A name without a slash is looked up along the container's usual path.
    pub argv: Vec<String>,
    /// Ids of the container.
    pub user: u32,
    pub group: u32,
    /// Variables besides `PATH`, `HOME` and `container`.
    pub environment: Vec<(String, String)>,
    /// `None`: `/`.
    pub directory: Option<String>,
    /// What it reads; then its input ends.
    pub input: Vec<u8>,
    /// It is a program of the host's, run as root of the container with all that this one can do there, before the container's
    /// root is entered. Its environment is what is given and nothing else.
    pub of_host: bool,
}

/// A container that programs can be run in.
#[derive(Debug)]
pub struct Inside {
    name: String,
    target: Target,
    /// Its first process is a copy of the monitor still, with the monitor's memory and with all power over the container.
    waits: bool,
}

impl Inside {
    /// One that runs.
    ///
    /// # Errors
    /// It does not, or is frozen.
    pub fn running(run: &Path, name: &str) -> Result<Self, RuntimeError> {
        let request =
            AttachRequest { run: run.to_owned(), name: name.to_owned(), ..AttachRequest::default() };
        Ok(Self { name: name.to_owned(), target: Target::find(&request)?, waits: false })
    }

    /// One whose first process, of this number, waits for permission to go: its monitor, which waits for the caller, does not
    /// answer questions meanwhile.
    ///
    /// # Errors
    /// There is no such process, or no such container.
    pub fn starting(plan: &Plan, init: i32) -> Result<Self, RuntimeError> {
        let name = plan.container.name.clone();
        let not_running = || RuntimeError::NotRunning { name: name.clone() };
        let snapshot = run_directory::read(&plan.container.run).ok_or_else(not_running)?;
        let pid = Pid::from_raw(init).ok_or_else(not_running)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|error| RuntimeError::system("find the container's first process", error))?;
        let target = Target::known(init, pidfd, snapshot.cgroups, plan.clone());
        Ok(Self { name, target, waits: true })
    }

    /// Its root directory, as its first process sees it.
    ///
    /// # Errors
    /// It has ended.
    pub fn root(&self) -> Result<OwnedFd, RuntimeError> {
        self.target.root()
    }

    /// Its network namespace; `None` where it has the host's.
    ///
    /// # Errors
    /// It has ended.
    pub fn network(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        self.target.network()
    }

    /// Whether its first process has executed nothing yet.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// The process id of its first process, as this process sees it.
    #[must_use]
    pub fn init(&self) -> i32 {
        self.target.init
    }

    /// The plan it was started with.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.target.plan
    }

    /// Runs a program and waits until it has ended, or `deadline` has passed, or `cancelled` says so: then it is killed. At most
    /// `capture` bytes of each output are kept.
    ///
    /// # Errors
    /// It could not be executed.
    pub fn run(
        &self,
        program: &Program,
        deadline: Duration,
        capture: usize,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Ended, RuntimeError> {
        let (cgroups, _room) =
            self.target.cgroups.room().map_err(|error| {
                RuntimeError::part("make a cgroup in the container", &error, error.hint())
            })?;
        let target = self.target.with(cgroups)?;
        let fail = |error: io::Error| RuntimeError::system("make the streams of a program", error);
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| fail(error.into()));
        let input = input(&program.input).map_err(fail)?;
        let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
        let request = AttachRequest {
            run: target.plan.container.run.clone(),
            name: self.name.clone(),
            terminal: TerminalUse::Never,
            ..AttachRequest::default()
        };
        let given = [input.as_fd(), out.as_fd(), err.as_fd()];
        let mut entry = entry(program, &target, given)?;
        if self.waits && !program.of_host {
            // Root of a container without a user namespace of its own could look into that process and be it, and it knows
            // the host: what runs here can trace nobody, whatever it executes.
            entry.plan.security.capabilities.retain(|name| name != "CAP_SYS_PTRACE");
        }
        let signals =
            Signals::catch().map_err(|error| RuntimeError::system("take care of the signals", error))?;
        let joined = process::start(&request, entry, &target, given, &signals)?;
        drop((out, err));
        let Joined::Runs(attached) = joined else {
            return Err(RuntimeError::Part {
                what: format!("run {}", program.argv.first().map_or("", String::as_str)),
                message: "a signal came before".to_owned(),
                hint: None,
            });
        };
        let process = attached.into_process();
        let ended = run::follow(process, [stdout, stderr], deadline, capture, cancelled);
        ended.map_err(|error| RuntimeError::system("accompany the program", error))
    }
}

/// Something to read and nothing to wait for.
fn input(bytes: &[u8]) -> io::Result<OwnedFd> {
    let memory = memfd_create("wxc-input", MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(memory);
    file.write_all(bytes)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}

fn entry(
    program: &Program,
    target: &Target,
    given: [std::os::fd::BorrowedFd<'_>; 3],
) -> Result<Entry, RuntimeError> {
    let namespaces = target.namespaces(None)?;
    let mut account = Account::stranger(program.user);
    account.group = program.group;
    if let Some(map) = &target.plan.ids {
        user::check(&mut account, map, &target.plan.container.name)?;
    }
    let home = if program.user == 0 { "/root" } else { "/" };
    let mut environment = Environment::new();
    let fixed: &[(&str, &str)] = match program.of_host {
        true => &[("PATH", DEFAULT_PATH)],
        false => &[("PATH", DEFAULT_PATH), ("HOME", home), ("container", "lxc")],
    };
    let own = program.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in fixed.iter().copied().chain(own) {
        environment.insert(name.to_owned(), value.as_bytes().to_vec());
    }
    Ok(Entry {
        argv: Some(program.argv.clone()),
        cwd: Some(program.directory.clone().unwrap_or_else(|| "/".to_owned())),
        elevated: Elevated { capabilities: program.of_host, seccomp: program.of_host, cgroup: false },
        cgroups: Vec::new(),
        plan: target.plan.clone(),
        account,
        environment,
        namespaces,
        streams: Streams::of(given, TerminalUse::Never),
    })
}
