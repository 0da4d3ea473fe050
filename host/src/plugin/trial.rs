#![forbid(unsafe_code)]
//! A plugin on trial: any component, with a pool or a place for its state that nothing depends on, and interrupted at will.
//!
//! Nobody has granted anything yet, because the author wants to know whether it works before it is installed anywhere. What it asks
//! for stays below a scratch directory, but for the programs it declares and servers: those need a word from the user.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::artifact::{self, CodeSource, Opened};
use super::call::Ready;
use super::error::{Identity, PluginError};
use super::grants::{self, Permission};
use super::hook::Outside;
use super::host::{Interruption, Progress, Quiet};
use super::manifest::{Manifest, PoolKind};
use super::record::{Record, Records};
use super::registry::Kind;
use super::{
    HookPlugin, Plugins, SettingValues, StoragePlugin, TemplatePlugin, Watcher, engine, ready_settings,
};

/// A plugin that was loaded for a trial, without anything to work on yet.
#[derive(Debug)]
pub struct Trial {
    ready: Ready,
    settings: super::Settings,
    /// What it asks for that reaches beyond the scratch directory, and was not granted to this very file. It is not to be had unless
    /// [`Trial::allow`] was called.
    pub beyond: Vec<Permission>,
}

impl Plugins {
    /// Loads a component from a file, or an installed plugin by its name, without looking at its grants.
    ///
    /// # Errors
    /// When it cannot be loaded, or does not know a setting.
    pub fn trial(&self, which: &str, settings: &SettingValues) -> Result<Trial, PluginError> {
        let (name, opened) = self.open_any(Kind::Storage, which)?;
        let ready = link(&name, opened)?;
        let settings = ready_settings(&ready, settings)?;
        let granted = match super::registry::find_built_in(&name) {
            Some(_) if !is_file(which) => grants::asked(&ready.facts, &ready.manifest),
            _ => grants::Grants::load(&self.places.grants)?.of(&name, &ready.facts.digest),
        };
        let asked = grants::asked(&ready.facts, &ready.manifest);
        let beyond = asked.difference(&granted).filter(|permission| reaches_beyond(permission)).cloned();
        let beyond = beyond.collect();
        Ok(Trial { ready, settings, beyond })
    }
}

impl Plugins {
    /// A component from a file, or a plugin by its name, whatever it was granted.
    pub(super) fn open_any(&self, kind: Kind, which: &str) -> Result<(String, Opened), PluginError> {
        if is_file(which) {
            let (bytes, known) = self.examine(Path::new(which))?;
            let name = known.manifest.name.clone();
            return Ok((name.clone(), artifact::open_bytes(&name, &self.places, &bytes)?));
        }
        let found = super::registry::find(&self.places, which)?.ok_or_else(|| self.not_found(kind, which))?;
        self.check_enabled(which)?;
        Ok((which.to_owned(), artifact::open(&found, &self.places)?))
    }

    /// The plugin that a call was recorded of: the very file.
    pub(super) fn open_digest(&self, record: &Record) -> Result<(String, Opened), PluginError> {
        let name = &record.plugin;
        let found = super::registry::find(&self.places, name)?.into_iter();
        // What was there before the last upgrade may be what was called.
        if let Ok(bytes) = std::fs::read(self.previous(name))
            && wxc_engine::Digest::of(&bytes) == record.digest
        {
            return Ok((name.clone(), artifact::open_bytes(name, &self.places, &bytes)?));
        }
        for found in found.chain(super::registry::find_built_in(name)) {
            let opened = artifact::open(&found, &self.places)?;
            if opened.facts.digest == record.digest {
                return Ok((name.clone(), opened));
            }
        }
        let (plugin, version, digest) = (name.clone(), record.version.clone(), record.digest.clone());
        Err(PluginError::OtherFile { plugin, version, digest })
    }
}

impl Trial {
    /// Which plugin it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.ready.identity
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.ready.manifest.kind
    }

    /// From now on it may reach beyond the scratch directory.
    pub fn allow(&mut self) {
        self.beyond.clear();
    }

    /// A hook with a directory for its state, and the calls it made until now.
    #[must_use]
    pub fn hook(&self, state: PathBuf) -> (HookPlugin, Calls) {
        let calls = Calls::default();
        let mut ready = self.ready.clone();
        if !self.beyond.is_empty() {
            ready.commands = Arc::default();
        }
        let records = Records::Told(Arc::clone(&calls.0));
        let plugin = HookPlugin {
            ready,
            notes: None,
            state: Some(state),
            settings: self.settings.clone(),
            records_of_new: records.clone(),
            records,
            progress: Watcher(Arc::new(Quiet)),
            outside: Outside::default(),
        };
        (plugin, calls)
    }

    /// A template with a directory for its state, and the calls it made until now.
    #[must_use]
    pub fn template(&self, state: PathBuf) -> (TemplatePlugin, Calls) {
        let calls = Calls::default();
        let shown = self.ready.manifest.host_system.as_ref().map_or_else(Vec::new, |h| h.directories.clone());
        let plugin = TemplatePlugin {
            ready: self.ready.clone(),
            state: Some(state),
            settings: self.settings.clone(),
            host_directories: shown.into(),
            fetcher: None,
            verifier: None,
            inputs: None,
            records: Records::Told(Arc::clone(&calls.0)),
            progress: Watcher(Arc::new(Quiet)),
        };
        (plugin, calls)
    }

    /// What its manifest says a pool is.
    #[must_use]
    pub fn pool_kind(&self) -> PoolKind {
        self.ready.manifest.pool.unwrap_or(PoolKind::Directory)
    }

    /// The plugin with a directory as its pool. `interruption` strikes in one of its calls.
    #[must_use]
    pub fn on(
        &self,
        pool: PathBuf,
        progress: Arc<dyn Progress>,
        interruption: Option<Arc<Interruption>>,
    ) -> StoragePlugin {
        StoragePlugin {
            ready: self.ready.clone(),
            pool,
            settings: self.settings.clone(),
            progress: Watcher(progress),
            durable_later: false,
            interruption,
            records: Records::None,
        }
    }
}

/// The calls that a plugin on trial made.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<Vec<Record>>>);

impl Calls {
    /// Those since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A name with a slash, or one that ends as components do; the rule of `wxc plugin show`.
fn is_file(which: &str) -> bool {
    which.contains('/') || Path::new(which).extension().is_some_and(|extension| extension == "wasm")
}

pub(super) fn link(name: &str, opened: Opened) -> Result<Ready, PluginError> {
    let manifest: Manifest = super::read_manifest(name, &opened.facts.manifest)?;
    let identity = Identity { name: name.to_owned(), version: manifest.version.clone() };
    let interface = manifest.kind.interface();
    let facts = opened.facts.clone();
    let ready = Ready::new(engine::shared()?, CodeSource::Opened(opened), identity, facts, manifest)?;
    ready.need(interface)?;
    // Whether its code can be linked is what somebody who tries it wants to know first.
    ready.linked()?;
    Ok(ready)
}

/// Programs of the host run with its rights, named devices are its disks, and servers hear of it; everything else works on
/// files of the scratch directory.
fn reaches_beyond(permission: &Permission) -> bool {
    matches!(
        permission.subject(),
        "command"
            | "commands"
            | "device"
            | "fetch"
            | "origin"
            | "origin-of"
            | "origin-setting"
            | "notify"
            | "notify-origin"
            | "notify-setting"
    )
}
