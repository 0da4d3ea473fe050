#![forbid(unsafe_code)]
//! `wxc plugin test`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::args::PluginTest;
use super::context::{Context, pairs};
use super::output::{Output, plain};
use super::plugin::failed;
use super::report::Failure;
use super::{human, interrupt};
use crate::conformance::{self, Outcome, Report, Request, Row};
use crate::plugin::trial::Trial;
use crate::plugin::{Kind, Plugins};

/// Kept over a restart and seldom in memory: what a pool is usually on.
const BELOW: &str = "/var/tmp";

pub(super) fn test(context: &Context, plugins: &Plugins, args: PluginTest) -> Result<ExitCode, Failure> {
    let settings = pairs(&args.set)?.into_iter().collect();
    let mut trial = plugins.trial(&args.plugin, &settings).map_err(failed)?;
    // A backend without its programs is none; the others are tried with what they have.
    if trial.kind() == Kind::Storage && !trial.beyond.is_empty() && !args.grant {
        let asked: Vec<String> = trial.beyond.iter().map(|p| plain(&p.explain())).collect();
        let plugin = trial.identity();
        return Err(Failure::new(format!("{plugin} asks for more than its pool: {}", asked.join("; ")))
            .hint(format!(
                "look at it with `wxc plugin show {0}`, then: wxc plugin test {0} --grant",
                args.plugin
            )));
    }
    if args.grant {
        trial.allow();
    }
    refuse_what_is_anothers(&trial, &args)?;
    interrupt::listen();
    let below = args.pool.unwrap_or_else(|| PathBuf::from(BELOW));
    let told = pairs(&args.told)?.into_iter().collect();
    let host = context.host()?;
    let request = Request { below, only: args.case, told, words: args.words };
    let out = context.out;
    let mut tell = |row: &Row| {
        if !args.json {
            print(out, row);
        }
    };
    let report = conformance::run(&trial, &request, &host, &mut tell).map_err(|error| {
        let failure = Failure::from_error(&error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    if args.json {
        out.json(&report);
    } else {
        total(out, &report);
    }
    let good = report.totals()[1] == 0 && !report.cancelled;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What one kind of plugin is told says nothing to another.
fn refuse_what_is_anothers(trial: &Trial, args: &PluginTest) -> Result<(), Failure> {
    let kind = trial.kind();
    let misplaced = match kind {
        Kind::Hook if !args.words.is_empty() => "words behind --, which are for templates",
        Kind::Template | Kind::Storage if !args.told.is_empty() => "--told, which is for hooks",
        Kind::Storage if !args.words.is_empty() => "words behind --, which are for templates",
        _ => return Ok(()),
    };
    Err(Failure::new(format!(
        "{} is a {kind} plugin, and cannot be tried with {misplaced}",
        trial.identity()
    ))
    .hint("its own settings are given with -s KEY=VALUE"))
}

fn print(out: Output, row: &Row) {
    let name = row.case;
    match &row.outcome {
        Outcome::Passed => out.line(format_args!("passed   {name:<24} {}", row.claim)),
        Outcome::Skipped { why } => out.line(format_args!("skipped  {name:<24} {}", plain(why))),
        Outcome::Failed(failed) => {
            out.line(format_args!("FAILED   {name:<24} {}", plain(&failed.wrong)));
            out.line(format_args!("         wanted: {}", row.claim));
            out.line(format_args!("         breaks: {}", failed.breaks));
            out.line(format_args!("         saw:    {}", plain(&failed.saw)));
        }
    }
}

fn total(out: Output, report: &Report) {
    let [passed, failed, skipped] = report.totals();
    let took = report.rows.iter().map(|row| row.took).sum();
    let stopped = if report.cancelled { " (stopped before the end)" } else { "" };
    out.line(format_args!(
        "{} {}: {passed} passed, {failed} failed, {skipped} skipped in {}{stopped}",
        report.plugin,
        plain(&report.version),
        human::seconds(took)
    ));
}
