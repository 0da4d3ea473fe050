#![forbid(unsafe_code)]
//! `wxc:host/run-inside`: programs in a running container, with what the container may do and no more.
//!
//! How a container is entered is not a plugin's business and not this layer's: whoever calls the plugin brings it ([`Enter`]).

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;

use super::State;
use super::failure::failure;
use crate::plugin::bindings::host::wxc::host::handles::HostRunningContainer;
use crate::plugin::bindings::host::wxc::host::run_inside::{Host, HostProgram};
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind, Outcome};
use crate::sys::run::{Ended, How};

/// Most bytes that are kept of each output, and that a program can be given to read.
const CAPTURE: usize = 64 << 10;
const LONGEST_INPUT: usize = 1 << 20;
/// Most words and variables of one program, and bytes in all of them.
const MOST_WORDS: usize = 1000;
const MOST_BYTES: usize = 128 << 10;
/// How long a program may take in a call without a budget of its own.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a guest wants to be run.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Ids of the container.
    pub user: u32,
    /// Ids of the container.
    pub group: u32,
    /// Variables.
    pub environment: Vec<(String, String)>,
    /// Where to run it.
    pub directory: Option<String>,
    /// What it reads.
    pub input: Vec<u8>,
    /// Bytes that are kept of each output.
    pub capture: usize,
}

/// A way into a running container.
pub trait Enter: fmt::Debug + Send + Sync {
    /// Runs a program and waits: until it has ended, `deadline` has passed, or `cancelled` says so. Whatever it started is gone
    /// when this returns.
    ///
    /// # Errors
    /// A sentence: why it could not be executed.
    fn run(
        &self,
        request: &Request,
        deadline: Duration,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Ended, String>;

    /// Its network namespace, for programs of the host that work in it.
    ///
    /// # Errors
    /// A sentence: it has none of its own, or has ended.
    fn network(&self) -> Result<OwnedFd, String>;
}

/// What a handle stands for.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct RunningContainer(Arc<dyn Enter>);

/// A program being prepared.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Program {
    container: Arc<dyn Enter>,
    request: Request,
    ran: bool,
}

impl State {
    /// The container that this call was given.
    pub(super) fn mint_running(&mut self) -> wasmtime::Result<Result<Resource<RunningContainer>, Error>> {
        let none = || failure(ErrorKind::Unsupported, "there is no running container at this event");
        let container = match self.scope.running.clone().unwrap_or_else(|| Err(none())) {
            Ok(container) => container,
            Err(error) => return Ok(Err(error)),
        };
        self.table.push(RunningContainer(container)).map(Ok).map_err(|_| self.handles_used_up())
    }

    fn program(&mut self, handle: &Resource<Program>) -> wasmtime::Result<&mut Program> {
        Ok(self.table.get_mut(handle)?)
    }

    fn run_program(&mut self, handle: &Resource<Program>) -> wasmtime::Result<Result<Outcome, Error>> {
        let program = self.program(handle)?;
        if std::mem::replace(&mut program.ran, true) {
            return Ok(Err(failure(ErrorKind::Invalid, "a program runs once")));
        }
        let (container, request) = (Arc::clone(&program.container), std::mem::take(&mut program.request));
        if let Err(why) = check(&request) {
            return Ok(Err(failure(ErrorKind::Invalid, why)));
        }
        let deadline = match self.time_left() {
            Ok(left) => left.unwrap_or(DEADLINE),
            Err(error) => return Ok(Err(error)),
        };
        let name = request.argv.first().cloned().unwrap_or_default();
        tracing::debug!(plugin = %self.plugin, argv = ?request.argv, "running inside");
        let ended = container.run(&request, deadline, &|| self.progress.cancelled());
        Ok(match ended {
            Err(why) => Err(failure(ErrorKind::Failed, format!("cannot run {name} in the container: {why}"))),
            Ok(ended) => outcome(&name, deadline, ended),
        })
    }
}

fn outcome(name: &str, deadline: Duration, ended: Ended) -> Result<Outcome, Error> {
    match ended.how {
        How::Itself(status) => Ok(Outcome { status, stdout: ended.stdout, stderr: ended.stderr }),
        How::Late => {
            let took = deadline.as_millis();
            let message = format!("{name} was ended in the container after the {took} ms that were left");
            Err(failure(ErrorKind::Exhausted, message))
        }
        How::Cancelled => Err(failure(ErrorKind::Cancelled, format!("{name} was stopped"))),
    }
}

/// What execve(2) and the kernel's limits would refuse with worse words.
fn check(request: &Request) -> Result<(), String> {
    if request.argv.first().is_none_or(String::is_empty) {
        return Err("there is no program to run".into());
    }
    let variables = request.environment.iter().flat_map(|(name, value)| [name, value]);
    let texts: Vec<&String> =
        request.argv.iter().chain(variables).chain(request.directory.as_ref()).collect();
    if texts.iter().any(|text| text.contains('\0')) {
        return Err("a text with a NUL byte cannot be given to a program".into());
    }
    if request.environment.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return Err("the name of a variable is empty or holds a `=`".into());
    }
    if texts.len() > MOST_WORDS || texts.iter().map(|text| text.len()).sum::<usize>() > MOST_BYTES {
        return Err(format!("more than {MOST_WORDS} words, or {MOST_BYTES} bytes of them"));
    }
    if request.input.len() > LONGEST_INPUT {
        return Err(format!("more than {LONGEST_INPUT} bytes of input"));
    }
    Ok(())
}

impl Host for State {}

impl HostProgram for State {
    fn new(
        &mut self,
        container: Resource<RunningContainer>,
        argv: Vec<String>,
    ) -> wasmtime::Result<Resource<Program>> {
        let called = self.called("run-inside.program", &(container.rep(), &argv))?;
        self.answer_new(called, |state| {
            let container = Arc::clone(&state.table.get(&container)?.0);
            let request = Request { argv, capture: CAPTURE, ..Request::default() };
            let program = Program { container, request, ran: false };
            state.table.push(program).map_err(|_| state.handles_used_up())
        })
    }

    fn set_user(&mut self, this: Resource<Program>, user: u32, group: u32) -> wasmtime::Result<()> {
        let called = self.called("run-inside.program.set-user", &(this.rep(), user, group))?;
        self.answer(called, |state| {
            let request = &mut state.program(&this)?.request;
            (request.user, request.group) = (user, group);
            Ok(())
        })
    }

    fn set_variable(&mut self, this: Resource<Program>, name: String, value: String) -> wasmtime::Result<()> {
        let called = self.called("run-inside.program.set-variable", &(this.rep(), &name, &value))?;
        self.answer(called, |state| {
            let environment = &mut state.program(&this)?.request.environment;
            environment.retain(|(known, _)| *known != name);
            environment.push((name, value));
            Ok(())
        })
    }

    fn set_directory(&mut self, this: Resource<Program>, path: String) -> wasmtime::Result<()> {
        let called = self.called("run-inside.program.set-directory", &(this.rep(), &path))?;
        self.answer(called, |state| {
            state.program(&this)?.request.directory = Some(path);
            Ok(())
        })
    }

    fn set_input(&mut self, this: Resource<Program>, content: Vec<u8>) -> wasmtime::Result<()> {
        let called = self.called("run-inside.program.set-input", &(this.rep(), &content))?;
        self.answer(called, |state| {
            state.program(&this)?.request.input = content;
            Ok(())
        })
    }

    fn run(&mut self, this: Resource<Program>) -> wasmtime::Result<Result<Outcome, Error>> {
        let called = self.called("run-inside.program.run", &(this.rep(),))?;
        self.answer(called, |state| state.run_program(&this))
    }

    fn drop(&mut self, this: Resource<Program>) -> wasmtime::Result<()> {
        self.dropped("run-inside.program.drop", this)
    }
}

impl HostRunningContainer for State {
    fn drop(&mut self, handle: Resource<RunningContainer>) -> wasmtime::Result<()> {
        self.dropped("running-container.drop", handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_program_can_be_given_is_refused_in_words() {
        let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let request = |words: &[&str]| Request { argv: argv(words), ..Request::default() };
        assert!(check(&request(&["true", ""])).is_ok());
        assert!(check(&request(&[])).is_err() && check(&request(&[""])).is_err());
        assert!(check(&request(&["a\0b"])).unwrap_err().contains("NUL"));
        assert!(check(&request(&vec!["x"; 1001])).is_err());
        let environment = vec![("A=B".to_owned(), String::new())];
        assert!(check(&Request { environment, ..request(&["true"]) }).is_err());
        assert!(check(&Request { input: vec![0; (1 << 20) + 1], ..request(&["true"]) }).is_err());
    }
}
