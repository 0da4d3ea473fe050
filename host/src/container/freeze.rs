#![forbid(unsafe_code)]
//! Freezing and thawing: the monitor does it, and hooks are told.

use super::{Error, Host, hooks, watch};
use crate::config::Name;
use crate::runtime::control::Request;

/// Freezes all processes of a container.
///
/// # Errors
/// It does not run, or cannot be frozen.
pub fn freeze(host: &Host, name: &Name) -> Result<(), Error> {
    order(host, name, &Request::Freeze, "freeze")
}

/// Lets them go on.
///
/// # Errors
/// It does not run.
pub fn thaw(host: &Host, name: &Name) -> Result<(), Error> {
    order(host, name, &Request::Unfreeze, "thaw")
}

fn order(host: &Host, name: &Name, request: &Request, event: &str) -> Result<(), Error> {
    let client = watch::connect(host, name)?;
    client.order(request)?;
    if hooks::perhaps(host, name) {
        let plan = client.plan()?;
        if plan.hooks.is_due(event) {
            hooks::after_in(host, &plan, event, watch::snapshot(host, name).and_then(|s| s.init));
        }
    }
    Ok(())
}
