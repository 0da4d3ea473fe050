#![forbid(unsafe_code)]
//! Questions on a terminal: what a template has to know and nobody has said.
//!
//! A template with a catalogue is asked for it, and one image of it is chosen step by step, in lists that get shorter as one types;
//! another template's options are asked for one by one. What comes of it are the words that could have been typed.

use std::io::{IsTerminal as _, stdin};

use dialoguer::console::Term;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, FuzzySelect, Input, Password};

use super::context::Context;
use super::output::{self, plain};
use super::report::Failure;
use crate::container::catalogue::{self, CatalogueRequest};
use crate::container::options::{Parameter, ParameterKind};
use crate::container::{Error, Host};
use crate::plugin::template::types::Candidate;

/// A part of what an image is called.
type Part = fn(&Candidate) -> &String;

/// What is asked of a catalogue, in this order.
const STEPS: [(&str, Part); 4] = [
    ("Distribution", |candidate| &candidate.product),
    ("Release", |candidate| &candidate.release),
    ("Architecture", |candidate| &candidate.architecture),
    ("Variant", |candidate| &candidate.flavour),
];

/// Completes the options of a template by what a person answers. Without a person there, or without anything to ask, they
/// stay as they are.
pub(super) fn complete(
    context: &Context,
    host: &Host,
    (template, privileged): (&str, bool),
    words: &[String],
) -> Result<Vec<String>, Failure> {
    let mut words = words.to_vec();
    if !(stdin().is_terminal() && output::on_terminal()) {
        return Ok(words);
    }
    let missing = catalogue::missing_options(host, template, &words)?;
    if missing.is_empty() {
        return Ok(words);
    }
    let request = CatalogueRequest { template, words: &words, privileged };
    let candidates = catalogue::search(host, &request)?;
    // A bar of what was looked up would be drawn over the questions.
    host.progress.settled();
    let answers = match candidates.is_empty() {
        true => one_by_one(&missing)?,
        false => choose(candidates, &words)?,
    };
    words.extend(answers.iter().map(|(name, value, _)| format!("--{name}={value}")));
    let shown = answers.iter().filter(|(.., secret)| !secret);
    let shown: Vec<String> = shown.map(|(name, value, _)| format!("--{name} {value}")).collect();
    context.out.say(format_args!("the same without questions: -t {template} -- {}", plain(&shown.join(" "))));
    Ok(words)
}

/// Name, value, and whether that is for nobody's eyes.
type Answer = (String, String, bool);

/// Goes down a catalogue until one image is left: the newest build of what was chosen.
fn choose(mut left: Vec<Candidate>, words: &[String]) -> Result<Vec<Answer>, Failure> {
    let native = rustix::system::uname().machine().to_string_lossy().into_owned();
    for (question, of) in STEPS {
        let mut kinds: Vec<String> = left.iter().map(|candidate| of(candidate).clone()).collect();
        kinds.sort();
        kinds.dedup();
        let chosen = match kinds.as_slice() {
            [] | [_] => continue,
            _ => {
                let usual = kinds.iter().position(|kind| *kind == native || kind == "default");
                let items: Vec<String> = kinds.iter().map(|kind| plain(kind)).collect();
                let at = select(question, &items, usual.unwrap_or(0))?;
                kinds.into_iter().nth(at)
            }
        };
        left.retain(|candidate| Some(of(candidate)) == chosen.as_ref());
    }
    let newest = left.into_iter().max_by(|a, b| a.serial.cmp(&b.serial));
    let Some(Candidate { answers, serial, .. }) = newest else { return Ok(Vec::new()) };
    let is_said = |name: &str| {
        let (long, with) = (format!("--{name}"), format!("--{name}="));
        let short = name.get(..1).map(|letter| format!("-{letter}"));
        words.iter().any(|word| {
            *word == long
                || word.starts_with(&with)
                || short.as_ref().is_some_and(|s| word.starts_with(s.as_str()))
        })
    };
    // The build is left open: the next time it is the newest again.
    let told = answers.into_iter().filter(|answer| answer.value != serial && !is_said(&answer.name));
    Ok(told.map(|answer| (answer.name, answer.value, false)).collect())
}

fn one_by_one(missing: &[Parameter]) -> Result<Vec<Answer>, Failure> {
    let mut answers = Vec::new();
    for parameter in missing {
        let question = format!("{} ({})", parameter.name, plain(&parameter.doc));
        let theme = theme();
        let value = match &parameter.kind {
            ParameterKind::Choice(words) => {
                let items: Vec<String> = words.iter().map(|word| plain(word)).collect();
                let at = select(&question, &items, 0)?;
                words.get(at).cloned().unwrap_or_default()
            }
            ParameterKind::Boolean => {
                let asked = Confirm::with_theme(theme.as_ref()).with_prompt(question).interact();
                asked.map_err(ended)?.to_string()
            }
            ParameterKind::Secret => {
                Password::with_theme(theme.as_ref()).with_prompt(question).interact().map_err(ended)?
            }
            ParameterKind::Integer => {
                let asked = Input::<i64>::with_theme(theme.as_ref()).with_prompt(question).interact_text();
                asked.map_err(ended)?.to_string()
            }
            ParameterKind::Text | ParameterKind::File | ParameterKind::Directory => {
                let asked = Input::<String>::with_theme(theme.as_ref()).with_prompt(question).interact_text();
                asked.map_err(ended)?
            }
        };
        answers.push((parameter.name.clone(), value, parameter.kind == ParameterKind::Secret));
    }
    Ok(answers)
}

/// One of several; the list gets shorter as one types.
fn select(question: &str, items: &[String], usual: usize) -> Result<usize, Failure> {
    let theme = theme();
    let list = FuzzySelect::with_theme(theme.as_ref()).with_prompt(question).items(items).default(usual);
    match list.max_length(12).interact_opt().map_err(ended)? {
        Some(at) => Ok(at),
        None => Err(Error::Cancelled.into()),
    }
}

/// Colours where the terminal is to have any.
fn theme() -> Box<dyn Theme> {
    match dialoguer::console::colors_enabled_stderr() {
        true => Box::new(ColorfulTheme::default()),
        false => Box::new(SimpleTheme),
    }
}

/// The terminal as it was; an interrupted question is what Ctrl-C makes of it.
fn ended(error: dialoguer::Error) -> Failure {
    drop(Term::stderr().show_cursor());
    let dialoguer::Error::IO(error) = error;
    match error.kind() {
        std::io::ErrorKind::Interrupted => Error::Cancelled.into(),
        _ => Failure::new(format!("cannot ask on this terminal: {error}"))
            .hint("say everything on the command line: wxc create -t TEMPLATE --help-template"),
    }
}
