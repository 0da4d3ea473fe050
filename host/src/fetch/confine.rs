//! What the helper takes from itself before it talks to a server: it keeps a network and its open file.

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::error::FetchError;
use crate::sys::syscalls;

/// What looking up a name reads: `resolv.conf` (and what it links to), `hosts`, `nsswitch.conf`, the libraries these name.
const READABLE: &[&str] = &["/etc", "/run", "/usr/lib", "/lib", "/lib64"];
/// Buffers, certificates, threads' stacks.
const ADDRESS_SPACE: u64 = 1 << 30;

/// The order matters: each step needs what a later one takes.
pub(super) fn confine() -> Result<(), FetchError> {
    limit(Resource::Core, 0)?;
    limit(Resource::As, ADDRESS_SPACE)?;
    limit(Resource::Nofile, 64)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("forbid tracing"))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("follow the caller's end"))?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(failed("give up capabilities"))?;
    read_only().map_err(failed("give up files"))?;
    let filter =
        syscalls::filter(syscalls::Purpose::Network).map_err(failed("make a list of system calls"))?;
    seccompiler::apply_filter(&filter).map_err(failed("restrict system calls"))
}

/// As far as this kernel can: one without Landlock has the other means.
fn read_only() -> Result<(), landlock::RulesetError> {
    let all = AccessFs::from_all(ABI::V3);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?.create()?;
    for path in READABLE {
        // What is not there needs no rule.
        if let Ok(directory) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(directory, read))?;
        }
    }
    rules.restrict_self().map(drop)
}

fn limit(resource: Resource, value: u64) -> Result<(), FetchError> {
    let value = Some(getrlimit(resource).maximum.map_or(value, |most| most.min(value)));
    setrlimit(resource, Rlimit { current: value, maximum: value }).map_err(failed("limit itself"))
}

fn failed<E: std::fmt::Display>(step: &str) -> impl FnOnce(E) -> FetchError {
    move |error| FetchError::Helper { why: format!("cannot {step}: {error}") }
}
