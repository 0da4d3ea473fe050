#![forbid(unsafe_code)]
//! `wxc create`.

use std::process::ExitCode;

use super::args::Create;
use super::ask;
use super::context::{self, Context};
use super::output;
use super::report::Failure;
use super::{human, interrupt, table};
use crate::container::catalogue::{self, CatalogueRequest};
use crate::container::create::{self, Basis, CreateRequest};
use crate::container::options::{Parameter, ParameterKind, Question};
use crate::plugin::template::types::Candidate;

pub(super) fn create(context: &Context, args: &Create) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let template = args.template.as_deref().unwrap_or_default();
    if args.help_template || !args.options.is_empty() {
        let parameters = catalogue::template_options(&host, template)?;
        match Question::among(&parameters, &args.options) {
            _ if args.help_template => return help(context, &parameters),
            Some((Question::Help, _)) => return help(context, &parameters),
            Some((Question::List, words)) => {
                interrupt::listen();
                let found = catalogue::search(
                    &host,
                    &CatalogueRequest { template, words: &words, privileged: args.privileged },
                )?;
                drop(host);
                return list(context, &found, args.json);
            }
            None => {}
        }
    }
    interrupt::listen();
    let basis = match &args.image {
        Some(image) => Basis::Image(image.clone()),
        None => {
            let options = ask::complete(context, &host, (template, args.privileged), &args.options)?;
            Basis::Template { name: template.to_owned(), options }
        }
    };
    let request = CreateRequest {
        name: context::parse_name(
            args.name.as_ref().or(args.name_option.as_ref()).map_or("", String::as_str),
        )?,
        basis,
        storage: args.storage.clone(),
        storage_set: context::pairs(&args.storage_set)?,
        size: args.size.as_ref().map(|word| context::size(word)).transpose()?,
        config: args.config.clone(),
        set: context::pairs(&args.set)?,
        privileged: args.privileged,
        ephemeral: false,
        allow_older: args.allow_older,
        fresh: false,
    };
    let created = create::create(&host, &request)?;
    // The bar goes away before the words come.
    drop(host);
    for note in &created.notes {
        context.out.say(format_args!("note: {}", output::plain(note)));
    }
    if args.json {
        context.out.json(&created);
        return Ok(ExitCode::SUCCESS);
    }
    let kind = if created.privileged { "privileged" } else { "unprivileged" };
    context.out.say(format_args!(
        "created {} ({kind}, from {}, on {}) in {}",
        created.name,
        created.template.name,
        created.storage,
        created.directory.display()
    ));
    if let Some(message) = &created.message {
        context.out.say(output::plain(message));
    }
    context.out.say(format_args!("start it: wxc start {}", created.name));
    Ok(ExitCode::SUCCESS)
}

/// `--list`: what the template has.
fn list(context: &Context, found: &[Candidate], json: bool) -> Result<ExitCode, Failure> {
    if json {
        context.out.json(&found);
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        context.out.say("nothing that fits");
        return Ok(ExitCode::SUCCESS);
    }
    let row = |candidate: &Candidate| {
        let Candidate { product, release, architecture, flavour, serial, size, .. } = candidate;
        let size = size.map_or_else(String::new, human::bytes);
        let words =
            [product, release, architecture, flavour, serial].map(|word| output::plain(word).to_string());
        words.into_iter().chain([size]).collect()
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let heads = ["DIST", "RELEASE", "ARCH", "VARIANT", "BUILD", "SIZE"];
    context.out.line(table::columns(&heads, &rows));
    Ok(ExitCode::SUCCESS)
}

/// `--help-template`: the options of the template.
fn help(context: &Context, parameters: &[Parameter]) -> Result<ExitCode, Failure> {
    if parameters.is_empty() {
        context.out.line("this template has no options");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = parameters
        .iter()
        .map(|parameter| {
            let value = match &parameter.kind {
                ParameterKind::Boolean => String::new(),
                ParameterKind::Text | ParameterKind::Secret => " TEXT".into(),
                ParameterKind::Integer => " N".into(),
                ParameterKind::File => " FILE".into(),
                ParameterKind::Directory => " DIR".into(),
                ParameterKind::Choice(words) => format!(" {}", words.join("|")),
            };
            let default = match (&parameter.default, parameter.required) {
                (Some(default), _) => default.clone(),
                (None, true) => "(required)".into(),
                (None, false) => String::new(),
            };
            vec![format!("--{}{value}", parameter.name), default, output::plain(&parameter.doc)]
        })
        .collect();
    context.out.line(table::columns(&["OPTION", "DEFAULT", "MEANING"], &rows));
    Ok(ExitCode::SUCCESS)
}
