//! The host's own system as a container: `/usr` shown read-only, everything else fresh and its own.
//!
//! Nothing is downloaded or copied, so `wxc run` has a container at once. What the host has (and whether
//! `/bin` is a directory or a link into `/usr`) is asked of `wxc:template/host-system`, the one permission needed.
#![deny(unsafe_code)]

/// Which accounts a fresh root knows.
mod accounts;
/// The files of a fresh root.
mod files;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/template"],
        world: "wxc:template/template-plugin",
        generate_all,
    });
    export!(Host with_types_in self);
    use super::Host;
}

use bindings::exports::wxc::template::template::Guest;
use bindings::wxc::host::types::{Error, ErrorKind, Pair};
use bindings::wxc::template::host_system;
use bindings::wxc::template::types::{
    Assembly, Candidate, Finished, HostDirectories, Manifest, Member, Moment, Parameter, ParameterKind,
    Request,
};

/// The parameter that says what runs as the first program.
const INIT: &str = "init";
/// wxc's own small init, with something under it that does nothing: the container is there to be entered.
const IDLE: &str = "idle";
/// The host's own init, such as systemd.
const SYSTEM: &str = "system";

struct Host;

impl Guest for Host {
    fn options() -> Vec<Parameter> {
        vec![Parameter {
            name: INIT.into(),
            kind: ParameterKind::Choice(vec![IDLE.into(), SYSTEM.into()]),
            doc: "What runs in it: nothing until it is entered, or the init system of the host".into(),
            default: Some(IDLE.into()),
            required: false,
            repeatable: false,
        }]
    }

    /// There is one host.
    fn search(_request: Request, _limit: u32) -> Result<Vec<Candidate>, Error> {
        Ok(Vec::new())
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        let there = host_system::directories()?;
        if !there.iter().any(|directory| directory.path == "/usr") {
            let message = "this host shows no /usr: there is nothing to run".to_owned();
            return Err(Error { kind: ErrorKind::Unsupported, message });
        }
        let shown = there.into_iter().filter(|directory| directory.link.is_none());
        Ok(Manifest {
            product: "host".into(),
            serial: String::new(),
            architecture: request.architecture,
            expires: None,
            signer: None,
            assembly: Assembly::HostSystem(HostDirectories {
                directories: shown.map(|directory| directory.path).collect(),
            }),
        })
    }

    fn finish(_: Moment, request: Request, _: Manifest, _: Vec<Member>) -> Result<Finished, Error> {
        let mut files = files::base();
        files.extend(host_system::directories()?.into_iter().map(files::of_host));
        files.extend(files::etc(&request.container));
        Ok(Finished { settings: settings(&request), files, again: Vec::new(), message: None, expires: None })
    }
}

/// An idle container sleeps under wxc's own init; the host's init is what the configuration starts anyhow.
fn settings(request: &Request) -> Vec<Pair> {
    if request.answers.iter().any(|answer| answer.name == INIT && answer.value == SYSTEM) {
        return Vec::new();
    }
    let pair = |name: &str, value: &str| Pair { name: name.into(), value: value.into() };
    vec![pair("init.stub", "true"), pair("init.command", r#"["/bin/sleep", "infinity"]"#)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(init: &str) -> Request {
        Request {
            container: "web".into(),
            architecture: "x86_64".into(),
            privileged: false,
            answers: vec![Pair { name: INIT.into(), value: init.into() }],
        }
    }

    #[test]
    fn an_idle_container_has_the_small_init() {
        let set = settings(&request(IDLE));
        let set: Vec<_> = set.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
        assert_eq!(set, [("init.stub", "true"), ("init.command", r#"["/bin/sleep", "infinity"]"#)]);
    }

    #[test]
    fn the_system_is_started_as_usual() {
        assert!(settings(&request(SYSTEM)).is_empty());
    }
}
