//! `cargo xtask fuzz`: feeds what reads foreign data with what nobody would send (docs/testing.md).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::setup::{self, Needed};
use crate::shell::{Result, cargo, option, root, run};

/// Targets, and the package of each.
const TARGETS: &[(&str, &str)] = &[
    ("index", "fuzz-download"),
    ("metadata", "fuzz-download"),
    ("packages", "fuzz-debian"),
    ("manifest", "fuzz-oci"),
    ("archive", "fuzz-archive"),
];

/// Lets libFuzzer see which way a program went (llvm: SanitizerCoverage); what its own driver sets, with a compiler that is stable.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Seconds for each target.
const USUAL: &str = "60";

pub(crate) fn fuzz(args: &[String]) -> Result<()> {
    let seconds = option(args, "-t").unwrap_or_else(|| USUAL.into());
    let named: Vec<&str> =
        args.iter().map(String::as_str).filter(|word| TARGETS.iter().any(|(t, _)| t == word)).collect();
    if let Some(word) = args.first().filter(|word| !word.starts_with('-') && named.is_empty()) {
        let known: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
        return Err(format!("there is no target {word:?}; there are {}", known.join(", ")).into());
    }
    setup::prepare(Needed::Build)?;
    if !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|at| at.join("c++").exists())
    {
        return Err("libFuzzer is compiled by a C++ compiler, and there is none (Debian: g++)".into());
    }
    let place = root().join("target/fuzz");
    for (target, package) in TARGETS.iter().filter(|(target, _)| named.is_empty() || named.contains(target)) {
        let mut build = cargo();
        build.args(["build", "--release", "--locked", "--package", package, "--bin", target, "--target-dir"]);
        // Named, or the flags would reach procedural macros.
        build.arg(&place).args(["--target", "host-tuple"]).current_dir(root().join("fuzz"));
        build.env("RUSTFLAGS", FLAGS);
        run(build)?;
        let corpus = place.join("corpus").join(target);
        fs::create_dir_all(&corpus)?;
        let found = root().join("fuzz/found").join(target);
        fs::create_dir_all(&found)?;
        let mut feed = Command::new(program(&place, target)?);
        let ours = root().join("fuzz/corpus").join(target);
        feed.arg(&corpus).args(Some(ours).filter(|ours| ours.exists())).arg(&found);
        feed.arg(format!("-max_total_time={seconds}")).args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]);
        feed.env("WXC_FUZZ_SEEDS", &corpus);
        feed.arg(format!("-artifact_prefix={}/", found.display()));
        let fed = run(feed);
        // Only what was found is kept there.
        drop(fs::remove_dir(&found));
        fed?;
    }
    Ok(())
}

/// Where cargo put it, whatever it calls this machine.
fn program(place: &std::path::Path, name: &str) -> Result<PathBuf> {
    let built = fs::read_dir(place)?.flatten().map(|entry| entry.path().join("release").join(name));
    let newest = built
        .filter(|path| path.is_file())
        .max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok());
    newest.ok_or_else(|| format!("cargo built no {name}").into())
}
