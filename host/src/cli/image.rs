#![forbid(unsafe_code)]
//! `wxc image`.

use std::collections::BTreeMap;
use std::io::stdout;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::args::Image;
use super::context::Context;
use super::report::Failure;
use super::{ask, human, interrupt, output, table, transfer};
use crate::container::images::transfer::ImportRequest;
use crate::container::images::{self, Outcome, PullRequest, Pulled, Record, Refreshed, alias};
use crate::container::transfer::export::To;
use crate::container::{Error, Host, downloads};

/// An image with the containers that are built on it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    record: Record,
    names: Vec<String>,
    expired: bool,
    used_by: Vec<String>,
}

impl Shown {
    fn of(host: &Host, names: &BTreeMap<String, String>, record: Record) -> Result<Self, Error> {
        let used_by = images::users(host, &record)?;
        Ok(Self { names: alias::of(names, &record.key), expired: record.has_expired(), used_by, record })
    }
}

pub(super) fn image(context: &Context, verb: &Image) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    interrupt::listen();
    match verb {
        Image::List { json } => list(context, &host, *json)?,
        Image::Pull { template, storage, privileged, allow_older, alias, json, options } => {
            let request = PullRequest {
                template: template.clone(),
                storage: storage.clone(),
                privileged: *privileged,
                allow_older: *allow_older,
                alias: alias.clone(),
                options: ask::complete(context, &host, (template, *privileged), options)?,
            };
            let pulled = images::pull(&host, &request)?;
            // The bar goes away before the words come.
            drop(host);
            tell_pulled(context, &pulled, *json);
        }
        Image::Info { image, json } => {
            let shown = Shown::of(&host, &alias::all(&host)?, images::find(&host, image)?)?;
            if *json {
                context.out.json(&shown);
            } else {
                tell(context, &shown);
            }
        }
        Image::Refresh { images, allow_older, json } => {
            return refresh(context, host, images, *allow_older, *json);
        }
        Image::Alias { name, image: Some(image), .. } => {
            let record = images::find(&host, image)?;
            alias::set(&host, name, &record.key)?;
            let short = images::short(&record.key);
            context.out.say(format_args!("{name} is image {short} ({})", output::plain(&record.name())));
        }
        Image::Alias { name, .. } => {
            alias::forget(&host, name)?;
            context.out.say(format_args!("no image is called {name} any more"));
        }
        Image::Export { image, file, compression, force, json } => {
            let file = file.as_deref().filter(|path| *path != Path::new(transfer::STREAM));
            if file.is_none() {
                transfer::check_stream(*json, "wxc image export", image)?;
            }
            let out = stdout();
            let to = match file {
                Some(path) => To::File { path, replace: *force },
                None => To::Stream(out.as_fd()),
            };
            let compression = transfer::compression(*compression, file);
            let exported = images::transfer::export(&host, image, compression, to)?;
            drop(host);
            for note in &exported.notes {
                context.out.say(format_args!("note: {}", output::plain(note)));
            }
            if *json {
                context.out.json(&exported);
            } else {
                let to = file.map_or("standard output".into(), |file| file.display().to_string());
                let size =
                    exported.bytes.map_or_else(String::new, |bytes| format!(" ({})", human::bytes(bytes)));
                context.out.say(format_args!("exported image {image} to {}{size}", output::plain(&to)));
            }
        }
        Image::Import { file, root, alias, storage, prefix, privileged, json } => {
            let request = ImportRequest {
                storage: storage.clone(),
                alias: alias.clone(),
                root: root.clone(),
                prefix: prefix.clone(),
                privileged: *privileged,
            };
            let imported = images::transfer::import(&host, &request, file)?;
            drop(host);
            let pulled =
                Pulled { product: imported.image.name(), image: Some(imported.image), notes: imported.notes };
            tell_pulled(context, &pulled, *json);
        }
        Image::Remove { image } => {
            let record = images::find(&host, image)?;
            images::remove(&host, &record)?;
            context.out.say(format_args!("removed image {}", images::short(&record.key)));
        }
        Image::Prune { all, json } => {
            let removed = images::prune(&host, *all)?;
            if *json {
                context.out.json(&removed);
            }
            for record in &removed {
                context.out.say(format_args!("removed image {}", images::short(&record.key)));
            }
            let bytes = downloads::clear(&host)?;
            if bytes > 0 {
                context.out.say(format_args!("removed {} of downloads", human::bytes(bytes)));
            }
            if removed.is_empty() && bytes == 0 {
                context.out.say(format_args!("every image is used or has a name"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context, host: &Host, json: bool) -> Result<(), Failure> {
    let names = alias::all(host)?;
    let shown = images::list(host)?.into_iter().map(|record| Shown::of(host, &names, record));
    let shown = shown.collect::<Result<Vec<_>, _>>()?;
    if json {
        context.out.json(&shown);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    let heads = ["IMAGE", "NAME", "CREATED", "EXPIRES", "STORAGE", "SIZE", "USED BY", "FROM"];
    context.out.line(table::columns(&heads, &rows));
    Ok(())
}

/// Each image by itself: that one server does not answer says nothing of the next.
fn refresh(
    context: &Context,
    host: Host,
    words: &[String],
    allow_older: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let found = match words {
        [] => images::list(&host)?,
        words => words.iter().map(|word| images::find(&host, word)).collect::<Result<Vec<_>, _>>()?,
    };
    let each = found.iter().map(|image| (image, images::refresh(&host, image, allow_older)));
    let each: Vec<(&Record, Result<Refreshed, Error>)> = each.collect();
    drop(host);
    let mut done = Vec::new();
    let mut failed = None;
    for (image, outcome) in each {
        let short = images::short(&image.key);
        match outcome {
            Ok(refreshed) => {
                tell_refreshed(context, short, &refreshed);
                done.push(refreshed);
            }
            Err(Error::Cancelled) => return Err(Error::Cancelled.into()),
            Err(error) if found.len() > 1 => {
                context.out.warn(format_args!(
                    "image {short} stays as it is: {}",
                    output::plain(&error.to_string())
                ));
                failed = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if json {
        context.out.json(&done);
    } else if found.is_empty() {
        context.out.say(format_args!("there are no images"));
    }
    Ok(if failed.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell_refreshed(context: &Context, short: &str, refreshed: &Refreshed) {
    let product = output::plain(&refreshed.product);
    match &refreshed.outcome {
        Outcome::Current => context.out.say(format_args!("image {short} ({product}) is the newest")),
        Outcome::Left { why } => {
            context.out.say(format_args!("image {short} ({product}) stays: {}", output::plain(why)));
        }
        Outcome::Replaced { image, removed } => {
            let old = if *removed { "which is gone" } else { "which stays while containers are built on it" };
            context.out.say(format_args!(
                "image {} ({}) is there instead of {short}, {old}",
                images::short(&image.key),
                output::plain(&image.name())
            ));
        }
    }
}

fn tell_pulled(context: &Context, pulled: &Pulled, json: bool) {
    for note in &pulled.notes {
        context.out.say(format_args!("note: {}", output::plain(note)));
    }
    if json {
        context.out.json(pulled);
        return;
    }
    let product = output::plain(&pulled.product);
    match &pulled.image {
        Some(record) => {
            context.out.say(format_args!(
                "image {} is {product}, on {}",
                images::short(&record.key),
                record.storage
            ));
        }
        None => context
            .out
            .say(format_args!("downloaded {product}; this storage makes each container of the archive")),
    }
}

/// One line for each thing that is known.
fn tell(context: &Context, shown: &Shown) {
    let Shown { record, names, expired, used_by } = shown;
    let over = if *expired { " (out of date)" } else { "" };
    let expires = moment(record.expires).map_or_else(String::new, |at| format!("{at}{over}"));
    let vouched = match (&record.signer, record.product.is_empty() || record.imported) {
        (Some(signer), _) => format!("signed by {signer}"),
        (None, false) => "the server's digest, over TLS".to_owned(),
        (None, true) => "who named the file".to_owned(),
    };
    let rows = [
        ("Key", record.key.clone()),
        ("Names", names.join(", ")),
        ("Image", record.name()),
        ("From", record.source.display().to_string()),
        ("Template", record.template.clone()),
        ("Vouched for by", vouched),
        ("Expires", expires),
        ("Made", record.created.clone()),
        ("Storage", record.storage.clone()),
        ("Archive", human::bytes(record.size)),
        ("Used by", used_by.join(", ")),
        ("Left out", record.notes.join("; ")),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        context.out.line(format!("{:<16}{}", format!("{name}:"), output::plain(value)));
    }
}

fn moment(seconds: Option<u64>) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(i64::try_from(seconds?).ok()?).ok()
}

fn row(shown: &Shown) -> Vec<String> {
    let Shown { record, names, expired, used_by } = shown;
    let expires = moment(record.expires).map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string());
    vec![
        images::short(&record.key).to_owned(),
        names.join(", "),
        record.created.clone(),
        if *expired { format!("{expires} (over)") } else { expires },
        record.storage.clone(),
        human::bytes(record.size),
        used_by.join(", "),
        output::plain(&record.name()),
    ]
}
