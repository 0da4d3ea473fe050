#![forbid(unsafe_code)]
//! `wxc:host/records`: a log of the plugin's own that outlives containers.
//!
//! Commands and runners of several containers write at the same time. Each takes a lock, so that a line is whole
//! and two of them do not begin a new file at once.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat};
use rustix::process::geteuid;

use super::State;
use super::failure::failure;
use crate::plugin::bindings::host::wxc::host::records::Host;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::plugin::files;
use crate::plugin::grants::chain;

/// Longest record.
const LONGEST: usize = 16 << 10;
/// Size at which a new file is begun.
const LARGEST: u64 = 8 << 20;
/// Old files that are kept: `records.log.1` is the youngest of them.
const OLD: u32 = 4;
/// What is locked: not the file itself, which gets another name.
const LOCK: &str = "records.lock";

impl Host for State {
    fn append(&mut self, record: String) -> wasmtime::Result<Result<(), Error>> {
        let called = self.called("records.append", &(&record,))?;
        self.answer(called, |state| Ok(state.add_record(&record)))
    }
}

impl State {
    fn add_record(&self, record: &str) -> Result<(), Error> {
        let Some(file) = &self.scope.records else {
            return Err(failure(ErrorKind::Denied, "nothing can be recorded in this call"));
        };
        check(record)?;
        let line = format!("{:.3} {record}\n", jiff::Timestamp::now());
        append(file, &line, LARGEST)
            .map_err(|why| failure(ErrorKind::Failed, format!("cannot write {}: {why}", file.display())))
    }
}

fn check(record: &str) -> Result<(), Error> {
    let why = if record.trim().is_empty() {
        "a record is not empty".to_owned()
    } else if record.len() > LONGEST {
        format!("a record of {} bytes is longer than {LONGEST}", record.len())
    } else if record.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        "a record is one line without control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(failure(ErrorKind::Invalid, why))
}

/// Adds a line that ends itself.
fn append(path: &Path, line: &str, largest: u64) -> Result<(), String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err("it has no directory".into());
    };
    files::make_directories(parent).map_err(|error| chain(&error))?;
    let write = || -> io::Result<()> {
        let directory = own(parent)?;
        let lock = open(&directory, LOCK)?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
        let mut file = open(&directory, name)?;
        let length = fstat(&file)?.st_size.cast_unsigned();
        if length > 0 && length + line.len() as u64 > largest {
            turn(&directory, name)?;
            file = open(&directory, name)?;
        }
        File::from(file).write_all(line.as_bytes())
    };
    write().map_err(|error| error.to_string())
}

/// The plugin's directory, and the one above, which are the caller's own: where somebody else could put a link, root would write
/// through it. What is above them holds the configuration of all containers, and is not looked at: in the user namespace of an ordinary
/// user's monitor, root's directories seem to be nobody's.
fn own(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let above = directory.parent().unwrap_or(directory);
    let above = checked(openat(CWD, above, flags, Mode::empty())?)?;
    checked(openat(&above, directory.file_name().unwrap_or_default(), flags, Mode::empty())?)
}

fn checked(directory: OwnedFd) -> io::Result<OwnedFd> {
    let stat = fstat(&directory)?;
    if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
        return Err(io::Error::other("its directory is another user's, or others can write there"));
    }
    Ok(directory)
}

fn open(directory: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags | OFlags::NONBLOCK, Mode::RUSR | Mode::WUSR)?)
}

/// Each file becomes the next older one, the oldest goes.
fn turn(directory: &OwnedFd, name: &str) -> io::Result<()> {
    for age in (0..OLD).rev() {
        let from = if age == 0 { name.to_owned() } else { format!("{name}.{age}") };
        match renameat(directory, &from, directory, format!("{name}.{}", age + 1)) {
            Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_could_look_like_another_record_is_refused() {
        assert!(check("{\"event\":\"stop\"}").is_ok() && check("Grüße").is_ok());
        for bad in ["", " ", "a\nb", "a\rb", "\u{1b}[2J", "a\u{2028}b", &"x".repeat(LONGEST + 1)] {
            assert_eq!(check(bad).unwrap_err().kind, ErrorKind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn a_full_file_makes_room_and_four_old_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook-x/records.log");
        for n in 0..12 {
            append(&file, &format!("line {n}\n"), 14).unwrap();
        }
        let read = |name: &str| fs::read_to_string(file.with_file_name(name)).unwrap_or_default();
        assert_eq!(read("records.log"), "line 11\n");
        assert_eq!([read("records.log.1"), read("records.log.4")], ["line 10\n", "line 4\nline 5\n"]);
        assert_eq!(read("records.log.5"), "");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn lines_of_several_writers_are_whole_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook-x/records.log");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let file = &file;
                scope.spawn(move || {
                    for n in 0..100 {
                        append(file, &format!("writer {writer} line {n:03} {}\n", "x".repeat(60)), 16 << 10)
                            .unwrap();
                    }
                });
            }
        });
        let names = ["records.log", "records.log.1", "records.log.2", "records.log.3"];
        let all =
            names.map(|name| fs::read_to_string(file.with_file_name(name)).unwrap_or_default()).concat();
        let lines: std::collections::BTreeSet<&str> = all.lines().collect();
        assert_eq!(lines.len(), 400);
        assert!(lines.iter().all(|line| line.starts_with("writer ") && line.len() == 78), "{all}");
    }

    #[test]
    fn a_directory_that_others_can_write_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook-x/records.log");
        append(&file, "x\n", LARGEST).unwrap();
        fs::set_permissions(file.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(append(&file, "x\n", LARGEST).unwrap_err().contains("others can write"));
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/tmp", file.parent().unwrap()).unwrap();
        append(&file, "x\n", LARGEST).unwrap_err();
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook-x/records.log");
        append(&file, "x\n", LARGEST).unwrap();
        let target = dir.path().join("target");
        fs::rename(&file, &target).unwrap();
        std::os::unix::fs::symlink(&target, &file).unwrap();
        append(&file, "y\n", LARGEST).unwrap_err();
        assert_eq!(fs::read_to_string(&target).unwrap(), "x\n");
    }
}
