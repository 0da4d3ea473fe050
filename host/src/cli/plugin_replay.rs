#![forbid(unsafe_code)]
//! `wxc plugin replay`.

use std::process::ExitCode;
use std::sync::Arc;

use super::args::PluginReplay;
use super::context::Context;
use super::output::{Output, plain};
use super::plugin::failed;
use super::report::Failure;
use crate::plugin::record::{Outcome, Record};
use crate::plugin::replay::Replayed;
use crate::plugin::{Plugins, Progress, Unit};

/// Longest answer that is shown.
const SHOWN: usize = 2000;
/// That it could not be replayed is something else than that it is different.
const TROUBLE: u8 = 2;

pub(super) fn replay(context: &Context, plugins: &Plugins, args: &PluginReplay) -> Result<ExitCode, Failure> {
    let trouble = |error| failed(error).code(TROUBLE);
    let record = Record::read(&args.file).map_err(trouble)?;
    let log = Arc::new(Log(context.out));
    let replayed = plugins.replay(&record, args.with.as_deref(), log).map_err(trouble)?;
    if args.json {
        context.out.json(&replayed);
    } else {
        show(context.out, &record, &replayed);
    }
    Ok(if replayed.same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(out: Output, record: &Record, replayed: &Replayed) {
    out.line(format_args!(
        "{} of {} {}, recorded {}",
        plain(&record.call),
        plain(&record.plugin),
        plain(&record.version),
        plain(&record.recorded)
    ));
    if !replayed.same_file {
        out.line(format_args!(
            "replayed with another file: {} {}",
            plain(&replayed.plugin),
            plain(&replayed.version)
        ));
    }
    if replayed.same {
        out.line(format_args!("the same: {}", words(&replayed.now)));
        return;
    }
    if let Some(parting) = &replayed.parting {
        out.line(format_args!("different: host call {}", parting.at));
        let said = |call: &Option<String>| call.as_deref().map_or_else(|| "none".to_owned(), plain);
        out.line(format_args!("  then: {}", said(&parting.then)));
        out.line(format_args!("  now:  {}", said(&parting.now)));
        // From there on nothing is known of what it would have answered.
        if parting.now.is_some() {
            out.line(format_args!("then it ended so: {}", words(&replayed.then)));
            return;
        }
    }
    if !replayed.now.same(&replayed.then) {
        out.line("different: what came of it");
        out.line(format_args!("  then: {}", words(&replayed.then)));
        out.line(format_args!("  now:  {}", words(&replayed.now)));
    }
}

fn words(outcome: &Outcome) -> String {
    let words = plain(&outcome.words());
    let end = words.floor_char_boundary(SHOWN);
    if end < words.len() { format!("{}… (--json shows all of it)", &words[..end]) } else { words }
}

/// Prints what the plugin writes into the log, which is what whoever looks for a fault has put there.
#[derive(Debug)]
struct Log(Output);

impl Progress for Log {
    fn phase(&self, _: &str) {}

    fn report(&self, _: u64, _: Option<u64>, _: Unit) {}

    fn said(&self, _: &str, line: &str) {
        self.0.say(format_args!("log: {}", plain(line)));
    }

    fn cancelled(&self) -> bool {
        super::interrupt::flag().load(std::sync::atomic::Ordering::Relaxed)
    }
}
