#![forbid(unsafe_code)]
//! An image before there is a container of it: downloaded, and unpacked where containers will be clones of it.

use serde::Serialize;

use super::transfer::no_images;
use super::{Image, Record, alias};
use crate::config::Name;
use crate::container::create::{Basis, CreateRequest, Prospect};
use crate::container::{Error, Host, serials};
use crate::plugin::template::types::Assembly;

/// What to get.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// Template plugin, with or without the word `template-` before it.
    pub template: String,
    /// Storage plugin; `None`: what the configuration says.
    pub storage: Option<String>,
    /// For containers with root privileges of the host's, which have devices.
    pub privileged: bool,
    /// Also one that is older than one there was.
    pub allow_older: bool,
    /// What it is to be called from now on.
    pub alias: Option<String>,
    /// What stood behind `--`.
    pub options: Vec<String>,
}

/// What is there now.
#[derive(Debug, Clone, Serialize)]
pub struct Pulled {
    /// What the template calls it, with its build.
    pub product: String,
    /// The image, where storage clones instantly; elsewhere there is what was downloaded.
    pub image: Option<Record>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Gets an image, so that a create needs no network and no unpacking.
///
/// # Errors
/// It cannot be had; what was downloaded is kept for the next attempt.
pub fn pull(host: &Host, request: &PullRequest) -> Result<Pulled, Error> {
    // Nothing is made under this name; a template may want to see one.
    let name: Name = "image".parse()?;
    let basis = Basis::Template { name: request.template.clone(), options: request.options.clone() };
    let create = CreateRequest {
        storage: request.storage.clone(),
        privileged: request.privileged,
        allow_older: request.allow_older,
        ..CreateRequest::new(name, basis)
    };
    if let Some(alias) = &request.alias {
        alias::check(alias)?;
    }
    let prospect = Prospect::of(host, &create)?;
    if !prospect.is_kept() {
        if matches!(prospect.manifest.assembly, Assembly::Archives(_)) {
            return Err(no_images(prospect.storage_name()));
        }
        return Err(Error::Invalid {
            message: format!("{} makes nothing that could be kept as an image", request.template),
            hint: "make a container of it: wxc create".into(),
        });
    }
    prospect.download(host)?;
    prospect.remember(host)?;
    let product = prospect.product();
    if let Some(name) = &request.alias {
        let Some(image) = &prospect.image else { return Err(no_image(name, &prospect)) };
        alias::set(host, name, &image.record.key)?;
    }
    let notes = prospect.notes;
    Ok(Pulled { product, image: prospect.image.map(|Image { record, .. }| record), notes })
}

fn no_image(name: &str, prospect: &Prospect) -> Error {
    Error::Invalid {
        message: format!(
            "there is nothing to call {name:?}: {} makes each container of the archive, which is here now",
            prospect.storage_name()
        ),
        hint: "storage that clones instantly keeps images: -B overlay, or -B btrfs where that is the file system".into(),
    }
}

impl Prospect {
    /// From here on older builds are refused.
    pub(in crate::container) fn remember(&self, host: &Host) -> Result<(), Error> {
        serials::remember(host, self.template_name(), &self.server, &self.manifest)
    }
}
