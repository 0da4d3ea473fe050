#![forbid(unsafe_code)]
//! What makes a system itself and not its copy: renewed in the root of a copy, through handles.
//!
//! machine-id(5): an image that is going to be several machines has an empty `/etc/machine-id`, and each
//! of them makes its own when it starts. A guest controls every one of these files, so all of them are
//! resolved inside its root and none is written through a link.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::Error;
use crate::sys::rootfs::{Owner, Rootfs};
use crate::sys::tree::TreeError;

/// Largest file that is read for its words; a name or a page of addresses.
const LIMIT: u64 = 1 << 20;

/// Files that each machine has of its own, and makes again when they are missing. The seed of random
/// numbers is among them: two machines that begin with the same one draw the same keys.
const OWN: &[&str] = &["var/lib/dbus/machine-id", "var/lib/systemd/random-seed"];

/// The host name that the copy has instead of the ones it finds.
#[derive(Debug)]
pub(super) struct NewName<'a> {
    /// What the original is called.
    pub(super) old: &'a str,
    /// What the copy is called.
    pub(super) new: &'a str,
}

/// Gives the tree at `root` another host name, and nothing else: it stays the machine that it is.
pub(super) fn rename(root: BorrowedFd<'_>, name: &NewName<'_>) -> Result<(), Error> {
    host_name(Rootfs::new(root), name).map_err(Error::tree("write the host name into the container"))
}

/// Renews the identity in the tree at `root`; without `name` the host name stays.
pub(super) fn renew(root: BorrowedFd<'_>, name: Option<&NewName<'_>>) -> Result<(), Error> {
    let root = Rootfs::new(root);
    machine_id(root).map_err(Error::tree("empty /etc/machine-id in the copy"))?;
    if let Some(name) = name {
        host_name(root, name).map_err(Error::tree("write the host name into the copy"))?;
    }
    Ok(())
}

fn machine_id(root: Rootfs<'_>) -> Result<(), TreeError> {
    let path = Path::new("etc/machine-id");
    if let Some((old, mode, owner)) = content(root, path)? {
        // What says `uninitialized` is to go through a first boot, and the copy as well.
        if !old.starts_with(b"uninitialized") {
            root.write(path, b"", mode, owner)?;
        }
    }
    for path in OWN.iter().map(Path::new) {
        // A link, as Debian makes it, leads to the file above.
        if kind(root, path, false)? == Some(FileType::RegularFile) {
            root.unlink(path)?;
        }
    }
    Ok(())
}

fn host_name(root: Rootfs<'_>, name: &NewName<'_>) -> Result<(), TreeError> {
    let path = Path::new("etc/hostname");
    let mut old = vec![name.old.to_owned()];
    if let Some((text, mode, owner)) = content(root, path)? {
        old.extend(host_name_in(&text));
        root.write(path, format!("{}\n", name.new).as_bytes(), mode, owner)?;
    }
    let path = Path::new("etc/hosts");
    if let Some((text, mode, owner)) = content(root, path)? {
        // Whoever has something else than a text there looks after it themselves.
        if let Ok(text) = std::str::from_utf8(&text) {
            let renamed = rename_in_hosts(text, &old, name.new);
            if renamed != text {
                root.write(path, renamed.as_bytes(), mode, owner)?;
            }
        }
    }
    Ok(())
}

/// Only what is a file in the end: nothing is made where an image has nothing. What is too long, or lies behind links that lead
/// nowhere, stays as it is: a guest must not be able to keep its container from being copied or renamed.
fn content(root: Rootfs<'_>, path: &Path) -> Result<Option<(Vec<u8>, u32, Owner)>, TreeError> {
    if kind(root, path, true)? != Some(FileType::RegularFile) {
        return Ok(None);
    }
    match root.read_with_owner(path, LIMIT) {
        Err(TreeError::Refused { .. } | TreeError::TooLarge { .. }) => Ok(None),
        other => other.map(Some),
    }
}

fn kind(root: Rootfs<'_>, path: &Path, follow: bool) -> Result<Option<FileType>, TreeError> {
    match root.kind(path, follow) {
        Err(TreeError::Io { source: Errno::LOOP | Errno::NAMETOOLONG, .. }) => Ok(None),
        other => other,
    }
}

/// The name in a hostname(5) file: the first line that is no comment.
fn host_name_in(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(line.to_owned())
}

/// hosts(5) with one name in place of others, also where it stands before a domain. Everything else, spaces
/// and comments included, stays as it is.
fn rename_in_hosts(text: &str, old: &[String], new: &str) -> String {
    let rename = |word: &str| {
        old.iter().filter(|old| *old != "localhost").find_map(|old| {
            let rest = word.strip_prefix(old.as_str())?;
            (rest.is_empty() || rest.starts_with('.')).then(|| format!("{new}{rest}"))
        })
    };
    let line = |line: &str| {
        let (body, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        let mut first = true;
        let mut out = String::with_capacity(line.len());
        for part in body.split_inclusive(char::is_whitespace) {
            let word = part.trim_end();
            let is_address = first && !word.is_empty();
            first &= word.is_empty();
            match rename(word).filter(|_| !is_address && !word.is_empty()) {
                Some(renamed) => out.extend([renamed.as_str(), &part[word.len()..]]),
                None => out.push_str(part),
            }
        }
        out + comment
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;

    const NAME: NewName<'static> = NewName { old: "web", new: "web2" };

    #[test]
    fn only_the_own_name_is_renamed_in_hosts() {
        let text = "127.0.0.1\tlocalhost web.example  web # web\n\n10.0.0.1 webserver my-web web\n";
        let renamed = rename_in_hosts(text, &["web".into()], "copy");
        assert_eq!(
            renamed,
            "127.0.0.1\tlocalhost copy.example  copy # web\n\n10.0.0.1 webserver my-web copy\n"
        );
        assert_eq!(rename_in_hosts("::1 localhost", &["localhost".into()], "x"), "::1 localhost");
        assert_eq!(rename_in_hosts("web web", &["web".into()], "x"), "web x");
    }

    #[test]
    fn a_tree_is_renewed_and_nothing_is_made_in_it() {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: &str| tree.path().join(path);
        for directory in ["etc", "var/lib/dbus", "var/lib/systemd"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("etc/machine-id"), "0123\n").unwrap();
        symlink("/etc/machine-id", at("var/lib/dbus/machine-id")).unwrap();
        fs::write(at("var/lib/systemd/random-seed"), "seed").unwrap();
        fs::write(at("etc/hostname"), "old\n").unwrap();
        fs::write(at("etc/hosts"), "127.0.1.1 old.lan old web\n").unwrap();
        let root = File::open(tree.path()).unwrap();

        renew(root.as_fd(), Some(&NAME)).unwrap();
        assert_eq!(fs::read(at("etc/machine-id")).unwrap(), b"");
        assert!(at("var/lib/dbus/machine-id").is_symlink());
        assert!(!at("var/lib/systemd/random-seed").exists());
        assert_eq!(fs::read_to_string(at("etc/hostname")).unwrap(), "web2\n");
        assert_eq!(fs::read_to_string(at("etc/hosts")).unwrap(), "127.0.1.1 web2.lan web2 web2\n");

        fs::remove_dir_all(at("etc")).unwrap();
        renew(root.as_fd(), Some(&NAME)).unwrap();
        assert!(!at("etc").exists());
    }

    #[test]
    fn what_a_guest_puts_there_is_no_reason_to_fail() {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: &str| tree.path().join(path);
        let root = File::open(tree.path()).unwrap();
        symlink("etc", at("etc")).unwrap();
        symlink("var", at("var")).unwrap();
        renew(root.as_fd(), Some(&NAME)).unwrap();
        fs::remove_file(at("etc")).unwrap();
        // Where the new file waits until it takes its name.
        fs::create_dir_all(at("etc/.wxc-new/not/empty")).unwrap();
        fs::write(at("etc/hostname"), "old\n").unwrap();
        let long = "x".repeat(2 << 20);
        fs::write(at("etc/hosts"), &long).unwrap();
        renew(root.as_fd(), Some(&NAME)).unwrap();
        assert_eq!(fs::read_to_string(at("etc/hostname")).unwrap(), "web2\n");
        assert_eq!(fs::read_to_string(at("etc/hosts")).unwrap(), long);
    }

    #[test]
    fn links_out_of_the_tree_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("hostname"), "host\n").unwrap();
        let tree = tempfile::tempdir().unwrap();
        symlink(outside.path(), tree.path().join("etc")).unwrap();
        renew(File::open(tree.path()).unwrap().as_fd(), Some(&NAME)).unwrap();
        assert_eq!(fs::read_to_string(outside.path().join("hostname")).unwrap(), "host\n");
    }
}
