//! What the settings mean.

use crate::bindings::wxc::hook::types::Patch;
use crate::bindings::wxc::host::types::{Error, ErrorKind, Pair};

/// One change for each setting.
pub fn patches(settings: &[Pair]) -> Result<Vec<Patch>, Error> {
    settings.iter().map(patch).collect()
}

fn patch(setting: &Pair) -> Result<Patch, Error> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = setting.name.as_str();
    if name.is_empty() || !name.chars().all(letter) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let message = format!("{name:?} is not the name of a variable");
        return Err(Error { kind: ErrorKind::Invalid, message });
    }
    Ok(if setting.value.is_empty() {
        Patch::RemoveVariable(setting.name.clone())
    } else {
        Patch::SetVariable(setting.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Pair {
        Pair { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_text_sets_and_none_removes() {
        let patches = patches(&[pair("LANG", "C.UTF-8"), pair("EDITOR", "")]).unwrap();
        assert!(matches!(&patches[0], Patch::SetVariable(p) if p.name == "LANG" && p.value == "C.UTF-8"));
        assert!(matches!(&patches[1], Patch::RemoveVariable(name) if name == "EDITOR"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "1A", "A-B", "A=B", "A B"] {
            assert!(patches(&[pair(name, "x")]).is_err(), "{name}");
        }
    }
}
