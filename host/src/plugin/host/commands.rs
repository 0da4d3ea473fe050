#![forbid(unsafe_code)]
//! `wxc:host/commands`: programs of the host, from the templates that the manifest declares.
//!
//! A plugin fills in placeholders; which program, which arguments and where is decided by the manifest
//! ([`crate::plugin::command_line`]), and how it runs by [`crate::sys::run`].

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{FileType, OFlags, fstat};
use wasmtime::component::Resource;

use super::failure::failure;
use super::handles::{BlockDevice, Directory};
use super::place::{Class, Need};
use super::printer;
use super::{Misuse, Scope, State};
use crate::plugin::bindings::host::wxc::host::commands::{Host, HostCommand};
use crate::plugin::bindings::host::wxc::host::handles::{ByteSink, ByteSource};
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind, Outcome};
use crate::plugin::command_line::{Bound, CommandLine, Type, Value};
use crate::plugin::manifest::{self, Manifest};
use crate::sys::failpoint;
use crate::sys::run::{self, Ended, How, Invocation};

/// A template that may be run.
#[derive(Debug)]
pub(in crate::plugin) struct Template {
    line: CommandLine,
    deadline: Duration,
    success: Vec<i32>,
    capture: usize,
}

/// The templates of a plugin, by name.
pub(in crate::plugin) type Templates = BTreeMap<String, Template>;

/// Seconds that a command may take unless its template says otherwise.
const DEADLINE: u32 = 30;
/// Bytes of each output that are kept unless its template says otherwise.
const CAPTURE: u32 = 64 << 10;

/// The templates of a manifest, whose reader has checked them.
pub(in crate::plugin) fn templates(manifest: &Manifest) -> Templates {
    let template = |(name, command): (&String, &manifest::Command)| {
        let success = if command.success.is_empty() { &[0][..] } else { &command.success };
        let template = Template {
            line: CommandLine::parse(&command.argv).ok()?,
            deadline: Duration::from_secs(command.deadline.unwrap_or(DEADLINE).into()),
            success: success.iter().map(|&code| code.into()).collect(),
            capture: command.capture.unwrap_or(CAPTURE) as usize,
        };
        Some((name.clone(), template))
    };
    manifest.commands.iter().filter_map(template).collect()
}

/// Whether one of them works in a container's network.
pub(in crate::plugin) fn want_network(templates: &Templates) -> bool {
    templates.values().any(|template| template.line.wants(&Type::Network))
}

/// What the host brings for a command, open until the program has ended, and the names that lead to it.
#[derive(Debug, Default)]
struct Brought {
    network: Option<(OwnedFd, String)>,
    printer: Option<(OwnedFd, String)>,
}

impl Brought {
    fn for_line(line: &CommandLine, scope: &Scope) -> Result<Self, String> {
        let mut brought = Self::default();
        // Without a container there is none, which is told when the placeholder is filled.
        if let Some(container) = scope.running.as_ref().filter(|_| line.wants(&Type::Network)) {
            let container = container.as_ref().map_err(|error| error.message.clone())?;
            brought.network = Some(named(container.network()?)?);
        }
        if line.wants(&Type::Printer) {
            let printer = printer::open().map_err(|error| format!("cannot make the printer: {error}"))?;
            brought.printer = Some(named(printer)?);
        }
        Ok(brought)
    }

    fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.network, &self.printer].into_iter().flatten().map(|(fd, _)| fd.as_fd())
    }
}

/// A descriptor with the name that the program gets. Under a high number: some programs take the first ones for granted.
fn named(fd: OwnedFd) -> Result<(OwnedFd, String), String> {
    let fd = rustix::io::fcntl_dupfd_cloexec(&fd, 64)
        .map_err(|error| format!("cannot hand on a file: {error}"))?;
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok((fd, name))
}

/// A template being filled in.
#[derive(Debug, Default)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Command {
    template: String,
    values: BTreeMap<String, Value>,
    /// What the program inherits, and what has to stay as it is until it has ended.
    files: Vec<OwnedFd>,
    devices: Vec<OwnedFd>,
    /// Why a file could not be opened; told by `run`.
    problem: Option<Error>,
    ran: bool,
}

impl State {
    fn command(&mut self, handle: &Resource<Command>) -> wasmtime::Result<&mut Command> {
        Ok(self.table.get_mut(handle)?)
    }

    fn give_file(
        &mut self,
        handle: &Resource<Command>,
        placeholder: String,
        base: &Resource<Directory>,
        path: &str,
    ) -> wasmtime::Result<()> {
        let file = self.directory(base)?.at(path, Need::Look).and_then(|at| {
            // A whole directory of the host's own would bring a container's configuration along.
            if at.zone.class() != Class::Content {
                return Err(failure(ErrorKind::Denied, format!("{path:?} is not part of a volume")));
            }
            let file = at.open(OFlags::PATH)?;
            // A device or a pipe of a container's tree would be somebody else's once it is opened.
            match fstat(&file).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(FileType::RegularFile | FileType::Directory) => Ok(file),
                _ => Err(failure(ErrorKind::Invalid, format!("{path:?} is neither a file nor a directory"))),
            }
        });
        let command = self.command(handle)?;
        match file {
            Err(problem) => command.problem = Some(problem),
            Ok(file) => {
                // The program inherits the descriptor under this number: the name leads to exactly this
                // file, whatever its path leads to by then.
                let name = format!("/proc/self/fd/{}", file.as_raw_fd());
                command.values.insert(placeholder, Value::File(name));
                command.files.push(file);
            }
        }
        Ok(())
    }

    fn give_device(
        &mut self,
        handle: &Resource<Command>,
        placeholder: String,
        device: &Resource<BlockDevice>,
    ) -> wasmtime::Result<()> {
        let device = self.block_device(device)?;
        // A second one: with the guest's dropped, the device could become another file's.
        let held = device.as_fd().try_clone_to_owned()?;
        let node = device.path().display().to_string();
        let command = self.command(handle)?;
        command.values.insert(placeholder, Value::Device(node));
        command.devices.push(held);
        Ok(())
    }

    fn start(&mut self, handle: &Resource<Command>) -> wasmtime::Result<Result<Outcome, Error>> {
        let command = std::mem::take(self.command(handle)?);
        self.table.get_mut(handle)?.ran = true;
        if command.ran {
            return Ok(Err(failure(ErrorKind::Invalid, "a command runs once")));
        }
        let name = &command.template;
        let Some(template) = self.scope.commands.get(name) else {
            let message = format!("the manifest declares no [commands.{name}] that this call may run");
            return Ok(Err(failure(ErrorKind::Denied, message)));
        };
        if let Some(problem) = command.problem {
            return Ok(Err(problem));
        }
        let brought = match Brought::for_line(&template.line, &self.scope) {
            Ok(brought) => brought,
            Err(why) => return Ok(Err(failure(ErrorKind::Failed, format!("command {name}: {why}")))),
        };
        let bound = Bound {
            pool: self.scope.pool_name.as_deref(),
            settings: &self.scope.settings,
            network: brought.network.as_ref().map(|(_, name)| name.as_str()),
            printer: brought.printer.as_ref().map(|(_, name)| name.as_str()),
        };
        let argv = match template.line.fill(&command.values, bound) {
            Ok(argv) => argv,
            Err(why) => return Ok(Err(failure(ErrorKind::Invalid, format!("command {name}: {why}")))),
        };
        let program = argv.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(path) = run::find(&program) else {
            let message = format!("{program} is not installed (it was looked for in {})", run::PATH);
            return Ok(Err(failure(ErrorKind::Unsupported, message)));
        };
        let inherit: Vec<_> = command.files.iter().map(|file| file.as_fd()).chain(brought.files()).collect();
        let left = match self.time_left() {
            Ok(left) => left.unwrap_or(template.deadline),
            Err(error) => return Ok(Err(error)),
        };
        let (deadline, capture) = (template.deadline.min(left), template.capture);
        let invocation = Invocation {
            program: &path,
            argv: &argv,
            environment: &[],
            inherit: &inherit,
            deadline,
            capture,
        };
        tracing::debug!(plugin = %self.plugin, ?argv, "running");
        let ended = failpoint::pass("commands.run")
            .and_then(|()| run::run(&invocation, &|| self.progress.cancelled()))
            .and_then(|ended| failpoint::pass("commands.ran").map(|()| ended));
        Ok(match ended {
            Err(error) => Err(failure(ErrorKind::Failed, format!("cannot run {program}: {error}"))),
            Ok(ended) => outcome(&program, template, deadline, ended),
        })
    }
}

/// What the guest is told of it.
fn outcome(program: &str, template: &Template, deadline: Duration, ended: Ended) -> Result<Outcome, Error> {
    match ended.how {
        How::Itself(status) if template.success.contains(&status) => {
            Ok(Outcome { status, stdout: ended.stdout, stderr: ended.stderr })
        }
        How::Itself(status) => {
            let said = String::from_utf8_lossy(&ended.last_words);
            let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let said = lines[lines.len().saturating_sub(4)..].join("; ");
            let how = match status {
                129..=192 => format!("was ended by signal {}", status - 128),
                _ => format!("failed with exit code {status}"),
            };
            let said = if said.is_empty() { "it said nothing" } else { &said };
            Err(failure(ErrorKind::Failed, format!("{program} {how}: {said}")))
        }
        How::Late => {
            let message = if deadline < template.deadline {
                format!("{program} was stopped when the time of this call was used up")
            } else {
                format!("{program} was stopped after its {} seconds", template.deadline.as_secs())
            };
            Err(failure(ErrorKind::Exhausted, message))
        }
        How::Cancelled => Err(failure(ErrorKind::Cancelled, format!("{program} was stopped"))),
    }
}

impl Host for State {}

impl HostCommand for State {
    fn new(&mut self, name: String) -> wasmtime::Result<Resource<Command>> {
        let called = self.called("commands.command", &(&name,))?;
        self.answer_new(called, |state| {
            let command = Command { template: name, ..Command::default() };
            state.table.push(command).map_err(|_| state.handles_used_up())
        })
    }

    fn set_text(
        &mut self,
        this: Resource<Command>,
        placeholder: String,
        value: String,
    ) -> wasmtime::Result<()> {
        let called = self.called("commands.command.set-text", &(this.rep(), &placeholder, &value))?;
        self.answer(called, |state| {
            state.command(&this)?.values.insert(placeholder, Value::Text(value));
            Ok(())
        })
    }

    fn set_number(
        &mut self,
        this: Resource<Command>,
        placeholder: String,
        value: u64,
    ) -> wasmtime::Result<()> {
        let called = self.called("commands.command.set-number", &(this.rep(), &placeholder, value))?;
        self.answer(called, |state| {
            state.command(&this)?.values.insert(placeholder, Value::Number(value));
            Ok(())
        })
    }

    fn set_file(
        &mut self,
        this: Resource<Command>,
        placeholder: String,
        base: Resource<Directory>,
        path: String,
    ) -> wasmtime::Result<()> {
        let told = (this.rep(), &placeholder, base.rep(), &path);
        let called = self.called("commands.command.set-file", &told)?;
        self.answer(called, |state| state.give_file(&this, placeholder, &base, &path))
    }

    fn set_device(
        &mut self,
        this: Resource<Command>,
        placeholder: String,
        device: Resource<BlockDevice>,
    ) -> wasmtime::Result<()> {
        let told = (this.rep(), &placeholder, device.rep());
        let called = self.called("commands.command.set-device", &told)?;
        self.answer(called, |state| state.give_device(&this, placeholder, &device))
    }

    fn read_from(&mut self, _: Resource<Command>, _: Resource<ByteSource>) -> wasmtime::Result<()> {
        Err(Misuse("it named a stream that it was never given".into()).into())
    }

    fn write_to(&mut self, _: Resource<Command>, _: Resource<ByteSink>) -> wasmtime::Result<()> {
        Err(Misuse("it named a stream that it was never given".into()).into())
    }

    fn run(&mut self, this: Resource<Command>) -> wasmtime::Result<Result<Outcome, Error>> {
        let called = self.called("commands.command.run", &(this.rep(),))?;
        self.answer(called, |state| state.start(&this))
    }

    fn drop(&mut self, this: Resource<Command>) -> wasmtime::Result<()> {
        self.dropped("commands.command.drop", this)
    }
}
