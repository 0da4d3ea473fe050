//! The smallest system there is: busybox under all its names, an init table, and an address from the network.
#![deny(unsafe_code)]

/// The files of the root, as tables.
mod files;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/template"],
        world: "wxc:template/template-plugin",
        generate_all,
    });
    export!(Busybox with_types_in self);
    use super::Busybox;
}

use bindings::exports::wxc::template::template::Guest;
use bindings::wxc::host::types::{Error, ErrorKind, Pair};
use bindings::wxc::template::types::{
    Assembly, Candidate, Finished, Manifest, Member, Moment, Parameter, ParameterKind, Request,
};

/// The parameter for the program, as LXC's template calls it.
const PROGRAM: &str = "busybox-path";

struct Busybox;

impl Guest for Busybox {
    fn options() -> Vec<Parameter> {
        vec![Parameter {
            name: PROGRAM.into(),
            kind: ParameterKind::File,
            doc: "A busybox that needs no libraries; this machine's unless told".into(),
            default: None,
            required: false,
            repeatable: false,
        }]
    }

    /// There is one.
    fn search(_: Request, _: u32) -> Result<Vec<Candidate>, Error> {
        Ok(Vec::new())
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        if !request.answers.iter().any(|answer| answer.name == PROGRAM) {
            let message = "this machine has no busybox: install one that needs no libraries (Debian: busybox-static), or say with --busybox-path where it is";
            return Err(Error { kind: ErrorKind::Invalid, message: message.into() });
        }
        Ok(Manifest {
            product: "busybox".into(),
            serial: String::new(),
            architecture: request.architecture,
            expires: None,
            signer: None,
            assembly: Assembly::Empty,
        })
    }

    fn finish(_: Moment, request: Request, _: Manifest, _: Vec<Member>) -> Result<Finished, Error> {
        let setting = |name: &str, value: &str| Pair { name: name.into(), value: value.into() };
        Ok(Finished {
            // As in LXC: busybox's init halts at SIGUSR1 and reboots at SIGTERM.
            settings: vec![
                setting("stop.halt", "\"SIGUSR1\""),
                setting("stop.reboot", "\"SIGTERM\""),
                setting("console.ttys", "1"),
            ],
            files: files::all(&request.container),
            again: Vec::new(),
            message: None,
            expires: None,
        })
    }
}
