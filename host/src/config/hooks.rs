#![forbid(unsafe_code)]
//! `[hooks.NAME]`: which hooks a container has, and what they are told.
//!
//! `wxc.toml` has the same tables for all containers; what a container says of a hook is stronger. `NAME` is a plugin
//! (`policy` means `hook-policy`), except for `exec`: programs of the host at LXC's hook points, which no sandbox keeps in
//! its place. They run only where the administrator says so in `wxc.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::duration::Span;
use super::is_default;

/// The name that is no plugin's.
pub const EXEC: &str = "exec";

/// All hooks; `E` is what stands in `[hooks.exec]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks<E> {
    pub exec: E,
    pub plugins: BTreeMap<String, Hook>,
}

/// One plugin, attached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hook {
    /// Missing: as `wxc.toml` has it, where it has something, else on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Lower is called first; instead of what the plugin itself wishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
    /// What the plugin is told about this container, by key.
    #[serde(skip_serializing_if = "is_default")]
    pub settings: BTreeMap<String, Word>,
}

/// A text; numbers and truth values are taken as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Word(pub String);

/// Programs of the host, each a line for the shell, as LXC's `lxc.hook.*` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exec {
    #[serde(skip_serializing_if = "std::clone::Clone::clone")]
    pub enabled: bool,
    /// LXC's way of telling them: 0 with arguments, 1 with variables alone.
    #[serde(skip_serializing_if = "is_default")]
    pub version: u32,
    /// The most time that one may take.
    pub timeout: Span,
    #[serde(skip_serializing_if = "is_default")]
    pub pre_start: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub pre_mount: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub mount: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub autodev: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub start: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub start_host: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub stop: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub post_stop: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub network_up: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub network_down: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub clone: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub destroy: Vec<String>,
}

impl Default for Exec {
    fn default() -> Self {
        Self {
            enabled: true,
            version: 0,
            timeout: Span::seconds(10),
            pre_start: Vec::new(),
            pre_mount: Vec::new(),
            mount: Vec::new(),
            autodev: Vec::new(),
            start: Vec::new(),
            start_host: Vec::new(),
            stop: Vec::new(),
            post_stop: Vec::new(),
            network_up: Vec::new(),
            network_down: Vec::new(),
            clone: Vec::new(),
            destroy: Vec::new(),
        }
    }
}

impl Exec {
    /// The lines of each of LXC's hook points, by the event that it is here.
    pub fn points(&self) -> impl Iterator<Item = (&'static str, &Vec<String>)> {
        [
            ("pre-start", &self.pre_start),
            ("pre-mount", &self.pre_mount),
            ("mount", &self.mount),
            ("autodev", &self.autodev),
            ("start", &self.start),
            ("start-host", &self.start_host),
            ("stop", &self.stop),
            ("post-stop", &self.post_stop),
            ("network-up", &self.network_up),
            ("network-down", &self.network_down),
            ("clone", &self.clone),
            ("destroy", &self.destroy),
        ]
        .into_iter()
    }
}

/// What several containers have in common: `[profiles.NAME]` of `wxc.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    pub hooks: Hooks<NoPrograms>,
}

/// Programs of the host belong to one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoPrograms {}

/// Whether containers may name programs of the host: `[hooks.exec]` of `wxc.toml`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecPermit {
    pub enabled: bool,
}

impl<'de, E: Default + Deserialize<'de>> Deserialize<'de> for Hooks<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Tables(PhantomData))
    }
}

/// One table for each hook.
struct Tables<E>(PhantomData<E>);

impl<'de, E: Default + Deserialize<'de>> Visitor<'de> for Tables<E> {
    type Value = Hooks<E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table for each hook")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut hooks = Hooks::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == EXEC {
                hooks.exec = map.next_value()?;
            } else {
                hooks.plugins.insert(name, map.next_value()?);
            }
        }
        Ok(hooks)
    }
}

impl<E: Default + PartialEq + Serialize> Serialize for Hooks<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !is_default(&self.exec) {
            map.serialize_entry(EXEC, &self.exec)?;
        }
        for (name, hook) in &self.plugins {
            map.serialize_entry(name, hook)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar)
    }
}

struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = Word;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
        Ok(Word(text.into()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word, E> {
        Ok(Word(number.to_string()))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Word, E> {
        Ok(Word(truth.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plugins_but_for_one() {
        let text = "[policy]\norder = -5\nsettings = { level = 3, strict = true, who = \"all\" }\n[exec]\nversion = 1\nstop = [\"/bin/true\"]\n";
        let hooks: Hooks<Exec> = toml_edit::de::from_str(text).unwrap();
        let policy = &hooks.plugins["policy"];
        assert_eq!((policy.enabled, policy.order), (None, Some(-5)));
        let words: Vec<&str> = policy.settings.values().map(|word| word.0.as_str()).collect();
        assert_eq!(words, ["3", "true", "all"]);
        let exec = &hooks.exec;
        assert_eq!((exec.version, exec.stop.len()), (1, 1));
        let again = toml_edit::ser::to_string(&hooks).unwrap();
        assert_eq!(toml_edit::de::from_str::<Hooks<Exec>>(&again).unwrap(), hooks);
    }

    #[test]
    fn the_administrator_permits_and_names_no_program() {
        let permit: Hooks<ExecPermit> = toml_edit::de::from_str("exec.enabled = true").unwrap();
        assert!(permit.exec.enabled);
        assert!(toml_edit::de::from_str::<Hooks<ExecPermit>>("exec.stop = [\"x\"]").is_err());
        let profile: Profile = toml_edit::de::from_str("[hooks.policy]\norder = 3").unwrap();
        assert_eq!(profile.hooks.plugins["policy"].order, Some(3));
        assert!(toml_edit::de::from_str::<Profile>("hooks.exec.stop = [\"x\"]").is_err());
    }
}
