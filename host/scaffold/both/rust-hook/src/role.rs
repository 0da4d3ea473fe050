//! What the settings of a container mean. Nothing here calls wxc, so `cargo test` runs it natively.

/// The role of a container, if it has one.
pub fn of<'a>(settings: &[(&'a str, &'a str)]) -> Result<Option<&'a str>, String> {
    let Some((_, role)) = settings.iter().find(|(name, _)| *name == "role") else {
        return Ok(None);
    };
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match role {
        role if role.is_empty() => Ok(None),
        role if role.chars().all(letter) => Ok(Some(role)),
        role => Err(format!("the role {role:?} is none: use a-z, 0-9 and -")),
    }
}

/// The number that the store has; none is zero.
pub fn count(stored: &[u8]) -> u64 {
    std::str::from_utf8(stored).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_word() {
        assert_eq!(of(&[("other", "x"), ("role", "web-1")]), Ok(Some("web-1")));
        assert_eq!(of(&[("role", "")]), Ok(None));
        assert_eq!(of(&[]), Ok(None));
        assert!(of(&[("role", "two words")]).is_err());
    }

    #[test]
    fn starts_are_counted_from_none() {
        assert_eq!((count(b""), count(b"7"), count(b"seven")), (0, 7, 0));
    }
}
