#![forbid(unsafe_code)]
//! `wxc monitor`.

use std::process::ExitCode;

use regex::Regex;

use super::args::Monitor;
use super::context::Context;
use super::ls::not_a_pattern;
use super::report::Failure;
use crate::container::watch::Watcher;

pub(super) fn monitor(context: &Context, args: &Monitor) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let text = args.name.as_ref().unwrap_or(&args.pattern);
    let pattern = Regex::new(&format!("^(?:{text})$")).map_err(|error| not_a_pattern(text, &error))?;
    let mut watcher = Watcher::new(&host, |name| pattern.is_match(name.as_str()))?;
    while let Some((name, event)) = watcher.next(None)? {
        if args.json {
            context
                .out
                .json_line(&serde_json::json!({ "name": name, "state": event.state, "exit": event.exit }));
            continue;
        }
        // In LXC's words, which scripts know.
        if let (Some(exit), crate::runtime::State::Stopping) = (event.exit, event.state) {
            context.out.line(format_args!("'{name}' exited with status [{}]", exit.status()));
        }
        context.out.line(format_args!("'{name}' changed state to [{}]", event.state));
    }
    Ok(ExitCode::SUCCESS)
}
