//! From the user's answers to a manifest and settings.

use crate::bindings::wxc::host::types::{Error, ErrorKind, Pair};
use crate::bindings::wxc::template::types::{
    Archive, ArchiveFormat, ArchiveRole, Archives, Assembly, Blob, Given, Manifest, Node, Origin, Parameter,
    ParameterKind, Rendered, Request,
};

const DIRECTORY: &str = "directory";
const TARBALL: &str = "tarball";
const PREFIX: &str = "prefix";
const INIT: &str = "init";

/// One row per thing the user can say.
pub fn parameters() -> Vec<Parameter> {
    let rows = [
        (DIRECTORY, ParameterKind::Directory, "Copy the root file system from this directory"),
        (
            TARBALL,
            ParameterKind::File,
            "Unpack it from this tar archive (plain, or compressed by gzip, xz or zstd) or squashfs image",
        ),
        (PREFIX, ParameterKind::Text, "Where in the directory or archive the root is, such as rootfs"),
        (INIT, ParameterKind::Text, "The program to start, with its arguments after blanks"),
    ];
    rows.into_iter().map(|(name, kind, doc)| parameter(name, kind, doc)).collect()
}

fn parameter(name: &str, kind: ParameterKind, doc: &str) -> Parameter {
    Parameter { name: name.into(), kind, doc: doc.into(), default: None, required: false, repeatable: false }
}

/// What to assemble: a tree or an archive, whichever the user named.
pub fn manifest(request: &Request) -> Result<Manifest, Error> {
    let prefix = answer(request, PREFIX).unwrap_or_default();
    let (name, assembly) = match (answer(request, DIRECTORY), answer(request, TARBALL)) {
        (Some(name), None) => (name, Assembly::Tree(given(DIRECTORY, prefix))),
        (None, Some(name)) => (name, Assembly::Archives(archives(prefix))),
        (Some(_), Some(_)) => {
            return Err(invalid("--directory and --tarball exclude each other: give one of them"));
        }
        (None, None) => {
            return Err(invalid("nothing says where the root file system is: give --directory or --tarball"));
        }
    };
    Ok(Manifest {
        product: format!("local/{name}"),
        serial: String::new(),
        architecture: request.architecture.clone(),
        expires: None,
        signer: None,
        assembly,
    })
}

fn given(parameter: &str, path: &str) -> Given {
    Given { parameter: parameter.into(), path: path.into() }
}

fn archives(prefix: &str) -> Archives {
    let blob = Blob { origin: Origin::Given(given(TARBALL, "")), digest: None, size: None };
    let root = Archive { blob, format: ArchiveFormat::Tar, role: ArchiveRole::Root, prefix: prefix.into() };
    Archives { parts: vec![root], combined_digest: None, members: Vec::new() }
}

/// The one file that is the container's and not the image's: its name, which init systems read here
/// whatever the kernel already says.
pub fn files(container: &str) -> Vec<Rendered> {
    vec![Rendered {
        path: "/etc/hostname".into(),
        node: Node::File(format!("{container}\n").into_bytes()),
        permissions: 0o644,
        user: 0,
        group: 0,
        keep_existing: false,
    }]
}

/// The program to start, if the user named one: the container's configuration has its own default.
pub fn settings(request: &Request) -> Vec<Pair> {
    let words: Vec<String> =
        answer(request, INIT).unwrap_or_default().split_whitespace().map(toml_text).collect();
    if words.is_empty() {
        return Vec::new();
    }
    vec![Pair { name: "init.command".into(), value: format!("[{}]", words.join(", ")) }]
}

/// A text as TOML writes it.
fn toml_text(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn answer<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let given = request.answers.iter().find(|answer| answer.name == name)?;
    (!given.value.is_empty()).then_some(given.value.as_str())
}

fn invalid(message: &str) -> Error {
    Error { kind: ErrorKind::Invalid, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(answers: &[(&str, &str)]) -> Request {
        let pair = |(name, value): &(&str, &str)| Pair { name: (*name).into(), value: (*value).into() };
        Request {
            container: "web".into(),
            architecture: "x86_64".into(),
            privileged: false,
            answers: answers.iter().map(pair).collect(),
        }
    }

    #[test]
    fn a_directory_is_copied() {
        let manifest = manifest(&request(&[("directory", "trixie"), ("prefix", "rootfs")])).unwrap();
        assert_eq!(manifest.product, "local/trixie");
        let Assembly::Tree(tree) = manifest.assembly else { panic!("{:?}", manifest.assembly) };
        assert_eq!((tree.parameter.as_str(), tree.path.as_str()), ("directory", "rootfs"));
    }

    #[test]
    fn an_archive_is_unpacked() {
        let manifest = manifest(&request(&[("tarball", "trixie.tar.zst")])).unwrap();
        let Assembly::Archives(archives) = manifest.assembly else { panic!("{:?}", manifest.assembly) };
        let [part] = archives.parts.as_slice() else { panic!("{archives:?}") };
        assert_eq!((part.role, part.prefix.as_str()), (ArchiveRole::Root, ""));
        let Origin::Given(given) = &part.blob.origin else { panic!("{part:?}") };
        assert_eq!((given.parameter.as_str(), given.path.as_str()), ("tarball", ""));
    }

    #[test]
    fn exactly_one_of_them_has_to_be_there() {
        for answers in [&[][..], &[("directory", "a"), ("tarball", "b")], &[("directory", "")]] {
            assert_eq!(manifest(&request(answers)).unwrap_err().kind, ErrorKind::Invalid);
        }
    }

    #[test]
    fn init_becomes_a_list_of_texts() {
        assert!(settings(&request(&[("init", "  ")])).is_empty());
        let set = settings(&request(&[("init", "/bin/sh -c \"a\\b\u{1}")]));
        assert_eq!(set[0].name, "init.command");
        assert_eq!(set[0].value, r#"["/bin/sh", "-c", "\"a\\b\u0001"]"#);
    }

    #[test]
    fn the_containers_name_is_in_its_file() {
        let [file] = <[Rendered; 1]>::try_from(files("web")).unwrap();
        assert!(matches!(&file.node, Node::File(text) if text == b"web\n") && file.path == "/etc/hostname");
    }
}
