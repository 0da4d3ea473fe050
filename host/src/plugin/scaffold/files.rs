#![forbid(unsafe_code)]
//! Which files a new plugin consists of.
//!
//! `host/scaffold` has them in four layers: what all have (`all`), what a kind has in every language (`kind/hook`), what a language has
//! for every kind (`lang/rust`), and what is left (`both/rust-hook`). The contract comes from `wit`, the one copy there is.
//! Three words are filled in: `@NAME@`, `@MODULE@` (the name with underscores) and `@WORD@` (without the kind).

use std::collections::BTreeMap;

use super::Language;
use crate::plugin::registry::Kind;

/// Paths below `host/scaffold` and `wit`, with what is in them; the build makes the tables.
struct Sources {
    scaffold: &'static [(&'static str, &'static [u8])],
    wit: &'static [(&'static str, &'static [u8])],
}

static SOURCES: Sources = include!(concat!(env!("OUT_DIR"), "/scaffold.rs"));

/// All files by path, whole: the parts of README.md are joined, in the order of their numbers.
pub(super) fn of(name: &str, kind: Kind, language: Language) -> BTreeMap<String, Vec<u8>> {
    let layers = [
        "all/".to_owned(),
        format!("kind/{kind}/"),
        format!("lang/{language}/"),
        format!("both/{language}-{kind}/"),
    ];
    let mut files = BTreeMap::new();
    let mut readme = BTreeMap::new();
    for layer in &layers {
        for (path, content) in below(SOURCES.scaffold, layer) {
            match path {
                part if part.starts_with("README-") => readme.insert(part, filled(content, name, kind)),
                // As such it would act here, too.
                "gitignore" => files.insert(".gitignore".to_owned(), filled(content, name, kind)),
                path => files.insert(path.to_owned(), filled(content, name, kind)),
            };
        }
    }
    files.insert("README.md".to_owned(), readme.into_values().collect::<Vec<_>>().concat());
    for package in ["host".to_owned(), kind.to_string()] {
        for (path, content) in below(SOURCES.wit, &format!("{package}/")) {
            files.insert(format!("wit/deps/{package}/{path}"), content.to_vec());
        }
    }
    files
}

fn below<'a>(
    table: &'static [(&'static str, &'static [u8])],
    layer: &'a str,
) -> impl Iterator<Item = (&'static str, &'static [u8])> + use<'a> {
    table.iter().filter_map(move |(path, content)| Some((path.strip_prefix(layer)?, *content)))
}

/// With the words filled in; what is no text stays as it is.
fn filled(content: &[u8], name: &str, kind: Kind) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
    let word = name.strip_prefix(&format!("{kind}-")).unwrap_or(name);
    let module = name.replace('-', "_");
    text.replace("@NAME@", name).replace("@MODULE@", &module).replace("@WORD@", word).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::manifest::Manifest;

    const KINDS: [Kind; 3] = [Kind::Storage, Kind::Template, Kind::Hook];
    const LANGUAGES: [Language; 4] = [Language::Rust, Language::C, Language::Python, Language::Js];

    fn text<'a>(files: &'a BTreeMap<String, Vec<u8>>, path: &str) -> &'a str {
        std::str::from_utf8(files.get(path).unwrap_or_else(|| panic!("no {path}"))).unwrap()
    }

    #[test]
    fn each_has_a_manifest_a_world_instructions_and_the_contract() {
        for (kind, language) in KINDS.into_iter().flat_map(|kind| LANGUAGES.map(|language| (kind, language)))
        {
            let name = format!("{kind}-of-mine");
            let files = of(&name, kind, language);
            let manifest = Manifest::parse(text(&files, "plugin.toml")).unwrap();
            assert_eq!((manifest.name.as_str(), manifest.kind), (name.as_str(), kind));
            assert!(text(&files, "wit/world.wit").contains("world plugin"));
            assert!(files.contains_key("wit/deps/host/types.wit"), "{language}");
            assert!(files.contains_key(&format!("wit/deps/{kind}/worlds.wit")), "{language}");
            assert!(files.contains_key(".gitignore") && !files.contains_key("gitignore"), "{language}");
            let readme = text(&files, "README.md");
            assert!(readme.contains("```sh build") && readme.contains("wxc plugin test"), "{readme}");
            assert!(readme.contains("```sh use"), "{readme}");
        }
    }

    #[test]
    fn instructions_name_files_that_are_there() {
        for (kind, language) in KINDS.into_iter().flat_map(|kind| LANGUAGES.map(|language| (kind, language)))
        {
            let files = of(&format!("{kind}-x"), kind, language);
            let words = text(&files, "README.md").split('`').skip(1).step_by(2);
            let named: Vec<&str> =
                words.filter(|word| word.starts_with("wit/") || word.starts_with("src/")).collect();
            assert!(named.len() >= 3, "{language} {kind}: {named:?}");
            for name in named {
                let there = |file: &String| file == name || file.starts_with(&format!("{name}/"));
                assert!(files.keys().any(there), "{language} {kind}: {name}");
            }
        }
    }

    #[test]
    fn every_word_is_filled_in() {
        for (kind, language) in KINDS.into_iter().flat_map(|kind| LANGUAGES.map(|language| (kind, language)))
        {
            let files = of(&format!("{kind}-x"), kind, language);
            for (path, content) in files.iter().filter(|(path, _)| !path.starts_with("wit/deps/")) {
                let text = String::from_utf8_lossy(content);
                for word in ["@NAME@", "@MODULE@", "@WORD@"] {
                    assert!(!text.contains(word) && !path.contains(word), "{language} {path}: {word}");
                }
            }
        }
    }
}
