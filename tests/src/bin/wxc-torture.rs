//! `cargo xtask torture`: random commands, killed at random instants, until the time is over or something is wrong.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person who started it")]

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wxc_tests::torture::{Options, STORAGES, torture};

const USAGE: &str = "usage: cargo xtask torture [--minutes N] [--seed S] [-B dir|overlay|btrfs|loop]";

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}, {} minutes", options.seed, options.duration.as_secs_f64() / 60.0);
    match torture(&options) {
        Ok(done) => {
            println!(
                "{} rounds, {} steps, {} commands killed: nothing is wrong",
                done.rounds, done.steps, done.killed
            );
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            println!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options = Options { seed: now.as_secs(), duration: Duration::from_secs(60), storage: None };
    while let Some(word) = args.next() {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (word.clone(), args.next().ok_or_else(|| format!("{word} needs a value"))?),
        };
        let bad = || format!("{key} cannot be {value:?}");
        match key.as_str() {
            "--minutes" => {
                let minutes: f64 = value.parse().map_err(|_| bad())?;
                options.duration = Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| bad())?;
            }
            "--seed" => options.seed = value.parse().map_err(|_| bad())?,
            "-B" if STORAGES.contains(&value.as_str()) => options.storage = Some(value),
            "-B" => return Err(bad()),
            _ => return Err(format!("{key} is no option")),
        }
    }
    Ok(options)
}
