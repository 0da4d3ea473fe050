//! Power over the files of one's own subordinate ids, for a user without privileges.
//!
//! subuid(5) gives a user ids, but only a process in a user namespace that has them may act for them. This process
//! moves into one whose map leaves every id what it is (`1000 1000 1`, `100000 100000 65536`): owners are shown and
//! given as outside, the process is who it was, and what belongs to those ids is its own as all of a machine is root's.
//! It has a mount namespace there, too, so that it may mount what user namespaces may.
//!
//! There is no way back. What it starts from then on is in that namespace, with the same power (as ambient
//! capabilities, capabilities(7)): a container's own user namespace below it has none of them.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, getegid, geteuid, getpid, waitpid};
use rustix::thread::{
    CapabilitySet, UnshareFlags, capabilities, configure_capability_in_ambient_set, set_capabilities,
    unshare_unsafe,
};

use super::thread::SingleThreaded;
use super::{exe, run};

/// Neighbouring ids: the first, and how many.
pub type Range = (u32, u32);

/// The programs that write the maps, as this is not for a user to do (newuidmap(1)).
const PROGRAMS: [&str; 2] = ["newgidmap", "newuidmap"];

/// Whether this process may give a user namespace below its own any of the ids that its own one has, and act for
/// all of them: it is in such a namespace, or privileged in another way.
#[must_use]
pub fn has_power() -> bool {
    let needed = CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::SYS_ADMIN;
    geteuid().is_root() || capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Moves this process into a user namespace and a mount namespace that have these ids and its own.
///
/// # Errors
/// It has other threads, user namespaces are switched off, the programs of shadow-utils are missing, or they refuse
/// these ids; what they said is in the error. The process may then be in a namespace in which it is nobody: it has to end.
pub fn enter(users: &[Range], groups: &[Range]) -> io::Result<()> {
    let _alone = SingleThreaded::prove()?;
    // Asked now, because it cannot be told afterwards.
    let _known = exe::path();
    let own = [with_own(groups, getegid().as_raw()), with_own(users, geteuid().as_raw())];
    let commands: Vec<Writer> = PROGRAMS
        .iter()
        .zip(&own)
        .map(|(program, map)| Writer::new(program, map))
        .collect::<io::Result<_>>()?;
    let flags = PipeFlags::CLOEXEC;
    let ((wait, go), (told, tell)) = (pipe_with(flags)?, pipe_with(flags)?);
    // Born before the move: in the namespace a set-user-id program of root is one of nobody.
    let mut writers = Vec::new();
    for command in &commands {
        writers.push(command.start(&wait, &go, &tell)?);
    }
    drop((wait, tell));
    // SAFETY: the process has one thread, and no descriptor table is unshared.
    let moved = unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) };
    if moved.is_ok() {
        // A writer that is gone shows in its status.
        let _released = rustix::io::write(&go, &[0; PROGRAMS.len()]);
    }
    drop(go);
    let mut words = String::new();
    File::from(told).take(4096).read_to_string(&mut words)?;
    let statuses: Vec<_> = writers.into_iter().map(|pid| waitpid(Some(pid), WaitOptions::empty())).collect();
    moved?;
    for (status, program) in statuses.into_iter().zip(PROGRAMS) {
        let code = status?.and_then(|(_, status)| status.exit_status());
        if code != Some(0) {
            let words = words.trim().lines().last().unwrap_or("it did not say why");
            return Err(io::Error::other(format!("{program}: {words}")));
        }
    }
    keep_over_execve()
}

/// A process that is not root loses its capabilities when it executes a program, except for ambient ones.
fn keep_over_execve() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable = sets.permitted;
    set_capabilities(None, sets)?;
    for capability in sets.permitted.iter() {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// The ranges with one id more, unless they have it already.
fn with_own(ranges: &[Range], own: u32) -> Vec<Range> {
    let mut ranges = joined(ranges);
    if !ranges.iter().any(|(first, count)| own >= *first && own - first < *count) {
        ranges.push((own, 1));
    }
    ranges
}

/// In order and without overlap: the kernel refuses a map that says something twice.
fn joined(ranges: &[Range]) -> Vec<Range> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::new();
    for (first, count) in ranges {
        match joined.last_mut() {
            Some((start, length)) if first - *start < *length => {
                *length = (*length).max(first.saturating_add(count) - *start);
            }
            _ => joined.push((first, count)),
        }
    }
    joined
}

/// One program that writes a map of this process, ready to be executed.
struct Writer {
    program: CString,
    argv: Vec<CString>,
}

impl Writer {
    fn new(name: &str, map: &[Range]) -> io::Result<Self> {
        let program = run::find(name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no {name} (package uidmap)"))
        })?;
        let numbers = map.iter().flat_map(|(first, count)| [*first, *first, *count]);
        let own = u32::try_from(getpid().as_raw_nonzero().get()).map_err(io::Error::other)?;
        let words = std::iter::once(own).chain(numbers).map(|number| number.to_string());
        let argv: io::Result<Vec<CString>> =
            std::iter::once(name.to_owned()).chain(words).map(|word| text(OsStr::new(&word))).collect();
        Ok(Self { program: path(&program)?, argv: argv? })
    }

    /// A process that executes it when it hears a byte on `wait`, and tells what is wrong on `tell`.
    fn start(&self, wait: &OwnedFd, go: &OwnedFd, tell: &OwnedFd) -> io::Result<Pid> {
        let mut argv: Vec<*const libc::c_char> = self.argv.iter().map(|word| word.as_ptr()).collect();
        argv.push(std::ptr::null());
        let (wait, go, tell) = (wait.as_raw_fd(), go.as_raw_fd(), tell.as_raw_fd());
        // SAFETY: the caller has one thread (see `enter`), so the copy of its memory is as consistent as the original.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let mut byte = 0u8;
                // SAFETY: only calls that are safe in a copy of a process (signal-safety(7)), on numbers that are open here, one
                // byte that is ours, and strings and a list that end in NUL and live until execve(2) or _exit(2).
                unsafe {
                    libc::close(go);
                    let heard = libc::read(wait, (&raw mut byte).cast(), 1);
                    if heard == 1 && libc::dup2(tell, 1) == 1 && libc::dup2(tell, 2) == 2 {
                        let environment = [std::ptr::null()];
                        libc::execve(self.program.as_ptr(), argv.as_ptr(), environment.as_ptr());
                    }
                    libc::_exit(126)
                }
            }
            pid => Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave no process")),
        }
    }
}

fn path(path: &Path) -> io::Result<CString> {
    text(path.as_os_str())
}

fn text(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_says_nothing_twice() {
        assert_eq!(joined(&[(200, 10), (100, 50), (140, 20), (145, 2)]), [(100, 60), (200, 10)]);
        assert_eq!(joined(&[(100, 10), (110, 10)]), [(100, 10), (110, 10)]);
        assert_eq!(with_own(&[(100_000, 65_536)], 1000), [(100_000, 65_536), (1000, 1)]);
        assert_eq!(with_own(&[(1000, 5)], 1004), [(1000, 5)]);
    }

    #[test]
    fn a_process_with_other_threads_stays_where_it_is() {
        // Every test runs in a thread of its own.
        assert!(enter(&[(100_000, 65_536)], &[(100_000, 65_536)]).is_err());
    }
}
