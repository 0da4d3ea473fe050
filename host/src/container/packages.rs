#![forbid(unsafe_code)]
//! A root of packages: downloaded side by side, as many unpacked as it takes for the distribution's own tools to run, and then
//! installed by these.
//!
//! Scripts of packages are programs of strangers. They run in a throw-away container of their own, unprivileged and without a network,
//! whose root is the volume that is being made; nothing of it is mounted here meanwhile.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};

use super::assemble::{self, Assembled, Supplies};
use super::options::Answers;
use super::volume::{self, OpenVolume};
use super::{Error, Host, create, ids, journal, leftover, release, render, side_by_side, start};
use crate::config::{Container, Name};
use crate::fetch::Session;
use crate::plan::build::Overrides;
use crate::plugin::storage::Access;
use crate::plugin::template::types::{Blob, Package, Packages};
use crate::plugin::{StoragePlugin, Unit};
use crate::runtime::state::Exit;
use crate::runtime::{self, LaunchOptions, foreground};
use crate::unpack::{self, Source};

/// Where programs in the new root find the packages.
const DIRECTORY: &str = "packages";
/// What names of throw-away containers begin with; what is left of one is swept up as after `run`.
const PREFIX: &str = "run-";
/// How a program ends that the user has stopped: 128 and the signal.
const SIGINT: i32 = 128 + 2;
const SIGTERM: i32 = 128 + 15;
/// Bytes of a program's output that are shown when it fails.
const SHOWN: u64 = 2000;

/// Fills the root as far as that goes without a program of its own.
pub(super) fn lay(
    host: &Host,
    container: &Container,
    packages: &Packages,
    supplies: Supplies<'_>,
    target: BorrowedFd<'_>,
) -> Result<Assembled, Error> {
    obtain(host, packages, supplies)?;
    render::render(container, target, &Answers::default(), packages.first.clone())?;
    let base: Vec<&Package> = packages.stack.iter().filter(|package| package.base).collect();
    let mut all = Assembled::default();
    let mut session = Session::default();
    host.progress.phase("unpacking");
    for (at, package) in base.iter().enumerate() {
        let mut options = assemble::options(container);
        options.onto_existing = true;
        options.keep_links = true;
        host.progress.report(at as u64, Some(base.len() as u64), Unit::Items);
        let file = open(host, supplies, &mut session, package)?;
        let from = (Path::new(&package.name), Source::Archive(file.as_fd()));
        all.notes.extend(assemble::unpack_quietly(host, options, from, target)?);
    }
    all.size = packages.stack.iter().filter_map(|package| package.blob.size).sum();
    hand_in(host, container, packages, supplies, target)?;
    Ok(all)
}

/// A package's bytes. Opened when they are wanted: a system may have more packages than a process may have files.
fn open(
    host: &Host,
    supplies: Supplies<'_>,
    session: &mut Session,
    package: &Package,
) -> Result<File, Error> {
    match supplies.downloads {
        Some(downloads) => downloads.quietly(session, &package.blob),
        None => Ok(supplies.open(host, &package.blob)?.1),
    }
}

/// Has all packages here.
pub(super) fn obtain(host: &Host, packages: &Packages, supplies: Supplies<'_>) -> Result<(), Error> {
    let blobs: Vec<&Blob> = packages.stack.iter().map(|package| &package.blob).collect();
    side_by_side::obtain(host, supplies, "packages", &blobs)
}

/// Puts all packages where the programs will look for them. They go the way of every file of an image: through the confined helper,
/// which knows whose ids they get.
fn hand_in(
    host: &Host,
    container: &Container,
    packages: &Packages,
    supplies: Supplies<'_>,
    target: BorrowedFd<'_>,
) -> Result<(), Error> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| Error::io("make a pipe for", Path::new(DIRECTORY))(error.into()))?;
    let pack = move || -> Result<(), Error> {
        let failed = || Error::io("hand in", Path::new(DIRECTORY));
        let mut archive = tar::Builder::new(File::from(write));
        let mut session = Session::default();
        for package in &packages.stack {
            let file = open(host, supplies, &mut session, package)?;
            let mut header = tar::Header::new_gnu();
            header.set_size(file.metadata().map_err(failed())?.len());
            header.set_mode(0o644);
            let name = format!("{DIRECTORY}/{}", package.name);
            archive.append_data(&mut header, name, file).map_err(failed())?;
        }
        archive.into_inner().map(drop).map_err(failed())
    };
    std::thread::scope(|scope| {
        let packer = scope.spawn(pack);
        let mut options = assemble::options(container);
        options.onto_existing = true;
        let unpacked = assemble::unpack_quietly(
            host,
            options,
            (Path::new(DIRECTORY), Source::Archive(read.as_fd())),
            target,
        );
        drop(read);
        match packer.join() {
            Ok(packed) => unpacked.and(packed),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Lets the programs of the new root install the packages. Nobody has the volume open meanwhile; it is open again afterwards.
pub(super) fn install(
    host: &Host,
    storage: &StoragePlugin,
    container: &Container,
    volume: &str,
    packages: &Packages,
) -> Result<OpenVolume, Error> {
    super::run::sweep(host)?;
    host.progress.phase(&format!("installing {} packages", packages.stack.len()));
    for argv in &packages.install {
        run(host, container, volume, argv, packages)?;
        host.check_cancelled()?;
    }
    let open = volume::open(storage, volume, Access::ReadWrite)?;
    unpack::remove(open.root(), DIRECTORY.as_ref(), ids::id_mode(container))?;
    Ok(open)
}

/// One program, in a container of its own.
fn run(
    host: &Host,
    like: &Container,
    volume: &str,
    argv: &[String],
    packages: &Packages,
) -> Result<(), Error> {
    let name = host.fresh_name(PREFIX)?;
    let mut claim = journal::claim(host, &[&name], "create")?;
    let mut container = Container::default();
    container.rootfs.storage.clone_from(&like.rootfs.storage);
    create::begin(host, &name, &container)?;
    let result = run_in(host, &name, container, like, volume, argv, packages);
    ids::release(host, &name)?;
    leftover::remove_directory(host, &name)?;
    claim.discard(&name);
    let (exit, mut output) = result?;
    if exit.code == Some(0) {
        return Ok(());
    }
    // What the user sent us went to the program.
    if [SIGINT, SIGTERM].contains(&exit.status()) {
        return Err(Error::Cancelled);
    }
    host.check_cancelled()?;
    let program = argv.first().map_or("", String::as_str);
    Err(Error::Invalid {
        message: format!(
            "{program} of the new root ended with status {}; it said last:\n{}",
            exit.status(),
            last_words(&mut output)
        ),
        hint: "if this is the packages' fault, another mirror or release may be better; -v shows the whole"
            .into(),
    })
}

fn run_in(
    host: &Host,
    name: &Name,
    mut container: Container,
    like: &Container,
    volume: &str,
    argv: &[String],
    packages: &Packages,
) -> Result<(Exit, File), Error> {
    // Where files have shifted ids on disk, they are those of the container that it will be.
    container.ids = match ids::are_shifted(like) {
        true => like.ids.clone(),
        false => ids::allocate(host, name)?,
    };
    container.rootfs.volume = Some(volume.to_owned());
    let overrides = Overrides {
        command: Some(argv.to_vec()),
        stub: Some(true),
        environment: packages
            .environment
            .iter()
            .map(|pair| (pair.name.clone(), pair.value.clone()))
            .collect(),
        streams: true,
        ..Overrides::default()
    };
    let plan = start::plan_of(host, name, &container, &overrides)?;
    ids::act_for_all(host)?;
    start::hand_over(&plan)?;
    let memory = memfd_create("wxc-output", MemfdFlags::CLOEXEC)
        .map_err(|error| Error::io("keep the output of", &PathBuf::from(&argv[0]))(error.into()))?;
    let output = File::from(memory);
    let nothing = File::open("/dev/null").map_err(Error::io("open", Path::new("/dev/null")))?;
    let options = LaunchOptions {
        foreground: true,
        streams: Some([nothing.as_fd(), output.as_fd(), output.as_fd()]),
        program: None,
        runner: release::arguments(host),
        environment: host.environment.clone(),
        pidfile: None,
        hooks: None,
    };
    let launched = runtime::launch(&plan, &options)?;
    let exit = foreground::accompany(&launched, &host.layout.run_directory(name), name.as_str())?;
    Ok((exit, output))
}

/// The end of what a program has written, for a person.
fn last_words(output: &mut File) -> String {
    let length = output.metadata().map_or(0, |meta| meta.len());
    let mut text = Vec::new();
    let from = SeekFrom::Start(length.saturating_sub(SHOWN));
    drop(output.seek(from).and_then(|_| output.read_to_end(&mut text)));
    let text = String::from_utf8_lossy(&text);
    let plain: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    // From the beginning of a line.
    let whole = if length > SHOWN { plain.split_once('\n').map_or("", |(_, rest)| rest) } else { &plain };
    whole.trim_end().to_owned()
}
