#![forbid(unsafe_code)]
//! `[sysctl]`: kernel settings written inside the container's namespaces (sysctl(8)).
//!
//! `net.ipv4.ip_forward = 1` is a key with dots to a person and three nested tables to TOML; both
//! spellings mean the same here.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Values by dotted key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Sysctls(pub BTreeMap<String, String>);

/// The settings that belong to a namespace; every other one is the host's.
const NAMESPACED: [&str; 15] = [
    "net.",
    "fs.mqueue.",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg_next_id",
    "kernel.sem",
    "kernel.sem_next_id",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_next_id",
    "kernel.shm_rmid_forced",
    "kernel.domainname",
    "user.",
];

/// Does `key` belong to a namespace of the container?
#[must_use]
pub fn is_namespaced(key: &str) -> bool {
    NAMESPACED.iter().any(|known| if known.ends_with('.') { key.starts_with(known) } else { key == *known })
}

/// The file below `/proc/sys`: dots separate, and a slash stands for a dot in a name (sysctl(8)).
#[must_use]
pub fn file_of(key: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    key.chars().map(swap).collect()
}

/// One level: the keys of a table go below `prefix` into the map.
struct Level<'a> {
    prefix: String,
    into: &'a mut BTreeMap<String, String>,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Level<'_> {
    fn put<E: de::Error>(self, value: String) -> Result<(), E> {
        match self.into.insert(self.prefix.clone(), value) {
            Some(_) => Err(E::custom(format!("{} is given twice", self.prefix))),
            None => Ok(()),
        }
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting such as net.ipv4.ip_forward = 1")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.put(text.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.put(number.to_string())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.put(u8::from(value).to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let prefix = if self.prefix.is_empty() { key } else { format!("{}.{key}", self.prefix) };
            map.next_value_seed(Level { prefix, into: self.into })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Sysctls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = BTreeMap::new();
        deserializer.deserialize_map(Level { prefix: String::new(), into: &mut all })?;
        Ok(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_tables_are_the_same() {
        let dotted: Sysctls = toml_edit::de::from_str("net.ipv4.ip_forward = 1\n").unwrap();
        let quoted: Sysctls = toml_edit::de::from_str("\"net.ipv4.ip_forward\" = \"1\"\n").unwrap();
        assert_eq!(dotted, quoted);
        assert_eq!(dotted.0["net.ipv4.ip_forward"], "1");
    }

    #[test]
    fn a_key_given_in_both_ways_is_refused() {
        let twice = "net.ipv4.ip_forward = 1\n\"net.ipv4.ip_forward\" = 0\n";
        assert!(toml_edit::de::from_str::<Sysctls>(twice).is_err());
    }

    #[test]
    fn a_slash_stands_for_a_dot_in_a_name() {
        assert_eq!(file_of("net.ipv4.conf.eth0/100.forwarding"), "net/ipv4/conf/eth0.100/forwarding");
    }

    #[test]
    fn only_settings_of_a_namespace_are_the_containers() {
        assert!(is_namespaced("net.ipv4.ip_forward"));
        assert!(is_namespaced("kernel.shmmax"));
        assert!(!is_namespaced("kernel.panic"));
        assert!(!is_namespaced("vm.swappiness"));
        assert!(!is_namespaced("kernel.shmmaxx"));
    }
}
