#![forbid(unsafe_code)]
//! `wxc config`.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::args::Config;
use super::context::{self, Context};
use super::report::Failure;
use super::table;
use crate::config::Name;
use crate::config::keys::KEYS;
use crate::container::{Host, configure, store};

pub(super) fn config(context: &Context, config: Config) -> Result<ExitCode, Failure> {
    if let Config::Keys { json } = config {
        return Ok(keys(context, json));
    }
    let host = context.host()?;
    match config {
        Config::Show { target, all, json } => show(context, &host, &context::name(&target)?, all, json),
        Config::Get { name, key, json } => {
            let shown = configure::get(&host, &context::parse_name(&name)?, &key)?;
            if json {
                let set = shown.set;
                context.out.json(&serde_json::json!({ "key": shown.key, "value": shown.value, "set": set }));
            } else {
                context.out.line(shown.value);
            }
            Ok(ExitCode::SUCCESS)
        }
        Config::Set { name, key, value } => {
            let name = context::parse_name(&name)?;
            configure::set(&host, &name, &key, &value)?;
            remind(context, &host, &name)
        }
        Config::Unset { name, key } => {
            let name = context::parse_name(&name)?;
            configure::unset(&host, &name, &key)?;
            remind(context, &host, &name)
        }
        Config::Edit(target) => edit(context, &host, &context::name(&target.target)?),
        Config::Validate(target) => {
            let name = context::name(&target.target)?;
            configure::validate(&host, &name)?;
            context.out.say(format_args!("{} is valid", host.layout.config(&name).display()));
            Ok(ExitCode::SUCCESS)
        }
        Config::Keys { json } => Ok(keys(context, json)),
    }
}

fn show(context: &Context, host: &Host, name: &Name, all: bool, json: bool) -> Result<ExitCode, Failure> {
    if json {
        context.out.json(&store::load(host, name)?);
    } else if all {
        for shown in configure::show(host, name)? {
            let mark = if shown.set { "" } else { "  # default" };
            context.out.line(format_args!("{} = {}{mark}", shown.key, shown.value));
        }
    } else {
        context.out.raw(store::text(host, name)?.as_bytes());
    }
    Ok(ExitCode::SUCCESS)
}

/// A change counts from the next start on: a person would wonder.
fn remind(context: &Context, host: &Host, name: &Name) -> Result<ExitCode, Failure> {
    if crate::container::watch::snapshot(host, name).is_some() {
        context.out.say(format_args!("{name} is running: this counts from its next start on"));
    }
    Ok(ExitCode::SUCCESS)
}

/// `wxc config keys`.
fn keys(context: &Context, json: bool) -> ExitCode {
    if json {
        let rows: Vec<serde_json::Value> = KEYS
            .iter()
            .map(|key| {
                serde_json::json!({
                    "key": key.path, "form": key.form, "default": key.default, "example": key.example,
                    "lxc": key.lxc, "meaning": key.doc,
                })
            })
            .collect();
        context.out.json(&rows);
    } else {
        let rows: Vec<Vec<String>> =
            KEYS.iter().map(|key| vec![key.path.into(), key.default.into(), key.doc.into()]).collect();
        context.out.line(table::columns(&["KEY", "DEFAULT", "MEANING"], &rows));
    }
    ExitCode::SUCCESS
}

/// Opens a copy in the editor until it is valid or the user gives up; only then the file changes.
fn edit(context: &Context, host: &Host, name: &Name) -> Result<ExitCode, Failure> {
    let old = store::text(host, name)?;
    let draft = configure::draft(host, name, &old)?;
    let result = edit_draft(context, host, name, &old, &draft);
    if result.is_ok() {
        configure::drop_draft(&draft);
    }
    result
}

fn edit_draft(
    context: &Context,
    host: &Host,
    name: &Name,
    old: &str,
    draft: &Path,
) -> Result<ExitCode, Failure> {
    open_editor(draft)?;
    let new = fs::read_to_string(draft)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", draft.display())))?;
    if new == old {
        context.out.say("nothing was changed");
        return Ok(ExitCode::SUCCESS);
    }
    configure::replace(host, name, old, &new).map_err(|error| {
        Failure::from(error).hint(format!(
            "{} was not changed; what you wrote is in {}",
            host.layout.config(name).display(),
            draft.display()
        ))
    })?;
    remind(context, host, name)
}

/// Runs the user's editor, as git does: a command line for the shell, with the file behind it.
fn open_editor(file: &Path) -> Result<(), Failure> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|variable| env::var_os(variable).filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "vi".into());
    let mut line = editor.clone();
    line.push(" \"$1\"");
    let status = Command::new("/bin/sh").arg("-c").arg(line).arg("sh").arg(file).status();
    let failed = |why: String| {
        Failure::new(format!("the editor {} {why}", editor.to_string_lossy()))
            .hint("set EDITOR to one that is installed, or use `wxc config set`")
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("ended with {status}; nothing was changed"))),
        Err(error) => Err(failed(format!("cannot be started: {error}"))),
    }
}
