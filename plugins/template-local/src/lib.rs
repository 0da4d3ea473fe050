//! A root file system from what the user already has: a directory tree, or a tar archive or a squashfs image of one.
//!
//! It never learns a path or sees a byte of the tree: it names the user's own parameters in the
//! manifest, and the host copies or unpacks. It asks for nothing.
#![deny(unsafe_code)]

/// What the answers mean.
mod choice;

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
    export!(Local with_types_in self);
    use super::Local;
}

use bindings::exports::wxc::template::template::Guest;
use image_metadata::host_types::Error;
use image_metadata::template_types::{Candidate, Finished, Manifest, Member, Moment, Parameter, Request};

struct Local;

impl Guest for Local {
    fn options() -> Vec<Parameter> {
        choice::parameters()
    }

    /// There is no catalogue of what lies on somebody's disk.
    fn search(_request: Request, _limit: u32) -> Result<Vec<Candidate>, Error> {
        Ok(Vec::new())
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        choice::manifest(&request)
    }

    /// What the image says of itself, where there is any; what the user says comes first.
    fn finish(
        moment: Moment,
        request: Request,
        _: Manifest,
        members: Vec<Member>,
    ) -> Result<Finished, Error> {
        choice::check(&request, &members)?;
        let mut finished = image_metadata::finish(moment, &request, &members)?;
        if moment == Moment::Create {
            choice::complete(&mut finished, &request);
        }
        Ok(finished)
    }
}
