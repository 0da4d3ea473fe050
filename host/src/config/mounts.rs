#![forbid(unsafe_code)]
//! `[[mounts]]`: what is mounted besides the root and the kernel's own file systems.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::is_default;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mount {
    /// A path of the host (absolute, or relative to the container's directory) for a bind; for a
    /// file system what its manual calls the device.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: PathBuf,
    /// Where inside the container.
    pub target: PathBuf,
    /// `bind`, or the name of a file system such as `tmpfs`.
    #[serde(rename = "type", default = "bind", skip_serializing_if = "is_bind")]
    pub kind: String,
    /// Options of the file system (`size=64M`); a bind has none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: Vec<String>,
    /// What to make at the target when nothing is there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create: Create,
    /// A failure is a warning.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optional: bool,
    /// Mounts below the source come along.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub recursive: bool,
    /// Show the host's owners shifted into the container's ids, so that root inside owns what root
    /// owns outside.
    #[serde(default, skip_serializing_if = "is_default")]
    pub idmapped: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub nosuid: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub nodev: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub noexec: bool,
    /// Symbolic links on it lead nowhere.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nosymfollow: bool,
    /// When reading a file changes its time of access.
    #[serde(default, skip_serializing_if = "is_default")]
    pub access_time: AccessTime,
}

/// When reading changes the time of access, in the words of mount(8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessTime {
    /// As where it comes from; of a new file system `relatime`.
    #[default]
    Inherit,
    Noatime,
    /// Not of directories.
    Nodiratime,
    Relatime,
    Strictatime,
}

impl AccessTime {
    /// The words there are besides `inherit`.
    const WORDS: [(&str, Self); 4] = [
        ("noatime", Self::Noatime),
        ("nodiratime", Self::Nodiratime),
        ("relatime", Self::Relatime),
        ("strictatime", Self::Strictatime),
    ];

    /// What a word means.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, time)| *time)
    }

    /// The word for it, where something is said.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        Self::WORDS.iter().find(|(_, time)| *time == self).map(|(word, _)| *word)
    }
}

/// What is made at a missing target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Create {
    #[default]
    No,
    Dir,
    File,
}

pub(super) const BIND: &str = "bind";

fn bind() -> String {
    BIND.into()
}

fn is_bind(kind: &String) -> bool {
    kind == BIND
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

impl Mount {
    /// A bind of `source` on `target`, with nothing else said.
    #[must_use]
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            kind: bind(),
            options: Vec::new(),
            create: Create::No,
            optional: false,
            recursive: true,
            idmapped: false,
            read_only: false,
            nosuid: false,
            nodev: false,
            noexec: false,
            nosymfollow: false,
            access_time: AccessTime::Inherit,
        }
    }

    #[must_use]
    pub fn is_bind(&self) -> bool {
        is_bind(&self.kind)
    }
}

/// `path` without leading slash, `.` and doubled slashes; `None` if it has `..` or names the root.
#[must_use]
pub fn normalized(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(part) => clean.push(part),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (clean != PathBuf::new()).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_normalized() {
        for (given, clean) in [("/srv/data", "srv/data"), ("srv//data/", "srv/data"), ("/./srv/./x", "srv/x")]
        {
            assert_eq!(normalized(Path::new(given)), Some(PathBuf::from(clean)));
        }
    }

    #[test]
    fn targets_that_lead_out_or_over_the_root_are_not_targets() {
        for given in ["", "/", ".", "/..", "../etc", "srv/../../etc", "/srv/.."] {
            assert_eq!(normalized(Path::new(given)), None, "{given}");
        }
    }
}
