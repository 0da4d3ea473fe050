//! What a hook does, and takes back.

use std::time::Duration;

use super::Case;
use super::lab::Lab;
use crate::conformance::calls::survives;
use crate::conformance::report::{Step, Stop};
use crate::conformance::rules;
use crate::plugin::PluginError;
use crate::plugin::hook::types::{Context, Step as Does};

pub(super) const CASES: &[Case] = &[
    Case { name: "act", claim: "act returns at most a token that can be kept", rule: &rules::ACT, run: act },
    Case {
        name: "act-odd",
        claim: "odd contexts are acted on or refused, without a crash",
        rule: &rules::ERROR,
        run: odd,
    },
    Case { name: "undo", claim: "what act did can be taken back", rule: &rules::UNDO, run: undo },
    Case {
        name: "undo-twice",
        claim: "undo succeeds again when there is nothing left to take back",
        rule: &rules::UNDO_AGAIN,
        run: undo_twice,
    },
    Case {
        name: "undo-foreign",
        claim: "a token that it did not make is no reason to crash",
        rule: &rules::ERROR,
        run: undo_foreign,
    },
];

/// What was done at an event: the context, the token where there is one, and the time for a call.
type Done = (Context, Option<Vec<u8>>, Duration);

/// Acts at every event it wants, at least at one with success; and what it refused to do last where that ends the operation.
fn acted(lab: &Lab) -> Step<(Vec<Done>, Option<String>)> {
    let mut done = Vec::new();
    let (mut refused, mut ended) = (None, None);
    for (event, budget) in lab.events(Does::Act)? {
        let context = lab.ordinary(event);
        match lab.act(&context, budget) {
            Ok(token) => done.push((context, token, budget)),
            // It may refuse an operation, and it may lack what it was not given here.
            Err(PluginError::Failed { message, .. }) => {
                let ends = lab.aborts(event, Does::Act);
                let word = if ends { ", which ends the operation" } else { "" };
                let said = format!("at {event:?}{word}: {message}");
                ended = if ends { Some(said.clone()) } else { ended };
                refused = Some(said);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match (done.is_empty(), refused) {
        (true, Some(why)) => {
            let grant = if lab.allowed { "" } else { " (what it asks for is not granted: try --grant)" };
            Err(Stop::Skip(format!("it acts nowhere: {why}{grant}")))
        }
        _ => Ok((done, ended)),
    }
}

fn act(lab: &Lab) -> Step {
    match acted(lab)?.1 {
        // Whether it may is not for us to say, and nobody is to think that it was tried.
        Some(refused) => Err(Stop::Skip(format!("it does not act everywhere: {refused}"))),
        None => Ok(()),
    }
}

fn odd(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Act)? {
        for (what, context) in lab.odd(event) {
            survives(lab.act(&context, budget), &format!("{what} at {event:?}"))?;
        }
    }
    Ok(())
}

/// As after a failure: the last first.
fn undone(lab: &Lab, times: usize) -> Step {
    let (done, _) = acted(lab)?;
    if done.iter().all(|(_, token, _)| token.is_none()) {
        return Err(Stop::Skip("it returns nothing to be taken back".into()));
    }
    for (context, token, budget) in done.iter().rev() {
        let Some(token) = token else { continue };
        for _ in 0..times {
            lab.undo(context, token, *budget)?;
        }
    }
    Ok(())
}

fn undo(lab: &Lab) -> Step {
    undone(lab, 1)
}

fn undo_twice(lab: &Lab) -> Step {
    undone(lab, 2)
}

fn undo_foreign(lab: &Lab) -> Step {
    let garbage: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let tokens: [(&str, &[u8]); 4] = [
        ("an empty token", &[]),
        ("a token of another plugin", b"{\"mount\":\"/srv\"}"),
        ("a token of garbage", &garbage),
        ("a token of a single byte", &[0xff]),
    ];
    for (event, budget) in lab.events(Does::Act)? {
        for (what, token) in tokens {
            survives(lab.undo(&lab.ordinary(event), token, budget), what)?;
        }
    }
    Ok(())
}
