//! Which files a key ring is: those that `wxc.toml` names, those of the configuration's directory `keyrings`, and the archive
//! keys that distributions install.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::question::TrustError;

/// Names that every system knows, and where its packages put the keys.
#[rustfmt::skip]
const SYSTEM: &[(&str, &[&str])] = &[
    ("debian-archive", &["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"]),
    ("ubuntu-archive", &["/usr/share/keyrings/ubuntu-archive-keyring.pgp", "/usr/share/keyrings/ubuntu-archive-keyring.gpg"]),
];
/// How a ring's file may end in the directory of rings.
const ENDINGS: [&str; 5] = ["pgp", "gpg", "asc", "ssh", "pub"];
/// Longest file of keys; Debian's has some 60 KiB.
const LONGEST: u64 = 16 << 20;

/// The key rings of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rings {
    /// Files by name.
    pub named: BTreeMap<String, PathBuf>,
    /// A directory of files, each a ring by its name.
    pub directory: PathBuf,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// For messages.
    pub name: String,
    pub files: Vec<PathBuf>,
}

impl Rings {
    /// The ring of a name; an absolute path is a ring of its own.
    ///
    /// # Errors
    /// There is none, with where one could be.
    pub fn find(&self, name: &str) -> Result<Ring, TrustError> {
        let ring = |path: PathBuf| Ok(Ring { name: name.to_owned(), files: vec![path] });
        if name.starts_with('/') {
            return ring(name.into());
        }
        if let Some(path) = self.named.get(name) {
            return ring(path.clone());
        }
        let here = ENDINGS.map(|ending| self.directory.join(format!("{name}.{ending}")));
        let plain = !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
        if plain && let Some(path) = here.iter().find(|path| path.exists()) {
            return ring(path.clone());
        }
        let known = SYSTEM.iter().find(|(known, _)| *known == name);
        let system = known.and_then(|(_, paths)| paths.iter().map(Path::new).find(|path| path.exists()));
        if let Some(path) = system {
            return ring(path.into());
        }
        let why = match known {
            Some((_, paths)) => format!(
                "{} is not there: install the distribution's package with its archive keys, or name a file under [keyrings] in wxc.toml",
                paths.join(" or ")
            ),
            None => format!(
                "name a file under [keyrings] in wxc.toml, or put one into {}",
                self.directory.display()
            ),
        };
        Err(TrustError::NoRing { name: name.to_owned(), why })
    }
}

impl Ring {
    /// The bytes of its files.
    ///
    /// # Errors
    /// One cannot be read.
    pub(super) fn read(&self) -> Result<Vec<Vec<u8>>, TrustError> {
        let failed = |path: &Path, why: String| TrustError::Ring {
            name: self.name.clone(),
            why: format!("{}: {why}", path.display()),
        };
        let read = |path: &PathBuf| {
            let mut bytes = Vec::new();
            let file = fs::File::open(path).map_err(|error| failed(path, error.to_string()))?;
            file.take(LONGEST + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| failed(path, error.to_string()))?;
            if bytes.len() as u64 > LONGEST {
                return Err(failed(path, format!("it is longer than {LONGEST} bytes")));
            }
            Ok(bytes)
        };
        self.files.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_found_by_name_or_path_and_never_elsewhere() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("ours.asc"), "x").unwrap();
        let named = [("theirs".to_owned(), PathBuf::from("/k/theirs.gpg"))].into();
        let rings = Rings { named, directory: top.path().join("rings") };
        fs::create_dir(&rings.directory).unwrap();
        assert_eq!(rings.find("theirs").unwrap().files, [PathBuf::from("/k/theirs.gpg")]);
        assert_eq!(rings.find("/x/y.gpg").unwrap().files, [PathBuf::from("/x/y.gpg")]);
        assert!(matches!(rings.find("../ours"), Err(TrustError::NoRing { .. })));
        fs::write(rings.directory.join("own.pub"), "x").unwrap();
        assert_eq!(rings.find("own").unwrap().files, [rings.directory.join("own.pub")]);
        assert!(rings.find("nobody").unwrap_err().to_string().contains("[keyrings]"));
    }
}
