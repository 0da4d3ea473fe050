//! What runs on the machine, read from `/proc`.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Every process by number.
fn all() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Processes that were started with exactly this entry (`KEY=value`) in their environment.
#[must_use]
pub fn with_environment(entry: &[u8]) -> Vec<i32> {
    let has = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == entry))
    };
    all().filter(has).collect()
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
