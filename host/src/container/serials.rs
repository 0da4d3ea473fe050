#![forbid(unsafe_code)]
//! The newest build that there was of each image: an older one later on is a server that forgot, or somebody who wants an old
//! flaw back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Error, Host, store};
use crate::plugin::template::types::Manifest;

/// Most images that are remembered.
const MOST: usize = 10_000;

/// By template, server and product.
type Serials = BTreeMap<String, String>;

fn file(host: &Host) -> PathBuf {
    host.layout.path.join(".serials.json")
}

fn key(template: &str, server: &str, manifest: &Manifest) -> String {
    format!("{template} {server} {} {}", manifest.product, manifest.architecture)
}

fn load(host: &Host) -> Result<Serials, Error> {
    let path = file(host);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Serials::new()),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    serde_json::from_slice(&text).map_err(|error| Error::Invalid {
        message: format!("{} does not say which builds there were: {error}", path.display()),
        hint: "look at it, and move it away: older builds are then no longer refused".into(),
    })
}

/// Whether a build is named after its day, and that has come: one of a day far off, or of none, would stand in the way of every later one.
fn is_a_build(serial: &str) -> bool {
    let digits: String = serial.chars().take(10).filter(char::is_ascii_digit).take(8).collect();
    let day = jiff::civil::Date::strptime("%Y%m%d", &digits);
    let tomorrow = jiff::Zoned::now().date().tomorrow();
    day.is_ok_and(|day| tomorrow.is_ok_and(|tomorrow| day <= tomorrow))
}

/// Refuses an image that is older than one there was.
///
/// # Errors
/// It is, and nobody asked for it.
pub(super) fn check(
    host: &Host,
    template: &str,
    server: &str,
    manifest: &Manifest,
    allow_older: bool,
) -> Result<(), Error> {
    if allow_older || !is_a_build(&manifest.serial) {
        return Ok(());
    }
    match load(host)?.get(&key(template, server, manifest)) {
        Some(newest) if *newest > manifest.serial => Err(Error::Invalid {
            message: format!(
                "{} of {server} is build {}, and there was {newest} before",
                manifest.product, manifest.serial
            ),
            hint: "a server does not go back in time by itself; if you want the older build: --allow-older"
                .into(),
        }),
        _ => Ok(()),
    }
}

/// Remembers one that was used. Two commands at once may lose one of two new entries: the next use brings it back.
pub(super) fn remember(host: &Host, template: &str, server: &str, manifest: &Manifest) -> Result<(), Error> {
    if !is_a_build(&manifest.serial) {
        return Ok(());
    }
    let mut serials = load(host)?;
    let key = key(template, server, manifest);
    if serials.get(&key).is_some_and(|newest| *newest >= manifest.serial) || serials.len() >= MOST {
        return Ok(());
    }
    serials.insert(key, manifest.serial.clone());
    let text = serde_json::to_vec_pretty(&serials)
        .map_err(io::Error::from)
        .map_err(Error::io("write", &file(host)))?;
    store::replace(&file(host), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_a_day_that_has_come() {
        for good in ["20260722_05:24", "20250809T100324", "2025-08-09T10:03:24Z", "20250809"] {
            assert!(is_a_build(good), "{good}");
        }
        for bad in ["", "zzz", "99990101_00:00", "9999-01-01T00:00:00Z", "20261399", "1", "2026"] {
            assert!(!is_a_build(bad), "{bad}");
        }
    }
}
