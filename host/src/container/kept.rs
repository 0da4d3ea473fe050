#![forbid(unsafe_code)]
//! What a template's `finish` depends on, kept beside a container or an image (`template.json`): the image it came from, or its
//! server, may be gone by the time when `finish` is called again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, store, vouch};
use crate::plugin::TemplatePlugin;
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{
    Archives, Assembly, Blob, BootstrapBase, Manifest, Member, Moment, Origin, ParameterKind, Request,
};

/// Beside `container.toml` or `image.toml`.
pub(super) const FILE: &str = "template.json";

/// Everything that `finish` depends on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The template plugin.
    pub(super) template: String,
    /// The server that the user or else the template named; empty for what is not from one.
    #[serde(default)]
    pub(super) server: String,
    /// When it is to be asked again; nothing beside an image.
    pub(super) moments: Vec<Moment>,
    pub(super) request: Request,
    pub(super) manifest: Manifest,
    pub(super) members: Vec<Member>,
}

impl Kept {
    /// Without what must not be kept: secrets of the user's, and headers of downloads.
    pub(super) fn new(
        template: &TemplatePlugin,
        server: &str,
        moments: Vec<Moment>,
        request: &Request,
        manifest: &Manifest,
        members: &[Member],
    ) -> Result<Self, Error> {
        let options = template.options()?;
        let is_secret =
            |name: &str| options.iter().any(|own| own.name == name && own.kind == ParameterKind::Secret);
        let mut request = request.clone();
        request.answers.retain(|answer| !is_secret(&answer.name));
        let mut manifest = manifest.clone();
        manifest.expires = vouch::end_of_image(template, &manifest);
        for blob in blobs(&mut manifest.assembly) {
            if let Origin::Remote(remote) = &mut blob.origin {
                remote.headers.clear();
            }
            // It was checked when the bytes were here.
            blob.signature = None;
        }
        let template = template.identity().name.clone();
        let server = server.to_owned();
        Ok(Self { template, server, moments, request, manifest, members: members.to_vec() })
    }

    /// Writes it beside a configuration; not waited for.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(FILE);
        store::replace_fleeting(&path, &self.text(&path)?)
    }

    /// Writes it beside an image, on the disk when this returns.
    pub(super) fn write_durably(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(FILE);
        store::replace(&path, &self.text(&path)?)
    }

    fn text(&self, path: &Path) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(std::io::Error::from).map_err(Error::io("write", path))
    }

    /// What is kept in a directory; `None` where nothing is.
    pub(super) fn of(directory: &Path) -> Result<Option<Self>, Error> {
        let path: PathBuf = directory.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::io("read", &path))?,
        };
        let kept = serde_json::from_slice(&text).map_err(|error| Error::Invalid {
            message: format!("{} does not say what the image wants rendered: {error}", path.display()),
            hint: "move it away: its container then stays as it is, and its image has to be pulled again"
                .into(),
        })?;
        Ok(Some(kept))
    }
}

/// Everything that an assembly has downloaded.
pub(super) fn blobs(assembly: &mut Assembly) -> Vec<&mut Blob> {
    fn of_archives(archives: &mut Archives) -> Vec<&mut Blob> {
        archives.parts.iter_mut().map(|part| &mut part.blob).collect()
    }
    match assembly {
        Assembly::Archives(archives) => of_archives(archives),
        Assembly::Layers(layers) => {
            layers.stack.iter_mut().map(|layer| &mut layer.blob).chain(&mut layers.config).collect()
        }
        Assembly::Packages(packages) => packages.stack.iter_mut().map(|package| &mut package.blob).collect(),
        Assembly::Bootstrap(bootstrap) => match &mut bootstrap.base {
            BootstrapBase::Archives(archives) => of_archives(archives),
            BootstrapBase::HostSystem(_) => Vec::new(),
        },
        Assembly::Empty | Assembly::Tree(_) | Assembly::HostSystem(_) => Vec::new(),
    }
}
