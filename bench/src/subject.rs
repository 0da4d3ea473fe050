//! What both programs can be asked to do.

use std::error::Error;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) type Failed = Box<dyn Error>;

/// A program that manages containers, in one way of using it. Each call makes the command; the
/// clock runs from its start to its end, as a script would wait for it.
pub(crate) trait Subject {
    /// As in the head of a column.
    fn name(&self) -> &'static str;
    /// Makes a stopped, idle container of the busybox tree.
    fn create(&self, container: &str) -> Result<(), Failed>;
    /// Returns when it is RUNNING.
    fn start(&self, container: &str) -> Command;
    /// Starts a command as the container's only one, in the foreground.
    fn once(&self, container: &str, program: &str) -> Command;
    /// Runs a command in the running container.
    fn attach(&self, container: &str, program: &str) -> Command;
    /// Prints the state.
    fn state(&self, container: &str) -> Command;
    /// Prints the process id of init and nothing else.
    fn pid(&self, container: &str) -> Command;
    /// Kills it; returns when it is STOPPED.
    fn kill(&self, container: &str) -> Command;
}

/// How long the command takes. It must succeed, or what is measured is an error.
pub(crate) fn timed(mut command: Command) -> Result<Duration, Failed> {
    // A file and no pipe: what stays in the background may keep it.
    let mut said = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?);
    let start = Instant::now();
    let status = command.status()?;
    let took = start.elapsed();
    if status.success() {
        return Ok(took);
    }
    let mut why = String::new();
    said.rewind().and_then(|()| said.read_to_string(&mut why))?;
    Err(format!("{command:?}: {status}\n{why}").into())
}

/// What the command prints.
pub(crate) fn printed(mut command: Command) -> Result<String, Failed> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("{command:?}: {}", output.status).into())
    }
}

/// Memory of the process that watches over a container, in KiB: its own pages, and its share of
/// those it has in common with others.
pub(crate) fn monitor_memory(subject: &dyn Subject, container: &str) -> Result<u64, Failed> {
    let init = printed(subject.pid(container))?;
    let status = fs::read_to_string(format!("/proc/{init}/status"))?;
    let parent = field(&status, "PPid:").ok_or("init has no parent")?;
    let rollup = fs::read_to_string(format!("/proc/{parent}/smaps_rollup"))?;
    let pss = field(&rollup, "Pss:").ok_or("the kernel tells no Pss")?;
    Ok(pss.trim_end_matches(" kB").parse()?)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
