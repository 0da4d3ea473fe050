//! What must arrive unchanged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tar::EntryType;

use crate::archive::{Archive, CODECS, header, zstd};
use crate::hostile::xattr;
use crate::{Place, root, skip};

fn small() -> Archive {
    Archive::new()
        .directory("./", 0o755)
        .directory("usr/", 0o555)
        .directory("usr/lib/", 0o2755)
        .symlink("lib", "usr/lib")
        .file("lib/real", b"through a link made earlier")
        .file("implied/parents/file", &[7; 300_000])
        .symlink("etc", "/usr")
        .file("etc/conf", b"an absolute link is the tree's own")
}

fn check_small(place: &Place) {
    assert_eq!(fs::read(place.path("usr/lib/real")).unwrap(), b"through a link made earlier");
    assert_eq!(fs::read(place.path("usr/conf")).unwrap(), b"an absolute link is the tree's own");
    assert_eq!(fs::read(place.path("implied/parents/file")).unwrap(), [7; 300_000]);
    assert_eq!(fs::metadata(place.path("implied/parents")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(place.path("lib")).unwrap(), Path::new("usr/lib"));
    let usr = fs::metadata(place.path("usr")).unwrap();
    // The time stays although entries were made in it afterwards.
    assert_eq!((usr.mode() & 0o7777, usr.mtime()), (0o555, 1_000_000_000));
    assert_eq!(fs::metadata(place.path("usr/lib")).unwrap().mode() & 0o7777, 0o2755);
}

#[test]
fn plain_and_in_every_compression() {
    if !root() {
        return;
    }
    let plain = small().end();
    let place = Place::new();
    let report = place.unpack(&plain).unwrap();
    check_small(&place);
    assert!(report.notes.is_empty());
    assert_eq!((report.progress.entries, report.progress.read), (8, plain.len() as u64));
    for (name, pack) in CODECS {
        let place = Place::new();
        place.unpack(&pack(&plain)).unwrap_or_else(|e| panic!("{name}: {e}"));
        check_small(&place);
        // Several members or frames, as parallel compressors write them.
        let place = Place::new();
        let (a, b) = plain.split_at(100_000);
        place.unpack(&[pack(a), pack(b)].concat()).unwrap_or_else(|e| panic!("{name} in two: {e}"));
        check_small(&place);
    }
    let place = Place::new();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &zstd(&plain)].concat();
    place.unpack(&skippable).unwrap();
    check_small(&place);
}

#[test]
fn owners_modes_and_times() {
    if !root() {
        return;
    }
    let place = Place::new();
    let mut setuid = header(EntryType::Regular, "sudo", 1);
    setuid.set_mode(0o4755);
    setuid.set_uid(0);
    setuid.set_gid(42);
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    let archive = Archive::new()
        .raw(setuid, b"x")
        .pax(&[
            ("uid", b"65534"),
            ("gid", b"7"),
            ("mtime", b"-1.5"),
            ("SCHILY.xattr.security.capability", &capability),
        ])
        .file("nobody", b"")
        .pax(&[("mtime", b"1234567890.123456789")])
        .symlink("link", "x")
        .end();
    place.unpack(&archive).unwrap();
    let sudo = fs::metadata(place.path("sudo")).unwrap();
    assert_eq!((sudo.mode() & 0o7777, sudo.uid(), sudo.gid(), sudo.mtime()), (0o4755, 0, 42, 1_000_000_000));
    let nobody = fs::metadata(place.path("nobody")).unwrap();
    assert_eq!(
        (nobody.uid(), nobody.gid(), nobody.mtime(), nobody.mtime_nsec()),
        (65534, 7, -2, 500_000_000)
    );
    assert_eq!(xattr(&place, "nobody", "security.capability").unwrap(), capability);
    let link = fs::symlink_metadata(place.path("link")).unwrap();
    assert_eq!((link.mtime(), link.mtime_nsec()), (1_234_567_890, 123_456_789));
}

#[test]
fn long_names_in_both_forms() {
    if !root() {
        return;
    }
    let place = Place::new();
    let name = format!("{}/{}", "d".repeat(200), "f".repeat(255));
    let target = "t".repeat(3000);
    let archive = Archive::new()
        .long(EntryType::GNULongName, &name)
        .file("short", b"gnu")
        .long(EntryType::GNULongLink, &target)
        .symlink("s1", "short")
        .pax(&[("path", "ünïcode/\n".as_bytes()), ("linkpath", target.as_bytes())])
        .symlink("s2", "short")
        .end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::read(place.path(&name)).unwrap(), b"gnu");
    assert_eq!(fs::read_link(place.path("s1")).unwrap(), Path::new(&target));
    assert_eq!(fs::read_link(place.path("ünïcode/\n")).unwrap(), Path::new(&target));
}

#[test]
fn access_lists_from_text() {
    if !root() {
        return;
    }
    let place = Place::new();
    let archive = Archive::new()
        .pax(&[("SCHILY.acl.access", b"user::rwx\nuser:1000:r--\ngroup::r-x\nmask::r-x\nother::---\n")])
        .file("f", b"")
        .pax(&[("SCHILY.acl.default", b"user::rwx,group::r-x,group:adm:rwx,mask::rwx,other::r-x")])
        .directory("d", 0o755)
        .file("d/inner", b"")
        .end();
    let report = place.unpack(&archive).unwrap();
    let Some(access) = xattr(&place, "f", "system.posix_acl_access") else {
        skip("this filesystem has no access control lists");
        return;
    };
    assert_eq!(access.len(), 4 + 5 * 8);
    assert_eq!(xattr(&place, "d", "system.posix_acl_default").unwrap().len(), 4 + 4 * 8);
    // The default list is put on the directory last, so what is in it did not inherit it.
    assert_eq!(xattr(&place, "d/inner", "system.posix_acl_access"), None);
    assert!(report.notes[0].to_string().starts_with("1 access control entries"), "{report:?}");
}

/// As bsdtar writes it: the mode says what the owning group may, and the list has a mask.
#[test]
fn a_mode_does_not_change_the_mask_of_a_list() {
    if !root() {
        return;
    }
    let place = Place::new();
    let mut file = header(EntryType::Regular, "f", 0);
    file.set_mode(0o444);
    let list = b"user::r--\ngroup::r--\nother::r--\nuser:1000:rw-\nmask::rw-\n";
    let archive = Archive::new().pax(&[("SCHILY.acl.access", list)]).raw(file, b"").end();
    place.unpack(&archive).unwrap();
    if xattr(&place, "f", "system.posix_acl_access").is_none() {
        skip("this filesystem has no access control lists");
        return;
    }
    assert_eq!(fs::metadata(place.path("f")).unwrap().mode() & 0o7777, 0o464);
}

#[test]
fn directories_of_incremental_archives() {
    if !root() {
        return;
    }
    let place = Place::new();
    let entries = b"Yinner\0\0";
    let mut list = header(EntryType::new(b'D'), "d/", entries.len() as u64);
    list.set_mode(0o755);
    let archive = Archive::new().raw(list, entries).file("d/inner", b"x").end();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::read(place.path("d/inner")).unwrap(), b"x");
}

#[test]
fn sparse_files_in_all_forms() {
    if !root() {
        return;
    }
    const SIZE: u64 = 4 << 20;
    let check = |archive: Vec<u8>| {
        let place = Place::new();
        place.unpack(&archive).unwrap();
        let content = fs::read(place.path("sparse")).unwrap();
        assert_eq!(content.len() as u64, SIZE);
        assert_eq!((&content[..4], &content[2 << 20..(2 << 20) + 4]), (&b"head"[..], &b"mid!"[..]));
        assert_eq!(content.iter().filter(|b| **b != 0).count(), 8);
        assert!(fs::metadata(place.path("sparse")).unwrap().blocks() < 100);
    };
    let mut old = header(EntryType::GNUSparse, "sparse", 8);
    let gnu = old.as_gnu_mut().unwrap();
    gnu.set_real_size(SIZE);
    for (i, (at, length)) in [(0, 4), (2 << 20, 4), (SIZE, 0)].into_iter().enumerate() {
        gnu.sparse[i].set_offset(at);
        gnu.sparse[i].set_length(length);
    }
    check(Archive::new().raw(old, b"headmid!").end());

    let size = SIZE.to_string();
    let map = format!("0,4,{},4,{SIZE},0", 2 << 20);
    let v01: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.numblocks", b"3"),
        ("GNU.sparse.map", map.as_bytes()),
        ("GNU.sparse.name", b"sparse"),
    ];
    check(Archive::new().pax(v01).file("GNUSparseFile.1/sparse", b"headmid!").end());

    let mid = (2 << 20).to_string();
    let v00: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"4"),
        ("GNU.sparse.offset", mid.as_bytes()),
        ("GNU.sparse.numbytes", b"4"),
    ];
    check(Archive::new().pax(v00).file("sparse", b"headmid!").end());

    let v10: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", size.as_bytes()),
    ];
    let mut data = format!("3\n0\n4\n{}\n4\n{SIZE}\n0\n", 2 << 20).into_bytes();
    data.resize(512, 0);
    data.extend(b"headmid!");
    check(Archive::new().pax(v10).file("GNUSparseFile.1/sparse", &data).end());
}

/// Archives by the system's own tar, which is what people have.
#[test]
fn what_gnu_tar_writes() {
    if !root() {
        return;
    }
    let place = Place::new();
    let source = place.dir.path().join("source");
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::write(source.join("a/b/file"), "content").unwrap();
    fs::hard_link(source.join("a/b/file"), source.join("z")).unwrap();
    let hole = fs::File::create(source.join("hole")).unwrap();
    hole.set_len(1 << 30).unwrap();
    for format in ["gnu", "pax", "ustar", "v7"] {
        let out = std::process::Command::new("tar")
            .args(["--format", format, "-C"])
            .arg(&source)
            .args(if matches!(format, "gnu" | "pax") {
                &["-cS", "."][..]
            } else {
                &["-c", "--exclude=hole", "."]
            })
            .output()
            .unwrap();
        assert!(out.status.success());
        let place = Place::new();
        place.unpack(&out.stdout).unwrap_or_else(|e| panic!("{format}: {e}"));
        assert_eq!(fs::read(place.path("a/b/file")).unwrap(), b"content");
        assert_eq!(fs::metadata(place.path("z")).unwrap().nlink(), 2);
        if matches!(format, "gnu" | "pax") {
            let hole = fs::metadata(place.path("hole")).unwrap();
            assert_eq!((hole.len(), hole.blocks()), (1 << 30, 0));
        }
    }
}
