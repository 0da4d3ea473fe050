//! A template: a small system of one static program. The functions stand in `wit/deps/template/template.wit`.

/// The files of the root.
mod files;

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

use bindings::exports::wxc::template::template::Guest;
use bindings::wxc::host::types::{Error, ErrorKind, Pair};
use bindings::wxc::template::types::{
    Assembly, Candidate, Finished, Manifest, Member, Moment, Parameter, ParameterKind, Request,
};

/// The parameter for the program. `[inputs.program]` of plugin.toml says where it is when the user says nothing.
const PROGRAM: &str = "program";
const GREETING: &str = "greeting";

struct Plugin;

impl Guest for Plugin {
    fn options() -> Vec<Parameter> {
        let parameter = |name: &str, kind, doc: &str, default: Option<&str>| Parameter {
            name: name.into(),
            kind,
            doc: doc.into(),
            default: default.map(str::to_owned),
            required: false,
            repeatable: false,
        };
        vec![
            parameter(
                PROGRAM,
                ParameterKind::File,
                "A busybox that needs no libraries; this machine's unless told",
                None,
            ),
            parameter(GREETING, ParameterKind::Text, "What /etc/motd says", Some("Welcome")),
        ]
    }

    /// There is one system, and no catalogue to search.
    fn search(_request: Request, _limit: u32) -> Result<Vec<Candidate>, Error> {
        Ok(Vec::new())
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        if answer(&request, PROGRAM).is_none() {
            let message = "this machine has no busybox: install one that needs no libraries (Debian: busybox-static), or say with --program where it is";
            return Err(Error { kind: ErrorKind::Invalid, message: message.into() });
        }
        Ok(Manifest {
            product: "@WORD@".into(),
            serial: String::new(),
            architecture: request.architecture,
            expires: None,
            signer: None,
            assembly: Assembly::Empty,
        })
    }

    fn finish(_: Moment, request: Request, _: Manifest, _: Vec<Member>) -> Result<Finished, Error> {
        // What busybox's init understands as "halt" and "reboot". Only settings of the host's list are taken.
        let settings = [("stop.halt", "\"SIGUSR1\""), ("stop.reboot", "\"SIGTERM\"")];
        let pair = |(name, value): (&str, &str)| Pair { name: name.into(), value: value.into() };
        let greeting = answer(&request, GREETING).unwrap_or_default();
        Ok(Finished {
            settings: settings.map(pair).into(),
            files: files::all(&request.container, greeting),
            again: Vec::new(),
            message: None,
            expires: None,
        })
    }
}

fn answer<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.answers.iter().find(|answer| answer.name == name).map(|answer| answer.value.as_str())
}
