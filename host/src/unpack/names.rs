//! Names inside an archive: what is accepted.
//!
//! A leading `/` is dropped, as every tar does, and `.` means nothing. `..` is refused even where it would
//! stay inside: no honest archive needs it, and what it means would depend on links made before.

use super::error::UnpackError;

/// The kernel's limits (limits.h): bytes of a path, of a component.
const PATH_MAX: usize = 4095;
const NAME_MAX: usize = 255;

/// A name as it is used below the target: components joined by `/`, empty for the root itself.
pub(crate) fn clean(raw: &[u8], depth: usize) -> Result<Vec<u8>, UnpackError> {
    let mut path = Vec::with_capacity(raw.len());
    let mut parts = 0;
    for part in raw.split(|b| *b == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(UnpackError::refused(raw, "its name leads out of the tree with ..")),
            _ if part.contains(&0) => return Err(UnpackError::refused(raw, "its name holds a zero byte")),
            _ if part.len() > NAME_MAX => {
                return Err(UnpackError::refused(
                    raw,
                    format!("a part of its name is longer than {NAME_MAX} bytes"),
                ));
            }
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
        parts += 1;
    }
    if path.len() > PATH_MAX {
        return Err(UnpackError::refused(raw, format!("its name is longer than {PATH_MAX} bytes")));
    }
    if parts > depth {
        return Err(UnpackError::limit(raw, depth as u64, "directories in one path"));
    }
    Ok(path)
}

/// A clean path below a clean prefix; `None` for what is beside it.
pub(crate) fn below<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    if prefix.is_empty() {
        return Some(path);
    }
    match path.strip_prefix(prefix)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// The parent and the last component; the parent of a top-level name is empty.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(i) => (&path[..i], &path[i + 1..]),
        None => (&[], path),
    }
}

/// A symbolic link's content, which is the guest's business as long as the kernel takes it.
pub(crate) fn link_target(entry: &[u8], target: &[u8]) -> Result<(), UnpackError> {
    let why = match target {
        [] => "it is a symbolic link to nothing",
        t if t.contains(&0) => "its link target holds a zero byte",
        t if t.len() > PATH_MAX => "its link target is longer than a path can be",
        _ => return Ok(()),
    };
    Err(UnpackError::refused(entry, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_relative_and_plain() {
        for (raw, path) in [
            ("./a/b", "a/b"),
            ("/etc//passwd", "etc/passwd"),
            ("a/./b/", "a/b"),
            ("./", ""),
            ("/", ""),
            ("...", "..."),
        ] {
            assert_eq!(clean(raw.as_bytes(), 9).unwrap(), path.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn ways_out_and_impossible_names_are_refused() {
        for raw in ["..", "../x", "a/../b", "a/..", "/../etc", "a\0b"] {
            assert!(clean(raw.as_bytes(), 9).is_err(), "{raw:?}");
        }
        assert!(clean(&[b'x'; 256], 9).is_err());
        assert!(clean(&b"xx/".repeat(2000), 9999).is_err());
        assert!(clean(b"a/b/c", 2).is_err());
    }

    #[test]
    fn a_prefix_is_whole_components() {
        assert_eq!(below(b"rootfs/etc", b"rootfs"), Some(&b"etc"[..]));
        assert_eq!(below(b"rootfs", b"rootfs"), Some(&b""[..]));
        assert_eq!(below(b"rootfs2/x", b"rootfs"), None);
        assert_eq!(below(b"metadata.yaml", b"rootfs"), None);
        assert_eq!(below(b"a", b""), Some(&b"a"[..]));
    }

    #[test]
    fn parent_and_name() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
    }
}
