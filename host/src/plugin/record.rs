#![forbid(unsafe_code)]
//! A call of a plugin, taken down: who was called with what, everything it asked of the host and was answered, and what it made of that.
//!
//! A record is a file that can be given to somebody else: [`super::replay`] runs the call again from it, without the host that it
//! was made on. It holds whatever the plugin was told, so it is its owner's alone to read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wxc_engine::Digest;

use super::call::Ready;
use super::error::PluginError;
use super::files;
use super::host::Scope;
use super::host::tape::{HostCall, Tape};
use super::registry::Kind;
use crate::config::system::Keep;

/// The number of this form.
pub const FORM: u32 = 1;
/// Longest record that is read.
const LONGEST: u64 = 64 << 20;
/// How many are kept in one place; the oldest go.
const KEPT: usize = 16;

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Record {
    /// [`FORM`].
    pub wxc_record: u32,
    /// When it was made.
    pub recorded: String,
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// What it is for.
    pub kind: Kind,
    /// SHA-256 of its component.
    pub digest: Digest,
    /// The function of the contract, such as `hook.adjust`.
    pub call: String,
    /// Milliseconds that the call might take, where there is less time than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// What it was called with.
    pub arguments: Box<RawValue>,
    /// Its declared settings, with what held.
    pub settings: BTreeMap<String, Option<String>>,
    /// Servers that it could reach, keys whose signatures had held, and the pool, where what it answers is checked against them.
    #[serde(default, skip_serializing_if = "Grounds::is_empty")]
    pub grounds: Grounds,
    /// What it asked of the host, in order.
    pub host_calls: Vec<HostCall>,
    /// There was more than is kept: it cannot be replayed.
    #[serde(default)]
    pub cut: bool,
    /// What came of it.
    pub outcome: Outcome,
}

/// What an answer is checked against, besides the manifest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grounds {
    /// Servers that may be asked.
    pub servers: Vec<String>,
    /// Rings and fingerprints of keys.
    pub signers: Vec<(String, String)>,
    /// The directory of containers that a storage works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PathBuf>,
}

impl Grounds {
    fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.signers.is_empty() && self.pool.is_none()
    }
}

/// How a call ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It answered.
    Answered(Box<RawValue>),
    /// It reported a failure: the kind, and its sentence.
    Failed {
        /// In the contract's word.
        kind: String,
        /// Its sentence.
        message: String,
    },
    /// It was ended, or what it answered could not be used: why.
    Ended(String),
}

impl Outcome {
    /// Of a call's result, whichever plugin it was.
    pub(super) fn of<R: Serialize>(result: &Result<R, PluginError>) -> Self {
        match result {
            Ok(answer) => match serde_json::value::to_raw_value(answer) {
                Ok(answer) => Self::Answered(answer),
                Err(error) => Self::Ended(format!("what it answered cannot be written down: {error}")),
            },
            Err(PluginError::Failed { kind, message, .. }) => {
                Self::Failed { kind: format!("{kind:?}"), message: message.clone() }
            }
            Err(PluginError::Budget { limit, .. }) => Self::Ended(limit.to_string()),
            Err(PluginError::Trap { message, .. }) => Self::Ended(format!("it crashed: {message}")),
            Err(PluginError::Broken { why, .. }) => Self::Ended(format!("it broke its contract: {why}")),
            Err(other) => Self::Ended(other.to_string()),
        }
    }

    /// For people, on one line.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Answered(answer) => format!("it answered {}", answer.get()),
            Self::Failed { kind, message } => format!("it failed ({kind}): {message}"),
            Self::Ended(why) => why.clone(),
        }
    }

    /// Whether two calls ended in the same way.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let value = |raw: &RawValue| serde_json::from_str::<serde_json::Value>(raw.get()).ok();
        match (self, other) {
            (Self::Answered(a), Self::Answered(b)) => value(a) == value(b),
            (Self::Failed { kind, message }, Self::Failed { kind: k, message: m }) => {
                kind == k && message == m
            }
            (Self::Ended(a), Self::Ended(b)) => a == b,
            _ => false,
        }
    }
}

impl Record {
    /// Reads one from a file.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, PluginError> {
        let fail = |source| PluginError::Io { doing: "read", path: path.to_owned(), source };
        let bad = |why: String| PluginError::Record { path: path.to_owned(), why };
        // A FIFO would be waited for (fifo(7)).
        let mut options = fs::File::options();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(fail)?;
        if !file.metadata().map_err(fail)?.is_file() {
            return Err(bad("it is no regular file".into()));
        }
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > LONGEST {
            return Err(bad(format!("no record is longer than {LONGEST} bytes")));
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Head {
            wxc_record: u32,
        }
        let head: Head = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        if head.wxc_record != FORM {
            return Err(bad(format!("it has the form {}, and this wxc reads {FORM}", head.wxc_record)));
        }
        serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))
    }

    /// A name for its file: sorted as it happened.
    fn file_name(&self) -> String {
        let time: String = self.recorded.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        format!("{time}-{}-{}.json", self.plugin, self.call.replace('.', "-"))
    }
}

/// What becomes of the calls of a plugin.
#[derive(Debug, Clone, Default)]
pub(super) enum Records {
    /// Nothing.
    #[default]
    None,
    /// Those that failed, or all, are kept in this directory.
    Kept(Keep, PathBuf),
    /// All are told, and nothing is written.
    Told(Arc<Mutex<Vec<Record>>>),
    /// They are played from a tape.
    Played(Arc<Tape>),
}

/// A call that may be recorded.
pub(super) struct Recorded<'a, A> {
    pub(super) call: &'static str,
    pub(super) budget: Option<Duration>,
    pub(super) arguments: &'a A,
    pub(super) grounds: &'a dyn Fn() -> Grounds,
}

impl Records {
    /// Those of this directory, if any are to be kept.
    pub(super) fn in_directory(keep: Keep, directory: PathBuf) -> Self {
        if keep == Keep::None { Self::None } else { Self::Kept(keep, directory) }
    }

    /// Whether calls are only played.
    pub(super) fn are_played(&self) -> bool {
        matches!(self, Self::Played(_))
    }

    /// Runs a call, and takes down what has to be. `said` hears where it is kept.
    pub(super) fn run<A: Serialize, R: Serialize>(
        &self,
        ready: &Ready,
        about: &Recorded<'_, A>,
        mut scope: Scope,
        said: &dyn Fn(&str),
        run: impl FnOnce(Scope) -> Result<R, PluginError>,
    ) -> Result<R, PluginError> {
        let tape = match self {
            Self::None => return run(scope),
            Self::Played(tape) => {
                scope.tape = Some(Arc::clone(tape));
                return run(scope);
            }
            Self::Kept(..) | Self::Told(_) => Arc::new(Tape::recording()),
        };
        scope.tape = Some(Arc::clone(&tape));
        let settings = Arc::clone(&scope.settings);
        let result = run(scope);
        if matches!(self, Self::Kept(Keep::Failures, _)) && result.is_ok() {
            return result;
        }
        let Some(record) = record(ready, about, &settings, &tape, &result) else { return result };
        match self {
            Self::Told(told) => told.lock().unwrap_or_else(PoisonError::into_inner).push(record),
            Self::Kept(_, directory) => return kept(directory, &record, said, result),
            Self::None | Self::Played(_) => {}
        }
        result
    }
}

fn record<A: Serialize, R: Serialize>(
    ready: &Ready,
    about: &Recorded<'_, A>,
    settings: &BTreeMap<String, Option<String>>,
    tape: &Tape,
    result: &Result<R, PluginError>,
) -> Option<Record> {
    let (host_calls, cut) = tape.taken();
    Some(Record {
        wxc_record: FORM,
        recorded: jiff::Timestamp::now().to_string(),
        plugin: ready.identity.name.clone(),
        version: ready.identity.version.clone(),
        kind: ready.manifest.kind,
        digest: ready.facts.digest.clone(),
        call: about.call.to_owned(),
        budget: about.budget.map(|budget| u64::try_from(budget.as_millis()).unwrap_or(u64::MAX)),
        arguments: serde_json::value::to_raw_value(about.arguments).ok()?,
        settings: settings.clone(),
        grounds: (about.grounds)(),
        host_calls,
        cut,
        outcome: Outcome::of(result),
    })
}

/// Keeps a record, and lets an error say where. One that cannot be kept is no reason to fail.
fn kept<R>(
    directory: &Path,
    record: &Record,
    said: &dyn Fn(&str),
    result: Result<R, PluginError>,
) -> Result<R, PluginError> {
    let path = directory.join(record.file_name());
    let written = serde_json::to_vec_pretty(record)
        .map_err(|error| error.to_string())
        .and_then(|bytes| write(directory, &path, &bytes).map_err(|error| super::grants::chain(&error)));
    if let Err(why) = written {
        tracing::warn!("cannot keep the record of a call in {}: {why}", directory.display());
        return result;
    }
    let cut = if record.cut { " (too long to be replayed)" } else { "" };
    said(&format!("recorded in {}{cut}", path.display()));
    result.map_err(|error| PluginError::Recorded { error: Box::new(error), record: path, cut: record.cut })
}

fn write(directory: &Path, path: &Path, bytes: &[u8]) -> Result<(), PluginError> {
    // Whoever may not look into the container may not look into this.
    files::make_private_directory(directory)?;
    make_room(directory);
    files::replace(path, bytes, 0o600)
}

/// Removes the oldest, so that there is room for one more. Their names are sorted by time.
fn make_room(directory: &Path) {
    let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<PathBuf> =
        names.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    names.sort();
    let surplus = (names.len() + 1).saturating_sub(KEPT);
    for path in names.iter().take(surplus) {
        // One that stays takes up room and does nothing else.
        let _removed = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let dir = tempfile::tempdir().unwrap();
        for n in 10..40 {
            write(dir.path(), &dir.path().join(format!("{n}-x.json")), b"{}").unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!((names.len(), names[0].as_str(), names[15].as_str()), (KEPT, "24-x.json", "39-x.json"));
    }

    #[test]
    fn outcomes_are_the_same_however_they_are_laid_out() {
        let of = |text: &str| Outcome::Answered(RawValue::from_string(text.into()).unwrap());
        assert!(of("{\"a\": 1, \"b\": [2]}").same(&of("{\"b\":[2],\"a\":1}")));
        assert!(!of("[1]").same(&of("[2]")));
        let failed = |message: &str| Outcome::Failed { kind: "Failed".into(), message: message.into() };
        assert!(failed("x").same(&failed("x")) && !failed("x").same(&failed("y")));
        assert!(!failed("x").same(&Outcome::Ended("x".into())));
    }
}
