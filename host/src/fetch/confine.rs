//! What the helper takes from itself before it talks to a server: it keeps a network and its open file.

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _,
};
use rustix::process::Resource;

use super::error::FetchError;
use crate::sys::confine::{alone, limit, without_capabilities};
use crate::sys::syscalls;

/// What looking up a name reads: `resolv.conf` (and what it links to), `hosts`, `nsswitch.conf`, the libraries these name.
const READABLE: &[&str] = &["/etc", "/run", "/usr/lib", "/lib", "/lib64"];
/// Buffers, certificates, threads' stacks.
const ADDRESS_SPACE: u64 = 1 << 30;

/// The order matters: each step needs what a later one takes.
pub(super) fn confine() -> Result<(), FetchError> {
    limit(Resource::Core, 0)
        .and_then(|()| limit(Resource::As, ADDRESS_SPACE))
        .and_then(|()| limit(Resource::Nofile, 64))
        .map_err(failed("limit itself"))?;
    alone().map_err(failed("forbid tracing"))?;
    without_capabilities().map_err(failed("give up capabilities"))?;
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

fn failed<E: std::fmt::Display>(step: &str) -> impl FnOnce(E) -> FetchError {
    move |error| FetchError::Helper { why: format!("cannot {step}: {error}") }
}
