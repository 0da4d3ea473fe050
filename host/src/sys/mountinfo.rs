#![forbid(unsafe_code)]
//! `/proc/self/mountinfo` as data (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Its number in this list.
    pub id: u64,
    /// The file system, as stat(2) tells it: major and minor.
    pub device: (u32, u32),
    /// What of the file system is shown.
    pub root: PathBuf,
    pub point: PathBuf,
    pub fstype: String,
    /// Options of the file system, by comma.
    pub options: String,
}

/// The mounts this process sees; none when /proc is not there.
#[must_use]
pub fn read() -> Vec<Mounted> {
    parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
}

/// The lines of such a file.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mounted> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mounted> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    // Any number of optional fields ends with a single dash.
    let dash = words.iter().skip(6).position(|word| *word == b"-")? + 6;
    let [fstype, _source, options] = words.get(dash + 1..dash + 4)? else { return None };
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let device = text(words[2]);
    let (major, minor) = device.split_once(':')?;
    Some(Mounted {
        id: text(words[0]).parse().ok()?,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root: unescape(words[3]),
        point: unescape(words[4]),
        fstype: text(fstype),
        options: text(options),
    })
}

/// Blanks, tabs, line ends and backslashes stand there as `\` and three octal digits.
fn unescape(word: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        plain.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// The mount that `path` (canonical) lies on: of the longest mount points the latest, because it
/// covers the ones before.
#[must_use]
pub fn holding<'a>(mounts: &'a [Mounted], path: &Path) -> Option<&'a Mounted> {
    let around = mounts.iter().enumerate().filter(|(_, mount)| path.starts_with(&mount.point));
    around.max_by_key(|(index, mount)| (mount.point.components().count(), *index)).map(|(_, mount)| mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:5 / /dev rw - devtmpfs devtmpfs rw,size=1024k
41 22 0:40 /sub /with\\040blank rw shared:7 master:2 - btrfs /dev/vdb rw,subvol=/sub
42 22 0:41 / /with\\040blank rw - tmpfs none rw
broken line
";

    #[test]
    fn reads_lines_with_any_number_of_optional_fields() {
        let all = parse(TEXT);
        assert_eq!(all.len(), 4);
        assert_eq!(all[2].point, PathBuf::from("/with blank"));
        assert_eq!((all[2].fstype.as_str(), all[2].root.to_str()), ("btrfs", Some("/sub")));
    }

    #[test]
    fn the_latest_of_the_longest_mount_points_holds_a_path() {
        let all = parse(TEXT);
        let fstype = |path: &str| holding(&all, Path::new(path)).map(|mount| mount.fstype.as_str());
        assert_eq!(fstype("/with blank/x"), Some("tmpfs"));
        assert_eq!(fstype("/devil"), Some("ext4"));
        assert_eq!(fstype("/dev/null"), Some("devtmpfs"));
    }
}
