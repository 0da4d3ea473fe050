//! What a template has, and which image it chooses.

use super::Case;
use super::lab::Lab;
use crate::conformance::calls::survives;
use crate::conformance::report::{Step, Stop, fault, must, same};
use crate::conformance::rules;
use crate::plugin::PluginError;
use crate::plugin::template::types::{Pair, Parameter, ParameterKind, Request};
use crate::plugin::template::{Template as _, answers};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "search",
        claim: "search has at most as many images as are asked for, and the same ones first",
        rule: &rules::SEARCH,
        run: search,
    },
    Case {
        name: "search-answers",
        claim: "what chooses an image are answers that can be given",
        rule: &rules::CANDIDATE,
        run: search_answers,
    },
    Case {
        name: "search-incomplete",
        claim: "a search without answers gets a list or an error, and no crash",
        rule: &rules::SEARCH_INCOMPLETE,
        run: search_incomplete,
    },
    Case {
        name: "resolve",
        claim: "resolve says how an image is assembled, with digests and addresses that hold",
        rule: &rules::RESOLVE,
        run: resolve,
    },
    Case {
        name: "resolve-architecture",
        claim: "the image is of the architecture that was asked for",
        rule: &rules::ARCHITECTURE,
        run: architecture,
    },
    Case {
        name: "resolve-unanswered",
        claim: "without answers there is an error, and no crash",
        rule: &rules::RESOLVE_KINDS,
        run: unanswered,
    },
    Case {
        name: "resolve-hostile",
        claim: "hostile answers get an image or an error, and no crash",
        rule: &rules::RESOLVE_KINDS,
        run: hostile,
    },
];

fn search(lab: &Lab<'_>) -> Step {
    let (asked, _) = lab.asked()?;
    let request = Request { container: String::new(), ..asked.request.clone() };
    let all = asked.template.search(&request, 20).map_err(|error| lab.excused(error))?;
    for limit in [0, 1, 5] {
        let found = asked.template.search(&request, limit).map_err(|error| lab.excused(error))?;
        let wanted: Vec<_> = all.iter().take(limit as usize).cloned().collect();
        same(&found, &wanted, format!("a search for {limit} images has other ones than a search for more"))?;
    }
    Ok(())
}

fn search_answers(lab: &Lab<'_>) -> Step {
    let (asked, _) = lab.asked()?;
    let parameters = lab.options()?;
    let request = Request { container: String::new(), ..asked.request.clone() };
    let found = asked.template.search(&request, 20).map_err(|error| lab.excused(error))?;
    if found.is_empty() {
        return Err(Stop::Skip("it has no catalogue".into()));
    }
    for candidate in found {
        // What it leaves open is answered by the user; that is no fault of its.
        let open: Vec<_> =
            parameters.iter().cloned().map(|parameter| Parameter { required: false, ..parameter }).collect();
        let said: Vec<(String, String)> =
            candidate.answers.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect();
        if let Err(why) = answers(&open, &said) {
            return fault(
                "an image of the catalogue cannot be chosen",
                format!("{}: {why}", candidate.product),
            );
        }
    }
    Ok(())
}

fn search_incomplete(lab: &Lab<'_>) -> Step {
    let (template, _) = lab.alone();
    for privileged in [false, true] {
        let request =
            Request { container: String::new(), architecture: "x86_64".into(), privileged, answers: vec![] };
        survives(template.search(&request, 10), "no answers")?;
    }
    Ok(())
}

fn resolve(lab: &Lab<'_>) -> Step {
    let (asked, _) = lab.asked()?;
    lab.resolved(&asked).map(drop)
}

fn architecture(lab: &Lab<'_>) -> Step {
    let (asked, _) = lab.asked()?;
    let manifest = lab.resolved(&asked)?;
    // One that says nothing of it takes what the user gives.
    let good = manifest.architecture.is_empty() || manifest.architecture == asked.request.architecture;
    must(good, "the image is of another architecture than was asked for", || {
        format!("{} instead of {}", manifest.architecture, asked.request.architecture)
    })
}

fn unanswered(lab: &Lab<'_>) -> Step {
    let (template, _) = lab.alone();
    let request = Request {
        container: "web".into(),
        architecture: "x86_64".into(),
        privileged: false,
        answers: vec![],
    };
    survives(offline(template.resolve(&request)), "no answers").map(drop)
}

/// Values that are words of one line, which is all that is promised of them.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "../../../etc/shadow",
    "/etc/shadow",
    "-rf",
    "https://elsewhere.example/x",
    "a/b/c:d@e?f#g",
    "%00%2e%2e",
    "$(id) `id` ; id",
    "ß\u{301}\u{202e}x",
    "{\"a\": [1]}",
    "\"'\\",
];

fn hostile(lab: &Lab<'_>) -> Step {
    let (template, _) = lab.alone();
    let parameters = lab.options()?;
    let long = "x".repeat(64 << 10);
    for parameter in &parameters {
        let texts = HOSTILE.iter().copied().chain([long.as_str()]);
        let values: Vec<String> = match &parameter.kind {
            ParameterKind::Text | ParameterKind::Secret => texts.map(str::to_owned).collect(),
            // The last part of a name, whatever that is.
            ParameterKind::File | ParameterKind::Directory => {
                texts.filter(|text| !text.contains('/')).map(str::to_owned).collect()
            }
            ParameterKind::Integer => [i64::MIN, -1, 0, i64::MAX].map(|n| n.to_string()).to_vec(),
            ParameterKind::Boolean => vec!["true".into(), "false".into()],
            ParameterKind::Choice(words) => words.clone(),
        };
        for value in values {
            let shown: String = value.chars().take(40).collect();
            let with = format!("--{} {shown:?}", parameter.name);
            let mut request = Request {
                container: "web".into(),
                architecture: "x86_64".into(),
                privileged: false,
                answers: others(&parameters, &parameter.name),
            };
            request.answers.push(Pair { name: parameter.name.clone(), value });
            survives(offline(template.resolve(&request)), &with)?;
            survives(template.search(&request, 10), &with)?;
        }
    }
    Ok(())
}

/// What the user leaves as it is, and what has to be said.
fn others(parameters: &[Parameter], but: &str) -> Vec<Pair> {
    let any = |parameter: &Parameter| match &parameter.kind {
        ParameterKind::Integer => "1".to_owned(),
        ParameterKind::Boolean => "true".to_owned(),
        ParameterKind::Choice(words) => words.first().cloned().unwrap_or_default(),
        _ => "x".to_owned(),
    };
    let value = |parameter: &Parameter| {
        parameter.default.clone().or_else(|| parameter.required.then(|| any(parameter)))
    };
    let others = parameters.iter().filter(|parameter| parameter.name != but);
    others
        .filter_map(|parameter| Some(Pair { name: parameter.name.clone(), value: value(parameter)? }))
        .collect()
}

/// Without servers an address that it names is none that may be asked: a matter of this trial, and no fault.
fn offline<T>(result: Result<T, PluginError>) -> Result<Option<T>, PluginError> {
    match result {
        Err(PluginError::Broken { why, .. }) if why.contains("its manifest declares no server") => Ok(None),
        other => other.map(Some),
    }
}
