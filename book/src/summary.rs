//! The list of chapters, `docs/SUMMARY.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{links, markdown, read};

/// Where it is.
pub const FILE: &str = "docs/SUMMARY.md";

/// The pages it names, relative to the top, in order.
///
/// # Errors
/// When it cannot be read, or names a page twice or one that is not there.
pub fn chapters(root: &Path) -> Result<Vec<PathBuf>, String> {
    let text = read(&root.join(FILE))?;
    let mut seen = BTreeSet::new();
    let mut chapters = Vec::new();
    for link in markdown::links(&text) {
        let wrong = |why: &str| format!("{FILE}:{}: {} {why}", link.line, link.target);
        let page =
            links::aim(Path::new(FILE), &link.target).ok_or_else(|| wrong("is not in the repository"))?;
        if !root.join(&page).is_file() {
            return Err(wrong("is not there"));
        }
        if !seen.insert(page.clone()) {
            return Err(wrong("is named twice"));
        }
        chapters.push(page);
    }
    Ok(chapters)
}

/// The pages that are not in it and should be: those of `docs/`, and whatever a page of the book links to.
///
/// # Errors
/// When the list or a page cannot be read.
pub fn missing(root: &Path) -> Result<Vec<String>, String> {
    let chapters = chapters(root)?;
    let known: BTreeSet<&PathBuf> = chapters.iter().collect();
    let mut missing = Vec::new();
    for page in links::pages(root) {
        let of_docs = page.starts_with("docs") && page != Path::new(FILE);
        if of_docs && !known.contains(&page) {
            missing.push(format!("{} is not in {FILE}", page.display()));
        }
    }
    for chapter in &chapters {
        for link in markdown::links(&read(&root.join(chapter))?) {
            let Some((path, _)) = link.relative() else { continue };
            let Some(target) = links::aim(chapter, path).map(|target| shown(root, target)) else { continue };
            if target.extension().is_some_and(|end| end == "md") && !known.contains(&target) {
                let (chapter, line) = (chapter.display(), link.line);
                missing.push(format!("{chapter}:{line}: {} is not in {FILE}", target.display()));
            }
        }
    }
    Ok(missing)
}

/// What a link to this path shows: of a directory its README.
#[must_use]
pub fn shown(root: &Path, target: PathBuf) -> PathBuf {
    if root.join(&target).is_dir() { target.join("README.md") } else { target }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn book(summary: &str) -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("docs")).unwrap();
        fs::create_dir_all(top.path().join("plugins/x")).unwrap();
        fs::write(top.path().join(FILE), summary).unwrap();
        fs::write(top.path().join("docs/a.md"), "[x](../plugins/x)").unwrap();
        fs::write(top.path().join("docs/b.md"), "").unwrap();
        fs::write(top.path().join("plugins/x/README.md"), "").unwrap();
        top
    }

    #[test]
    fn a_forgotten_page_is_named() {
        let top = book("# Book\n\n- [A](a.md)\n");
        let expected = [
            "docs/b.md is not in docs/SUMMARY.md",
            "docs/a.md:1: plugins/x/README.md is not in docs/SUMMARY.md",
        ];
        assert_eq!(missing(top.path()).unwrap(), expected);
        let top = book("# Book\n\n- [A](a.md)\n  - [X](../plugins/x/README.md)\n- [B](b.md)\n");
        assert_eq!(missing(top.path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_page_is_there_and_once() {
        let said = |summary| chapters(book(summary).path()).unwrap_err();
        assert_eq!(said("- [A](a.md)\n- [A](a.md)\n"), "docs/SUMMARY.md:2: a.md is named twice");
        assert_eq!(said("- [C](c.md)\n"), "docs/SUMMARY.md:1: c.md is not there");
    }
}
