#![forbid(unsafe_code)]
//! Names that people give to images, all in one file: so a name moves from one image to the next in one step.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error as IoError, ErrorKind};
use std::path::PathBuf;

use super::super::lock::Lock;
use super::super::{Error, Host, store};

/// Beside the containers; none of them can be called so.
const FILE: &str = ".image-names.json";
/// Longest name.
const LONGEST: usize = 128;

/// Keys of images by name.
pub type Names = BTreeMap<String, String>;

fn file(host: &Host) -> PathBuf {
    host.layout.path.join(FILE)
}

/// Every name, and the key of what it means.
///
/// # Errors
/// The file cannot be read.
pub fn all(host: &Host) -> Result<Names, Error> {
    let path = file(host);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Names::new()),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    serde_json::from_slice(&text).map_err(|error| Error::Invalid {
        message: format!("{} does not say what images are called: {error}", path.display()),
        hint: "look at it, and move it away: images are then known by their keys alone".into(),
    })
}

/// The key of what a name means.
///
/// # Errors
/// The file cannot be read.
pub fn key(host: &Host, name: &str) -> Result<Option<String>, Error> {
    Ok(all(host)?.remove(name))
}

/// The names of one image.
#[must_use]
pub fn of(names: &Names, key: &str) -> Vec<String> {
    names.iter().filter(|(_, known)| *known == key).map(|(name, _)| name.clone()).collect()
}

/// Gives a name to an image, and takes it from the one that had it.
///
/// # Errors
/// It is no name, or cannot be written down.
pub fn set(host: &Host, name: &str, key: &str) -> Result<(), Error> {
    check(name)?;
    change(host, |names| {
        names.insert(name.to_owned(), key.to_owned());
        Ok(())
    })
}

/// Takes a name away.
///
/// # Errors
/// There is none like it.
pub fn forget(host: &Host, name: &str) -> Result<(), Error> {
    change(host, |names| match names.remove(name) {
        Some(_) => Ok(()),
        None => Err(Error::Invalid {
            message: format!("no image is called {name:?}"),
            hint: "wxc image list shows the names".into(),
        }),
    })
}

/// Takes all names of an image away.
pub(super) fn drop_all(host: &Host, key: &str) -> Result<(), Error> {
    if of(&all(host)?, key).is_empty() {
        return Ok(());
    }
    change(host, |names| {
        names.retain(|_, known| known != key);
        Ok(())
    })
}

/// What was one image is another from here on.
pub(super) fn move_all(host: &Host, from: &str, to: &str) -> Result<(), Error> {
    if of(&all(host)?, from).is_empty() {
        return Ok(());
    }
    change(host, |names| {
        for key in names.values_mut().filter(|key| *key == from) {
            to.clone_into(key);
        }
        Ok(())
    })
}

fn change(host: &Host, how: impl FnOnce(&mut Names) -> Result<(), Error>) -> Result<(), Error> {
    let lock = host.layout.run.join(".image-names.lock");
    let _lock = Lock::take_file(&lock, "the names of images", "image")?;
    let mut names = all(host)?;
    how(&mut names)?;
    let text = serde_json::to_vec_pretty(&names).map_err(IoError::from);
    store::replace(&file(host), &text.map_err(Error::io("write", &file(host)))?)
}

/// Refuses what could be taken for something else: an option, a path, a key.
///
/// # Errors
/// That.
pub fn check(name: &str) -> Result<(), Error> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:+".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_key = name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if begins && name.len() <= LONGEST && name.bytes().all(good) && !is_key {
        return Ok(());
    }
    let why = if is_key { "it looks like a key" } else { "it is not made of letters, digits and ._-/:+" };
    Err(Error::Invalid {
        message: format!("{name:?} is no name for an image: {why}"),
        hint: format!("use a name such as debian/trixie: a letter or digit first, at most {LONGEST} bytes"),
    })
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_name_is_no_option_no_path_and_no_key() {
        for good in ["web", "debian/trixie", "ours:v1.2", "c0ffee"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", "./x", "/x", "a b", "a\nb", "é", "0123456789abcdef"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
