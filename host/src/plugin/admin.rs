#![forbid(unsafe_code)]
//! What is behind `wxc plugin list` and `show`: everything an administrator can see, as data.
//!
//! Nothing here runs a plugin: what is shown is read from the component's bytes.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wxc_engine::{Digest, Facts};

use super::book::{Book, Source};
use super::compare::Differences;
use super::error::PluginError;
use super::grants::{self, Grants, Permission};
use super::host::linking;
use super::manifest::Manifest;
use super::registry::{self, Kind, Place};
use super::{Plugins, artifact, read_manifest};

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
    /// Whether the administrator has switched it off.
    pub disabled: bool,
    /// Where this file came from, and who vouched for it.
    pub source: Option<Source>,
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
    /// Of a file that is not installed: what is different from the plugin of its name that is there.
    pub differences: Option<Differences>,
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
#[derive(Debug)]
pub(super) struct Known {
    pub(super) facts: Facts,
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
        let name = known.manifest.name.clone();
        let mut shown = self.shown(&name, None, Some(path.to_owned()), &known)?;
        // One that cannot be read is no reason not to look at this one.
        let there = registry::find(&self.places, &name).ok().flatten().map(|_| self.show(&name));
        shown.differences = there.and_then(Result::ok).map(|there| Differences::between(&there, &shown));
        Ok(shown)
    }

    pub(super) fn know(&self, found: &registry::Found) -> Result<Known, PluginError> {
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
        let book = Book::load(&self.places.grants)?;
        Ok(About {
            kind: known.manifest.kind,
            version: known.manifest.version.clone(),
            description: known.manifest.description.clone(),
            digest: known.facts.digest.clone(),
            size: known.facts.size,
            granted: grants::asked(&known.facts, &known.manifest).is_subset(&granted),
            disabled: book.is_disabled(name),
            source: book.source(name, &known.facts.digest).cloned(),
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
            differences: None,
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

pub(super) fn unknown(plugins: &Plugins, name: &str) -> PluginError {
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
