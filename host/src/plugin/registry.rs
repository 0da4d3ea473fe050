#![forbid(unsafe_code)]
//! Where plugins are looked for, and in which order.
//!
//! 1. the directory given with `--plugin-dir` or `WXC_PLUGIN_DIR`
//! 2. what was installed: `/var/lib/wxc/.plugins` for root, below the user's data directory otherwise (with a
//!    dot, because containers live there, too, and no container's name begins with one)
//! 3. what packages bring: `/usr/lib/wxc/plugins`
//! 4. what is embedded in the binary
//!
//! A file `NAME.wasm` in an earlier place replaces what is later, so a first-party plugin is replaced
//! by a file of its name. One that is not trusted is an error and not skipped: silently running
//! another plugin than the one the administrator put there would be worse.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use super::embedded::{EMBEDDED, Embedded};
use super::error::PluginError;
use super::manifest::is_name;
use crate::sys::trusted::{TrustError, TrustedDir, TrustedFile};

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Where root file systems live.
    Storage,
    /// Where root file systems come from.
    Template,
    /// What happens around a container's life.
    Hook,
}

impl Kind {
    /// The interface that every plugin of this kind exports.
    #[must_use]
    pub fn interface(self) -> &'static str {
        match self {
            Self::Storage => "wxc:storage/volumes@0.1.0",
            Self::Template => "wxc:template/template@0.1.0",
            Self::Hook => "wxc:hook/hook@0.1.0",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Storage => "storage",
            Self::Template => "template",
            Self::Hook => "hook",
        })
    }
}

/// Which of the places a plugin was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The directory given for this run.
    Given,
    /// The directory of installed plugins.
    Installed,
    /// The directory of packaged plugins.
    System,
    /// The binary.
    BuiltIn,
}

/// The directories and files of the plugin host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `--plugin-dir`.
    pub given: Option<PathBuf>,
    /// Where `wxc plugin install` puts files.
    pub installed: PathBuf,
    /// Where packages put files.
    pub system: PathBuf,
    /// Where compiled code is kept.
    pub cache: PathBuf,
    /// The grants file.
    pub grants: PathBuf,
    /// The compiler, when it is not beside the executable.
    pub compiler: Option<PathBuf>,
}

impl Places {
    /// The usual ones. Root's do not depend on the environment: who can set a variable for root must not
    /// choose which code root runs.
    #[must_use]
    pub fn standard(given: Option<PathBuf>) -> Self {
        let system = PathBuf::from("/usr/lib/wxc/plugins");
        let (data, cache) = if rustix::process::geteuid().is_root() {
            (PathBuf::from("/var/lib/wxc"), PathBuf::from("/var/cache/wxc"))
        } else {
            (user_directory("XDG_DATA_HOME", ".local/share"), user_directory("XDG_CACHE_HOME", ".cache"))
        };
        Self {
            given,
            installed: data.join(".plugins"),
            system,
            cache: cache.join("compiled"),
            grants: data.join(".plugins/grants.toml"),
            compiler: None,
        }
    }

    /// All directories that something is loaded from.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        let places = self.in_order().map(|(_, path)| path);
        places.chain([self.cache.as_path()]).chain(self.grants.parent())
    }

    fn in_order(&self) -> impl Iterator<Item = (Place, &Path)> {
        let given = self.given.as_deref().map(|path| (Place::Given, path));
        let rest = [(Place::Installed, self.installed.as_path()), (Place::System, self.system.as_path())];
        given.into_iter().chain(rest)
    }
}

/// `$XDG_…/wxc`, or the same below the home directory. Relative values are ignored, as the
/// specification of these variables says.
fn user_directory(variable: &str, below_home: &str) -> PathBuf {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|p| p.is_absolute());
    let home =
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| OsString::from("/"))).join(below_home);
    set.unwrap_or_else(home).join("wxc")
}

/// A plugin that was found, not loaded yet.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Where.
    pub place: Place,
    /// Its file; none for one that is built in.
    pub path: Option<PathBuf>,
    pub(super) source: Source,
}

/// Where its bytes are.
#[derive(Debug)]
pub(super) enum Source {
    BuiltIn(&'static Embedded),
    File(TrustedFile),
}

/// Which bytes a plugin is of, as far as can be told without reading them. Who could write other bytes under the same stamp is
/// trusted with the file anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    BuiltIn,
    /// Device, inode, length, and the time of the last change of anything (stat(2)).
    File([u64; 5]),
}

impl Found {
    pub(super) fn stamp(&self) -> Stamp {
        match &self.source {
            Source::BuiltIn(_) => Stamp::BuiltIn,
            Source::File(file) => Stamp::File(file.stamp()),
        }
    }
}

/// Finds a plugin by name, whatever its kind.
///
/// # Errors
/// When a file of that name is there and cannot be trusted. `Ok(None)` when there is none.
pub fn find(places: &Places, name: &str) -> Result<Option<Found>, PluginError> {
    if !is_name(name) {
        return Err(PluginError::BadName(name.to_owned()));
    }
    let file_name = OsString::from(format!("{name}.wasm"));
    for (place, directory) in places.in_order() {
        let opened =
            TrustedDir::kept(directory).and_then(|d| Ok((d.path().join(&file_name), d.file(&file_name)?)));
        match opened {
            Ok((path, file)) => {
                let (name, path) = (name.to_owned(), Some(path));
                return Ok(Some(Found { name, place, path, source: Source::File(file) }));
            }
            // A directory that was asked for and is not there is a mistake in the command.
            Err(TrustError::Missing(missing)) if place != Place::Given || missing.ends_with(&file_name) => {}
            Err(source) => return Err(PluginError::Untrusted { name: name.to_owned(), source }),
        }
    }
    Ok(Embedded::find(name).map(built_in))
}

/// The embedded plugin of a name, even where a file replaces it.
#[must_use]
pub fn find_built_in(name: &str) -> Option<Found> {
    Embedded::find(name).map(built_in)
}

fn built_in(embedded: &'static Embedded) -> Found {
    let name = embedded.name.to_owned();
    Found { name, place: Place::BuiltIn, path: None, source: Source::BuiltIn(embedded) }
}

/// The names of all plugins, each with what became of finding it.
#[must_use]
pub fn all(places: &Places) -> BTreeMap<String, Result<Found, PluginError>> {
    let mut names: Vec<String> = EMBEDDED.iter().map(|e| e.name.to_owned()).collect();
    for (_, directory) in places.in_order() {
        // What cannot be opened is reported when one of its plugins is asked for by name.
        if let Ok(directory) = TrustedDir::kept(directory) {
            names.extend(files_in(&directory));
        }
    }
    let found = names.into_iter().filter_map(|name| {
        let found = find(places, &name).transpose()?;
        Some((name, found))
    });
    found.collect()
}

/// The names of the plugins in a directory.
fn files_in(directory: &TrustedDir) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(entries) = openat(directory, ".", flags, Mode::empty()).and_then(Dir::new) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().to_str().ok()?.strip_suffix(".wasm")?;
        is_name(name).then(|| name.to_owned())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn places(top: &Path) -> Places {
        Places {
            given: Some(top.join("given")),
            installed: top.join("installed"),
            system: top.join("system"),
            cache: top.join("cache"),
            grants: top.join("grants.toml"),
            compiler: None,
        }
    }

    #[test]
    fn earlier_places_hide_later_ones_and_the_binary() {
        let top = tempfile::tempdir().unwrap();
        let places = places(top.path());
        for dir in ["given", "installed", "system"] {
            std::fs::create_dir(top.path().join(dir)).unwrap();
            std::fs::set_permissions(top.path().join(dir), PermissionsExt::from_mode(0o755)).unwrap();
        }
        assert_eq!(find(&places, "storage-dir").unwrap().unwrap().place, Place::BuiltIn);
        for (dir, place) in
            [("system", Place::System), ("installed", Place::Installed), ("given", Place::Given)]
        {
            let file = top.path().join(dir).join("storage-dir.wasm");
            std::fs::write(&file, b"x").unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
            assert_eq!(find(&places, "storage-dir").unwrap().unwrap().place, place);
        }
        assert!(all(&places).contains_key("storage-dir"));
    }

    #[test]
    fn an_untrusted_file_is_an_error_and_not_another_plugin() {
        let top = tempfile::tempdir().unwrap();
        let places = places(top.path());
        std::fs::create_dir(top.path().join("given")).unwrap();
        let file = top.path().join("given/storage-dir.wasm");
        std::fs::write(&file, b"x").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        assert!(matches!(find(&places, "storage-dir"), Err(PluginError::Untrusted { .. })));
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        let places = Places::standard(None);
        assert!(matches!(find(&places, "../x"), Err(PluginError::BadName(_))));
    }

    #[test]
    fn a_given_directory_has_to_be_there() {
        let top = tempfile::tempdir().unwrap();
        assert!(find(&places(top.path()), "nothing").is_err());
    }
}
