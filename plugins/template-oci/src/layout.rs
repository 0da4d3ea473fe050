//! Images on disk: a layout (OCI image-spec, image-layout.md) in a directory or an archive, and the older archive of `docker save`.

use serde::Deserialize;

use crate::bindings::wxc::host::types::{Digest, Error, ErrorKind};
use crate::bindings::wxc::template::inputs;
use crate::bindings::wxc::template::types::{Assembly, Blob, Given, Layer, Layers, Manifest, Origin};
use crate::choice::{Choice, of_kernel};
use crate::error;
use crate::spec::{self, Configuration, Descriptor, Document, Image, Source};

/// Longest document.
const LONGEST: u32 = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    image_layout_version: String,
}

/// An entry of the list in an archive of Docker's.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

struct Layout(&'static str);

impl Layout {
    fn given(&self, path: &str) -> Given {
        Given { parameter: self.0.into(), path: path.into() }
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        inputs::read(&self.given(path), LONGEST)
    }
}

/// Where a blob of a layout is.
fn place(digest: &Digest) -> String {
    let algorithm = match digest.algorithm {
        crate::bindings::wxc::host::types::DigestAlgorithm::Sha256 => "sha256",
        crate::bindings::wxc::host::types::DigestAlgorithm::Sha512 => "sha512",
    };
    format!("blobs/{algorithm}/{}", digest.hex)
}

impl Source for Layout {
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let digest = spec::digest(&descriptor.digest)?;
        let path = place(&digest);
        let bytes = self.read(&path)?;
        spec::check(&path, &bytes, &digest)?;
        Ok(bytes)
    }

    fn origin(&self, descriptor: &Descriptor) -> Result<Origin, Error> {
        Ok(Origin::Given(self.given(&place(&spec::digest(&descriptor.digest)?))))
    }
}

pub fn resolve(choice: &Choice<'_>, parameter: &'static str) -> Result<Manifest, Error> {
    let layout = Layout(parameter);
    let image = match layout.read("oci-layout") {
        Ok(version) => of_layout(&layout, choice, &version)?,
        Err(Error { kind: ErrorKind::NotFound, .. }) => match layout.read("manifest.json") {
            Ok(list) => saved(&layout, choice, &list)?,
            Err(Error { kind: ErrorKind::NotFound, .. }) => {
                let message =
                    format!("{} is no image: it has neither oci-layout nor manifest.json", choice.name);
                return Err(error(ErrorKind::Invalid, message));
            }
            Err(other) => return Err(other),
        },
        Err(other) => return Err(other),
    };
    let tag = choice.tag.map_or_else(String::new, |tag| format!(":{tag}"));
    Ok(Manifest {
        product: format!("oci/{}{tag}", choice.name),
        serial: String::new(),
        architecture: of_kernel(&image.configuration.architecture).into(),
        expires: None,
        signer: None,
        assembly: Assembly::Layers(image.layers),
    })
}

fn of_layout(layout: &Layout, choice: &Choice<'_>, version: &[u8]) -> Result<Image, Error> {
    let Version { image_layout_version: version } = spec::parse("oci-layout", version)?;
    if !version.starts_with("1.") {
        let version: String = version.chars().take(40).collect();
        return Err(error(
            ErrorKind::Unsupported,
            format!("the layout is of version {version:?}, and not 1"),
        ));
    }
    let index: Document = spec::parse("index.json", &layout.read("index.json")?)?;
    let Some(manifests) = index.manifests.filter(|manifests| !manifests.is_empty()) else {
        return Err(error(ErrorKind::NotFound, format!("{} holds no image", choice.name)));
    };
    spec::image(layout, spec::named(manifests, choice.tag, choice.machine)?, choice.machine)
}

/// An archive of Docker's: nothing says the digests of its files, but the configuration those of the layers' content.
fn saved(layout: &Layout, choice: &Choice<'_>, list: &[u8]) -> Result<Image, Error> {
    let mut all: Vec<Saved> = spec::parse("manifest.json", list)?;
    let tags: Vec<String> = all.iter().flat_map(|one| one.repo_tags.clone().unwrap_or_default()).collect();
    if let Some(tag) = choice.tag {
        let is = |name: &String| name == tag || name.ends_with(&format!(":{tag}"));
        all.retain(|one| one.repo_tags.iter().flatten().any(is));
    }
    if all.len() > 1 {
        let message = format!("there are several images: say with --tag which one: {}", tags.join(", "));
        return Err(error(ErrorKind::Invalid, message));
    }
    let Some(one) = all.pop() else {
        return Err(error(
            ErrorKind::NotFound,
            format!("there is no such image; there are: {}", tags.join(", ")),
        ));
    };
    let configuration: Configuration = spec::parse(&one.config, &layout.read(&one.config)?)?;
    spec::fits(&configuration, choice.machine)?;
    let ids = &configuration.rootfs.diff_ids;
    if ids.len() != one.layers.len() {
        let message =
            format!("the image has {} layers, and its configuration names {}", one.layers.len(), ids.len());
        return Err(error(ErrorKind::Integrity, message));
    }
    let blob = |path: &str| Blob {
        origin: Origin::Given(layout.given(path)),
        digest: None,
        signature: None,
        size: None,
    };
    let layer = |(path, id): (&String, &String)| Ok(Layer { blob: blob(path), diff_id: spec::digest(id)? });
    let stack = one.layers.iter().zip(ids).map(layer).collect::<Result<_, Error>>()?;
    Ok(Image { layers: Layers { stack, config: Some(blob(&one.config)) }, configuration })
}
