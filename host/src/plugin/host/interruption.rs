#![forbid(unsafe_code)]
//! An interruption at a chosen call to the host: how the conformance suite shows what a crash, a full disk or a broken one does to a
//! backend in the middle of a verb.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::failure::failure;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::plugin::budget::Limit;

/// What happens at the chosen call. The call itself is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// The guest is ended there and then, as by SIGKILL or a power failure.
    End,
    /// The call fails as on a full disk, and the guest goes on. Only verbs of `wxc:host/tree` fail like that.
    NoSpace,
}

/// An interruption of one call of a plugin.
#[derive(Debug)]
pub struct Interruption {
    at: u64,
    strike: Strike,
    calls: AtomicU64,
    happened: AtomicBool,
}

impl Interruption {
    /// One that strikes at the host call of this number, from one on.
    #[must_use]
    pub fn new(at: u64, strike: Strike) -> Self {
        Self { at, strike, calls: AtomicU64::new(0), happened: AtomicBool::new(false) }
    }

    /// Whether the guest got as far as that.
    #[must_use]
    pub fn happened(&self) -> bool {
        self.happened.load(Ordering::Relaxed)
    }

    /// Whether the guest made at least as many calls as the number of the one to be struck.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.calls.load(Ordering::Relaxed) >= self.at
    }

    /// Counts a call, and ends the guest at the chosen one.
    pub(super) fn enter(&self) -> Result<(), Limit> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call != self.at || self.strike != Strike::End {
            return Ok(());
        }
        self.happened.store(true, Ordering::Relaxed);
        Err(Limit::HostCalls(self.at - 1))
    }

    /// Fails the call that was counted last, if it is the chosen one.
    pub(super) fn fail(&self) -> Result<(), Error> {
        if self.calls.load(Ordering::Relaxed) != self.at || self.strike != Strike::NoSpace {
            return Ok(());
        }
        self.happened.store(true, Ordering::Relaxed);
        Err(failure(ErrorKind::NoSpace, "no space left on device (the suite says so)"))
    }
}
