#![forbid(unsafe_code)]
//! Asked ∩ granted: the only place that says yes.
//!
//! What a plugin asks for is read from its component (imports) and narrowed by its manifest. What it
//! was granted stands in one file, with the digest of the component it was granted to: a changed
//! file is another plugin. Nothing is asked in the middle of an operation; a denial names the command
//! that would grant.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wxc_engine::{Digest, Facts};

use super::error::PluginError;
use super::manifest::Manifest;

/// Something a plugin can be granted: an interface, or a part of what lies behind one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Permission(String);

impl Permission {
    /// The word before the first colon: the interface.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.split(':').next().unwrap_or(&self.0)
    }

    /// What follows it, for a part: the origin, the name and text of the command.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.split_once(':').map(|(_, detail)| detail)
    }

    /// In words that an administrator can judge.
    #[must_use]
    pub fn explain(&self) -> String {
        match (self.subject(), self.detail()) {
            ("tree", None) => "make, read, change and remove files of volumes in its pool".into(),
            ("subvolumes", None) => "make, snapshot, limit and remove btrfs subvolumes in its pool".into(),
            ("loop-devices", None) => "attach disk files of its pool as block devices".into(),
            ("commands", None) => "run programs of the host, from the templates listed here".into(),
            ("command", Some(_)) => {
                "run this on the host, as you, each {placeholder} filled as its type allows".into()
            }
            ("device", Some(text)) => format!("have this device mounted: {text}"),
            ("fetch", None) => "download small documents from the servers listed here".into(),
            ("origin", Some(origin)) => format!("download from {origin}"),
            ("origin-of", Some(name)) => format!("download from the server that you name with --{name}"),
            ("notify", None) => "send small messages to the servers listed here".into(),
            ("notify-origin", Some(origin)) => format!("send messages to {origin}"),
            ("notify-setting", Some(name)) => {
                format!("send messages to the server that wxc.toml names with its setting {name}")
            }
            ("origin-setting", Some(name)) => {
                format!("download from the server that wxc.toml names with its setting {name}")
            }
            ("records", None) => "keep a log of its own, about all containers".into(),
            ("trust", None) => "have signatures checked with your keys (it never sees a key)".into(),
            ("rootfs", None) => "read and write files inside a container's root file system".into(),
            ("run-inside", None) => "run programs inside a container".into(),
            ("store", None) => "keep a little state of its own (64 keys)".into(),
            ("inputs", None) => "read small files in what you name with its options".into(),
            ("host-system", None) => "show directories of this host to a container, read-only".into(),
            ("host-directory", Some(path)) => format!("show this host's {path} to a container, read-only"),
            ("host-file", Some(path)) => format!("copy this host's {path} into a container"),
            ("bootstrap", Some(program)) => format!("run {program} in a throw-away container"),
            ("keyring", Some(name)) => format!("have signatures checked with your key ring {name}"),
            ("share", Some(text)) => format!("mount a directory that you name into containers: {text}"),
            ("change", Some(what)) => format!("change plans of containers: {what}"),
            ("change-key", Some(key)) => format!("change the configuration key {key}"),
            ("change-device", Some(name)) => format!("give containers the device {name}"),
            ("bootstrap-network", None) => "give that program the network".into(),
            (_, _) => format!("use {}", self.0),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Permission {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.split(':').next().unwrap_or("");
        let good = super::manifest::is_name(word) && !text.contains(char::is_control) && text.len() <= 4096;
        if good { Ok(Self(text.to_owned())) } else { Err(format!("{text:?} is not a permission")) }
    }
}

impl TryFrom<String> for Permission {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> String {
        permission.0
    }
}

/// Interfaces that give a plugin nothing but a voice and what its call hands to it anyway.
const FREE: &[&str] = &["types", "handles", "log", "progress", "settings", "scope"];

/// Whether importing an interface of ours is no permission.
#[must_use]
pub fn is_free(interface: &str) -> bool {
    FREE.contains(&interface)
}

/// What a plugin asks for: imports, and what the manifest declares to stand behind them.
#[must_use]
pub fn asked(facts: &Facts, manifest: &Manifest) -> BTreeSet<Permission> {
    let mut asked = BTreeSet::new();
    for import in &facts.imports {
        if let Some(interface) = interface_of_ours(import)
            && !is_free(interface)
        {
            asked.insert(Permission(interface.to_owned()));
        }
    }
    let has = |asked: &BTreeSet<Permission>, name: &str| asked.contains(&Permission(name.to_owned()));
    let mut parts = Vec::new();
    if has(&asked, "commands") {
        // Word for word: a template that changes in an update is another permission.
        parts.extend(
            manifest.commands.iter().map(|(name, c)| format!("command:{name}: {}", word_for_word(&c.argv))),
        );
    }
    parts.extend(manifest.devices.iter().map(|(name, d)| format!("device:{name}: {}", d.path)));
    if has(&asked, "fetch") {
        parts.extend(manifest.fetch.iter().flat_map(|f| &f.origins).map(|o| format!("origin:{o}")));
        let named = manifest.fetch.iter().flat_map(|f| &f.from_parameters);
        parts.extend(named.map(|name| format!("origin-of:{name}")));
        let set = manifest.fetch.iter().flat_map(|f| &f.from_settings);
        parts.extend(set.map(|name| format!("origin-setting:{name}")));
    }
    if has(&asked, "notify") {
        let notify = manifest.notify.iter();
        parts.extend(notify.clone().flat_map(|n| &n.origins).map(|o| format!("notify-origin:{o}")));
        parts.extend(notify.flat_map(|n| &n.from_settings).map(|name| format!("notify-setting:{name}")));
    }
    if has(&asked, "host-system") {
        let directories = manifest.host_system.iter().flat_map(|h| &h.directories);
        parts.extend(directories.map(|d| format!("host-directory:{d}")));
    }
    let files = manifest.inputs.values().flat_map(|input| &input.default);
    parts.extend(files.map(|path| format!("host-file:{path}")));
    if has(&asked, "trust") {
        parts.extend(manifest.trust.iter().flat_map(|t| &t.keyrings).map(|k| format!("keyring:{k}")));
    }
    if let Some(bootstrap) = &manifest.bootstrap {
        parts.extend(bootstrap.programs.iter().map(|p| format!("bootstrap:{p}")));
        if bootstrap.network {
            parts.push("bootstrap-network".to_owned());
        }
    }
    parts.extend(manifest.shares.iter().map(|(name, share)| {
        let how = if share.read_only == Some(false) { "read and write" } else { "read" };
        format!("share:{name}: {how}")
    }));
    if let Some(changes) = &manifest.changes {
        parts.extend(changes.patches.iter().map(|p| format!("change:{p}")));
        parts.extend(changes.keys.iter().map(|k| format!("change-key:{k}")));
        parts.extend(changes.devices.iter().map(|d| format!("change-device:{d}")));
    }
    asked.extend(parts.into_iter().map(Permission));
    asked
}

/// A command as it will be run, with quotes where one could not see otherwise where a word ends.
fn word_for_word(argv: &[String]) -> String {
    let plain = |word: &String| !word.is_empty() && !word.contains([' ', '\'', '"', '\\']);
    let words = argv.iter().map(|word| if plain(word) { word.clone() } else { format!("{word:?}") });
    words.collect::<Vec<_>>().join(" ")
}

/// `tree` of `wxc:host/tree@0.1.0`; `None` for what is not ours.
#[must_use]
pub fn interface_of_ours(import: &str) -> Option<&str> {
    let (package, rest) = import.split_once('/')?;
    let name = rest.split('@').next()?;
    matches!(package, "wxc:host" | "wxc:storage" | "wxc:template" | "wxc:hook").then_some(name)
}

/// The file, as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsText {
    #[serde(default, rename = "grant")]
    grants: Vec<Grant>,
}

/// One plugin file, and what it was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    plugin: String,
    digest: Digest,
    permissions: BTreeSet<Permission>,
}

/// The grants of one user, or of the machine for root.
#[derive(Debug)]
pub struct Grants {
    path: PathBuf,
    text: GrantsText,
}

impl Grants {
    /// Reads the file; none grants nothing.
    ///
    /// # Errors
    /// When the file is not trusted or not understood: then nothing may be taken as granted.
    pub fn load(path: &Path) -> Result<Self, PluginError> {
        let bad = |why: String| PluginError::GrantsFile { path: path.to_owned(), why };
        let text = super::files::load_toml(path).map_err(bad)?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// What this very file of a plugin was granted.
    #[must_use]
    pub fn of(&self, plugin: &str, digest: &Digest) -> BTreeSet<Permission> {
        let mine = self.text.grants.iter().filter(|g| g.plugin == plugin && g.digest == *digest);
        mine.flat_map(|g| g.permissions.iter().cloned()).collect()
    }

    /// What any file of this name was granted.
    #[must_use]
    pub fn all_of(&self, plugin: &str) -> BTreeSet<Permission> {
        let mine = self.text.grants.iter().filter(|g| g.plugin == plugin);
        mine.flat_map(|g| g.permissions.iter().cloned()).collect()
    }

    /// Whether another file of this name was granted something, or this one was: known at all.
    #[must_use]
    pub fn knows(&self, plugin: &str) -> bool {
        self.text.grants.iter().any(|g| g.plugin == plugin)
    }

    /// Adds permissions to a plugin file.
    pub fn add(&mut self, plugin: &str, digest: &Digest, permissions: impl IntoIterator<Item = Permission>) {
        let found = self.text.grants.iter_mut().find(|g| g.plugin == plugin && g.digest == *digest);
        match found {
            Some(grant) => grant.permissions.extend(permissions),
            None => self.text.grants.push(Grant {
                plugin: plugin.to_owned(),
                digest: digest.clone(),
                permissions: permissions.into_iter().collect(),
            }),
        }
        self.tidy();
    }

    /// Takes permissions away from every file of this name; all of them when none is given.
    pub fn take(&mut self, plugin: &str, permissions: &[Permission]) {
        for grant in self.text.grants.iter_mut().filter(|g| g.plugin == plugin) {
            grant.permissions.retain(|p| !permissions.is_empty() && !permissions.contains(p));
        }
        self.tidy();
    }

    /// Forgets the files of a plugin but these.
    pub fn keep_only(&mut self, plugin: &str, digests: &[Digest]) {
        self.text.grants.retain(|g| g.plugin != plugin || digests.contains(&g.digest));
    }

    /// What was granted nothing needs no entry.
    fn tidy(&mut self) {
        self.text.grants.retain(|grant| !grant.permissions.is_empty());
    }

    /// Forgets a plugin.
    pub fn forget(&mut self, plugin: &str) {
        self.text.grants.retain(|g| g.plugin != plugin);
    }

    /// Writes the file as a whole: after a crash it is the old one or the new one.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save(&self) -> Result<(), PluginError> {
        let head = "# What plugins were granted, by the digest of their file. `wxc plugin grant` and `revoke` write it.\n\n";
        super::files::save_toml(&self.path, head, &self.text)
    }
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxc_engine::{Cpu, Key};

    fn facts(imports: &[&str]) -> Facts {
        let digest = Digest::of(b"x");
        Facts {
            key: Key::of(&digest, Cpu::Baseline),
            digest,
            size: 1,
            imports: imports.iter().map(|&i| i.to_owned()).collect(),
            exports: vec![],
            manifest: String::new(),
        }
    }

    fn manifest(extra: &str) -> Manifest {
        Manifest::parse(&format!(
            "name = \"x\"\nkind = \"storage\"\nversion = \"1\"\napi = \"0.1\"\ndescription = \"\"\npool = \"directory\"\n{extra}"
        ))
        .unwrap()
    }

    fn words(set: &BTreeSet<Permission>) -> Vec<&str> {
        set.iter().map(|p| p.0.as_str()).collect()
    }

    #[test]
    fn imports_are_what_is_asked() {
        let facts = facts(&[
            "wxc:host/types@0.1.0",
            "wxc:host/log@0.1.0",
            "wxc:host/tree@0.1.0",
            "wasi:cli/exit@0.2.0",
        ]);
        assert_eq!(words(&asked(&facts, &manifest(""))), ["tree"]);
    }

    #[test]
    fn a_manifest_alone_asks_for_nothing_it_does_not_import() {
        let text = "[fetch]\norigins = [\"https://a\"]\nreason = \"\"\n[commands.c]\nreason = \"\"\nargv = [\"ls\", \"-l\", \"a b\"]\n";
        assert!(asked(&facts(&["wxc:host/log@0.1.0"]), &manifest(text)).is_empty());
        let asked = asked(&facts(&["wxc:host/commands@0.1.0", "wxc:host/fetch@0.1.0"]), &manifest(text));
        assert_eq!(words(&asked), ["command:c: ls -l \"a b\"", "commands", "fetch", "origin:https://a"]);
    }

    #[test]
    fn messages_and_downloads_are_asked_for_by_where_they_go() {
        let text = "name = \"hook-x\"\nkind = \"hook\"\nversion = \"1\"\napi = \"0.1\"\ndescription = \"\"\n\
            [settings.url]\ntype = \"url\"\ndoc = \"\"\n[fetch]\nfrom-settings = [\"url\"]\nreason = \"\"\n\
            [notify]\norigins = [\"https://a\"]\nfrom-settings = [\"url\"]\nreason = \"\"\n";
        let hook = Manifest::parse(text).unwrap();
        let imports = ["wxc:host/fetch@0.1.0", "wxc:host/notify@0.1.0", "wxc:host/records@0.1.0"];
        let all = asked(&facts(&imports), &hook);
        let wanted = [
            "fetch",
            "notify",
            "notify-origin:https://a",
            "notify-setting:url",
            "origin-setting:url",
            "records",
        ];
        assert_eq!(words(&all), wanted);
        assert!(all.iter().all(|permission| !permission.explain().starts_with("use ")));
        // Who only downloads sends nothing.
        assert_eq!(words(&asked(&facts(&imports[..1]), &hook)), ["fetch", "origin-setting:url"]);
    }

    #[test]
    fn grants_are_for_one_digest_and_survive_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grants.toml");
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let mut grants = Grants::load(&path).unwrap();
        assert!(grants.of("x", &old).is_empty());
        grants.add("x", &old, ["tree".parse().unwrap(), "origin:https://a b".parse().unwrap()]);
        grants.save().unwrap();
        let mut grants = Grants::load(&path).unwrap();
        assert_eq!(words(&grants.of("x", &old)), ["origin:https://a b", "tree"]);
        assert!(grants.of("x", &new).is_empty());
        assert!(grants.knows("x"));
        grants.take("x", &["tree".parse().unwrap()]);
        assert_eq!(words(&grants.of("x", &old)), ["origin:https://a b"]);
        grants.take("x", &[]);
        assert!(grants.of("x", &old).is_empty() && !grants.knows("x"));
        grants.add("x", &old, []);
        grants.save().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("[[grant]]"), "{text}");
    }

    #[test]
    fn grants_at_the_same_time_are_all_there_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grants.toml");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let _held = super::super::files::hold(path.parent().unwrap()).unwrap();
                    let mut grants = Grants::load(path).unwrap();
                    grants.add(&format!("p{n}"), &Digest::of(b"x"), ["tree".parse().unwrap()]);
                    // Long enough for everybody else to read the old one.
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    std::fs::write(path, toml_edit::ser::to_string(&grants.text).unwrap()).unwrap();
                });
            }
        });
        let grants = Grants::load(&path).unwrap();
        assert!((0..8).all(|n| grants.knows(&format!("p{n}"))));
    }

    #[test]
    fn a_file_with_an_unknown_field_grants_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grants.toml");
        std::fs::write(&path, "[[grant]]\nplugin = \"x\"\nall = true\n").unwrap();
        assert!(Grants::load(&path).is_err());
    }
}
