//! When a hook wants to be called.

use super::Case;
use super::lab::Lab;
use crate::conformance::calls::survives;
use crate::conformance::report::{Step, Stop, must, same};
use crate::conformance::rules;
use crate::plugin::Hook as _;
use crate::plugin::hook::types::Step as Does;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "wishes",
        claim: "changes and judgements are wished for where there is something to change",
        rule: &rules::WISH_PLACES,
        run: wishes,
    },
    Case {
        name: "wishes-quiet",
        claim: "saying when it wants to be called needs nothing but settings and store",
        rule: &rules::SUBSCRIBE,
        run: quiet,
    },
    Case {
        name: "wishes-stable",
        claim: "it wants the same after it has acted",
        rule: &rules::SUBSCRIBE,
        run: stable,
    },
];

/// The answer was checked when the lab was made.
fn wishes(lab: &Lab) -> Step {
    lab.hook.subscribe()?;
    Ok(())
}

fn quiet(lab: &Lab) -> Step {
    lab.begin();
    lab.hook.subscribe()?;
    let loud = lab.loud();
    must(loud.is_empty(), "subscribe calls what it must not need", || format!("{loud:?}"))
}

fn stable(lab: &Lab) -> Step {
    same(&lab.hook.subscribe()?.as_slice(), &lab.wishes(), "it wants something else when it is asked again")?;
    let events = match lab.events(Does::Act) {
        Err(Stop::Skip(_)) => return Ok(()),
        other => other?,
    };
    for (event, budget) in events {
        survives(lab.act(&lab.ordinary(event), budget), &format!("{event:?}"))?;
    }
    same(&lab.hook.subscribe()?.as_slice(), &lab.wishes(), "it wants something else after it has acted")
}
