//! A timer signal that advances the engine's epoch, so that a guest in an endless loop is stopped
//! without a second thread.
//!
//! A watchdog thread would do the same and cost more than its stack: `unshare(CLONE_NEWUSER)`
//! fails with EINVAL in a process that has ever had two threads running.
//!
//! The clock is `ITIMER_VIRTUAL`, the process's own time in user mode (setitimer(2)): a guest that
//! is computing uses it up, and a machine on which a hundred containers start at once, or a slow
//! disk under a host verb, does not.

use std::io;
use std::ptr;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::Engine;

/// The engine whose epoch the signal advances. Set once, before the handler is installed.
static ENGINE: OnceLock<Engine> = OnceLock::new();

/// How many guests are running: tests run several at once, `wxc` one.
static RUNNING: Mutex<usize> = Mutex::new(0);

/// Ticks while it lives. Dropping the last one stops the timer: timers survive `execve`.
#[derive(Debug)]
pub struct EpochTimer(());

impl EpochTimer {
    /// Starts advancing `engine`'s epoch once every `tick` of processor time.
    ///
    /// # Errors
    /// When the kernel refuses the handler or the timer, or when another engine has one already:
    /// there is one engine in a process, and one signal.
    pub fn start(engine: &Engine, tick: Duration) -> io::Result<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ENGINE.get().is_none() {
            // Cannot fail: the lock is held, so nobody else has set it since.
            let _set = ENGINE.set(engine.clone());
            install_handler()?;
        }
        if !ENGINE.get().is_some_and(|known| Engine::same(known, engine)) {
            return Err(io::Error::other("a second engine asked for the epoch timer"));
        }
        if *running == 0 {
            set_timer(tick)?;
        }
        *running += 1;
        Ok(Self(()))
    }
}

impl Drop for EpochTimer {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *running -= 1;
        if *running == 0 {
            // Stopping a timer that exists cannot fail; if it did, ticks nobody waits for are harmless.
            let _stopped = set_timer(Duration::ZERO);
        }
    }
}

extern "C" fn on_tick(_signal: libc::c_int) {
    // Both are one atomic operation: `get` loads a state word, `increment_epoch` is documented to
    // be safe in a signal handler. Neither touches errno.
    if let Some(engine) = ENGINE.get() {
        engine.increment_epoch();
    }
}

fn install_handler() -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int) = on_tick;
    // SAFETY: a zeroed `sigaction` is a valid value (no flags, empty mask); the handler only does
    // what signal-safety(7) allows, see `on_tick`; the pointers are to a live local and null.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        // A host verb in a system call is not to see EINTR because of a tick. The alternate stack
        // is wasmtime's and Rust's; a guest's stack may be nearly used up when the tick comes.
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGVTALRM, &raw const action, ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_timer(tick: Duration) -> io::Result<()> {
    // The names of the fields' types are deprecated with one C library and needed with another.
    let out_of_range = |_| io::ErrorKind::InvalidInput;
    let value = libc::timeval {
        tv_sec: tick.as_secs().try_into().map_err(out_of_range)?,
        tv_usec: tick.subsec_micros().into(),
    };
    let timer = libc::itimerval { it_interval: value, it_value: value };
    // SAFETY: the kernel reads one `itimerval` from a live local and writes nothing (old is null).
    let done = unsafe { libc::setitimer(libc::ITIMER_VIRTUAL, &raw const timer, ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_engine_is_refused() {
        let (first, second) = (Engine::default(), Engine::default());
        let _timer = EpochTimer::start(&first, Duration::from_millis(10)).unwrap();
        assert!(EpochTimer::start(&second, Duration::from_millis(10)).is_err());
    }
}
