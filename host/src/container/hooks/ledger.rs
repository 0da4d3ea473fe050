#![forbid(unsafe_code)]
//! What hooks have done that has to be undone if the operation fails: a file in the container's directory, there from
//! the first such call until the operation is complete.
//!
//! An entry is on disk before the next call, and goes when its `undo` was called. So a command that is killed leaves it,
//! and the next one that claims the container undoes what is in it, the last first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::heard::Heard;
use super::log;
use super::reach::Reach;
use crate::config::Name;
use crate::container::journal::chain;
use crate::container::{Error, Host, plugins, store, watch};
use crate::plan::Plan;
use crate::plugin::Hook as _;
use crate::plugin::hook::types::Context;
use crate::runtime::State;

/// Its name in the container's directory.
const FILE: &str = "hooks-to-undo.json";
/// Largest file that is read: a token has up to 64 KiB, and JSON makes four of each byte.
const LIMIT: u64 = 64 << 20;

/// One call that may have to be undone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) plugin: String,
    /// What it was told; `undo` is told the same.
    pub(super) context: Context,
    pub(super) token: Vec<u8>,
    pub(super) budget: u64,
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let bytes = match fs::metadata(path).map(|meta| meta.len()) {
        Ok(length) if length <= LIMIT => fs::read(path),
        Ok(_) => Err(io::Error::other("it is too long")),
        Err(error) => Err(error),
    };
    match bytes {
        // Loss of power cuts it short at most before the first call returned.
        Ok(bytes) if bytes.is_empty() => Ok(Vec::new()),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::io("read", path)(e.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn write(path: &Path, entries: &[Entry]) -> Result<(), Error> {
    if entries.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
            _ => Ok(()),
        };
    }
    let text = serde_json::to_vec(entries).map_err(|e| Error::io("write", path)(e.into()))?;
    store::replace(path, &text)
}

/// Remembers a call; durable when this returns.
pub(super) fn add(plan: &Plan, entry: Entry) -> Result<(), Error> {
    let path = path(&plan.container.directory);
    let mut entries = read(&path)?;
    entries.push(entry);
    write(&path, &entries)
}

/// The operation is complete.
///
/// # Errors
/// The file cannot be removed.
pub(in crate::container) fn forget(directory: &Path) -> Result<(), Error> {
    write(&path(directory), &[])
}

/// Undoes everything, the last first; whether there was anything. One whose undoing fails is told and not tried again: its
/// plugin had its chance, and nobody could use the container otherwise.
///
/// # Errors
/// The file cannot be read or written.
pub(in crate::container) fn undo(host: &Host, directory: &Path) -> Result<bool, Error> {
    let path = path(directory);
    let mut entries = read(&path)?;
    let any = !entries.is_empty();
    while let Some(entry) = entries.last() {
        let since = Instant::now();
        let heard = Heard::new(host.progress.clone());
        let done = plugins::load_hook(host, &entry.plugin, directory, heard.clone()).and_then(|hook| {
            let name: Name = entry.context.container.name.parse()?;
            let reach = Reach::now(host, &name, &hook)?;
            let budget = Duration::from_millis(entry.budget);
            let undone = hook.undo(&entry.context, &entry.token, &reach.within, budget);
            reach.close(host)?;
            Ok(undone?)
        });
        let failure = done.as_ref().err().map(|error| chain(error));
        let word = super::event::word(entry.context.event);
        let what = format!("{word}: undo {}", entry.plugin);
        log::append(directory, &what, since.elapsed(), failure.as_deref(), &heard.lines());
        if let Some(failure) = failure {
            host.progress.note(&format!("what a hook did at {word} could not be undone: {failure}"));
        }
        entries.pop();
        write(&path, &entries)?;
    }
    Ok(any)
}

/// What a killed command left: undone unless the container runs, because then the start was complete. The caller holds the
/// container's lock.
///
/// # Errors
/// As [`undo`].
pub(in crate::container) fn settle(host: &Host, name: &Name) -> Result<(), Error> {
    let directory = host.layout.directory(name);
    if !path(&directory).exists() {
        return Ok(());
    }
    match watch::snapshot(host, name).map(|snapshot| snapshot.state) {
        // Its monitor goes on with the start.
        Some(State::Starting | State::Aborting) => Ok(()),
        Some(_) => forget(&directory),
        None => {
            if undo(host, &directory)? {
                host.progress.note(&format!("undid what hooks of {name} had done before an interruption"));
            }
            Ok(())
        }
    }
}
