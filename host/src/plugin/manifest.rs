#![forbid(unsafe_code)]
//! `plugin.toml`: what a plugin says of itself in words, carried inside the component.
//!
//! It can narrow what the imports would allow (which programs, which origins) and never widen it: a
//! permission exists only where the component imports the interface. Unknown fields are refused, so
//! that a misspelt restriction is an error and not a wide-open door.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command_line::CommandLine;
use super::registry::Kind;
use crate::fetch::Origin;

mod devices;
mod outside;

pub use devices::device_matches;
pub use outside::Notify;

/// The version of the contract that this wxc offers: a 0.x is its own major version.
const API: &str = "0.1";

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The component has none.
    #[error("the component carries no manifest (section `wxc:manifest`)")]
    Missing,
    /// Not TOML, or with fields that no manifest has.
    #[error("{0}")]
    Syntax(String),
    /// A value that is well formed and not allowed.
    #[error("{field}: {why}")]
    Value {
        /// Which.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A plugin's manifest. The tables are described for authors in `plugins/README.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// `a-z`, `0-9` and `-`, beginning with a letter; also the name of its file.
    pub name: String,
    /// What kind of plugin it is; the component must export that kind's interface.
    pub kind: Kind,
    /// Semantic version of the plugin.
    pub version: String,
    /// Version of the contract it was built for: `0.1`.
    pub api: String,
    /// One line for people.
    pub description: String,
    /// Who wrote it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// SPDX expression.
    pub license: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
    /// What a pool is to a storage plugin.
    pub pool: Option<PoolKind>,
    /// Why it needs an interface, by the interface's name.
    #[serde(default)]
    pub reasons: BTreeMap<String, String>,
    /// Keys it can be configured with.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// Programs it can run, word for word.
    #[serde(default)]
    pub commands: BTreeMap<String, Command>,
    /// Devices that its mount plans can name.
    #[serde(default)]
    pub devices: BTreeMap<String, Device>,
    /// Servers it can reach.
    pub fetch: Option<Fetch>,
    /// Servers it can send messages to.
    pub notify: Option<Notify>,
    /// Key rings it can have signatures checked with.
    pub trust: Option<Trust>,
    /// Files of the host that a parameter means when the user says nothing, by the parameter.
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// Directories of the host that it can show to a container.
    pub host_system: Option<HostSystem>,
    /// Programs run in a throw-away container.
    pub bootstrap: Option<Bootstrap>,
    /// Directories of the host that a hook can mount into containers.
    #[serde(default)]
    pub shares: BTreeMap<String, Share>,
    /// What a hook may change of a plan.
    pub changes: Option<Changes>,
    /// Larger limits than usual.
    #[serde(default)]
    pub limits: Limits,
}

/// What a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// The directory in which containers live.
    Directory,
    /// A volume group or data set that the administrator binds by name.
    Name,
}

/// A key under `[settings.KEY]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Setting {
    /// What values it takes.
    #[serde(rename = "type", default)]
    pub kind: SettingKind,
    /// One sentence of help.
    pub doc: String,
    /// What holds when nobody set it.
    pub default: Option<String>,
    /// The words of a `choice`.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Whether a user may set it for one call; otherwise the administrator alone does.
    #[serde(default)]
    pub user: bool,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingKind {
    /// One line of text.
    #[default]
    Text,
    /// A whole number.
    Integer,
    /// Bytes, with `K`, `M`, `G` or `T` if one likes.
    Size,
    /// `true` or `false`.
    Boolean,
    /// One of `choices`.
    Choice,
    /// An address of `https` or `http`.
    Url,
}

/// A command template under `[commands.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Command {
    /// Program and arguments, with `{placeholders}`.
    pub argv: Vec<String>,
    /// What it is for.
    pub reason: String,
    /// The most seconds it may take; 30 unless told.
    pub deadline: Option<u32>,
    /// Exit codes that are no error; 0 unless told.
    #[serde(default)]
    pub success: Vec<u8>,
    /// The most bytes kept of each output; 64 KiB unless told.
    pub capture: Option<u32>,
    /// Whether it may read a stream.
    #[serde(default)]
    pub input: bool,
    /// Whether it may write a stream.
    #[serde(default)]
    pub output: bool,
}

/// A device template under `[devices.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Device {
    /// Path below `/dev/`, with `{placeholders}`.
    pub path: String,
    /// What it is for.
    pub reason: String,
}

/// `[fetch]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fetch {
    /// Scheme, host and port: `https://images.linuxcontainers.org`.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Parameters with which the user names a further server.
    #[serde(default)]
    pub from_parameters: Vec<String>,
    /// Settings with which the administrator names a further server, of a hook.
    #[serde(default)]
    pub from_settings: Vec<String>,
    /// Of those, the one whose default is where this machine's own apt gets Debian's or Ubuntu's packages from.
    pub apt_sources: Option<String>,
    /// Of those, the one whose default is where it gets security updates from; without `apt_sources` said by the user it has none.
    pub apt_security: Option<String>,
    /// Whether nothing of these servers counts that is not signed: then it does not matter if they can show who they are.
    #[serde(default)]
    pub signed: bool,
    /// What it is for.
    pub reason: String,
}

/// `[trust]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trust {
    /// Names of key rings that the administrator keeps.
    pub keyrings: Vec<String>,
    /// What they vouch for.
    pub reason: String,
}

/// A parameter under `[inputs.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Input {
    /// Files, of which the first that is there counts.
    pub default: Vec<String>,
    /// What it is for.
    pub reason: String,
}

/// `[host-system]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostSystem {
    /// Directories of the host, shown read-only.
    pub directories: Vec<String>,
    /// What it is for.
    pub reason: String,
}

/// `[bootstrap]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bootstrap {
    /// The first words its command lines may have.
    pub programs: Vec<String>,
    /// Whether they may use the network.
    #[serde(default)]
    pub network: bool,
    /// What it is for.
    pub reason: String,
}

/// A directory under `[shares.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Share {
    /// What it is for.
    pub reason: String,
    /// Whether containers can only read it; they can unless told.
    pub read_only: Option<bool>,
}

/// The cases of `patch` in `wit/hook/types.wit`.
const PATCHES: &[&str] = &[
    "set-variable",
    "remove-variable",
    "add-mount",
    "remove-mount",
    "add-device",
    "remove-device",
    "add-address",
    "set-limit",
    "set-sysctl",
    "set-hostname",
    "drop-capability",
    "deny-syscall",
    "set-label",
    "set-key",
];

/// `[changes]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Changes {
    /// The cases of `patch` that `adjust` may return.
    pub patches: Vec<String>,
    /// The keys for `set-key`.
    #[serde(default)]
    pub keys: Vec<String>,
    /// The names for `add-device`; a star stands for any letters but a slash.
    #[serde(default)]
    pub devices: Vec<String>,
    /// What it is for.
    pub reason: String,
}

/// `[limits]`: what a guest needs above the usual; the administrator sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// MiB of memory of one call, 1 to 1024.
    pub memory: Option<u32>,
    /// Milliseconds of computing between two calls to the host, 1 to 60000.
    pub time: Option<u32>,
}

/// What the host shows at most, whatever a manifest says: programs and libraries, and nothing that
/// holds keys, accounts or state.
pub const SHOWN_AT_MOST: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/etc/alternatives"];

impl Manifest {
    /// What it says of a share; `*` stands for every name that has no table of its own.
    #[must_use]
    pub fn share(&self, name: &str) -> Option<&Share> {
        self.shares.get(name).or_else(|| self.shares.get("*"))
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// With the line and the field, as the author will want to see it.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.trim().is_empty() {
            return Err(ManifestError::Missing);
        }
        let manifest: Self = toml_edit::de::from_str(text)
            .map_err(|e| ManifestError::Syntax(e.to_string().trim().to_owned()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let bad = |field: &str, why: String| Err(ManifestError::Value { field: field.into(), why });
        if !is_name(&self.name) {
            return bad("name", format!("{:?} is not a name of a-z, 0-9 and -", self.name));
        }
        if self.version.is_empty() || self.version.len() > 64 || !self.version.bytes().all(is_version_byte) {
            return bad("version", format!("{:?} is not a version such as 1.2.3", self.version));
        }
        if self.api != API {
            return bad("api", format!("it was built for {:?}, and this wxc offers {API}", self.api));
        }
        if self.description.chars().count() > 120 {
            return bad("description", "longer than 120 characters".into());
        }
        match (self.kind, self.pool) {
            (Kind::Storage, None) => return bad("pool", "a storage plugin says what its pool is".into()),
            (Kind::Template | Kind::Hook, Some(_)) => return bad("pool", "only storage has a pool".into()),
            _ => {}
        }
        let patches = self.changes.iter().flat_map(|changes| &changes.patches);
        if let Some(word) = patches.into_iter().find(|word| !PATCHES.contains(&word.as_str())) {
            return bad(
                "changes.patches",
                format!("{word:?} is no change (there are {})", PATCHES.join(", ")),
            );
        }
        if let Some((field, _)) = self.texts().find(|(_, text)| text.contains(char::is_control)) {
            return bad(&field, "a text of one line without control characters".into());
        }
        self.check_settings()?;
        self.check_reach()
    }

    fn check_settings(&self) -> Result<(), ManifestError> {
        for (name, setting) in &self.settings {
            let bad = |why| ManifestError::Value { field: format!("settings.{name}"), why };
            if !is_name(name) {
                return Err(bad("the key is not a name of a-z, 0-9 and -".into()));
            }
            if setting.kind == SettingKind::Choice && setting.choices.is_empty() {
                return Err(bad("a choice lists its `choices`".into()));
            }
            if let Some(default) = &setting.default {
                setting.normal(default).map_err(bad)?;
            }
        }
        Ok(())
    }

    /// What it can reach outside: the lists and templates.
    fn check_reach(&self) -> Result<(), ManifestError> {
        let bad = |field: &str, why: String| Err(ManifestError::Value { field: field.into(), why });
        for (name, command) in &self.commands {
            let program = command.argv.first().map_or("", String::as_str);
            if program.is_empty() || program.contains(['{', '/']) {
                let why = "argv begins with the name of a program, without a path and a placeholder".into();
                return bad(&format!("commands.{name}"), why);
            }
            let line = CommandLine::parse(&command.argv)
                .map_err(|why| ManifestError::Value { field: format!("commands.{name}"), why })?;
            let free = |key: &&str| self.settings.get(*key).is_none_or(|setting| setting.user);
            if let Some(key) = line.settings().find(free) {
                let why = format!("{{{key}}} is not a setting of the administrator's alone");
                return bad(&format!("commands.{name}"), why);
            }
            if command.deadline.is_some_and(|d| !(1..=3600).contains(&d)) {
                return bad(&format!("commands.{name}"), "deadline is 1 to 3600 seconds".into());
            }
            if command.capture.is_some_and(|c| c > 1 << 20) {
                return bad(&format!("commands.{name}"), "capture is at most 1048576 bytes".into());
            }
        }
        for (name, device) in &self.devices {
            if !device.path.starts_with("/dev/") || device.path.contains("..") {
                return bad(&format!("devices.{name}"), format!("{:?} is not below /dev/", device.path));
            }
        }
        for directory in self.host_system.iter().flat_map(|h| &h.directories) {
            if !SHOWN_AT_MOST.contains(&directory.as_str()) {
                let at_most = SHOWN_AT_MOST.join(", ");
                return bad("host-system", format!("{directory:?} is never shown; at most {at_most}"));
            }
        }
        for (name, input) in &self.inputs {
            // A program or a library, and nothing that holds keys, accounts or state.
            let shown = |path: &str| {
                SHOWN_AT_MOST
                    .iter()
                    .any(|top| path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/')))
            };
            let good = |path: &String| shown(path) && !path.split('/').any(|part| part == "..");
            if let Some(bad_one) = input.default.iter().find(|path| !good(path)) {
                let why = format!("{bad_one:?} is not below one of {}", SHOWN_AT_MOST.join(", "));
                return bad(&format!("inputs.{name}"), why);
            }
        }
        self.check_servers()?;
        self.check_device_names()?;
        if let Some(fetch) = &self.fetch {
            for (key, name) in [("apt-sources", &fetch.apt_sources), ("apt-security", &fetch.apt_security)] {
                if let Some(name) = name.as_ref().filter(|name| !fetch.from_parameters.contains(name)) {
                    return bad(&format!("fetch.{key}"), format!("{name:?} is none of from-parameters"));
                }
            }
        }
        if self.limits.memory.is_some_and(|m| !(1..=1024).contains(&m)) {
            return bad("limits.memory", "1 to 1024 MiB".into());
        }
        if self.limits.time.is_some_and(|t| !(1..=60_000).contains(&t)) {
            return bad("limits.time", "1 to 60000 ms".into());
        }
        Ok(())
    }

    /// Every text that is shown to an administrator, who must see what it says and not what its
    /// escape sequences make of the terminal.
    fn texts(&self) -> impl Iterator<Item = (String, &str)> {
        let top = [
            ("description", Some(&self.description)),
            ("license", self.license.as_ref()),
            ("homepage", self.homepage.as_ref()),
        ];
        let top = top.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.as_str())));
        let authors = self.authors.iter().map(|a| ("authors".to_owned(), a.as_str()));
        let reasons = self.reasons.iter().map(|(n, r)| (format!("reasons.{n}"), r.as_str()));
        let settings = self.settings.iter().map(|(n, s)| (format!("settings.{n}"), s.doc.as_str()));
        let commands = self.commands.iter().flat_map(|(n, c)| {
            let words = c.argv.iter().chain([&c.reason]);
            words.map(move |w| (format!("commands.{n}"), w.as_str()))
        });
        let devices = self
            .devices
            .iter()
            .flat_map(|(n, d)| [&d.path, &d.reason].map(|t| (format!("devices.{n}"), t.as_str())));
        let lists = self.fetch.iter().flat_map(|f| f.origins.iter().chain([&f.reason]));
        let lists = lists.chain(self.notify.iter().flat_map(|n| n.origins.iter().chain([&n.reason])));
        let lists = lists.chain(self.trust.iter().flat_map(|t| t.keyrings.iter().chain([&t.reason])));
        let lists =
            lists.chain(self.host_system.iter().flat_map(|h| h.directories.iter().chain([&h.reason])));
        let lists = lists.chain(self.bootstrap.iter().flat_map(|b| b.programs.iter().chain([&b.reason])));
        let lists = lists.chain(self.shares.iter().flat_map(|(name, s)| [name, &s.reason]));
        let lists = lists.chain(
            self.changes
                .iter()
                .flat_map(|c| c.patches.iter().chain(&c.keys).chain(&c.devices).chain([&c.reason])),
        );
        let lists = lists.map(|text| ("a list or reason".to_owned(), text.as_str()));
        top.chain(authors).chain(reasons).chain(settings).chain(commands).chain(devices).chain(lists)
    }
}

impl Setting {
    /// The value as a guest sees it: sizes in decimal digits, all else as it was written.
    ///
    /// # Errors
    /// A sentence that says what would fit.
    pub fn normal(&self, value: &str) -> Result<String, String> {
        let same = |fits: bool, what: &str| {
            if fits { Ok(value.to_owned()) } else { Err(format!("{value:?} {what}")) }
        };
        match self.kind {
            SettingKind::Text => same(!value.contains(char::is_control), "holds control characters"),
            SettingKind::Integer => same(value.parse::<i64>().is_ok(), "is not a whole number"),
            SettingKind::Boolean => same(matches!(value, "true" | "false"), "is neither true nor false"),
            SettingKind::Size => {
                let bytes = size(value).ok_or_else(|| format!("{value:?} is not a size such as 512M"))?;
                Ok(bytes.to_string())
            }
            SettingKind::Url => match Origin::of(value) {
                Ok(_) => Ok(value.to_owned()),
                Err(why) => Err(format!("{value:?} is not a url: {why}")),
            },
            SettingKind::Choice => {
                let what = format!("is none of {}", self.choices.join(", "));
                same(self.choices.iter().any(|c| c == value), &what)
            }
        }
    }
}

/// Bytes, with an optional power of 1024.
fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `a-z`, `0-9` and `-`, beginning with a letter, at most 63: as it stands in file names and commands.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_version_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".+-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"storage-x\"\nkind = \"storage\"\nversion = \"1.0.0\"\napi = \"0.1\"\n\
                        description = \"x\"\npool = \"directory\"\n";

    #[test]
    fn minimal_manifest() {
        let manifest = Manifest::parse(HEAD).unwrap();
        assert_eq!((manifest.kind, manifest.name.as_str()), (Kind::Storage, "storage-x"));
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = Manifest::parse(&format!("{HEAD}orgins = []\n")).unwrap_err().to_string();
        assert!(error.contains("orgins"), "{error}");
        let error =
            Manifest::parse(&format!("{HEAD}[fetch]\norigin = []\nreason = \"\"\n")).unwrap_err().to_string();
        assert!(error.contains("origin"), "{error}");
    }

    #[test]
    fn none_is_missing_and_not_an_empty_one() {
        assert!(matches!(Manifest::parse("\n"), Err(ManifestError::Missing)));
    }

    #[test]
    fn values_that_could_escape_are_refused() {
        for bad in [
            HEAD.replace("storage-x", "../x"),
            HEAD.replace("0.1", "0.2"),
            HEAD.replace("pool", "#"),
            HEAD.replace("\"x\"", "\"\\u001b[2J\""),
            format!("{HEAD}[commands.a]\nreason = \"\"\nargv = [\"/bin/sh\"]\n"),
            format!("{HEAD}[commands.a]\nreason = \"\"\nargv = []\n"),
            format!("{HEAD}[commands.a]\nreason = \"\"\nargv = [\"{{program}}\"]\n"),
            format!("{HEAD}[commands.a]\nreason = \"\"\nargv = [\"ls\", \"{{anything}}\"]\n"),
            format!("{HEAD}[commands.a]\nreason = \"\"\nargv = [\"ls\", \"{{x:setting}}\"]\n"),
            format!("{HEAD}[devices.a]\nreason = \"\"\npath = \"/dev/../etc\"\n"),
            format!("{HEAD}[host-system]\nreason = \"\"\ndirectories = [\"/etc\"]\n"),
            format!("{HEAD}[fetch]\nreason = \"\"\norigins = [\"https://a@b\"]\n"),
            format!("{HEAD}[settings.a]\ndoc = \"\"\ntype = \"boolean\"\ndefault = \"yes\"\n"),
            format!("{HEAD}[limits]\nmemory = 4096\n"),
        ] {
            assert!(Manifest::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_reach_the_guest_as_bytes() {
        let text = format!("{HEAD}[settings.a]\ndoc = \"\"\ntype = \"size\"\ndefault = \"2K\"\n");
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!(manifest.settings["a"].normal("3M").unwrap(), "3145728");
        assert!(manifest.settings["a"].normal("16777216T").is_err());
    }
}
