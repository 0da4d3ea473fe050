//! What came out: every link of the HTML leads to a file of the book, and to a place in it where it says so. mdBook itself
//! does not look.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{plain, read};

/// How large a book is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its pages.
    pub pages: usize,
    /// Links within it that were followed.
    pub links: usize,
}

/// Makes the top of the book lead to its first chapter. mdBook puts a copy of that there, whose links were made for another folder.
///
/// # Errors
/// When it cannot be written.
pub fn lead_in(folder: &Path, first: &Path) -> Result<(), String> {
    let first = first.display();
    let page = format!(
        "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"refresh\" content=\"0; url={first}\">\n\
         <a href=\"{first}\">The book</a>\n"
    );
    let top = folder.join("index.html");
    fs::write(&top, page).map_err(|error| format!("{}: {error}", top.display()))
}

/// Follows every link of the book below a folder.
///
/// # Errors
/// The links that lead nowhere, a line each, or a file that cannot be read.
pub fn check(folder: &Path) -> Result<Size, String> {
    let mut pages = BTreeMap::new();
    read_below(folder, Path::new(""), &mut pages)?;
    let mut links = 0;
    let mut wrong = Vec::new();
    for (page, text) in &pages {
        // What a server shows where nothing is speaks of its own top.
        if page == Path::new("404.html") {
            continue;
        }
        for target in values(text, "href") {
            if target.contains(':') {
                continue;
            }
            links += 1;
            if let Some(why) = problem(folder, &pages, page, target) {
                wrong.push(format!("{}: {target}: {why}", page.display()));
            }
        }
    }
    if wrong.is_empty() { Ok(Size { pages: pages.len(), links }) } else { Err(wrong.join("\n")) }
}

fn problem(
    folder: &Path,
    pages: &BTreeMap<PathBuf, String>,
    page: &Path,
    target: &str,
) -> Option<&'static str> {
    let (path, fragment) = target.split_once('#').map_or((target, ""), |(path, fragment)| (path, fragment));
    let file = match path {
        "" => page.to_owned(),
        path => match plain(&page.parent().unwrap_or(Path::new("")).join(path)) {
            Some(file) => file,
            None => return Some("leads out of the book"),
        },
    };
    let Some(text) = pages.get(&file) else {
        return (!folder.join(&file).is_file()).then_some("is not there");
    };
    let there = fragment.is_empty() || values(text, "id").any(|id| id == fragment);
    (!there).then_some("has no such place")
}

/// The values of an attribute, as mdBook writes them.
fn values<'a>(text: &'a str, attribute: &str) -> impl Iterator<Item = &'a str> {
    let word = format!(" {attribute}=\"");
    let starts: Vec<usize> = text.match_indices(&word).map(|(at, word)| at + word.len()).collect();
    starts.into_iter().filter_map(|at| text[at..].split('"').next())
}

fn read_below(top: &Path, folder: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<(), String> {
    let entries =
        fs::read_dir(top.join(folder)).map_err(|error| format!("{}: {error}", top.join(folder).display()))?;
    for entry in entries.flatten() {
        let path = folder.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            read_below(top, &path, pages)?;
        } else if path.extension().is_some_and(|end| end == "html") {
            pages.insert(path.clone(), read(&top.join(path))?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_their_places() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("docs")).unwrap();
        let write = |name: &str, text: &str| fs::write(top.path().join(name), text).unwrap();
        write("docs/a.html", r#"<a class="x" href="b.html#two">x</a> <a href="https://x.y">"#);
        write("docs/b.html", r#"<h1 id="two"><a href="../style.css">"#);
        write("style.css", "");
        assert_eq!(check(top.path()), Ok(Size { pages: 2, links: 2 }));
        write("docs/b.html", r#"<h1 id="three"><a href="../no.css"> <a href="../../out">"#);
        let expected = "docs/a.html: b.html#two: has no such place\ndocs/b.html: ../no.css: is not there\n\
                        docs/b.html: ../../out: leads out of the book";
        assert_eq!(check(top.path()), Err(expected.into()));
    }

    #[test]
    fn the_top_leads_to_the_first_chapter() {
        let top = tempfile::tempdir().unwrap();
        lead_in(top.path(), Path::new("docs/README.html")).unwrap();
        assert_eq!(check(top.path()), Err("index.html: docs/README.html: is not there".into()));
    }
}
