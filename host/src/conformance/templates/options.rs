//! What a template takes.

use super::Case;
use super::lab::Lab;
use crate::conformance::calls::loud;
use crate::conformance::report::{Step, must, same};
use crate::conformance::rules;
use crate::plugin::template::Template as _;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "options",
        claim: "each option has a name that can be typed, and a default that fits",
        rule: &rules::PARAMETER,
        run: options,
    },
    Case {
        name: "options-stable",
        claim: "the options are the same every time, and need nothing",
        rule: &rules::OPTIONS,
        run: stable,
    },
    Case {
        name: "options-help",
        claim: "each option has one sentence of help, and each choice something to choose",
        rule: &rules::PARAMETER_DOC,
        run: help,
    },
];

fn options(lab: &Lab<'_>) -> Step {
    let options = lab.options()?;
    for option in &options {
        let answer = option.default.iter().map(|value| (option.name.clone(), value.clone()));
        let alone = std::slice::from_ref(option);
        if let Err(why) = crate::plugin::template::answers(alone, &answer.collect::<Vec<_>>()) {
            // One that has to be said has none.
            must(
                option.required && option.default.is_none(),
                "the default of an option does not fit it",
                || why,
            )?;
        }
    }
    Ok(())
}

fn stable(lab: &Lab<'_>) -> Step {
    let (template, calls) = lab.alone();
    let first = template.options()?;
    for _ in 0..2 {
        same(&template.options()?, &first, "the options are other ones when it is asked again")?;
    }
    let loud = loud(&calls, &[]);
    must(loud.is_empty(), "options calls what it must not need", || format!("{loud:?}"))
}

fn help(lab: &Lab<'_>) -> Step {
    use crate::plugin::template::types::ParameterKind;
    for option in lab.options()? {
        let name = &option.name;
        must(!option.doc.trim().is_empty(), "an option without help", || format!("--{name}"))?;
        if let ParameterKind::Choice(words) = &option.kind {
            let good = !words.is_empty() && words.iter().all(|word| !word.trim().is_empty());
            must(good, "a choice with nothing to choose", || format!("--{name}: {words:?}"))?;
        }
    }
    Ok(())
}
