#![forbid(unsafe_code)]
//! `wxc copy`.

use std::process::ExitCode;

use super::args::Copy;
use super::context::{self, Context};
use super::report::Failure;
use super::{interrupt, output};
use crate::config::Name;
use crate::container::copy::{self, Copied, CopyRequest, How, Sharing};

pub(super) fn copy(context: &Context, args: &Copy) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let (from, to) = names(args)?;
    if to.is_none() && !args.ephemeral {
        return Err(Failure::new(format!("the copy of {from} needs a name"))
            .hint(format!("for example: wxc copy {from} {from}-2"))
            .code(2));
    }
    let sharing = match (args.snapshot, args.ephemeral) {
        (true, _) => Sharing::Required,
        (false, true) => Sharing::Preferred,
        (false, false) => Sharing::Never,
    };
    let request = CopyRequest {
        from,
        to,
        path: args.newpath.clone(),
        storage: args.storage.clone(),
        sharing,
        ephemeral: args.ephemeral && !args.keep_data,
        allow_running: args.allow_running,
        keep_name: args.keep_name,
        keep_mac: args.keep_mac,
    };
    interrupt::listen();
    let copied = copy::copy(&host, &request)?;
    // The bar goes away before the words come.
    drop(host);
    tell(context, args, &copied);
    Ok(ExitCode::SUCCESS)
}

/// The container and its copy, in words or as options.
fn names(args: &Copy) -> Result<(Name, Option<Name>), Failure> {
    let mut words = args.names.iter();
    let from = args.name.as_ref().or_else(|| words.next()).ok_or_else(|| {
        Failure::new("it is not said which container to copy").hint("for example: wxc copy web web2").code(2)
    })?;
    let to = args.newname.as_ref().or_else(|| words.next());
    if let Some(word) = words.next() {
        return Err(Failure::new(format!("{word:?} is one name too many"))
            .hint("name the container and its copy, and nothing else")
            .code(2));
    }
    Ok((context::parse_name(from)?, to.map(|word| context::parse_name(word)).transpose()?))
}

fn tell(context: &Context, args: &Copy, copied: &Copied) {
    for note in &copied.notes {
        context.out.say(format_args!("note: {}", output::plain(note)));
    }
    if args.json {
        context.out.json(copied);
        return;
    }
    let Copied { name, from, storage, directory, .. } = copied;
    let how = match copied.how {
        How::Bytes => "copied",
        How::Snapshot | How::Clone => "cloned",
    };
    context.out.say(format_args!("{how} {from} to {name} (on {storage}) in {}", directory.display()));
}
