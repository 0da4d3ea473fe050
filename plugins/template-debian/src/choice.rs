//! What the user can say, and what that means.

use words::architecture::of_debian;

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::template::types::{Parameter, ParameterKind, Request};
use crate::error;

/// How much is installed.
pub const MINBASE: &str = "minbase";
pub const STANDARD: &str = "standard";

pub fn parameters() -> Vec<Parameter> {
    let row = |name: &str, kind, doc: &str, default: Option<&str>, repeatable| Parameter {
        name: name.into(),
        kind,
        doc: doc.into(),
        default: default.map(str::to_owned),
        required: false,
        repeatable,
    };
    let text = || ParameterKind::Text;
    let variants = ParameterKind::Choice([MINBASE, STANDARD].map(str::to_owned).into());
    vec![
        row("release", text(), "The release, such as trixie, noble or stable", Some("stable"), false),
        row(
            "mirror",
            text(),
            "The mirror, such as http://deb.example.org/debian; where this machine's own apt gets packages from unless told",
            None,
            false,
        ),
        row(
            "security",
            text(),
            "The mirror of its security updates, such as http://deb.example.org/debian-security; unless told, where this machine's own apt gets them from, or else --mirror",
            None,
            false,
        ),
        row(
            "no-updates",
            ParameterKind::Boolean,
            "The release as it came out, without its updates",
            None,
            false,
        ),
        row(
            "variant",
            variants,
            "How much: what is required and an init, or what a usual system has",
            Some(MINBASE),
            false,
        ),
        row("include", text(), "A further package, or several with commas between", None, true),
        row("arch", text(), "The architecture, such as amd64; this machine's unless told", None, false),
        row("components", text(), "The parts of the archive, with commas between", Some("main"), false),
    ]
}

/// What the user said.
pub struct Choice<'a> {
    pub mirror: &'a str,
    pub security: Option<&'a str>,
    pub updates: bool,
    pub release: &'a str,
    pub variant: &'a str,
    pub include: Vec<&'a str>,
    pub architecture: String,
    pub components: Vec<&'a str>,
}

impl<'a> Choice<'a> {
    pub fn of(request: &'a Request) -> Result<Self, Error> {
        let said = |name: &str| request.answers.iter().find(|a| a.name == name).map(|a| a.value.as_str());
        let invalid = |message: String| error(ErrorKind::Invalid, message);
        let mirror = said("mirror").map(|mirror| mirror.trim_end_matches('/')).ok_or_else(|| {
            invalid("this machine's apt names no mirror: say with --mirror where the packages are".into())
        })?;
        let words = |name: &'static str| {
            let all = request.answers.iter().filter(move |a| a.name == name);
            all.flat_map(|a| a.value.split(','))
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
        };
        let (release, include, components) =
            (said("release").unwrap_or("stable"), words("include"), words("components"));
        let arch = said("arch").unwrap_or(&request.architecture);
        let architecture = of_debian(arch);
        for word in [release, architecture].iter().chain(&include).chain(&components) {
            if !is_word(word) {
                return Err(invalid(format!(
                    "{word:?} is no name of a release, package, architecture or component"
                )));
            }
        }
        if components.is_empty() {
            return Err(invalid("--components names none".into()));
        }
        let variant = said("variant").unwrap_or(MINBASE);
        let security = said("security").map(|mirror| mirror.trim_end_matches('/'));
        let updates = said("no-updates") != Some("true");
        let architecture = architecture.to_owned();
        Ok(Self { mirror, security, updates, release, variant, include, architecture, components })
    }
}

/// Whether it can be part of an address and of a name.
fn is_word(word: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    !word.is_empty() && word.len() <= 100 && word.bytes().all(good) && !word.starts_with(['.', '-', '+'])
}
