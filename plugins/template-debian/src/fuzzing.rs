//! A way in for bytes that nobody would send: it says what has to hold whatever they are.

use crate::bindings::wxc::host::types::Pair;
use crate::bindings::wxc::template::types::Request;
use crate::choice::Choice;
use crate::control::{fields, stanzas};
use crate::solve::{Known, needed};

/// Lists of packages, and what is needed of them.
pub fn packages(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    for (name, value) in stanzas(&text).flat_map(fields) {
        assert!(text.contains(name) && text.contains(value) && value == value.trim(), "{name:?} {value:?}");
    }
    let answer = |name: &str, value: &str| Pair { name: name.into(), value: value.into() };
    let answers = vec![answer("mirror", "https://m"), answer("components", "main"), answer("include", "vim")];
    let request =
        Request { container: "c".into(), architecture: "x86_64".into(), privileged: false, answers };
    let Ok(choice) = Choice::of(&request) else { panic!("the question itself is wrong") };
    let lists = [vec![text]];
    let Ok(known) = Known::of(&lists, "amd64") else { return };
    if let Ok(stack) = needed(&known, &choice) {
        for (found, _) in stack {
            let climbs = found.filename.split('/').any(|part| part == "..");
            assert!(!climbs && !found.filename.starts_with('/'), "{:?}", found.filename);
            assert!(found.sha256.len() == 64, "{:?}", found.sha256);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_fed_before() {
        let found = words::fuzzed::inputs("packages");
        assert!(found.len() > 1);
        found.iter().for_each(|bytes| super::packages(bytes));
    }
}
