#![forbid(unsafe_code)]
//! `wxc start`.

use std::process::ExitCode;

use super::args::Start;
use super::context::{self, Context};
use super::report::Failure;
use super::{foreground, output};
use crate::container::start::{self, StartRequest};
use crate::plan::build::Overrides;
use crate::plan::explain;

pub(super) fn start(context: &Context, args: Start) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let name = context::name(&args.target)?;
    // Without a terminal here the container's console would go nowhere: its init gets our streams.
    let streams = args.foreground && !foreground::has_terminal();
    let request = StartRequest {
        set: context::pairs(&args.set)?,
        overrides: Overrides {
            command: (!args.init.is_empty()).then_some(args.init),
            caller_environment: context::environment(),
            streams,
            ..Overrides::default()
        },
        foreground: args.foreground,
        streams,
        pidfile: args.pidfile,
        console_log: args.console_log,
    };
    if args.plan {
        let plan = start::plan(&host, &name, &request)?;
        if args.json {
            context.out.json(&plan)
        } else {
            context.out.raw(explain::text(&plan).as_bytes())
        }
        return Ok(ExitCode::SUCCESS);
    }
    let launched = start::start(&host, &name, &request);
    let launched = if args.foreground { launched.map_err(foreground::failed)? } else { launched? };
    for warning in &launched.warnings {
        context.out.warn(output::plain(&warning.to_string()));
    }
    if args.foreground {
        return foreground::accompany(&launched, &host, &name);
    }
    context.out.say(format_args!("{name} is running (init has process id {})", launched.init));
    Ok(ExitCode::SUCCESS)
}
