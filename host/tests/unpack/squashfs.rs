//! Images of squashfs as `mksquashfs` writes them, and what becomes of them when somebody changes a few bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use wxc::unpack::{Devices, NoteKind, Options, Report, Source, UnpackError};

use crate::{Place, options, request, root, skip};

/// Whether this can run here; says so when not.
fn is_possible() -> bool {
    let found = Command::new("mksquashfs").arg("-version").output().is_ok();
    if !found {
        skip("there is no mksquashfs (package squashfs-tools)");
    }
    root() && found
}

fn image(tree: &Path, words: &[&str]) -> Vec<u8> {
    let out = tree.with_extension("squashfs");
    drop(fs::remove_file(&out));
    let done =
        Command::new("mksquashfs").arg(tree).arg(&out).args(["-quiet", "-no-progress"]).args(words).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    fs::read(out).unwrap()
}

/// A tree with one of everything, below a directory of its own.
fn tree(dir: &Path) -> std::path::PathBuf {
    let tree = dir.join("tree");
    for below in ["usr/lib", "empty", "many"] {
        fs::create_dir_all(tree.join(below)).unwrap();
    }
    let write = |name: &str, content: &[u8]| fs::write(tree.join(name), content).unwrap();
    write("empty-file", b"");
    write("usr/lib/short", b"the end of a file, in a block that is shared");
    // More than one block, and an end; nothing in it repeats.
    let long: Vec<u8> =
        (0..200_000u64).flat_map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_le_bytes()).collect();
    write("usr/long", &long);
    write("usr/exact", &[7; 262_144]);
    for number in 0..500 {
        write(&format!("many/{number}"), format!("{number}\n").repeat(number).as_bytes());
    }
    let mut holes = File::create(tree.join("holes")).unwrap();
    for at in [3_000_000, 9_000_000] {
        holes.seek(SeekFrom::Start(at)).unwrap();
        holes.write_all(&long[..300_000]).unwrap();
    }
    holes.set_len(12_345_678).unwrap();
    fs::hard_link(tree.join("usr/lib/short"), tree.join("again")).unwrap();
    symlink("usr/lib", tree.join("lib")).unwrap();
    symlink("../../../victim", tree.join("usr/out")).unwrap();
    fs::hard_link(tree.join("lib"), tree.join("lib2")).unwrap();
    mknodat(CWD, tree.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    mknodat(CWD, tree.join("disk"), FileType::BlockDevice, Mode::RUSR, rustix::fs::makedev(8, 300)).unwrap();
    mknodat(CWD, tree.join("tty"), FileType::CharacterDevice, Mode::RUSR, rustix::fs::makedev(4, 64))
        .unwrap();
    drop(std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap());
    chown(tree.join("usr/long"), Some(65_534), Some(42)).unwrap();
    fs::set_permissions(tree.join("usr/long"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(tree.join("usr/lib"), fs::Permissions::from_mode(0o2555)).unwrap();
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    for (name, attribute, value) in [
        ("usr/exact", "security.capability", &capability[..]),
        ("usr/exact", "user.long", &[b'v'; 3000]),
        ("empty-file", "user.long", &[b'v'; 3000]),
        ("usr", "user.note", b"of a directory"),
        ("usr", "trusted.overlay.opaque", b"y"),
    ] {
        setxattr(tree.join(name), attribute, value, XattrFlags::empty()).unwrap();
    }
    for (second, name) in ["usr/lib/short", "usr/lib", "usr", "empty"].into_iter().enumerate() {
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + second as u64);
        File::open(tree.join(name)).unwrap().set_modified(time).unwrap();
    }
    tree
}

/// Everything that can be seen of a tree, by path.
fn seen(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let kind = meta.file_type();
            let content = match () {
                () if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
                () if kind.is_file() => format!("{:?}", content_of(&fs::read(&path).unwrap())),
                () => String::new(),
            };
            if kind.is_dir() {
                open.push(path.clone());
            }
            let links = if kind.is_dir() { 0 } else { meta.nlink() };
            let attributes = ["security.capability", "user.long", "user.note"].map(|name| {
                let mut value = [0; 4096];
                let length = rustix::fs::lgetxattr(&path, name, &mut value[..]).unwrap_or(0);
                value[..length].to_vec()
            });
            let line = format!(
                "{kind:?} {:o} {}:{} {links} {} {:x} {content} {attributes:?}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.rdev()
            );
            all.insert(path.strip_prefix(root).unwrap().display().to_string(), line);
        }
    }
    all
}

/// Length and a sum over the content that changes with every byte and its place.
fn content_of(bytes: &[u8]) -> (usize, u64) {
    let sum = |sum: u64, byte: &u8| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte);
    (bytes.len(), bytes.iter().fold(0xcbf2_9ce4_8422_2325, sum))
}

fn with_devices() -> Options {
    Options { devices: Devices::Make, ..options() }
}

fn counts(report: &Report) -> Vec<(NoteKind, u64)> {
    report.notes.iter().map(|note| (note.kind, note.count)).collect()
}

#[test]
fn a_tree_is_the_same_in_every_compression_and_size_of_blocks() {
    if !is_possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path());
    let wanted = {
        let mut wanted = seen(&tree);
        wanted.remove("socket");
        wanted
    };
    for words in [
        &["-comp", "gzip"][..],
        &["-comp", "xz", "-Xbcj", "x86"],
        &["-comp", "zstd", "-b", "1M"],
        &["-comp", "gzip", "-b", "4K"],
        &["-no-fragments", "-no-duplicates"],
        &["-always-use-fragments", "-b", "64K"],
        &["-noI", "-noD", "-noF", "-noX"],
        &["-no-sparse", "-no-exports", "-nopad"],
    ] {
        let place = Place::new();
        let report = place
            .unpack_as(&image(&tree, words), &with_devices())
            .unwrap_or_else(|e| panic!("{words:?}: {e}"));
        let found = seen(&place.target());
        for (path, line) in &wanted {
            assert_eq!(found.get(path), Some(line), "{words:?}: {path}");
        }
        assert_eq!(found.len(), wanted.len(), "{words:?}");
        assert_eq!(
            fs::metadata(place.path("again")).unwrap().ino(),
            fs::metadata(place.path("lib/short")).unwrap().ino()
        );
        // A hole takes no place.
        let holes = fs::metadata(place.path("holes")).unwrap();
        assert!(
            holes.blocks() * 512 < 4_000_000 || words.contains(&"-no-sparse"),
            "{words:?}: {}",
            holes.blocks()
        );
        assert_eq!(counts(&report), [(NoteKind::Socket, 1), (NoteKind::Attribute, 1)], "{words:?}");
    }
}

#[test]
fn without_attributes_and_with_nothing_in_it() {
    if !is_possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let place = Place::new();
    let report = place.unpack(&image(&tree, &["-no-xattrs"])).unwrap();
    assert_eq!((report.progress.entries, seen(&place.target()).len()), (1, 0));
}

#[test]
fn only_what_is_below_the_prefix() {
    if !is_possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = image(&tree(dir.path()), &[]);
    let place = Place::new();
    place.unpack_as(&bytes, &Options { prefix: "many".into(), ..options() }).unwrap();
    assert_eq!(seen(&place.target()).len(), 500);
    assert_eq!(fs::read(place.path("3")).unwrap(), b"3\n3\n3\n");
    let error =
        Place::new().unpack_as(&bytes, &Options { prefix: "nowhere".into(), ..options() }).unwrap_err();
    assert!(error.to_string().contains("does not hold this directory"), "{error}");
}

#[test]
fn what_cannot_be_read_says_why() {
    if !is_possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path());
    let said =
        |bytes: &[u8], options: &Options| Place::new().unpack_as(bytes, options).unwrap_err().to_string();
    for (name, word) in [("lzo", "LZO"), ("lz4", "LZ4")] {
        let bytes = image(&tree, &["-comp", name]);
        assert!(said(&bytes, &options()).contains(word), "{}", said(&bytes, &options()));
    }
    let good = image(&tree, &["-nopad"]);
    assert!(said(&good[..good.len() - 1], &options()).contains("cut off"));
    assert!(said(&good[..50], &options()).contains("shorter"));
    // A stream has no end to begin at.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&good[..4096]).unwrap();
    drop(writer);
    let place = Place::new();
    let error = request(Source::Archive(reader.as_fd()), &place.target(), &options()).unwrap_err();
    assert!(error.to_string().contains("squashfs image in a stream"), "{error}");
    // The limits are those of archives.
    let limited = |change: &dyn Fn(&mut Options)| {
        let mut options = options();
        change(&mut options);
        said(&good, &options)
    };
    assert!(limited(&|o| o.limits.entries = 100).contains("100 entries"));
    assert!(limited(&|o| o.limits.bytes = 1 << 20).contains("bytes of content"));
    assert!(limited(&|o| o.limits.file = 1 << 20).contains("bytes in one file"));
    assert!(limited(&|o| o.limits.depth = 1).contains("directories in one path"));
    assert!(limited(&|o| o.limits.memory = 200).contains("bytes"));
    chown(tree.join("empty"), Some(65_536), None).unwrap();
    assert!(said(&image(&tree, &[]), &options()).contains("user 65536"));
    mknodat(CWD, tree.join("whiteout"), FileType::CharacterDevice, Mode::RUSR, 0).unwrap();
    chown(tree.join("empty"), Some(0), None).unwrap();
    assert!(said(&image(&tree, &[]), &with_devices()).contains("whiteout"));
}

/// Where the only copy of something is.
fn find(bytes: &[u8], what: &[u8]) -> usize {
    let mut found = bytes.windows(what.len()).enumerate().filter(|(_, window)| *window == what);
    let (at, _) = found.next().unwrap();
    assert!(found.next().is_none());
    at
}

/// An image whose tables are as they are, to be changed.
fn open_image(make: impl Fn(&Path)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    make(&tree);
    image(&tree, &["-noI", "-noD", "-noF", "-noX", "-noId"])
}

#[test]
fn names_that_lead_out_are_refused() {
    if !is_possible() {
        return;
    }
    let image = open_image(|tree| {
        symlink("../../victim", tree.join("name-aa")).unwrap();
        fs::create_dir(tree.join("name-bb")).unwrap();
        fs::write(tree.join("name-bb/inside"), "overwritten").unwrap();
        fs::write(tree.join("name-cc"), "overwritten").unwrap();
    });
    for (old, new, why) in [
        (&b"name-cc"[..], &b"../vict"[..], "a path"),
        (b"name-cc", b"name/cc", "a path"),
        (b"name-cc", b"name-c\0", "zero byte"),
        // A link and then a directory of the same name: the entries below would be where the link leads.
        (b"name-bb", b"name-aa", "comes twice"),
        (b"name-aa", b"name-cc", "not in order"),
    ] {
        let mut bytes = image.clone();
        let at = find(&bytes, old);
        bytes[at..at + old.len()].copy_from_slice(new);
        let place = Place::new();
        let error = place.unpack(&bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{new:?}: {error}");
    }
    // `..` alone, by its length.
    let mut bytes = image.clone();
    let at = find(&bytes, b"name-cc");
    bytes[at..at + 2].copy_from_slice(b"..");
    bytes[at - 2..at].copy_from_slice(&1u16.to_le_bytes());
    let error = Place::new().unpack(&bytes).unwrap_err().to_string();
    assert!(error.contains("a path") || error.contains("not in order"), "{error}");
}

#[test]
fn a_directory_in_itself_is_refused() {
    if !is_possible() {
        return;
    }
    let image = open_image(|tree| {
        fs::create_dir_all(tree.join("outer/inner")).unwrap();
        fs::create_dir(tree.join("outer/other")).unwrap();
    });
    // An entry is: where its inode is (2), a number (2), its type (2), the length of its name less one (2), the name.
    let (outer, inner, other) =
        (find(&image, b"outer") - 8, find(&image, b"inner") - 8, find(&image, b"other") - 8);
    for (from, to) in [(outer, inner), (inner, other)] {
        let mut bytes = image.clone();
        bytes.copy_within(from..from + 2, to);
        let error = Place::new().unpack(&bytes).unwrap_err().to_string();
        assert!(error.contains("in another place"), "{error}");
    }
    // And one that is said to be a file.
    let mut bytes = image;
    bytes[inner + 4] = 2;
    let error = Place::new().unpack(&bytes).unwrap_err().to_string();
    assert!(error.contains("something else"), "{error}");
}

/// Each byte of the tables another one: whatever that means, nothing is beside the target, nobody hangs, and there is an answer.
#[test]
fn tables_in_which_anything_may_stand() {
    if !is_possible() {
        return;
    }
    let image = open_image(|tree| {
        fs::create_dir(tree.join("dir")).unwrap();
        fs::write(tree.join("dir/file"), [1; 9000]).unwrap();
        fs::hard_link(tree.join("dir/file"), tree.join("link")).unwrap();
        symlink("dir", tree.join("symlink")).unwrap();
        setxattr(tree.join("dir"), "user.note", b"kept", XattrFlags::empty()).unwrap();
    });
    let end = usize::try_from(u64::from_le_bytes(image[40..48].try_into().unwrap())).unwrap();
    // The content of the one file is not what this is about.
    let inodes = usize::try_from(u64::from_le_bytes(image[64..72].try_into().unwrap())).unwrap();
    let mut refused = 0;
    for at in (8..96).chain(inodes..end) {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = image.clone();
            bytes[at] ^= change;
            let place = Place::new();
            let mut small = options();
            small.limits.bytes = 64 << 20;
            small.limits.file = 64 << 20;
            small.limits.memory = 8 << 20;
            if let Err(error) = place.unpack_as(&bytes, &small) {
                let bug = matches!(error, UnpackError::Helper { .. });
                assert!(!bug && !error.to_string().contains("decoder stopped"), "byte {at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn a_bomb_ends_at_its_limit() {
    if !is_possible() {
        return;
    }
    // 300 MiB of one byte, compressed to next to nothing, in each of a few files that share it.
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let mut file = File::create(tree.join("0")).unwrap();
    for _ in 0..300 {
        file.write_all(&[b'x'; 1 << 20]).unwrap();
    }
    for name in 1..6 {
        fs::copy(tree.join("0"), tree.join(name.to_string())).unwrap();
    }
    let bytes = image(&tree, &["-comp", "zstd"]);
    assert!(bytes.len() < 1 << 20);
    let error = Place::new().unpack(&bytes).unwrap_err().to_string();
    assert!(error.contains("bytes of content per byte of archive"), "{error}");
}
