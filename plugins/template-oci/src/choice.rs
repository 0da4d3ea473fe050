//! What the user can say, and what that means.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::template::types::{Parameter, ParameterKind, Request};
use crate::error;

pub const LAYOUT: &str = "layout";
pub const ARCHIVE: &str = "archive";

/// The kernel's words for architectures, and those of Go, which OCI took over.
const ARCHITECTURES: [(&str, &str); 9] = [
    ("x86_64", "amd64"),
    ("aarch64", "arm64"),
    ("armv7l", "arm"),
    ("i686", "386"),
    ("ppc64le", "ppc64le"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
    ("loongarch64", "loong64"),
    ("mips64", "mips64le"),
];

pub fn parameters() -> Vec<Parameter> {
    let text = || ParameterKind::Text;
    let rows = [
        (LAYOUT, ParameterKind::Directory, "An image in a directory: an OCI layout"),
        (
            ARCHIVE,
            ParameterKind::File,
            "An image in a tar archive: of an OCI layout, or as docker save writes it",
        ),
        ("image", text(), "An image of a registry: its name there, with :TAG or @DIGEST"),
        ("registry", text(), "The registry: its address, its name, or what wxc.toml calls it"),
        ("tag", text(), "Which image, where a layout or archive holds several"),
        ("user", text(), "The name to log in at the registry with"),
        ("password", ParameterKind::Secret, "The password to log in at the registry with"),
        ("machine", text(), "The architecture, such as amd64; this machine's unless told"),
    ];
    let row = |(name, kind, doc): (&str, ParameterKind, &str)| Parameter {
        name: name.into(),
        kind,
        doc: doc.into(),
        default: None,
        required: false,
        repeatable: false,
    };
    rows.into_iter().map(row).collect()
}

/// Where the image is.
pub enum From<'a> {
    Layout,
    Archive,
    Registry(&'a str),
}

/// What the user said.
pub struct Choice<'a> {
    pub from: From<'a>,
    /// What to call it.
    pub name: &'a str,
    pub registry: Option<&'a str>,
    pub tag: Option<&'a str>,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    /// In the words of OCI.
    pub machine: &'a str,
}

impl<'a> Choice<'a> {
    pub fn of(request: &'a Request) -> Result<Self, Error> {
        let said = |name: &str| request.answers.iter().find(|a| a.name == name).map(|a| a.value.as_str());
        let invalid = |message: &str| error(ErrorKind::Invalid, message);
        let (from, name) = match (said(LAYOUT), said(ARCHIVE), said("image")) {
            (Some(name), None, None) => (From::Layout, name),
            (None, Some(name), None) => (From::Archive, name),
            (None, None, Some(image)) => (From::Registry(image), image),
            (None, None, None) => {
                return Err(invalid(
                    "nothing says which image: give --layout, --archive, or --image with --registry",
                ));
            }
            _ => return Err(invalid("--layout, --archive and --image exclude each other: give one of them")),
        };
        let machine = said("machine").unwrap_or(&request.architecture);
        Ok(Self {
            from,
            name,
            registry: said("registry").map(|server| server.trim_end_matches('/')),
            tag: said("tag"),
            user: said("user"),
            password: said("password"),
            machine: of_go(machine),
        })
    }
}

fn of_go(word: &str) -> &str {
    ARCHITECTURES.iter().find(|(kernel, _)| *kernel == word).map_or(word, |(_, go)| go)
}

/// The kernel's word for an architecture of an image's.
pub fn of_kernel(word: &str) -> &str {
    ARCHITECTURES.iter().find(|(_, go)| *go == word).map_or(word, |(kernel, _)| kernel)
}
