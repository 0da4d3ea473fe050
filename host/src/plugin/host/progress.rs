#![forbid(unsafe_code)]
//! `wxc:host/progress`: what the user sees of long work, and whether they asked to stop.

use super::State;
use super::log::printable;
use crate::plugin::bindings::host::wxc::host::progress::{Host, Unit as WitUnit};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things: files, packages, volumes.
    Items,
}

/// Where progress goes: a bar on a terminal, lines elsewhere. Made by whoever starts the operation.
pub trait Progress: Send + Sync {
    /// A phase begins.
    fn phase(&self, text: &str);
    /// How much of it is done, and of how much where that is known.
    fn report(&self, done: u64, total: Option<u64>, unit: Unit);
    /// Something a person should know, although the work goes on.
    fn note(&self, _text: &str) {}
    /// What a plugin wrote into the log.
    fn said(&self, _plugin: &str, _line: &str) {}
    /// Nothing goes on for a while: what is shown of the last phase goes away.
    fn settled(&self) {}
    /// Whether the user asked to stop. Called often: it must be cheap.
    fn cancelled(&self) -> bool;
}

/// Shows nothing and never asks to stop.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn phase(&self, _: &str) {}
    fn report(&self, _: u64, _: Option<u64>, _: Unit) {}
    fn cancelled(&self) -> bool {
        false
    }
}

impl Host for State {
    fn phase(&mut self, text: String) -> wasmtime::Result<()> {
        self.spoken("progress.phase", &(&text,), |state| {
            state.progress.phase(&printable(&text));
            Ok(())
        })
    }

    fn report(&mut self, done: u64, total: Option<u64>, unit: WitUnit) -> wasmtime::Result<()> {
        self.spoken("progress.report", &(done, total, unit), |state| {
            let unit = match unit {
                WitUnit::Octets => Unit::Bytes,
                WitUnit::Items => Unit::Items,
            };
            state.progress.report(done, total, unit);
            Ok(())
        })
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        let called = self.called("progress.cancelled", &())?;
        self.answer(called, |state| Ok(state.progress.cancelled()))
    }
}
