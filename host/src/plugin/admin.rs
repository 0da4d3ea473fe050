#![forbid(unsafe_code)]
//! What is behind `wxc plugin`: everything an administrator can see and change, as data.
//!
//! Nothing here runs a plugin: what is shown is read from the component's bytes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use wxc_engine::{Digest, Facts};

use super::error::{Identity, PluginError};
use super::grants::{self, Grants, Permission};
use super::host::linking;
use super::manifest::Manifest;
use super::registry::{self, Kind, Place};
use super::{Plugins, artifact, files, read_manifest};

/// One line of `wxc plugin list`.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Where it was found.
    pub place: Option<Place>,
    /// Its file, unless it is built in.
    pub path: Option<PathBuf>,
    /// What it is, or why it cannot be used.
    pub about: Result<About, PluginError>,
}

/// What a plugin is, in short.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// What it is for.
    pub kind: Kind,
    /// Version from its manifest.
    pub version: String,
    /// One sentence from its manifest.
    pub description: String,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Size of the component in bytes.
    pub size: u64,
    /// Whether everything it asks for is granted.
    pub granted: bool,
}

/// What `wxc plugin show` shows.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Where it was found; none for a file that is not installed.
    pub place: Option<Place>,
    /// Its file, unless it is built in.
    pub path: Option<PathBuf>,
    /// Whether it stands in for one that is built in.
    pub replaces_built_in: bool,
    /// What it is.
    #[serde(flatten)]
    pub about: About,
    /// Authors, license and homepage, where the manifest has them.
    pub authors: Vec<String>,
    /// SPDX expression.
    pub license: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
    /// What it can do: its exports.
    pub abilities: Vec<Ability>,
    /// What it can ever touch: its imports, narrowed by its manifest.
    pub permissions: Vec<ShownPermission>,
    /// Imports that this wxc does not offer: the plugin cannot be used with it.
    pub not_offered: Vec<String>,
    /// The file its records go to, where it keeps some and somebody knows where containers are.
    pub records: Option<PathBuf>,
    /// Keys it can be configured with.
    pub settings: Vec<ShownSetting>,
    /// MiB of memory and milliseconds it asks for above the usual.
    pub memory: Option<u32>,
    /// Milliseconds of computing between two calls to the host, when above the usual.
    pub time: Option<u32>,
}

/// An exported interface.
#[derive(Debug, Serialize)]
pub struct Ability {
    /// With its version.
    pub interface: String,
    /// In words.
    pub words: &'static str,
}

/// Something it asks for.
#[derive(Debug, Serialize)]
pub struct ShownPermission {
    /// As it is granted.
    pub permission: Permission,
    /// In words.
    pub words: String,
    /// What the author says it is for.
    pub reason: Option<String>,
    /// Whether it was granted to this very file.
    pub granted: bool,
}

/// A key of its configuration.
#[derive(Debug, Serialize)]
pub struct ShownSetting {
    /// The key.
    pub key: String,
    /// One sentence.
    pub doc: String,
    /// What holds when nobody sets it.
    pub default: Option<String>,
    /// Whether a user may set it for one call.
    pub user: bool,
}

/// A larger file is refused.
const MAX_COMPONENT: u64 = 128 << 20;

/// Facts and manifest of one plugin.
pub(super) struct Known {
    facts: Facts,
    pub(super) manifest: Manifest,
    built_in: bool,
}

impl Known {
    pub(super) fn exports(&self, interface: &str) -> bool {
        self.facts.exports.iter().any(|export| export == interface)
    }
}

impl Plugins {
    /// All plugins, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let listed = registry::all(&self.places).into_iter().map(|(name, found)| match found {
            Err(error) => Listed { name, place: None, path: None, about: Err(error) },
            Ok(found) => {
                let about = self.know(&found).and_then(|known| self.about(&name, &known));
                Listed { name, place: Some(found.place), path: found.path, about }
            }
        });
        listed.collect()
    }

    /// Everything about a plugin, by its name, or by the path of a file (with a slash, or ending in `.wasm`).
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn show(&self, name: &str) -> Result<Shown, PluginError> {
        if name.contains('/') || Path::new(name).extension().is_some_and(|e| e == "wasm") {
            return self.show_file(Path::new(name));
        }
        let found = registry::find(&self.places, name)?.ok_or_else(|| unknown(self, name))?;
        let known = self.know(&found)?;
        self.shown(name, Some(found.place), found.path.clone(), &known)
    }

    fn show_file(&self, path: &Path) -> Result<Shown, PluginError> {
        let known = self.examine(path)?.1;
        self.shown(&known.manifest.name.clone(), None, Some(path.to_owned()), &known)
    }

    /// Copies a component to where installed plugins are, compiles it, and returns what it asks for. It can be used
    /// once that is granted; what another file of its name was granted does not count.
    ///
    /// # Errors
    /// When it is not a plugin or cannot be written. Nothing is changed then.
    pub fn install(&self, file: &Path) -> Result<Shown, PluginError> {
        let (bytes, known) = self.examine(file)?;
        let name = known.manifest.name.clone();
        let interface = known.manifest.kind.interface();
        if !known.exports(interface) {
            let plugin = Identity { name, version: known.manifest.version };
            return Err(PluginError::Lacks { plugin, interface: interface.to_owned() });
        }
        let target = self.places.installed.join(format!("{name}.wasm"));
        files::replace(&target, &bytes, 0o644)?;
        self.show(&name)
    }

    /// Grants permissions to the plugin file that is found under a name; everything it asks for when none are given.
    /// Returns what was granted.
    ///
    /// # Errors
    /// When the plugin does not ask for one of them: a grant that nothing uses is a misunderstanding.
    pub fn grant(&self, name: &str, permissions: &[Permission]) -> Result<Vec<Permission>, PluginError> {
        let found = registry::find(&self.places, name)?.ok_or_else(|| unknown(self, name))?;
        let known = self.know(&found)?;
        let asked = grants::asked(&known.facts, &known.manifest);
        if let Some(other) = permissions.iter().find(|p| !asked.contains(p)) {
            let plugin = Identity { name: name.to_owned(), version: known.manifest.version };
            let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
            let why = format!("it does not ask for {other} (it asks for: {})", asked.join(", "));
            return Err(PluginError::Setting { plugin, why });
        }
        let given: Vec<Permission> =
            if permissions.is_empty() { asked.into_iter().collect() } else { permissions.to_vec() };
        let _alone = Grants::alone(&self.places.grants)?;
        let mut grants = Grants::load(&self.places.grants)?;
        grants.add(name, &known.facts.digest, given.iter().cloned());
        grants.save()?;
        Ok(given)
    }

    /// Takes permissions back from every file of a name; all of them when none are given. What is built in needs no
    /// grants and cannot lose them.
    ///
    /// # Errors
    /// When the grants file cannot be written.
    pub fn revoke(&self, name: &str, permissions: &[Permission]) -> Result<(), PluginError> {
        let _alone = Grants::alone(&self.places.grants)?;
        let mut grants = Grants::load(&self.places.grants)?;
        grants.take(name, permissions);
        grants.save()
    }

    /// Removes an installed plugin and its grants. One that is built in or comes from a package stays, and is then
    /// what its name means again.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn remove(&self, name: &str) -> Result<PathBuf, PluginError> {
        if !super::manifest::is_name(name) {
            return Err(PluginError::BadName(name.to_owned()));
        }
        let path = self.places.installed.join(format!("{name}.wasm"));
        if let Ok(bytes) = fs::read(&path) {
            artifact::forget(&self.places, &Digest::of(&bytes));
        }
        fs::remove_file(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => PluginError::NotInstalled(name.to_owned()),
            _ => PluginError::Io { doing: "remove", path: path.clone(), source },
        })?;
        let _alone = Grants::alone(&self.places.grants)?;
        let mut grants = Grants::load(&self.places.grants)?;
        grants.forget(name);
        grants.save()?;
        Ok(path)
    }

    fn know(&self, found: &registry::Found) -> Result<Known, PluginError> {
        let facts = artifact::open(found, &self.places)?.facts;
        let manifest = read_manifest(&found.name, &facts.manifest)?;
        Ok(Known { facts, manifest, built_in: found.place == Place::BuiltIn })
    }

    /// Reads a file that nobody vouches for; the compiler looks at it, confined.
    pub(super) fn examine(&self, path: &Path) -> Result<(Vec<u8>, Known), PluginError> {
        let fail = |source| PluginError::Io { doing: "read", path: path.to_owned(), source };
        let mut bytes = Vec::new();
        fs::File::open(path).and_then(|f| f.take(MAX_COMPONENT).read_to_end(&mut bytes)).map_err(fail)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let known = self.examine_bytes(&name, &bytes)?;
        Ok((bytes, known))
    }

    /// The same for a component in memory.
    pub(super) fn examine_bytes(&self, name: &str, component: &[u8]) -> Result<Known, PluginError> {
        let facts = artifact::facts_of(name, &self.places, component)?;
        let manifest = Manifest::parse(&facts.manifest)
            .map_err(|source| PluginError::Manifest { name: name.to_owned(), source })?;
        Ok(Known { facts, manifest, built_in: false })
    }

    fn granted(&self, name: &str, known: &Known) -> Result<BTreeSet<Permission>, PluginError> {
        if known.built_in {
            return Ok(grants::asked(&known.facts, &known.manifest));
        }
        Ok(Grants::load(&self.places.grants)?.of(name, &known.facts.digest))
    }

    fn about(&self, name: &str, known: &Known) -> Result<About, PluginError> {
        let granted = self.granted(name, known)?;
        Ok(About {
            kind: known.manifest.kind,
            version: known.manifest.version.clone(),
            description: known.manifest.description.clone(),
            digest: known.facts.digest.clone(),
            size: known.facts.size,
            granted: grants::asked(&known.facts, &known.manifest).is_subset(&granted),
        })
    }

    pub(super) fn shown(
        &self,
        name: &str,
        place: Option<Place>,
        path: Option<PathBuf>,
        known: &Known,
    ) -> Result<Shown, PluginError> {
        let granted = self.granted(name, known)?;
        let manifest = &known.manifest;
        let permission = |permission: Permission| ShownPermission {
            words: permission.explain(),
            reason: reason(manifest, &permission),
            granted: granted.contains(&permission),
            permission,
        };
        let setting = |(key, setting): (&String, &super::manifest::Setting)| ShownSetting {
            key: key.clone(),
            doc: setting.doc.clone(),
            default: setting.default.clone(),
            user: setting.user,
        };
        Ok(Shown {
            name: name.to_owned(),
            replaces_built_in: place != Some(Place::BuiltIn) && registry::find_built_in(name).is_some(),
            place,
            path,
            about: self.about(name, known)?,
            authors: manifest.authors.clone(),
            license: manifest.license.clone(),
            homepage: manifest.homepage.clone(),
            // Toolchains of interpreters export what they start with: no interface, and nothing that wxc could call.
            abilities: known.facts.exports.iter().filter(|e| e.contains(':')).map(|e| ability(e)).collect(),
            permissions: grants::asked(&known.facts, manifest).into_iter().map(permission).collect(),
            not_offered: known.facts.imports.iter().filter(|i| !linking::offered(i)).cloned().collect(),
            records: None,
            settings: manifest.settings.iter().map(setting).collect(),
            memory: manifest.limits.memory,
            time: manifest.limits.time,
        })
    }
}

fn unknown(plugins: &Plugins, name: &str) -> PluginError {
    let known = registry::all(&plugins.places).into_keys().collect();
    PluginError::Unknown { name: name.to_owned(), known }
}

/// An export in words.
fn ability(interface: &str) -> Ability {
    const WORDS: &[(&str, &str)] = &[
        ("wxc:storage/volumes", "keep root file systems: make, seal, mount, measure and remove volumes"),
        ("wxc:storage/clones", "make containers that share what they have in common"),
        ("wxc:storage/snapshots", "take and restore snapshots"),
        ("wxc:storage/snapshots-at-rest", "take snapshots of what is mounted while nothing writes to it"),
        ("wxc:storage/sizes", "limit what a volume takes up"),
        ("wxc:storage/devices", "attach and detach the devices of volumes"),
        ("wxc:storage/renames", "give volumes another name"),
        ("wxc:storage/transfer", "send and receive volumes in its own format"),
        ("wxc:template/template", "find images and say how a root file system is made of them"),
        ("wxc:hook/hook", "propose and judge changes of a start, and act at events"),
    ];
    let name = interface.split('@').next().unwrap_or(interface);
    let known = WORDS.iter().find(|(known, _)| *known == name);
    Ability {
        interface: interface.to_owned(),
        words: known.map_or("something this wxc does not know", |(_, w)| w),
    }
}

/// What the author says a permission is for.
fn reason(manifest: &Manifest, permission: &Permission) -> Option<String> {
    let named = || permission.detail()?.split(':').next();
    match permission.subject() {
        "command" => Some(manifest.commands.get(named()?)?.reason.clone()),
        "device" => Some(manifest.devices.get(named()?)?.reason.clone()),
        "share" => Some(manifest.shares.get(named()?)?.reason.clone()),
        "fetch" | "origin" | "origin-of" | "origin-setting" => Some(manifest.fetch.as_ref()?.reason.clone()),
        "notify" | "notify-origin" | "notify-setting" => Some(manifest.notify.as_ref()?.reason.clone()),
        "trust" | "keyring" => Some(manifest.trust.as_ref()?.reason.clone()),
        "host-system" | "host-directory" => Some(manifest.host_system.as_ref()?.reason.clone()),
        "bootstrap" | "bootstrap-network" => Some(manifest.bootstrap.as_ref()?.reason.clone()),
        "change" | "change-key" | "change-device" => Some(manifest.changes.as_ref()?.reason.clone()),
        interface => manifest.reasons.get(interface).cloned(),
    }
}
