//! The suite for hooks: when they want to be called, what they propose and judge, what they do and take back.
//!
//! - [`contexts`]: what they are told: ordinary, and odd but legal
//! - [`lab`]: a hook, a container that is not there, and the calls that were made
//! - `wishes`, `shaping`, `judging`, `acting`: the cases, by the functions of the contract

mod acting;
mod contexts;
mod judging;
mod lab;
mod shaping;
mod wishes;

use super::report::Step;
use super::rules::Rule;
use super::{Request, Tried};
use crate::container::{Host, trial};
use crate::plugin::trial::Trial;
use lab::Lab;

/// One thing that the contract promises of a hook.
#[derive(Debug)]
pub(super) struct Case {
    name: &'static str,
    claim: &'static str,
    rule: &'static Rule,
    run: fn(&Lab) -> Step,
}

impl Tried for Case {
    fn name(&self) -> &'static str {
        self.name
    }

    fn claim(&self) -> &'static str {
        self.claim
    }

    fn rule(&self) -> &'static Rule {
        self.rule
    }
}

/// All cases in their order.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    [wishes::CASES, shaping::CASES, judging::CASES, acting::CASES].into_iter().flatten()
}

/// Tries one case, in a directory of its own.
pub(super) fn try_case(
    trial: &Trial,
    request: &Request,
    host: &Host,
    directory: std::path::PathBuf,
    case: &Case,
) -> Step {
    let host = trial::elsewhere(host, &directory);
    Lab::new(trial, host, directory, request.told.clone()).and_then(|lab| (case.run)(&lab))
}
