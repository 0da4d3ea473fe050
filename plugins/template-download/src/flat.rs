//! The lists of LXC's servers: a line for each image, a directory for each build.

use crate::bindings::wxc::host::types::{Digest, DigestAlgorithm, Error, ErrorKind, Pair};
use crate::bindings::wxc::template::types::{
    Archive, ArchiveFormat, ArchiveRole, Archives, Assembly, Blob, Candidate, Manifest, Origin, Remote,
};
use crate::choice::{Choice, kernels_word};
use crate::{error, settings, web};

/// The newest dialect of the lists and the metadata that is understood.
pub const LEVEL: u32 = 7;
/// Seconds for which a list is fresh.
const FRESH: u32 = 3600;
/// Bytes of a list; the largest known has some 40 KiB.
const LONGEST_LIST: u32 = 16 << 20;
/// Bytes of the digests of one build.
const LONGEST_SUMS: u32 = 64 << 10;

const ROOT: &str = "rootfs.tar.xz";
const METADATA: &str = "meta.tar.xz";

/// A line of a list.
pub struct Image {
    pub dist: String,
    pub release: String,
    pub arch: String,
    pub variant: String,
    pub build: String,
    /// Where its files are, with a slash at both ends.
    pub path: String,
}

impl Image {
    pub fn candidate(&self) -> Candidate {
        let answers = [
            ("dist", &self.dist),
            ("release", &self.release),
            ("arch", &self.arch),
            ("variant", &self.variant),
            ("build", &self.build),
        ];
        let pair = |(name, value): (&str, &String)| Pair { name: name.into(), value: value.clone() };
        Candidate {
            product: self.dist.clone(),
            release: self.release.clone(),
            architecture: kernels_word(&self.arch).into(),
            flavour: self.variant.clone(),
            serial: self.build.clone(),
            size: None,
            answers: answers.map(pair).into(),
        }
    }
}

/// What a server has.
pub struct List {
    pub images: Vec<Image>,
    /// Fingerprint of the key that vouches for it.
    signer: Option<String>,
}

/// All images that a server has for containers of this kind.
pub fn list(choice: &Choice<'_>, privileged: bool) -> Result<List, Error> {
    let kind = if privileged { "system" } else { "user" };
    let plain = format!("{}/meta/1.0/index-{kind}", choice.server);
    let age = if choice.fresh { 0 } else { FRESH };
    let newest = format!("{plain}.{LEVEL}");
    let found = match web::document(&newest, LONGEST_LIST, age)? {
        Some(list) => Some(list),
        None => web::document(&plain, LONGEST_LIST, age)?,
    };
    let Some(found) = found else {
        let message = format!("{} has no list of images ({plain})", choice.server);
        return Err(error(ErrorKind::NotFound, message));
    };
    let lines = found.text.lines().filter(|line| !line.trim().is_empty());
    let images = lines.map(line).collect::<Result<_, _>>().map_err(|why| {
        error(ErrorKind::Integrity, format!("the list of images of {} is not one: {why}", choice.server))
    })?;
    Ok(List { images, signer: found.signer })
}

/// `dist;release;arch;variant;build;/path/`.
pub fn line(line: &str) -> Result<Image, String> {
    let fields: Vec<&str> = line.trim().split(';').collect();
    let [dist, release, arch, variant, build, path] = fields[..] else {
        return Err(format!("{:?} has not six fields", shortened(line)));
    };
    for word in [dist, release, arch, variant, build] {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._:+-".contains(&b);
        if word.is_empty() || word.len() > 64 || !word.bytes().all(good) {
            return Err(format!("{:?} is no word of a list", shortened(word)));
        }
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._:+-/%~".contains(&b);
    let climbs = path.split('/').any(|part| part == "..");
    if !path.starts_with('/') || path.len() > 512 || climbs || !path.bytes().all(good) {
        return Err(format!("{:?} is no place on a server", shortened(path)));
    }
    let path = format!("{}/", path.trim_end_matches('/'));
    let [dist, release, arch, variant, build] = [dist, release, arch, variant, build].map(str::to_owned);
    Ok(Image { dist, release, arch, variant, build, path })
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// How to assemble an image.
pub fn manifest(choice: &Choice<'_>, list: &List, image: &Image) -> Result<Manifest, Error> {
    let place = format!("{}{}", choice.server, image.path);
    let sums = format!("{place}SHA256SUMS");
    let Some(found) = web::document(&sums, LONGEST_SUMS, FRESH)? else {
        let message = format!(
            "nothing says what this image has to be: there is no {sums}, and without digests nothing is unpacked"
        );
        return Err(error(ErrorKind::Integrity, message));
    };
    let part = |file: &str, role| {
        let Some(hex) = digest(&found.text, file) else {
            return Err(error(ErrorKind::Integrity, format!("{sums} does not name {file}")));
        };
        let digest = Digest { algorithm: DigestAlgorithm::Sha256, hex };
        let origin = Origin::Remote(Remote { urls: vec![format!("{place}{file}")], headers: Vec::new() });
        let blob = Blob { origin, digest: Some(digest), size: None };
        Ok(Archive { blob, format: ArchiveFormat::Tar, role, prefix: String::new() })
    };
    let parts = vec![part(METADATA, ArchiveRole::Metadata)?, part(ROOT, ArchiveRole::Root)?];
    Ok(Manifest {
        product: format!("{}/{}/{}/{}", image.dist, image.release, image.arch, image.variant),
        serial: image.build.clone(),
        architecture: kernels_word(&image.arch).into(),
        expires: None,
        // Who signs the digests of a build says nothing of which build it is: the list does.
        signer: list.signer.as_ref().and(found.signer),
        assembly: Assembly::Archives(Archives { parts, combined_digest: None, members: settings::members() }),
    })
}

/// The digest of a file, as sha256sum(1) writes it: digits, a blank, a blank or `*`, the name.
fn digest(sums: &str, file: &str) -> Option<String> {
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
        assert_eq!((image.dist.as_str(), image.path.as_str()), ("debian", "/images/debian/trixie/x/"));
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
