#![forbid(unsafe_code)]
//! `wxc snapshot`.

use std::fs;
use std::io::ErrorKind;
use std::process::ExitCode;

use super::args::Snapshot;
use super::context::{self, Context};
use super::report::Failure;
use super::{human, interrupt, output, table};
use crate::config::Name;
use crate::container::snapshot::take::{self, TakeRequest};
use crate::container::snapshot::{self, Record, remove, restore, spawn};

/// Longest comment that is read from a file.
const LONGEST: u64 = 64 << 10;

pub(super) fn snapshot(context: &Context, args: &Snapshot) -> Result<ExitCode, Failure> {
    // With -n, the first word is already the snapshot.
    let (name, word) = match (&args.name_option, &args.name, &args.snapshot) {
        (Some(name), Some(_), Some(_)) => {
            return Err(Failure::new(format!("{name} is given with -n, so there is one word too many"))
                .hint("wxc snapshot NAME [SNAPSHOT]"));
        }
        (Some(name), first, None) => (name, first.as_ref()),
        (_, Some(name), second) => (name, second.as_ref()),
        (_, None, _) => return Err(Failure::new("the name of a container is missing")),
    };
    let name = context::parse_name(name)?;
    interrupt::listen();
    if args.list || args.show_comments {
        list(context, args, &name)
    } else if let Some(word) = &args.restore {
        restore(context, args, &name, &snapshot::parse_name(word)?)
    } else if let Some(word) = &args.destroy {
        destroy(context, args, &name, word)
    } else {
        take(context, args, &name, word)
    }
}

fn take(context: &Context, args: &Snapshot, name: &Name, word: Option<&String>) -> Result<ExitCode, Failure> {
    let request = TakeRequest {
        container: name.clone(),
        name: word.map(|word| snapshot::parse_name(word)).transpose()?,
        comment: args.comment.as_ref().map(|word| comment(word)).transpose()?,
    };
    let taken = take::take(&context.host()?, &request)?;
    if args.json {
        context.out.json(&taken);
        return Ok(ExitCode::SUCCESS);
    }
    let how = match (taken.copied, taken.frozen) {
        (true, true) => " (copied; the container was frozen meanwhile)",
        (true, false) => " (copied)",
        (false, true) => " (the container was frozen meanwhile)",
        (false, false) => "",
    };
    context.out.say(format_args!("took snapshot {} of {name}{how}", taken.record.name));
    if word.is_none() {
        context.out.line(&taken.record.name);
    }
    Ok(ExitCode::SUCCESS)
}

/// A comment: what a file of this name holds, as LXC has it, else the words themselves.
fn comment(word: &str) -> Result<String, Failure> {
    let failed = |error| Failure::new(format!("cannot read the comment from {word}: {error}"));
    match fs::metadata(word) {
        Ok(meta) if meta.is_file() && meta.len() > LONGEST => Err(Failure::new(format!(
            "the comment in {word} has {} bytes; at most {LONGEST} are taken",
            meta.len()
        ))),
        Ok(meta) if meta.is_file() => {
            fs::read_to_string(word).map(|text| text.trim_end().to_owned()).map_err(failed)
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(failed(error)),
        _ => Ok(word.to_owned()),
    }
}

fn list(context: &Context, args: &Snapshot, name: &Name) -> Result<ExitCode, Failure> {
    let records = snapshot::list(&context.host()?, name)?;
    if args.json {
        context.out.json(&records);
    } else if records.is_empty() {
        context.out.say(format_args!("{name} has no snapshots"));
    } else {
        let mut header = vec!["NAME", "CREATED (UTC)", "SIZE"];
        if args.show_comments {
            header.push("COMMENT");
        }
        let rows: Vec<Vec<String>> = records.iter().map(|record| row(record, args.show_comments)).collect();
        context.out.line(table::columns(&header, &rows));
    }
    for problem in records.iter().filter_map(|record| record.problem.as_ref()) {
        context.out.warn(output::plain(problem));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(record: &Record, comments: bool) -> Vec<String> {
    let size = record.size.map(human::bytes).unwrap_or_default();
    // To the second; what is below tells two of the same second apart.
    let created = record.created.split('.').next().unwrap_or_default().trim_end_matches('Z');
    let mut row = vec![record.name.to_string(), output::plain(&created.replace('T', " ")), size];
    if comments {
        row.push(output::plain(record.comment.as_deref().unwrap_or_default()));
    }
    row
}

fn restore(context: &Context, args: &Snapshot, name: &Name, from: &Name) -> Result<ExitCode, Failure> {
    if let Some(new) = &args.new_name {
        return spawn(context, args, name, from, &context::parse_name(new)?);
    }
    let restored = restore::restore(&context.host()?, name, from)?;
    if args.json {
        context.out.json(&restored);
    }
    context.out.say(format_args!("{name} is again as it was in {from}"));
    Ok(ExitCode::SUCCESS)
}

/// `-N`: a new container.
fn spawn(
    context: &Context,
    args: &Snapshot,
    name: &Name,
    from: &Name,
    new: &Name,
) -> Result<ExitCode, Failure> {
    let spawned = spawn::spawn(&context.host()?, name, from, new)?;
    for note in &spawned.notes {
        context.out.say(format_args!("note: {}", output::plain(note)));
    }
    if args.json {
        context.out.json(&spawned);
    }
    let how = if spawned.copied { "a full copy" } else { "a clone" };
    context.out.say(format_args!("made {new} of {from} of {name} ({how}); start it: wxc start {new}"));
    Ok(ExitCode::SUCCESS)
}

fn destroy(context: &Context, args: &Snapshot, name: &Name, word: &str) -> Result<ExitCode, Failure> {
    let wanted = if word == snapshot::ALL { None } else { Some(snapshot::parse_name(word)?) };
    let removed = remove::remove(&context.host()?, name, wanted.as_ref())?;
    if args.json {
        context.out.json(&removed);
    }
    if removed.snapshots.is_empty() {
        context.out.say(format_args!("{name} has no snapshots"));
    }
    for snapshot in &removed.snapshots {
        let kept = if removed.kept.contains(snapshot) {
            "; its volume stays as long as something is built on it"
        } else {
            ""
        };
        context.out.say(format_args!("removed snapshot {snapshot} of {name}{kept}"));
    }
    Ok(ExitCode::SUCCESS)
}
