//! What a hook proposes.

use super::Case;
use super::contexts;
use super::lab::Lab;
use crate::conformance::calls::survives;
use crate::conformance::report::{Step, fault, must, same, told};
use crate::conformance::rules;
use crate::plugin::Hook as _;
use crate::plugin::hook::types::Step as Does;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "adjust",
        claim: "it proposes what its manifest declares, and nothing else",
        rule: &rules::PATCH_GRANT,
        run: adjust,
    },
    Case {
        name: "adjust-twice",
        claim: "the same context gives the same changes",
        rule: &rules::ADJUST_PURE,
        run: twice,
    },
    Case {
        name: "adjust-quiet",
        claim: "adjust needs nothing but settings and store",
        rule: &rules::ADJUST_DENIED,
        run: quiet,
    },
    Case {
        name: "adjust-accepted",
        claim: "what it proposes can be made and planned",
        rule: &rules::PATCH,
        run: accepted,
    },
    Case {
        name: "adjust-odd",
        claim: "odd contexts get changes or an error, and no crash",
        rule: &rules::ERROR,
        run: odd,
    },
    Case {
        name: "adjust-large",
        claim: "a large plan is looked at within the budget",
        rule: &rules::BUDGET,
        run: large,
    },
];

fn adjust(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Adjust)? {
        lab.adjust(event, budget)?;
    }
    Ok(())
}

fn twice(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Adjust)? {
        let first = lab.adjust(event, budget)?;
        for _ in 0..2 {
            let again = lab.adjust(event, budget)?;
            same(
                &again,
                &first,
                format!("adjust proposes something else at {event:?} when it is asked again"),
            )?;
        }
    }
    Ok(())
}

fn quiet(lab: &Lab) -> Step {
    let events = lab.events(Does::Adjust)?;
    lab.begin();
    for (event, budget) in events {
        lab.adjust(event, budget)?;
        let loud = lab.loud();
        must(loud.is_empty(), "adjust calls what is denied there", || format!("at {event:?}: {loud:?}"))?;
    }
    Ok(())
}

fn accepted(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Adjust)? {
        let patches = lab.adjust(event, budget)?;
        if let Err(error) = lab.stage.accepts(&lab.hook, patches) {
            return fault(
                "a change that it proposes cannot be made",
                format!("at {event:?}: {}", told(&error)),
            );
        }
    }
    Ok(())
}

fn odd(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Adjust)? {
        for (what, context) in lab.odd(event) {
            survives(lab.hook.adjust(&context, budget), what)?;
        }
    }
    Ok(())
}

fn large(lab: &Lab) -> Step {
    for (event, budget) in lab.events(Does::Adjust)? {
        let context = contexts::large(&lab.ordinary(event));
        survives(lab.hook.adjust(&context, budget), "a plan of thousands of entries")?;
    }
    Ok(())
}
