//! A root file system from an image server.
//!
//! The plugin reads small lists and says which archives make the image, with their digests. It never sees a byte of
//! them but the metadata that it asked for, and what it makes of that are settings that any image may have.
#![deny(unsafe_code)]

/// What the user can say.
mod choice;
/// Lists of images as LXC's servers have them.
mod flat;
/// An image, whichever way it is listed.
mod image;
/// Metadata of images of Incus and LXD.
mod incus;
/// From an image's own configuration to settings.
mod settings;
/// Lists of images as Incus and LXD want them.
mod streams;
/// Documents of the server.
mod web;

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
    export!(Download with_types_in self);
    use super::Download;
}

use bindings::exports::wxc::template::template::Guest;
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::template::types::{
    Assembly, Candidate, Finished, Manifest, Member, Moment, Parameter, Request,
};
use choice::{Choice, Format};
use image::{Files, Image, List};
use words::architecture;

struct Download;

impl Guest for Download {
    fn options() -> Vec<Parameter> {
        choice::parameters()
    }

    fn search(request: Request, limit: u32) -> Result<Vec<Candidate>, Error> {
        let choice = Choice::of(&request);
        let mut images = list(&choice, request.privileged)?.images;
        images.retain(|image| choice.fits(image));
        Ok(images.iter().take(limit as usize).map(Image::candidate).collect())
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        let choice = Choice::of(&request);
        let List { images, signer } = list(&choice, request.privileged)?;
        let image = choice.best(images)?;
        let (product, architecture) = (image.product(), architecture::of_kernel(&image.arch).into());
        let (archives, signer) = match image.files {
            Files::Directory(directory) => {
                let (archives, of_digests) = flat::archives(&choice, &directory)?;
                // Who signs the digests of a build says nothing of which build it is: the list does.
                (archives, signer.and(of_digests))
            }
            Files::Listed(archives) => (archives, signer),
        };
        let (serial, expires) = (image.build, image.expires);
        let assembly = Assembly::Archives(archives);
        Ok(Manifest { product, serial, architecture, expires, signer, assembly })
    }

    fn finish(
        moment: Moment,
        request: Request,
        _: Manifest,
        members: Vec<Member>,
    ) -> Result<Finished, Error> {
        if incus::is_here(&members) {
            return incus::finish(moment, &request, &members);
        }
        Ok(settings::finish(&request, &members))
    }
}

/// What the server has, as it lists it.
fn list(choice: &Choice<'_>, privileged: bool) -> Result<List, Error> {
    let list = match choice.format {
        Format::Lxc => flat::list(choice, privileged)?,
        Format::Simplestreams => streams::list(choice)?,
        Format::Auto => match flat::list(choice, privileged)? {
            None => streams::list(choice)?,
            list => list,
        },
    };
    // That there was none a while ago is not enough.
    if list.is_none() && !choice.fresh {
        return self::list(&choice.afresh(), privileged);
    }
    list.ok_or_else(|| {
        let places = match choice.format {
            Format::Lxc => "no meta/1.0/index-user",
            Format::Simplestreams => "no streams/v1/index.json",
            Format::Auto => "neither meta/1.0/index-user nor streams/v1/index.json",
        };
        error(ErrorKind::NotFound, format!("{} has no list of images: there is {places}", choice.server))
    })
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}
