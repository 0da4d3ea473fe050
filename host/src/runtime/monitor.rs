#![forbid(unsafe_code)]
//! The process that stays: sets everything up, starts the first process, serves, and takes
//! everything down again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions};

use super::RuntimeError;
use super::cgroup::{self, CgroupError, Cgroups};
use super::compile::Streams;
use super::console::Console;
use super::events;
use super::helper::{Helper, Image, borrow};
use super::launch::{Handover, Report, may_go};
use super::remains::{self, PATIENCE};
use super::run_directory::{self, RunDirectory};
use super::spawn::{self, Attendant};
use super::state::{Exit, Snapshot, State};
use super::{devices, handover, hooks, message, net};
use crate::config::ids::ContainerId;
use crate::plan::Plan;
use crate::plan::hooks::Occasion;
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
    pub(super) fn send(&self, report: &Report, fds: &[OwnedFd]) {
        if let (Some(socket), Ok(json)) = (&self.socket, serde_json::to_vec(report)) {
            // A starter that is gone does not want to know.
            message::send(socket, &json, &borrow(fds)).ok();
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
    let handover = handover::open::<Handover>(memory.as_fd());
    if !report.socket().is_some_and(|socket| may_go(socket.as_fd())) {
        return Err(());
    }
    let outcome = handover.and_then(|handover| Monitor::set_up(handover, memory));
    let mut monitor = match outcome {
        Ok(monitor) => monitor,
        Err(error) => {
            report.send(&Report::Failed { error }, &[]);
            return Err(());
        }
    };
    if monitor.handover.starter_calls {
        monitor.starter = report.socket().and_then(|socket| socket.try_clone().ok());
    }
    let init = match monitor.start() {
        Ok(init) => init,
        Err(error) => {
            monitor.set_state(State::Aborting);
            monitor.undo(&Occasion::default());
            monitor.let_go();
            report.send(&Report::Failed { error }, &[]);
            return Err(());
        }
    };
    monitor.starter = None;
    let mut fds = Vec::new();
    if let (true, Some(console)) = (monitor.handover.foreground, &mut monitor.console) {
        fds.extend(console.connect(true));
    }
    let warnings = std::mem::take(&mut monitor.warnings);
    report.send(&Report::Running { init: init.pid.as_raw_nonzero().get(), warnings }, &fds);
    drop(fds);
    // After the good news, because it takes the kernel a while, and is no reason to have no container.
    monitor.snapshot.cgroups.enter_monitor().ok();
    if !monitor.handover.foreground {
        report.close();
    }
    // What made the container is not needed again before its end; what waits for that is little.
    crate::sys::exe::let_go_of_code().ok();
    let exit = events::serve(&mut monitor, &init, &mut report);
    report.send(&Report::Ended { exit }, &[]);
    monitor.again(exit);
    Ok(())
}

/// Everything the monitor holds while the container runs.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) handover: Handover,
    /// The handover as it came: what `wxc attach` is given.
    pub(super) memory: OwnedFd,
    run: Option<RunDirectory>,
    /// Whoever waits for the start and calls its hooks, until it is complete.
    pub(super) starter: Option<OwnedFd>,
    pub(super) control: OwnedFd,
    pub(super) signals: OwnedFd,
    pub(super) snapshot: Snapshot,
    pub(super) console: Option<Console>,
    /// Masters and slaves of `/dev/tty1`, ...
    ttys: Vec<(OwnedFd, OwnedFd)>,
    /// Where init says that the system is up; until it has, and only where a hook waits for that.
    pub(super) ready: Option<OwnedFd>,
    /// The container's own namespaces, for programs that look at them when everything in them is gone.
    pub(super) namespaces: Vec<(&'static str, OwnedFd)>,
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
            remains::clean_up_after(&stale);
        }
        run.write_boot_id(&plan.container.boot_id())?;
        let control = run.listen()?;
        let ready = plan.hooks.is_due("ready").then(|| run.listen_for_ready()).transpose()?;
        let snapshot = Snapshot {
            container: plan.container.clone(),
            state: State::Starting,
            monitor: rustix::process::getpid().as_raw_nonzero().get(),
            init: None,
            started: None,
            cgroups: Cgroups::default(),
            links: Vec::new(),
            root: None,
        };
        run.write(&snapshot)?;
        Ok(Self {
            handover,
            memory,
            run: Some(run),
            starter: None,
            control,
            signals,
            snapshot,
            console: None,
            ttys: Vec::new(),
            ready,
            namespaces: Vec::new(),
            warnings: Vec::new(),
        })
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.handover.plan
    }

    fn start(&mut self) -> Result<Process, RuntimeError> {
        let plan = self.handover.plan.clone();
        self.make_cgroups(&plan)?;
        let streams = self.streams()?;
        let cgroups = self.snapshot.cgroups.clone();
        let controlling = self.handover.foreground;
        let started = {
            let streams = match &streams {
                None => Streams::Console,
                Some([input, output, error]) => Streams::Fds([input.as_fd(), output.as_fd(), error.as_fd()]),
            };
            spawn::start(&plan, streams, controlling, &cgroups, self)?
        };
        let mut terminals = started.terminals.into_iter();
        let mut pairs = std::iter::from_fn(|| terminals.next().zip(terminals.next()));
        if plan.console.console
            && let Some((master, slave)) = pairs.next()
        {
            self.console = Some(Console::new(master, slave, &plan.console)?);
        }
        self.ttys = pairs.collect();
        Ok(started.process)
    }

    fn make_cgroups(&mut self, plan: &Plan) -> Result<(), RuntimeError> {
        let facts = cgroup::discover();
        self.snapshot.cgroups = Cgroups::create(&plan.cgroup, &facts).map_err(cgroups)?;
        // What exists can be cleaned up by the next start, should this process be killed.
        self.set_state(State::Starting);
        self.snapshot.cgroups.apply(&plan.cgroup.writes).map_err(cgroups)?;
        devices::apply(&self.snapshot.cgroups, &plan.cgroup.devices)
            .map_err(|error| RuntimeError::part("control the devices", &error, error.hint()))?;
        if let (true, Some(ids)) = (plan.cgroup.delegate, &plan.ids)
            && let (Some(user), Some(group)) = (ids.host_user(ContainerId(0)), ids.host_group(ContainerId(0)))
        {
            self.snapshot.cgroups.delegate(user, group).map_err(cgroups)?;
        }
        Ok(())
    }

    pub(super) fn console(&mut self) -> Result<&mut Console, RuntimeError> {
        self.console.as_mut().ok_or_else(|| RuntimeError::Part {
            what: "open the console".to_owned(),
            message: "this container has none".to_owned(),
            hint: None,
        })
    }

    /// The master of `/dev/ttyN`.
    pub(super) fn tty(&self, number: u32) -> Option<&OwnedFd> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.ttys.get(index).map(|(master, _)| master)
    }

    /// Ends the first process, and with it everything in its namespace.
    pub(super) fn kill(&self, init: &Process) -> Result<(), RuntimeError> {
        signal::send(init.pidfd.as_fd(), libc::SIGKILL)
            .map_err(|error| RuntimeError::system("kill the first process", error))?;
        if self.snapshot.state == State::Frozen {
            // What is frozen by a v1 hierarchy does not even die.
            self.snapshot.cgroups.thaw(PATIENCE).map_err(cgroups)?;
        }
        Ok(())
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

    /// The container has ended: everything that was made for it goes, and what is due then is done.
    pub(super) fn take_down(&mut self, exit: Exit) {
        let again = self.starts_again(exit);
        let mut occasion = hooks::ending(self, exit, again);
        hooks::afterwards(self, "stop", &occasion);
        self.namespaces.clear();
        occasion.namespaces.clear();
        self.undo(&occasion);
        // Also when nothing else is due: what hooks did for a start that was complete is not undone any more.
        let due = !self.plan().release.is_empty() || !self.plan().hooks.calls.is_empty();
        if due && self.has_runner() {
            // Before the lock goes: nobody may start it while its storage is let go of. Whatever
            // goes wrong there is the runner's to tell.
            let due = if again { "pause" } else { "release" };
            if let Ok(runner) = self.runner(&[due, &hooks::words(&occasion)], &[], false) {
                spawn::wait(&runner);
            }
        }
        tracing::debug!(?exit, "the container has ended");
        self.set_state(State::Stopped);
        self.let_go();
    }

    /// Takes back what was made on the host, in reverse order.
    fn undo(&mut self, occasion: &Occasion) {
        if !self.snapshot.links.is_empty() {
            hooks::afterwards(self, "network-down", occasion);
        }
        net::remove(&self.snapshot.links).ok();
        remains::remove_cgroups(&self.snapshot.cgroups);
    }

    fn let_go(&mut self) {
        if let Some(run) = self.run.take() {
            run.remove();
        }
    }

    /// The container wants to start again: whoever can make plans does that.
    fn again(&self, exit: Exit) {
        if self.starts_again(exit) {
            self.runner(&["restart"], &[], true).ok();
        }
    }

    fn starts_again(&self, exit: Exit) -> bool {
        exit.reboot && !self.handover.foreground && self.has_runner()
    }

    /// The process that does what is due and needs a plugin. `words` stand behind its own arguments; it gets the plan as fd 3
    /// and what is given behind that.
    pub(super) fn runner(
        &self,
        words: &[&str],
        given: &[BorrowedFd<'_>],
        detach: bool,
    ) -> Result<Process, RuntimeError> {
        let mut argv = vec![self.handover.program.display().to_string()];
        argv.extend(self.handover.runner.iter().cloned());
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        let image = Image::Path(&self.handover.program);
        let fds: Vec<BorrowedFd<'_>> =
            std::iter::once(self.memory.as_fd()).chain(given.iter().copied()).collect();
        let environment = &self.handover.environment;
        // Hooks of an event that is not over must not act when everything else has been undone.
        let bound = !given.is_empty() && !detach;
        Helper { image, argv: &argv, environment, fds: &fds, streams: None, detach, bound }.spawn()
    }

    /// What was said at the socket for init's word; any process of the container can.
    pub(super) fn on_word(&mut self) {
        let Some(socket) = &self.ready else { return };
        if hooks::says_ready(socket.as_fd()) {
            self.ready = None;
            hooks::call_aside(self, "ready");
        }
    }

    pub(super) fn has_runner(&self) -> bool {
        !self.handover.runner.is_empty()
    }
}

impl Attendant for Monitor {
    fn born(&mut self, child: &Process) -> Result<(), RuntimeError> {
        let network = &self.handover.plan.network;
        if !network.host && !network.links.is_empty() {
            let namespace = spawn::namespace_file(child.pid, "net")?;
            self.snapshot.links = net::apply(network, namespace.as_fd())
                .map_err(|error| RuntimeError::part("connect the network", &error, error.hint()))?;
            hooks::call(self, "network-up", &hooks::of_init(self, child), None)?;
        }
        Ok(())
    }

    fn pre_mount(&mut self, child: &Process) -> Result<(), RuntimeError> {
        hooks::call(self, "pre-mount", &hooks::of_init(self, child), None)
    }

    fn mounted(&mut self, child: &Process, root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
        let occasion = hooks::of_init(self, child);
        hooks::call(self, "mount", &occasion, Some(root))?;
        hooks::call(self, "autodev", &occasion, Some(root))
    }

    fn ready(&mut self, child: &Process) -> Result<(), RuntimeError> {
        let occasion = hooks::of_init(self, child);
        hooks::call(self, "start", &occasion, None)?;
        hooks::call(self, "start-host", &occasion, None)?;
        if !self.plan().hooks.calls.is_empty() {
            self.snapshot.root = Some(spawn::root_of(child.pid)?);
        }
        if self.plan().hooks.runs_program("stop") {
            self.namespaces = spawn::own_namespaces(&self.handover.plan, child.pid)?;
        }
        self.snapshot.init = Some(child.pid.as_raw_nonzero().get());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.snapshot.started = now.ok().map(|since| since.as_secs());
        self.set_state(State::Running);
        Ok(())
    }

    fn skipped(&mut self, warning: RuntimeError) {
        if !is_nothing_to_cover(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// A file of the kernel's that was to be covered or made read-only, and that this kernel does not have
/// (`/proc/sysrq-trigger`, `/proc/irq`): there is nothing to protect, and nothing to tell.
fn is_nothing_to_cover(warning: &RuntimeError) -> bool {
    matches!(warning, RuntimeError::Step { what, errno: libc::ENOENT, .. } if what.starts_with("bind the container's "))
}

fn cgroups(error: CgroupError) -> RuntimeError {
    RuntimeError::part("set the cgroups up", &error, error.hint())
}
