#![forbid(unsafe_code)]
//! Which devices of the host a name means.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::plugin::manifest::device_matches;

/// The most that one pattern stands for.
const MOST: usize = 256;

/// A name means itself, whether it is there or not; a pattern the devices that are there, by name.
pub(super) fn named(name: &str) -> Vec<String> {
    if name.contains('*') { fitting(Path::new("/dev"), name) } else { vec![name.to_owned()] }
}

fn fitting(top: &Path, pattern: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in pattern.split('/') {
        let next = found.iter().flat_map(|above| below(top, above, part));
        found = next.collect();
    }
    let is_device = |name: &String| {
        // A link would give a device under another name than the one that was granted.
        let kind = fs::symlink_metadata(top.join(name)).map(|meta| meta.file_type());
        kind.is_ok_and(|kind| kind.is_char_device() || kind.is_block_device())
    };
    found.retain(is_device);
    found.sort();
    found.truncate(MOST);
    found
}

fn below(top: &Path, above: &str, part: &str) -> Vec<String> {
    let path = |name: &str| if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
    if !part.contains('*') {
        return vec![path(part)];
    }
    let entries = fs::read_dir(top.join(above)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| device_matches(part, name)).map(|name| path(&name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_is_there_and_a_name_itself() {
        assert_eq!(named("no-such-device"), ["no-such-device"]);
        assert_eq!(named("no-such-dev*"), [""; 0]);
        assert_eq!(named("no-such/dev*"), [""; 0]);
        // What every machine has; files, links and directories are no devices.
        assert_eq!(named("zer*"), ["zero"]);
        assert!(named("std*").is_empty() && named("shm*").is_empty());
        assert!(named("pts*/ptmx*").iter().all(|name| name == "pts/ptmx"));
    }
}
