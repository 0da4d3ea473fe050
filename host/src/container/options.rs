#![forbid(unsafe_code)]
//! The options of a template, from the words behind `--`.
//!
//! The template says what it takes; this makes `--name VALUE`, `--name=VALUE` and switches of it. A
//! file or directory that the user names stays with the host: the template only hears its last part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Error;
use crate::plugin::Identity;
use crate::plugin::manifest::Input;
pub use crate::plugin::template::types::{Pair, Parameter, ParameterKind};

/// What the user said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// As the template sees it.
    pub shown: Vec<Pair>,
    /// The files and directories behind parameters of those kinds.
    pub given: BTreeMap<String, PathBuf>,
}

/// What words behind `--` ask of every template instead of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `--help` or `-h`: its options.
    Help,
    /// `--list` or `-l`: what it has.
    List,
}

impl Question {
    const WORDS: [(&'static str, &'static str, Self); 2] =
        [("--help", "-h", Self::Help), ("--list", "-l", Self::List)];

    /// The first question among these words, unless the template has an option of that name, and the other words.
    #[must_use]
    pub fn among(parameters: &[Parameter], words: &[String]) -> Option<(Self, Vec<String>)> {
        let asks = |word: &String| {
            let (_, _, question) = Self::WORDS.iter().find(|(long, short, _)| {
                word == long && !parameters.iter().any(|p| p.name == long[2..])
                    || word == short && candidates(parameters, &short[1..]).is_empty()
            })?;
            Some(*question)
        };
        let question = words.iter().find_map(asks)?;
        let others = words.iter().filter(|word| asks(word) != Some(question)).cloned().collect();
        Some((question, others))
    }
}

/// The parameters that a single letter can mean: those that begin with it.
fn candidates<'a>(parameters: &'a [Parameter], letter: &str) -> Vec<&'a Parameter> {
    parameters.iter().filter(|parameter| parameter.name.starts_with(letter)).collect()
}

/// Reads `words` against what the template takes.
///
/// # Errors
/// An option that it does not have, a value of the wrong kind, one that is missing.
pub fn parse(template: &Identity, parameters: &[Parameter], words: &[String]) -> Result<Answers, Error> {
    let mut said = read(template, parameters, words)?;
    let refuse = |message: String| refusal(template, message);
    for parameter in parameters {
        if said.iter().any(|(known, _)| known.name == parameter.name) {
            continue;
        }
        match &parameter.default {
            Some(default) => said.push((parameter, default.clone())),
            None if parameter.required => {
                return Err(refuse(format!(
                    "{} needs --{}: {}",
                    template.name, parameter.name, parameter.doc
                )));
            }
            None => {}
        }
    }
    answers(template, said)
}

/// What has to be said, has no default, and is not among `words`.
///
/// # Errors
/// As [`parse`], but for what is missing.
pub(super) fn missing<'a>(
    template: &Identity,
    parameters: &'a [Parameter],
    words: &[String],
) -> Result<Vec<&'a Parameter>, Error> {
    let said = read(template, parameters, words)?;
    let is_said = |parameter: &Parameter| said.iter().any(|(known, _)| known.name == parameter.name);
    let open =
        |parameter: &&Parameter| parameter.required && parameter.default.is_none() && !is_said(parameter);
    Ok(parameters.iter().filter(open).collect())
}

/// Adds the files of the host that parameters mean which the user said nothing of: of each the first that is there.
pub(super) fn complete(answers: &mut Answers, parameters: &[Parameter], inputs: &BTreeMap<String, Input>) {
    for (name, input) in inputs {
        let open = !answers.given.contains_key(name);
        let parameter = parameters.iter().find(|own| own.name == *name && own.kind == ParameterKind::File);
        if let Some(parameter) = parameter.filter(|_| open) {
            // What is there and no file is as good as nothing.
            let _found = input.default.iter().find(|path| answer(answers, parameter, path).is_ok());
        }
    }
}

/// The same for a look at what there is: nothing is required, and what is not said is no filter, but for what names a server.
///
/// # Errors
/// As [`parse`], but for what is missing.
pub(super) fn parse_filters(
    template: &Identity,
    parameters: &[Parameter],
    servers: &[String],
    words: &[String],
) -> Result<Answers, Error> {
    let mut said = read(template, parameters, words)?;
    for parameter in parameters.iter().filter(|parameter| servers.contains(&parameter.name)) {
        if let (Some(default), false) =
            (&parameter.default, said.iter().any(|(p, _)| p.name == parameter.name))
        {
            said.push((parameter, default.clone()));
        }
    }
    answers(template, said)
}

fn refusal(template: &Identity, message: String) -> Error {
    let hint = format!("the options of {}: wxc create -t {0} --help-template", template.name);
    Error::Invalid { message, hint }
}

/// Each option with its value, as it was typed.
fn read<'a>(
    template: &Identity,
    parameters: &'a [Parameter],
    words: &[String],
) -> Result<Vec<(&'a Parameter, String)>, Error> {
    let refuse = |message: String| refusal(template, message);
    let mut said: Vec<(&Parameter, String)> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (parameter, value) = option(template, parameters, word).map_err(refuse)?;
        let name = &parameter.name;
        let value = match (value, &parameter.kind) {
            (Some(value), _) => value,
            (None, ParameterKind::Boolean) => "true".to_string(),
            (None, _) => words.next().cloned().ok_or_else(|| refuse(format!("--{name} takes a value")))?,
        };
        if !parameter.repeatable && said.iter().any(|(known, _)| known.name == *name) {
            return Err(refuse(format!("--{name} can be given once")));
        }
        said.push((parameter, value));
    }
    Ok(said)
}

/// `--name`, `--name=VALUE`, `-n` or `-nVALUE`.
fn option<'a>(
    template: &Identity,
    parameters: &'a [Parameter],
    word: &str,
) -> Result<(&'a Parameter, Option<String>), String> {
    if let Some(option) = word.strip_prefix("--") {
        let (name, value) = option.split_once('=').map_or((option, None), |(n, v)| (n, Some(v.to_string())));
        let found = parameters.iter().find(|p| p.name == name);
        return found.map(|parameter| (parameter, value)).ok_or_else(|| unknown(template, parameters, name));
    }
    let rest = word.strip_prefix('-').unwrap_or_default();
    let Some(letter) = rest.chars().next().filter(char::is_ascii_lowercase) else {
        return Err(format!(
            "{word:?} is no option of a template: options begin with -- (or - and a letter)"
        ));
    };
    let value = (rest.len() > 1).then(|| rest[1..].to_owned());
    match candidates(parameters, &rest[..1])[..] {
        [parameter] if value.is_none() || parameter.kind != ParameterKind::Boolean => Ok((parameter, value)),
        [parameter] => Err(format!("-{letter} stands for --{}, which takes no value", parameter.name)),
        [] => Err(format!("{} has no option that begins with {letter:?}", template.name)),
        ref several => {
            let names: Vec<String> =
                several.iter().map(|parameter| format!("--{}", parameter.name)).collect();
            Err(format!("-{letter} could be {}", names.join(" or ")))
        }
    }
}

/// What was typed, checked against its kind.
fn answers(template: &Identity, said: Vec<(&Parameter, String)>) -> Result<Answers, Error> {
    let mut answers = Answers::default();
    for (parameter, value) in said {
        answer(&mut answers, parameter, &value).map_err(|message| refusal(template, message))?;
    }
    Ok(answers)
}

/// Checks one value against its kind.
fn answer(answers: &mut Answers, parameter: &Parameter, value: &str) -> Result<(), String> {
    let name = &parameter.name;
    if value.chars().any(char::is_control) {
        return Err(format!("--{name} cannot have control characters in it"));
    }
    let shown = match &parameter.kind {
        ParameterKind::Text | ParameterKind::Secret => value.to_string(),
        ParameterKind::Integer => value
            .parse::<i64>()
            .map_err(|_| format!("--{name} takes a whole number, not {value:?}"))?
            .to_string(),
        ParameterKind::Boolean if matches!(value, "true" | "false") => value.to_string(),
        ParameterKind::Boolean => return Err(format!("--{name} takes true or false, not {value:?}")),
        ParameterKind::Choice(choices) if choices.iter().any(|choice| choice == value) => value.to_string(),
        ParameterKind::Choice(choices) => {
            return Err(format!("--{name} takes one of {}, not {value:?}", choices.join(", ")));
        }
        ParameterKind::File | ParameterKind::Directory => {
            let path = existing(parameter, value)?;
            let last = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            answers.given.insert(name.clone(), path);
            last
        }
    };
    answers.shown.push(Pair { name: name.clone(), value: shown });
    Ok(())
}

/// The file or directory, absolute, if it is what it should be.
fn existing(parameter: &Parameter, value: &str) -> Result<PathBuf, String> {
    let name = &parameter.name;
    let path =
        Path::new(value).canonicalize().map_err(|error| format!("--{name}: cannot open {value}: {error}"))?;
    let directory = parameter.kind == ParameterKind::Directory;
    match (directory, path.is_dir()) {
        (true, false) => Err(format!("--{name} takes a directory, and {value} is none")),
        (false, true) => Err(format!("--{name} takes a file, and {value} is a directory")),
        _ => Ok(path),
    }
}

fn unknown(template: &Identity, parameters: &[Parameter], name: &str) -> String {
    let near = parameters
        .iter()
        .map(|p| (strsim::damerau_levenshtein(&p.name, name), &p.name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match near {
        Some((_, near)) => format!("{} has no option --{name}; did you mean --{near}?", template.name),
        None => format!("{} has no option --{name}", template.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, kind: ParameterKind) -> Parameter {
        let doc = "something".to_string();
        Parameter { name: name.into(), kind, doc, default: None, required: false, repeatable: false }
    }

    fn read(words: &[&str]) -> Result<Answers, Error> {
        let mut release = parameter("release", ParameterKind::Choice(vec!["a".into(), "b".into()]));
        release.default = Some("a".into());
        let parameters = [
            release,
            parameter("size", ParameterKind::Integer),
            parameter("minimal", ParameterKind::Boolean),
            parameter("tree", ParameterKind::Directory),
        ];
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        parse(&Identity { name: "template-x".into(), version: "1".into() }, &parameters, &words)
    }

    #[test]
    fn values_switches_and_defaults() {
        let answers = read(&["--size=7", "--minimal", "--tree", "/"]).unwrap();
        let shown: Vec<_> = answers.shown.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        assert_eq!(shown, [("size", "7"), ("minimal", "true"), ("tree", ""), ("release", "a")]);
        assert_eq!(answers.given["tree"], Path::new("/"));
    }

    #[test]
    fn a_letter_stands_for_the_one_option_that_begins_with_it() {
        let answers = read(&["-s", "7", "-m", "-rb"]).unwrap();
        let shown: Vec<_> = answers.shown.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        assert_eq!(shown, [("size", "7"), ("minimal", "true"), ("release", "b")]);
        let message = |words: &[&str]| read(words).unwrap_err().to_string();
        assert!(message(&["-x", "7"]).contains("begins with 'x'"));
        assert!(message(&["-mtrue"]).contains("takes no value"));
        assert!(message(&["-"]).contains("begin with --"));
        assert!(message(&["-é"]).contains("begin with --"));
        let two = [parameter("size", ParameterKind::Integer), parameter("serial", ParameterKind::Integer)];
        let template = Identity { name: "template-x".into(), version: "1".into() };
        let error = parse(&template, &two, &["-s".into(), "1".into()]).unwrap_err().to_string();
        assert_eq!(error, "-s could be --size or --serial");
    }

    #[test]
    fn questions_are_for_templates_without_such_options() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let found = Question::among(&[], &words(&["--dist", "x", "-l"])).unwrap();
        assert_eq!(found, (Question::List, words(&["--dist", "x"])));
        let own = [parameter("list", ParameterKind::Boolean)];
        assert_eq!(Question::among(&own, &words(&["--list", "-l"])), None);
        assert_eq!(Question::among(&own, &words(&["-h"])).unwrap().0, Question::Help);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let message = |words: &[&str]| read(words).unwrap_err().to_string();
        assert!(message(&["--relaese", "a"]).contains("did you mean --release?"));
        assert!(message(&["--release", "c"]).contains("one of a, b"));
        assert!(message(&["--size", "x"]).contains("whole number"));
        assert!(message(&["--size"]).contains("takes a value"));
        assert!(message(&["--size", "1", "--size", "2"]).contains("once"));
        assert!(message(&["--tree", "/dev/null"]).contains("directory"));
        assert!(message(&["--tree", "/nonexistent"]).contains("cannot open"));
        assert!(message(&["tree"]).contains("begin with --"));
        assert!(message(&["--size", "1\n"]).contains("control"));
    }
}
