//! A root file system from an OCI image, and how its program is started.
//!
//! The plugin reads three small documents, each checked against the digest in the one before: index, manifest, configuration.
//! The layers it only names; the host unpacks them.
#![deny(unsafe_code)]

/// What the user can say.
mod choice;
/// Images on disk: a layout, or an archive of one.
mod layout;
/// Images of a registry.
mod registry;
/// From the image's configuration to settings.
mod settings;
/// The documents, as the specification has them.
mod spec;

/// Ways in for a fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/template"],
        world: "wxc:template/template-plugin",
        generate_all,
    });
    export!(Oci with_types_in self);
    use super::Oci;
}

use bindings::exports::wxc::template::template::Guest;
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::template::types::{Candidate, Finished, Manifest, Member, Moment, Parameter, Request};
use choice::{Choice, From};

struct Oci;

impl Guest for Oci {
    fn options() -> Vec<Parameter> {
        choice::parameters()
    }

    /// Neither a layout nor a registry has a catalogue that would say what fits.
    fn search(_: Request, _: u32) -> Result<Vec<Candidate>, Error> {
        Ok(Vec::new())
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        let choice = Choice::of(&request)?;
        match choice.from {
            From::Layout => layout::resolve(&choice, choice::LAYOUT),
            From::Archive => layout::resolve(&choice, choice::ARCHIVE),
            From::Registry(image) => registry::resolve(&choice, image),
        }
    }

    fn finish(_: Moment, request: Request, _: Manifest, members: Vec<Member>) -> Result<Finished, Error> {
        settings::finish(&request, &members)
    }
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}
