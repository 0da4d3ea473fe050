#![forbid(unsafe_code)]
//! Reading and changing the configuration. What is written was checked as a whole before.

use std::fs;
use std::path::PathBuf;

use super::{Error, Host, hooks, journal, store};
use crate::config::edit::{self, Shown};
use crate::config::{Container, Name, toml};

/// Every key with its value.
///
/// # Errors
/// There is no such container, or its configuration is wrong.
pub fn show(host: &Host, name: &Name) -> Result<Vec<Shown>, Error> {
    let text = store::text(host, name)?;
    Ok(edit::show(&text, &host.layout.config(name))?)
}

/// One key with its value.
///
/// # Errors
/// There is no such key or container.
pub fn get(host: &Host, name: &Name, key: &str) -> Result<Shown, Error> {
    let text = store::text(host, name)?;
    Ok(edit::get(&text, &host.layout.config(name), key)?)
}

/// Sets a key. It counts from the next start on.
///
/// # Errors
/// The result would not be valid; nothing is written then.
pub fn set(host: &Host, name: &Name, key: &str, value: &str) -> Result<(), Error> {
    change(host, name, |text, path| Ok(edit::set(text, path, key, value)?))
}

/// Removes a key, so that its default holds.
///
/// # Errors
/// As [`set`].
pub fn unset(host: &Host, name: &Name, key: &str) -> Result<(), Error> {
    change(host, name, |text, path| Ok(edit::unset(text, path, key)?))
}

/// Replaces the whole text, if it is valid and nobody changed the file since `old` was read.
///
/// # Errors
/// It is not valid, or the file is another one by now.
pub fn replace(host: &Host, name: &Name, old: &str, new: &str) -> Result<(), Error> {
    change(host, name, |text, _| {
        if text == old {
            return Ok(new.to_string());
        }
        Err(Error::Invalid {
            message: format!("the configuration of {name} was changed by somebody else meanwhile"),
            hint: "edit it again; nothing of the other change is lost".into(),
        })
    })
}

/// Reads, changes, checks, writes.
fn change(
    host: &Host,
    name: &Name,
    make: impl FnOnce(&str, &std::path::Path) -> Result<String, Error>,
) -> Result<(), Error> {
    let _claim = journal::claim(host, &[name], "config")?;
    let path = host.layout.config(name);
    let old = store::text(host, name)?;
    let new = make(&old, &path)?;
    let container = toml::parse(&new, &path)?;
    if new == old {
        return Ok(());
    }
    let new = hooks::configured(host, name, new, &container)?;
    store::replace(&path, new.as_bytes())?;
    hooks::after_change(host, name, (&old, &new));
    Ok(())
}

/// Checks the configuration; what is wrong is in the error.
///
/// # Errors
/// It is not valid, or not there.
pub fn validate(host: &Host, name: &Name) -> Result<Container, Error> {
    store::load(host, name)
}

/// A private copy for an editor to work on, outside the container's directory.
///
/// # Errors
/// It cannot be written.
pub fn draft(host: &Host, name: &Name, text: &str) -> Result<PathBuf, Error> {
    let path = host.layout.run.join(format!("{name}.{}.toml", std::process::id()));
    store::replace(&path, text.as_bytes())?;
    Ok(path)
}

/// Removes a draft.
pub fn drop_draft(path: &std::path::Path) {
    drop(fs::remove_file(path));
}
