//! The unpacker, fed with archives that nobody would make: whatever they are, nothing appears beside the target.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;

use rustix::fs::{MemfdFlags, memfd_create};
use tempfile::TempDir;
use wxc::unpack::{IdMapMode, Limits, Options, Report, Section, UnpackError, extract};

/// One of everything as `mksquashfs` writes it, with tables that are not compressed: a changed bit in them means something.
const SQUASHFS: &[u8] = include_bytes!("one-of-everything.squashfs");

/// What one input may cost.
const BYTES: u64 = 8 << 20;
const ENTRIES: u64 = 2000;

/// In memory, where that is possible: an input makes files.
fn place() -> TempDir {
    let at = |path: &str| tempfile::Builder::new().prefix("wxc-fuzz").tempdir_in(path);
    at("/dev/shm").or_else(|_| at("/var/tmp")).expect("a directory")
}

/// The first byte says as what the others are taken: an archive, its part `rootfs`, a layer, a section of an export, a package.
pub fn archive(bytes: &[u8]) {
    let Some((how, archive)) = bytes.split_first() else { return };
    let mut options = Options::new(IdMapMode::AsIs { max: 65_536 });
    options.limits =
        Limits { bytes: BYTES, entries: ENTRIES, file: BYTES, memory: 1 << 20, ..Limits::default() };
    match how % 5 {
        1 => options.prefix = "rootfs".into(),
        2 => options.layer = Some("0".repeat(64)),
        3 => {
            options.section = Some(Section {
                prefix: "tree".into(),
                removed: Some("removed-1".into()),
                before: String::new(),
            })
        }
        4 => options.keep_links = true,
        _ => {}
    }
    options.onto_existing = how % 5 != 0;
    let outer = place();
    let target = outer.path().join("target");
    fs::create_dir(&target).expect("a target");
    fs::write(outer.path().join("beside"), "as it was").expect("a file");
    if options.onto_existing {
        // Ways out for whoever follows them.
        for (link, to) in [("out", "../beside"), ("up", ".."), ("root", "/")] {
            std::os::unix::fs::symlink(to, target.join(link)).expect("a link");
        }
    }
    let result = run(archive, &target, &options);
    let beside: Vec<_> = fs::read_dir(outer.path())
        .expect("a list")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
    assert_eq!(fs::read(outer.path().join("beside")).expect("a file"), b"as it was");
    if let Ok(report) = result {
        let progress = report.progress;
        assert!(progress.entries <= ENTRIES && progress.written <= BYTES, "{progress:?}");
    }
}

fn run(archive: &[u8], target: &std::path::Path, options: &Options) -> Result<Report, UnpackError> {
    let fd = memfd_create("input", MemfdFlags::CLOEXEC).expect("memory");
    let mut file = File::from(fd);
    file.write_all(archive).expect("memory");
    std::io::Seek::rewind(&mut file).expect("memory");
    let target = File::open(target).expect("a target");
    extract(file, target.as_fd(), options, &mut |_| Ok(()))
}

/// Archives to begin with, by name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    let plain = tarball("");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("memory");
    let gzip = gzip.finish().expect("memory");
    for (name, how, bytes) in [
        ("plain", 0, plain.clone()),
        ("gzip", 0, gzip),
        ("prefix", 1, tarball("rootfs/")),
        ("layer", 2, plain.clone()),
        ("section", 3, tarball("tree/")),
        ("package", 4, plain),
        ("squashfs", 0, SQUASHFS.to_vec()),
        ("squashfs-prefix", 1, SQUASHFS.to_vec()),
    ] {
        seeds.push((name, [&[how], &bytes[..]].concat()));
    }
    seeds
}

/// One of everything.
fn tarball(prefix: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind, name: &str, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        let name = format!("{prefix}{name}");
        let done = match link {
            "" => builder.append_data(&mut header, name, content),
            link => builder.append_link(&mut header, name, link),
        };
        done.expect("an entry");
    };
    use tar::EntryType as Kind;
    add(Kind::Directory, "etc/", "", b"");
    add(Kind::Regular, "etc/passwd", "", b"root:x:0:0::/:/bin/sh\n");
    add(Kind::Symlink, "bin", "../../usr/bin", b"");
    add(Kind::Link, "etc/again", &format!("{prefix}etc/passwd"), b"");
    add(Kind::Fifo, "pipe", "", b"");
    add(Kind::Char, "null", "", b"");
    add(Kind::Regular, ".wh.gone", "", b"");
    add(Kind::Regular, "etc/.wh..wh..opq", "", b"");
    add(Kind::Regular, "out", "", b"through a link");
    let long = "x".repeat(120);
    add(Kind::Regular, &format!("{long}/{long}"), "", b"long");
    let records = [
        ("SCHILY.xattr.user.a", &b"b"[..]),
        ("mtime", b"1.5"),
        ("path", b"etc/pax"),
        ("GNU.sparse.major", b"1"),
    ];
    builder.append_pax_extensions(records).expect("records");
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mode(0o4755);
    builder.append_data(&mut header, "etc/short", &b"four"[..]).expect("an entry");
    builder.into_inner().expect("an archive")
}
