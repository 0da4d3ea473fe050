#![forbid(unsafe_code)]
//! `wxc copy`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::args::Copy;
use super::context::{self, Context};
use super::report::Failure;
use super::{attach, foreground, interrupt, output};
use crate::config::Name;
use crate::config::mounts::{Create, Mount};
use crate::container::copy::{self, Copied, CopyRequest, Sharing};
use crate::container::start::StartRequest;
use crate::container::stop::{self, How, StopRequest};
use crate::container::{Error, Host, rename};
use crate::plan::build::Overrides;

pub(super) fn copy(context: &Context, args: &Copy) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let (from, to) = names(args)?;
    if to.is_none() && !args.ephemeral {
        return Err(Failure::new(format!("the copy of {from} needs a name"))
            .hint(format!("for example: wxc copy {from} {from}-2"))
            .code(2));
    }
    if let (true, Some(to)) = (args.rename, &to) {
        return rename(context, args, &host, &from, to);
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
        // Also after a reboot that it asks for itself.
        set: if args.tmpfs { vec![("rootfs.in-memory".into(), "true".into())] } else { Vec::new() },
        with_snapshots: args.with_snapshots,
        mounts: args.mount.iter().map(|word| mount(word)).collect::<Result<_, _>>()?,
        hook_arguments: if args.ephemeral { Vec::new() } else { args.command.clone() },
        size: args.size.as_ref().map(|word| context::size(word)).transpose()?,
    };
    interrupt::listen();
    if args.ephemeral {
        return ephemeral(context, args, host, &request);
    }
    let copied = copy::copy(&host, &request)?;
    // The bar goes away before the words come.
    drop(host);
    tell(context, args, &copied);
    Ok(ExitCode::SUCCESS)
}

/// `-R`: the same container under another name.
fn rename(context: &Context, args: &Copy, host: &Host, from: &Name, to: &Name) -> Result<ExitCode, Failure> {
    let renamed = rename::rename(host, from, to, args.keep_name)?;
    for note in &renamed.notes {
        context.out.say(format_args!("note: {}", output::plain(note)));
    }
    if args.json {
        context.out.json(&renamed);
    } else {
        context.out.say(format_args!("renamed {from} to {to}"));
    }
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
        copy::How::Bytes => "copied",
        copy::How::Snapshot | copy::How::Clone => "cloned",
    };
    let with = match copied.snapshots.len() {
        0 => String::new(),
        1 => ", with its snapshot".to_owned(),
        many => format!(", with its {many} snapshots"),
    };
    context.out.say(format_args!("{how} {from} to {name} (on {storage}) in {}{with}", directory.display()));
}

/// `-m`, in the words of lxc-copy: `bind=/source[:/target][:ro|rw]`.
fn mount(word: &str) -> Result<Mount, Failure> {
    let refused = |why: &str| {
        Failure::new(format!("{word:?} is no mount: {why}"))
            .hint("for example: -m bind=/srv/data, or -m bind=/srv/data:/data:ro")
            .code(2)
    };
    let (kind, places) = word.split_once('=').unwrap_or(("bind", word));
    match kind {
        "bind" => {}
        "overlay" => {
            return Err(refused(
                "an overlay needs a place for what is written; a throw-away copy has its own: copy the data into it, or bind it read-only",
            ));
        }
        _ => return Err(refused("its kind is bind")),
    }
    let mut parts = places.split(':');
    let source = PathBuf::from(parts.next().unwrap_or_default());
    let (mut target, mut read_only) = (source.clone(), false);
    for part in parts {
        match part {
            "ro" => read_only = true,
            "rw" => read_only = false,
            path if path.starts_with('/') => target = path.into(),
            _ => return Err(refused("a place is an absolute path, and what follows is ro or rw")),
        }
    }
    if !source.is_absolute() {
        return Err(refused("a place is an absolute path, and what follows is ro or rw"));
    }
    let about = source.metadata().map_err(|error| refused(&format!("{}: {error}", source.display())))?;
    let create = if about.is_dir() { Create::Dir } else { Create::File };
    Ok(Mount { create, read_only, ..Mount::bind(source, target) })
}

/// `-e`: the copy is started, and gone when it stops.
fn ephemeral(context: &Context, args: &Copy, host: Host, request: &CopyRequest) -> Result<ExitCode, Failure> {
    let streams = args.foreground && !foreground::has_terminal();
    let start = StartRequest {
        overrides: Overrides { caller_environment: context::environment(), streams, ..Overrides::default() },
        foreground: args.foreground,
        streams,
        ..StartRequest::default()
    };
    let started = copy::copy_and_start(&host, request, &start)?;
    drop(host);
    let (name, host) = (&started.copied.name, &started.host);
    tell(context, args, &started.copied);
    for warning in &started.launched.warnings {
        context.out.warn(output::plain(&warning.to_string()));
    }
    if args.foreground {
        return foreground::accompany(&started.launched, host, name);
    }
    if args.command.is_empty() {
        context.out.say(format_args!("{name} is running (init has process id {})", started.launched.init));
        return Ok(ExitCode::SUCCESS);
    }
    let result = attach::run(host, name, args.command.clone());
    // What is thrown away need not shut down in order; what is kept gets its time.
    let how = if args.keep_data { How::Ask } else { How::Kill };
    let stop = StopRequest { how, timeout: None, then_kill: true, wait: true };
    match stop::stop(host, name, stop, |text| context.out.warn(text)) {
        // The command may have stopped it itself.
        Ok(_) | Err(Error::NotRunning { .. } | Error::NotFound { .. }) => result,
        Err(error) => Err(error.into()),
    }
}
