#![forbid(unsafe_code)]
//! `wxc destroy`.

use std::process::ExitCode;

use super::args::Destroy;
use super::context::{self, Context};
use super::report::Failure;
use crate::container::destroy::{self, DestroyOptions, Destroyed};

pub(super) fn destroy(context: &Context, args: &Destroy) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let name = context::name(&args.target)?;
    let options = DestroyOptions { force: args.force, snapshots: args.snapshots };
    match destroy::destroy(&host, &name, options)? {
        Destroyed::Container => context.out.say(format_args!("destroyed {name}")),
        Destroyed::Kept => context.out.say(format_args!(
            "destroyed {name}; its storage stays until the last container that shares it is gone"
        )),
        Destroyed::Leftover => {
            context.out.say(format_args!("removed what an interrupted command had left of {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
