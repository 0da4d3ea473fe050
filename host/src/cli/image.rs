#![forbid(unsafe_code)]
//! `wxc image`.

use std::process::ExitCode;

use serde::Serialize;

use super::args::Image;
use super::context::Context;
use super::report::Failure;
use super::{human, interrupt, output, table};
use crate::container::downloads;
use crate::container::images::{self, PullRequest, Pulled, Record};

/// An image with the containers that are built on it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    record: Record,
    used_by: Vec<String>,
}

pub(super) fn image(context: &Context, verb: &Image) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    interrupt::listen();
    match verb {
        Image::List { json } => {
            let mut shown = Vec::new();
            for record in images::list(&host)? {
                let used_by = images::users(&host, &record)?;
                shown.push(Shown { record, used_by });
            }
            if *json {
                context.out.json(&shown);
            } else {
                let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
                context
                    .out
                    .line(table::columns(&["IMAGE", "CREATED", "STORAGE", "SIZE", "USED BY", "FROM"], &rows));
            }
        }
        Image::Pull { template, storage, privileged, allow_older, json, options } => {
            let request = PullRequest {
                template: template.clone(),
                storage: storage.clone(),
                privileged: *privileged,
                allow_older: *allow_older,
                options: options.clone(),
            };
            let pulled = images::pull(&host, &request)?;
            // The bar goes away before the words come.
            drop(host);
            tell_pulled(context, &pulled, *json);
        }
        Image::Info { image, json } => {
            let record = images::find(&host, image)?;
            let used_by = images::users(&host, &record)?;
            let shown = Shown { record, used_by };
            if *json {
                context.out.json(&shown);
            } else {
                tell(context, &shown);
            }
        }
        Image::Remove { image } => {
            let record = images::find(&host, image)?;
            images::remove(&host, &record)?;
            context.out.say(format_args!("removed image {}", images::short(&record.key)));
        }
        Image::Prune { json } => {
            let removed = images::prune(&host)?;
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
                context.out.say(format_args!("every image is used"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
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
    let Shown { record, used_by } = shown;
    let expires =
        record.expires.and_then(|seconds| jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok());
    let vouched = match (&record.signer, record.product.is_empty()) {
        (Some(signer), _) => format!("signed by {signer}"),
        (None, false) => "the server's digest, over TLS".to_owned(),
        (None, true) => "who named the file".to_owned(),
    };
    let rows = [
        ("Key", record.key.clone()),
        ("Image", from(record)),
        ("From", record.source.display().to_string()),
        ("Template", record.template.clone()),
        ("Vouched for by", vouched),
        ("Expires", expires.map_or_else(String::new, |at| at.to_string())),
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

/// What it is called where it came from.
fn from(record: &Record) -> String {
    match record.product.as_str() {
        "" => record.source.display().to_string(),
        product => [product, &record.serial].join("/").trim_end_matches('/').to_owned(),
    }
}

fn row(shown: &Shown) -> Vec<String> {
    let Shown { record, used_by } = shown;
    vec![
        images::short(&record.key).to_owned(),
        record.created.clone(),
        record.storage.clone(),
        human::bytes(record.size),
        used_by.join(", "),
        output::plain(&from(record)),
    ]
}
