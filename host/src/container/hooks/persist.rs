#![forbid(unsafe_code)]
//! Changes of hooks in the file of a container, where they are to stay: comments and layout are kept, as with a person's.

use std::path::Path;

use crate::config::edit::EditError;
use crate::config::{Container, edit};
use crate::container::{Error, carry};

/// The text of `old` with what is different in `new`.
pub(super) fn text(text: &str, file: &Path, old: &Container, new: &Container) -> Result<String, Error> {
    let mut text = text.to_owned();
    if old.mounts != new.mounts {
        text = match new.mounts.is_empty() {
            true => unset(&text, file, "mounts")?,
            // As a whole: an entry is only right when it is complete.
            false => edit::set(&text, file, "mounts", &carry::table(new.mounts.iter())?)?,
        };
    }
    let (before, after) = (said(old, file)?, said(new, file)?);
    for (key, value) in after.iter().filter(|pair| !before.contains(pair)) {
        text = edit::set(&text, file, key, value)?;
    }
    for (key, _) in before.iter().filter(|(key, _)| !after.iter().any(|(other, _)| other == key)) {
        text = unset(&text, file, key)?;
    }
    Ok(text)
}

/// Key by key, without the mounts.
pub(super) fn said(container: &Container, file: &Path) -> Result<Vec<(String, String)>, Error> {
    let text = toml_edit::ser::to_string(container).map_err(|why| Error::Invalid {
        message: format!("the configuration cannot be written: {why}"),
        hint: "use paths that are UTF-8".into(),
    })?;
    let mut said = edit::said(&text, file)?;
    said.retain(|(key, _)| !key.starts_with("mounts."));
    Ok(said)
}

fn unset(text: &str, file: &Path, key: &str) -> Result<String, Error> {
    match edit::unset(text, file, key) {
        Err(EditError::NotSet { .. }) => Ok(text.to_owned()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::mounts::Mount;
    use crate::config::toml::parse;

    #[test]
    fn only_what_is_different_is_written() {
        let file = Path::new("x");
        let before = "# mine\nhostname = \"web\" # as in the zone\n[environment.set]\nA = \"1\"\nB = \"2\"\n";
        let old = parse(before, file).unwrap();
        let mut new = old.clone();
        new.environment.set.remove("A");
        new.environment.set.insert("C".into(), "3".into());
        new.mounts.push(Mount::bind("/srv", "/srv"));
        let after = text(before, file, &old, &new).unwrap();
        assert!(after.starts_with("# mine\nhostname = \"web\" # as in the zone\n"), "{after}");
        assert_eq!(parse(&after, file).unwrap(), new, "{after}");
        assert_eq!(parse(&text(&after, file, &new, &old).unwrap(), file).unwrap(), old);
    }
}
