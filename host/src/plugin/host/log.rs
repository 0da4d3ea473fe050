#![forbid(unsafe_code)]
//! `wxc:host/log`: messages become events under the plugin's name.

use super::State;
use crate::plugin::bindings::host::wxc::host::log::{Host, Level};
use crate::plugin::budget::LogLine;

/// Longest message; more is cut.
const LONGEST: usize = 4096;

impl Host for State {
    fn emit(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.spoken("log.emit", &(level, &message), |state| {
            state.log(level, &message);
            Ok(())
        })
    }
}

impl State {
    /// Standard output or error of a guest that has one: a line each in the log.
    pub(in crate::plugin) fn print(&mut self, bytes: &[u8]) -> wasmtime::Result<()> {
        self.count()?;
        for line in String::from_utf8_lossy(bytes).lines().filter(|l| !l.trim().is_empty()) {
            self.log(Level::Info, line);
        }
        Ok(())
    }

    fn log(&mut self, level: Level, message: &str) {
        match self.meter.log_line() {
            LogLine::Write => self.write_log(level, message),
            LogLine::SayFull => {
                let lines = self.meter.budget().log_lines;
                self.write_log(
                    Level::Warn,
                    &format!("more than {lines} lines in one call: the rest is left out"),
                );
            }
            LogLine::Drop => {}
        }
    }

    fn write_log(&self, level: Level, message: &str) {
        let (plugin, message) = (&self.plugin.name, printable(message));
        if !matches!(level, Level::Trace | Level::Debug) {
            self.progress.said(plugin, &message);
        }
        match level {
            Level::Trace => tracing::trace!(target: "wxc::guest", plugin, "{message}"),
            Level::Debug => tracing::debug!(target: "wxc::guest", plugin, "{message}"),
            Level::Info => tracing::info!(target: "wxc::guest", plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "wxc::guest", plugin, "{message}"),
            Level::Error => tracing::error!(target: "wxc::guest", plugin, "{message}"),
        }
    }
}

/// One line without control characters: a guest's escape sequences must not reach a terminal.
pub(in crate::plugin) fn printable(text: &str) -> String {
    // What turns the direction of writing makes a line say something else than it holds (Unicode, UAX 9).
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= LONGEST {
            out.push('…');
            break;
        }
        if c.is_control() || turns(c) { out.extend(c.escape_debug()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_long_lines_are_tamed() {
        assert_eq!(printable("a\x1b[2Jb\n\u{202e}"), "a\\u{1b}[2Jb\\n\\u{202e}");
        assert!(printable(&"x".repeat(100_000)).len() < LONGEST + 8);
    }
}
