//! Puts the book together: `wxc-book` in a checkout, which `cargo xtask book` starts when mdBook is there.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person who started it")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use wxc_book::{built, links, root, stage, summary};

fn main() -> ExitCode {
    match book(&root()) {
        Ok((place, size)) => {
            println!("{}: {} pages, {} links", place.display(), size.pages, size.links);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn book(root: &Path) -> Result<(PathBuf, built::Size), String> {
    let wrong: Vec<String> = links::pages(root)
        .iter()
        .map(|page| links::broken(root, page))
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let place = root.join("target/book");
    let chapters = summary::chapters(root)?;
    let first = chapters.first().ok_or_else(|| format!("{} names no chapter", summary::FILE))?;
    let first = first.with_extension("html");
    stage::stage(root, &place)?;
    let status = Command::new("mdbook").arg("build").arg(&place).status();
    let status = status.map_err(|error| format!("mdbook build: {error}"))?;
    if !status.success() {
        return Err(format!("mdbook build {}: {status}", place.display()));
    }
    let html = place.join("html");
    built::lead_in(&html, &first)?;
    let size = built::check(&html)?;
    Ok((html.join("index.html"), size))
}
