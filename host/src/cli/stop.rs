#![forbid(unsafe_code)]
//! `wxc stop`, `restart`, `freeze`, `unfreeze`.

use std::process::ExitCode;
use std::time::Duration;

use super::args::{One, Restart, Stop};
use super::context::{self, Context};
use super::report::Failure;
use crate::container::freeze;
use crate::container::start::{self, StartRequest};
use crate::container::stop::{self, How, StopRequest, Stopped};
use crate::container::watch;
use crate::plan::build::Overrides;

pub(super) fn stop(context: &Context, args: &Stop) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let name = context::name(&args.target)?;
    let how = match (args.kill, args.reboot) {
        (true, _) => How::Kill,
        (false, true) => How::Reboot,
        (false, false) => How::Ask,
    };
    let request = StopRequest {
        how,
        timeout: args.timeout.map(Duration::from_secs),
        then_kill: !args.nokill,
        wait: !args.nowait,
    };
    let what = match stop::stop(&host, &name, request, |text| context.out.warn(text))? {
        Stopped::Itself if how == How::Reboot => "has rebooted",
        Stopped::Itself => "has stopped",
        Stopped::Killed => "was killed",
        Stopped::Asked => "was asked",
    };
    context.out.say(format_args!("{name} {what}"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restart(context: &Context, args: &Restart) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let name = context::name(&args.target)?;
    let how = if args.kill { How::Kill } else { How::Ask };
    let timeout = args.timeout.map(Duration::from_secs);
    if watch::snapshot(&host, &name).is_some() {
        let request = StopRequest { how, timeout, then_kill: true, wait: true };
        stop::stop(&host, &name, request, |text| context.out.warn(text))?;
    }
    let overrides = Overrides { caller_environment: context::environment(), ..Overrides::default() };
    let launched = start::start(&host, &name, &StartRequest { overrides, ..StartRequest::default() })?;
    context.out.say(format_args!("{name} is running again (init has process id {})", launched.init));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn freeze(context: &Context, args: &One) -> Result<ExitCode, Failure> {
    let (host, name) = (context.host()?, context::name(&args.target)?);
    freeze::freeze(&host, &name)?;
    context.out.say(format_args!("{name} is frozen"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn unfreeze(context: &Context, args: &One) -> Result<ExitCode, Failure> {
    let (host, name) = (context.host()?, context::name(&args.target)?);
    freeze::thaw(&host, &name)?;
    context.out.say(format_args!("{name} goes on"));
    Ok(ExitCode::SUCCESS)
}
