#![forbid(unsafe_code)]
//! The nearest of the words that were possible.

/// The candidate most like `word`, if any is like enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_a_slip_and_not_just_anything() {
        let words = ["read-only", "storage", "volume"];
        assert_eq!(nearest("readonly", words), Some("read-only"));
        assert_eq!(nearest("stroage", words), Some("storage"));
        assert_eq!(nearest("zebra", words), None);
    }
}
