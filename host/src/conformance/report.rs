#![forbid(unsafe_code)]
//! What came out: a row for each case, and why a case did not pass.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Tried;
use super::rules::Rule;
use crate::plugin::{Identity, PluginError};

/// What came out of all cases.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// In the order of the table.
    pub rows: Vec<Row>,
    /// The user asked to stop before the end.
    pub cancelled: bool,
}

/// What came out of one case.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Name of the case.
    pub case: &'static str,
    /// What a good plugin does.
    pub claim: &'static str,
    /// Whether this one does.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    #[serde(serialize_with = "milliseconds", rename = "milliseconds")]
    pub took: Duration,
}

/// How a case ended.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// As the contract says.
    Passed,
    /// Not as the contract says.
    Failed(Failed),
    /// It could not be tried.
    Skipped {
        /// Why not: the ability is not exported, or this machine or pool cannot show it.
        why: String,
    },
}

/// What was wrong.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// In a sentence.
    pub wrong: String,
    /// What was seen.
    pub saw: String,
    /// The sentence of the contract that it breaks.
    pub breaks: Rule,
}

/// Why a case ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The backend did something wrong; the rule is the case's own unless one is named.
    Fault { wrong: String, saw: String, rule: Option<&'static Rule> },
    /// It cannot be tried here.
    Skip(String),
}

/// How a step of a case ends.
pub(super) type Step<T = ()> = Result<T, Stop>;

/// Something the contract does not allow.
pub(super) fn fault<T>(wrong: impl Into<String>, saw: impl Into<String>) -> Step<T> {
    Err(Stop::Fault { wrong: wrong.into(), saw: saw.into(), rule: None })
}

/// A condition, with what is wrong otherwise and what is seen then.
pub(super) fn must(holds: bool, wrong: impl Into<String>, saw: impl FnOnce() -> String) -> Step {
    if holds { Ok(()) } else { fault(wrong, saw()) }
}

/// Two things that have to be equal.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(seen: &T, wanted: &T, wrong: impl Into<String>) -> Step {
    must(seen == wanted, wrong, || format!("{seen:?} where {wanted:?} was expected"))
}

/// Nothing but this machine can be to blame.
pub(super) fn here(error: impl std::fmt::Display) -> Stop {
    Stop::Skip(format!("this could not be tried here: {error}"))
}

impl Stop {
    /// The same, as a breach of another rule than the case's own.
    pub(super) fn breaking(self, other: &'static Rule) -> Self {
        match self {
            Self::Fault { wrong, saw, rule } => Self::Fault { wrong, saw, rule: rule.or(Some(other)) },
            skip => skip,
        }
    }
}

/// A verb that should have succeeded.
impl From<PluginError> for Stop {
    fn from(error: PluginError) -> Self {
        let wrong = match &error {
            PluginError::Trap { call, .. } => format!("{call} crashed"),
            PluginError::Budget { call, .. } => format!("{call} does not end within its budget"),
            PluginError::Broken { call, .. } => {
                format!("{call} gave an answer that the contract does not allow")
            }
            PluginError::Failed { call, .. } => format!("{call} failed where it has to succeed"),
            _ => "the plugin could not be called".to_owned(),
        };
        Self::Fault { wrong, saw: told(&error), rule: None }
    }
}

/// An error with its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Outcome {
    pub(super) fn of(step: Step, case: &dyn Tried) -> Self {
        match step {
            Ok(()) => Self::Passed,
            Err(Stop::Skip(why)) => Self::Skipped { why },
            Err(Stop::Fault { wrong, saw, rule }) => {
                Self::Failed(Failed { wrong, saw, breaks: *rule.unwrap_or(case.rule()) })
            }
        }
    }
}

impl Report {
    pub(super) fn new(plugin: &Identity) -> Self {
        let (plugin, version) = (plugin.name.clone(), plugin.version.clone());
        Self { plugin, version, rows: Vec::new(), cancelled: false }
    }

    /// How many passed, failed and were skipped.
    #[must_use]
    pub fn totals(&self) -> [usize; 3] {
        let count = |is: fn(&Outcome) -> bool| self.rows.iter().filter(|row| is(&row.outcome)).count();
        [
            count(|outcome| matches!(outcome, Outcome::Passed)),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped { .. })),
        ]
    }
}

fn milliseconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}
