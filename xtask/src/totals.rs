//! `cargo xtask test`: every test of every workspace, and one line of totals.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::setup::{Needed, prepare};
use crate::shell::{Result, build, cargo, option, output, root, words};
use crate::tools;

/// A workspace with tests of its own: its folder, and what cargo is told besides.
const WORKSPACES: &[(&str, &[&str])] = &[
    (".", &["--workspace"]),
    // A plugin's logic is tested natively, with the host's side written as plain Rust.
    ("plugins", &["--workspace", "--target", "host-tuple"]),
    // As the host's build makes it, so that the compiler is compiled once.
    ("host/compile", &["--release", "--target", "host-tuple"]),
];

#[derive(Debug, Default, PartialEq)]
struct Totals {
    passed: usize,
    failed: usize,
    skipped: usize,
}

pub(crate) fn test(args: &[String]) -> Result<()> {
    prepare(Needed::Test)?;
    let skips = root().join("target/skipped-tests.txt");
    fs::create_dir_all(root().join("target"))?;
    fs::write(&skips, "")?;
    let mut totals = Totals::default();
    let wxc = build("wxc", false)?;
    for (folder, what) in WORKSPACES {
        let mut command = with_signals(&cargo());
        command.arg("test").args(*what).arg("--no-fail-fast");
        command.current_dir(root().join(folder));
        if *folder == "host/compile" {
            // Beside wxc's own profile; named in host/build.rs.
            let nested = wxc.parent().and_then(Path::parent).ok_or("wxc has no folder")?;
            command.arg("--target-dir").arg(nested.join("nested/compile"));
        }
        // Words that no option takes are names of tests. cargo itself takes one, and the tests' own program any number.
        command.arg("--").args(filters(args));
        command.env("WXC_BIN", &wxc).env("WXC_TEST_SKIPS", &skips);
        if let Some(mirror) = option(args, "--mirror") {
            command.env("WXC_TEST_MIRROR", mirror);
        }
        println!("$ (cd {folder}; {})", words(&command));
        totals.add(&counted(&mut command)?);
    }
    for folder in WORKSPACES.iter().map(|(folder, _)| *folder).chain(["fuzz"]) {
        deny(folder, &mut totals)?;
    }
    let skips = fs::read_to_string(&skips)?;
    // To libtest a test that returned early has passed.
    let early = skips.lines().count();
    totals.passed = totals.passed.saturating_sub(early);
    totals.skipped += early;
    print!("{skips}");
    println!("{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped);
    if totals.failed == 0 { Ok(()) } else { Err("some tests failed".into()) }
}

/// The same command, for which no signal is ignored that was for this one: whoever starts this in the background of a script
/// has Ctrl-C ignored (sh(1), "Asynchronous Lists"), and tests interrupt what they start.
fn with_signals(command: &Command) -> Command {
    let mut with = Command::new("env");
    with.arg("--default-signal=INT,QUIT,HUP,TERM").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => with.env(name, value),
            None => with.env_remove(name),
        };
    }
    with
}

fn filters(args: &[String]) -> Vec<&String> {
    let mut takes_next = false;
    args.iter()
        .filter(|arg| {
            let value = std::mem::replace(&mut takes_next, *arg == "--mirror");
            !value && !arg.starts_with("--")
        })
        .collect()
}

/// Runs tests with their output shown, and adds up the lines in which libtest sums up.
fn counted(command: &mut Command) -> Result<Totals> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut totals = Totals::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            totals.add(&summary(&line).unwrap_or_default());
        }
    }
    // What does not build, or dies without a summary, has failed, too.
    if !child.wait()?.success() && totals.failed == 0 {
        totals.failed = 1;
    }
    Ok(totals)
}

fn summary(line: &str) -> Option<Totals> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        let (number, _) = counts.split("; ").find_map(|part| part.split_once(' ').filter(|p| p.1 == what))?;
        number.parse().ok()
    };
    Some(Totals { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

/// Licences, banned and doubled crates, and where crates come from. Advisories are left out: they
/// change without a change here, and are fetched from a network.
fn deny(folder: &str, totals: &mut Totals) -> Result<()> {
    let path = tools::path();
    if output(Command::new("cargo").args(["deny", "--version"]).env("PATH", &path)).is_none() {
        println!("SKIPPED cargo deny ({folder}): it is not installed (cargo xtask setup)");
        totals.skipped += 1;
        return Ok(());
    }
    let mut command = cargo();
    command.env("PATH", path);
    command.args(["deny", "--log-level", "error", "--config", "deny.toml", "--manifest-path"]);
    command.arg(format!("{folder}/Cargo.toml"));
    command.args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]);
    println!("$ {}", words(&command));
    if command.status()?.success() {
        totals.passed += 1
    } else {
        totals.failed += 1
    }
    Ok(())
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.02s";
        assert_eq!(summary(line), Some(Totals { passed: 12, failed: 1, skipped: 2 }));
        assert_eq!(summary("test config::ids::overlap ... ok"), None);
    }

    #[test]
    fn names_of_tests_are_told_from_options() {
        let args = ["--mirror", "file:/x", "boot", "--y"].map(String::from);
        assert_eq!(filters(&args), ["boot"]);
    }
}
