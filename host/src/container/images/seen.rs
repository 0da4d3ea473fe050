#![forbid(unsafe_code)]
//! Archives whose digest is known, so that they need not be read again.
//!
//! Beside an image stands which files were found to be its archive (`seen.json`). A file that is still the same is not read a
//! second time: 65 MB take as many milliseconds. That a file is the same is only believed where the kernel cannot
//! let it change unnoticed:
//!
//! - Device, inode, time of birth, length, both times to the nanosecond. The change time (ctime) is the kernel's own: no call
//!   sets it, and every change of content or of the other time renews it.
//! - Two changes within one tick of the kernel's clock have one change time. So a file is only remembered when its last change
//!   was a good while before it was read, and it looked the same afterwards.
//! - A page that somebody has mapped and already written to takes more writes without a new time, until it goes to the disk. So
//!   it is sent there first; from then on the next write is noticed.
//! - All of that holds for ext4, xfs and btrfs. tmpfs does not notice writes through a mapping, and network and user-space file
//!   systems tell whatever their server does: there every file is read each time.
//!
//! The note is in the images' directory, which only their owner can write. What is wrong in it is not believed.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FsWord, StatxFlags, fdatasync, fstatfs, statx};
use serde::{Deserialize, Serialize};

use super::{IMAGES, directory, store};
use crate::container::Host;

/// The note, beside an image.
pub(super) const FILE: &str = "seen.json";
/// Files that are remembered of one image; the latest.
const MOST: usize = 8;
/// Between the last change of a file and its being read. The kernel's clock ticks a hundred times a second or more.
const SETTLED: Duration = Duration::from_secs(2);
/// File systems whose change times can be relied on: ext4, btrfs, xfs.
const TRUSTED: [FsWord; 3] = [0xef53, 0x9123_683e, 0x5846_5342];

/// A file as it was at one moment. Two that are equal have the same content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sight {
    device: (u32, u32),
    inode: u64,
    length: u64,
    born: (i64, u32),
    modified: (i64, u32),
    changed: (i64, u32),
}

impl Sight {
    /// Looks at an open file; `None` where that says nothing.
    pub(super) fn of(file: &File) -> Option<Self> {
        let kind = fstatfs(file).ok()?.f_type & 0xffff_ffff;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let found = statx(file, "", AtFlags::EMPTY_PATH, wanted).ok()?;
        let told = StatxFlags::from_bits_retain(found.stx_mask).contains(wanted);
        (told && TRUSTED.contains(&kind)).then_some(Self {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            length: found.stx_size,
            born: (found.stx_btime.tv_sec, found.stx_btime.tv_nsec),
            modified: (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
            changed: (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
        })
    }

    /// The same of a file that is about to be read and then remembered: what it shows now holds until it changes.
    pub(super) fn before_reading(file: &File) -> Option<Self> {
        fdatasync(file).ok()?;
        let sight = Self::of(file)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let changed = Duration::new(sight.changed.0.try_into().ok()?, sight.changed.1);
        // Also none from the future: the clock is not what it was.
        (now.checked_sub(changed)? > SETTLED).then_some(sight)
    }
}

/// A file that was found to be the archive of an image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// The image's key: a note that was moved beside another image says nothing about that one.
    key: String,
    /// What else the key was made of.
    words: Vec<String>,
    sight: Sight,
}

/// The key of the image that this file was found to be the archive of.
pub(super) fn find(host: &Host, sight: &Sight, words: &[&str]) -> Option<String> {
    let shelf = fs::read_dir(host.layout.path.join(IMAGES)).ok()?;
    let keys = shelf.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    keys.into_iter().find(|key| {
        let known = load(&directory(host, key).join(FILE));
        known.iter().any(|seen| seen.key == *key && seen.words == words && seen.sight == *sight)
    })
}

/// Remembers a file. Nothing depends on its being remembered.
pub(super) fn remember(host: &Host, key: &str, sight: Sight, words: &[&str]) {
    let path = directory(host, key).join(FILE);
    let mut known = load(&path);
    // What the file was before, it will not be again.
    known.retain(|seen| {
        (seen.sight.device, seen.sight.inode) != (sight.device, sight.inode) || seen.words != words
    });
    known.push(Seen { key: key.to_owned(), words: words.iter().map(ToString::to_string).collect(), sight });
    let from = known.len().saturating_sub(MOST);
    let stored = serde_json::to_vec(known.get(from..).unwrap_or_default()).map_err(std::io::Error::from);
    // After a loss of power it is there, empty, or not there.
    let stored = stored.map_err(crate::container::Error::io("write", &path));
    if let Err(error) = stored.and_then(|text| store::replace_fleeting(&path, &text)) {
        tracing::debug!(%error, "an archive is not remembered");
    }
}

fn load(path: &Path) -> Vec<Seen> {
    fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// In the build's directory: the one for temporary files may be in memory.
    fn file() -> tempfile::NamedTempFile {
        tempfile::NamedTempFile::new_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
    }

    #[test]
    fn every_change_shows() {
        let mut file = file();
        file.write_all(b"one").unwrap();
        let Some(first) = Sight::of(file.as_file()) else { return };
        assert_eq!(Sight::of(file.as_file()), Some(first.clone()));
        // Further than a tick of the kernel's clock.
        std::thread::sleep(Duration::from_millis(30));
        let times = fs::FileTimes::new().set_modified(file.as_file().metadata().unwrap().modified().unwrap());
        fs::write(file.path(), "two").unwrap();
        file.as_file().set_times(times).unwrap();
        let second = Sight::of(file.as_file()).unwrap();
        assert_eq!((first.length, first.modified), (second.length, second.modified));
        assert_ne!(first, second);
    }

    #[test]
    fn what_has_just_changed_is_not_remembered() {
        let mut file = file();
        file.write_all(b"one").unwrap();
        assert_eq!(Sight::before_reading(file.as_file()), None);
    }

    #[test]
    fn what_another_file_system_says_is_not_believed() {
        assert_eq!(Sight::of(&File::open("/proc/version").unwrap()), None);
    }
}
