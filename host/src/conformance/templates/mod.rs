//! The suite for templates: what they take, what they have, how they say what an image is made of, and what they make of its metadata.
//!
//! - [`lab`]: a template, the answers of whoever tries it, and the calls that were made
//! - `options`, `choosing`, `finishing`: the cases, by the functions of the contract

mod choosing;
mod finishing;
mod lab;
mod options;

use super::report::Step;
use super::rules::Rule;
use super::{Request, Tried};
use crate::container::{Host, trial};
use crate::plugin::trial::Trial;
use lab::Lab;

/// One thing that the contract promises of a template.
#[derive(Debug)]
pub(super) struct Case {
    name: &'static str,
    claim: &'static str,
    rule: &'static Rule,
    run: fn(&Lab<'_>) -> Step,
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
    [options::CASES, choosing::CASES, finishing::CASES].into_iter().flatten()
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
    (case.run)(&Lab { trial, host, directory, words: &request.words })
}
