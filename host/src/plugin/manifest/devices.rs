#![forbid(unsafe_code)]
//! Names of devices that a hook may give to containers, some of which are not known before there is hardware.

use super::{Manifest, ManifestError};

impl Manifest {
    /// The names for `add-device`.
    pub(super) fn check_device_names(&self) -> Result<(), ManifestError> {
        for name in self.changes.iter().flat_map(|changes| &changes.devices) {
            if let Some(why) = complaint(name) {
                let field = "changes.devices".to_owned();
                return Err(ManifestError::Value { field, why: format!("{name:?} {why}") });
            }
        }
        Ok(())
    }
}

/// What is wrong with a name; a star in it must not stand for every disk of the machine.
fn complaint(name: &str) -> Option<&'static str> {
    let part = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:+*".contains(&b);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
    };
    if !name.split('/').all(part) {
        return Some("is no name below /dev");
    }
    let before = name.split('*').next().unwrap_or_default();
    (before.bytes().filter(u8::is_ascii_alphabetic).count() < 3)
        .then_some("has fewer than three letters, which would be too many devices")
        .filter(|_| name.contains('*'))
}

/// Whether a name of a device is this one, or fits a pattern in which each star stands for any letters but a slash. A
/// pattern fits itself.
#[must_use]
pub fn device_matches(pattern: &str, name: &str) -> bool {
    let Some((before, behind)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    let inside = rest.split('/').next().unwrap_or_default().len();
    (0..=inside).any(|skipped| rest.is_char_boundary(skipped) && device_matches(behind, &rest[skipped..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_directory() {
        for (pattern, name) in [
            ("fuse", "fuse"),
            ("nvidia*", "nvidia0"),
            ("nvidia*", "nvidia"),
            ("nvidia*", "nvidia*"),
            ("dri/renderD*", "dri/renderD128"),
            ("nvidia-caps/nvidia-cap*", "nvidia-caps/nvidia-cap1"),
            ("a*b*c", "axbybc"),
        ] {
            assert!(device_matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("fuse", "fuse2"),
            ("nvidia*", "nvidia-caps/nvidia-cap1"),
            ("nvidia*", "nvidi"),
            ("dri/renderD*", "dri/card0"),
            ("nvidia*", "../nvidia0"),
            ("a*b", "a/b"),
        ] {
            assert!(!device_matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_says_what_it_is_about() {
        for good in ["fuse", "net/tun", "nvidia*", "dri/card*", "kfd", "kvm", "tty*"] {
            assert_eq!(complaint(good), None, "{good}");
        }
        for bad in ["", "*", "s*", "sd*", "/dev/fuse", "../sda", "dri/../sda", "a//b", "nvidia?", "*nvidia"] {
            assert!(complaint(bad).is_some(), "{bad}");
        }
    }
}
