//! The documents of an image (OCI image-spec 1.1; Docker's manifest 2.2 is the same with other names).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256, Sha512};

use crate::bindings::wxc::host::types::{Digest, DigestAlgorithm, Error, ErrorKind};
use crate::bindings::wxc::template::types::{Blob, Layer, Layers, Origin};
use crate::error;

/// What an index points to.
pub const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
pub const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const LAYERS: [&str; 5] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];
/// The name of an image in a layout.
const NAME: &str = "org.opencontainers.image.ref.name";
/// The same with everything before it, as some tools write it.
const LONG_NAME: &str = "io.containerd.image.name";
/// Most images of an index that are looked at.
const MOST: usize = 1000;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

/// An index or a manifest: what it is shows in its fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub schema_version: u64,
    #[serde(default)]
    pub manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    pub config: Option<Descriptor>,
    #[serde(default)]
    pub layers: Option<Vec<Descriptor>>,
}

#[derive(Debug, Deserialize)]
pub struct Configuration {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default)]
    pub config: Option<Execution>,
    pub rootfs: Tree,
}

#[derive(Debug, Deserialize)]
pub struct Tree {
    #[serde(default)]
    pub diff_ids: Vec<String>,
}

/// How the image is started.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    #[serde(default)]
    pub env: Option<Vec<String>>,
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    #[serde(default)]
    pub cmd: Option<Vec<String>>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub working_dir: Option<String>,
    #[serde(default)]
    pub stop_signal: Option<String>,
}

pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|why| error(ErrorKind::Integrity, format!("{what} is damaged: {why}")))
}

/// `sha256:HEX` or `sha512:HEX`.
pub fn digest(text: &str) -> Result<Digest, Error> {
    let bad = || {
        let shown: String = text.chars().take(80).collect();
        error(ErrorKind::Integrity, format!("{shown:?} is no digest"))
    };
    let (name, hex) = text.split_once(':').ok_or_else(bad)?;
    let (algorithm, length) = match name {
        "sha256" => (DigestAlgorithm::Sha256, 64),
        "sha512" => (DigestAlgorithm::Sha512, 128),
        _ => return Err(bad()),
    };
    let good = hex.len() == length && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if good { Ok(Digest { algorithm, hex: hex.into() }) } else { Err(bad()) }
}

/// Whether these bytes have this digest.
pub fn check(what: &str, bytes: &[u8], wanted: &Digest) -> Result<(), Error> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let found = match wanted.algorithm {
        DigestAlgorithm::Sha256 => hex(&Sha256::digest(bytes)),
        DigestAlgorithm::Sha512 => hex(&Sha512::digest(bytes)),
    };
    if found == wanted.hex {
        return Ok(());
    }
    let message = format!("{what} is not what the image says: its digest is {found}, and not {}", wanted.hex);
    Err(error(ErrorKind::Integrity, message))
}

/// What a document without a name of its own is called.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".into(), |text, byte| format!("{text}{byte:02x}"))
}

/// Where the pieces of an image are.
pub trait Source {
    /// A small document.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error>;
    /// Something large, for the host.
    fn origin(&self, descriptor: &Descriptor) -> Result<Origin, Error>;
}

/// An image, found.
pub struct Image {
    pub configuration: Configuration,
    pub layers: Layers,
}

/// From a descriptor, through indexes, to one image for this machine.
pub fn image(source: &impl Source, mut at: Descriptor, machine: &str) -> Result<Image, Error> {
    // An index may point to indexes; nobody needs more than two.
    for _ in 0..3 {
        let document: Document = parse(&format!("the manifest {}", at.digest), &source.document(&at)?)?;
        if document.schema_version != 2 {
            let message =
                format!("the manifest {} is of version {}, and not 2", at.digest, document.schema_version);
            return Err(error(ErrorKind::Unsupported, message));
        }
        if let Some(manifests) = document.manifests {
            at = for_machine(manifests, machine)?;
            continue;
        }
        let (Some(config), Some(layers)) = (document.config, document.layers) else {
            return Err(error(ErrorKind::Integrity, format!("the manifest {} names no image", at.digest)));
        };
        return assemble(source, &config, &layers, machine);
    }
    Err(error(ErrorKind::Integrity, "the image's index leads from index to index"))
}

fn assemble(
    source: &impl Source,
    config: &Descriptor,
    layers: &[Descriptor],
    machine: &str,
) -> Result<Image, Error> {
    let configuration: Configuration =
        parse(&format!("the configuration {}", config.digest), &source.document(config)?)?;
    fits(&configuration, machine)?;
    if let Some(other) = layers.iter().find(|layer| !LAYERS.contains(&layer.media_type.as_str())) {
        let kind: String = other.media_type.chars().take(120).collect();
        return Err(error(
            ErrorKind::Unsupported,
            format!("the image has a layer of the kind {kind:?}, which is no tar archive"),
        ));
    }
    let ids = &configuration.rootfs.diff_ids;
    if ids.len() != layers.len() {
        let message =
            format!("the image has {} layers, and its configuration names {}", layers.len(), ids.len());
        return Err(error(ErrorKind::Integrity, message));
    }
    let blob = |descriptor: &Descriptor| {
        Ok(Blob {
            origin: source.origin(descriptor)?,
            digest: Some(digest(&descriptor.digest)?),
            signature: None,
            size: descriptor.size,
        })
    };
    let layer = |(descriptor, id): (&Descriptor, &String)| {
        Ok(Layer { blob: blob(descriptor)?, diff_id: digest(id)? })
    };
    let stack = layers.iter().zip(ids).map(layer).collect::<Result<_, Error>>()?;
    Ok(Image { layers: Layers { stack, config: Some(blob(config)?) }, configuration })
}

/// Refuses what this machine would not run, unless somebody asked for it.
pub fn fits(configuration: &Configuration, machine: &str) -> Result<(), Error> {
    let Configuration { architecture, os, .. } = configuration;
    let (os, architecture): (String, String) =
        (os.chars().take(40).collect(), architecture.chars().take(40).collect());
    if os != "linux" && !os.is_empty() {
        return Err(error(ErrorKind::Unsupported, format!("the image is for {os:?}, and not for linux")));
    }
    if architecture != machine && !architecture.is_empty() {
        return Err(error(
            ErrorKind::NotFound,
            format!(
                "the image is for {architecture:?}, and not for {machine}; --machine says for which one to take it"
            ),
        ));
    }
    Ok(())
}

/// The image of an index for a machine.
pub fn for_machine(manifests: Vec<Descriptor>, machine: &str) -> Result<Descriptor, Error> {
    let platform = |one: &Descriptor| one.platform.as_ref().map(|p| (p.os.clone(), p.architecture.clone()));
    let mut others: Vec<String> =
        manifests.iter().take(MOST).filter_map(platform).map(|(os, a)| format!("{os}/{a}")).collect();
    let fits = |one: &Descriptor| {
        platform(one).is_none_or(|(os, architecture)| os == "linux" && architecture == machine)
    };
    let found = manifests.into_iter().take(MOST).find(fits);
    found.ok_or_else(|| {
        others.retain(|other| !other.contains("unknown"));
        others.dedup();
        error(
            ErrorKind::NotFound,
            format!("there is no image for linux/{machine}; there are: {}", others.join(", ")),
        )
    })
}

/// The image of this name in the index of a layout; of one alone the name does not matter.
pub fn named(manifests: Vec<Descriptor>, tag: Option<&str>, machine: &str) -> Result<Descriptor, Error> {
    let names = |one: &Descriptor| -> Vec<String> {
        [NAME, LONG_NAME].iter().filter_map(|key| one.annotations.get(*key)).cloned().collect()
    };
    let is = |one: &Descriptor, tag: &str| {
        names(one).iter().any(|name| name == tag || name.ends_with(&format!(":{tag}")))
    };
    let mut known: Vec<String> =
        manifests.iter().take(MOST).filter_map(|one| names(one).into_iter().next()).collect();
    known.sort();
    known.dedup();
    let mut found: Vec<Descriptor> =
        manifests.into_iter().take(MOST).filter(|one| tag.is_none_or(|tag| is(one, tag))).collect();
    if found.is_empty() {
        let there = if known.is_empty() {
            "none of its images has a name".into()
        } else {
            format!("there are: {}", known.join(", "))
        };
        return Err(error(
            ErrorKind::NotFound,
            format!("there is no image {:?}; {there}", tag.unwrap_or_default()),
        ));
    }
    if known.len() > 1 && tag.is_none() {
        return Err(error(
            ErrorKind::Invalid,
            format!("there are several images: say with --tag which one: {}", known.join(", ")),
        ));
    }
    if found.len() == 1 { Ok(found.remove(0)) } else { for_machine(found, machine) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(name: Option<&str>, platform: Option<(&str, &str)>) -> Descriptor {
        Descriptor {
            media_type: MANIFESTS[0].into(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            size: None,
            platform: platform
                .map(|(os, architecture)| Platform { architecture: architecture.into(), os: os.into() }),
            annotations: name.map(|name| (NAME.to_owned(), name.to_owned())).into_iter().collect(),
        }
    }

    #[test]
    fn digests_have_one_form() {
        assert!(digest(&format!("sha256:{}", "ab".repeat(32))).is_ok());
        for bad in [
            "",
            "sha256:",
            "sha256:AB",
            "md5:00",
            &format!("sha256:{}", "AB".repeat(32)),
            &format!("sha256:../{}", "ab".repeat(31)),
        ] {
            assert!(digest(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_is_found_by_name_and_machine() {
        let two = || vec![descriptor(Some("one"), None), descriptor(Some("registry/x:two"), None)];
        assert!(named(two(), Some("two"), "amd64").is_ok() && named(two(), Some("one"), "amd64").is_ok());
        assert!(named(two(), None, "amd64").unwrap_err().message.contains("one, registry/x:two"));
        assert!(named(two(), Some("three"), "amd64").unwrap_err().message.contains("there are: one"));
        assert!(named(vec![descriptor(None, None)], None, "amd64").is_ok());
        let machines = || {
            vec![
                descriptor(None, Some(("unknown", "unknown"))),
                descriptor(None, Some(("linux", "arm64"))),
                descriptor(None, Some(("linux", "amd64"))),
            ]
        };
        assert_eq!(for_machine(machines(), "amd64").unwrap().platform.unwrap().architecture, "amd64");
        let error = for_machine(machines(), "riscv64").unwrap_err().message;
        assert!(error.ends_with("there are: linux/arm64, linux/amd64"), "{error}");
    }
}
