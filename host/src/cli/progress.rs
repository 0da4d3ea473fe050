#![forbid(unsafe_code)]
//! Progress of long work: a bar on a terminal, a line for each phase elsewhere.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use super::interrupt;
use super::output::{self, Output};
use crate::plugin::{Progress, Unit};

/// Shows progress on standard error.
#[derive(Debug)]
pub(super) struct Shown {
    quiet: bool,
    terminal: bool,
    bar: Mutex<Option<ProgressBar>>,
}

/// Bytes, rate, time left.
const BYTES: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
/// Without a known end.
const OPEN: &str = "{spinner} {msg} {bytes} {bytes_per_sec}";
const ITEMS: &str = "{msg} [{bar:30}] {pos}/{len}";

impl Shown {
    pub(super) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: output::on_terminal(), bar: Mutex::new(None) }
    }
}

impl Progress for Shown {
    fn phase(&self, text: &str) {
        let text = output::plain(text);
        if self.quiet {
            return;
        }
        let Ok(mut bar) = self.bar.lock() else { return };
        if let Some(old) = bar.take() {
            old.finish_and_clear();
        }
        if self.terminal {
            *bar = Some(ProgressBar::new_spinner().with_message(text));
        } else {
            Output { quiet: false }.say(format_args!("{text} ..."));
        }
    }

    fn report(&self, done: u64, total: Option<u64>, unit: Unit) {
        let Ok(bar) = self.bar.lock() else { return };
        let Some(bar) = bar.as_ref() else { return };
        if bar.length() != total || bar.position() == 0 {
            let template = match (unit, total) {
                (_, None) => OPEN,
                (Unit::Bytes, Some(_)) => BYTES,
                (Unit::Items, Some(_)) => ITEMS,
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            if let Some(total) = total {
                bar.set_length(total);
            }
        }
        bar.set_position(done);
    }

    fn note(&self, text: &str) {
        let say = || Output { quiet: self.quiet }.say(format_args!("note: {}", output::plain(text)));
        match self.bar.lock() {
            Ok(bar) if bar.is_some() => bar.as_ref().map_or((), |bar| bar.suspend(say)),
            _ => say(),
        }
    }

    fn settled(&self) {
        let bar = self.bar.lock().ok().and_then(|mut bar| bar.take());
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn cancelled(&self) -> bool {
        interrupt::asked()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.settled();
    }
}
