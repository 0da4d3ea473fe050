#![forbid(unsafe_code)]
//! Later moments at which an image wants files rendered anew: when its container is copied, renamed or started.
//!
//! What it depends on is kept beside the container's configuration. Only files are rendered: settings are the user's once the
//! container is made.

use std::os::fd::BorrowedFd;
use std::path::Path;

use super::kept::Kept;
use super::options::Answers;
use super::render::render;
use super::volume::{self, OpenVolume};
use super::{Error, Host, carry, plugins, store};
use crate::config::{Container, Name};
use crate::plugin::storage::Access;
use crate::plugin::template::Template as _;
use crate::plugin::template::types::Moment;

impl Kept {
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
