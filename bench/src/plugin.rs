//! What a plugin costs: found, checked, loaded and called, in a process that has done nothing yet.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wxc::plugin::{Places, Plugins, Quiet, SettingValues, Storage};

use crate::samples::Samples;
use crate::subject::{Failed, printed};

/// The word with which this program measures itself once: nothing may be warm, not even the engine.
pub(crate) const WORD: &str = "plugin-once";

/// Samples in milliseconds.
#[derive(Default)]
pub(crate) struct Cost {
    /// From a name to something that can be called, with the engine's start.
    pub(crate) load: Samples,
    /// The first call: an instance, the call, the answer checked.
    pub(crate) call: Samples,
    /// Loading it a second time and calling it, as for each later one in the same command.
    pub(crate) again: Samples,
}

impl Cost {
    /// One more sample of each, from a new process.
    pub(crate) fn sample(&mut self, pool: &Path) -> Result<(), Failed> {
        let mut once = Command::new(std::env::current_exe()?);
        once.arg(WORD).arg(pool);
        let line = printed(once)?;
        let nanoseconds: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [load, call, again] = nanoseconds[..] else {
            return Err(format!("{WORD} printed {line:?}").into());
        };
        self.load.time(Duration::from_nanos(load));
        self.call.time(Duration::from_nanos(call));
        self.again.time(Duration::from_nanos(again));
        Ok(())
    }
}

/// Prints the three times in nanoseconds.
pub(crate) fn once(pool: &Path) -> Result<(), Failed> {
    let plugins = Plugins::new(Places::standard(None));
    let load = || plugins.storage("storage-dir", pool, &SettingValues::new(), Arc::new(Quiet));
    let start = Instant::now();
    let storage = load()?;
    let loaded = start.elapsed();
    storage.open()?;
    let called = start.elapsed();
    load()?.open()?;
    let again = start.elapsed();
    println!("{} {} {}", loaded.as_nanos(), (called - loaded).as_nanos(), (again - called).as_nanos());
    Ok(())
}
