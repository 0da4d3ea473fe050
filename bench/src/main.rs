//! Measures wxc beside LXC: the same root tree, the same machine, the same minutes.
//!
//! `subject` is what both can be asked to do, `lxc` and `wxc` do it, `rounds` asks them in turn,
//! `storage` does what happens on disk, `images` what comes from servers, `hooks` what hooks cost, `plugin` looks into one part, `samples` sums up and `report`
//! writes `bench/RESULTS.md`. Started by `cargo xtask bench`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "progress for the person who started it")]

mod hooks;
mod images;
mod lxc;
mod plugin;
mod report;
mod rounds;
mod samples;
mod storage;
mod subject;
mod wxc;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), subject::Failed> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runs = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 40,
        [plugin::WORD, pool] => return plugin::once(pool.as_ref()),
        ["hooks"] => return hooks(hooks::RUNS),
        ["hooks", "-n", count] => {
            return hooks(count.parse().map_err(|error| format!("-n {count}: {error}"))?);
        }
        ["images"] => return images(images::RUNS),
        ["images", "-n", count] => {
            return images(count.parse().map_err(|error| format!("-n {count}: {error}"))?);
        }
        ["-n", count] => count.parse().map_err(|error| format!("-n {count}: {error}"))?,
        _ => return Err("usage: cargo xtask bench [hooks | images] [-n RUNS]".into()),
    };
    if let Some(reason) = wxc_tests::needs::root().or_else(wxc_tests::needs::busybox) {
        return Err(reason.into());
    }
    let results = rounds::measure(runs)?;
    let storage = storage::measure(runs)?;
    let text = report::text(&results, runs) + &storage::report::text(&storage);
    let file = wxc_tests::root().join("bench/RESULTS.md");
    std::fs::write(&file, &text).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("\n{text}");
    Ok(())
}

fn hooks(runs: usize) -> Result<(), subject::Failed> {
    if let Some(reason) = wxc_tests::needs::root().or_else(wxc_tests::needs::busybox) {
        return Err(reason.into());
    }
    let text = hooks::run(runs)?;
    let file = wxc_tests::root().join("bench/HOOKS.md");
    std::fs::write(&file, &text).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("\n{text}");
    Ok(())
}

fn images(runs: usize) -> Result<(), subject::Failed> {
    if let Some(reason) = wxc_tests::needs::root() {
        return Err(reason.into());
    }
    println!("\n{}", images::run(runs)?);
    Ok(())
}
