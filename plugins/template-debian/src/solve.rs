//! Which packages are needed: what is essential, what the variant wants, and everything that these depend on.
//!
//! A release and its updates are consistent: of each package the newest version counts, and what depends on a version finds it. So
//! versions in dependencies are not compared.

use std::cmp::Ordering;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::choice::{Choice, MINBASE};
use crate::control::{fields, stanzas};

/// Without an init nothing starts, and without these no container of Debian's is `running`.
const ALWAYS: [&str; 4] = ["systemd-sysv", "dbus", "iproute2", "apt"];
/// Names for addresses, where the release has it as a package of its own.
const WANTED: [&str; 1] = ["systemd-resolved"];

/// A package, as the list has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found<'a> {
    name: &'a str,
    version: &'a str,
    /// In which of the releases it is.
    pub release: usize,
    essential: bool,
    priority: &'a str,
    pre_depends: &'a str,
    depends: &'a str,
    provides: &'a str,
    pub filename: &'a str,
    pub size: u64,
    pub sha256: &'a str,
}

/// All packages of a release and its updates.
pub struct Known<'a> {
    by_name: HashMap<&'a str, Found<'a>>,
    provided: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Known<'a> {
    /// From the lists of each release.
    pub fn of(releases: &'a [Vec<String>], architecture: &str) -> Result<Self, String> {
        let mut by_name = HashMap::new();
        let lists =
            releases.iter().enumerate().flat_map(|(release, lists)| lists.iter().map(move |l| (release, l)));
        for (release, stanza) in lists.flat_map(|(release, list)| stanzas(list).map(move |s| (release, s))) {
            let (mut found, mut of) = (Found { release, ..Found::default() }, "");
            for (name, value) in fields(stanza) {
                match name {
                    "Package" => found.name = value,
                    "Version" => found.version = value,
                    "Essential" => found.essential = value == "yes",
                    "Priority" => found.priority = value,
                    "Pre-Depends" => found.pre_depends = value,
                    "Depends" => found.depends = value,
                    "Provides" => found.provides = value,
                    "Filename" => found.filename = value,
                    "Architecture" => of = value,
                    "Size" => {
                        found.size = value.parse().map_err(|_| format!("{:?} has no size", found.name))?
                    }
                    "SHA256" => found.sha256 = value,
                    _ => {}
                }
            }
            if of != architecture && of != "all" {
                continue;
            }
            check(&found)?;
            match by_name.entry(found.name) {
                Entry::Vacant(place) => drop(place.insert(found)),
                Entry::Occupied(mut known) => {
                    if newer(found.version, known.get().version) {
                        known.insert(found);
                    }
                }
            }
        }
        if by_name.is_empty() {
            return Err("it names no package".into());
        }
        let mut provided = HashMap::<&str, Vec<&str>>::new();
        for found in by_name.values() {
            for name in found.provides.split(',').map(name_of).filter(|name| !name.is_empty()) {
                provided.entry(name).or_default().push(found.name);
            }
        }
        Ok(Self { by_name, provided })
    }
}

/// Whether the first is a newer version than the second.
fn newer(one: &str, other: &str) -> bool {
    deb_version::compare_versions(one, other) == Ordering::Greater
}

/// What is in a list must be good for an address and a file.
fn check(found: &Found<'_>) -> Result<(), String> {
    let shown: String = found.name.chars().take(80).collect();
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._+~:/%-".contains(&b);
    let path = found.filename;
    let climbs = path.split('/').any(|part| matches!(part, "" | "." | ".."));
    if climbs || path.len() > 500 || !path.bytes().all(good) {
        return Err(format!("{shown:?} is at {path:?}, which is no place on a mirror"));
    }
    // The comparison is made for versions, and for nothing else (deb-version(7)).
    let good = |b: u8| b.is_ascii_alphanumeric() || b".+-:~".contains(&b);
    if found.version.is_empty() || found.version.len() > 200 || !found.version.bytes().all(good) {
        return Err(format!("{shown:?} has a version that is none"));
    }
    if found.sha256.len() != 64
        || !found.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return Err(format!("{shown:?} has no digest"));
    }
    Ok(())
}

/// The name in `name:any (>= 1) [amd64]`.
fn name_of(word: &str) -> &str {
    word.trim().split([' ', ':', '(', '[', '\n']).next().unwrap_or_default()
}

/// The packages, those of the base first and marked.
pub fn needed<'a>(known: &'a Known<'a>, choice: &Choice<'a>) -> Result<Vec<(Found<'a>, bool)>, String> {
    let mut base = Solution { known, chosen: BTreeMap::new() };
    let essential: BTreeSet<&str> =
        known.by_name.values().filter(|one| one.essential).map(|one| one.name).collect();
    if essential.is_empty() {
        return Err("none of its packages is essential".into());
    }
    for name in essential {
        base.add(name, "what is essential")?;
    }
    let mut all = Solution { known, chosen: base.chosen.clone() };
    let by_priority: &[&str] =
        if choice.variant == MINBASE { &["required"] } else { &["required", "important", "standard"] };
    let wanted: BTreeSet<&str> = known
        .by_name
        .values()
        .filter(|one| by_priority.contains(&one.priority))
        .map(|one| one.name)
        .collect();
    let optional = WANTED.iter().filter(|name| known.by_name.contains_key(**name)).copied();
    for name in wanted.into_iter().chain(ALWAYS).chain(optional) {
        all.add(name, "the variant")?;
    }
    for name in &choice.include {
        all.add(name, "--include")?;
    }
    let mut stack: Vec<(Found<'a>, bool)> =
        all.chosen.values().map(|one| (*one, base.chosen.contains_key(one.name))).collect();
    // The first one brings directories that all others count on.
    stack.sort_by_key(|(one, is_base)| (!is_base, one.name != "base-files", one.name));
    Ok(stack)
}

struct Solution<'a> {
    known: &'a Known<'a>,
    chosen: BTreeMap<&'a str, Found<'a>>,
}

impl<'a> Solution<'a> {
    /// Adds a package and all that it depends on.
    fn add(&mut self, name: &str, why: &str) -> Result<(), String> {
        let mut open: Vec<(&'a str, String)> = match self.one_of(name) {
            Some(found) => vec![(found, why.to_owned())],
            None => return Err(format!("there is no package {name:?}, for {why}")),
        };
        while let Some((name, why)) = open.pop() {
            if self.chosen.contains_key(name) {
                continue;
            }
            let Some(found) = self.known.by_name.get(name) else {
                return Err(format!("there is no package {name:?}, for {why}"));
            };
            self.chosen.insert(found.name, *found);
            let groups = [found.pre_depends, found.depends].into_iter().flat_map(|list| list.split(','));
            for group in groups.filter(|group| !group.trim().is_empty()) {
                if group.split('|').any(|word| self.has(name_of(word))) {
                    continue;
                }
                match group.split('|').find_map(|word| self.one_of(name_of(word))) {
                    Some(next) => open.push((next, found.name.to_owned())),
                    None => {
                        return Err(format!("{} needs {:?}, which is not there", found.name, group.trim()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a package, or one that stands for it, is chosen.
    fn has(&self, name: &str) -> bool {
        self.chosen.contains_key(name)
            || self
                .known
                .provided
                .get(name)
                .is_some_and(|all| all.iter().any(|one| self.chosen.contains_key(one)))
    }

    /// The package of a name, or the most usual one of those that stand for it.
    fn one_of(&self, name: &str) -> Option<&'a str> {
        if let Some(found) = self.known.by_name.get(name) {
            return Some(found.name);
        }
        const ORDER: [&str; 4] = ["required", "important", "standard", "optional"];
        let rank = |one: &str| {
            let priority = self.known.by_name.get(one).map_or("", |found| found.priority);
            ORDER.iter().position(|known| *known == priority).unwrap_or(ORDER.len())
        };
        let all = self.known.provided.get(name)?.iter().copied();
        all.map(|one: &'a str| (rank(one), one)).min().map(|(_, one)| one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::wxc::host::types::Pair;
    use crate::bindings::wxc::template::types::Request;

    fn stanza(name: &str, more: &str) -> String {
        format!(
            "Package: {name}\nVersion: 1\nArchitecture: amd64\n{more}Filename: pool/{name}_1_amd64.deb\nSize: 5\nSHA256: {}\nDescription: x\n y\n\n",
            "ab".repeat(32)
        )
    }

    fn archive() -> Vec<String> {
        let usual = ["systemd-sysv", "dbus", "iproute2", "apt"].map(|name| stanza(name, ""));
        let own = [
            stanza(
                "base",
                "Essential: yes\nPriority: required\nPre-Depends: libc (>= 2), gone | awk\nDepends: libc\n",
            ),
            stanza("libc", "Depends: base\n"),
            stanza("mawk", "Provides: awk (= 1), other\nPriority: required\n"),
            stanza("gawk", "Provides: awk\nPriority: optional\n"),
            stanza("editor", "Priority: standard\nDepends: missing | libc:any (>= 1)\n"),
            stanza("broken", "Depends: nothing\n"),
            stanza("foreign", "").replace("amd64\n", "arm64\n"),
        ];
        vec![usual.concat(), own.concat()]
    }

    fn solved(answers: &[(&str, &str)]) -> Result<Vec<(String, bool)>, String> {
        let answers = answers.iter().chain(&[("mirror", "http://m"), ("components", "main")]);
        let answers = answers.map(|(n, v)| Pair { name: (*n).into(), value: (*v).into() }).collect();
        let request =
            Request { container: "c".into(), architecture: "x86_64".into(), privileged: false, answers };
        let (lists, choice) = ([archive()], Choice::of(&request).map_err(|why| why.message)?);
        let known = Known::of(&lists, &choice.architecture)?;
        Ok(needed(&known, &choice)?.into_iter().map(|(one, base)| (one.name.to_owned(), base)).collect())
    }

    #[test]
    fn what_is_needed_is_found_and_nothing_else() {
        let minimal = solved(&[]).unwrap();
        let names: Vec<&str> = minimal.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["base", "libc", "mawk", "apt", "dbus", "iproute2", "systemd-sysv"]);
        assert_eq!(minimal.iter().filter(|(_, base)| *base).count(), 3);
        assert!(solved(&[("variant", "standard")]).unwrap().iter().any(|(name, _)| name == "editor"));
        assert!(solved(&[("include", "gawk, editor")]).unwrap().len() == 9);
        assert!(solved(&[("include", "broken")]).unwrap_err().contains("broken needs \"nothing\""));
        assert!(solved(&[("include", "none")]).unwrap_err().contains("no package \"none\", for --include"));
        assert!(solved(&[("include", "foreign")]).is_err());
        for bad in ["../x", "a b", "-x", "X"] {
            assert!(solved(&[("include", bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_with_attacks_is_no_list() {
        for (from, to) in [
            ("pool/libc_1_amd64.deb", "../../etc/passwd"),
            ("pool/libc_1_amd64.deb", "pool//x.deb"),
            ("pool/libc_1_amd64.deb", "http://evil/x.deb@"),
            (&*"ab".repeat(32), "abab"),
            ("Size: 5", "Size: many"),
            ("Version: 1", "Version: \u{fc}1"),
            ("Version: 1", "Version:"),
        ] {
            let lists = archive().into_iter().map(|text| text.replace(from, to)).collect::<Vec<_>>();
            assert!(Known::of(&[lists], "amd64").is_err(), "{to}");
        }
        assert!(Known::of(&[vec![String::new()]], "amd64").is_err());
    }

    #[test]
    fn the_newest_version_counts_wherever_it_is() {
        let version =
            |text: &str| stanza("libc", "Depends: base\n").replace("Version: 1", &format!("Version: {text}"));
        for (updates, from) in [("1.1", 1), ("1~rc1", 0), ("1", 0), ("1+deb13u1", 1), ("1:0", 1)] {
            let lists = [archive(), vec![version(updates)]];
            let known = Known::of(&lists, "amd64").unwrap();
            assert_eq!(known.by_name["libc"].release, from, "{updates}");
        }
        // What an older version stood for does not count any more.
        let newer = stanza("gawk", "").replace("Version: 1", "Version: 2");
        let lists = [archive(), vec![newer]];
        assert_eq!(Known::of(&lists, "amd64").unwrap().provided["awk"], ["mawk"]);
    }
}
