//! A process 1 that only supervises: it reaps what it inherits, hands signals on to the one process
//! it was made for, and ends as that ends.

use crate::call;

/// SIGRTMIN+3 as systemd counts: the C library keeps the first two for itself.
const HALT_OF_SYSTEMD: i32 = 37;

/// Stays until `child` has ended. Every signal must be blocked.
pub(crate) fn supervise(child: i32) -> ! {
    loop {
        match call::wait_signal() {
            Ok(libc::SIGCHLD) => reap(child),
            // Asked to halt the system: here that is to end the one process in it.
            Ok(libc::SIGPWR | HALT_OF_SYSTEMD) => call::kill(child, libc::SIGTERM),
            Ok(signal) => call::kill(child, signal),
            Err(_) => {}
        }
    }
}

fn reap(child: i32) {
    while let Some((pid, status)) = call::reap() {
        if pid != child {
            continue;
        }
        if libc::WIFSIGNALED(status) {
            call::exit(128 + libc::WTERMSIG(status));
        }
        call::exit(libc::WEXITSTATUS(status));
    }
}
