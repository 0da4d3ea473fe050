//! A caller without privileges: the helper works in a user namespace with the container's map.
//!
//! As root these tests give the helper a map without being root's own, which takes the same way.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tar::EntryType;
use wxc::unpack::{IdMapMode, MapRange, NoteKind, Options, Source, UnpackError};

use crate::archive::{Archive, header};
use crate::{Place, request, root, skip};

const SHIFT: u32 = 700_000;

fn mapped(count: u32) -> Options {
    let map = vec![MapRange { inside: 0, outside: SHIFT, count }];
    Options::new(IdMapMode::Userns { uids: map.clone(), gids: map })
}

/// Whether the kernel lets this process make a user namespace at all.
fn blocked(error: &UnpackError) -> bool {
    let blocked = matches!(error, UnpackError::Confine { .. });
    if blocked {
        skip(&format!("{error}"));
    }
    blocked
}

#[test]
fn files_get_the_ids_of_the_map() {
    if !root() {
        return;
    }
    let place = Place::new();
    let mut user = header(EntryType::Regular, "home/me/f", 1);
    user.set_uid(1000);
    user.set_gid(1001);
    user.set_mode(0o4755);
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    let archive = Archive::new()
        .directory("./", 0o755)
        .raw(user, b"x")
        .pax(&[("SCHILY.xattr.security.capability", &capability)])
        .file("ping", b"")
        .end();
    place.unpack_as(&archive, &mapped(65536)).unwrap();
    let owner = |path: &str| {
        let stat = fs::symlink_metadata(place.path(path)).unwrap();
        (stat.uid(), stat.gid(), stat.mode() & 0o7777)
    };
    assert_eq!(owner(""), (SHIFT, SHIFT, 0o755));
    assert_eq!(owner("home"), (SHIFT, SHIFT, 0o755));
    assert_eq!(owner("home/me/f"), (SHIFT + 1000, SHIFT + 1001, 0o4755));
    // The kernel binds the capability to the container's root.
    let stored = crate::hostile::xattr(&place, "ping", "security.capability").unwrap();
    assert_eq!((stored.len(), &stored[20..]), (24, &SHIFT.to_le_bytes()[..]));
}

#[test]
fn ids_outside_the_map_are_refused_also_the_callers_own() {
    if !root() {
        return;
    }
    for id in [100, 101, 65536] {
        let mut h = header(EntryType::Regular, "f", 0);
        h.set_uid(id);
        let error = Place::new().unpack_as(&Archive::new().raw(h, b"").end(), &mapped(100)).unwrap_err();
        assert!(error.to_string().contains(&format!("user {id}")), "{error}");
    }
}

#[test]
fn a_copied_directory_of_the_callers_becomes_roots() {
    if !root() {
        return;
    }
    let place = Place::new();
    let source = place.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("mine"), "").unwrap();
    fs::write(source.join("theirs"), "").unwrap();
    fs::write(source.join("mapped"), "").unwrap();
    std::os::unix::fs::chown(source.join("theirs"), Some(12345), Some(12345)).unwrap();
    std::os::unix::fs::chown(source.join("mapped"), Some(SHIFT + 5), Some(SHIFT + 6)).unwrap();
    let fd = File::open(&source).unwrap();
    let report = request(Source::Directory(fd.as_fd()), &place.target(), &mapped(65536)).unwrap();
    let owner = |path: &str| {
        let stat = fs::metadata(place.path(path)).unwrap();
        (stat.uid() - SHIFT, stat.gid() - SHIFT)
    };
    assert_eq!((owner("mine"), owner("theirs"), owner("mapped")), ((0, 0), (0, 0), (5, 6)));
    assert_eq!((report.notes[0].kind, report.notes[0].count), (NoteKind::Owner, 1));
}

/// One id of one's own needs no program and no entry in subuid(5): works for everybody.
#[test]
fn with_nothing_but_ones_own_id() {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let one = |outside| vec![MapRange { inside: 0, outside, count: 1 }];
    let place = Place::new();
    let options = Options::new(IdMapMode::Userns { uids: one(uid), gids: one(gid) });
    match place.unpack_as(&Archive::new().file("f", b"x").end(), &options) {
        Err(e) if blocked(&e) => return,
        other => other.unwrap(),
    };
    assert_eq!(fs::metadata(place.path("f")).unwrap().uid(), uid);
    let mut h = header(EntryType::Regular, "g", 0);
    h.set_gid(1);
    let error = Place::new().unpack_as(&Archive::new().raw(h, b"").end(), &options).unwrap_err();
    assert!(error.to_string().contains("group 1"), "{error}");
}
