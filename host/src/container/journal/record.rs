#![forbid(unsafe_code)]
//! Records on disk: `.journal/CONTAINER.OPERATION.json`.
//!
//! The container whose state the operation changes is in the file's name, so that a record which cannot
//! be read still says whom it concerns. What is not understood is never removed and never guessed at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Intent;
use crate::config::Name;
use crate::container::{Error, Host, layout::JOURNAL, store};

/// The format written by this version. What is in [`Envelope`] stays in all later ones.
pub(super) const FORMAT: u32 = 1;
/// Largest record that is read.
const LIMIT: u64 = 64 << 10;

/// What every version can read.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    format: u32,
    operation: String,
    /// Whose locks the operation held: the one it changes first, the one it only needs later.
    containers: Vec<Name>,
    intent: serde_json::Value,
}

/// A record as it was found.
#[derive(Debug, Clone)]
pub struct Record {
    pub path: PathBuf,
    /// Id that was passed to every call of a storage plugin.
    pub operation: String,
    /// Whose locks the operation held; the first is the one that it changes.
    pub containers: Vec<Name>,
    /// What it was about to do, or why that is not known.
    pub intent: Result<Intent, String>,
}

/// Where the records are.
pub(super) fn directory(host: &Host) -> PathBuf {
    host.layout.path.join(JOURNAL)
}

/// The file of an operation.
pub(super) fn path(host: &Host, intent: &Intent, operation: &str) -> PathBuf {
    directory(host).join(format!("{}.{operation}.json", intent.subject()))
}

/// The content of a record.
pub(super) fn text(intent: &Intent, operation: &str) -> Result<Vec<u8>, serde_json::Error> {
    let containers = intent.containers().into_iter().cloned().collect();
    let intent = serde_json::to_value(intent)?;
    let envelope = Envelope { format: FORMAT, operation: operation.into(), containers, intent };
    serde_json::to_vec_pretty(&envelope)
}

/// Everything in the journal, oldest name first.
///
/// # Errors
/// The directory cannot be read.
pub fn all(host: &Host) -> Result<Vec<Record>, Error> {
    let whole = files(host)?.into_iter().filter(|path| is(path, "json") && !is_empty(path));
    let mut records: Vec<Record> = whole.filter_map(|path| read(&path)).collect();
    records.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(records)
}

/// Files of records whose writing was cut short, and whom they concern.
///
/// # Errors
/// The directory cannot be read.
pub fn cut_short(host: &Host) -> Result<Vec<(PathBuf, Name)>, Error> {
    let short = files(host)?.into_iter().filter(|path| is(path, "new") || is(path, "json") && is_empty(path));
    Ok(short.filter_map(|path| subject(&path).map(|name| (path, name))).collect())
}

/// Removes records of `name` whose writing was cut short: nothing had begun then. The same for files in its directory.
/// The caller holds its lock.
pub(super) fn sweep(host: &Host, name: &Name) -> Result<(), Error> {
    store::sweep(&host.layout.directory(name))?;
    for (path, whose) in cut_short(host)? {
        if whose == *name {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

fn files(host: &Host) -> Result<Vec<PathBuf>, Error> {
    let directory = directory(host);
    let failed = |error: io::Error| Error::io("read", &directory)(error);
    match fs::read_dir(&directory) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Whether a record has its name and no content. Only a loss of power leaves that, before the first step of what
/// it was to be about, or when everything that such a loss can leave says itself what it is (`Survives`).
fn is_empty(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == 0)
}

/// The container in a file's name; an operation's id has no dot.
fn subject(path: &Path) -> Option<Name> {
    path.file_stem()?.to_str()?.rsplit_once('.')?.0.parse().ok()
}

/// One record; `None` when it went away meanwhile.
fn read(path: &Path) -> Option<Record> {
    let unknown = |why: String| Record {
        path: path.to_path_buf(),
        operation: String::new(),
        containers: subject(path).into_iter().collect(),
        intent: Err(why),
    };
    let text = match fs::metadata(path).map(|meta| meta.len()) {
        Ok(length) if length > LIMIT => return Some(unknown("it is too long".into())),
        Ok(_) => fs::read(path),
        Err(error) => Err(error),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(unknown(error.to_string())),
    };
    let envelope: Envelope = match serde_json::from_slice(&text) {
        Ok(envelope) => envelope,
        Err(error) => return Some(unknown(format!("it is damaged ({error})"))),
    };
    Some(judge(path, envelope))
}

/// Whether this version knows what a record asks for.
fn judge(path: &Path, envelope: Envelope) -> Record {
    let Envelope { format, operation, mut containers, intent } = envelope;
    let intent = if format == FORMAT {
        serde_json::from_value::<Intent>(intent)
            .map_err(|error| format!("another version of wxc wrote it ({error})"))
    } else {
        Err(format!("a newer wxc wrote it (format {format}, this one knows {FORMAT})"))
    };
    let intent = intent.and_then(|intent| match subject(path) {
        Some(subject) if subject == *intent.subject() => Ok(intent),
        _ => Err("its name and its content are of different containers".into()),
    });
    // A copied or renamed file must not hide whom it is about.
    containers.extend(subject(path).filter(|name| !containers.contains(name)));
    Record { path: path.to_path_buf(), operation, containers, intent }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(directory: &Path, file: &str, text: &str) -> Record {
        let path = directory.join(file);
        fs::write(&path, text).unwrap();
        read(&path).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let intent = Intent::Create { name: "w.eb".parse().unwrap(), storage: "dir".into() };
        let text = String::from_utf8(text(&intent, "create-1-2").unwrap()).unwrap();
        let found = record(directory.path(), "w.eb.create-1-2.json", &text);
        assert_eq!(found.intent, Ok(intent));
        assert_eq!((found.operation.as_str(), found.containers.len()), ("create-1-2", 1));
    }

    #[test]
    fn a_record_without_content_was_never_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.create-1-2.json");
        fs::write(&path, "").unwrap();
        assert!(is_empty(&path));
        fs::write(&path, "{").unwrap();
        assert!(!is_empty(&path));
    }

    #[test]
    fn what_is_not_understood_still_says_whom_it_concerns() {
        let directory = tempfile::tempdir().unwrap();
        let whole = r#"{"format":1,"operation":"x-1","containers":["web"],"intent":"#;
        for (text, why) in [
            (" ".to_string(), "damaged"),
            (whole[..20].to_string(), "damaged"),
            (
                format!("{whole}{{\"create\":{{\"name\":\"web\",\"storage\":\"dir\",\"more\":1}}}}}}"),
                "another version",
            ),
            (format!("{whole}{{\"teleport\":{{\"name\":\"web\"}}}}}}"), "another version"),
            (
                format!("{whole}{{\"create\":{{\"name\":\"other\",\"storage\":\"dir\"}}}}}}"),
                "different containers",
            ),
            (format!("{whole}null}}").replace("\"format\":1", "\"format\":2"), "newer"),
        ] {
            let found = record(directory.path(), "web.x-1.json", &text);
            let said = found.intent.unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
            assert_eq!(found.containers, ["web".parse::<Name>().unwrap()], "{text}");
        }
    }
}
