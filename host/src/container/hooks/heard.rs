#![forbid(unsafe_code)]
//! What a hook says while it is called, kept for its log.

use std::sync::{Arc, Mutex, PoisonError};

use crate::plugin::{Progress, Unit};

/// Most bytes that are kept of one call.
const KEPT: usize = 16 << 10;

/// Listens, and passes everything on to whoever watches the command.
pub(super) struct Heard {
    watcher: Arc<dyn Progress>,
    lines: Mutex<String>,
}

impl Heard {
    pub(super) fn new(watcher: Arc<dyn Progress>) -> Arc<Self> {
        Arc::new(Self { watcher, lines: Mutex::default() })
    }

    /// Everything, a line each.
    pub(super) fn lines(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Progress for Heard {
    fn phase(&self, text: &str) {
        self.watcher.phase(text);
    }

    fn report(&self, done: u64, total: Option<u64>, unit: Unit) {
        self.watcher.report(done, total, unit);
    }

    fn note(&self, text: &str) {
        self.watcher.note(text);
    }

    fn said(&self, _: &str, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() + line.len() < KEPT {
            lines.push_str(line);
            lines.push('\n');
        }
    }

    fn settled(&self) {
        self.watcher.settled();
    }

    fn cancelled(&self) -> bool {
        self.watcher.cancelled()
    }
}
