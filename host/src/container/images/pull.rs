#![forbid(unsafe_code)]
//! An image before there is a container of it: downloaded, and unpacked where containers will be clones of it.

use serde::Serialize;

use super::{Image, Record};
use crate::config::Name;
use crate::container::create::{CreateRequest, Prospect};
use crate::container::{Error, Host, serials};

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
    let create = CreateRequest {
        name,
        template: request.template.clone(),
        storage: request.storage.clone(),
        storage_set: Vec::new(),
        size: None,
        config: None,
        set: Vec::new(),
        privileged: request.privileged,
        ephemeral: false,
        allow_older: request.allow_older,
        options: request.options.clone(),
    };
    let prospect = Prospect::of(host, &create)?;
    if !prospect.is_kept() {
        return Err(Error::Invalid {
            message: format!("{} makes nothing that could be kept as an image", request.template),
            hint: "make a container of it: wxc create".into(),
        });
    }
    prospect.download(host)?;
    prospect.remember(host)?;
    let product = prospect.product();
    let notes = prospect.why.into_iter().collect();
    Ok(Pulled { product, image: prospect.image.map(|Image { record, .. }| record), notes })
}

impl Prospect {
    /// From here on older builds are refused.
    pub(in crate::container) fn remember(&self, host: &Host) -> Result<(), Error> {
        serials::remember(host, self.template_name(), &self.server, &self.manifest)
    }
}
