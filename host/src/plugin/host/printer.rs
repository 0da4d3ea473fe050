#![forbid(unsafe_code)]
//! A program that prints its first argument and its variables: for programs of the host that tell their results to another
//! program (DHCP clients do), so that they become what a command printed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open as open_file};

/// Each with a NUL behind it, which no variable can hold: what a stranger puts into one does not become another.
const SCRIPT: &[u8] = b"#!/bin/sh\nprintf 'event=%s\\0' \"$1\"\nexec cat /proc/self/environ\n";

/// The program, in memory of its own.
///
/// # Errors
/// As memfd_create(2).
pub(super) fn open() -> io::Result<OwnedFd> {
    // Since Linux 6.3 a memfd should say whether it is meant to be executed.
    let memory = memfd_create("wxc-printer", MemfdFlags::CLOEXEC | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("wxc-printer", MemfdFlags::CLOEXEC))?;
    let mut memory = File::from(memory);
    memory.write_all(SCRIPT)?;
    // A file that is open for writing cannot be executed (ETXTBSY, execve(2)): opened again, and the first one closed.
    let name = format!("/proc/self/fd/{}", memory.as_raw_fd());
    Ok(open_file(name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn it_prints_what_it_is_told() {
        let program = open().unwrap();
        let name = format!("/proc/{}/fd/{}", std::process::id(), program.as_raw_fd());
        // Read by a shell: of a process with other threads, another one may be forked while the descriptor is being made.
        let output =
            Command::new("/bin/sh").args([&name, "bound"]).env_clear().env("ip", "a\nb=c").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let words: Vec<&str> = said.split_terminator('\0').collect();
        assert!(words.contains(&"event=bound") && words.contains(&"ip=a\nb=c"), "{words:?}");
    }
}
