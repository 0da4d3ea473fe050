//! The helper's side: confines itself, then unpacks.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::{Dir, Gid, Mode, OFlags, Uid, fchown, openat};
use serde::de::DeserializeOwned;

use super::confine::{become_root, confine, confine_coder, enter_userns};
use super::error::UnpackError;
use super::report::{Progress, Report};
use super::request::{IdMapMode, Options};
use super::wire::{Answer, Order, Task, receive, receive_handles, send};
use super::{Render, coder, directory, extract, members, pack, render};
use crate::sys::leave::close_inherited;
use crate::sys::rootfs::Rootfs;
use crate::sys::tree::empty_tree;

/// Between two messages about progress.
const PACE: Duration = Duration::from_millis(100);

/// Plays the helper if this process was started as one. For the first line of `main`.
pub fn dispatch() -> Option<ExitCode> {
    (std::env::args_os().next()? == super::ROLE).then(|| {
        let ready = close_inherited().is_ok();
        // The socket is standard input, which is shared and cannot be owned; a second descriptor can.
        match std::io::stdin().as_fd().try_clone_to_owned() {
            Ok(socket) if ready => worker_main(socket),
            _ => ExitCode::FAILURE,
        }
    })
}

/// The whole life of the helper, on the socket that its caller gave it. The process must have no other
/// thread, and do nothing else afterwards.
pub fn worker_main(socket: OwnedFd) -> ExitCode {
    tell_panics(&socket);
    let (answer, code) = match work(socket.as_fd()) {
        Ok(report) => (Answer::Done(report), ExitCode::SUCCESS),
        Err(error) => (Answer::Failed(error), ExitCode::FAILURE),
    };
    // Nobody is left to hear of it if this fails.
    drop(send(socket.as_fd(), &answer, &[]));
    code
}

fn work(socket: BorrowedFd<'_>) -> Result<Report, UnpackError> {
    let protocol = |e: std::io::Error| UnpackError::Helper { why: format!("did not get its orders: {e}") };
    let silence = || UnpackError::Helper { why: "did not get its orders".to_owned() };
    let (order, handles) = receive_handles(socket).map_err(protocol)?.ok_or_else(silence)?;
    let Order::Work { task, own, options } = order else { return Err(silence()) };
    let mut handles = handles.into_iter();
    let (Some(source), Some(target)) = (handles.next(), handles.next()) else { return Err(silence()) };
    let other = handles.next();
    if task.is_coding() {
        confine_coder(&options)?;
        match task {
            Task::Members => members::collect(File::from(source), File::from(target), &options)?,
            Task::Member => members::copy(File::from(source), File::from(target), &options)?,
            _ => coder::work(task, File::from(source), File::from(target), options.limits)?,
        }
        return Ok(Report::default());
    }
    let userns = matches!(options.ids, IdMapMode::Userns { .. });
    if userns {
        enter_userns()?;
        send(socket, &Answer::NeedMap, &[]).map_err(protocol)?;
        let Some(Order::Mapped) = receive(socket).map_err(protocol)? else { return Err(silence()) };
        become_root()?;
    }
    // Opened anew as who this is now: the caller may only have been able to name it.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target =
        openat(target, ".", flags, Mode::empty()).map_err(UnpackError::call("open", b"the target"))?;
    if userns && task.makes_tree() {
        fchown(&target, Some(Uid::ROOT), Some(Gid::ROOT))
            .map_err(UnpackError::call("give the container's root", b"the target"))?;
    }
    confine(target.as_fd(), &options)?;
    if task.makes_tree() && !options.onto_existing {
        check_empty(target.as_fd())?;
    }
    unpack(socket, (source, other), task, own, target.as_fd(), &options)
}

fn unpack(
    socket: BorrowedFd<'_>,
    (source, other): (OwnedFd, Option<OwnedFd>),
    task: Task,
    own: (u32, u32),
    target: BorrowedFd<'_>,
    options: &Options,
) -> Result<Report, UnpackError> {
    let mut last = Instant::now();
    let mut listen = |progress: &Progress| {
        if last.elapsed() < PACE {
            return Ok(());
        }
        last = Instant::now();
        // A caller that is gone does not want the rest.
        send(socket, &Answer::Progress(*progress), &[]).map_err(|_| UnpackError::Cancelled)
    };
    match task {
        Task::Archive | Task::Section => extract(File::from(source), target, options, &mut listen),
        Task::Directory => directory::copy(source.as_fd(), target, options, own, &mut listen),
        Task::Render => {
            let files: Vec<Render> = payload(source)?;
            render::apply(Rootfs::new(target), &options.ids, &files).map(|()| Report::default())
        }
        Task::Pack => {
            let old = other.as_ref().map(AsFd::as_fd);
            pack::pack(File::from(source), target, old, options, own, &mut listen)
        }
        // Done before there was a target directory.
        Task::Members | Task::Member | Task::Decode | Task::Encode(_) => {
            Err(UnpackError::Helper { why: "got no streams".to_owned() })
        }
        Task::Empty => {
            let mut report = Report::default();
            report.progress.entries = empty_tree(target)?;
            // What did not count has no say in how the next one begins: a default list would go to everything in it.
            super::place::reset(target)?;
            Ok(report)
        }
    }
}

/// What the caller could not put into a packet.
fn payload<T: DeserializeOwned>(source: OwnedFd) -> Result<T, UnpackError> {
    serde_json::from_reader(BufReader::new(File::from(source)))
        .map_err(|e| UnpackError::Helper { why: format!("did not get its orders: {e}") })
}

/// A new tree starts from nothing: what is there already could be anything.
fn check_empty(target: BorrowedFd<'_>) -> Result<(), UnpackError> {
    let entries = Dir::read_from(target).map_err(UnpackError::call("read", b"the target"))?;
    for entry in entries {
        let entry = entry.map_err(UnpackError::call("read", b"the target"))?;
        // A filesystem of its own has this from birth (mke2fs(8)).
        if ![c".", c"..", c"lost+found"].contains(&entry.file_name()) {
            return Err(UnpackError::Target { why: "is not empty".to_owned() });
        }
    }
    Ok(())
}

/// A panic is told to the caller like every other failure; the helper has no other voice.
fn tell_panics(socket: &OwnedFd) {
    let Ok(socket) = socket.try_clone() else { return };
    std::panic::set_hook(Box::new(move |info| {
        let why = format!("met a bug: {info}");
        drop(send(socket.as_fd(), &Answer::Failed(UnpackError::Helper { why }), &[]));
    }));
}
