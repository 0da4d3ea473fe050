#![forbid(unsafe_code)]
//! Later moments at which an image wants files rendered anew: when its container is copied, renamed or started.
//!
//! What `finish` depends on is kept beside the container's configuration (`template.json`), because the image it came from may
//! be gone by then. Only files are rendered: settings are the user's once the container is made.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::options::Answers;
use super::render::render;
use super::volume::{self, OpenVolume};
use super::{Error, Host, carry, plugins, store};
use crate::config::{Container, Name};
use crate::plugin::TemplatePlugin;
use crate::plugin::storage::Access;
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{
    Archives, Assembly, Blob, BootstrapBase, Manifest, Member, Moment, Origin, ParameterKind, Request,
};

/// Beside `container.toml`.
const FILE: &str = "template.json";

/// Everything that `finish` depends on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The template plugin.
    pub(super) template: String,
    /// When it is to be asked again.
    pub(super) moments: Vec<Moment>,
    pub(super) request: Request,
    pub(super) manifest: Manifest,
    pub(super) members: Vec<Member>,
}

impl Kept {
    /// Without what must not be kept: secrets of the user's, and headers of downloads.
    pub(super) fn new(
        template: &TemplatePlugin,
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
        for blob in blobs(&mut manifest.assembly) {
            if let Origin::Remote(remote) = &mut blob.origin {
                remote.headers.clear();
            }
        }
        let template = template.identity().name.clone();
        Ok(Self { template, moments, request, manifest, members: members.to_vec() })
    }

    /// Writes it beside a configuration; not waited for.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::from);
        let path = directory.join(FILE);
        store::replace_fleeting(&path, &text.map_err(Error::io("write", &path))?)
    }

    /// What a container's image wants later; `None` for most.
    fn of(directory: &Path) -> Result<Option<Self>, Error> {
        let path: PathBuf = directory.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::io("read", &path))?,
        };
        let kept = serde_json::from_slice(&text).map_err(|error| Error::Invalid {
            message: format!("{} does not say what the image wants rendered: {error}", path.display()),
            hint: "move it away: its files then stay as they are".into(),
        })?;
        Ok(Some(kept))
    }

    /// Renders what is due at this moment.
    fn render(
        &self,
        host: &Host,
        moment: Moment,
        container: &Container,
        root: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let template = plugins::load_template(host, &self.template)?;
        let finished = template.finish(moment, &self.request, &self.manifest, &self.members)?;
        // Nothing of the user's is at hand any more; a template that names it is told so.
        render(container, root, &Answers::default(), finished.files)
    }
}

/// Everything that an assembly has downloaded.
fn blobs(assembly: &mut Assembly) -> Vec<&mut Blob> {
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

/// For a copy, whose root is open: what the original's image wants, under the host name that the copy has.
pub(super) fn copied(
    host: &Host,
    (from, to): (&Path, &Path),
    name: &str,
    container: &Container,
    root: &OpenVolume,
) -> Result<(), Error> {
    let Some(mut kept) = Kept::of(from)? else { return Ok(()) };
    name.clone_into(&mut kept.request.container);
    kept.write(to)?;
    match kept.moments.contains(&Moment::Copy) {
        true => kept.render(host, Moment::Copy, container, root.root()),
        false => Ok(()),
    }
}

/// For a container that has got another name, and with it another host name.
pub(super) fn renamed(
    host: &Host,
    (name, host_name): (&Name, &str),
    container: &Container,
    root: &OpenVolume,
) -> Result<(), Error> {
    let directory = host.layout.directory(name);
    let Some(mut kept) = Kept::of(&directory)? else { return Ok(()) };
    if kept.moments.contains(&Moment::Rename) {
        host_name.clone_into(&mut kept.request.container);
        kept.render(host, Moment::Rename, container, root.root())?;
    }
    Ok(())
}

/// For a container that is about to start.
pub(super) fn starting(host: &Host, name: &Name) -> Result<(), Error> {
    let directory = host.layout.directory(name);
    let Some(mut kept) = Kept::of(&directory)?.filter(|kept| kept.moments.contains(&Moment::Start)) else {
        return Ok(());
    };
    let container = store::load(host, name)?;
    // What is not to be changed, or only in memory, stays as it is.
    if container.rootfs.read_only || container.rootfs.in_memory {
        return Ok(());
    }
    let storage = plugins::load_storage(host, &container.rootfs.storage)?;
    let id = container.rootfs.volume.clone().unwrap_or_else(|| name.to_string());
    let root = volume::open(&storage, &id, Access::ReadWrite)?;
    kept.request.container = carry::host_name(&container, name);
    kept.render(host, Moment::Start, &container, root.root())
}
