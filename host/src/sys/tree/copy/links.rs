//! Files with several names: made once, then named again.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, linkat, openat2};
use rustix::io::Errno;

use super::super::BELOW;
use super::{Fault, inode, when};

/// Longest part of a path that is given to the kernel at once: below `PATH_MAX`, with room for one more name.
const REACH: usize = 3800;

/// Where each file with several names was made first, as long as more of its names may come.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<(u64, u64), Made>);

#[derive(Debug)]
struct Made {
    path: PathBuf,
    /// Names that have not been seen.
    left: u64,
}

impl Links {
    /// Remembers the first name of a file.
    #[allow(clippy::useless_conversion, reason = "the number of names has 32 bits on other architectures")]
    pub(super) fn made(&mut self, stat: &Stat, path: &Path) {
        let left = u64::from(stat.st_nlink).saturating_sub(1);
        self.0.insert(inode(stat), Made { path: path.to_owned(), left });
    }

    /// Makes another name for a file that was copied before, if it was.
    pub(super) fn again(
        &mut self,
        root: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        stat: &Stat,
    ) -> Result<bool, Fault> {
        let id = inode(stat);
        let Some(made) = self.0.get_mut(&id) else { return Ok(false) };
        let (Some(parent), Some(base)) = (made.path.parent(), made.path.file_name()) else {
            return Ok(false);
        };
        let dir = when("open", reach(root, parent))?;
        let dir = dir.as_ref().map_or(root, |dir| dir.as_fd());
        match linkat(dir, base, to, name, AtFlags::empty()) {
            Ok(()) => {}
            // The filesystem's limit on names of one file: the content is copied again.
            Err(Errno::MLINK) if path != made.path => return Ok(false),
            Err(e) => return Err(Fault::Call("link", e)),
        }
        made.left = made.left.saturating_sub(1);
        if made.left == 0 {
            self.0.remove(&id);
        }
        Ok(true)
    }
}

/// Opens a directory below `root`, however long its path is; none for the root itself.
fn reach(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut bytes = path.as_os_str().as_bytes();
    let mut at: Option<OwnedFd> = None;
    while !bytes.is_empty() {
        let end = if bytes.len() <= REACH {
            bytes.len()
        } else {
            bytes[..REACH].iter().rposition(|b| *b == b'/').ok_or(Errno::NAMETOOLONG)?
        };
        let from = at.as_ref().map_or(root, |fd| fd.as_fd());
        at = Some(openat2(from, &bytes[..end], flags, Mode::empty(), BELOW)?);
        bytes = bytes.get(end + 1..).unwrap_or_default();
    }
    Ok(at)
}
