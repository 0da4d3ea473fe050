#![forbid(unsafe_code)]
//! What the user named on the command line: files and directories that a template knows by the names of its parameters.
//!
//! What lies inside was made by others: a directory is entered without following anything, an archive is read by the confined
//! helper, and nothing but a regular file is opened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256, Sha512};

use super::{Error, Host, beneath};
use crate::fetch::{Algorithm, Digest};
use crate::plugin::{InputError, Inputs, Unit};
use crate::unpack::{self, UnpackError};

/// For a template's `inputs`.
#[derive(Debug)]
pub(super) struct Named {
    /// Files and directories by parameter.
    pub(super) given: BTreeMap<String, PathBuf>,
    pub(super) cancel: &'static AtomicBool,
}

impl Inputs for Named {
    fn read(&self, parameter: &str, path: &str, limit: u32) -> Result<Vec<u8>, InputError> {
        let named = self.given.get(parameter).ok_or(InputError::Missing)?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => InputError::Missing,
            _ => InputError::Failed(error.to_string()),
        };
        if path.is_empty() || named.is_dir() {
            let file = match open(named, path) {
                Err(Error::Io { source, .. }) => return Err(failed(source)),
                other => other.map_err(|error| InputError::Failed(error.to_string()))?,
            };
            let mut bytes = Vec::new();
            file.take(u64::from(limit) + 1).read_to_end(&mut bytes).map_err(failed)?;
            return if bytes.len() > limit as usize { Err(InputError::Long) } else { Ok(bytes) };
        }
        let archive = File::open(named).map_err(failed)?;
        let found = unpack::members(archive.as_fd(), &[path.to_owned()], true, self.cancel);
        let found = found.map_err(|error| InputError::Failed(error.to_string()))?;
        let (_, bytes) = found.into_iter().next().ok_or(InputError::Missing)?;
        if bytes.len() > limit as usize { Err(InputError::Long) } else { Ok(bytes) }
    }
}

/// The bytes of what was named, or of something inside it.
pub(super) fn bytes(host: &Host, named: &Path, path: &str) -> Result<File, Error> {
    if path.is_empty() || named.is_dir() {
        return open(named, path);
    }
    // A file without a name: gone with its descriptor, whatever happens.
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let room = &host.layout.path;
    let out = rustix::fs::open(room, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| Error::io("make a file in", room)(error.into()))?;
    let archive = File::open(named).map_err(Error::io("open", named))?;
    unpack::member(archive.as_fd(), path, out.as_fd(), host.cancel).map_err(|error| match error {
        UnpackError::Cancelled => Error::Cancelled,
        source => Error::Image { from: named.to_owned(), source },
    })?;
    let mut file = File::from(out);
    file.rewind().map_err(Error::io("read", named))?;
    Ok(file)
}

/// A regular file: the one that was named, or one below the directory that was.
fn open(named: &Path, path: &str) -> Result<File, Error> {
    let (file, place) = if path.is_empty() {
        (File::open(named).map_err(Error::io("open", named))?, named.to_owned())
    } else {
        (File::from(beneath::open_file(named, Path::new(path), true)?), named.join(path))
    };
    let is_file = file.metadata().map_err(Error::io("examine", &place))?.is_file();
    if is_file { Ok(file) } else { Err(Error::io("read", &place)(io::Error::other("it is no regular file"))) }
}

/// Checks what a file is, and goes back to its start.
pub(super) fn check(host: &Host, from: &Path, file: &mut File, wanted: &Digest) -> Result<(), Error> {
    let mut hash = match wanted.algorithm() {
        Algorithm::Sha256 => Hash::Short(Sha256::new()),
        Algorithm::Sha512 => Hash::Long(Sha512::new()),
    };
    let total = file.metadata().map(|meta| meta.len()).ok();
    let (mut buffer, mut done) = (vec![0; 1 << 20], 0);
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("read", from))?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { break };
        match &mut hash {
            Hash::Short(hash) => hash.update(part),
            Hash::Long(hash) => hash.update(part),
        }
        done += part.len() as u64;
        host.progress.report(done, total, Unit::Bytes);
        host.check_cancelled()?;
    }
    file.rewind().map_err(Error::io("read", from))?;
    let found = match hash {
        Hash::Short(hash) => format!("{:x}", hash.finalize()),
        Hash::Long(hash) => format!("{:x}", hash.finalize()),
    };
    if found == wanted.hex() {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!(
            "{} is not what the image says: its digest is {found}, and not {}",
            from.display(),
            wanted.hex()
        ),
        hint: "the image is damaged, or somebody changed it: get it again".into(),
    })
}

enum Hash {
    Short(Sha256),
    Long(Sha512),
}
