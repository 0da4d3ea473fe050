//! The pages about the contract are what the WIT files say, and what `wxc plugin show` says of permissions.

#![allow(clippy::print_stderr, reason = "a test says that it was skipped")]

use std::fs;

use wxc::plugin::grants::{Permission, is_free};

/// Beside the pages that people write.
const FOLDER: &str = "docs/reference";

/// What stands for importing an interface; nothing where that is no permission.
fn explain(interface: &str) -> Option<String> {
    if is_free(interface) {
        return None;
    }
    let permission: Permission = interface.parse().ok()?;
    Some(permission.explain())
}

#[test]
fn pages_about_the_contract_are_made_from_it() {
    let root = wxc_book::root();
    if !root.join("wit").is_dir() {
        eprintln!("skipped: there is no checkout here");
        return;
    }
    let pages = wxc_book::reference::pages(&root, &explain).unwrap();
    let folder = root.join(FOLDER);
    if std::env::var_os("WXC_BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in &pages {
            fs::write(folder.join(name).with_extension("md"), text).unwrap();
        }
        return;
    }
    for (name, text) in &pages {
        let page = fs::read_to_string(folder.join(name).with_extension("md")).unwrap_or_default();
        assert!(page == *text, "{FOLDER}/{name}.md is not what wit/{name} says: run with WXC_BLESS=1");
    }
}

/// A permission that nobody explains would stand in the pages, and in `wxc plugin show`, as a bare name.
#[test]
fn every_permission_is_explained() {
    let root = wxc_book::root();
    let unexplained = std::cell::RefCell::new(Vec::new());
    let pages = wxc_book::reference::pages(&root, &|interface| {
        let text = explain(interface);
        if text.as_ref().is_some_and(|text| *text == format!("use {interface}")) {
            unexplained.borrow_mut().push(interface.to_owned());
        }
        // What is exported is asked for, too, and is never shown.
        text
    });
    let pages = pages.unwrap();
    for name in unexplained.into_inner() {
        let shown = format!("Importing it is a permission: *use {name}*.");
        assert!(pages.iter().all(|(_, text)| !text.contains(&shown)), "{name} is not explained");
    }
}

/// Rows of the page about budgets name a number and the constant that it is.
#[test]
fn limits_on_the_page_are_those_of_the_code() {
    let root = wxc_book::root();
    let Ok(page) = fs::read_to_string(root.join("docs/budgets.md")) else { return };
    let mut seen = 0;
    for row in page.lines().filter(|line| line.starts_with('|') && line.contains("`host/src/")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let place: Vec<&str> = cells[3].split('`').collect();
        let (file, name) = (place[1], place[3]);
        let source = fs::read_to_string(root.join(file)).unwrap();
        let value = constant(&source, name).unwrap_or_else(|| panic!("{file} has no {name} with a number"));
        assert_eq!(number(cells[2]), value, "{row}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

/// `64 MiB; ...`, `5 s, ...` and `1000` as bytes, seconds and a count.
fn number(text: &str) -> u64 {
    let mut words = text.split([' ', ';', ',', '.']);
    let number: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    match words.next().unwrap_or_default() {
        "KiB" => number << 10,
        "MiB" => number << 20,
        _ => number,
    }
}

/// What a constant, or a field of a default, is: a number, a shifted one, or seconds.
fn constant(source: &str, name: &str) -> Option<u64> {
    let assigned = source.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches("pub ");
        match line.strip_prefix("const ") {
            Some(rest) => {
                rest.strip_prefix(name)?.strip_prefix(':')?.split_once("= ").map(|(_, value)| value)
            }
            None => line.strip_prefix(name)?.strip_prefix(": "),
        }
    });
    let value = |text: &str| {
        let text = text.trim_end_matches([';', ',']).replace('_', "");
        let text =
            text.strip_prefix("Duration::fromsecs(").map_or(text.as_str(), |t| t.trim_end_matches(')'));
        match text.split_once(" << ") {
            Some((number, by)) => Some(number.parse::<u64>().ok()? << by.parse::<u32>().ok()?),
            None => text.parse().ok(),
        }
    };
    assigned.filter_map(value).next()
}

/// Every word that `wxc plugin show` has for a permission is on the page about them.
#[test]
fn every_word_for_a_permission_is_on_the_page() {
    let root = wxc_book::root();
    let Ok(page) = fs::read_to_string(root.join("docs/permissions.md")) else { return };
    let source = fs::read_to_string(root.join("host/src/plugin/grants.rs")).unwrap();
    let table =
        source.split_once("pub fn explain").and_then(|(_, rest)| rest.split_once("(_, _)")).unwrap().0;
    let rows = table.lines().map(str::trim).filter_map(|line| line.strip_prefix("(\""));
    let words: Vec<&str> = rows.filter_map(|rest| rest.split('"').next()).collect();
    assert!(words.len() > 25, "{words:?}");
    for word in words {
        let written = [format!("`{word}`"), format!("`{word}:")];
        assert!(written.iter().any(|written| page.contains(written)), "docs/permissions.md has no {word}");
    }
}
