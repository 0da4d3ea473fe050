#![forbid(unsafe_code)]
//! `wxc config get|set|unset|show`: single keys of a file, with its comments and layout kept.
//!
//! Text in, text out: whoever calls writes the file. A change is checked as a whole before it is
//! returned, so a file that was right stays right.

use std::path::Path;

use toml_edit::{DocumentMut, Item, Value};

use super::error::ConfigError;
use super::keys::{self, Found, KEYS, Key};
use super::toml::parse;
use tree::{collect, lookup, place, plain, put, remove};
use word::{list_of_tables, to_toml};

mod tree;
mod word;

/// Why a key cannot be shown or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("there is no key `{key}`")]
    Unknown { key: String, hint: String },
    #[error("`{key}` is a table; it has the keys {}", .keys.join(", "))]
    Table { key: String, keys: Vec<String> },
    #[error("{key}: {message}")]
    Value { key: String, message: String, hint: String },
    #[error("`{key}` is not set")]
    NotSet { key: String },
    /// The file itself is wrong, before or after the change.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl EditError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unknown { hint, .. } | Self::Value { hint, .. } => Some(hint),
            Self::Table { .. } => Some("name one of them"),
            Self::NotSet { .. } => Some("it has its default already; `wxc config get` shows it"),
            Self::Config(error) => error.hint(),
        }
    }
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub key: String,
    /// A word as it is, a list as in TOML, nothing when there is neither value nor default.
    pub value: String,
    /// It stands in the file; else this is the default.
    pub set: bool,
}

/// The value of one key, or the TOML of a table or list.
///
/// # Errors
/// When there is no such key, or the file is wrong.
pub fn get(text: &str, file: &Path, key: &str) -> Result<Shown, EditError> {
    parse(text, file)?;
    let steps = steps(key);
    let found = keys::find(&steps).ok_or_else(|| unknown(key))?;
    let document = document(text, file)?;
    let set = lookup(document.as_item(), &steps);
    let value = match (set, found) {
        (Some(value), _) => value,
        (None, Found::Key(row)) => plain_default(row),
        (None, Found::Table) => String::new(),
    };
    Ok(Shown { key: key.into(), set: lookup(document.as_item(), &steps).is_some(), value })
}

/// All keys: those that are set, and the others with their defaults, in the order of the table.
///
/// # Errors
/// When the file is wrong.
pub fn show(text: &str, file: &Path) -> Result<Vec<Shown>, EditError> {
    parse(text, file)?;
    let document = document(text, file)?;
    let mut leaves = Vec::new();
    collect(document.as_item(), &mut Vec::new(), &mut leaves);
    let mut shown = Vec::new();
    for row in KEYS {
        let own = leaves.iter().filter(|(_, leaf, _)| std::ptr::eq(*leaf, row));
        let before = shown.len();
        shown.extend(own.map(|(key, _, value)| Shown { key: key.clone(), value: value.clone(), set: true }));
        let free = row.path.split('.').any(|step| matches!(step, "#" | "*"));
        if shown.len() == before && !free && !row.default.is_empty() {
            shown.push(Shown { key: row.path.into(), value: plain_default(row), set: false });
        }
    }
    Ok(shown)
}

/// What stands in a file, key by key, each value as [`set`] takes it. Rules between keys are not checked.
///
/// # Errors
/// When the file is no TOML.
pub fn said(text: &str, file: &Path) -> Result<Vec<(String, String)>, EditError> {
    let document = document(text, file)?;
    let mut leaves = Vec::new();
    collect(document.as_item(), &mut Vec::new(), &mut leaves);
    Ok(leaves.into_iter().map(|(key, _, value)| (key, value)).collect())
}

/// The file with `key` set to `value`, which is a word of a command line.
///
/// # Errors
/// When there is no such key, the value is not one for it, or the whole would be wrong.
pub fn set(text: &str, file: &Path, key: &str, value: &str) -> Result<String, EditError> {
    set_all(text, file, &[(key, value)])
}

/// The same for several, one after the other; the whole is read and checked once.
///
/// # Errors
/// As [`set`], for the first that is wrong.
pub fn set_all(text: &str, file: &Path, pairs: &[(&str, &str)]) -> Result<String, EditError> {
    let mut document = document(text, file)?;
    for (key, value) in pairs {
        put_in(&mut document, key, value)?;
    }
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| *key).collect();
    checked(document.to_string(), file, &keys)
}

fn put_in(document: &mut DocumentMut, key: &str, value: &str) -> Result<(), EditError> {
    let steps = steps(key);
    match keys::find(&steps) {
        None => return Err(unknown(key)),
        Some(Found::Key(row)) => {
            let value = to_toml(row, key, value)?;
            let (parents, name) = split(row, &steps);
            put(place(document.as_item_mut(), parents, key)?, &name, value);
        }
        Some(Found::Table) if keys::is_list_of_tables(&steps) => {
            let tables = list_of_tables(key, value)?;
            let (name, parents) = steps.split_last().ok_or_else(|| unknown(key))?;
            let table = place(document.as_item_mut(), parents, key)?;
            table.insert(name, Item::ArrayOfTables(tables));
        }
        Some(Found::Table) => {
            return Err(EditError::Table { key: key.into(), keys: keys_below(&steps) });
        }
    }
    Ok(())
}

/// The file without `key`, which may be a table, or one element of a list.
///
/// # Errors
/// When there is no such key, it is not set, or the whole would be wrong.
pub fn unset(text: &str, file: &Path, key: &str) -> Result<String, EditError> {
    let steps = steps(key);
    let found = keys::find(&steps).ok_or_else(|| unknown(key))?;
    let mut document = document(text, file)?;
    let steps = match found {
        Found::Key(row) => {
            let (parents, name) = split(row, &steps);
            parents.iter().map(|step| (*step).to_string()).chain([name]).collect()
        }
        Found::Table => steps.iter().map(|step| (*step).to_string()).collect::<Vec<_>>(),
    };
    if !remove(document.as_item_mut(), &steps) {
        return Err(EditError::NotSet { key: key.into() });
    }
    checked(document.to_string(), file, &[key])
}

fn steps(key: &str) -> Vec<&str> {
    key.split('.').collect()
}

fn document(text: &str, file: &Path) -> Result<DocumentMut, EditError> {
    match text.parse() {
        Ok(document) => Ok(document),
        // The same text fails here with its place in the file.
        Err(_) => parse(text, file).map(|_| DocumentMut::new()).map_err(EditError::Config),
    }
}

fn unknown(key: &str) -> EditError {
    let hint = match keys::suggest(&steps(key)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`wxc config keys` lists all keys".into(),
    };
    EditError::Unknown { key: key.escape_debug().to_string(), hint }
}

fn keys_below(steps: &[&str]) -> Vec<String> {
    let prefix = format!("{}.", steps.join("."));
    KEYS.iter().filter_map(|row| row.path.strip_prefix(&prefix)).map(String::from).collect()
}

/// The tables above a value and its own name, which has dots where the row ends with `*`.
fn split<'a>(row: &Key, steps: &'a [&'a str]) -> (&'a [&'a str], String) {
    let depth = row.path.split('.').count() - 1;
    let (parents, name) = steps.split_at(depth);
    (parents, name.join("."))
}

/// A changed text, if it is right; what is wrong with a changed key is said about that key.
fn checked(text: String, file: &Path, keys: &[&str]) -> Result<String, EditError> {
    let Err(error) = parse(&text, file) else { return Ok(text) };
    for problem in &error.problems {
        if let Some(key) = keys.iter().find(|key| problem.key.starts_with(**key)) {
            return Err(EditError::Value {
                key: (*key).into(),
                message: problem.message.clone(),
                hint: problem.hint.clone().unwrap_or_default(),
            });
        }
    }
    Err(EditError::Config(error))
}

fn plain_default(row: &Key) -> String {
    row.default.parse::<Value>().map_or_else(|_| String::new(), |value| plain(&Item::Value(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# my web server
hostname = \"web\"  # as in the zone

[console]
# two are enough
ttys = 2

[[mounts]]
source = \"/srv\" # data
target = \"/srv\"
";

    fn file() -> &'static Path {
        Path::new("container.toml")
    }

    fn set_ok(key: &str, value: &str) -> String {
        set(FILE, file(), key, value).unwrap()
    }

    #[test]
    fn a_change_keeps_comments_and_layout() {
        assert_eq!(set_ok("hostname", "www"), FILE.replace("\"web\"", "\"www\""));
        assert_eq!(set_ok("console.ttys", "3"), FILE.replace("ttys = 2", "ttys = 3"));
        assert_eq!(set_ok("mounts.0.source", "/data"), FILE.replace("\"/srv\" #", "\"/data\" #"));
    }

    #[test]
    fn tables_that_are_missing_are_made() {
        let text = set_ok("cgroup.memory.max", "512M");
        assert!(text.contains("[cgroup.memory]\nmax = \"512M\""), "{text}");
        let text = set(&text, file(), "sysctl.net.ipv4.ip_forward", "1").unwrap();
        assert!(text.contains("[sysctl]\n\"net.ipv4.ip_forward\" = 1"), "{text}");
        let text = set(&text, file(), "network.0.type", "empty").unwrap();
        assert!(text.contains("[[network]]\ntype = \"empty\""), "{text}");
    }

    #[test]
    fn a_list_of_tables_is_set_as_a_whole() {
        let text = set_ok("mounts", "[{ source = \"/a\", target = \"/b\" }]");
        assert!(text.contains("[[mounts]]\nsource = \"/a\"\ntarget = \"/b\""), "{text}");
        assert!(
            set(FILE, file(), "mounts", "/a /b").unwrap_err().hint().unwrap().contains("mounts.0.source")
        );
    }

    #[test]
    fn get_tells_a_value_from_a_default() {
        let shown = get(FILE, file(), "console.ttys").unwrap();
        assert_eq!((shown.value.as_str(), shown.set), ("2", true));
        let shown = get(FILE, file(), "init.command").unwrap();
        assert_eq!((shown.value.as_str(), shown.set), ("[\"/sbin/init\"]", false));
        assert_eq!(get(FILE, file(), "mounts.0.target").unwrap().value, "/srv");
    }

    #[test]
    fn show_has_every_key_with_a_value() {
        let all = show(FILE, file()).unwrap();
        let value = |key: &str| all.iter().find(|shown| shown.key == key).map(|shown| shown.value.as_str());
        assert_eq!(value("mounts.0.source"), Some("/srv"));
        assert_eq!(value("rootfs.storage"), Some("dir"));
        assert_eq!(value("arch"), None);
    }

    #[test]
    fn unset_brings_back_what_was_before() {
        for (key, value) in
            [("cgroup.memory.max", "1G"), ("sysctl.net.ipv4.ip_forward", "1"), ("arch", "i686")]
        {
            let with = set_ok(key, value);
            assert_eq!(unset(&with, file(), key).unwrap(), FILE, "{key}");
        }
        assert!(!unset(FILE, file(), "mounts.0").unwrap().contains("mounts"));
        assert_eq!(unset(FILE, file(), "arch").unwrap_err(), EditError::NotSet { key: "arch".into() });
    }

    #[test]
    fn nested_sysctls_are_found_and_removed() {
        let text = "[sysctl]\nnet.ipv4.ip_forward = 1\n";
        assert_eq!(get(text, file(), "sysctl.net.ipv4.ip_forward").unwrap().value, "1");
        assert_eq!(unset(text, file(), "sysctl.net.ipv4.ip_forward").unwrap(), "");
    }

    #[test]
    fn mistakes_are_told_by_key_and_nothing_is_changed() {
        let error = |key: &str, value: &str| set(FILE, file(), key, value).unwrap_err().to_string();
        assert_eq!(error("hostnam", "x"), "there is no key `hostnam`");
        assert_eq!(error("init.user", "root"), "init.user: \"root\" is not a number");
        assert_eq!(error("console.ttys", "99"), "console.ttys: 99 terminals are too many");
        assert!(error("cgroup.memory", "1G").contains("it has the keys max, high, low, swap"));
        assert!(error("mounts.7.source", "/x").contains("there is no entry 7"));
        assert!(error("hostname", "a\nb").contains("control character"));
    }

    #[test]
    fn words_become_lists_and_commands() {
        let text = set_ok("security.drop-capabilities", "net_raw, mknod");
        assert!(text.contains("[\"net_raw\", \"mknod\"]"), "{text}");
        let text = set_ok("init.command", "/bin/sh -l");
        assert!(text.contains("[\"/bin/sh\", \"-l\"]"), "{text}");
        let text = set_ok("init.command", "[\"/bin/echo\", \"a b\"]");
        assert!(text.contains("[\"/bin/echo\", \"a b\"]"), "{text}");
    }
}
