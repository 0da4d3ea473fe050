//! Directories as the source, and what walks over trees.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use wxc::sys::tree::remove_tree;
use wxc::unpack::{NoteKind, Report, Source, UnpackError};

use crate::hostile::xattr;
use crate::{Place, options, request, root, skip};

fn copy(place: &Place, source: &Path) -> Result<Report, UnpackError> {
    let source = File::open(source).unwrap();
    request(Source::Directory(source.as_fd()), &place.target(), &options())
}

#[test]
fn a_tree_arrives_with_all_that_belongs_to_it() {
    if !root() {
        return;
    }
    let place = Place::new();
    let source = place.dir.path().join("source");
    fs::create_dir_all(source.join("usr/bin")).unwrap();
    fs::write(source.join("usr/bin/tool"), "program").unwrap();
    chown(source.join("usr/bin/tool"), Some(0), Some(42)).unwrap();
    fs::set_permissions(source.join("usr/bin/tool"), fs::Permissions::from_mode(0o2755)).unwrap();
    fs::hard_link(source.join("usr/bin/tool"), source.join("again")).unwrap();
    std::os::unix::fs::symlink("usr/bin", source.join("bin")).unwrap();
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    let file = source.join("file");
    fs::write(&file, "").unwrap();
    setxattr(&file, "security.capability", &capability, XattrFlags::empty()).unwrap();
    setxattr(&file, "user.note", b"kept", XattrFlags::empty()).unwrap();
    setxattr(&file, "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    setxattr(&file, "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    mknodat(CWD, source.join("mem"), FileType::CharacterDevice, Mode::RUSR, rustix::fs::makedev(1, 1))
        .unwrap();
    mknodat(CWD, source.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o751)).unwrap();
    File::open(source.join("usr")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();

    let report = copy(&place, &source).unwrap();
    let tool = fs::metadata(place.path("again")).unwrap();
    assert_eq!((tool.mode() & 0o7777, tool.gid(), tool.nlink()), (0o2755, 42, 2));
    assert_eq!(fs::read(place.path("bin/tool")).unwrap(), b"program");
    assert_eq!(fs::metadata(place.target()).unwrap().mode() & 0o7777, 0o751);
    assert_eq!(fs::metadata(place.path("usr")).unwrap().mtime(), 0);
    assert_eq!(xattr(&place, "file", "security.capability").unwrap(), capability);
    assert_eq!(xattr(&place, "file", "user.note").unwrap(), b"kept");
    assert_eq!(xattr(&place, "file", "trusted.overlay.opaque"), None);
    assert_eq!(xattr(&place, "file", "user.overlay.opaque"), None);
    assert!(fs::symlink_metadata(place.path("fifo")).unwrap().file_type().is_fifo());
    assert!(!place.path("mem").exists() && !place.path("socket").exists());
    let mut notes: Vec<_> = report.notes.iter().map(|n| (n.kind, n.count)).collect();
    notes.sort_by_key(|n| n.0 as u8);
    assert_eq!(notes, [(NoteKind::Device, 1), (NoteKind::Socket, 1), (NoteKind::Attribute, 1)]);
}

#[test]
fn a_shifted_tree_is_refused_by_name() {
    if !root() {
        return;
    }
    let place = Place::new();
    let source = place.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("f"), "").unwrap();
    chown(source.join("f"), Some(100_000), Some(100_000)).unwrap();
    let error = copy(&place, &source).unwrap_err().to_string();
    assert!(error.starts_with("f is refused") && error.contains("user 100000"), "{error}");
}

#[test]
fn a_whiteout_is_refused() {
    if !root() {
        return;
    }
    let place = Place::new();
    let source = place.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    mknodat(CWD, source.join("w"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    assert!(copy(&place, &source).unwrap_err().to_string().contains("whiteout"));
}

#[test]
fn a_target_inside_its_source_is_not_copied_into_itself() {
    if !root() {
        return;
    }
    let place = Place::new();
    let report = copy(&place, place.dir.path()).unwrap();
    assert!(place.path("victim").exists() && !place.path("target").exists());
    assert_eq!(report.notes[0].kind, NoteKind::Mount);
}

struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn bind(from: &Path, to: &'a Path) -> Option<Self> {
        let done = Command::new("mount").arg("--bind").args([from, to]).status().is_ok_and(|s| s.success());
        if !done {
            skip("cannot mount");
        }
        done.then_some(Self(to))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0).status().unwrap();
    }
}

/// The dearest mistake of all: emptying a host directory because it is mounted in a container's tree.
#[test]
fn mounts_are_neither_copied_nor_removed() {
    if !root() {
        return;
    }
    let place = Place::new();
    let precious = tempfile::tempdir().unwrap();
    fs::write(precious.path().join("data"), "precious").unwrap();
    let source = place.dir.path().join("source");
    let inner = source.join("a/mnt");
    fs::create_dir_all(&inner).unwrap();
    let Some(mount) = Mount::bind(precious.path(), &inner) else { return };

    let report = copy(&place, &source).unwrap();
    assert_eq!(report.notes[0].kind, NoteKind::Mount);
    assert_eq!(fs::read_dir(place.path("a/mnt")).unwrap().count(), 0);

    let parent = File::open(place.dir.path()).unwrap();
    let error = remove_tree(parent.as_fd(), "source".as_ref()).unwrap_err().to_string();
    assert!(error.contains("source/a/mnt"), "{error}");
    assert_eq!(fs::read(precious.path().join("data")).unwrap(), b"precious");
    drop(mount);
    remove_tree(parent.as_fd(), "source".as_ref()).unwrap();
    assert!(!source.exists());
}

#[test]
fn immutable_entries_are_removed_too() {
    if !root() {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("d")).unwrap();
    fs::write(place.path("d/fixed"), "").unwrap();
    for fixed in ["d/fixed", "d"] {
        let fd = File::open(place.path(fixed)).unwrap();
        if rustix::fs::ioctl_setflags(&fd, rustix::fs::IFlags::IMMUTABLE).is_err() {
            skip("this filesystem has no immutable files");
            return;
        }
    }
    let target = File::open(place.target()).unwrap();
    assert_eq!(remove_tree(target.as_fd(), "d".as_ref()).unwrap(), 2);
}
