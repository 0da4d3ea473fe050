#![forbid(unsafe_code)]
//! What was found out about a plugin, as long as its file stays the same: its facts, its manifest as it was read and checked, and
//! what a hook subscribed to. So a start neither reads and hashes a component whose code it has, nor asks a hook when it wants to
//! be called, which it has to answer in the same way each time.
//!
//! It lies beside the compiled code and is trusted as that is. Whatever is wrong with it is a miss: everything can be found out
//! again. A file is recognised by its stamp, so one that was just written is not remembered: two changes within one tick of the
//! file system's clock would have the same.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use wxc_engine::config::{self, FNV_BASIS, fnv1a};
use wxc_engine::{Cpu, Digest, Facts, Key};

use super::files;
use super::hook::types::Subscription;
use super::manifest::Manifest;
use super::registry::{Found, Places, Source, Stamp};
use crate::sys::trusted::TrustedDir;

/// Ends its file names.
const SUFFIX: &str = ".known";
/// Larger files are not ours.
const LONGEST: u64 = 4 << 20;
/// For how many sets of settings wishes are kept.
const MOST_WISHES: usize = 16;
/// How long a file must have been as it is: longer than the tick of any file system that plugins are kept on.
const SETTLED: Duration = Duration::from_secs(3);

/// Changes whenever what is kept does, or how it is checked before.
const FORM: u64 = {
    let mut form = FNV_BASIS;
    form = fnv1a(form, include_bytes!("remembered.rs"));
    form = fnv1a(form, include_bytes!("manifest.rs"));
    form = fnv1a(form, include_bytes!("manifest/devices.rs"));
    form = fnv1a(form, include_bytes!("manifest/outside.rs"));
    form = fnv1a(form, include_bytes!("command_line.rs"));
    form = fnv1a(form, include_bytes!("hook.rs"));
    fnv1a(form, include_bytes!("../../../wit/hook/types.wit"))
};

/// The file, as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    /// Of the file; none for what is built in, whose facts say which it is.
    stamp: Option<[u64; 5]>,
    facts: Facts,
    manifest: Manifest,
    /// By a digest of the settings, which may hold secrets.
    wishes: BTreeMap<String, Vec<Subscription>>,
}

/// What is known of one plugin.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) facts: Facts,
    pub(super) manifest: Manifest,
}

/// What a plugin subscribed to, and the place where all of it is kept.
#[derive(Debug)]
pub(super) struct Notes {
    file: PathBuf,
    /// Of the file that it is about; `None` where nothing can be kept of it.
    stamp: Option<Stamp>,
    /// Nothing was remembered before.
    new: bool,
    wishes: Mutex<BTreeMap<String, Vec<Subscription>>>,
}

/// What is remembered of a plugin that was found, and its notes, in any case.
pub(super) fn recall(found: &Found, places: &Places) -> (Option<Remembered>, Notes) {
    let name = file_name(&found.name);
    let stamp = found.stamp();
    let known = read(found, places, &name);
    let (remembered, wishes) = match known {
        Some(Text { facts, manifest, wishes, .. }) => (Some(Remembered { facts, manifest }), wishes),
        None => (None, BTreeMap::new()),
    };
    let (stamp, new) = (settled(stamp).then_some(stamp), remembered.is_none());
    (remembered, Notes { file: places.cache.join(name), stamp, new, wishes: Mutex::new(wishes) })
}

fn read(found: &Found, places: &Places, name: &OsStr) -> Option<Text> {
    let file = TrustedDir::kept(&places.cache).and_then(|cache| cache.file(name)).ok()?;
    let known: Text = serde_json::from_slice(&file.read(LONGEST).ok()?).ok()?;
    let same = match (&found.source, found.stamp()) {
        (Source::BuiltIn(embedded), _) => embedded.open().is_ok_and(|artifact| artifact.facts == known.facts),
        // Compiled for a machine as this one is.
        (Source::File(_), Stamp::File(stamp)) => {
            known.stamp == Some(stamp) && known.facts.key == Key::of(&known.facts.digest, Cpu::Native)
        }
        (Source::File(_), Stamp::BuiltIn) => false,
    };
    (same && known.manifest.name == found.name).then_some(known)
}

impl Notes {
    /// What it subscribed to with these settings.
    pub(super) fn wishes(&self, settings: &Settings) -> Option<Vec<Subscription>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).get(&digest(settings)).cloned()
    }

    /// Keeps everything if nothing was remembered before.
    pub(super) fn keep_new(&self, facts: &Facts, manifest: &Manifest) {
        if self.new {
            self.keep(facts, manifest);
        }
    }

    /// What cannot be kept is found out again.
    fn keep(&self, facts: &Facts, manifest: &Manifest) {
        let Some(stamp) = self.stamp else { return };
        let stamp = match stamp {
            Stamp::BuiltIn => None,
            Stamp::File(stamp) => Some(stamp),
        };
        let wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = Text { stamp, facts: facts.clone(), manifest: manifest.clone(), wishes };
        let Ok(json) = serde_json::to_vec(&text) else { return };
        if let Err(reason) = files::put(&self.file, &json, 0o600) {
            tracing::debug!(%reason, "cannot keep what is known of a plugin");
        }
    }

    /// Keeps what it subscribed to, with everything else.
    pub(super) fn keep_wishes(
        &self,
        settings: &Settings,
        wishes: &[Subscription],
        facts: &Facts,
        manifest: &Manifest,
    ) {
        {
            let mut kept = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST_WISHES {
                kept.clear();
            }
            kept.insert(digest(settings), wishes.to_vec());
        }
        self.keep(facts, manifest);
    }
}

/// Declared settings with what holds.
type Settings = BTreeMap<String, Option<String>>;

fn digest(settings: &Settings) -> String {
    let text = serde_json::to_vec(settings).unwrap_or_default();
    Digest::of(&text).into()
}

/// Whether a stamp tells a file from what it will be next.
fn settled(stamp: Stamp) -> bool {
    let Stamp::File([_, _, _, seconds, _]) = stamp else { return true };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(seconds) + SETTLED < now
}

/// One for each form: two versions of wxc are not in each other's way.
fn file_name(plugin: &str) -> OsString {
    let version = fnv1a(FORM, config::stamp().as_bytes());
    format!("{plugin}.{version:016x}{SUFFIX}").into()
}

/// Removes what is known of a plugin, in whatever form.
pub(super) fn forget(places: &Places, plugin: &str) {
    let Ok(entries) = std::fs::read_dir(&places.cache) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name
            .strip_suffix(SUFFIX)
            .and_then(|name| name.rsplit_once('.'))
            .is_some_and(|(of, _)| of == plugin)
        {
            // What cannot be removed takes up room and does nothing else.
            let _removed = std::fs::remove_file(entry.path());
        }
    }
}
