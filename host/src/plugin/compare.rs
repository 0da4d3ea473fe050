#![forbid(unsafe_code)]
//! What a new version of a plugin has that the old one had not, and the other way round, in words that an administrator can judge.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::admin::Shown;

/// What is different between two files of one plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// The version of the one that is there.
    pub from: String,
    /// The version of the other.
    pub to: String,
    /// It is the very same file.
    pub same_file: bool,
    /// The other is older, as far as its version says.
    pub older: bool,
    /// What it asks for that the one that is there does not, as it is granted.
    pub asks_more: Vec<String>,
    /// What it does not ask for any more.
    pub asks_less: Vec<String>,
    /// Everything, a line each: `+` for what comes, `-` for what goes, `~` for what changes.
    pub lines: Vec<String>,
}

impl Differences {
    /// Between the plugin that is there and another file of it.
    #[must_use]
    pub fn between(old: &Shown, new: &Shown) -> Self {
        let permission = |shown: &Shown| -> BTreeMap<String, String> {
            let all = shown.permissions.iter();
            all.map(|p| (p.permission.to_string(), format!("may touch {}: {}", p.permission, p.words)))
                .collect()
        };
        let ability = |shown: &Shown| -> BTreeMap<String, String> {
            let all = shown.abilities.iter();
            all.map(|a| (a.interface.clone(), format!("can {}: {}", a.interface, a.words))).collect()
        };
        let setting = |shown: &Shown| -> BTreeMap<String, String> {
            let all = shown.settings.iter();
            all.map(|s| (s.key.clone(), said(s))).collect()
        };
        let (asked, asks) = (permission(old), permission(new));
        let mut lines = compared(&ability(old), &ability(new));
        lines.extend(compared(&asked, &asks));
        lines.extend(compared(&setting(old), &setting(new)));
        lines.extend(compared(&limits(old), &limits(new)));
        Self {
            from: old.about.version.clone(),
            to: new.about.version.clone(),
            same_file: old.about.digest == new.about.digest,
            older: order(&new.about.version, &old.about.version) == Ordering::Less,
            asks_more: asks.keys().filter(|key| !asked.contains_key(*key)).cloned().collect(),
            asks_less: asked.keys().filter(|key| !asks.contains_key(*key)).cloned().collect(),
            lines,
        }
    }
}

fn said(setting: &super::admin::ShownSetting) -> String {
    let default =
        setting.default.as_ref().map(|default| format!(" [default: {default}]")).unwrap_or_default();
    let user = if setting.user { " (a user may set it)" } else { "" };
    format!("setting {}: {}{default}{user}", setting.key, setting.doc)
}

fn limits(shown: &Shown) -> BTreeMap<String, String> {
    let memory =
        shown.memory.map(|mebibytes| ("memory".to_owned(), format!("asks for {mebibytes} MiB of memory")));
    let time =
        shown.time.map(|time| ("time".to_owned(), format!("asks for {time} ms of processor time at once")));
    memory.into_iter().chain(time).collect()
}

fn compared(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let gone = old.iter().filter(|(key, _)| !new.contains_key(*key)).map(|(_, words)| format!("- {words}"));
    let come = new.iter().filter_map(|(key, words)| match old.get(key) {
        None => Some(format!("+ {words}")),
        Some(before) if before != words => Some(format!("~ {words} (it was: {before})")),
        Some(_) => None,
    });
    gone.chain(come).collect()
}

/// The order of two versions, by semantic versioning as far as they follow it: numbers by their size, a pre-release before what it
/// leads to, and what is behind a plus counts for nothing.
fn order(a: &str, b: &str) -> Ordering {
    let parts = |version: &str| {
        let version = version.split('+').next().unwrap_or_default().to_owned();
        let (core, pre) = match version.split_once('-') {
            Some((core, pre)) => (core.to_owned(), Some(pre.to_owned())),
            None => (version, None),
        };
        (core, pre)
    };
    let ((core_a, pre_a), (core_b, pre_b)) = (parts(a), parts(b));
    numbers(&core_a, &core_b, true).then_with(|| match (pre_a, pre_b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => numbers(&a, &b, false),
    })
}

/// Parts between dots, one after the other. `even`: what is missing is a zero.
fn numbers(a: &str, b: &str, even: bool) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (x, y) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) if !even => return Ordering::Less,
            (Some(_), None) if !even => return Ordering::Greater,
            (x, y) => (x.unwrap_or("0"), y.unwrap_or("0")),
        };
        let order = match (x.parse::<u64>(), y.parse::<u64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => x.cmp(y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_semantic_versioning() {
        let sorted = [
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0",
            "1.0.10",
            "1.2",
            "2",
        ];
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                assert_eq!(order(a, b), at.cmp(&other), "{a} and {b}");
            }
        }
        assert_eq!(order("1.0", "1.0.0+build.7"), Ordering::Equal);
    }

    #[test]
    fn what_comes_and_goes_and_changes_is_told_apart() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        let lines = compared(
            &map(&[("a", "1"), ("b", "2"), ("c", "3")]),
            &map(&[("b", "2"), ("c", "4"), ("d", "5")]),
        );
        assert_eq!(lines, ["- 1", "~ 4 (it was: 3)", "+ 5"]);
    }
}
