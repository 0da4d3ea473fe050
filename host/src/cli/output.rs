#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one place of the program that prints")]
//! The only place that prints: data on standard output, words on standard error.
//!
//! Whatever came from a container, an image or a plugin is printed through [`plain`], because
//! escape sequences in a name or a message would be carried out by the reader's terminal.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use serde::Serialize;

/// How much is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Output {
    pub quiet: bool,
}

impl Output {
    /// A line of data. A reader that went away (`| head`) is not an error.
    pub fn line(self, text: impl Display) {
        drop(writeln!(std::io::stdout().lock(), "{text}"));
    }

    /// Data as it is, without a line end.
    pub fn raw(self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        drop(out.write_all(bytes).and_then(|()| out.flush()));
    }

    /// Data as indented JSON.
    pub fn json(self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(text),
            Err(error) => self.warn(format_args!("cannot print this as JSON: {error}")),
        }
    }

    /// Data as JSON on one line, for streams.
    pub fn json_line(self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(text),
            Err(error) => self.warn(format_args!("cannot print this as JSON: {error}")),
        }
    }

    /// What was done, for a person; nothing with `-q`.
    pub fn say(self, text: impl Display) {
        if !self.quiet {
            drop(writeln!(std::io::stderr().lock(), "{text}"));
        }
    }

    /// Something a person should know although the command goes on.
    pub fn warn(self, text: impl Display) {
        drop(writeln!(std::io::stderr().lock(), "warning: {text}"));
    }
}

/// Whether a person watches standard error.
#[must_use]
pub fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// `text` without anything a terminal would act upon.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Prints one error: message, causes, hints. Only `report` calls it.
pub(super) fn error(message: &str, causes: &[String], hints: &[String]) {
    let mut err = std::io::stderr().lock();
    drop(writeln!(err, "error: {}", plain(message)));
    for cause in causes {
        drop(writeln!(err, "  because: {}", plain(cause)));
    }
    for hint in hints.iter().filter(|hint| !hint.trim().is_empty()) {
        drop(writeln!(err, "hint: {}", plain(hint)));
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\u{9b}c\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\n");
    }
}
