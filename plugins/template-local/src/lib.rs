//! A root file system from what the user already has: a directory tree, or a tar archive or a squashfs image of one.
//!
//! The smallest template, and the first to read. It never learns a path or sees a byte of the tree: it names
//! the user's own parameter in the manifest, and the host copies or unpacks. It asks for nothing.
#![deny(unsafe_code)]

/// What the answers mean.
mod choice;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/template"],
        world: "wxc:template/template-plugin",
        generate_all,
    });
    export!(Local with_types_in self);
    use super::Local;
}

use bindings::exports::wxc::template::template::Guest;
use bindings::wxc::host::types::Error;
use bindings::wxc::template::types::{Candidate, Finished, Manifest, Member, Moment, Parameter, Request};

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

    fn finish(_: Moment, request: Request, _: Manifest, _: Vec<Member>) -> Result<Finished, Error> {
        let settings = choice::settings(&request);
        let files = choice::files(&request.container);
        Ok(Finished { settings, files, again: Vec::new(), message: None })
    }
}
