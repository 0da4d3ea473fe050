//! Paths of the container, from the fd of its root.
//!
//! Everything in the root may have been put there by an attacker: symbolic links to the host, links
//! in loops, the wrong kind of file. So a path is walked by the kernel with the root as its only
//! world, symbolic links refused wherever something is mounted or made, and what it led to is held
//! as an fd: nothing is looked up twice.

use core::ffi::CStr;

use crate::abi::{RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS};
use crate::call;
use crate::op::Create;
use crate::report::{Call, Fault, Outcome};

/// For what is mounted on or made: no links at all.
pub(crate) const STRICT: u64 = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
/// For what the container itself chose, e.g. a working directory.
pub(crate) const INSIDE: u64 = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

/// `PATH_MAX`, with the NUL.
const PATH: usize = 4096;

/// A path that is cut at its slashes, one after the other.
struct Walk {
    bytes: [u8; PATH],
    length: usize,
}

impl Walk {
    fn new(path: &CStr) -> Outcome<Walk> {
        let from = path.to_bytes();
        let from = from.strip_prefix(b"/").unwrap_or(from);
        let mut bytes = [0; PATH];
        // One byte stays 0 behind the path.
        let room = bytes.get_mut(..PATH - 1).unwrap_or_default();
        let to = room.get_mut(..from.len()).ok_or(Fault::new(Call::Open, libc::ENAMETOOLONG))?;
        to.copy_from_slice(from);
        Ok(Walk { bytes, length: from.len() })
    }

    /// The part before `end`, as text.
    fn until(&mut self, end: usize) -> Outcome<&CStr> {
        if let Some(byte) = self.bytes.get_mut(end) {
            *byte = 0;
        }
        let part = self.bytes.get(..=end).unwrap_or_default();
        CStr::from_bytes_with_nul(part).map_err(|_| Fault::new(Call::Program, libc::EINVAL))
    }

    fn restore(&mut self, at: usize) {
        if at < self.length
            && let Some(byte) = self.bytes.get_mut(at)
        {
            *byte = b'/';
        }
    }

    /// Where the next part after `from` ends.
    fn next_end(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..self.length).unwrap_or_default();
        rest.iter().position(|byte| *byte == b'/').map_or(self.length, |at| from + at)
    }
}

/// Opens what is at `path`.
pub(crate) fn open(root: i32, path: &CStr, flags: i32, resolve: u64) -> Outcome<i32> {
    if path.to_bytes().iter().all(|byte| *byte == b'/') {
        return call::open(root, c".", flags, resolve);
    }
    call::open(root, path, flags, resolve)
}

/// What a mount goes on: an `O_PATH` fd, with what is missing made.
pub(crate) fn target(root: i32, path: &CStr, create: Create) -> Outcome<i32> {
    let kind = if create == Create::Directory { libc::O_DIRECTORY } else { 0 };
    match (open(root, path, libc::O_PATH | kind, STRICT), create) {
        (Err(fault), Create::Directory) if fault.errno == libc::ENOENT => directories(root, path, 0o755),
        (Err(fault), Create::File) if fault.errno == libc::ENOENT => {
            make_last(root, path, |parent, name| call::make_node(parent, name, libc::S_IFREG | 0o644, 0))?;
            open(root, path, libc::O_PATH, STRICT)
        }
        (found, _) => found,
    }
}

/// Makes a directory and those that lead to it, as far as they are missing.
pub(crate) fn directories(root: i32, path: &CStr, mode: u32) -> Outcome<i32> {
    let mut walk = Walk::new(path)?;
    let mut parent = call::open(root, c".", libc::O_PATH | libc::O_DIRECTORY, STRICT)?;
    let mut end = 0;
    let mut start = 0;
    while end < walk.length {
        end = walk.next_end(start);
        let last = end == walk.length;
        if end > start {
            let whole = walk.until(end)?;
            let name = tail(whole, start)?;
            let mode = if last { mode } else { 0o755 };
            match call::make_directory(parent, name, mode) {
                Err(fault) if fault.errno != libc::EEXIST => return Err(fault),
                _ => {}
            }
            // From the root again and not from the parent: `..` cannot have been made meanwhile to
            // lead anywhere else than below the root.
            let next = call::open(root, whole, libc::O_PATH | libc::O_DIRECTORY, STRICT)?;
            call::close(parent);
            parent = next;
            walk.restore(end);
        }
        start = end + 1;
    }
    Ok(parent)
}

/// Makes the last part of a path with `make`, given the directory it goes into and its name.
pub(crate) fn make_last(
    root: i32,
    path: &CStr,
    make: impl FnOnce(i32, &CStr) -> Outcome<i32>,
) -> Outcome<()> {
    let mut walk = Walk::new(path)?;
    let bytes = walk.bytes.get(..walk.length).unwrap_or_default();
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let parent = match slash {
        Some(at) => {
            let parent = directories(root, walk.until(at)?, 0o755)?;
            walk.restore(at);
            parent
        }
        None => call::open(root, c".", libc::O_PATH | libc::O_DIRECTORY, STRICT)?,
    };
    let length = walk.length;
    let name = tail(walk.until(length)?, slash.map_or(0, |at| at + 1))?;
    let made = make(parent, name);
    call::close(parent);
    made.map(|_| ())
}

/// The text from `start` on.
fn tail(text: &CStr, start: usize) -> Outcome<&CStr> {
    let bytes = text.to_bytes_with_nul().get(start..).unwrap_or_default();
    CStr::from_bytes_with_nul(bytes).map_err(|_| Fault::new(Call::Program, libc::EINVAL))
}
