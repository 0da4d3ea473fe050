#![forbid(unsafe_code)]
//! `wxc plugin new`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::args::{NewKind, NewLanguage, PluginNew};
use super::context::Context;
use super::report::Failure;
use crate::container::plugins::prefixed;
use crate::plugin::Kind;
use crate::plugin::scaffold::{self, Language};

pub(super) fn new(context: &Context, args: &PluginNew) -> Result<ExitCode, Failure> {
    let (kind, language) = (kind(args.kind), language(args.lang));
    let name = prefixed(&kind.to_string(), &args.name);
    let directory = args.directory.clone().unwrap_or_else(|| PathBuf::from(&name));
    scaffold::new(&name, kind, language, &directory).map_err(|error| {
        let failure = Failure::from_error(&error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    context.out.say(format_args!("wrote {}: {name}", directory.display()));
    context.out.say(format_args!("how to build and test it: {}", directory.join("README.md").display()));
    Ok(ExitCode::SUCCESS)
}

fn kind(kind: NewKind) -> Kind {
    match kind {
        NewKind::Storage => Kind::Storage,
        NewKind::Template => Kind::Template,
        NewKind::Hook => Kind::Hook,
    }
}

fn language(language: NewLanguage) -> Language {
    match language {
        NewLanguage::Rust => Language::Rust,
        NewLanguage::C => Language::C,
        NewLanguage::Go => Language::Go,
        NewLanguage::Python => Language::Python,
        NewLanguage::Js => Language::Js,
    }
}
