#![forbid(unsafe_code)]
//! From a template's manifest to a filled root: the host does it, the template only said how.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::options::Answers;
use super::{Error, Host, beneath, ids};
use crate::config::Container;
use crate::config::mounts::{Create, Mount};
use crate::plugin::storage::Pool;
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{Archives, Assembly, Given, HostDirectories, Manifest, Origin};
use crate::plugin::{TemplatePlugin, Unit};
use crate::unpack::{self, Devices, Options, Source};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    /// Mounts the container needs for its root to be whole.
    pub mounts: Vec<Mount>,
    /// What was left out, in words.
    pub notes: Vec<String>,
}

/// Settings that an image may bring: how its first program is run, and nothing that gives it power.
const ALLOWED: &[&str] = &[
    "arch",
    "init.command",
    "init.cwd",
    "init.group",
    "init.groups",
    "init.stub",
    "init.user",
    "stop.halt",
    "stop.reboot",
    "console.ttys",
];
/// The same for free names: variables of init's environment.
const ALLOWED_BELOW: &[&str] = &["environment.set."];

/// Whether a template may set `key`.
#[must_use]
pub(super) fn is_allowed(key: &str) -> bool {
    ALLOWED.contains(&key) || ALLOWED_BELOW.iter().any(|prefix| key.starts_with(prefix))
}

/// Refuses what this version cannot assemble, before anything is made.
pub(super) fn check(template: &TemplatePlugin, manifest: &Manifest) -> Result<(), Error> {
    let unsupported = |what: &str| {
        Err(Error::Invalid {
            message: format!(
                "{} wants {what}, which this version of wxc cannot assemble",
                template.identity()
            ),
            hint: "use a template that unpacks a local archive or directory, or shows the host".into(),
        })
    };
    match &manifest.assembly {
        Assembly::Empty | Assembly::Tree(_) | Assembly::HostSystem(_) => Ok(()),
        Assembly::Archives(archives) => match the_archive(archives) {
            Some(_) => Ok(()),
            None => unsupported("something else than one local root archive"),
        },
        Assembly::Layers(_) => unsupported("layers of an OCI image"),
        Assembly::Bootstrap(_) => unsupported("a bootstrap"),
    }
}

/// The one local archive with a whole root in it, and where in it the root is.
fn the_archive(archives: &Archives) -> Option<(&Given, &str)> {
    let [part] = archives.parts.as_slice() else { return None };
    match &part.blob.origin {
        Origin::Given(given) if given.path.is_empty() && part.blob.digest.is_none() => {
            Some((given, part.prefix.as_str()))
        }
        _ => None,
    }
}

/// The local archive that is unpacked as a whole, and where in it the root is.
pub(super) fn local_archive<'a>(manifest: &'a Manifest, answers: &Answers) -> Option<(PathBuf, &'a str)> {
    let Assembly::Archives(archives) = &manifest.assembly else { return None };
    let (given, prefix) = the_archive(archives)?;
    Some((answers.given.get(&given.parameter)?.clone(), prefix))
}

/// Refuses to begin what cannot fit: a disk that fills up in the middle costs minutes.
pub(super) fn check_room(
    host: &Host,
    room: &Pool,
    manifest: &Manifest,
    answers: &Answers,
) -> Result<(), Error> {
    let need = match &manifest.assembly {
        Assembly::Archives(archives) => the_archive(archives)
            .and_then(|(given, _)| answers.given.get(&given.parameter))
            .and_then(|path| path.metadata().ok())
            .map_or(0, |meta| meta.len()),
        _ => 0,
    };
    if need > room.available {
        return Err(Error::Invalid {
            message: format!(
                "the archive alone is larger ({need} bytes) than what is left in {} ({} bytes)",
                host.layout.path.display(),
                room.available
            ),
            hint: "make room on that file system, or choose another directory with -P".into(),
        });
    }
    Ok(())
}

/// Fills the root at `target`.
pub(super) fn assemble(
    host: &Host,
    container: &Container,
    manifest: &Manifest,
    answers: &Answers,
    target: BorrowedFd<'_>,
) -> Result<Assembled, Error> {
    match &manifest.assembly {
        Assembly::Empty => Ok(Assembled::default()),
        Assembly::HostSystem(shown) => Ok(Assembled { mounts: shown_mounts(shown), notes: Vec::new() }),
        Assembly::Tree(given) => {
            let path = given_path(answers, given)?;
            let tree = if given.path.is_empty() {
                beneath::open(&path, Path::new("."))?
            } else {
                beneath::open(&path, Path::new(&given.path))?
            };
            unpack_from(host, container, (&path, Source::Directory(tree.as_fd())), "", target, "copying")
        }
        Assembly::Archives(archives) => {
            let (given, prefix) = the_archive(archives).ok_or_else(|| not_given("an archive"))?;
            let path = given_path(answers, given)?;
            let file = File::open(&path).map_err(Error::io("open", &path))?;
            let source = Source::Archive(file.as_fd());
            unpack_from(host, container, (&path, source), prefix, target, "unpacking")
        }
        Assembly::Layers(_) | Assembly::Bootstrap(_) => Err(not_given("an assembly")),
    }
}

/// The host path behind what the template named.
pub(super) fn given_path(answers: &Answers, given: &Given) -> Result<PathBuf, Error> {
    answers.given.get(&given.parameter).cloned().ok_or_else(|| not_given(&given.parameter))
}

fn not_given(what: &str) -> Error {
    Error::Invalid {
        message: format!("the template named {what}, which nobody gave"),
        hint: "this is a mistake of the template: tell its author".into(),
    }
}

/// Unpacks in the confined helper, with the container's ids.
fn unpack_from(
    host: &Host,
    container: &Container,
    (from, source): (&Path, Source<'_>),
    prefix: &str,
    target: BorrowedFd<'_>,
    phase: &str,
) -> Result<Assembled, Error> {
    let mut options = Options::new(ids::id_mode(container));
    options.prefix = prefix.to_owned();
    if container.privileged {
        options.devices = Devices::Make;
    }
    host.progress.phase(phase);
    let request = unpack::Request { source, target, options };
    let mut watch = |at: unpack::Progress| {
        host.progress.report(at.read, at.total, Unit::Bytes);
        // A plugin's progress is cancelled through the same flag.
        if host.progress.cancelled() {
            host.cancel.store(true, Ordering::Relaxed);
        }
    };
    let report = unpack::run(&request, &mut watch, host.cancel)
        .map_err(|source| Error::Image { from: from.to_owned(), source })?;
    let notes = report.notes.iter().map(ToString::to_string).collect();
    Ok(Assembled { mounts: Vec::new(), notes })
}

/// The host's own directories, as mounts of the container. Their files belong to nobody inside, so
/// set-id programs and file capabilities of theirs must not count.
fn shown_mounts(shown: &HostDirectories) -> Vec<Mount> {
    shown
        .directories
        .iter()
        .map(|path| {
            let mut mount = Mount::bind(path, path);
            mount.create = Create::Dir;
            mount.read_only = true;
            mount.nosuid = true;
            mount.nodev = true;
            mount
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn an_image_sets_how_it_runs_and_nothing_that_gives_power() {
        assert!(is_allowed("init.command") && is_allowed("environment.set.PATH"));
        for key in
            ["privileged", "mounts", "security.capabilities.keep", "ids.users", "environment.keep", "hooks.x"]
        {
            assert!(!is_allowed(key), "{key}");
        }
    }
}
