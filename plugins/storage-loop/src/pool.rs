//! The pool as the host gives it: each method is a call of `wxc:host/tree`, a command, or a device.

use crate::bindings::wxc::host::commands::Command;
use crate::bindings::wxc::host::handles::Directory;
use crate::bindings::wxc::host::tree::{self, NodeKind};
use crate::bindings::wxc::host::types::{Error, ErrorKind, Outcome};
use crate::bindings::wxc::host::{loop_devices, progress};
use crate::filesystem::Filesystem;
use crate::volume::{Pool, error};

/// Longest note that is read: it is far shorter.
const NOTE: u32 = 1024;
/// Names asked for at a time.
const PAGE: u32 = 1000;

impl Pool for Directory {
    fn length(&self, path: &str) -> Result<Option<u64>, Error> {
        let status = found(tree::inspect(self, path))?;
        Ok(status.filter(|status| status.kind == NodeKind::File).map(|status| status.size))
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Error> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = found(tree::entries(self, path, after.as_deref(), PAGE))?.unwrap_or_default();
            after = page.last().map(|entry| entry.name.clone());
            let last = page.len() < PAGE as usize;
            let directories = page.into_iter().filter(|entry| entry.kind == NodeKind::Directory);
            names.extend(directories.map(|entry| entry.name));
            if last {
                return Ok(names);
            }
        }
    }

    fn read(&self, path: &str) -> Result<Option<String>, Error> {
        let Some(bytes) = found(tree::read(self, path, NOTE))? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| error(ErrorKind::Integrity, format!("{path} in the pool is not a text")))
    }

    fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        tree::write(self, path, text.as_bytes(), 0o644)
    }

    fn make(&self, path: &str, size: u64) -> Result<(), Error> {
        tree::make_file(self, path, size, 0o600)
    }

    fn set_length(&self, path: &str, size: u64) -> Result<(), Error> {
        tree::set_size(self, path, size)
    }

    fn copy(&self, path: &str, new: &str) -> Result<(), Error> {
        progress::phase("copying the disk");
        tree::copy(self, path, self, new)
    }

    fn rename(&self, path: &str, new: &str) -> Result<(), Error> {
        tree::rename(self, path, new)
    }

    fn exchange(&self, path: &str, other: &str) -> Result<(), Error> {
        tree::exchange(self, path, other)
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        tree::remove(self, path)
    }

    fn sync(&self, path: &str) -> Result<(), Error> {
        tree::sync(self, path)
    }

    fn format(&self, path: &str, inside: Filesystem) -> Result<(), Error> {
        on_file(&format!("make-{}", inside.name()), self, path).run().map(drop)
    }

    fn renew(&self, path: &str, inside: Filesystem) -> Result<(), Error> {
        match inside {
            // It is mounted without regard to its identity.
            Filesystem::Xfs => Ok(()),
            _ => on_file(&format!("renew-{}", inside.name()), self, path).run().map(drop),
        }
    }

    fn refit(&self, path: &str, size: u64) -> Result<(), Error> {
        progress::phase("resizing the file system");
        on_file("check-ext4", self, path).run()?;
        let resize = on_file("resize-ext4", self, path);
        resize.set_number("kibibytes", size / 1024);
        let outcome = resize.run()?;
        if outcome.status == 0 {
            return Ok(());
        }
        Err(error(ErrorKind::Invalid, format!("what is in it does not fit: {}", last_line(&outcome.stderr))))
    }

    fn fit(&self, path: &str, inside: Filesystem, size: u64) -> Result<(), Error> {
        let device = loop_devices::attach(self, path, false)?;
        if loop_devices::size(&device)? < size {
            loop_devices::refresh_size(&device)?;
        }
        loop_devices::resize_filesystem(&device, inside.name(), size)
    }

    fn is_attached(&self, path: &str) -> Result<bool, Error> {
        Ok(loop_devices::find(self, path)?.is_some())
    }

    fn probe(&self, path: &str) -> Result<Filesystem, Error> {
        let Outcome { stdout, .. } = on_file("probe", self, path).run()?;
        Filesystem::named(String::from_utf8_lossy(&stdout).trim())
    }
}

/// A command of the manifest that works on one file.
fn on_file(command: &str, pool: &Directory, path: &str) -> Command {
    let command = Command::new(command);
    command.set_file("file", pool, path);
    command
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// None instead of `not-found`.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
