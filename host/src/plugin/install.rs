#![forbid(unsafe_code)]
//! What an administrator changes: which plugins are installed, in which version, what they are granted, which are switched off.
//!
//! A plugin's file is replaced in one step: after a crash it is the old one or the new one. What is known of the new one (its grants,
//! where it came from) is written before, because that is said of its digest, and what is not needed any more goes afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wxc_engine::Digest;

use super::admin::{Known, Shown, unknown};
use super::book::{Book, Source, Vouched};
use super::compare::Differences;
use super::error::{Identity, PluginError};
use super::grants::{self, Grants, Permission};
use super::registry::{self, Place};
use super::{Plugins, artifact, files, remembered};
use crate::sys::failpoint;

/// The directory with the files that were there before, beside the installed ones.
const PREVIOUS: &str = ".previous";

/// A component, and where it came from.
#[derive(Debug)]
pub struct Parcel {
    /// The component.
    pub bytes: Vec<u8>,
    /// An address, or the absolute path of a file.
    pub origin: String,
    /// Who vouched for it.
    pub vouched: Option<Vouched>,
}

impl Parcel {
    fn source(&self) -> Source {
        let installed = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Source { origin: self.origin.clone(), installed, vouched: self.vouched.clone() }
    }
}

/// How an upgrade is to be made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Upgrade {
    /// Grant everything that the new file asks for.
    pub grant: bool,
    /// Also to an older version.
    pub allow_downgrade: bool,
    /// The administrator named the keys for it, so that the signer may be another one.
    pub new_keys: bool,
}

/// What an upgrade made of a plugin.
#[derive(Debug, Serialize)]
pub struct Upgraded {
    /// What it is now.
    pub plugin: Shown,
    /// What is different.
    pub differences: Differences,
    /// What it asks for and was not granted.
    pub missing: Vec<Permission>,
}

impl Plugins {
    /// Installs a component from a file that the administrator has. It can be used once what it asks for is granted; what
    /// another file of its name was granted does not count.
    ///
    /// # Errors
    /// When it is not a plugin or cannot be written. Nothing is changed then.
    pub fn install(&self, file: &Path) -> Result<Shown, PluginError> {
        let io = |source| PluginError::Io { doing: "read", path: file.to_owned(), source };
        let (bytes, _) = self.examine(file)?;
        let origin = std::path::absolute(file).map_err(io)?.display().to_string();
        self.bring(&Parcel { bytes, origin, vouched: None })
    }

    /// The same from wherever it came.
    ///
    /// # Errors
    /// As [`Plugins::install`].
    pub fn bring(&self, parcel: &Parcel) -> Result<Shown, PluginError> {
        let known = self.examine_parcel(parcel)?;
        let name = known.manifest.name.clone();
        let _held = files::hold(&self.places.installed)?;
        self.put(&name, parcel, &known.facts.digest)?;
        self.show(&name)
    }

    /// Puts another file in the place of an installed plugin. Its grants are kept as far as it asks for the same in the same words
    /// and somebody vouched for it.
    ///
    /// # Errors
    /// It is not installed, the file is another plugin's or older, or is signed by somebody else. Nothing is changed then.
    pub fn upgrade(&self, name: &str, parcel: &Parcel, how: Upgrade) -> Result<Upgraded, PluginError> {
        let _held = files::hold(&self.places.installed)?;
        let old = self.installed(name)?;
        let known = self.examine_parcel(parcel)?;
        if known.manifest.name != name {
            let (is, wanted) = (known.manifest.name, name.to_owned());
            return Err(PluginError::OtherPlugin { is, wanted });
        }
        let new = self.shown(name, None, None, &known)?;
        let differences = Differences::between(&old, &new);
        if differences.older && !how.allow_downgrade {
            let (from, to) = (differences.from, differences.to);
            return Err(PluginError::Older { plugin: name.to_owned(), from, to });
        }
        if !how.new_keys {
            same_signer(&old, parcel, differences.same_file)?;
        }
        let asked = grants::asked(&known.facts, &known.manifest);
        let held: BTreeSet<Permission> =
            old.permissions.iter().filter(|p| p.granted).map(|p| p.permission.clone()).collect();
        let grant: BTreeSet<Permission> = match (how.grant, parcel.vouched.is_some()) {
            (true, _) => asked,
            (false, true) => asked.intersection(&held).cloned().collect(),
            (false, false) => BTreeSet::new(),
        };
        self.replace(name, parcel, &known.facts.digest, differences, grant)
    }

    /// Puts the file in place that was there before the last upgrade, with the grants that it had.
    ///
    /// # Errors
    /// There is none.
    pub fn back(&self, name: &str) -> Result<Upgraded, PluginError> {
        let _held = files::hold(&self.places.installed)?;
        let old = self.installed(name)?;
        let path = self.previous(name);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => PluginError::NoPrevious(name.to_owned()),
            _ => PluginError::Io { doing: "read", path: path.clone(), source },
        })?;
        let source = Book::load(&self.places.grants)?.source(name, &Digest::of(&bytes)).cloned();
        let (origin, vouched) = source.map_or((path.display().to_string(), None), |s| (s.origin, s.vouched));
        let parcel = Parcel { bytes, origin, vouched };
        let known = self.examine_parcel(&parcel)?;
        let new = self.shown(name, None, None, &known)?;
        let differences = Differences::between(&old, &new);
        // What it was granted is known of its digest.
        self.replace(name, &parcel, &known.facts.digest, differences, BTreeSet::new())
    }

    fn replace(
        &self,
        name: &str,
        parcel: &Parcel,
        digest: &Digest,
        differences: Differences,
        grant: BTreeSet<Permission>,
    ) -> Result<Upgraded, PluginError> {
        if !grant.is_empty() {
            let mut grants = Grants::load(&self.places.grants)?;
            grants.add(name, digest, grant);
            grants.save()?;
        }
        self.put(name, parcel, digest)?;
        let plugin = self.show(name)?;
        let missing =
            plugin.permissions.iter().filter(|p| !p.granted).map(|p| p.permission.clone()).collect();
        Ok(Upgraded { plugin, differences, missing })
    }

    /// Writes a file into the place of installed ones; the one that is there stays as the previous one.
    fn put(&self, name: &str, parcel: &Parcel, digest: &Digest) -> Result<(), PluginError> {
        let target = self.file_of(name);
        let mut book = Book::load(&self.places.grants)?;
        let mut source = parcel.source();
        // Who vouched for these very bytes has done so, wherever they come from now.
        let known = book.source(name, digest).and_then(|known| known.vouched.clone());
        source.vouched = source.vouched.or(known);
        book.remember(name, digest, source);
        passed("plugin.before", &target)?;
        book.save()?;
        let mut kept = vec![digest.clone()];
        if let Some(before) = read_if_there(&target)? {
            let before_digest = Digest::of(&before);
            if before_digest == *digest {
                // It is there already, and the one before it stays what it is.
                return Ok(());
            }
            let previous = self.previous(name);
            if let Some(displaced) = read_if_there(&previous)?.map(|bytes| Digest::of(&bytes))
                && displaced != *digest
                && displaced != before_digest
            {
                artifact::forget(&self.places, &displaced);
            }
            files::replace(&previous, &before, 0o644)?;
            kept.push(before_digest);
        }
        passed("plugin.replace", &target)?;
        files::replace(&target, &parcel.bytes, 0o644)?;
        passed("plugin.replaced", &target)?;
        // What is left to do only tidies up.
        book.keep_only(name, &kept);
        book.save()?;
        passed("plugin.tidied", &target)?;
        let mut grants = Grants::load(&self.places.grants)?;
        grants.keep_only(name, &kept);
        grants.save()
    }

    /// Grants permissions to the plugin file that is found under a name; everything it asks for when none are given.
    /// Returns what was granted.
    ///
    /// # Errors
    /// When the plugin does not ask for one of them: a grant that nothing uses is a misunderstanding.
    pub fn grant(&self, name: &str, permissions: &[Permission]) -> Result<Vec<Permission>, PluginError> {
        let _held = files::hold(self.beside_grants())?;
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
        let mut grants = Grants::load(&self.places.grants)?;
        grants.add(name, &known.facts.digest, given.iter().cloned());
        grants.save()?;
        Ok(given)
    }

    /// Takes permissions back from every file of a name; all of them when none are given. What is built in needs no
    /// grants and cannot lose them.
    ///
    /// # Errors
    /// There is no such plugin, no file of it was granted one of them, or the grants file cannot be written.
    pub fn revoke(&self, name: &str, permissions: &[Permission]) -> Result<(), PluginError> {
        let _held = files::hold(self.beside_grants())?;
        let mut grants = Grants::load(&self.places.grants)?;
        // One that is gone can lose what it was granted, so that nothing of it is left.
        if !grants.knows(name) && registry::find(&self.places, name)?.is_none() {
            return Err(unknown(self, name));
        }
        let granted = grants.all_of(name);
        if let Some(permission) = permissions.iter().find(|permission| !granted.contains(permission)) {
            let (plugin, permission) = (name.to_owned(), permission.clone());
            return Err(PluginError::NothingToRevoke {
                plugin,
                permission,
                granted: granted.into_iter().collect(),
            });
        }
        grants.take(name, permissions);
        grants.save()
    }

    /// Switches a plugin off, so that nobody loads it, or on again. Returns whether that changed anything.
    ///
    /// # Errors
    /// There is no such plugin.
    pub fn set_disabled(&self, name: &str, off: bool) -> Result<bool, PluginError> {
        let _held = files::hold(self.beside_grants())?;
        let mut book = Book::load(&self.places.grants)?;
        // One that is gone can be switched on, so that nothing of it is left.
        if !book.is_disabled(name) && registry::find(&self.places, name)?.is_none() {
            return Err(unknown(self, name));
        }
        let changed = book.disable(name, off);
        if changed {
            book.save()?;
        }
        Ok(changed)
    }

    /// Removes an installed plugin with everything that is known of it. One that is built in or comes from a package stays, and
    /// is then what its name means again.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn remove(&self, name: &str) -> Result<PathBuf, PluginError> {
        if !super::manifest::is_name(name) {
            return Err(PluginError::BadName(name.to_owned()));
        }
        let path = self.file_of(name);
        let _held = files::hold(&self.places.installed)?;
        if read_if_there(&path)?.is_none() {
            return Err(PluginError::NotInstalled(name.to_owned()));
        }
        remembered::forget(&self.places, name);
        for file in [self.previous(name), path.clone()] {
            let Some(bytes) = read_if_there(&file)? else { continue };
            artifact::forget(&self.places, &Digest::of(&bytes));
            fs::remove_file(&file).map_err(|source| PluginError::Io {
                doing: "remove",
                path: file.clone(),
                source,
            })?;
        }
        let mut grants = Grants::load(&self.places.grants)?;
        grants.forget(name);
        grants.save()?;
        let mut book = Book::load(&self.places.grants)?;
        book.keep_only(name, &[]);
        book.disable(name, false);
        book.save()?;
        Ok(path)
    }

    /// Where an installed plugin came from, for an upgrade from the same place.
    ///
    /// # Errors
    /// It is not installed.
    pub fn source_of(&self, name: &str) -> Result<Option<Source>, PluginError> {
        Ok(self.installed(name)?.about.source)
    }

    /// The plugin that is installed under a name, and not one of another place.
    fn installed(&self, name: &str) -> Result<Shown, PluginError> {
        let found = registry::find(&self.places, name)?.ok_or_else(|| unknown(self, name))?;
        if found.place != Place::Installed {
            return Err(PluginError::NotInstalled(name.to_owned()));
        }
        self.show(name)
    }

    /// Looks at a component that nobody vouches for: it has to be a plugin.
    fn examine_parcel(&self, parcel: &Parcel) -> Result<Known, PluginError> {
        let last = parcel.origin.rsplit('/').next().unwrap_or_default().trim_end_matches(".wasm");
        let known = self.examine_bytes(last, &parcel.bytes)?;
        let interface = known.manifest.kind.interface();
        if known.exports(interface) {
            return Ok(known);
        }
        let plugin = Identity { name: known.manifest.name, version: known.manifest.version };
        Err(PluginError::Lacks { plugin, interface: interface.to_owned() })
    }

    fn file_of(&self, name: &str) -> PathBuf {
        self.places.installed.join(format!("{name}.wasm"))
    }

    pub(super) fn previous(&self, name: &str) -> PathBuf {
        self.places.installed.join(PREVIOUS).join(format!("{name}.wasm"))
    }

    fn beside_grants(&self) -> &Path {
        self.places.grants.parent().unwrap_or(&self.places.installed)
    }
}

/// A file, unless there is none.
fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, PluginError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PluginError::Io { doing: "read", path: path.to_owned(), source }),
    }
}

/// A place where a test may kill this process.
fn passed(site: &'static str, target: &Path) -> Result<(), PluginError> {
    failpoint::pass(site).map_err(|error| PluginError::Io {
        doing: "write",
        path: target.to_owned(),
        source: error,
    })
}

/// What was signed by somebody is followed by what the same one signed, unless the administrator names other keys.
fn same_signer(old: &Shown, parcel: &Parcel, same_file: bool) -> Result<(), PluginError> {
    let signer = |vouched: Option<&Vouched>| match vouched {
        Some(Vouched::Signature { signer, .. }) => Some(signer.clone()),
        _ => None,
    };
    let before = signer(old.about.source.as_ref().and_then(|source| source.vouched.as_ref()));
    match (before, signer(parcel.vouched.as_ref())) {
        (Some(before), Some(now)) if before != now => {
            Err(PluginError::OtherSigner { plugin: old.name.clone(), before, now })
        }
        // Nobody would miss the signature of the next version otherwise. The bytes that were signed are what they were.
        (Some(before), None) if !same_file => {
            Err(PluginError::OtherSigner { plugin: old.name.clone(), before, now: "nobody".into() })
        }
        _ => Ok(()),
    }
}
