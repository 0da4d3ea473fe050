//! Device nodes of a test's own in the machine's `/dev`, as stand-ins for hardware that it has not.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// Nodes that are gone with the test.
#[derive(Debug, Default)]
pub struct Nodes {
    made: Vec<PathBuf>,
}

impl Nodes {
    /// Makes a character device that everybody may use, below `/dev`, with a directory for it where there is none.
    ///
    /// # Panics
    /// When there is one already, or it cannot be made.
    pub fn add(&mut self, name: &str, major: u32, minor: u32) {
        let path = Path::new("/dev").join(name);
        if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
            fs::create_dir(parent).expect("a directory in /dev");
            self.made.push(parent.to_owned());
        }
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(major, minor))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.made.push(path.clone());
        // Whatever the umask is.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("a node for everybody");
    }

    /// Whether the machine has something of this name. A stand-in with the numbers of null(4), or a directory of such, was left by a run that
    /// was killed: it is removed, and does not count.
    #[must_use]
    pub fn exists(name: &str) -> bool {
        let path = Path::new("/dev").join(name);
        let Ok(there) = path.symlink_metadata() else { return false };
        let is_left = |path: &Path| {
            path.symlink_metadata().is_ok_and(|node| {
                node.file_type().is_char_device()
                    && node.rdev() == makedev(1, 3)
                    && path != Path::new("/dev/null")
            })
        };
        let nodes: Vec<PathBuf> = match fs::read_dir(&path) {
            Ok(entries) if there.is_dir() => entries.flatten().map(|entry| entry.path()).collect(),
            _ => vec![path.clone()],
        };
        if !nodes.iter().all(|node| is_left(node)) {
            return true;
        }
        for node in nodes {
            let _gone = fs::remove_file(node);
        }
        let _gone = fs::remove_dir(&path);
        path.exists()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            let _gone = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
}
