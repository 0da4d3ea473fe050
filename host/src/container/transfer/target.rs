//! The file that an export goes to: it appears when it is whole, and not before.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, linkat};

use super::super::{Error, plugins, store};

/// Where an export goes.
#[derive(Debug, Clone, Copy)]
pub enum To<'a> {
    /// A stream that is open already; what becomes of it when the export fails is its reader's business.
    Stream(BorrowedFd<'a>),
    /// A file to be made.
    File {
        path: &'a Path,
        /// One that is there goes when the new one is whole.
        replace: bool,
    },
}

/// One that is being written.
#[derive(Debug)]
pub(in crate::container) enum Target<'a> {
    Stream(BorrowedFd<'a>),
    /// Into what is there and no file: a named pipe, a tape.
    Device(File),
    /// A file without a name, or beside its place under another where the file system knows no such thing.
    Unnamed {
        file: File,
        path: &'a Path,
        replace: bool,
        beside: Option<Beside>,
    },
}

/// A file of the wrong name, which goes away unless it was renamed.
#[derive(Debug)]
pub(in crate::container) struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have its right name by now.
        drop(fs::remove_file(&self.0));
    }
}

impl<'a> Target<'a> {
    pub(in crate::container) fn open(to: To<'a>) -> Result<Self, Error> {
        let (path, replace) = match to {
            To::Stream(fd) => return Ok(Self::Stream(fd)),
            To::File { path, replace } => (path, replace),
        };
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                return Err(Error::Invalid {
                    message: format!("{} is a directory", path.display()),
                    hint: "name the file".into(),
                });
            }
            Ok(meta) if meta.file_type().is_fifo() || meta.file_type().is_char_device() => {
                let file = OpenOptions::new().write(true).open(path).map_err(Error::io("open", path))?;
                return Ok(Self::Device(file));
            }
            Ok(_) if !replace => return Err(in_the_way(path)),
            _ => {}
        }
        let unnamed =
            OpenOptions::new().write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(directory(path));
        let (file, beside) = match unnamed {
            Ok(file) => (file, None),
            Err(error) if knows_no_unnamed(&error) => {
                let at = other_name(path);
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&at)
                    .map_err(Error::io("make", &at))?;
                (file, Some(Beside(at)))
            }
            Err(error) => return Err(Error::io("make a file in", directory(path))(error)),
        };
        Ok(Self::Unnamed { file, path, replace, beside })
    }

    pub(in crate::container) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(fd) => *fd,
            Self::Device(file) | Self::Unnamed { file, .. } => file.as_fd(),
        }
    }

    /// It is whole: it gets its name, durably. Its bytes, where it has a size.
    pub(in crate::container) fn commit(self) -> Result<Option<u64>, Error> {
        let Self::Unnamed { file, path, replace, beside } = self else { return Ok(None) };
        let failed = || Error::io("write", path);
        file.sync_all().map_err(failed())?;
        let bytes = file.metadata().map_err(failed())?.len();
        let beside = match beside {
            Some(beside) => beside,
            None if !replace => {
                name(&file, path).map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => in_the_way(path),
                    _ => failed()(error),
                })?;
                store::sync_directory(directory(path))?;
                return Ok(Some(bytes));
            }
            None => {
                let beside = Beside(other_name(path));
                name(&file, &beside.0).map_err(failed())?;
                beside
            }
        };
        if !replace && fs::symlink_metadata(path).is_ok() {
            return Err(in_the_way(path));
        }
        fs::rename(&beside.0, path).map_err(failed())?;
        store::sync_directory(directory(path))?;
        Ok(Some(bytes))
    }
}

/// Gives a file without a name one (open(2) on `O_TMPFILE`).
fn name(file: &File, path: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

fn knows_no_unnamed(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL | libc::ENOENT))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn other_name(path: &Path) -> PathBuf {
    let last = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{last}.{}", plugins::operation("part")))
}

fn in_the_way(path: &Path) -> Error {
    Error::Invalid {
        message: format!("{} is there already", path.display()),
        hint: "choose another file, or replace it with --force".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.tar");
        let count = || fs::read_dir(directory.path()).unwrap().count();
        let open = |replace| Target::open(To::File { path: &path, replace });
        let fill = |target: &Target<'_>, text: &[u8]| {
            File::from(target.fd().try_clone_to_owned().unwrap()).write_all(text).unwrap();
        };
        let half = open(false).unwrap();
        fill(&half, b"half");
        drop(half);
        assert_eq!(count(), 0);
        let (first, second) = (open(false).unwrap(), open(false).unwrap());
        fill(&first, b"first");
        fill(&second, b"second");
        assert_eq!(first.commit().unwrap(), Some(5));
        // Somebody was faster.
        assert!(second.commit().unwrap_err().to_string().contains("already"));
        assert!(open(false).unwrap_err().to_string().contains("already"));
        let third = open(true).unwrap();
        fill(&third, b"third");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        third.commit().unwrap();
        assert_eq!((fs::read(&path).unwrap(), count()), (b"third".to_vec(), 1));
    }
}
