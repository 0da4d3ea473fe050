//! A program of the host, run to its end: an environment of its own, bounded time and output.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use super::signal;

/// Where programs are looked for, and what they get as their `PATH`.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a program that was asked to end may take for it.
const GRACE: Duration = Duration::from_secs(2);
/// How often the caller is asked whether to go on.
const INTERVAL: Duration = Duration::from_millis(200);
/// How much of the end of standard error is kept besides its beginning.
const TAIL: usize = 1024;

/// What to run.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// The whole path of the program.
    pub program: &'a Path,
    /// Its arguments, the program's own name first.
    pub argv: &'a [OsString],
    /// Its variables besides `PATH`; nothing of the caller's.
    pub environment: &'a [(String, String)],
    /// Descriptors that it inherits, under the numbers that they have here.
    pub inherit: &'a [BorrowedFd<'a>],
    pub deadline: Duration,
    /// The most bytes kept of each output.
    pub capture: usize,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub how: How,
    /// The beginning of standard output.
    pub stdout: Vec<u8>,
    /// The beginning of standard error.
    pub stderr: Vec<u8>,
    /// The end of standard error.
    pub last_words: Vec<u8>,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By itself, with this exit code, or 128 and the number of the signal that ended it.
    Itself(i32),
    /// It took too long and was killed.
    Late,
    /// The caller did not want it any longer.
    Cancelled,
}

/// The path of a program: the first one that can be executed.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let executable =
        |path: &PathBuf| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    PATH.split(':').map(|directory| Path::new(directory).join(name)).find(executable)
}

/// Runs a program and waits. It, and whatever of its process group is left, is gone afterwards.
/// `cancelled` is asked several times a second.
///
/// # Errors
/// It cannot be started or waited for.
pub fn run(invocation: &Invocation<'_>, cancelled: &dyn Fn() -> bool) -> io::Result<Ended> {
    let mut child = spawn(invocation)?;
    let outputs = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
    let group = Pid::from_child(&child);
    let process = pidfd_open(group, PidfdFlags::empty()).map_err(io::Error::from);
    let running = process.and_then(|process| Running::new(process, Some(group), outputs, invocation.capture));
    let mut running = match running {
        Ok(running) => running,
        Err(error) => {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
    };
    let how = running.follow_to_the_end(invocation.deadline, cancelled);
    let status = child.wait()?;
    Ok(running.ended(how?.unwrap_or_else(|| How::Itself(code(status)))))
}

/// The same for a process that leads its own process group and is already there; a child of the caller's.
///
/// # Errors
/// It cannot be waited for.
pub fn follow(
    process: OwnedFd,
    outputs: [OwnedFd; 2],
    deadline: Duration,
    capture: usize,
    cancelled: &dyn Fn() -> bool,
) -> io::Result<Ended> {
    let mut running = Running::new(process, None, outputs.map(Some), capture)?;
    let how = running.follow_to_the_end(deadline, cancelled);
    let wait = || waitid(WaitId::PidFd(running.process.as_fd()), WaitIdOptions::EXITED);
    let status = rustix::io::retry_on_intr(wait)?.ok_or(Errno::CHILD)?;
    let signal = || status.terminating_signal().map_or(0, |signal| 128 + signal);
    let code = status.exit_status().unwrap_or_else(signal);
    Ok(running.ended(how?.unwrap_or(How::Itself(code))))
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn spawn(invocation: &Invocation<'_>) -> io::Result<Child> {
    let mut command = Command::new(invocation.program);
    if let Some((name, arguments)) = invocation.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    let own = invocation.environment.iter().map(|(name, value)| (name, value));
    command.env_clear().env("PATH", PATH).envs(own).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let inherit: Vec<i32> = invocation.inherit.iter().map(|fd| fd.as_raw_fd()).collect();
    let prepare = move || {
        // What the caller was given and knows nothing of is nothing for others either.
        let last = libc::c_uint::MAX;
        // SAFETY: close_range(2) takes integers; with this flag it closes nothing of this process.
        if unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, last, libc::CLOSE_RANGE_CLOEXEC) }
            < 0
        {
            return Err(io::Error::last_os_error());
        }
        for fd in &inherit {
            // SAFETY: F_SETFD takes an integer; the number is of a descriptor that the caller's borrow
            // keeps open, and this process is a copy of the caller's.
            if unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // With us, if we are killed.
        // SAFETY: PR_SET_PDEATHSIG takes an integer and touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only; its memory was allocated
    // before, and an error of the system is made without allocating.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// One of its outputs.
#[derive(Debug)]
struct Output {
    pipe: Option<OwnedFd>,
    head: Vec<u8>,
    tail: Vec<u8>,
    limit: usize,
}

impl Output {
    fn new(pipe: Option<OwnedFd>, limit: usize) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self { pipe, head: Vec::new(), tail: Vec::new(), limit })
    }

    /// Takes what is there; what is above the limit is read, too, so that the program is not held up.
    fn take(&mut self) {
        let mut buffer = [0; 16384];
        while let Some(pipe) = &self.pipe {
            match read(pipe, &mut buffer) {
                Ok(length @ 1..) => {
                    let bytes = &buffer[..length];
                    let room = self.limit.saturating_sub(self.head.len()).min(length);
                    self.head.extend_from_slice(&bytes[..room]);
                    self.tail.extend_from_slice(bytes);
                    self.tail.drain(..self.tail.len().saturating_sub(TAIL));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
    }
}

#[derive(Debug)]
struct Running {
    /// The first of its process group.
    process: OwnedFd,
    /// The number of that group, where the caller can see it.
    group: Option<Pid>,
    stdout: Output,
    stderr: Output,
}

impl Running {
    fn new(
        process: OwnedFd,
        group: Option<Pid>,
        [stdout, stderr]: [Option<OwnedFd>; 2],
        capture: usize,
    ) -> io::Result<Self> {
        let (stdout, stderr) = (Output::new(stdout, capture)?, Output::new(stderr, capture)?);
        Ok(Self { process, group, stdout, stderr })
    }

    /// Follows it, and ends what it has left of its group.
    fn follow_to_the_end(
        &mut self,
        deadline: Duration,
        cancelled: &dyn Fn() -> bool,
    ) -> io::Result<Option<How>> {
        let how = self.follow(deadline, cancelled);
        // Before it is waited for: until then the number of its group cannot be somebody else's.
        self.signal(Signal::KILL);
        self.drain();
        how
    }

    fn ended(self, how: How) -> Ended {
        let Self { stdout, stderr, .. } = self;
        Ended { how, stdout: stdout.head, stderr: stderr.head, last_words: stderr.tail }
    }

    /// Until it has ended, or had to; `None` for by itself.
    fn follow(&mut self, deadline: Duration, cancelled: &dyn Fn() -> bool) -> io::Result<Option<How>> {
        let end = Instant::now() + deadline;
        let mut why = None;
        let mut kill_at = None;
        loop {
            let now = Instant::now();
            if why.is_none() {
                why = match (now >= end, cancelled()) {
                    (true, _) => Some(How::Late),
                    (_, true) => Some(How::Cancelled),
                    _ => None,
                };
                if why.is_some() {
                    self.signal(Signal::TERM);
                    kill_at = Some(now + GRACE);
                }
            }
            if kill_at.is_some_and(|at| now >= at) {
                self.signal(Signal::KILL);
            }
            if self.wait(INTERVAL.min(end.saturating_duration_since(now).max(Duration::from_millis(10))))? {
                return Ok(why);
            }
        }
    }

    /// Takes output until something has happened; whether the program has ended.
    fn wait(&mut self, time: Duration) -> io::Result<bool> {
        let pipes = [&self.stdout.pipe, &self.stderr.pipe].into_iter().flatten();
        let fds = std::iter::once(self.process.as_fd()).chain(pipes.map(|pipe| pipe.as_fd()));
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        let ready = match poll(&mut fds, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => !fds[0].revents().is_empty(),
            Err(error) => return Err(error.into()),
        };
        self.drain();
        Ok(ready)
    }

    fn drain(&mut self) {
        self.stdout.take();
        self.stderr.take();
    }

    fn signal(&self, signal: Signal) {
        // There is nobody left when it fails.
        match self.group {
            Some(group) => drop(kill_process_group(group, signal)),
            None => drop(signal::send_to_group(self.process.as_fd(), signal.as_raw())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: u64) -> Ended {
        // What runs here is chosen by the test; plugins name programs and no shell.
        let argv = ["sh", "-c", script].map(OsString::from);
        let deadline = Duration::from_millis(deadline);
        let program = find("sh").unwrap();
        let invocation = Invocation {
            program: &program,
            argv: &argv,
            environment: &[],
            inherit: &[],
            deadline,
            capture: 16,
        };
        run(&invocation, &|| false).unwrap()
    }

    #[test]
    fn what_it_writes_is_kept_up_to_the_limit() {
        let ended = shell("echo out; seq 100000; echo complaint >&2; exit 3", 10_000);
        assert_eq!(ended.how, How::Itself(3));
        assert_eq!(ended.stdout, b"out\n1\n2\n3\n4\n5\n6\n");
        assert_eq!(ended.last_words, b"complaint\n");
    }

    #[test]
    fn it_has_an_empty_environment_and_no_input() {
        let ended = shell("env | grep -vE '^(PATH|PWD|SHLVL|_|OLDPWD)='; cat; pwd; kill -9 $$", 10_000);
        assert_eq!((ended.how, ended.stdout.as_slice()), (How::Itself(137), b"/\n".as_slice()));
    }

    #[test]
    fn what_takes_too_long_is_killed_with_all_it_started() {
        let start = Instant::now();
        let ended = shell("trap '' TERM; sleep 60 & echo $!; sleep 60; sleep 60", 200);
        assert_eq!(ended.how, How::Late);
        assert!(start.elapsed() < Duration::from_secs(10));
        let other: i32 = String::from_utf8(ended.stdout).unwrap().trim().parse().unwrap();
        // It is gone, or on its way: a process that has been killed may still be seen until the kernel has run it.
        let stat = || std::fs::read_to_string(format!("/proc/{other}/stat")).unwrap_or_default();
        let is_gone = |stat: &str| stat.is_empty() || stat.contains(") Z ");
        while !is_gone(&stat()) {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", stat());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_it_leaves_in_the_background_does_not_hold_us_up() {
        let start = Instant::now();
        assert_eq!(shell("sleep 60 & exit 0", 10_000).how, How::Itself(0));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_caller_can_stop_it() {
        let argv = ["sleep", "60"].map(OsString::from);
        let program = find("sleep").unwrap();
        let deadline = Duration::from_secs(60);
        let invocation = Invocation {
            program: &program,
            argv: &argv,
            environment: &[],
            inherit: &[],
            deadline,
            capture: 16,
        };
        assert_eq!(run(&invocation, &|| true).unwrap().how, How::Cancelled);
    }

    #[test]
    fn an_inherited_descriptor_leads_to_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"content").unwrap();
        let argv = ["cat".into(), OsString::from(format!("/proc/self/fd/{}", file.as_raw_fd()))];
        let (program, inherit) = (find("cat").unwrap(), [file.as_fd()]);
        let deadline = Duration::from_secs(10);
        let invocation = Invocation {
            program: &program,
            argv: &argv,
            environment: &[],
            inherit: &inherit,
            deadline,
            capture: 16,
        };
        assert_eq!(run(&invocation, &|| false).unwrap().stdout, b"content");
    }
}
