#![forbid(unsafe_code)]
//! The process that stays: sets everything up, starts the first process, serves, and takes
//! everything down again.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions};

use super::RuntimeError;
use super::compile::Streams;
use super::events;
use super::launch::{Handover, Report};
use super::run_directory::{self, RunDirectory};
use super::spawn::{self, Attendant};
use super::state::{Exit, Snapshot, State};
use super::{handover, message};
use crate::plan::Plan;
use crate::sys::clone::Process;
use crate::sys::{fd, signal};

/// The numbers of what a monitor is given.
const HANDOVER: i32 = 3;
const REPORT: i32 = 4;
const STREAMS: [i32; 3] = [5, 6, 7];

/// Faults of this program itself; everything else is an event or goes on to the first process.
const FAULTS: [i32; 5] = [libc::SIGBUS, libc::SIGILL, libc::SIGSEGV, libc::SIGFPE, libc::SIGTRAP];

/// The monitor role.
pub(super) fn main() -> ExitCode {
    let (Ok(handover), Ok(report)) = (fd::inherited(HANDOVER), fd::inherited(REPORT)) else {
        return ExitCode::FAILURE;
    };
    let report = Reporter { socket: Some(report) };
    match run(handover, report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::FAILURE,
    }
}

/// The way to whoever started the container.
#[derive(Debug)]
pub(super) struct Reporter {
    socket: Option<OwnedFd>,
}

impl Reporter {
    pub(super) fn send(&self, report: &Report) {
        if let (Some(socket), Ok(json)) = (&self.socket, serde_json::to_vec(report)) {
            // A starter that is gone does not want to know.
            message::send(socket, &json, &[]).ok();
        }
    }

    pub(super) fn socket(&self) -> Option<&OwnedFd> {
        self.socket.as_ref()
    }

    pub(super) fn close(&mut self) {
        self.socket = None;
    }
}

fn run(memory: OwnedFd, mut report: Reporter) -> Result<(), ()> {
    let outcome =
        handover::open::<Handover>(memory.as_fd()).and_then(|handover| Monitor::set_up(handover, memory));
    let monitor = match outcome {
        Ok(monitor) => monitor,
        Err(error) => {
            report.send(&Report::Failed { error });
            return Err(());
        }
    };
    let mut monitor = monitor;
    match monitor.start() {
        Ok(init) => {
            let warnings = std::mem::take(&mut monitor.warnings);
            let init_number = init.pid.as_raw_nonzero().get();
            report.send(&Report::Running { init: init_number, warnings });
            if !monitor.handover.foreground {
                report.close();
            }
            let exit = events::serve(&mut monitor, &init, &mut report);
            monitor.take_down();
            report.send(&Report::Ended { exit });
            Ok(())
        }
        Err(error) => {
            monitor.set_state(State::Aborting);
            monitor.take_down();
            report.send(&Report::Failed { error });
            Err(())
        }
    }
}

/// Everything the monitor holds while the container runs.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) handover: Handover,
    /// The handover as it came: what `wxc attach` is given.
    pub(super) memory: OwnedFd,
    run: Option<RunDirectory>,
    pub(super) control: OwnedFd,
    pub(super) signals: OwnedFd,
    pub(super) snapshot: Snapshot,
    /// Masters and slaves: the console's first, then the ttys'.
    pub(super) terminals: Vec<OwnedFd>,
    warnings: Vec<RuntimeError>,
}

impl Monitor {
    fn set_up(handover: Handover, memory: OwnedFd) -> Result<Self, RuntimeError> {
        let plan = &handover.plan;
        if plan.schema != crate::plan::SCHEMA {
            let reason = format!("it is of schema {}, not {}", plan.schema, crate::plan::SCHEMA);
            return Err(RuntimeError::Refused { reason });
        }
        // A name for tools that show this one and not the command line; its loss would harm nobody.
        rustix::thread::set_name(c"wxc-monitor").ok();
        let all = (1..=libc::SIGRTMAX()).filter(|signal| !FAULTS.contains(signal));
        let signals = signal::block(all.clone()).and_then(|()| signal::descriptor(all));
        let signals = signals.map_err(|error| RuntimeError::system("block the signals", error))?;
        let run = RunDirectory::take(&plan.container.run, &plan.container.name)?;
        if let Some(stale) = run_directory::read(&plan.container.run) {
            clean_up_after(&stale);
        }
        let control = run.listen()?;
        let snapshot = Snapshot {
            container: plan.container.clone(),
            state: State::Starting,
            monitor: rustix::process::getpid().as_raw_nonzero().get(),
            init: None,
            started: None,
            cgroups: Vec::new(),
        };
        run.write(&snapshot)?;
        Ok(Self {
            handover,
            memory,
            run: Some(run),
            control,
            signals,
            snapshot,
            terminals: Vec::new(),
            warnings: Vec::new(),
        })
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.handover.plan
    }

    fn start(&mut self) -> Result<Process, RuntimeError> {
        let streams = self.streams()?;
        let plan = self.handover.plan.clone();
        let controlling = self.handover.foreground;
        let started = {
            let streams = match &streams {
                None => Streams::Console,
                Some([input, output, error]) => Streams::Fds([input.as_fd(), output.as_fd(), error.as_fd()]),
            };
            spawn::start(&plan, streams, controlling, None, self)?
        };
        self.terminals = started.terminals;
        Ok(started.process)
    }

    /// Init's standard streams, unless they are the console.
    fn streams(&self) -> Result<Option<[OwnedFd; 3]>, RuntimeError> {
        let fail = |error| RuntimeError::system("take the standard streams", error);
        if self.handover.streams {
            let [input, output, error] = STREAMS.map(fd::inherited);
            return Ok(Some([input.map_err(fail)?, output.map_err(fail)?, error.map_err(fail)?]));
        }
        if self.plan().console.console {
            return Ok(None);
        }
        let null = || {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            rustix::fs::open("/dev/null", flags, Mode::empty())
                .map_err(|error| RuntimeError::system("open /dev/null", error))
        };
        Ok(Some([null()?, null()?, null()?]))
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.snapshot.state = state;
        if let Some(run) = &self.run {
            // Readers of the file see an older state; those of the socket the true one.
            run.write(&self.snapshot).ok();
        }
    }

    /// Waits for a first process that has ended.
    pub(super) fn reap(&self, init: &Process) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(WaitId::PidFd(init.pidfd.as_fd()), options).ok()??;
        let code = status.exit_status();
        let signal = status.terminating_signal();
        // reboot(2), "Behavior inside PID namespaces": init is ended by SIGHUP for a restart.
        let reboot = signal == Some(libc::SIGHUP);
        Some(Exit { code, signal, reboot })
    }

    fn take_down(&mut self) {
        self.set_state(State::Stopped);
        if let Some(run) = self.run.take() {
            run.remove();
        }
    }
}

impl Attendant for Monitor {
    fn born(&mut self, _child: &Process) -> Result<(), RuntimeError> {
        Ok(())
    }

    fn ready(&mut self, child: &Process) -> Result<(), RuntimeError> {
        self.snapshot.init = Some(child.pid.as_raw_nonzero().get());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.snapshot.started = now.ok().map(|since| since.as_secs());
        self.set_state(State::Running);
        Ok(())
    }

    fn skipped(&mut self, warning: RuntimeError) {
        self.warnings.push(warning);
    }
}

/// What a killed monitor has left: its container is dead, as init dies with it.
fn clean_up_after(_stale: &Snapshot) {}
