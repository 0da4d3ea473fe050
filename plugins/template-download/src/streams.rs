//! Lists as Incus and LXD want them: simplestreams, an index that names lists of products, each with versions, each with files.

use std::collections::BTreeMap;

use serde::Deserialize;
use words::architecture::is_debian;
use words::moment;

use crate::choice::Choice;
use crate::flat::FRESH;
use crate::image::{Files, Image, List, is_place, is_word, shortened};
use crate::{error, web};
use image_metadata::host_types::{Digest, DigestAlgorithm, Error, ErrorKind};
use image_metadata::template_types::{Archive, ArchiveFormat, ArchiveRole, Archives, Blob, Origin, Remote};

const INDEX: &str = "streams/v1/index.json";
/// Bytes of the index, and of a list of products; the largest known has some 12 MiB.
const LONGEST_INDEX: u32 = 4 << 20;
const LONGEST_LIST: u32 = 64 << 20;
/// Most lists that an index names.
const MOST_LISTS: usize = 16;
/// What is in a list of images.
const IMAGES: &str = "image-downloads";
/// Directory of an archive that holds the root beside its metadata.
const ROOTFS: &str = "rootfs";

#[derive(Deserialize)]
struct Index {
    format: String,
    #[serde(default)]
    index: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(default)]
    datatype: String,
}

#[derive(Deserialize)]
struct Products {
    format: String,
    #[serde(default)]
    products: BTreeMap<String, Product>,
}

#[derive(Deserialize)]
struct Product {
    #[serde(default)]
    aliases: String,
    #[serde(default)]
    arch: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    release: String,
    #[serde(default)]
    release_codename: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    support_eol: Option<String>,
    #[serde(default)]
    versions: BTreeMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    items: BTreeMap<String, Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    ftype: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    combined_sha256: Option<String>,
    #[serde(default)]
    combined_rootxz_sha256: Option<String>,
    #[serde(default)]
    combined_squashfs_sha256: Option<String>,
}

/// All images that a server has for containers; `None` where it has no such list.
pub fn list(choice: &Choice<'_>) -> Result<Option<List>, Error> {
    let age = if choice.fresh { 0 } else { FRESH };
    let Some(found) = web::signed(choice.server, INDEX, LONGEST_INDEX, age)? else { return Ok(None) };
    let index: Index = parse(choice, INDEX, &found.text)?;
    is_format(choice, INDEX, &index.format, "index:1.0")?;
    let lists =
        index.index.into_values().filter(|entry| entry.datatype == IMAGES || entry.datatype.is_empty());
    let mut list = List { images: Vec::new(), signer: found.signer };
    for entry in lists.take(MOST_LISTS) {
        let path = entry.path.trim_start_matches('/');
        if !is_place(path) {
            return Err(bad(choice, INDEX, &format!("{:?} is no place on a server", shortened(path))));
        }
        let Some(found) = web::signed(choice.server, path, LONGEST_LIST, age)? else {
            return Err(bad(choice, INDEX, &format!("it names {path}, which is not there")));
        };
        let products: Products = parse(choice, path, &found.text)?;
        is_format(choice, path, &products.format, "products:1.0")?;
        // One that nobody vouches for makes the whole so.
        list.signer = list.signer.and(found.signer);
        let images = products.products.iter().flat_map(|(name, product)| images(choice, name, product));
        list.images.extend(images);
    }
    Ok(Some(list))
}

/// The images of one list, for a fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub fn of_text(choice: &Choice<'_>, text: &str) -> Vec<Image> {
    drop(parse::<Index>(choice, INDEX, text));
    let Ok(products) = parse::<Products>(choice, "a list", text) else { return Vec::new() };
    products.products.iter().flat_map(|(name, product)| images(choice, name, product)).collect()
}

fn parse<'a, T: Deserialize<'a>>(choice: &Choice<'_>, path: &str, text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|why| bad(choice, path, &why.to_string()))
}

fn is_format(choice: &Choice<'_>, path: &str, is: &str, wanted: &str) -> Result<(), Error> {
    if is == wanted {
        return Ok(());
    }
    Err(bad(choice, path, &format!("its format is {:?} and not {wanted:?}", shortened(is))))
}

fn bad(choice: &Choice<'_>, path: &str, why: &str) -> Error {
    error(ErrorKind::Integrity, format!("{}/{path} is no list of images: {why}", choice.server))
}

/// The versions of a product that a container can be made of. What is not understood is somebody else's: a disk of a virtual
/// machine, a machine that nobody knows.
fn images(choice: &Choice<'_>, name: &str, product: &Product) -> Vec<Image> {
    // Without fields of their own the words are in the name: `debian:trixie:amd64:default`.
    let mut of_name = name.split(':').map(str::to_owned);
    let mut word = |own: &str| {
        let other = of_name.next().unwrap_or_default();
        if own.is_empty() { other } else { own.to_owned() }
    };
    let (dist, release, arch) =
        (word(&product.os).to_ascii_lowercase(), word(&product.release), word(&product.arch));
    let variant = product.variant.clone().filter(|variant| !variant.is_empty());
    let variant = variant.unwrap_or_else(|| "default".into());
    if !is_debian(&arch) || [&dist, &release, &variant].iter().any(|word| !is_word(word)) {
        return Vec::new();
    }
    let names = product.aliases.split(',').flat_map(|alias| alias.split('/').nth(1).or(Some(alias)));
    let names = names.chain(product.version.as_deref()).chain(product.release_codename.as_deref());
    let also: Vec<String> = names.map(str::trim).filter(|name| is_word(name)).map(str::to_owned).collect();
    let image = |(build, version): (&String, &Version)| {
        // The name of a version begins with its day.
        let day = build.get(..8).is_some_and(|day| day.bytes().all(|b| b.is_ascii_digit()));
        let files = files(choice, &version.items).filter(|_| day && is_word(build))?;
        Some(Image {
            dist: dist.clone(),
            release: release.clone(),
            also: also.clone(),
            arch: arch.clone(),
            variant: variant.clone(),
            build: build.clone(),
            expires: product.support_eol.as_deref().and_then(moment::end_of_day),
            size: files.parts.iter().map(|part| part.blob.size).sum(),
            files: Files::Listed(files),
        })
    };
    product.versions.iter().filter_map(image).collect()
}

/// What is to be downloaded of a version: metadata and a root, or both in one.
fn files(choice: &Choice<'_>, items: &BTreeMap<String, Item>) -> Option<Archives> {
    let of = |kinds: &[&str]| {
        let find = |kind: &&str| items.values().find(|item| item.ftype == *kind);
        kinds.iter().find_map(find)
    };
    let part = |item: &Item, format, role, prefix: &str| {
        let path = item.path.trim_start_matches('/');
        // One that is no digest is not the same as none.
        let digest = item.sha256.as_deref().map(|hex| digest(hex).ok_or(())).transpose().ok()?;
        let urls = vec![format!("{}/{path}", choice.server)];
        let origin = Origin::Remote(Remote { urls, headers: Vec::new() });
        let blob = Blob { origin, digest, signature: None, size: item.size };
        (is_place(path) && !path.is_empty()).then(|| Archive { blob, format, role, prefix: prefix.into() })
    };
    let members = image_metadata::members();
    let metadata = of(&["incus.tar.xz", "lxd.tar.xz"]);
    // A tree of tar has all attributes of files, and is unpacked with all processors.
    let roots = [
        ("root.tar.xz", ArchiveFormat::Tar, metadata.and_then(|m| m.combined_rootxz_sha256.as_deref())),
        ("squashfs", ArchiveFormat::Squashfs, metadata.and_then(|m| m.combined_squashfs_sha256.as_deref())),
    ];
    for (kind, format, combined) in roots {
        let (Some(metadata), Some(root)) = (metadata, of(&[kind])) else { continue };
        let combined = combined.or(metadata.combined_sha256.as_deref());
        let parts = vec![
            part(metadata, ArchiveFormat::Tar, ArchiveRole::Metadata, "")?,
            part(root, format, ArchiveRole::Root, "")?,
        ];
        let combined_digest = combined.map(|hex| digest(hex).ok_or(())).transpose().ok()?;
        return Some(Archives { parts, combined_digest, members });
    }
    let unified = of(&["incus_combined.tar.gz", "lxd_combined.tar.gz"])?;
    let parts = vec![part(unified, ArchiveFormat::Tar, ArchiveRole::Combined, ROOTFS)?];
    Some(Archives { parts, combined_digest: None, members })
}

fn digest(hex: &str) -> Option<Digest> {
    let hex = hex.to_ascii_lowercase();
    let good = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    good.then_some(Digest { algorithm: DigestAlgorithm::Sha256, hex })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_metadata::host_types::Pair;
    use image_metadata::template_types::Request;

    fn read(text: &str) -> Vec<Image> {
        let answers = vec![Pair { name: "server".into(), value: "https://s/lxc".into() }];
        let request =
            Request { container: "c".into(), architecture: "x86_64".into(), privileged: false, answers };
        let products: Products = serde_json::from_str(text).unwrap();
        let choice = Choice::of(&request);
        products.products.iter().flat_map(|(name, product)| images(&choice, name, product)).collect()
    }

    fn product(items: &str) -> String {
        format!(
            r#"{{"format":"products:1.0","products":{{"debian:trixie:amd64:cloud":{{"aliases":"debian/trixie/cloud,debian/13/cloud",
            "arch":"amd64","os":"Debian","release":"trixie","release_title":"Trixie","variant":"cloud","support_eol":"2030-06-30",
            "versions":{{"20260722_05:24":{{"items":{{{items}}}}},"nightly":{{"items":{{{items}}}}}}}}}}}}}"#
        )
    }

    fn item(ftype: &str, path: &str, more: &str) -> String {
        let hex = "ab".repeat(32);
        format!(r#""{ftype}":{{"ftype":"{ftype}","path":"{path}","size":5,"sha256":"{hex}"{more}}}"#)
    }

    #[test]
    fn split_and_unified_images_are_read_and_a_disk_is_not() {
        let combined = format!(
            r#","combined_rootxz_sha256":"{}","combined_squashfs_sha256":"{}""#,
            "cd".repeat(32),
            "ef".repeat(32)
        );
        let meta = item("incus.tar.xz", "images/a/incus.tar.xz", &combined);
        let squashfs = item("squashfs", "images/a/rootfs.squashfs", "");
        let tar = item("root.tar.xz", "images/a/rootfs.tar.xz", "");
        let found = read(&product(&[meta.clone(), squashfs.clone(), tar].join(",")));
        assert_eq!(found.len(), 1, "the one whose name is no day is left out");
        let image = &found[0];
        assert_eq!((image.dist.as_str(), image.variant.as_str(), image.size), ("debian", "cloud", Some(10)));
        assert!(image.also.contains(&"13".to_owned()), "{:?}", image.also);
        assert_eq!(image.expires, Some(1_909_094_400));
        let Files::Listed(files) = &image.files else { panic!("no files") };
        assert_eq!(files.parts[1].format, ArchiveFormat::Tar);
        assert_eq!(files.combined_digest.as_ref().unwrap().hex, "cd".repeat(32));
        let found = read(&product(&[meta.clone(), squashfs].join(",")));
        let Files::Listed(files) = &found[0].files else { panic!("no files") };
        assert_eq!(files.parts[1].format, ArchiveFormat::Squashfs);
        assert_eq!(files.combined_digest.as_ref().unwrap().hex, "ef".repeat(32));
        let found = read(&product(&item("incus_combined.tar.gz", "x.tar.gz", "")));
        let Files::Listed(files) = &found[0].files else { panic!("no files") };
        assert_eq!((files.parts[0].role, files.parts[0].prefix.as_str()), (ArchiveRole::Combined, "rootfs"));
        let disk = item("disk-kvm.img", "images/a/disk.qcow2", "");
        assert!(read(&product(&[meta, disk].join(","))).is_empty());
    }

    #[test]
    fn attacks_in_a_list_are_no_images() {
        for path in ["../../etc/x", "a/../../x", "https://evil/x", "x@evil", "a b", "x?y", ""] {
            assert!(read(&product(&item("incus_combined.tar.gz", path, ""))).is_empty(), "{path}");
        }
        let good = product(&item("incus_combined.tar.gz", "x.tar.gz", ""));
        for (from, to) in [
            (r#""os":"Debian""#, r#""os":"../../x""#),
            (r#""release":"trixie""#, r#""release":"a b""#),
            (r#""variant":"cloud""#, r#""variant":"\u001b[2J""#),
            (r#""arch":"amd64""#, r#""arch":"z80""#),
            ("20260722_05:24", "20260722_05:24/../x"),
            (&"ab".repeat(32), "abab"),
        ] {
            assert!(good.contains(from) && read(&good.replace(from, to)).is_empty(), "{to}");
        }
    }
}
