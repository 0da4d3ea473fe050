#![forbid(unsafe_code)]
//! `hooks.log` in the container's directory: what was called, how long it took, how it ended and what it said.
//!
//! Hooks run where nobody watches, in a monitor's runner too, so a log that only a command keeps would miss most of them.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::plan::Plan;

const FILE: &str = "hooks.log";
/// Size at which it becomes `hooks.log.1`.
const LARGEST: u64 = 1 << 20;
/// Most bytes of what one program said.
const SAID: usize = 16 << 10;

/// One line, and what was said below it. A log that cannot be written is no reason to fail.
pub(super) fn write(plan: &Plan, what: &str, took: Duration, failure: Option<&str>, said: &str) {
    append(&plan.container.directory, what, took, failure, said);
}

/// The same for a container of which only the directory is known.
pub(super) fn append(directory: &Path, what: &str, took: Duration, failure: Option<&str>, said: &str) {
    tracing::info!(what, ?took, failure, "hook");
    let path = directory.join(FILE);
    if fs::metadata(&path).is_ok_and(|meta| meta.len() > LARGEST) {
        fs::rename(&path, directory.join(format!("{FILE}.1"))).ok();
    }
    let text = entry(&jiff::Timestamp::now().to_string(), what, took, failure, said);
    let opened =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(&path);
    if let Err(error) = opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        tracing::warn!("cannot write {}: {error}", path.display());
    }
}

fn entry(time: &str, what: &str, took: Duration, failure: Option<&str>, said: &str) -> String {
    let clean = |text: &str| text.replace(|c: char| c.is_control() && c != '\t', "?");
    let ended = failure.map_or("ok".to_owned(), |why| format!("failed: {}", clean(why)));
    let mut text = format!("{time} {} ({:.1} ms): {ended}\n", clean(what), took.as_secs_f64() * 1000.0);
    for line in said.get(..said.floor_char_boundary(SAID)).unwrap_or_default().lines() {
        text.push_str("    ");
        text.push_str(&clean(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_cannot_look_like_a_line_of_ours() {
        let took = Duration::from_micros(1500);
        let text = entry("T", "stop: run a\nb", took, None, "one\r\u{1b}[2J\ntwo");
        assert_eq!(text, "T stop: run a?b (1.5 ms): ok\n    one??[2J\n    two\n");
        assert!(entry("T", "x", took, Some("no\nway"), "").ends_with("failed: no?way\n"));
    }
}
