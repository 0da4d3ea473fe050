#![forbid(unsafe_code)]
//! Calls of a hook or a template on trial: those that it makes, and those that it has to survive.

use std::collections::BTreeSet;

use super::report::{Step, Stop};
use crate::plugin::PluginError;
use crate::plugin::trial::Calls;

/// What changes nothing but what the plugin itself is told or says, whatever it is.
const QUIET: &[&str] = &[
    "log.emit",
    "progress.phase",
    "progress.report",
    "progress.cancelled",
    "settings.get",
    "settings.all",
    // An interpreter asks for these when it starts, whatever the plugin does; whether the answers differ is tried for itself.
    "wasi.random",
    "wasi.monotonic-clock",
    "wasi.wall-clock",
    "host-system.directories",
];

/// What was called that a function which has to be repeatable must not need, but for `also`.
pub(super) fn loud(calls: &Calls, also: &[&str]) -> BTreeSet<String> {
    let calls = calls.take().into_iter().flat_map(|record| record.host_calls).map(|call| call.call);
    let quiet = |call: &str| QUIET.contains(&call) || also.contains(&call) || call.ends_with(".drop");
    calls.filter(|call| !quiet(call)).collect()
}

/// A call that may fail and may not crash.
pub(super) fn survives<T>(result: Result<T, PluginError>, with: &str) -> Step<Option<T>> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(PluginError::Failed { .. }) => Ok(None),
        Err(error) => Err(match Stop::from(error) {
            Stop::Fault { wrong, saw, rule } => {
                Stop::Fault { wrong, saw: format!("with {with}: {saw}"), rule }
            }
            skip => skip,
        }),
    }
}
