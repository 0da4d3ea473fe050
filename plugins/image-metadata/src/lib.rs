//! What images say of themselves, as LXC's servers and as Incus and LXD have it, and what becomes of that in a container.
//!
//! Not a plugin: it is built into the templates that read such images, and asks the host for nothing. Its functions are pure.
#![deny(unsafe_code)]

/// Metadata of images of Incus and LXD.
mod incus;
/// Metadata of images of LXC's.
mod lxc;

/// Records of the contract, shared with the templates.
#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/template"],
        inline: "package wxc:image-metadata; world records { import wxc:template/types@0.1.0; }",
        world: "wxc:image-metadata/records",
        generate_all,
    });
}

pub use bindings::wxc::host::types as host_types;
pub use bindings::wxc::template::types as template_types;

use host_types::{Error, ErrorKind};
use template_types::{Finished, Member, Moment, Request};

/// The members of an archive with metadata that are read, of either kind.
#[must_use]
pub fn members() -> Vec<String> {
    [lxc::members(), incus::members()].concat()
}

/// What becomes of them.
///
/// # Errors
/// They are not what they should be.
pub fn finish(moment: Moment, request: &Request, members: &[Member]) -> Result<Finished, Error> {
    if incus::is_here(members) {
        return incus::finish(moment, request, members);
    }
    Ok(lxc::finish(request, members))
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}
