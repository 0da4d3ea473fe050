//! The documentation as a book: every link leads somewhere, every page is in the list of chapters.

use wxc_book::{links, root, summary};
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

#[test]
fn every_page_is_a_chapter_of_the_book() {
    needs!(checkout);
    none(&summary::missing(&root()).unwrap());
}
