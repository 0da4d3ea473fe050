#![forbid(unsafe_code)]
//! Ctrl-C: the first one asks long work to stop and take back what it did.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Set by the first interrupt once [`listen`] was called.
pub(super) fn flag() -> &'static AtomicBool {
    &ASKED
}

/// Whether the user asked to stop.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// From now on SIGINT, SIGTERM and SIGHUP set the flag instead of ending the process; a second one
/// ends it as usual. Only for verbs whose work looks at the flag.
pub(super) fn listen() {
    crate::sys::interrupt::set_on_signal(&ASKED);
}
