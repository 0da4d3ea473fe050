#![forbid(unsafe_code)]
//! The newest build of what an image was: its template is asked again, and what comes of it gets the names.

use serde::Serialize;

use super::super::create::{Basis, CreateRequest, Prospect};
use super::super::kept::Kept;
use super::super::options::ParameterKind;
use super::super::{Error, Host, plugins};
use super::{Image, Record, alias, directory, remove, short, users};
use crate::plugin::template::Template as _;

/// What became of one image.
#[derive(Debug, Serialize)]
pub struct Refreshed {
    /// The image that there was.
    pub key: String,
    /// What it is called, with its build.
    pub product: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// In which way.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is the newest build.
    Current,
    /// There is a newer one, which has its names now.
    Replaced {
        image: Box<Record>,
        /// Whether the old one is gone; it stays while containers are built on it.
        removed: bool,
    },
    /// It is not from a server that could be asked.
    Left { why: String },
}

/// Asks again for what an image was made of.
///
/// # Errors
/// The template or its server does not answer, or what it has now is refused; the image stays as it is.
pub fn refresh(host: &Host, image: &Record, allow_older: bool) -> Result<Refreshed, Error> {
    let told = |outcome| Refreshed { key: image.key.clone(), product: image.name(), outcome };
    let left = |why: &str| Ok(told(Outcome::Left { why: why.to_owned() }));
    if image.imported {
        return left("it came as a file");
    }
    let Some(kept) = Kept::of(&directory(host, &image.key))? else {
        return left("nothing says what it was made of");
    };
    if kept.server.is_empty() {
        return left("it is not from a server");
    }
    let options = match words(host, &kept)? {
        Ok(options) => options,
        Err(name) => return left(&format!("--{name} was a file of this machine, or secret: pull it again")),
    };
    let request = CreateRequest {
        storage: Some(image.storage.clone()),
        privileged: image.privileged,
        allow_older,
        fresh: true,
        ..CreateRequest::new("image".parse()?, Basis::Template { name: image.template.clone(), options })
    };
    let prospect = Prospect::of(host, &request)?;
    prospect.remember(host)?;
    let Some(Image { record, _lock }) = prospect.image else {
        return left("its storage makes no images any more");
    };
    if record.key == image.key {
        return Ok(told(Outcome::Current));
    }
    alias::move_all(host, &image.key, &record.key)?;
    // The new one is safe by now; nothing else holds both locks.
    drop(_lock);
    let unused = users(host, image)?.is_empty();
    if unused {
        remove(host, image)?;
    }
    tracing::info!(old = short(&image.key), new = short(&record.key), "refreshed");
    Ok(told(Outcome::Replaced { image: Box::new(record), removed: unused }))
}

/// The options that an image was made with, as they would be typed; or the one that is not known any more.
fn words(host: &Host, kept: &Kept) -> Result<Result<Vec<String>, String>, Error> {
    let parameters = plugins::load_template(host, &kept.template)?.options()?;
    let mut words = Vec::new();
    for answer in &kept.request.answers {
        match parameters.iter().find(|own| own.name == answer.name).map(|own| &own.kind) {
            Some(ParameterKind::File | ParameterKind::Directory) => return Ok(Err(answer.name.clone())),
            Some(_) => words.push(format!("--{}={}", answer.name, answer.value)),
            // An option that the template has no more says nothing to it.
            None => {}
        }
    }
    let missing = parameters.iter().find(|own| own.kind == ParameterKind::Secret && own.required);
    Ok(missing.map_or(Ok(words), |own| Err(own.name.clone())))
}
