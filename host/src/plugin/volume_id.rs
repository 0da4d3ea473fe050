#![forbid(unsafe_code)]
//! The grammar of volume and operation ids, checked on both sides of every call
//! (`wit/storage/types.wit`).

/// The base under which images are kept.
const IMAGES: &str = ".images";

/// A snapshot: a letter or digit, then those and `.`, `_`, `-`; at most 64, and no dot at the end.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 64
        && !text.ends_with('.')
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A container: the same, and at most 63, as the host names in DNS that it may become.
fn is_container(text: &str) -> bool {
    text.len() <= 63 && is_name(text)
}

/// `web`, `web@snap0` or `.images@DIGEST`.
#[must_use]
pub fn is_volume_id(text: &str) -> bool {
    match text.split_once('@') {
        None => is_container(text),
        Some((base, snapshot)) => (base == IMAGES || is_container(base)) && is_name(snapshot),
    }
}

/// 1 to 64 of `a-z`, `0-9` and `-`.
#[must_use]
pub fn is_operation_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        for good in ["web", "Web.1_2-3", "web@s", ".images@0a1b"] {
            assert!(is_volume_id(good), "{good}");
        }
        for bad in ["", ".images", "@s", "web@", "web@s@t", "../x", "-x", "a/b", "web@.s", "web.", "web@s."] {
            assert!(!is_volume_id(bad), "{bad}");
        }
        // The digest of an image has 64 digits.
        let long = "a".repeat(64);
        assert!(is_volume_id(&format!(".images@{long}")) && is_volume_id(&long[..63]));
        assert!(!is_volume_id(&long) && !is_volume_id(&format!("{long}@s")));
        assert!(is_operation_id("create-0a") && !is_operation_id("A") && !is_operation_id(""));
    }
}
