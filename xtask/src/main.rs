//! The project's tasks: everything a contributor or the CI types, as `cargo xtask TASK`.
//!
//! `shell` runs a command and shows it, `setup` and `tools` install what is missing, `demo` shows a container,
//! `book` makes a book of the documentation, `totals` runs and counts all tests, `install` copies a release, and `ci` and `bench` only start
//! what lives in `.ci/run` and `bench/`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the person who started it")]

mod book;
mod demo;
mod fuzz;
mod install;
mod interpreters;
mod setup;
mod shell;
mod tools;
mod totals;

use std::process::{Command, ExitCode};

use shell::{Result, root, run};

/// A task: its word, what it does in one line, and the function.
struct Task(&'static str, &'static str, fn(&[String]) -> Result<()>);

const TASKS: &[Task] = &[
    Task("setup", "install what is missing [--bench]", setup::setup),
    Task("demo", "build, then show a container from create to destroy", demo::demo),
    Task("test", "run all tests and print their totals [--mirror URL] [NAME...]", totals::test),
    Task("book", "make a book of docs/, below target/book, and follow its links [--if-possible]", book::book),
    Task("ci", "what a change must pass: format, lints, tests (.ci/run)", ci),
    Task(
        "bench",
        "measure wxc beside LXC, into bench/RESULTS.md; hooks into bench/HOOKS.md, images into bench/IMAGES.md [hooks | images] [-n RUNS]",
        bench,
    ),
    Task("torture", "kill random commands at random instants [--minutes N] [--seed S] [-B STORAGE]", torture),
    Task(
        "fuzz",
        "feed what reads foreign data with what nobody would send [TARGET] [-t SECONDS]",
        fuzz::fuzz,
    ),
    Task("install", "build a release and copy it [--prefix DIR, default /usr/local]", install::install),
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let word = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let Some(Task(_, _, task)) = TASKS.iter().find(|task| task.0 == word) else {
        eprintln!("usage: cargo xtask TASK\n");
        for Task(name, what, _) in TASKS {
            eprintln!("  {name:8} {what}");
        }
        return if matches!(word.as_str(), "" | "help" | "--help" | "-h") {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match task(&rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {word}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ci(_: &[String]) -> Result<()> {
    run(Command::new(root().join(".ci/run")))
}

fn torture(args: &[String]) -> Result<()> {
    setup::prepare(setup::Needed::Test)?;
    let mut torture = shell::cargo();
    torture.args(["run", "--package", "wxc-tests", "--bin", "wxc-torture", "--"]).args(args);
    torture.env("WXC_BIN", shell::build("wxc", false)?);
    run(torture)
}

fn bench(args: &[String]) -> Result<()> {
    setup::prepare(setup::Needed::Bench)?;
    let mut bench = shell::cargo();
    bench.args(["run", "--release", "--package", "wxc-bench", "--"]).args(args);
    bench.env("WXC_BIN", shell::build("wxc", true)?);
    run(bench)
}
