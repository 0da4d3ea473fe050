//! The documentation as a book: every link leads somewhere, every page is in the list of chapters.

use wxc_book::{links, markdown, read, root, summary};
use wxc_tests::needs;

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn links_of_all_documents_lead_to_files_and_headings() {
    needs!(checkout);
    let pages = links::pages(&root());
    assert!(pages.len() > 40, "{pages:?}");
    let wrong: Vec<String> = pages.iter().flat_map(|page| links::broken(&root(), page).unwrap()).collect();
    none(&wrong);
}

/// A new plugin's README is made of these parts, and lies where this repository is not.
#[test]
fn what_a_new_plugin_begins_with_links_to_nothing_of_this_repository() {
    needs!(checkout);
    let scaffold = root().join("host/scaffold");
    let parts = links::pages(&scaffold);
    assert!(parts.len() > 8, "{parts:?}");
    for part in parts {
        let text = read(&scaffold.join(&part)).unwrap();
        let inside: Vec<_> =
            markdown::links(&text).into_iter().filter(|link| link.relative().is_some()).collect();
        assert!(inside.is_empty(), "{}: {inside:?}", part.display());
    }
}

#[test]
fn every_page_is_a_chapter_of_the_book() {
    needs!(checkout);
    none(&summary::missing(&root()).unwrap());
}
