//! `cargo xtask book`: the documentation as a book, with every link followed.

use crate::shell::{Result, build, run};
use crate::tools;

/// Puts the book together below `target/book`. Where mdBook cannot be installed this fails; with `--if-possible` it says so and goes on,
/// for the pages themselves are looked through by the tests in any case.
pub(crate) fn book(args: &[String]) -> Result<()> {
    if let Err(error) = tools::ensure(tools::MDBOOK) {
        if args.iter().any(|arg| arg == "--if-possible") {
            println!("SKIPPED the book: {error}");
            return Ok(());
        }
        return Err(error);
    }
    let mut book = std::process::Command::new(build("wxc-book", false)?);
    book.env("PATH", tools::path());
    run(book)
}
