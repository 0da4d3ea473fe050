#![forbid(unsafe_code)]
//! What the administrator sets for all containers: `wxc.toml`, and `default.toml` for new ones.
//!
//! For root both are in `/etc/wxc`, for a user in `$XDG_CONFIG_HOME/wxc`. Neither need exist.
//! `default.toml` is a `container.toml` that `wxc create` starts from; a container that exists does
//! not change with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, Problem};
use super::hooks::{ExecPermit, Hooks, Profile};
use super::idpool::HostRange;
use super::{Container, is_default, suggest, toml};

/// `wxc.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where containers are kept; `-P` on a command line is stronger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Storage plugin of new containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Host ids to give to containers, instead of those of `/etc/subuid` and `/etc/subgid`.
    #[serde(skip_serializing_if = "is_default")]
    pub ids: Pool,
    /// Servers by the names that one uses for them.
    #[serde(skip_serializing_if = "is_default")]
    pub remotes: BTreeMap<String, Remote>,
    /// Files of public keys by the names that plugins and remotes use for them.
    #[serde(skip_serializing_if = "is_default")]
    pub keyrings: BTreeMap<String, PathBuf>,
    /// Hooks of all containers.
    #[serde(skip_serializing_if = "is_default")]
    pub hooks: Hooks<ExecPermit>,
    /// Hooks of the containers that name a profile.
    #[serde(skip_serializing_if = "is_default")]
    pub profiles: BTreeMap<String, Profile>,
    /// Directories of the host that hooks can mount into containers: by the plugin's name, then by the name it has for each.
    #[serde(skip_serializing_if = "is_default")]
    pub shares: BTreeMap<String, BTreeMap<String, PathBuf>>,
    /// What a plugin reads through its `settings` import, by the plugin's name; and which calls of plugins are recorded.
    #[serde(skip_serializing_if = "is_default")]
    pub plugins: PluginSettings,
}

/// The table `[plugins]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PluginSettings {
    /// Which calls are recorded; unless told, those of hooks that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Keep>,
    /// Settings by the plugin's name.
    #[serde(flatten)]
    pub of: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// Which calls of plugins are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// None.
    None,
    /// Those that failed.
    #[default]
    Failures,
    /// All.
    All,
}

/// A server, and how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Remote {
    /// Its address: `https://images.example`, or with a path behind that.
    pub server: String,
    /// Addresses with the same files, tried in this order when it does not answer.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Further servers that it leads to: where it gives tokens, where its files are kept.
    #[serde(default)]
    pub also: Vec<String>,
    /// File with the only certificates to trust for it (PEM); the system's otherwise.
    pub ca: Option<PathBuf>,
    /// Keys that vouch for what it has: a key ring by name, or a file of public keys. What is not signed by one of them is then
    /// refused.
    pub keyring: Option<String>,
    /// Whether what nobody vouches for is refused; so unless told, where there is a key ring.
    pub require_signature: Option<bool>,
    /// Whether an image that is out of date is refused.
    #[serde(default)]
    pub refuse_expired: bool,
    /// Seconds that it may be silent before it is tried again; 30 unless told.
    pub timeout: Option<u32>,
    /// Whether it is used although nobody can tell that it is itself (`http`).
    #[serde(default)]
    pub insecure: bool,
}

/// Ranges as `FIRST:COUNT`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    pub users: Vec<HostRange>,
    pub groups: Vec<HostRange>,
}

/// Why a file of the system cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Top-level keys of `wxc.toml`, for suggestions.
const KEYS: [&str; 9] =
    ["path", "storage", "ids", "remotes", "keyrings", "hooks", "profiles", "shares", "plugins"];

/// What names of plugins begin with; only hooks, the last, have shares.
const KINDS: [&str; 3] = ["storage", "template", "hook"];

/// Keys of `default.toml` that would be the same in every container, and may not be.
const ONE_CONTAINERS: [&str; 4] = ["hostname", "ids", "template", "rootfs.volume"];

/// Where both files are: `/etc/wxc` for root, else below XDG_CONFIG_HOME or HOME.
#[must_use]
pub fn directory(is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    if is_root {
        return "/etc/wxc".into();
    }
    // The XDG specification: a relative path is to be ignored.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").unwrap_or_else(|| "/".into()).join(".config");
    absolute("XDG_CONFIG_HOME").unwrap_or_else(home).join("wxc")
}

/// `wxc.toml` of `directory`.
///
/// # Errors
/// When it is there and wrong.
pub fn settings(directory: &Path) -> Result<Settings, SystemError> {
    let path = directory.join("wxc.toml");
    match read(&path)? {
        Some(text) => Ok(parse_settings(&text, &path)?),
        None => Ok(Settings::default()),
    }
}

/// What a new container starts from: `default.toml` of `directory`.
///
/// # Errors
/// When it is there and wrong.
pub fn new_container(directory: &Path) -> Result<Container, SystemError> {
    let path = directory.join("default.toml");
    match read(&path)? {
        Some(text) => Ok(parse_default(&text, &path)?),
        None => Ok(Container::default()),
    }
}

fn read(path: &Path) -> Result<Option<String>, SystemError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SystemError::Read { path: path.into(), source }),
    }
}

fn parse_settings(text: &str, file: &Path) -> Result<Settings, ConfigError> {
    let settings: Settings = toml::typed(text, file).map_err(|mut error: ConfigError| {
        for problem in &mut error.problems {
            let word =
                problem.message.split('`').nth(1).filter(|_| problem.message.starts_with("unknown field"));
            let near = word.and_then(|word| suggest::nearest(word, KEYS));
            problem.hint = near.map(|near| format!("did you mean `{near}`?")).or(problem.hint.take());
        }
        error
    })?;
    // A short name would be nobody's, and what is said there would hold for nothing.
    let shares = settings.shares.keys().filter_map(|name| unnamed("shares", name, &KINDS[2..]));
    let plugins = settings.plugins.of.keys().filter_map(|name| unnamed("plugins", name, &KINDS));
    let problems: Vec<Problem> = shares.chain(plugins).collect();
    if problems.is_empty() { Ok(settings) } else { Err(ConfigError { file: file.into(), problems }) }
}

/// A table whose name is no plugin's.
fn unnamed(table: &str, name: &str, kinds: &[&str]) -> Option<Problem> {
    if kinds.iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-'))) {
        return None;
    }
    let full: Vec<String> = kinds.iter().map(|kind| format!("`[{table}.{kind}-{name}]`")).collect();
    Some(Problem {
        line: 0,
        column: 0,
        key: format!("{table}.{name}"),
        message: "a plugin has its whole name here".into(),
        hint: Some(format!("write {}", full.join(" or "))),
    })
}

fn parse_default(text: &str, file: &Path) -> Result<Container, ConfigError> {
    let container = toml::parse(text, file)?;
    let given = |key: &str| match key {
        "hostname" => container.hostname.is_some(),
        "ids" => !container.ids.is_empty(),
        "template" => container.template.is_some(),
        _ => container.rootfs.volume.is_some(),
    };
    match ONE_CONTAINERS.iter().find(|key| given(key)) {
        None => Ok(container),
        Some(key) => Err(ConfigError {
            file: file.into(),
            problems: vec![Problem {
                line: 0,
                column: 0,
                key: (*key).into(),
                message: "this belongs to one container, not to all new ones".into(),
                hint: Some(format!("remove it from {}", file.display())),
            }],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let text = "path = \"/srv/wxc\"\nstorage = \"btrfs\"\n[ids]\nusers = [\"500000:1000000\"]\n[plugins.storage-dir]\nreflink = true\n";
        let settings = parse_settings(text, Path::new("wxc.toml")).unwrap();
        assert_eq!(settings.path.as_deref(), Some(Path::new("/srv/wxc")));
        assert_eq!(settings.ids.users[0].first, 500_000);
        assert_eq!(settings.plugins.of["storage-dir"]["reflink"], serde_json::Value::Bool(true));
    }

    #[test]
    fn a_mistyped_setting_is_named_with_the_nearest() {
        let error = parse_settings("\nstorge = \"dir\"\n", Path::new("wxc.toml")).unwrap_err();
        assert!(error.to_string().starts_with("wxc.toml:2:1: unknown field `storge`"), "{error}");
        assert_eq!(error.hint(), Some("did you mean `storage`?"));
    }

    #[test]
    fn tables_of_plugins_have_their_whole_names() {
        let refused = |text: &str| parse_settings(text, Path::new("wxc.toml")).unwrap_err();
        let error = refused("[shares.gpu]\nlibraries = \"/usr/lib\"\n");
        assert!(error.to_string().contains("shares.gpu"), "{error}");
        assert_eq!(error.hint(), Some("write `[shares.hook-gpu]`"));
        let error = refused("[plugins.dir]\nreflink = true\n");
        let hint = error.hint().unwrap();
        assert!(hint.contains("`[plugins.storage-dir]`") && hint.contains("template-dir"), "{hint}");
        assert!(parse_settings("[plugins]\nrecord = \"all\"\n", Path::new("wxc.toml")).is_ok());
    }

    #[test]
    fn defaults_are_a_container_without_what_is_its_own() {
        let container = parse_default("security.keyring = false\n", Path::new("default.toml")).unwrap();
        assert!(!container.security.keyring);
        for text in ["hostname = \"x\"", "rootfs.volume = \"x\"", "template.name = \"x\""] {
            let error = parse_default(text, Path::new("default.toml")).unwrap_err();
            assert!(error.to_string().contains("belongs to one container"), "{error}");
        }
    }

    #[test]
    fn missing_files_are_no_files() {
        let nowhere = Path::new("/nonexistent/wxc");
        assert_eq!(settings(nowhere).unwrap(), Settings::default());
        assert_eq!(new_container(nowhere).unwrap(), Container::default());
    }

    #[test]
    fn a_users_files_follow_xdg() {
        let of = |pairs: &'static [(&'static str, &'static str)]| {
            directory(false, move |name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(of(&[("HOME", "/home/a")]), PathBuf::from("/home/a/.config/wxc"));
        assert_eq!(of(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/x")]), PathBuf::from("/x/wxc"));
        assert_eq!(
            of(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "x")]),
            PathBuf::from("/home/a/.config/wxc")
        );
        assert_eq!(directory(true, |_| None), PathBuf::from("/etc/wxc"));
    }
}
