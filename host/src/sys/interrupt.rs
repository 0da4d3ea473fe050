//! A flag that signals set: for work that is to end in order.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

/// The flag of this process; null before [`set_on_signal`].
static FLAG: AtomicPtr<AtomicBool> = AtomicPtr::new(std::ptr::null_mut());

/// The signal that set the flag; 0 before.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// The signals with which people and systems end a command.
const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The first of SIGINT, SIGTERM and SIGHUP sets `flag`; after that they end the process, as they do
/// by default (SA_RESETHAND of sigaction(2)). One that is ignored stays so: that is how nohup(1)
/// works.
pub fn set_on_signal(flag: &'static AtomicBool) {
    FLAG.store(std::ptr::from_ref(flag).cast_mut(), Ordering::Release);
    for signal in SIGNALS {
        // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask, the default action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: `action` is valid for the kernel to write the current action to; with a null new
        // action nothing is changed.
        let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
        if asked != 0 || action.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESETHAND;
        // SAFETY: `on_signal` has the type that the kernel calls without SA_SIGINFO, and only does
        // what is allowed in a handler: atomic accesses.
        unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    }
}

/// The signal that has set the flag. For whoever takes over the signals of a process that had this before: one that came until
/// then has been taken from the kernel, and would be lost.
pub fn received() -> Option<i32> {
    Some(RECEIVED.load(Ordering::Acquire)).filter(|signal| *signal != 0)
}

extern "C" fn on_signal(signal: i32) {
    RECEIVED.store(signal, Ordering::Release);
    // SAFETY: the pointer is null or was made from a `&'static AtomicBool` in `set_on_signal`.
    if let Some(flag) = unsafe { FLAG.load(Ordering::Acquire).as_ref() } {
        flag.store(true, Ordering::Relaxed);
    }
}
