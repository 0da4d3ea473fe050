//! Files that a template renders into a fresh tree, and trees that go again.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use wxc::unpack::{IdMapMode, MapRange, Node, Render, UnpackError, remove_with, render_with};

use crate::archive::Archive;
use crate::{Place, helper, options, root};

const SHIFT: u32 = 700_000;

fn mapped() -> IdMapMode {
    let map = vec![MapRange { inside: 0, outside: SHIFT, count: 65536 }];
    IdMapMode::Userns { uids: map.clone(), gids: map }
}

fn entry(path: &str, node: Node) -> Render {
    Render { path: path.into(), node, mode: 0o644, uid: 0, gid: 0, keep_existing: false }
}

fn render(place: &Place, ids: IdMapMode, files: &[Render]) -> Result<(), UnpackError> {
    let target = File::open(place.target()).unwrap();
    let result = render_with(helper(), target.as_fd(), ids, files);
    place.check_outside();
    result
}

#[test]
fn every_kind_for_root_and_for_a_map() {
    if !root() {
        return;
    }
    for (ids, shift) in [(IdMapMode::AsIs { max: 65536 }, 0), (mapped(), SHIFT)] {
        let place = Place::new();
        fs::create_dir(place.path("etc")).unwrap();
        fs::write(place.path("etc/hosts"), "127.0.1.1 NAME NAME.local\n").unwrap();
        fs::write(place.path("etc/old"), "").unwrap();
        symlink("../../victim", place.path("etc/hostname")).unwrap();
        for path in ["", "etc", "etc/hosts", "etc/old"] {
            std::os::unix::fs::chown(place.path(path), Some(shift), Some(shift)).unwrap();
        }
        let keep = Render { keep_existing: true, ..entry("/etc/hosts", Node::File(b"lost".to_vec())) };
        let home = Render { mode: 0o700, uid: 1000, gid: 1000, ..entry("/home/me", Node::Directory) };
        let words = vec![("NAME".to_owned(), "guest".to_owned())];
        let files = [
            entry("/etc/hostname", Node::File(b"guest\n".to_vec())),
            keep,
            entry("etc/hosts", Node::Substitute(words.clone())),
            entry("etc/none", Node::Substitute(words)),
            entry("etc/old", Node::Absent),
            home,
            entry("/usr/lib/link", Node::Symlink("/lib".into())),
        ];
        render(&place, ids, &files).unwrap();
        assert_eq!(fs::read(place.path("etc/hostname")).unwrap(), b"guest\n");
        assert_eq!(fs::read(place.path("etc/hosts")).unwrap(), b"127.0.1.1 guest guest.local\n");
        assert!(!place.path("etc/old").exists() && !place.path("etc/none").exists());
        let home = fs::metadata(place.path("home/me")).unwrap();
        assert_eq!((home.mode() & 0o7777, home.uid()), (0o700, shift + 1000));
        assert_eq!(fs::metadata(place.path("home")).unwrap().uid(), shift);
        assert_eq!(fs::read_link(place.path("usr/lib/link")).unwrap(), Path::new("/lib"));
    }
}

#[test]
fn a_hostile_tree_is_not_written_out_of() {
    if !root() {
        return;
    }
    let place = Place::new();
    symlink("../..", place.path("etc")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.path("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let ids = || IdMapMode::AsIs { max: 65536 };
    let words = vec![("a".to_owned(), "b".to_owned())];
    let files = [
        entry("/etc/victim", Node::File(b"inside".to_vec())),
        entry("/fifo", Node::Substitute(words)),
        entry("/fifo", Node::File(b"file".to_vec())),
    ];
    render(&place, ids(), &files).unwrap();
    assert_eq!(fs::read(place.path("victim")).unwrap(), b"inside");
    assert_eq!(fs::read(place.path("fifo")).unwrap(), b"file");
    let error = render(&place, ids(), &[entry("/../victim", Node::Absent)]).unwrap_err();
    assert!(error.to_string().contains("no .."), "{error}");
    let foreign = Render { uid: 65536, ..entry("/f", Node::Directory) };
    assert!(render(&place, ids(), &[foreign]).unwrap_err().to_string().contains("user 65536"));
}

#[test]
fn a_tree_of_mapped_ids_is_removed_by_a_helper() {
    if !root() {
        return;
    }
    let place = Place::new();
    let mut options = options();
    options.ids = mapped();
    let archive = Archive::new().directory("a", 0o000).file("a/f", b"x").symlink("l", "../victim").end();
    place.unpack_as(&archive, &options).unwrap();
    let parent = File::open(place.dir.path()).unwrap();
    assert_eq!(remove_with(helper(), parent.as_fd(), "target".as_ref(), mapped()).unwrap(), 4);
    assert_eq!(remove_with(helper(), parent.as_fd(), "target".as_ref(), mapped()).unwrap(), 0);
    assert!(remove_with(helper(), parent.as_fd(), "../x".as_ref(), mapped()).is_err());
    place.check_outside();
}

#[test]
fn only_what_is_below_the_prefix() {
    if !root() {
        return;
    }
    let place = Place::new();
    let mut options = options();
    options.prefix = "rootfs/".to_owned();
    let archive = Archive::new()
        .file("metadata.yaml", b"x")
        .directory("rootfs/", 0o700)
        .file("rootfs/etc/f", b"in")
        .hardlink("rootfs/g", "rootfs/etc/f")
        .end();
    place.unpack_as(&archive, &options).unwrap();
    assert_eq!(fs::read(place.path("g")).unwrap(), b"in");
    assert!(!place.path("metadata.yaml").exists());
    assert_eq!(fs::metadata(place.target()).unwrap().mode() & 0o7777, 0o700);
    let out = Archive::new().file("secret", b"").hardlink("rootfs/g", "secret").end();
    assert!(Place::new().unpack_as(&out, &options).unwrap_err().to_string().contains("beside the tree"));
    let none = Archive::new().file("other", b"").end();
    assert!(Place::new().unpack_as(&none, &options).unwrap_err().to_string().contains("does not hold"));
}
