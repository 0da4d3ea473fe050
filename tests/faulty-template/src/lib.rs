//! A template with one fault that is chosen by its setting `fault`, and with none otherwise: it shows that the suite finds each of them,
//! and that it is the fault which is found. Never to be used.
//!
//! Without a fault it is an honest template: it makes a root of an archive that the user names, in one of two flavours.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/template"],
        inline: "
            package wxc:template-faulty;
            world plugin {
                include wxc:template/template-base@0.1.0;
                import wxc:host/store@0.1.0;
                import wasi:random/random@0.2.0;
            }
            package wasi:random@0.2.0 {
                interface random { get-random-u64: func() -> u64; }
            }
        ",
        world: "wxc:template-faulty/plugin",
        generate_all,
    });
    export!(Faulty with_types_in self);
    use super::Faulty;
}

use bindings::exports::wxc::template::template::Guest;
use bindings::wasi::random::random::get_random_u64;
use bindings::wxc::host::types::{Digest, DigestAlgorithm, Error, ErrorKind, Pair};
use bindings::wxc::host::{settings, store};
use bindings::wxc::template::types::{
    Archive, ArchiveFormat, ArchiveRole, Archives, Assembly, Blob, Candidate, Finished, Given, Manifest,
    Member, Moment, Node, Origin, Parameter, ParameterKind, Rendered, Request,
};

struct Faulty;

/// Whether this is the fault that was chosen.
fn fault(name: &str) -> bool {
    settings::get("fault").as_deref() == Some(name)
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}

fn answer<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.answers.iter().find(|pair| pair.name == name).map(|pair| pair.value.as_str())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const FLAVOURS: [&str; 2] = ["plain", "fancy"];

impl Guest for Faulty {
    fn options() -> Vec<Parameter> {
        if fault("options-store") {
            let _read = store::get("options");
        }
        let doc = if fault("options-random") {
            format!("The archive, or {}", get_random_u64())
        } else if fault("options-silent") {
            String::new()
        } else {
            "The archive".to_owned()
        };
        let default = if fault("options-default") { "neither" } else { "plain" };
        let choices = if fault("options-nothing") { Vec::new() } else { words(&FLAVOURS) };
        let default = if fault("options-nothing") { None } else { Some(default.to_owned()) };
        vec![
            Parameter {
                name: "archive".to_owned(),
                kind: ParameterKind::File,
                doc,
                default: None,
                required: true,
                repeatable: false,
            },
            Parameter {
                name: "flavour".to_owned(),
                kind: ParameterKind::Choice(choices),
                doc: "The flavour".to_owned(),
                default,
                required: false,
                repeatable: false,
            },
            Parameter {
                name: "note".to_owned(),
                kind: ParameterKind::Text,
                doc: "A note, which becomes a file".to_owned(),
                default: None,
                required: false,
                repeatable: false,
            },
            Parameter {
                name: "count".to_owned(),
                kind: ParameterKind::Integer,
                doc: "A number".to_owned(),
                default: Some(if fault("options-number") { "many" } else { "1" }.to_owned()),
                required: false,
                repeatable: false,
            },
        ]
    }

    fn search(request: Request, limit: u32) -> Result<Vec<Candidate>, Error> {
        if fault("search-panics") && request.answers.is_empty() {
            panic!("on purpose");
        }
        let name = if fault("search-foreign") { "flavor" } else { "flavour" };
        let candidate = |flavour: &&str| Candidate {
            product: "faulty".to_owned(),
            release: "1".to_owned(),
            architecture: request.architecture.clone(),
            flavour: (*flavour).to_owned(),
            serial: String::new(),
            size: None,
            answers: vec![Pair { name: name.to_owned(), value: (*flavour).to_owned() }],
        };
        let mut found: Vec<Candidate> = FLAVOURS.iter().map(candidate).collect();
        if fault("search-order") && limit == 1 {
            found.reverse();
        }
        if !fault("search-many") {
            found.truncate(limit as usize);
        }
        Ok(found)
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        if fault("resolve-panics") {
            assert!(answer(&request, "archive").is_some(), "on purpose");
        }
        let Some(_archive) = answer(&request, "archive") else {
            return Err(error(ErrorKind::Invalid, "no archive is named"));
        };
        if fault("resolve-trusts") {
            let note = answer(&request, "note").unwrap_or_default();
            assert!(!note.contains("%00"), "on purpose");
        }
        let architecture =
            if fault("resolve-architecture") { "sparc64".to_owned() } else { request.architecture };
        let digest = fault("resolve-digest")
            .then(|| Digest { algorithm: DigestAlgorithm::Sha256, hex: "0xyz".to_owned() });
        let origin = Origin::Given(Given { parameter: "archive".to_owned(), path: String::new() });
        let part = Archive {
            blob: Blob { origin, digest, signature: None, size: None },
            format: ArchiveFormat::Tar,
            role: ArchiveRole::Combined,
            prefix: "rootfs".to_owned(),
        };
        let archives =
            Archives { parts: vec![part], combined_digest: None, members: vec!["metadata".to_owned()] };
        Ok(Manifest {
            product: "faulty/1/plain".to_owned(),
            serial: String::new(),
            architecture,
            expires: None,
            signer: None,
            assembly: Assembly::Archives(archives),
        })
    }

    fn finish(
        moment: Moment,
        request: Request,
        _manifest: Manifest,
        members: Vec<Member>,
    ) -> Result<Finished, Error> {
        if fault("finish-moment") && moment == Moment::Rename {
            panic!("on purpose");
        }
        if fault("finish-parses") {
            let first = members.first().map(|member| member.content.as_slice());
            assert!(first.is_some_and(|content| content.starts_with(b"good")), "on purpose");
        }
        if fault("finish-store") {
            let _denied = store::get("finished");
        }
        let mut content = answer(&request, "note").unwrap_or_default().to_owned();
        if fault("finish-random") {
            content += &get_random_u64().to_string();
        }
        let note = Rendered {
            path: "/etc/note".to_owned(),
            node: Node::File(content.into_bytes()),
            permissions: if fault("finish-setuid") { 0o4755 } else { 0o644 },
            user: 0,
            group: 0,
            keep_existing: false,
        };
        Ok(Finished {
            settings: vec![Pair { name: "init.command".to_owned(), value: "[\"/sbin/init\"]".to_owned() }],
            files: vec![note],
            again: vec![Moment::Copy],
            message: None,
            expires: None,
        })
    }
}
