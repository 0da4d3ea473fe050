#![forbid(unsafe_code)]
//! `wxc:host/store`: small durable state of the plugin's own, a file per key.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::State;
use super::failure::failure;
use crate::plugin::bindings::host::wxc::host::store::Host;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::plugin::files;
use crate::sys::trusted::{TrustError, TrustedDir};

/// Most keys.
const KEYS: usize = 64;
/// Longest value.
const VALUE: usize = 64 << 10;

impl Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let called = self.called("store.get", &(&key,))?;
        self.answer(called, |state| Ok(state.store_file(&key).and_then(|(dir, _)| read(&dir, &key))))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        let called = self.called("store.set", &(&key, &value))?;
        self.answer(called, |state| {
            Ok(state.store_to_change(&key).and_then(|(dir, file)| write(&dir, &file, &key, &value)))
        })
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        let called = self.called("store.remove", &(&key,))?;
        self.answer(called, |state| {
            let removed = state.store_to_change(&key).and_then(|(_, file)| match fs::remove_file(&file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", &key, &e)),
                _ => Ok(()),
            });
            Ok(removed)
        })
    }

    fn keys(&mut self) -> wasmtime::Result<Result<Vec<String>, Error>> {
        let called = self.called("store.keys", &())?;
        self.answer(called, |state| Ok(state.store_directory().map(|dir| list(&dir))))
    }
}

impl State {
    fn store_directory(&self) -> Result<PathBuf, Error> {
        let none = || failure(ErrorKind::Denied, "nothing can be kept in this call");
        self.scope.store.clone().ok_or_else(none)
    }

    fn store_to_change(&self, key: &str) -> Result<(PathBuf, PathBuf), Error> {
        if self.scope.store_is_fixed {
            return Err(failure(
                ErrorKind::Denied,
                "nothing can be changed in this call, which has to be repeatable",
            ));
        }
        self.store_file(key)
    }

    /// The directory, and the file of a key in it. The grammar of keys has no slash and no leading dot.
    fn store_file(&self, key: &str) -> Result<(PathBuf, PathBuf), Error> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
        let first = key.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !first || key.len() > 64 || !key.bytes().all(good) {
            return Err(failure(ErrorKind::Invalid, format!("{key:?} is not a key")));
        }
        let dir = self.store_directory()?;
        let file = dir.join(key);
        Ok((dir, file))
    }
}

fn read(dir: &Path, key: &str) -> Result<Option<Vec<u8>>, Error> {
    match TrustedDir::open(dir).and_then(|d| d.file(OsStr::new(key))) {
        Err(TrustError::Missing(_)) => Ok(None),
        Err(error) => Err(failed("read", key, &error)),
        Ok(file) => file.read(VALUE as u64).map(Some).map_err(|e| failed("read", key, &e)),
    }
}

fn write(dir: &Path, file: &Path, key: &str, value: &[u8]) -> Result<(), Error> {
    if value.len() > VALUE {
        return Err(failure(
            ErrorKind::Exhausted,
            format!("the value of {key} is longer than {VALUE} bytes"),
        ));
    }
    let keys = list(dir);
    if keys.len() >= KEYS && !keys.iter().any(|k| k == key) {
        return Err(failure(ErrorKind::Exhausted, format!("there are {KEYS} keys already")));
    }
    files::replace(file, value, 0o600).map_err(|e| failed("set", key, &e))
}

fn list(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

fn failed(doing: &str, key: &str, error: &dyn std::error::Error) -> Error {
    failure(
        ErrorKind::Failed,
        format!("cannot {doing} the key {key}: {}", crate::plugin::grants::chain(error)),
    )
}
