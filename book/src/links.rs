//! Links of the repository's Markdown: each leads to a file, and to a heading where it says so.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{markdown, plain, read};

/// What is made, and what `wxc plugin new` makes pages of: those are parts, checked as wholes.
const LEFT_OUT: &[&str] = &["target", ".git", "host/scaffold"];

/// All Markdown files below a folder, relative to it, in order.
#[must_use]
pub fn pages(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    below(root, Path::new(""), &mut found);
    found.sort();
    found
}

fn below(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
        let path = folder.join(entry.file_name());
        let out = LEFT_OUT.iter().any(|out| path == Path::new(out) || entry.file_name() == *out);
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !out => below(root, &path, found),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|end| end == "md") => found.push(path),
            _ => {}
        }
    }
}

/// What is wrong with the links of one page, a line each: page, line, link, reason. `page` is relative to `root`.
///
/// # Errors
/// When the page cannot be read.
pub fn broken(root: &Path, page: &Path) -> Result<Vec<String>, String> {
    let text = read(&root.join(page))?;
    let links = markdown::links(&text);
    let wrong = links.iter().filter_map(|link| {
        let (path, fragment) = link.relative()?;
        let why = problem(root, page, path, fragment)?;
        Some(format!("{}:{}: [...]({}): {why}", page.display(), link.line, link.target))
    });
    Ok(wrong.collect())
}

fn problem(root: &Path, page: &Path, path: &str, fragment: Option<&str>) -> Option<String> {
    let Some(target) = aim(page, path) else { return Some("leads out of the repository".into()) };
    let file = root.join(&target);
    if !file.exists() {
        return Some(format!("there is no {}", target.display()));
    }
    // A directory is shown by its README, in the book as on a server of repositories.
    let file = if file.is_dir() { file.join("README.md") } else { file };
    if !file.is_file() {
        return Some(format!("{} has no README.md", target.display()));
    }
    let fragment = fragment?;
    let anchors = read(&file).map(|text| markdown::anchors(&text)).unwrap_or_default();
    (!anchors.contains(fragment)).then(|| format!("{} has no heading #{fragment}", target.display()))
}

/// The file, relative to the top, that a path in a page means; the page itself where there is none.
#[must_use]
pub fn aim(page: &Path, path: &str) -> Option<PathBuf> {
    if path.is_empty() {
        return Some(page.to_owned());
    }
    plain(&page.parent().unwrap_or(Path::new("")).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_nowhere_is_named_with_its_line() {
        let top = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = top.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("docs/a.md", "# One\n\n[good](b.md#two) [self](#one) [up](../c) [web](https://x.y/z)\n");
        write(
            "docs/b.md",
            "# Two\n\n[no](x.md)\n[none](a.md#three)\n[out](../../etc/passwd)\n[bare](../d)\n",
        );
        write("c/README.md", "[code](../docs/a.md)");
        write("d/code.rs", "");
        write("target/made.md", "[no](no.md)");
        let pages = pages(top.path());
        assert_eq!(pages, ["c/README.md", "docs/a.md", "docs/b.md"].map(PathBuf::from));
        let wrong: Vec<String> = pages.iter().flat_map(|page| broken(top.path(), page).unwrap()).collect();
        let expected = [
            "docs/b.md:3: [...](x.md): there is no docs/x.md",
            "docs/b.md:4: [...](a.md#three): docs/a.md has no heading #three",
            "docs/b.md:5: [...](../../etc/passwd): leads out of the repository",
            "docs/b.md:6: [...](../d): d has no README.md",
        ];
        assert_eq!(wrong, expected);
    }
}
