#![forbid(unsafe_code)]
//! What one call of a plugin may use up. A guest that reaches a limit is stopped, and the error names it.

use std::fmt;
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use super::manifest::Limits;

/// How often the epoch advances while a guest runs, in processor time.
pub const TICK: Duration = Duration::from_millis(10);

/// The limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of linear memory.
    pub memory: usize,
    /// Processor time between two calls to the host.
    pub time: Duration,
    /// Processor time altogether.
    pub total_time: Duration,
    /// Time of the clock for the whole call, where somebody waits for it: what the host does for the guest takes no longer.
    pub clock: Option<Duration>,
    /// Calls of host functions.
    pub host_calls: u64,
    /// Handles held at the same time.
    pub handles: usize,
    /// Bytes that one value returned to the host may have.
    pub result: usize,
    /// Lines in the log.
    pub log_lines: u32,
}

impl Default for Budget {
    /// For compiled guests: a hundred times what the first-party plugins use.
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            time: Duration::from_secs(5),
            total_time: Duration::from_secs(60),
            clock: None,
            host_calls: 1_000_000,
            handles: 1_000,
            result: 16 << 20,
            log_lines: 1_000,
        }
    }
}

impl Budget {
    /// With what a manifest asks for; its reader has checked the numbers.
    #[must_use]
    pub fn with(mut self, limits: &Limits) -> Self {
        if let Some(mebibytes) = limits.memory.and_then(|m| usize::try_from(m).ok()) {
            self.memory = mebibytes << 20;
        }
        if let Some(milliseconds) = limits.time {
            self.time = Duration::from_millis(milliseconds.into());
            self.total_time = self.total_time.max(self.time * 2);
        }
        self
    }
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Linear memory, in bytes.
    Memory(usize),
    /// Processor time.
    Time(Duration),
    /// The guest's stack.
    Stack,
    /// Calls of host functions.
    HostCalls(u64),
    /// Open handles.
    Handles(usize),
    /// Size of a value it returned or passed, in bytes.
    Result(usize),
    /// Tables inside the component.
    Tables,
    /// The user asked to stop, and the guest did not.
    Cancelled,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "memory budget of {} MiB used up", bytes >> 20),
            Self::Time(time) => write!(f, "time budget of {time:?} of processor time used up"),
            Self::Stack => write!(f, "stack budget used up (endless recursion?)"),
            Self::HostCalls(calls) => write!(f, "budget of {calls} host calls used up"),
            Self::Handles(handles) => write!(f, "budget of {handles} open handles used up"),
            Self::Result(bytes) => write!(f, "budget of {} MiB for one result used up", bytes >> 20),
            Self::Tables => write!(f, "budget of table elements used up"),
            Self::Cancelled => write!(f, "it went on after the user asked to stop"),
        }
    }
}

impl std::error::Error for Limit {}

/// What a running call has used so far.
#[derive(Debug)]
pub struct Meter {
    budget: Budget,
    begun: Instant,
    memory: usize,
    calls: u64,
    lines: u32,
    /// Ticks since the last call to the host, altogether, and since the user asked to stop.
    ticks: [u32; 3],
}

/// How long a guest may tidy up after the user asked to stop.
const GRACE: Duration = Duration::from_secs(1);

/// More elements than any compiled guest has functions.
const TABLE_ELEMENTS: usize = 100_000;

impl Meter {
    /// Nothing used yet.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, begun: Instant::now(), memory: 0, calls: 0, lines: 0, ticks: [0; 3] }
    }

    /// The limits.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What is left of the clock; `None` where nobody waits.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.budget.clock.map(|clock| clock.saturating_sub(self.begun.elapsed()))
    }

    /// Counts one call of a host function.
    ///
    /// # Errors
    /// [`Limit::HostCalls`], which ends the guest.
    pub fn host_call(&mut self) -> Result<(), Limit> {
        self.calls += 1;
        self.ticks[0] = 0;
        if self.calls > self.budget.host_calls {
            Err(Limit::HostCalls(self.budget.host_calls))
        } else {
            Ok(())
        }
    }

    /// Counts one tick of the guest's processor time.
    ///
    /// # Errors
    /// The limit that is reached with it, which ends the guest.
    pub fn tick(&mut self, cancelled: bool) -> Result<(), Limit> {
        self.ticks = [self.ticks[0] + 1, self.ticks[1] + 1, self.ticks[2] + u32::from(cancelled)];
        let over = |ticks: u32, limit: Duration| TICK * ticks >= limit;
        if over(self.ticks[0], self.budget.time) {
            return Err(Limit::Time(self.budget.time));
        }
        if over(self.ticks[1], self.budget.total_time) {
            return Err(Limit::Time(self.budget.total_time));
        }
        if over(self.ticks[2], GRACE) { Err(Limit::Cancelled) } else { Ok(()) }
    }

    /// Counts one line of the log: whether it is still written. The line after the last is the place to say so.
    pub fn log_line(&mut self) -> LogLine {
        self.lines = self.lines.saturating_add(1);
        match self.lines.cmp(&(self.budget.log_lines + 1)) {
            std::cmp::Ordering::Less => LogLine::Write,
            std::cmp::Ordering::Equal => LogLine::SayFull,
            std::cmp::Ordering::Greater => LogLine::Drop,
        }
    }
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLine {
    /// It is written.
    Write,
    /// It is the first that is not: the reader is told once.
    SayFull,
    /// It is dropped.
    Drop,
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // All memories of the component together: it may have several.
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.budget.memory {
            // An error instead of `false`: a failed allocation would end a Rust guest in a bare
            // `unreachable`, and nobody would know why.
            return Err(Limit::Memory(self.budget.memory).into());
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS { Err(Limit::Tables.into()) } else { Ok(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_one_component_are_counted_together() {
        let mut meter = Meter::new(Budget { memory: 3 << 16, ..Budget::default() });
        assert!(meter.memory_growing(0, 1 << 16, None).unwrap());
        assert!(meter.memory_growing(0, 1 << 16, None).unwrap());
        assert!(meter.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert!(meter.memory_growing(1 << 16, 2 << 16, None).is_err());
    }

    #[test]
    fn the_log_says_once_that_it_is_full() {
        let mut meter = Meter::new(Budget { log_lines: 2, ..Budget::default() });
        let seen: Vec<_> = (0..5).map(|_| meter.log_line()).collect();
        let expected = [LogLine::Write, LogLine::Write, LogLine::SayFull, LogLine::Drop, LogLine::Drop];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_left_of_the_clock_gets_less_and_never_more() {
        assert_eq!(Meter::new(Budget::default()).remaining(), None);
        let clock = Some(Duration::from_millis(20));
        let meter = Meter::new(Budget { clock, ..Budget::default() });
        let first = meter.remaining().unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert!(meter.remaining().unwrap() < first);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(meter.remaining(), Some(Duration::ZERO));
    }

    #[test]
    fn a_call_to_the_host_starts_the_clock_anew_but_not_the_total() {
        let budget = Budget { time: TICK * 3, total_time: TICK * 5, ..Budget::default() };
        let mut meter = Meter::new(budget);
        meter.tick(false).unwrap();
        meter.tick(false).unwrap();
        meter.host_call().unwrap();
        meter.tick(false).unwrap();
        meter.tick(false).unwrap();
        assert_eq!(meter.tick(false), Err(Limit::Time(TICK * 3)));
        let mut meter = Meter::new(budget);
        let calls = (0..9).map(|_| meter.host_call().and_then(|()| meter.tick(false)));
        assert_eq!(calls.filter(Result::is_ok).count(), 4);
    }
}
