//! Everything the book is made of, copied to one place: the chapters, and the files that they link to, at the paths they have
//! in the repository. So links hold as they are, and mdBook sees nothing else of the checkout.

use std::fs;
use std::path::Path;

use crate::{links, markdown, read, summary};

/// mdBook's settings, beside this crate.
const SETTINGS: &str = "book/book.toml";

/// Copies the book's sources below `to`, which is made anew, ready for `mdbook build TO`.
///
/// # Errors
/// When a page is missing in the list of chapters, or a file cannot be copied.
pub fn stage(root: &Path, to: &Path) -> Result<(), String> {
    let missing = summary::missing(root)?;
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    if to.exists() {
        fs::remove_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    let sources = to.join("src");
    copy(&root.join(SETTINGS), &to.join("book.toml"))?;
    // mdBook wants it at the top.
    write(&sources.join("SUMMARY.md"), &moved(&read(&root.join(summary::FILE))?))?;
    for chapter in summary::chapters(root)? {
        let text = read(&root.join(&chapter))?;
        write(&sources.join(&chapter), &to_readmes(root, &chapter, &text))?;
        for link in markdown::links(&text) {
            let Some((path, _)) = link.relative() else { continue };
            let Some(target) = links::aim(&chapter, path) else { continue };
            // Chapters come on their own; what else is linked is shown as it is.
            if root.join(&target).is_file() && target.extension().is_none_or(|end| end != "md") {
                copy(&root.join(&target), &sources.join(&target))?;
            }
        }
    }
    Ok(())
}

/// The list, one directory above where it was.
fn moved(summary: &str) -> String {
    markdown::retargeted(summary, |link| {
        Some(links::aim(Path::new(summary::FILE), &link.target)?.display().to_string())
    })
}

/// A link to a directory becomes one to its README: a book has no directories.
fn to_readmes(root: &Path, chapter: &Path, text: &str) -> String {
    markdown::retargeted(text, |link| {
        let (path, _) = link.relative()?;
        let target = links::aim(chapter, path)?;
        (!path.is_empty() && root.join(target).is_dir())
            .then(|| format!("{}/README.md", path.trim_end_matches('/')))
    })
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    folder_of(to)?;
    fs::copy(from, to).map(|_| ()).map_err(|error| format!("{}: {error}", from.display()))
}

fn write(to: &Path, text: &str) -> Result<(), String> {
    folder_of(to)?;
    fs::write(to, text).map_err(|error| format!("{}: {error}", to.display()))
}

fn folder_of(file: &Path) -> Result<(), String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_comes_along_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        write(&at("book/book.toml"), "[book]").unwrap();
        write(&at(summary::FILE), "# Book\n\n- [A](a.md)\n- [X](../x/README.md)\n").unwrap();
        write(&at("docs/a.md"), "[x](../x) [code](../x/code.rs)").unwrap();
        write(&at("x/README.md"), "").unwrap();
        write(&at("x/code.rs"), "code").unwrap();
        write(&at("x/secret"), "").unwrap();
        let to = at("target/book");
        write(&to.join("src/old.md"), "").unwrap();
        stage(top.path(), &to).unwrap();
        let staged = |name: &str| fs::read_to_string(to.join("src").join(name)).ok();
        let list = "# Book\n\n- [A](docs/a.md)\n- [X](x/README.md)\n";
        assert_eq!(staged("SUMMARY.md").as_deref(), Some(list));
        assert_eq!(staged("docs/a.md").as_deref(), Some("[x](../x/README.md) [code](../x/code.rs)"));
        assert_eq!(staged("x/code.rs").as_deref(), Some("code"));
        assert_eq!((staged("x/secret"), staged("old.md")), (None, None));
    }
}
