//! A root file system from an image server.
//!
//! The plugin reads small lists and says which archives make the image, with their digests. It never sees a byte of
//! them but the metadata that it asked for, and what it makes of that are settings that any image may have.
#![deny(unsafe_code)]

/// What the user can say.
mod choice;
/// Lists of images as LXC's servers have them.
mod flat;
/// From an image's own configuration to settings.
mod settings;
/// Documents of the server.
mod web;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/template"],
        world: "wxc:template/template-plugin",
        generate_all,
    });
    export!(Download with_types_in self);
    use super::Download;
}

use bindings::exports::wxc::template::template::Guest;
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::template::types::{Candidate, Finished, Manifest, Member, Moment, Parameter, Request};
use choice::Choice;

struct Download;

impl Guest for Download {
    fn options() -> Vec<Parameter> {
        choice::parameters()
    }

    fn search(request: Request, limit: u32) -> Result<Vec<Candidate>, Error> {
        let choice = Choice::of(&request);
        let mut images = flat::list(&choice, request.privileged)?.images;
        images.retain(|image| choice.fits(image));
        Ok(images.iter().take(limit as usize).map(flat::Image::candidate).collect())
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        let choice = Choice::of(&request);
        let list = flat::list(&choice, request.privileged)?;
        let image = choice.best(&list.images)?;
        flat::manifest(&choice, &list, image)
    }

    fn finish(_: Moment, request: Request, _: Manifest, members: Vec<Member>) -> Result<Finished, Error> {
        Ok(settings::finish(&request, &members))
    }
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}
