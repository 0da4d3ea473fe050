//! From the user's answers to a manifest and settings.

use words::setting::quoted;

use image_metadata::host_types::{Error, ErrorKind, Pair};
use image_metadata::template_types::{
    Archive, ArchiveFormat, ArchiveRole, Archives, Assembly, Blob, Finished, Given, Manifest, Member, Node,
    Origin, Parameter, ParameterKind, Rendered, Request,
};

const DIRECTORY: &str = "directory";
const TARBALL: &str = "tarball";
/// What LXC's template calls it.
const FSTREE: &str = "fstree";
const METADATA: &str = "metadata";
const UNIFIED: &str = "unified";
/// Where the root is in an archive with metadata beside it.
const ROOTFS: &str = "rootfs";
const PREFIX: &str = "prefix";
const HOSTNAME: &str = "/etc/hostname";
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
        (FSTREE, ParameterKind::File, "The same, in LXC's word"),
        (
            METADATA,
            ParameterKind::File,
            "Metadata of that image in an archive of its own, as LXC, Incus and LXD have it: meta.tar.xz, incus.tar.xz",
        ),
        (
            UNIFIED,
            ParameterKind::Boolean,
            "The archive has metadata in it and the root in rootfs, as Incus and LXD export it",
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
    let unified = answer(request, UNIFIED) == Some("true");
    let prefix = answer(request, PREFIX).unwrap_or(if unified { ROOTFS } else { "" });
    // However somebody writes the way down.
    let prefix = prefix.trim_start_matches("./").trim_matches('/');
    let named: Vec<(&str, &str)> = [DIRECTORY, TARBALL, FSTREE]
        .into_iter()
        .filter_map(|parameter| Some((parameter, answer(request, parameter)?)))
        .collect();
    let (parameter, name) = match named[..] {
        [one] => one,
        [] => {
            return Err(invalid("nothing says where the root file system is: give --directory or --tarball"));
        }
        _ => {
            return Err(invalid("--directory, --tarball and --fstree exclude each other: give one of them"));
        }
    };
    let metadata = answer(request, METADATA).is_some();
    let assembly = match (parameter, metadata, unified) {
        (_, true, true) => return Err(invalid("--unified says that there is no archive for --metadata")),
        (DIRECTORY, false, false) => Assembly::Tree(given(DIRECTORY, prefix)),
        (DIRECTORY, ..) => return Err(invalid("a directory has no metadata: give --tarball")),
        (_, true, false) => Assembly::Archives(archives(vec![
            archive(METADATA, ArchiveRole::Metadata, ""),
            archive(parameter, ArchiveRole::Root, prefix),
        ])),
        (_, false, true) => {
            Assembly::Archives(archives(vec![archive(parameter, ArchiveRole::Combined, prefix)]))
        }
        (_, false, false) => {
            Assembly::Archives(archives(vec![archive(parameter, ArchiveRole::Root, prefix)]))
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

fn archive(parameter: &str, role: ArchiveRole, prefix: &str) -> Archive {
    let blob =
        Blob { origin: Origin::Given(given(parameter, "")), digest: None, signature: None, size: None };
    // What it is compressed by, and whether it is an archive at all, its first bytes say.
    Archive { blob, format: ArchiveFormat::Tar, role, prefix: prefix.into() }
}

fn archives(parts: Vec<Archive>) -> Archives {
    let members = if parts.iter().any(|part| part.role != ArchiveRole::Root) {
        image_metadata::members()
    } else {
        Vec::new()
    };
    Archives { parts, combined_digest: None, members }
}

/// Refuses metadata that is none: two files are easily given in the wrong order.
pub fn check(request: &Request, members: &[Member]) -> Result<(), Error> {
    let named =
        [METADATA, UNIFIED].iter().any(|name| answer(request, name).is_some_and(|said| said != "false"));
    match named && members.is_empty() {
        true => Err(invalid(
            "there is no metadata of an image where it is said to be: neither metadata.yaml nor config",
        )),
        false => Ok(()),
    }
}

/// Adds to what the image wants what the user said, and the container's name.
pub fn complete(finished: &mut Finished, request: &Request) {
    let own = settings(request);
    finished.settings.retain(|setting| own.iter().all(|said| said.name != setting.name));
    finished.settings.extend(own);
    if !finished.files.iter().any(|file| file.path == HOSTNAME) {
        finished.files.push(hostname(&request.container));
    }
}

/// The one file that is the container's and not the image's: its name, which init systems read here
/// whatever the kernel already says.
fn hostname(container: &str) -> Rendered {
    Rendered {
        path: HOSTNAME.into(),
        node: Node::File(format!("{container}\n").into_bytes()),
        permissions: 0o644,
        user: 0,
        group: 0,
        keep_existing: false,
    }
}

/// The program to start, if the user named one: the container's configuration has its own default.
fn settings(request: &Request) -> Vec<Pair> {
    let words: Vec<String> =
        answer(request, INIT).unwrap_or_default().split_whitespace().map(quoted).collect();
    if words.is_empty() {
        return Vec::new();
    }
    vec![Pair { name: "init.command".into(), value: format!("[{}]", words.join(", ")) }]
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
    fn an_image_brings_its_metadata() {
        let parts = |answers: &[(&str, &str)]| {
            let Assembly::Archives(archives) = manifest(&request(answers)).unwrap().assembly else {
                panic!()
            };
            assert!(archives.members.contains(&"metadata.yaml".into()));
            archives.parts.into_iter().map(|part| (part.role, part.prefix)).collect::<Vec<_>>()
        };
        assert_eq!(
            parts(&[("metadata", "meta.tar.xz"), ("fstree", "rootfs.squashfs")]),
            [(ArchiveRole::Metadata, String::new()), (ArchiveRole::Root, String::new())]
        );
        assert_eq!(
            parts(&[("unified", "true"), ("tarball", "x.tar.gz")]),
            [(ArchiveRole::Combined, "rootfs".into())]
        );
    }

    #[test]
    fn metadata_that_is_said_to_be_there_has_to_be() {
        let member = Member { name: "config".into(), content: Vec::new() };
        check(&request(&[("metadata", "m")]), &[member]).unwrap();
        check(&request(&[("tarball", "x"), ("unified", "false")]), &[]).unwrap();
        check(&request(&[("metadata", "m")]), &[]).unwrap_err();
        check(&request(&[("unified", "true")]), &[]).unwrap_err();
    }

    #[test]
    fn exactly_one_of_them_has_to_be_there() {
        for answers in [
            &[][..],
            &[("directory", "a"), ("tarball", "b")],
            &[("fstree", "a"), ("tarball", "b")],
            &[("directory", "")],
            &[("directory", "a"), ("metadata", "m")],
            &[("tarball", "a"), ("metadata", "m"), ("unified", "true")],
        ] {
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
        let mut finished = Finished {
            settings: Vec::new(),
            files: Vec::new(),
            again: Vec::new(),
            message: None,
            expires: None,
        };
        complete(&mut finished, &request(&[]));
        let [file] = &finished.files[..] else { panic!("{finished:?}") };
        assert!(matches!(&file.node, Node::File(text) if text == b"web\n") && file.path == "/etc/hostname");
        // What the image makes of it counts.
        finished.files[0].node = Node::File(b"web.example\n".to_vec());
        complete(&mut finished, &request(&[]));
        assert_eq!(finished.files.len(), 1);
    }
}
