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
        with: {
            "wxc:host/types@0.1.0": image_metadata::host_types,
            "wxc:template/types@0.1.0": image_metadata::template_types,
        },
        generate_all,
    });
    export!(Download with_types_in self);
    use super::Download;
}

use bindings::exports::wxc::template::template::Guest;
use choice::{Choice, Format};
use image::{Files, Image, List};
use image_metadata::host_types::{Error, ErrorKind};
use image_metadata::template_types::{
    Assembly, Candidate, Finished, Manifest, Member, Moment, Parameter, Request,
};
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
                let (archives, vouched) = flat::archives(&choice, &directory)?;
                // Who signs the files of a build says nothing of which build it is: the list does.
                (archives, signer.filter(|_| vouched))
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
        image_metadata::finish(moment, &request, &members)
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
