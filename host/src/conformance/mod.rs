#![forbid(unsafe_code)]
//! The conformance suite of storage backends: what `wit/storage` promises, tried on any component.
//!
//! In reading order:
//!
//! - [`rules`]: the sentences of the contract that are tried, word for word
//! - [`cases`]: the table of cases, a short function each
//! - [`lab`]: what a case works with: a pool of its own, homes of volumes, operations
//! - [`content`]: files that are written into volumes and looked for afterwards
//! - [`durable`]: what is on the disk, as the file system knows it
//! - [`interrupted`]: each verb, cut short at every call to the host
//! - [`report`]: what came out
//!
//! A case looks at three things: what the verbs answer, what the pool looks like to the host, and what the volume looks like when it is
//! mounted as the backend says. So a backend cannot pass by telling a good story.

/// The table of cases.
pub mod cases;
/// Files in volumes.
mod content;
/// What is on the disk and what is in memory alone.
mod durable;
/// Verbs that are cut short.
mod interrupted;
/// A pool and a backend to work with.
mod lab;
/// What came out.
pub mod report;
/// Sentences of the contract.
pub mod rules;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

pub use cases::Case;
pub use report::{Outcome, Report, Row};

use crate::plugin::manifest::PoolKind;
use crate::plugin::trial::Trial;
use lab::{Lab, Scratch};

/// What is to be tried.
#[derive(Debug)]
pub struct Request {
    /// The directory in which the scratch pool is made and removed again: what it is on decides what a backend can do.
    pub below: PathBuf,
    /// Only these cases; all of them when there are none.
    pub only: Vec<String>,
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
                let near = cases::all().map(|case| (strsim::damerau_levenshtein(case.name, name), case.name));
                near.min()
                    .filter(|(distance, _)| *distance <= 4)
                    .map(|(_, case)| format!("did you mean {case}?"))
            }
            Self::NamedPool(_) => None,
            Self::Scratch { .. } => Some("name a directory to which you can write with --pool".into()),
        }
    }
}

/// Tries a backend, one case after the other, each on a pool of its own; `tell` hears each as it ends.
///
/// # Errors
/// When the suite cannot be run. What a backend does wrong is in the report.
pub fn run(
    trial: &Trial,
    request: &Request,
    cancel: &AtomicBool,
    tell: &mut dyn FnMut(&Row),
) -> Result<Report, Error> {
    if trial.pool_kind() == PoolKind::Name {
        return Err(Error::NamedPool(trial.identity().to_string()));
    }
    if let Some(unknown) = request.only.iter().find(|name| !cases::all().any(|case| case.name == **name)) {
        return Err(Error::UnknownCase(unknown.clone()));
    }
    let scratch = Scratch::new(&request.below)?;
    let mut report = Report::new(trial.identity());
    let chosen = |case: &&Case| request.only.is_empty() || request.only.iter().any(|name| name == case.name);
    for case in cases::all().filter(chosen) {
        if cancel.load(Ordering::Relaxed) {
            report.cancelled = true;
            break;
        }
        let row = try_case(trial, &scratch, case)?;
        tell(&row);
        report.rows.push(row);
    }
    scratch.remove()?;
    Ok(report)
}

fn try_case(trial: &Trial, scratch: &Scratch, case: &Case) -> Result<Row, Error> {
    let lab = Lab::new(trial, scratch.pool(case.name)?);
    let began = std::time::Instant::now();
    let outcome = match case.needs.lacking(lab.abilities()) {
        Some(why) => Outcome::Skipped { why },
        None => Outcome::from((case.run.call(&lab), case)),
    };
    let row = Row { case: case.name, claim: case.claim, outcome, took: began.elapsed() };
    lab.tidy();
    Ok(row)
}
