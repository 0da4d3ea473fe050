//! What is attacked and how: every line is a way in that some unpacker had.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use tar::EntryType;

use crate::archive::{Archive, header};
use crate::{Place, options, root};

/// The archive must be refused, with a message that holds all of the words.
fn refused(archive: Archive, words: &[&str]) {
    let place = Place::new();
    let error = place.unpack(&archive.end()).unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(error.hint().is_some(), "{text}");
}

#[test]
fn names_with_dots_are_refused() {
    if !root() {
        return;
    }
    for name in ["../victim", "a/../../victim", "a/..", "..", "/../victim", "./../victim"] {
        refused(Archive::new().directory("a", 0o755).file(name, b"evil"), &[name, "leads out of the tree"]);
    }
}

#[test]
fn absolute_names_are_below_the_target() {
    if !root() {
        return;
    }
    let place = Place::new();
    place.unpack(&Archive::new().file("/etc/wxc-test-absolute", b"x").file("//b", b"y").end()).unwrap();
    assert_eq!(fs::read(place.path("etc/wxc-test-absolute")).unwrap(), b"x");
    assert_eq!(fs::read(place.path("b")).unwrap(), b"y");
    assert!(!fs::exists("/etc/wxc-test-absolute").unwrap());
}

/// Links to outside and then a name below them: resolved as if the target were `/`.
#[test]
fn a_link_made_earlier_leads_nowhere_outside() {
    if !root() {
        return;
    }
    let place = Place::new();
    let victim = place.dir.path().to_str().unwrap().to_owned();
    for target in ["..", "/..", "../..", &victim] {
        let place = Place::new();
        let archive = Archive::new().symlink("way", target).file("way/victim", b"evil").end();
        // Either the path exists inside, and the file is there, or it is refused by name.
        match place.unpack(&archive) {
            Ok(_) => assert_eq!(fs::read(place.path("victim")).unwrap(), b"evil", "{target}"),
            Err(e) => assert!(e.to_string().contains("way/victim"), "{e}"),
        }
    }
    place.check_outside();
}

#[test]
fn links_through_links_and_loops() {
    if !root() {
        return;
    }
    refused(Archive::new().symlink("a", "b").symlink("b", "a").file("a/f", b""), &["a/f", "loop"]);
    refused(Archive::new().symlink("a", "nowhere").file("a/f", b""), &["a/f", "link to nowhere"]);
    refused(Archive::new().file("a", b"").file("a/f", b""), &["a/f", "not a directory"]);
    refused(Archive::new().symlink("p", "/proc/self/root").file("p/etc/x", b""), &["p/etc/x"]);
    refused(Archive::new().symlink("p", "/proc/self/fd/1").file("p/x", b""), &["p/x"]);
}

#[test]
fn writing_to_a_link_replaces_it() {
    if !root() {
        return;
    }
    let place = Place::new();
    let archive = Archive::new()
        .symlink("f", "../victim")
        .file("f", b"new")
        .symlink("g", "/etc/passwd")
        .directory("g", 0o700)
        .file("h", b"1")
        .hardlink("i", "h")
        .file("i", b"2")
        .end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::read(place.path("f")).unwrap(), b"new");
    assert!(fs::symlink_metadata(place.path("g")).unwrap().is_dir());
    // The second file is a new one: the first name keeps its content.
    assert_eq!(fs::read(place.path("h")).unwrap(), b"1");
    assert_eq!(fs::read(place.path("i")).unwrap(), b"2");
}

#[test]
fn modes_and_owners_do_not_go_through_links() {
    if !root() {
        return;
    }
    let place = Place::new();
    let before = fs::metadata(place.dir.path()).unwrap();
    // The directory's mode is set at the end; until then its name may have become a link.
    let archive = Archive::new().directory("d", 0o4777).symlink("d", "..").end();
    place.unpack(&archive).unwrap();
    assert!(fs::symlink_metadata(place.path("d")).unwrap().is_symlink());
    let after = fs::metadata(place.dir.path()).unwrap();
    assert_eq!((before.mode(), before.uid()), (after.mode(), after.uid()));
}

#[test]
fn hard_links_stay_inside_and_name_what_came_before() {
    if !root() {
        return;
    }
    refused(Archive::new().hardlink("l", "../victim"), &["leads out of the tree"]);
    refused(Archive::new().hardlink("l", "/etc/passwd"), &["l is refused", "does not hold before it"]);
    refused(Archive::new().symlink("s", "/").hardlink("l", "s/etc/passwd"), &["does not hold before it"]);
    refused(Archive::new().symlink("s", "..").hardlink("l", "s/victim"), &["does not hold before it"]);
    refused(Archive::new().directory("d", 0o755).hardlink("l", "d"), &["hard link to a directory"]);
    refused(Archive::new().hardlink("l", ""), &["l is refused"]);

    let place = Place::new();
    let archive = Archive::new()
        .file("a", b"data")
        .hardlink("b", "./a")
        .hardlink("a", "a")
        .symlink("s", "/etc/passwd")
        .hardlink("t", "s")
        .end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::metadata(place.path("a")).unwrap().nlink(), 2);
    assert_eq!(fs::read(place.path("b")).unwrap(), b"data");
    // A link to a link is the link, not what it points to.
    assert!(fs::symlink_metadata(place.path("t")).unwrap().is_symlink());
}

#[test]
fn special_nodes() {
    if !root() {
        return;
    }
    let node = |kind, name: &str, major, minor| {
        let mut h = header(kind, name, 0);
        h.set_device_major(major).unwrap();
        h.set_device_minor(minor).unwrap();
        h
    };
    let place = Place::new();
    let archive = Archive::new()
        .raw(node(EntryType::Char, "dev/mem", 1, 1), b"")
        .raw(node(EntryType::Block, "dev/sda", 8, 0), b"")
        .raw(node(EntryType::Fifo, "run/fifo", 0, 0), b"")
        .end();
    let report = place.unpack(&archive).unwrap();
    assert!(!place.path("dev/mem").exists() && !place.path("dev/sda").exists());
    assert!(fs::symlink_metadata(place.path("run/fifo")).unwrap().file_type().is_fifo());
    assert_eq!(report.notes.len(), 1);
    assert_eq!(report.notes[0].to_string().split(" left out").next().unwrap(), "2 device nodes");

    let mut privileged = options();
    privileged.devices = wxc::unpack::Devices::Make;
    let place = Place::new();
    place.unpack_as(&archive, &privileged).unwrap();
    let made = fs::symlink_metadata(place.path("dev/mem")).unwrap();
    assert!(made.file_type().is_char_device());
    assert_eq!((rustix::fs::major(made.rdev()), rustix::fs::minor(made.rdev())), (1, 1));

    for options in [options(), privileged] {
        let whiteout = Archive::new().raw(node(EntryType::Char, "w", 0, 0), b"").end();
        let error = Place::new().unpack_as(&whiteout, &options).unwrap_err();
        assert!(error.to_string().contains("whiteout"), "{error}");
    }
}

#[test]
fn unknown_kinds_of_entries_are_refused() {
    if !root() {
        return;
    }
    for kind in [b'M', b'Z', b'N'] {
        refused(Archive::new().raw(header(EntryType::new(kind), "odd", 0), b""), &["odd", "not known"]);
    }
    refused(Archive::new().file(".", b"x"), &["root of the tree"]);
}

#[test]
fn owners_outside_the_container_are_refused() {
    if !root() {
        return;
    }
    let mut h = header(EntryType::Regular, "f", 0);
    h.set_uid(100_000);
    refused(Archive::new().raw(h, b""), &["f is refused", "user 100000"]);
    refused(Archive::new().pax(&[("gid", b"65536")]).file("g", b""), &["group 65536"]);
    refused(Archive::new().pax(&[("uid", b"4294967296")]).file("g", b""), &["user 4294967296"]);
    refused(Archive::new().pax(&[("uid", b"-1")]).file("g", b""), &["malformed"]);
}

#[test]
fn planted_attributes_are_left_out() {
    if !root() {
        return;
    }
    let place = Place::new();
    let capability = [&[1, 0, 0, 3][..], &[0, 4, 0, 0], &[0; 12], &100_000u32.to_le_bytes()].concat();
    let archive = Archive::new()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"system_u:object_r:etc_t:s0"),
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.user.note", b"a\nb"),
        ])
        .file("f", b"x")
        .end();
    let report = place.unpack(&archive).unwrap();
    assert_eq!(report.notes.iter().find(|n| n.to_string().contains("may not set")).unwrap().count, 3);
    assert_eq!(xattr(&place, "f", "trusted.overlay.redirect"), None);
    assert_eq!(xattr(&place, "f", "user.overlay.opaque"), None);
    assert_eq!(xattr(&place, "f", "user.note").unwrap(), b"a\nb");
    // The foreign root is gone: version 2, the tree's own root.
    assert_eq!(
        xattr(&place, "f", "security.capability").unwrap(),
        [&[1, 0, 0, 2][..], &capability[4..20]].concat()
    );
}

pub(crate) fn xattr(place: &Place, file: &str, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let n = rustix::fs::lgetxattr(place.path(file), name, &mut value).ok()?;
    value.truncate(n);
    Some(value)
}

#[test]
fn duplicates_the_last_one_counts() {
    if !root() {
        return;
    }
    let place = Place::new();
    let archive = Archive::new()
        .file("x", b"long content")
        .file("x", b"2")
        .directory("d", 0o700)
        .file("d/f", b"")
        .directory("d", 0o755)
        .end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::read(place.path("x")).unwrap(), b"2");
    assert_eq!(fs::metadata(place.path("d")).unwrap().mode() & 0o7777, 0o755);
    refused(Archive::new().file("d/f", b"").file("d", b"x"), &["d is refused", "directory with entries"]);
}

#[test]
fn names_in_messages_hold_no_escape_sequences() {
    if !root() {
        return;
    }
    let place = Place::new();
    let error = place.unpack(&Archive::new().file("a\x1b]0;evil\x07/../x", b"").end()).unwrap_err();
    assert!(!error.to_string().contains('\x1b') && !error.to_string().contains('\x07'), "{error:?}");
}

#[test]
fn a_target_that_is_not_empty_is_refused() {
    if !root() {
        return;
    }
    let place = Place::new();
    std::os::unix::fs::symlink("../victim", place.path("f")).unwrap();
    let archive = Archive::new().file("f", b"evil").end();
    assert_eq!(place.unpack(&archive).unwrap_err().to_string(), "the target directory is not empty");
    let mut layered = options();
    layered.onto_existing = true;
    place.unpack_as(&archive, &layered).unwrap();
    assert_eq!(fs::read(place.path("f")).unwrap(), b"evil");
}
