#![forbid(unsafe_code)]
//! `wxc run`.

use std::path::Path;
use std::process::ExitCode;

use super::args::Run;
use super::context::{self, Context};
use super::report::Failure;
use super::{foreground, interrupt};
use crate::container::create::Basis;
use crate::container::images::alias;
use crate::container::run::{self, RunRequest};

/// What makes containers of OCI images.
const OCI: &str = "oci";

pub(super) fn run(context: &Context, args: Run) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let (user, group) = match &args.user {
        Some(word) => ids(word)?,
        None => (None, None),
    };
    let mut environment = context::variables(&args.env)?;
    let terminal = foreground::has_terminal();
    if terminal && let Ok(term) = std::env::var("TERM") {
        environment.insert(0, ("TERM".into(), term));
    }
    let more = args.option.iter().map(|word| format!("--{word}"));
    let basis = match &args.image {
        // A name that somebody gave comes before what else the word could mean.
        Some(name) if alias::key(&host, name)?.is_some() => Basis::Image(name.clone()),
        Some(image) => Basis::Template {
            name: OCI.to_owned(),
            options: of_image(image)?.into_iter().chain(more).collect(),
        },
        None => Basis::Template { name: args.template, options: more.collect() },
    };
    let request = RunRequest {
        name: args.name.as_deref().map(context::parse_name).transpose()?,
        from: args.from.as_deref().map(context::parse_name).transpose()?,
        basis,
        set: context::pairs(&args.set)?,
        privileged: args.privileged,
        command: if args.command.is_empty() && args.image.is_none() {
            vec!["/bin/sh".into()]
        } else {
            args.command
        },
        user,
        group,
        cwd: args.cwd,
        environment,
        caller_environment: context::environment(),
        terminal,
    };
    interrupt::listen();
    Ok(foreground::code(run::run(&host, &request).map_err(foreground::failed)?))
}

/// The options of the template that mean an image: what is on this disk comes before what a registry may have.
fn of_image(image: &str) -> Result<Vec<String>, Failure> {
    // As other tools write them (containers-transports(5)).
    let transport =
        ["oci-archive:", "docker-archive:", "oci:"].iter().find_map(|word| image.strip_prefix(word));
    if let Some(image) = transport {
        return local(image).ok_or_else(|| {
            Failure::new(format!("there is no {image:?}")).hint(
                "behind it comes the path of a layout or an archive, with :TAG where it has several images",
            )
        });
    }
    if let Some(options) = local(image) {
        return Ok(options);
    }
    let image = image.strip_prefix("docker://").unwrap_or(image);
    // Which registry a bare name would mean is nobody's to guess.
    let known = image.split_once('/').filter(|(server, name)| !server.is_empty() && !name.is_empty());
    let local = image.starts_with(['.', '/']);
    let (server, name) = known.filter(|_| !local).ok_or_else(|| {
        Failure::new(format!("there is no image {image:?} here")).hint(
            "name a directory with an OCI layout, an archive of one, or an image of a registry: REGISTRY/NAME:TAG",
        )
    })?;
    Ok(vec![format!("--registry={server}"), format!("--image={name}")])
}

/// A layout or an archive on this disk, alone or with a tag.
fn local(image: &str) -> Option<Vec<String>> {
    let option = |image: &str| {
        let path = Path::new(image);
        match (path.is_dir(), path.exists()) {
            (true, _) => Some(format!("--layout={image}")),
            (false, true) => Some(format!("--archive={image}")),
            (false, false) => None,
        }
    };
    if let Some(option) = option(image) {
        return Some(vec![option]);
    }
    let (path, tag) = image.rsplit_once(':').filter(|(path, tag)| !path.is_empty() && !tag.is_empty())?;
    Some(vec![option(path)?, format!("--tag={tag}")])
}

/// `UID` or `UID:GID`.
fn ids(word: &str) -> Result<(Option<u32>, Option<u32>), Failure> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten().ok_or_else(|| {
            Failure::new(format!("{text:?} is not a user or group number"))
                .hint("for example: --user 1000:1000")
        })
    };
    match word.split_once(':') {
        Some((user, group)) => Ok((Some(number(user)?), Some(number(group)?))),
        None => Ok((Some(number(word)?), Some(number(word)?))),
    }
}
