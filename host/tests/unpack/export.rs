//! Sections of an export: packed, unpacked, damaged.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
use wxc::unpack::{
    self, Coder, Compression, Devices, First, IdMapMode, Limits, NoteKind, Options, PackRequest, Report,
    Request, Section, Source, UnpackError,
};

use crate::{Place, helper, options, root};

const IDS: IdMapMode = IdMapMode::AsIs { max: 65536 };
static GO: AtomicBool = AtomicBool::new(false);

fn section(number: usize, before: &str) -> Section {
    match number {
        0 => Section { prefix: "tree".into(), removed: None, before: before.into() },
        n => Section {
            prefix: format!("changes-{n}"),
            removed: Some(format!("removed-{n}")),
            before: before.into(),
        },
    }
}

/// Trees, each as what changed since the one before it, behind a manifest.
fn pack(trees: &[&Path], out: &Path) -> Result<Vec<Report>, UnpackError> {
    let out = File::create(out).unwrap();
    let mut seal = unpack::manifest(out.as_fd(), b"{}").unwrap();
    let mut reports = Vec::new();
    for (number, tree) in trees.iter().enumerate() {
        let since = number.checked_sub(1).map(|before| File::open(trees[before]).unwrap());
        let tree = File::open(tree).unwrap();
        let request = PackRequest {
            tree: tree.as_fd(),
            since: since.as_ref().map(AsFd::as_fd),
            out: out.as_fd(),
            ids: IDS,
            section: section(number, &seal),
        };
        let report = unpack::pack_with(helper(), &request, &mut |_| {}, &GO)?;
        seal.clone_from(&report.seal);
        reports.push(report);
    }
    unpack::close(out.as_fd()).unwrap();
    Ok(reports)
}

/// Unpacks sections into one target; what `look` sees after each is its own business.
fn unpack_all(
    archive: &Path,
    target: &Path,
    sections: usize,
    look: &mut dyn FnMut(usize),
) -> Result<(), UnpackError> {
    let archive = File::open(archive).unwrap();
    let First::Manifest(text, mut seal) = unpack::first(archive.as_fd())? else { panic!("no manifest") };
    assert_eq!(text, b"{}");
    for number in 0..sections {
        let mut options = Options { devices: Devices::Make, onto_existing: number > 0, ..options() };
        options.section = Some(section(number, &seal));
        let target = File::open(target).unwrap();
        let request = Request { source: Source::Section(archive.as_fd()), target: target.as_fd(), options };
        seal = unpack::run_with(helper(), &request, &mut |_| {}, &GO)?.seal;
        look(number);
    }
    unpack::end(archive.as_fd())
}

/// A tree with one of everything that a container may hold.
fn rich(tree: &Path) {
    let at = |name: &str| tree.join(name);
    fs::create_dir_all(at("usr/lib/deep")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("usr/lib/file"), "content").unwrap();
    fs::hard_link(at("usr/lib/file"), at("usr/second")).unwrap();
    fs::hard_link(at("usr/lib/file"), at("a-first")).unwrap();
    symlink("usr/lib", at("lib")).unwrap();
    symlink("n".repeat(3000), at("usr/long-link")).unwrap();
    fs::hard_link(at("usr/long-link"), at("usr/long-link-too")).unwrap();
    fs::write(at("zero"), "").unwrap();
    for name in [&b"odd \xff\xfe \n\t\"'\\"[..], b"-rf", b"PaxHeaders", "\u{1f4e6}".as_bytes(), &[b'x'; 255]]
    {
        fs::write(tree.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let deep = (0..100).fold(at("deep"), |path, n| path.join(format!("level-{n}")));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "here").unwrap();
    setxattr(at("usr/lib/file"), "user.a=b%3D", b"\0binary\n=", XattrFlags::empty()).unwrap();
    setxattr(at("usr/lib"), "user.note", &[7; 3000], XattrFlags::empty()).unwrap();
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    setxattr(at("zero"), "security.capability", &capability, XattrFlags::empty()).unwrap();
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, bits, id) in
        [(1u16, 7u16, u32::MAX), (2, 5, 1000), (4, 5, u32::MAX), (0x10, 5, u32::MAX), (0x20, 0, u32::MAX)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(bits.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    setxattr(at("usr"), "system.posix_acl_access", &acl, XattrFlags::empty()).unwrap();
    setxattr(at("empty"), "system.posix_acl_default", &acl, XattrFlags::empty()).unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 50 << 20).unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    mknodat(CWD, at("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3)).unwrap();
    mknodat(CWD, at("loop"), FileType::BlockDevice, Mode::from_raw_mode(0o660), makedev(7, 300)).unwrap();
    let own = |name: &str, uid, gid| std::os::unix::fs::lchown(at(name), Some(uid), Some(gid)).unwrap();
    own("usr/lib/file", 1000, 50);
    own("lib", 65535, 65535);
    own("usr/lib/deep", 33, 33);
    fs::set_permissions(at("usr/lib/file"), fs::Permissions::from_mode(0o6751)).unwrap();
    fs::set_permissions(at("usr/lib/deep"), fs::Permissions::from_mode(0o1000)).unwrap();
    let time = |name: &str, nanos: u64| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanos);
        File::open(at_path(tree, name)).unwrap().set_modified(at).unwrap();
    };
    time("usr/lib/file", 1_234_567_890_123_456_789);
    time("usr/lib", 5);
}

fn at_path(tree: &Path, name: &str) -> std::path::PathBuf {
    tree.join(name)
}

/// What there is to know about every entry; without the socket, which no archive holds.
fn listing(tree: &Path) -> String {
    let script = r#"cd "$1" || exit 1
        find . ! -type s -printf '%p\0%y %m %U:%G %T@ %n %l\0' | sort -z | tr '\0' '\n'
        find . \( -type b -o -type c \) -exec stat -c '%n %t,%T' {} + | sort
        find . -type f -printf '%s ' -exec sha256sum {} \; | sort"#;
    let out = Command::new("sh").args(["-c", script, "sh"]).arg(tree).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut listing = String::from_utf8_lossy(&out.stdout).into_owned();
    attributes(tree, tree, &mut listing);
    listing
}

/// The same of extended attributes, lists of access included.
fn attributes(top: &Path, path: &Path, listing: &mut String) {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut *names).unwrap();
    let mut lines = Vec::new();
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, name, &mut *value).unwrap();
        let name = String::from_utf8_lossy(name);
        lines.push(format!("{:?} {name} {:?}\n", path.strip_prefix(top).unwrap(), &value[..length]));
    }
    lines.sort();
    listing.extend(lines);
    if fs::symlink_metadata(path).unwrap().is_dir() {
        let mut below: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
        below.sort();
        below.iter().for_each(|path| attributes(top, path, listing));
    }
}

fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (listing(a), listing(b));
    for (a, b) in a.lines().zip(b.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(a.len(), b.len());
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

#[test]
fn everything_arrives_as_it_was() {
    if !root() {
        return;
    }
    let place = Place::new();
    let source = place.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    rich(&source);
    drop(std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap());
    let archive = place.dir.path().join("archive");
    let reports = pack(&[&source], &archive).unwrap();
    assert_eq!(reports[0].notes.len(), 1, "{:?}", reports[0].notes);
    assert_eq!(reports[0].notes[0].kind, NoteKind::Socket);
    // Holes take no room.
    assert!(fs::metadata(&archive).unwrap().len() < 1 << 20);
    unpack_all(&archive, &place.target(), 1, &mut |_| {}).unwrap();
    assert_same(&source, &place.target());
    assert!(fs::metadata(place.path("sparse")).unwrap().blocks() < 1000);
    assert!(fs::metadata(place.path("null")).unwrap().file_type().is_char_device());
    place.check_outside();
}

/// What another archiver makes of it: the format is what it says.
#[test]
fn a_plain_tar_reads_the_first_tree() {
    if !root() {
        return;
    }
    let place = Place::new();
    let source = place.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    rich(&source);
    let archive = place.dir.path().join("archive");
    pack(&[&source], &archive).unwrap();
    let out = Command::new("tar")
        .args([
            "--extract",
            "--xattrs",
            "--xattrs-include=*",
            "--acls",
            "--numeric-owner",
            "--same-owner",
            "--file",
        ])
        .arg(&archive)
        .arg("-C")
        .arg(place.target())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_same(&source, &place.path("tree"));
}

/// Changes of every kind, one after the other, on top of what was unpacked before.
#[test]
fn changes_lead_from_one_tree_to_the_next() {
    if !root() {
        return;
    }
    let place = Place::new();
    let base = place.dir.path().join("source");
    fs::create_dir(&base).unwrap();
    let (one, two, three) = (base.join("1"), base.join("2"), base.join("3"));
    fs::create_dir(&one).unwrap();
    rich(&one);
    fs::write(one.join("large"), vec![9; 3 << 20]).unwrap();
    copy(&one, &two);
    let at = |name: &str| two.join(name);
    // Content without a trace in size and time.
    let when = fs::metadata(at("large")).unwrap().modified().unwrap();
    let large = File::options().write(true).open(at("large")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&large, b"!", 2 << 20).unwrap();
    large.set_modified(when).unwrap();
    // Kinds that change places, names that part, links that move.
    fs::remove_file(at("fifo")).unwrap();
    fs::create_dir(at("fifo")).unwrap();
    fs::write(at("fifo/inside"), "x").unwrap();
    fs::remove_dir_all(at("deep")).unwrap();
    symlink("usr", at("deep")).unwrap();
    fs::remove_file(at("a-first")).unwrap();
    fs::write(at("a-first"), "content").unwrap();
    fs::hard_link(at("usr/second"), at("z-last")).unwrap();
    fs::remove_file(at("usr/long-link")).unwrap();
    // Metadata alone, and attributes that go.
    fs::set_permissions(at("usr/lib/deep"), fs::Permissions::from_mode(0o700)).unwrap();
    rustix::fs::removexattr(at("usr/lib"), "user.note").unwrap();
    rustix::fs::removexattr(at("zero"), "security.capability").unwrap();
    // A default list of the directory must not go to what is new in it.
    fs::write(at("usr/lib/new"), "new").unwrap();
    rustix::fs::removexattr(at("empty"), "system.posix_acl_default").unwrap();
    fs::write(at("empty/file"), "not empty").unwrap();
    copy(&two, &three);
    let archive = place.dir.path().join("archive");
    let reports = pack(&[&one, &two, &three], &archive).unwrap();
    // The whole large file, and little more.
    let written = reports[1].progress.written;
    assert!((3 << 20..(3 << 20) + 1000).contains(&written), "{written}");
    assert_eq!((reports[2].progress.written, reports[2].progress.entries), (0, 1));
    let target = place.target();
    let trees = [&one, &two, &three];
    unpack_all(&archive, &target, 3, &mut |number| assert_same(trees[number], &target)).unwrap();
    place.check_outside();
}

#[test]
fn a_damaged_section_is_refused_wherever_it_is() {
    if !root() {
        return;
    }
    let place = Place::new();
    let source = place.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), vec![1; 5000]).unwrap();
    let archive = place.dir.path().join("archive");
    pack(&[&source, &source], &archive).unwrap();
    let good = fs::read(&archive).unwrap();
    let attempt = |bytes: &[u8]| {
        fs::write(&archive, bytes).unwrap();
        fs::remove_dir_all(place.target()).unwrap();
        fs::create_dir(place.target()).unwrap();
        unpack_all(&archive, &place.target(), 2, &mut |_| {})
    };
    attempt(&good).unwrap();
    for at in (0..good.len() - 1024).step_by(331) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        // Filling behind the content of the seals is nobody's.
        let seal = good[..at].windows(512).rposition(|block| block.starts_with(b"wxc-seal\0"));
        if seal.is_some_and(|seal| seal % 512 == 0 && (512 + 65..1024).contains(&(at - seal))) {
            continue;
        }
        attempt(&bad).expect_err(&format!("byte {at}"));
    }
    // Up to the first of the two blocks that end it.
    for length in (0..good.len() - 512).step_by(512).chain([1, good.len() - 1025]) {
        attempt(&good[..length]).expect_err(&format!("cut at {length}"));
    }
    let more = [&good[..], b"more"].concat();
    assert!(attempt(&more).unwrap_err().to_string().contains("behind it"));
}

#[test]
fn coders_lead_back_and_say_what_is_wrong() {
    let place = Place::new();
    let path = place.dir.path().join("archive");
    let content: Vec<u8> = (0..3_000_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    for how in [Compression::None, Compression::Zstd, Compression::Gzip, Compression::Xz] {
        let file = File::create(&path).unwrap();
        let coder = Coder::encode_with(helper(), file.as_fd(), how).unwrap();
        let mut pipe = File::from(coder.pipe().unwrap().try_clone_to_owned().unwrap());
        std::io::Write::write_all(&mut pipe, &content).unwrap();
        drop(pipe);
        coder.finish(&GO).unwrap();
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let file = File::open(&path).unwrap();
            let coder = Coder::decode_with(helper(), file.as_fd(), Limits::default()).unwrap();
            let mut pipe = File::from(coder.pipe().unwrap().try_clone_to_owned().unwrap());
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut pipe, &mut plain).unwrap();
            (coder.finish(&GO), plain)
        };
        let packed = fs::read(&path).unwrap();
        let (result, plain) = read(&packed);
        result.unwrap();
        assert!(plain == content, "{how:?}");
        if how != Compression::None {
            assert!(packed.len() < content.len() / 2);
            let (result, _) = read(&packed[..packed.len() / 2]);
            assert!(matches!(result, Err(UnpackError::Archive { .. })), "{how:?}: {result:?}");
        }
    }
}
