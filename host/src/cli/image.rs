#![forbid(unsafe_code)]
//! `wxc image`.

use std::process::ExitCode;

use serde::Serialize;

use super::args::Image;
use super::context::Context;
use super::report::Failure;
use super::{human, interrupt, output, table};
use crate::container::downloads;
use crate::container::images::{self, Record};

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
