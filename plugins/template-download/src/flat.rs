//! The lists of LXC's servers: a line for each image, a directory for each build.

use crate::choice::Choice;
use crate::image::{Files, Image, List, is_place, is_word, shortened};
use crate::{error, web};
use image_metadata::host_types::{Digest, DigestAlgorithm, Error, ErrorKind};
use image_metadata::template_types::{
    Archive, ArchiveFormat, ArchiveRole, Archives, Blob, Origin, Remote, Signature,
};

/// The newest dialect of the lists that is understood.
const LEVEL: u32 = 7;
/// Seconds for which a list is fresh.
pub const FRESH: u32 = 3600;
/// Bytes of a list; the largest known has some 40 KiB.
const LONGEST_LIST: u32 = 16 << 20;
/// Bytes of the digests of one build.
const LONGEST_SUMS: u32 = 64 << 10;

const ROOT: &str = "rootfs.tar.xz";
const METADATA: &str = "meta.tar.xz";

/// All images that a server has for containers of this kind; `None` where it has no such list.
pub fn list(choice: &Choice<'_>, privileged: bool) -> Result<Option<List>, Error> {
    let kind = if privileged { "system" } else { "user" };
    let plain = format!("{}/meta/1.0/index-{kind}", choice.server);
    let age = if choice.fresh { 0 } else { FRESH };
    let newest = format!("{plain}.{LEVEL}");
    let found = match web::document(&newest, LONGEST_LIST, age)? {
        Some(list) => Some(list),
        None => web::document(&plain, LONGEST_LIST, age)?,
    };
    let Some(found) = found else { return Ok(None) };
    let lines = found.text.lines().filter(|line| !line.trim().is_empty());
    let images = lines.map(line).collect::<Result<_, _>>().map_err(|why| {
        error(ErrorKind::Integrity, format!("the list of images of {} is not one: {why}", choice.server))
    })?;
    Ok(Some(List { images, signer: found.signer }))
}

/// `dist;release;arch;variant;build;/path/`.
pub fn line(line: &str) -> Result<Image, String> {
    let fields: Vec<&str> = line.trim().split(';').collect();
    let [dist, release, arch, variant, build, path] = fields[..] else {
        return Err(format!("{:?} has not six fields", shortened(line)));
    };
    if let Some(bad) = [dist, release, arch, variant, build].into_iter().find(|word| !is_word(word)) {
        return Err(format!("{:?} is no word of a list", shortened(bad)));
    }
    if !path.starts_with('/') || !is_place(path) {
        return Err(format!("{:?} is no place on a server", shortened(path)));
    }
    let path = format!("{}/", path.trim_end_matches('/'));
    let [dist, release, arch, variant, build] = [dist, release, arch, variant, build].map(str::to_owned);
    let files = Files::Directory(path);
    let (also, expires, size) = (Vec::new(), None, None);
    Ok(Image { dist, release, also, arch, variant, build, expires, size, files })
}

/// The archives of a build, and whether somebody vouches for their bytes: who signed their digests, or each of them.
pub fn archives(choice: &Choice<'_>, directory: &str) -> Result<(Archives, bool), Error> {
    let place = format!("{}{directory}", choice.server);
    let sums = format!("{place}SHA256SUMS");
    let age = if choice.fresh { 0 } else { FRESH };
    // Servers are not obliged to have digests: then the host finds them out.
    let found = web::needed(&sums, LONGEST_SUMS, age)?;
    let signed = found.as_ref().is_some_and(|found| found.signer.is_some());
    let part = |file: &str, role| {
        let digest = match &found {
            Some(found) => {
                let missing = || error(ErrorKind::Integrity, format!("{sums} does not name {file}"));
                let hex = digest(&found.text, file).ok_or_else(missing)?;
                Some(Digest { algorithm: DigestAlgorithm::Sha256, hex })
            }
            None => None,
        };
        let url = format!("{place}{file}");
        let signature = if signed { None } else { web::signature(&url, age)? };
        let signature = signature.map(|content| Signature { keyring: web::KEYS.into(), content });
        let origin = Origin::Remote(Remote { urls: vec![url], headers: Vec::new() });
        let blob = Blob { origin, digest, signature, size: None };
        Ok(Archive { blob, format: ArchiveFormat::Tar, role, prefix: String::new() })
    };
    let parts = vec![part(METADATA, ArchiveRole::Metadata)?, part(ROOT, ArchiveRole::Root)?];
    let vouched = signed || parts.iter().all(|part| part.blob.signature.is_some());
    Ok((Archives { parts, combined_digest: None, members: image_metadata::members() }, vouched))
}

/// The digest of a file, as sha256sum(1) writes it: digits, a blank, a blank or `*`, the name.
pub fn digest(sums: &str, file: &str) -> Option<String> {
    sums.lines().find_map(|line| {
        let (hex, name) = line.split_once(' ')?;
        let name = name.trim_start_matches([' ', '*']).trim_start_matches("./").trim_end();
        (name == file && hex.len() == 64).then(|| hex.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_six_words_and_no_attack() {
        let image = line("debian;trixie;amd64;default;20260722_05:24;/images/debian/trixie/x/\n").unwrap();
        assert!(matches!(image.files, Files::Directory(path) if path == "/images/debian/trixie/x/"));
        assert_eq!((image.dist.as_str(), image.build.as_str()), ("debian", "20260722_05:24"));
        for bad in [
            "debian;trixie;amd64;default;1",
            "debian;trixie;amd64;default;1;/x/;more",
            "debian;;amd64;default;1;/x/",
            "debian;../..;a b;default;1;/x/",
            "debian;trixie;amd64;default;1;x/",
            "debian;trixie;amd64;default;1;/x/../../y",
            "debian;trixie;amd64;default;1;/x?y",
            "debian;trixie;amd64;default;1;/x@evil/",
            "debian;trixie;amd64;default;\u{1b}[2J;/x/",
        ] {
            assert!(line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_are_found_by_the_whole_name() {
        let hex = "0123456789abcdef".repeat(4);
        let other = "f".repeat(64);
        let sums = format!(
            "{other}  old-rootfs.tar.xz\n{}  rootfs.tar.xz\n{other} *./meta.tar.xz\n",
            hex.to_uppercase()
        );
        assert_eq!(digest(&sums, "rootfs.tar.xz"), Some(hex));
        assert_eq!(digest(&sums, "meta.tar.xz"), Some(other));
        assert_eq!(digest(&sums, "rootfs.squashfs"), None);
        assert_eq!(digest("123  rootfs.tar.xz", "rootfs.tar.xz"), None);
    }
}
