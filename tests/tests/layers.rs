//! Rules about the sources that no compiler checks: who may import whom, where unsafe code may
//! be, that copies are equal, and that nothing is forgotten or promised in vain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wxc_tests::{needs, root};

/// The modules of `host/src`, lowest first. A module imports from those on lines above its own.
const LAYERS: &[&[&str]] = &[
    &["sys"],
    &["config"],
    &["plan"],
    &["fetch", "trust"],
    &["plugin", "runtime", "unpack"],
    &["container"],
    &["conformance"],
    &["cli"],
];

/// Where unsafe code may be: what wraps the kernel, what runs between clone and exec, what calls
/// generated code, and tests that bring a thread into the state they test.
const UNSAFE: &[&str] =
    &["host/src/sys", "host/child/src", "host/src/plugin/bindings", "host/tests/resources"];

/// A file that grows past this holds a second idea.
const LINES: usize = 600;

#[test]
fn lower_layers_do_not_import_higher_ones() {
    needs!(checkout);
    let rank: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(at, row)| row.iter().map(move |name| (*name, at))).collect();
    let mut wrong = Vec::new();
    for file in sources("host/src") {
        let Some(layer) = layer(&file) else { continue };
        let Some(own) = rank.get(layer.as_str()) else {
            wrong.push(format!("{}: {layer} is in no line of LAYERS", shown(&file)));
            continue;
        };
        for import in imports(&code(&file)) {
            // Names that are no module are items of lib.rs, which has none of its own.
            let Some(other) = rank.get(import.as_str()) else { continue };
            if import != layer && other >= own {
                wrong.push(format!("{}: {layer} imports {import}", shown(&file)));
            }
        }
    }
    none(&wrong);
}

#[test]
fn unsafe_code_is_only_where_it_may_be() {
    needs!(checkout);
    let mut wrong = Vec::new();
    for file in
        sources("host").into_iter().chain(sources("xtask")).chain(sources("tests")).chain(sources("bench"))
    {
        let name = shown(&file);
        if UNSAFE.iter().any(|place| name.starts_with(place)) {
            continue;
        }
        let words = ["{", "fn ", "impl ", "extern "].map(|after| format!("{} {after}", "unsafe"));
        if words.iter().any(|word| code(&file).contains(word)) {
            wrong.push(name);
        }
    }
    none(&wrong);
}

#[test]
fn every_other_module_forbids_unsafe_code() {
    needs!(checkout);
    let wrong: Vec<String> = sources("host/src")
        .into_iter()
        .filter(|file| layer(file).is_some())
        .filter(|file| !UNSAFE.iter().any(|place| shown(file).starts_with(place)))
        // A parent that forbids would forbid its bindings, too.
        .filter(|file| shown(file) != "host/src/plugin/mod.rs")
        .filter(|file| !forbids(file))
        .map(|file| shown(&file))
        .collect();
    none(&wrong);
}

#[test]
fn plugins_have_the_released_contract() {
    needs!(checkout);
    let mut wrong = Vec::new();
    let folders =
        ["plugins", "plugins/hooks", "examples", "tests"].map(|folder| fs::read_dir(root().join(folder)));
    for plugin in folders.into_iter().flatten().flatten().flatten().map(|entry| entry.path()) {
        let copy = plugin.join("wit");
        // A world of its own, in no folder, is nobody's copy.
        for file in files(&copy, "wit").into_iter().filter(|file| file.parent() != Some(&copy)) {
            let part = file.strip_prefix(&copy).unwrap();
            // Dependencies of a package are copies in its deps folder; at the top they stand alone.
            let part = part.strip_prefix("deps").unwrap_or(part);
            let original = root().join("wit").join(part);
            if fs::read(&original).ok() != fs::read(&file).ok() {
                wrong.push(format!("{} differs from {}", shown(&file), shown(&original)));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_file_of_tests_is_run() {
    needs!(checkout);
    let main = read(&root().join("tests/tests/main.rs"));
    let wrong: Vec<String> = sources("tests/tests")
        .into_iter()
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "main" && !main.contains(&format!("mod {name};")))
        .collect();
    none(&wrong);
}

#[test]
fn documents_mention_no_missing_file() {
    needs!(checkout);
    let mut wrong = Vec::new();
    // What `wxc plugin new` writes speaks of the directory that it is written to; a test of its own looks there.
    let here = |document: &PathBuf| !document.starts_with(root().join("host/scaffold"));
    for document in files(&root(), "md").into_iter().filter(here) {
        for path in mentioned(&read(&document)) {
            let beside = document.parent().unwrap().join(&path);
            if !beside.exists() && !root().join(&path).exists() {
                wrong.push(format!("{}: {path}", shown(&document)));
            }
        }
    }
    none(&wrong);
}

#[test]
fn files_hold_one_idea() {
    needs!(checkout);
    let wrong: Vec<String> = ["host", "plugins", "tests", "xtask", "bench"]
        .into_iter()
        .flat_map(sources)
        .map(|file| (read(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LINES)
        .map(|(lines, file)| format!("{}: {lines} lines", shown(&file)))
        .collect();
    none(&wrong);
}

/// Whether the file or a module it is part of forbids unsafe code, which none of its own can undo.
fn forbids(file: &Path) -> bool {
    let above = file.ancestors().skip(1).take_while(|folder| *folder != root().join("host/src"));
    let modules = above.map(|folder| folder.join("mod.rs")).filter(|module| module.exists());
    std::iter::once(file.to_owned())
        .chain(modules)
        .any(|file| read(&file).contains("#![forbid(unsafe_code)]"))
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// All Rust files below a folder of the checkout.
fn sources(folder: &str) -> Vec<PathBuf> {
    files(&root().join(folder), "rs")
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if name != "target" && name != ".git" {
                found.extend(files(&path, ending));
            }
        } else if path.extension().is_some_and(|end| end == ending) {
            found.push(path);
        }
    }
    found
}

/// The first folder or file name below `host/src`; none for the two crate roots.
fn layer(file: &Path) -> Option<String> {
    let name = shown(file);
    let part = name.strip_prefix("host/src/")?.split('/').next()?.trim_end_matches(".rs").to_owned();
    (part != "lib" && part != "main").then_some(part)
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The text without comments and documentation, which may speak of anything.
fn code(file: &Path) -> String {
    let text = read(file);
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The names that follow `crate::`, also in a group.
fn imports(code: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (_, rest) in code.match_indices("crate::").map(|(at, word)| code.split_at(at + word.len())) {
        let Some(group) = rest.strip_prefix('{') else {
            found.push(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && !c.is_whitespace() => {
                    found.push(name(&group[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// Paths a document names: targets of links, and code words that begin with a folder of ours.
fn mentioned(text: &str) -> Vec<String> {
    const FOLDERS: &[&str] =
        &["host/", "wit/", "plugins/", "tests/", "xtask/", "bench/", "docs/", ".ci/", "examples/"];
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(|target| {
        let target = target.split('#').next().unwrap_or_default();
        if target.contains("://") { "" } else { target }
    });
    let words = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains(['*', '<', '{', ' ', '$', '\n']));
    links.chain(words).filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

#[test]
fn imports_are_found() {
    let code = "use crate::{a::{x, y}, b, c::D};\nuse crate::e::F;\nlet z = crate::g();";
    assert_eq!(imports(code), ["a", "b", "c", "e", "g"]);
}

#[test]
fn mentions_are_found() {
    let text = "See [it](../a.md#top), [web](https://x.y), `host/src/lib.rs`, `plugins/NAME`, `cargo test`, `docs/*.md`.";
    assert_eq!(mentioned(text), ["../a.md", "host/src/lib.rs", "plugins/NAME"]);
}
