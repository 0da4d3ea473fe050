#![forbid(unsafe_code)]
//! The conformance suite: what `wit/` promises of plugins, tried on any component.
//!
//! In reading order:
//!
//! - [`rules`]: the sentences of the contract that are tried, word for word
//! - [`report`]: what came out
//! - storage: [`cases`], the table of cases, a short function each; [`lab`], what a case works with: a pool of its own, homes of volumes,
//!   operations; [`content`], files that are written into volumes and looked for afterwards; [`durable`], what is on the disk, as the
//!   file system knows it; [`interrupted`], each verb, cut short at every call to the host
//! - [`hooks`]: a container that is not there, and what hooks are told of it
//! - [`templates`]: answers, good and hostile, and what templates make of them
//!
//! A case of a storage backend looks at three things: what the verbs answer, what the pool looks like to the host, and what the volume
//! looks like when it is mounted as the backend says. One of a hook or a template looks at what is answered, at what it asked of the
//! host for that, and at what the host makes of the answer. So a plugin cannot pass by telling a good story.

/// Calls that a plugin makes, and those that it survives.
mod calls;
/// The table of cases.
pub mod cases;
/// Files in volumes.
mod content;
/// What is on the disk and what is in memory alone.
mod durable;
/// The suite for hooks.
mod hooks;
/// Verbs that are cut short.
mod interrupted;
/// A pool and a backend to work with.
mod lab;
/// What came out.
pub mod report;
/// Sentences of the contract.
pub mod rules;
/// The suite for templates.
mod templates;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

pub use cases::Case;
pub use report::{Outcome, Report, Row};

use crate::container::Host;
use crate::plugin::Kind;
use crate::plugin::manifest::PoolKind;
use crate::plugin::trial::Trial;
use lab::{Lab, Scratch};
use report::Step;
use rules::Rule;

/// What is to be tried.
#[derive(Debug)]
pub struct Request {
    /// The directory in which everything is made and removed again: for storage, what it is on decides what a backend can do.
    pub below: PathBuf,
    /// Only these cases; all of them when there are none.
    pub only: Vec<String>,
    /// What stands for a hook in the container.
    pub told: BTreeMap<String, String>,
    /// What a template is answered, as behind `--` of a create.
    pub words: Vec<String>,
}

/// One thing that the contract promises, of whatever kind of plugin.
pub(crate) trait Tried {
    /// As it is chosen and reported.
    fn name(&self) -> &'static str;
    /// What a good plugin does.
    fn claim(&self) -> &'static str;
    /// The sentence of the contract that says so.
    fn rule(&self) -> &'static Rule;
}

/// Why the suite could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such case.
    #[error("there is no case {0:?}")]
    UnknownCase(String),
    /// The pool of this backend is a name, and the administrator has bound none.
    #[error("the pool of {0} is a name and not a directory, and there is no scratch pool of that kind")]
    NamedPool(String),
    /// The scratch pool cannot be made or removed.
    #[error("cannot {doing} the scratch pool {}", path.display())]
    Scratch {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownCase(name) => {
                let all = cases::all().map(Tried::name).chain(hooks::all().map(Tried::name));
                let near = all
                    .chain(templates::all().map(Tried::name))
                    .map(|case| (strsim::damerau_levenshtein(case, name), case));
                near.min()
                    .filter(|(distance, _)| *distance <= 4)
                    .map(|(_, case)| format!("did you mean {case}?"))
            }
            Self::NamedPool(_) => None,
            Self::Scratch { .. } => Some("name a directory to which you can write with --pool".into()),
        }
    }
}

/// Tries a plugin, one case after the other, each in a directory of its own; `tell` hears each as it ends.
///
/// # Errors
/// When the suite cannot be run. What a plugin does wrong is in the report.
pub fn run(
    trial: &Trial,
    request: &Request,
    host: &Host,
    tell: &mut dyn FnMut(&Row),
) -> Result<Report, Error> {
    match trial.kind() {
        Kind::Storage => {
            if trial.pool_kind() == PoolKind::Name {
                return Err(Error::NamedPool(trial.identity().to_string()));
            }
            let one = |directory, case: &Case| try_storage(trial, directory, case);
            each(trial, request, host.cancel, cases::all(), &one, tell)
        }
        Kind::Hook => {
            let one = |directory, case: &hooks::Case| hooks::try_case(trial, request, host, directory, case);
            each(trial, request, host.cancel, hooks::all(), &one, tell)
        }
        Kind::Template => {
            let one = |directory, case: &templates::Case| {
                templates::try_case(trial, request, host, directory, case)
            };
            each(trial, request, host.cancel, templates::all(), &one, tell)
        }
    }
}

/// Tries the cases that were chosen.
fn each<C: Tried + 'static>(
    trial: &Trial,
    request: &Request,
    cancel: &AtomicBool,
    cases: impl Iterator<Item = &'static C>,
    one: &dyn Fn(PathBuf, &C) -> Step,
    tell: &mut dyn FnMut(&Row),
) -> Result<Report, Error> {
    let cases: Vec<&C> = cases.collect();
    if let Some(unknown) = request.only.iter().find(|name| !cases.iter().any(|case| case.name() == **name)) {
        return Err(Error::UnknownCase(unknown.clone()));
    }
    let scratch = Scratch::new(&request.below)?;
    let mut report = Report::new(trial.identity());
    let chosen = |case: &&C| request.only.is_empty() || request.only.iter().any(|name| name == case.name());
    for case in cases.into_iter().filter(chosen) {
        if cancel.load(Ordering::Relaxed) {
            report.cancelled = true;
            break;
        }
        let began = std::time::Instant::now();
        let outcome = Outcome::of(one(scratch.pool(case.name())?, case), case);
        let row = Row { case: case.name(), claim: case.claim(), outcome, took: began.elapsed() };
        tell(&row);
        report.rows.push(row);
    }
    scratch.remove()?;
    Ok(report)
}

fn try_storage(trial: &Trial, pool: PathBuf, case: &Case) -> Step {
    let lab = Lab::new(trial, pool);
    let step = match case.needs.lacking(lab.abilities()) {
        Some(why) => Err(report::Stop::Skip(why)),
        None => case.run.call(&lab),
    };
    lab.tidy();
    step
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_can_be_typed() {
        let suites: [Vec<&str>; 3] = [
            cases::all().map(Tried::name).collect(),
            hooks::all().map(Tried::name).collect(),
            templates::all().map(Tried::name).collect(),
        ];
        for names in suites {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
            let good = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            assert!(names.iter().all(good), "{names:?}");
        }
    }
}
