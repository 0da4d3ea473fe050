//! What runs on the machine, read from `/proc`.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Every process by number.
fn all() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Processes that have something to do with a directory: by a word of their command line, their
/// working directory, or an open file below it.
#[must_use]
pub fn touching(directory: &Path) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    all().filter(|pid| *pid != own && touches(*pid, directory)).collect()
}

fn touches(pid: i32, directory: &Path) -> bool {
    let name = directory.as_os_str().as_encoded_bytes();
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let below = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(directory));
    words.windows(name.len()).any(|window| window == name)
        || below(Path::new(&format!("/proc/{pid}/cwd")))
        || fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().any(|fd| below(&fd.path()))
}

/// The children of a process.
#[must_use]
pub fn children(parent: i32) -> Vec<i32> {
    all().filter(|pid| status(*pid, "PPid").and_then(|ppid| ppid.parse().ok()) == Some(parent)).collect()
}

/// One field of `/proc/PID/status`; nothing when the process is gone.
#[must_use]
pub fn status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_owned()))
}

/// Whether it runs; a process that has ended and waits for its parent does not.
#[must_use]
pub fn alive(pid: i32) -> bool {
    status(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// Kills a process the test started. That it is gone already is as good.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Sends a signal to a process the test started.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _gone = kill_process(pid, signal);
    }
}

/// The number of the namespace a process is in, of a kind as in `/proc/PID/ns`.
#[must_use]
pub fn namespace(pid: i32, kind: &str) -> Option<String> {
    Some(fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?.to_string_lossy().into_owned())
}
