//! Plugins: components that decide, and the gate through which they reach the host.
//!
//! In reading order:
//!
//! - [`registry`]: where plugins are looked for · [`manifest`]: what a plugin says of itself
//! - [`command_line`]: templates of commands and their placeholders
//! - [`grants`]: asked ∩ granted, the only place that says yes
//! - `artifact`, `compiler`, `embedded`: from a file to machine code that may be run · `remembered`: what need not be found out again
//! - `call`: one call, in a store of its own · [`budget`]: what it may use up
//! - [`record`]: calls taken down · [`replay`]: calls run again from that
//! - `host`: what guests may import, one file per interface · `wasi`: an empty world for toolchains
//! - [`storage`] with [`mounts`], [`template`], [`hook`]: the three kinds, in plain Rust
//! - [`admin`], [`install`], [`book`], [`compare`]: what is behind `wxc plugin` · `pack`: making the file that is installed · [`trial`]: a component
//!   that is being tested · [`scaffold`]: what a new plugin begins with
//!
//! ```text
//! name -> registry -> artifact (facts) -> manifest -> grants -> link -> Ready
//!                                                                        │ per call: store, instance,
//!                                                                        ▼ budget, answer checked
//!                                                              Storage / Template / Hook
//! ```

mod artifact;
mod bindings;
mod call;
mod compiler;
mod embedded;
mod files;
mod host;
mod pack;
mod remembered;
mod wasi;

pub mod admin;
pub mod book;
pub mod budget;
pub mod command_line;
pub mod compare;
pub mod engine;
pub mod error;
pub mod grants;
pub mod hook;
pub mod install;
pub mod manifest;
pub mod mounts;
pub mod record;
pub mod registry;
pub mod replay;
pub mod scaffold;
pub mod storage;
pub mod template;
pub mod trial;
pub mod volume_id;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use error::{FailureKind, Identity, PluginError};
pub use hook::{Hook, HookPlugin};
pub use host::{Enter, InsideRequest, Root};
pub use host::{Fetcher, InputError, Inputs, Interruption, Progress, Quiet, Strike, Unit, Verifier};
pub use mounts::MountPlan;
pub use registry::{Kind, Places};
pub use storage::{Storage, StoragePlugin};
pub use template::{Template, TemplatePlugin};

use artifact::CodeSource;
use book::Book;
use call::Ready;
use files::LastRead;
use grants::{Grants, Permission};
use manifest::Manifest;
use record::Records;
use registry::{Found, Place, Stamp};
use remembered::{Notes, Remembered};

/// The plugins of this caller: where they are, and what they were granted.
#[derive(Debug)]
pub struct Plugins {
    places: Places,
    /// Never taken down: machine code goes with its process, and to unmap it piece by piece before that is work for nothing.
    loaded: ManuallyDrop<Mutex<Vec<Arc<Loaded>>>>,
    grants: LastRead<Grants>,
    book: LastRead<Book>,
}

/// One that was loaded in this process: a command asks a hook several times, and loading costs more than asking.
#[derive(Debug)]
struct Loaded {
    /// The bytes are those that it was loaded from.
    stamp: Stamp,
    /// What has to be granted each time.
    asked: BTreeSet<Permission>,
    /// When it was last seen to be there, and granted.
    checked: Mutex<Option<Instant>>,
    ready: Ready,
    notes: Arc<Notes>,
}

impl Loaded {
    fn is(&self, kind: Kind, name: &str) -> bool {
        self.ready.manifest.kind == kind && self.ready.identity.name == name
    }

    fn was_just_checked(&self) -> bool {
        let checked = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.is_some_and(|checked| checked.elapsed() < files::MOMENT)
    }
}

/// Values for declared settings, by key.
pub type SettingValues = BTreeMap<String, String>;

/// Declared settings with what holds for this plugin.
#[derive(Debug, Clone, Default)]
struct Settings(Arc<BTreeMap<String, Option<String>>>);

/// Whoever shows progress; a type of its own so that plugins can be printed.
#[derive(Clone)]
struct Watcher(Arc<dyn Progress>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Plugins {
    /// Those of these places.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self {
            places,
            loaded: ManuallyDrop::default(),
            grants: LastRead::default(),
            book: LastRead::default(),
        }
    }

    /// The directories that code, grants and compiled code are taken from, as far as they are to be trusted.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.places.directories()
    }

    /// A storage plugin with the directory that is its pool. `settings` are the administrator's; keys that the
    /// manifest does not declare are refused.
    ///
    /// # Errors
    /// When there is none, it is not granted, or it cannot be loaded.
    pub fn storage(
        &self,
        name: &str,
        pool: &Path,
        settings: &SettingValues,
        progress: Arc<dyn Progress>,
    ) -> Result<StoragePlugin, PluginError> {
        self.storage_with(name, pool, settings, &SettingValues::new(), progress)
    }

    /// The same, with settings that the user gave for one call: those that the manifest leaves to users.
    ///
    /// # Errors
    /// As [`Plugins::storage`].
    pub fn storage_with(
        &self,
        name: &str,
        pool: &Path,
        settings: &SettingValues,
        by_user: &SettingValues,
        progress: Arc<dyn Progress>,
    ) -> Result<StoragePlugin, PluginError> {
        let ready = self.load(Kind::Storage, name)?.ready.clone();
        let settings = settings_with(&ready, settings, by_user)?;
        Ok(StoragePlugin {
            ready,
            pool: pool.to_owned(),
            settings,
            progress: Watcher(progress),
            durable_later: false,
            interruption: None,
            records: Records::None,
        })
    }

    /// A template plugin. `state` is where its own small state is kept.
    ///
    /// # Errors
    /// As [`Plugins::storage`].
    pub fn template(
        &self,
        name: &str,
        state: Option<&Path>,
        settings: &SettingValues,
        progress: Arc<dyn Progress>,
    ) -> Result<TemplatePlugin, PluginError> {
        let ready = self.load(Kind::Template, name)?.ready.clone();
        let settings = ready_settings(&ready, settings)?;
        let shown = ready.manifest.host_system.as_ref().map_or_else(Vec::new, |h| h.directories.clone());
        let state = state.map(|dir| dir.join(name));
        Ok(TemplatePlugin {
            ready,
            state,
            settings,
            host_directories: shown.into(),
            fetcher: None,
            verifier: None,
            inputs: None,
            records: Records::None,
            progress: Watcher(progress),
        })
    }

    /// A hook plugin, for one container, whose directory keeps its small state.
    ///
    /// # Errors
    /// As [`Plugins::storage`].
    pub fn hook(
        &self,
        name: &str,
        container: Option<&Path>,
        settings: &SettingValues,
        progress: Arc<dyn Progress>,
    ) -> Result<HookPlugin, PluginError> {
        let loaded = self.load(Kind::Hook, name)?;
        let (ready, notes) = (loaded.ready.clone(), Some(Arc::clone(&loaded.notes)));
        let settings = ready_settings(&ready, settings)?;
        let state = container.map(|dir| dir.join(".plugin-state").join(name));
        let outside = hook::Outside::default();
        let (records, records_of_new) = (Records::None, Records::None);
        let progress = Watcher(progress);
        Ok(HookPlugin { ready, notes, state, settings, records, records_of_new, progress, outside })
    }

    /// From a name to something that can be called. The order is the point: nothing of a plugin is run, and no
    /// machine code of it is loaded, before its grants were checked.
    fn load(&self, kind: Kind, name: &str) -> Result<Arc<Loaded>, PluginError> {
        let known = self.loaded_before(kind, name);
        if let Some(loaded) = known.as_ref().filter(|loaded| loaded.was_just_checked()) {
            return Ok(Arc::clone(loaded));
        }
        let found = registry::find(&self.places, name)?.ok_or_else(|| self.not_found(kind, name))?;
        self.check_enabled(name)?;
        if let Some(loaded) = known.filter(|loaded| loaded.stamp == found.stamp()) {
            // They may have been taken back since.
            self.check_grants(&loaded)?;
            return Ok(loaded);
        }
        let loaded = Arc::new(self.load_anew(kind, found)?);
        self.check_grants(&loaded)?;
        loaded.ready.need(kind.interface())?;
        let mut all = self.all_loaded();
        all.retain(|other| !other.is(kind, name));
        all.push(Arc::clone(&loaded));
        Ok(loaded)
    }

    fn load_anew(&self, kind: Kind, found: Found) -> Result<Loaded, PluginError> {
        let (name, place, stamp) = (found.name.clone(), found.place, found.stamp());
        let (remembered, notes) = remembered::recall(&found, &self.places);
        let (facts, manifest, code) = match remembered {
            Some(Remembered { facts, manifest }) => {
                let (digest, key, places) = (facts.digest.clone(), facts.key.clone(), self.places.clone());
                (facts, manifest, CodeSource::Later { found, digest, key, places })
            }
            None => {
                let opened = artifact::open(&found, &self.places)?;
                let manifest = read_manifest(&name, &opened.facts.manifest)?;
                // Of a hook with what it subscribes to.
                if kind != Kind::Hook {
                    notes.keep_new(&opened.facts, &manifest);
                }
                (opened.facts.clone(), manifest, CodeSource::Opened(opened))
            }
        };
        if manifest.kind != kind {
            return Err(PluginError::WrongKind { name, is: manifest.kind, wanted: kind });
        }
        let asked = if place == Place::BuiltIn {
            // Who built the binary granted what is built in.
            BTreeSet::new()
        } else {
            grants::asked(&facts, &manifest)
        };
        let identity = Identity { name, version: manifest.version.clone() };
        let ready = Ready::new(engine::shared()?, code, identity, facts, manifest)?;
        Ok(Loaded { stamp, asked, checked: Mutex::default(), ready, notes: Arc::new(notes) })
    }

    fn loaded_before(&self, kind: Kind, name: &str) -> Option<Arc<Loaded>> {
        self.all_loaded().iter().find(|loaded| loaded.is(kind, name)).cloned()
    }

    fn all_loaded(&self) -> MutexGuard<'_, Vec<Arc<Loaded>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_enabled(&self, name: &str) -> Result<(), PluginError> {
        let grants = &self.places.grants;
        let off = self.book.now(&Book::path(grants), || Book::load(grants))?.is_disabled(name);
        if off { Err(PluginError::Disabled(name.to_owned())) } else { Ok(()) }
    }

    fn check_grants(&self, loaded: &Loaded) -> Result<(), PluginError> {
        self.check_that_granted(loaded)?;
        *loaded.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    fn check_that_granted(&self, loaded: &Loaded) -> Result<(), PluginError> {
        if loaded.asked.is_empty() {
            return Ok(());
        }
        let plugin = &loaded.ready.identity;
        let file = &self.places.grants;
        let grants = self.grants.now(file, || Grants::load(file))?;
        let granted = grants.of(&plugin.name, &loaded.ready.facts.digest);
        let missing: Vec<Permission> = loaded.asked.difference(&granted).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let changed = granted.is_empty() && grants.knows(&plugin.name);
        Err(PluginError::NotGranted { plugin: plugin.clone(), missing, changed })
    }

    fn not_found(&self, kind: Kind, name: &str) -> PluginError {
        let known = self.list().into_iter().filter_map(|listed| {
            let about = listed.about.ok()?;
            (about.kind == kind).then_some(listed.name)
        });
        PluginError::NotFound { kind, name: name.to_owned(), known: known.collect() }
    }
}

/// The manifest of a component, whose name has to be that of its file.
fn read_manifest(name: &str, text: &str) -> Result<Manifest, PluginError> {
    let fail = |source| PluginError::Manifest { name: name.to_owned(), source };
    let manifest = Manifest::parse(text).map_err(fail)?;
    if manifest.name != name {
        let why = format!("it is {:?}, and the file is called {name}.wasm", manifest.name);
        return Err(fail(manifest::ManifestError::Value { field: "name".into(), why }));
    }
    Ok(manifest)
}

/// What the administrator set, and on top of it what the user may.
fn settings_with(
    ready: &Ready,
    given: &SettingValues,
    by_user: &SettingValues,
) -> Result<Settings, PluginError> {
    let own = |key: &&String| ready.manifest.settings.get(*key).is_some_and(|setting| !setting.user);
    if let Some(key) = by_user.keys().find(own) {
        let why = format!("the setting {key} is the administrator's alone (wxc.toml)");
        return Err(PluginError::Setting { plugin: ready.identity.clone(), why });
    }
    let all: SettingValues = given.iter().chain(by_user).map(|(k, v)| (k.clone(), v.clone())).collect();
    ready_settings(ready, &all)
}

/// Every declared key, with what was set or the default.
fn ready_settings(ready: &Ready, given: &SettingValues) -> Result<Settings, PluginError> {
    let refuse = |why| PluginError::Setting { plugin: ready.identity.clone(), why };
    let declared = &ready.manifest.settings;
    if let Some(unknown) = given.keys().find(|key| !declared.contains_key(*key)) {
        let known: Vec<&str> = declared.keys().map(String::as_str).collect();
        return Err(refuse(format!("it has no setting {unknown:?} (it has: {})", known.join(", "))));
    }
    let value = |(key, setting): (&String, &manifest::Setting)| {
        let value = given.get(key).or(setting.default.as_ref());
        let value = value
            .map(|v| setting.normal(v))
            .transpose()
            .map_err(|why| refuse(format!("setting {key}: {why}")))?;
        Ok((key.clone(), value))
    };
    Ok(Settings(Arc::new(declared.iter().map(value).collect::<Result<_, PluginError>>()?)))
}
