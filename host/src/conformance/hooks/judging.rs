//! How a hook judges.

use super::Case;
use super::contexts;
use super::lab::Lab;
use crate::conformance::calls::survives;
use crate::conformance::report::{Step, must, same};
use crate::conformance::rules;
use crate::plugin::hook::types::{Step as Does, Verdict};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "validate-twice",
        claim: "the same plan gets the same verdict",
        rule: &rules::VALIDATE_PURE,
        run: twice,
    },
    Case {
        name: "validate-quiet",
        claim: "validate needs nothing but settings and store",
        rule: &rules::VALIDATE_PURE,
        run: quiet,
    },
    Case {
        name: "validate-sentence",
        claim: "it refuses with one sentence that can be shown",
        rule: &rules::REFUSE,
        run: sentence,
    },
    Case {
        name: "validate-odd",
        claim: "odd contexts get a verdict or an error, and no crash",
        rule: &rules::ERROR,
        run: odd,
    },
    Case {
        name: "validate-large",
        claim: "a large plan with many changes is judged within the budget",
        rule: &rules::BUDGET,
        run: large,
    },
];

fn twice(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Validate)? {
        let first = lab.validate(event, budget)?;
        for _ in 0..2 {
            let again = lab.validate(event, budget)?;
            same(
                &again,
                &first,
                format!("validate says something else at {event:?} when it is asked again"),
            )?;
        }
    }
    Ok(())
}

fn quiet(lab: &Lab) -> Step {
    let events = lab.events(Does::Validate)?;
    lab.begin();
    for (event, budget) in events {
        lab.validate(event, budget)?;
        let loud = lab.loud();
        must(loud.is_empty(), "validate calls what is denied there", || format!("at {event:?}: {loud:?}"))?;
    }
    Ok(())
}

/// In all contexts: which of them it refuses is its own business.
fn sentence(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Validate)? {
        let ordinary = std::iter::once(("an ordinary container", lab.ordinary(event)));
        for (what, context) in ordinary.chain(lab.odd(event)) {
            if let Some(Verdict::Refuse(why)) = survives(lab.hook.verdict(&context, &[], budget), what)? {
                let seen = || format!("with {what}: {why:?}");
                must(!why.trim().is_empty(), "it refuses and does not say why", seen)?;
                must(!why.contains(char::is_control), "its reason is no sentence on one line", seen)?;
            }
        }
    }
    Ok(())
}

fn odd(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Validate)? {
        for (what, context) in lab.odd(event) {
            survives(lab.hook.verdict(&context, &contexts::changes(8), budget), what)?;
        }
    }
    Ok(())
}

fn large(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Validate)? {
        let context = contexts::large(&lab.ordinary(event));
        survives(lab.hook.verdict(&context, &contexts::changes(1000), budget), "thousands of entries")?;
    }
    Ok(())
}
