#![forbid(unsafe_code)]
//! Every verb, cut short at every call to the host: the nearest thing to a crash that a component can be shown.
//!
//! Each time on a pool of its own: the volume is prepared, the verb is struck at its first, second, ... call until it gets through.
//! In between the storage has to tell the truth; then either the verb is repeated with its operation and ends as if nothing had happened,
//! or the volume is removed and nothing is left.

use std::sync::Arc;

use super::cases::{Case, Need};
use super::lab::Lab;
use super::report::{Step, Stop, fault, must, same};
use super::rules;
use crate::plugin::storage::{Access, Phase, Storage};
use crate::plugin::{FailureKind, Interruption, PluginError, Strike};

mod verbs;

pub(super) use verbs::CASES;

/// A verb and what has to hold around it.
#[derive(Debug)]
pub(super) struct Verb {
    /// What is there before.
    prepare: fn(&Lab<'_>) -> Step,
    /// The verb itself.
    call: fn(&dyn Storage, &str) -> Result<(), PluginError>,
    /// What may be seen after it was cut short.
    between: fn(&Lab<'_>) -> Step,
    /// What has to be seen after it was repeated.
    done: fn(&Lab<'_>) -> Step,
    /// The volume that can be removed instead of repeating the verb.
    target: Option<&'static str>,
}

/// More calls to the host than this are not cut short one by one.
const MOST: u64 = 500;

/// Cuts a verb short at every call to the host.
pub(super) fn at_every_call(lab: &Lab<'_>, verb: &Verb, strike: Strike) -> Step {
    for at in 1..=MOST {
        let place = |stop: Stop| located(stop, at, strike);
        let repeated = lab.fresh(&format!("r{at}"))?;
        let reached = cut(&repeated, verb, at, strike).map_err(place)?;
        repeat(&repeated, verb).map_err(place)?;
        repeated.tidy();
        if !reached {
            return Ok(());
        }
        if let Some(target) = verb.target {
            let abandoned = lab.fresh(&format!("a{at}"))?;
            cut(&abandoned, verb, at, strike).map_err(place)?;
            abandon(&abandoned, target).map_err(place)?;
            abandoned.tidy();
        }
    }
    fault("a verb makes more calls to the host than can be cut short", format!("more than {MOST}"))
}

/// Prepares a pool and strikes; whether the verb got as far as the call that was to be struck.
fn cut(lab: &Lab<'_>, verb: &Verb, at: u64, strike: Strike) -> Step<bool> {
    (verb.prepare)(lab)?;
    let interruption = Arc::new(Interruption::new(at, strike));
    let result = (verb.call)(&lab.interrupted(&interruption), OPERATION);
    match result {
        Ok(()) => {}
        Err(PluginError::Budget { .. }) if strike == Strike::End && interruption.happened() => {}
        // A full disk may be told as such, or as a failure of another kind; crashing is no answer.
        Err(PluginError::Failed { kind, .. }) if strike == Strike::NoSpace && interruption.happened() => {
            let misleading = [FailureKind::AlreadyExists, FailureKind::InUse, FailureKind::NotFound];
            must(!misleading.contains(&kind), "a full disk is told as something else", || {
                format!("{kind:?}")
            })?;
        }
        Err(error) => return Err(error.into()),
    }
    (verb.between)(lab)?;
    Ok(interruption.reached())
}

/// The operation that is cut short; those of a lab have numbers.
const OPERATION: &str = "op-cut";

fn repeat(lab: &Lab<'_>, verb: &Verb) -> Step {
    // Twice: what converges once has to stay where it is.
    for _ in 0..2 {
        (verb.call)(&lab.storage, OPERATION).map_err(|error| Stop::from(error).breaking(&rules::REPEAT))?;
        (verb.done)(lab).map_err(|stop| stop.breaking(&rules::REPEAT))?;
    }
    Ok(())
}

fn abandon(lab: &Lab<'_>, id: &str) -> Step {
    let before: Vec<String> = lab.ids()?.into_iter().filter(|known| known != id).collect();
    lab.remove(id)?;
    super::cases::gone(lab, id).map_err(|stop| stop.breaking(&rules::REMOVE))?;
    same(&lab.ids()?, &before, "removing an unfinished volume takes others along")
}

/// Where it happened, in front of what was seen.
fn located(stop: Stop, at: u64, strike: Strike) -> Stop {
    let how = match strike {
        Strike::End => "ended at",
        Strike::NoSpace => "refused for want of space at",
    };
    match stop {
        Stop::Fault { wrong, saw, rule } => {
            Stop::Fault { wrong, saw: format!("{how} call {at} to the host: {saw}"), rule }
        }
        skip => skip,
    }
}

/// A volume that is being made: not there, unfinished, or finished; if finished, then whole.
fn absent_or_whole(lab: &Lab<'_>, id: &str, phase: Phase, words: &str) -> Step {
    match lab.listed(id)? {
        None => Ok(()),
        Some(volume) if volume.phase == Phase::Incomplete => Ok(()),
        Some(volume) => {
            same(&volume.phase, &phase, format!("{id} is in a phase that the verb does not lead to"))?;
            lab.holds(id, words, "an unfinished volume is told as finished")
        }
    }
}

/// A volume that is being removed: not there, marked, or whole.
fn whole_or_removing(lab: &Lab<'_>, id: &str, words: &str) -> Step {
    match lab.listed(id)? {
        None => Ok(()),
        Some(volume) if volume.phase == Phase::Removing => Ok(()),
        Some(_) => {
            lab.holds(id, words, "a volume that is half removed is told as whole")?;
            let root = lab.root(id, Access::ReadOnly)?;
            must(
                root.has("tool") && root.has("etc/deep/file"),
                "a volume that is half removed is told as whole",
                || format!("{:?}", root.names()),
            )
        }
    }
}
