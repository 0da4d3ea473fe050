//! An image of a server's, whichever way the server lists it.

use image_metadata::host_types::Pair;
use image_metadata::template_types::{Archives, Candidate};
use words::architecture::of_kernel;

/// Longest word of a list.
const LONGEST: usize = 64;

/// What a list says of it.
pub struct Image {
    pub dist: String,
    pub release: String,
    /// What the release is called, too: `24.04` for `noble`.
    pub also: Vec<String>,
    pub arch: String,
    pub variant: String,
    pub build: String,
    /// When its publisher stops caring for it, in seconds since 1970.
    pub expires: Option<u64>,
    /// Bytes to download, where the list knows.
    pub size: Option<u64>,
    pub files: Files,
}

/// Where its files are.
pub enum Files {
    /// A directory of the server, with a slash at both ends; digests are in it.
    Directory(String),
    /// The list says all of it.
    Listed(Archives),
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
            architecture: of_kernel(&self.arch).into(),
            flavour: self.variant.clone(),
            serial: self.build.clone(),
            size: self.size,
            answers: answers.map(pair).into(),
        }
    }

    /// What it is called without its build.
    pub fn product(&self) -> String {
        [self.dist.as_str(), &self.release, &self.arch, &self.variant].join("/")
    }
}

/// What a server has.
pub struct List {
    pub images: Vec<Image>,
    /// Fingerprint of the key that vouches for it.
    pub signer: Option<String>,
}

/// Whether this is a word that can be shown, typed and be part of a name.
pub fn is_word(word: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._:+-".contains(&b);
    !word.is_empty() && word.len() <= LONGEST && word.bytes().all(good)
}

/// Whether this is a place on a server, without its first slash.
pub fn is_place(path: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._:+-/%~".contains(&b);
    let climbs = path.split('/').any(|part| matches!(part, ".." | "."));
    path.len() <= 512 && !climbs && !path.contains("//") && path.bytes().all(good)
}

/// The beginning of a text, for a message.
pub fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
