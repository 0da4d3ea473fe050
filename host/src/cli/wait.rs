#![forbid(unsafe_code)]
//! `wxc wait`.

use std::process::ExitCode;
use std::time::Duration;

use super::args::Wait;
use super::context::{self, Context};
use super::report::Failure;
use crate::container::watch;
use crate::runtime::State;
use crate::runtime::state::STATES;

pub(super) fn wait(context: &Context, args: &Wait) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let name = context::name(&args.target)?;
    let states: Vec<State> =
        args.state.split('|').map(|word| state(word.trim())).collect::<Result<_, _>>()?;
    let timeout = u64::try_from(args.timeout).ok().map(Duration::from_secs);
    match watch::wait(&host, &name, &states, timeout)? {
        Some(_) => Ok(ExitCode::SUCCESS),
        // LXC's scripts know it by the code; a person sees why.
        None => {
            context
                .out
                .say(format_args!("{name} did not become {} within {} seconds", args.state, args.timeout));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn state(word: &str) -> Result<State, Failure> {
    word.parse().map_err(|error: String| {
        let known: Vec<&str> = STATES.iter().map(|(_, word)| *word).collect();
        Failure::new(error).hint(format!("the states are {}; several are joined by |", known.join(", ")))
    })
}
