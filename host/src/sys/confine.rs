//! What a helper process takes from itself.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Lowers a limit, or leaves the lower one that is there.
pub(crate) fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let value = Some(getrlimit(resource).maximum.map_or(value, |most| most.min(value)));
    Ok(setrlimit(resource, Rlimit { current: value, maximum: value })?)
}

/// Nobody traces it, and it ends with its caller. After a change of ids, which would clear the second.
pub(crate) fn alone() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Keeps these capabilities, as far as it has them, and no other.
pub(crate) fn keep_capabilities(keep: CapabilitySet) -> io::Result<()> {
    let keep = keep & capabilities(None)?.permitted;
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

/// Keeps none.
pub(crate) fn without_capabilities() -> io::Result<()> {
    keep_capabilities(CapabilitySet::empty())
}
