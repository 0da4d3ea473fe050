//! A command with a deadline.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use std::os::unix::process::ExitStatusExt;

/// A command to be run to its end. A test's commands never wait for a terminal or forever.
#[derive(Debug)]
pub struct Run {
    command: Command,
    input: Vec<u8>,
    seconds: u64,
}

/// What a command gave back.
#[derive(Debug)]
pub struct Output {
    /// As typed, for messages.
    pub line: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Run {
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { command, input: Vec::new(), seconds: 60 }
    }

    /// A program of the machine, in the test's own environment.
    #[must_use]
    pub fn host<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        Self::new(command)
    }

    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    #[must_use]
    pub fn within(mut self, seconds: u64) -> Self {
        self.seconds = seconds;
        self
    }

    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// The command itself, for what this builder does not say.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts without waiting; the caller ends it.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command))
    }

    /// Runs to the end, of the program and of its output: what stays in the background must not
    /// hold a pipe of its caller open, or `$(wxc start web)` would never return.
    ///
    /// # Panics
    /// When it cannot be started or does not end in time.
    pub fn run(mut self) -> Output {
        let line = line(&self.command);
        let start = Instant::now();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            let input = std::mem::take(&mut self.input);
            // A program may end without reading what it was given.
            std::thread::spawn(move || stdin.write_all(&input).is_ok());
        }
        let stdout = reader(child.stdout.take());
        let stderr = reader(child.stderr.take());
        let deadline = start + Duration::from_secs(self.seconds);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap_or_else(|error| panic!("{line}: {error}")) {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().and_then(|()| child.wait()).unwrap_or_else(|error| panic!("{line}: {error}"));
                let grace = Duration::from_secs(2);
                panic!(
                    "{line}: did not end within {} s\nstdout: {}\nstderr: {}",
                    self.seconds,
                    stdout.recv_timeout(grace).unwrap_or_default(),
                    stderr.recv_timeout(grace).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = start.elapsed();
        let grace = Duration::from_secs(5);
        let Ok(stdout) = stdout.recv_timeout(grace) else {
            panic!("{line}: ended, but its stdout is held open")
        };
        let Ok(stderr) = stderr.recv_timeout(grace) else {
            panic!("{line}: ended, but its stderr is held open")
        };
        Output { line, status, stdout, stderr, took }
    }

    /// Runs and expects success; gives what was printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(self) -> String {
        let output = self.run();
        assert!(output.status.success(), "{}", output.told());
        output.stdout
    }

    /// Runs and expects to be refused with this exit code; gives the message.
    ///
    /// # Panics
    /// When it succeeds or ends otherwise.
    pub fn fails(self, code: i32) -> String {
        let output = self.run();
        assert_eq!(output.status.code(), Some(code), "{}", output.told());
        output.stderr
    }
}

impl Output {
    /// The exit code as a shell would see it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Everything, for a failing test.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { line, status, stdout, stderr, .. } = self;
        format!("$ {line}\n{status}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is still worth showing.
            let _ended = pipe.read_to_end(&mut bytes);
        }
        sender.send(String::from_utf8_lossy(&bytes).into_owned()).is_ok()
    });
    receiver
}
