#![forbid(unsafe_code)]
//! A storage plugin on trial: any component, on a pool that nothing depends on, and interrupted at will.
//!
//! Nobody has granted anything yet, because the author wants to know whether it works before it is installed anywhere. What it asks
//! for stays below the scratch pool, but for the programs it declares: those need a word from the user.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::artifact::{self, Opened};
use super::call::Ready;
use super::error::{Identity, PluginError};
use super::grants::{self, Permission};
use super::host::{Interruption, Progress};
use super::manifest::{Manifest, PoolKind};
use super::registry::Kind;
use super::{Plugins, SettingValues, StoragePlugin, Watcher, engine, ready_settings};

/// A storage plugin that was loaded for a trial, without a pool yet.
#[derive(Debug)]
pub struct Trial {
    ready: Ready,
    settings: super::Settings,
    /// What it asks for that reaches beyond its pool, and was not granted to this very file.
    pub beyond: Vec<Permission>,
}

impl Plugins {
    /// Loads a component from a file, or an installed plugin by its name, without looking at its grants.
    ///
    /// # Errors
    /// When it cannot be loaded, is no storage plugin, or does not know a setting.
    pub fn trial(&self, which: &str, settings: &SettingValues) -> Result<Trial, PluginError> {
        let (name, opened) = if is_file(which) {
            let path = Path::new(which);
            let (bytes, known) = self.examine(path)?;
            let name = known.manifest.name.clone();
            (name.clone(), artifact::open_bytes(&name, &self.places, &bytes)?)
        } else {
            let found = super::registry::find(&self.places, which)?
                .ok_or_else(|| self.not_found(Kind::Storage, which))?;
            (which.to_owned(), artifact::open(&found, &self.places)?)
        };
        let ready = link(&name, &opened)?;
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

impl Trial {
    /// Which plugin it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.ready.identity
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
        }
    }
}

/// A name with a slash, or one that ends as components do; the rule of `wxc plugin show`.
fn is_file(which: &str) -> bool {
    which.contains('/') || Path::new(which).extension().is_some_and(|extension| extension == "wasm")
}

fn link(name: &str, opened: &Opened) -> Result<Ready, PluginError> {
    let manifest: Manifest = super::read_manifest(name, &opened.facts.manifest)?;
    let identity = Identity { name: name.to_owned(), version: manifest.version.clone() };
    if manifest.kind != Kind::Storage {
        let (name, is) = (name.to_owned(), manifest.kind);
        return Err(PluginError::WrongKind { name, is, wanted: Kind::Storage });
    }
    let engine = engine::shared()?;
    let component = opened.component(engine, name)?;
    let ready = Ready::link(engine, &component, identity, opened.facts.clone(), manifest)?;
    ready.need(Kind::Storage.interface())?;
    Ok(ready)
}

/// Programs of the host run with its rights, and named devices are its disks; everything else works on files of the pool.
fn reaches_beyond(permission: &Permission) -> bool {
    matches!(permission.subject(), "command" | "commands" | "device")
}
