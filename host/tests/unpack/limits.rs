//! Archives that are broken, too large, or do not fit on the disk.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use tar::EntryType;
use wxc::unpack::{Request, Source, UnpackError, run_with};

use crate::archive::{Archive, CODECS, header, zstd};
use crate::{Place, helper, options, root, skip};

fn fails(archive: &[u8], word: &str) -> UnpackError {
    let error = Place::new().unpack(archive).unwrap_err();
    assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    error
}

#[test]
fn archives_that_are_cut_off() {
    if !root() {
        return;
    }
    let noise: Vec<u8> = (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let plain = Archive::new().file("first", b"1").file("large", &noise).end();
    for at in [1, 511, 512, 700, 1024, 1536, 200_000, plain.len() - 1024] {
        fails(&plain[..at], "the archive cannot be read at");
    }
    fails(&plain[..200_000], "large");
    for (_, pack) in CODECS {
        let packed = pack(&plain);
        for at in [packed.len() / 2, packed.len() - 1] {
            fails(&packed[..at], "cut off");
        }
        let mut damaged = packed.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        assert!(Place::new().unpack(&damaged).is_err());
    }
    fails(b"", "empty");
    fails(&Archive::new().file("f", b"").cut(), "no end marker");
    fails(b"#!/bin/sh\necho this is no archive\n", "the archive cannot be read");
    fails(&[b'x'; 4096], "not a tar archive");
    fails(b"BZh91AY&SY", "bzip2");
}

#[test]
fn sizes_that_lie() {
    if !root() {
        return;
    }
    let mut more = header(EntryType::Regular, "f", 1 << 40);
    more.set_cksum();
    fails(&Archive::new().raw(more, b"short").end(), "cut off");
    let less = header(EntryType::Regular, "f", 3);
    fails(&Archive::new().raw(less, &[b'x'; 2000]).end(), "a size in it lies");
    // Data behind a header that has none is not a member.
    fails(
        &Archive::new().raw(header(EntryType::Directory, "d", 600), &[b'y'; 600]).end(),
        "a size in it lies",
    );
    let mut damaged = Archive::new().file("f", b"x").end();
    damaged[100] ^= 1;
    fails(&damaged, "the archive cannot be read");
    fails(&Archive::new().pax(&[("size", b"99999999999999999999")]).file("f", b"").end(), "malformed");
    fails(
        &Archive::new().pax_of(EntryType::XGlobalHeader, &[("path", b"x")]).file("f", b"").end(),
        "global header",
    );
}

#[test]
fn bombs() {
    if !root() {
        return;
    }
    let mut tight = options();
    tight.limits.bytes = 1 << 20;
    let large = Archive::new().file("bomb", &vec![0; 4 << 20]).end();
    for (_, pack) in CODECS {
        let error = Place::new().unpack_as(&pack(&large), &tight).unwrap_err();
        assert!(error.to_string().contains("bytes of content"), "{error}");
    }
    let mut few = options();
    few.limits.entries = 10;
    let many = (0..20).fold(Archive::new(), |a, i| a.file(&format!("f{i}"), b"")).end();
    let error = Place::new().unpack_as(&many, &few).unwrap_err();
    assert_eq!(error.to_string(), "at f10 the image has more than 10 entries");
    let mut small = options();
    small.limits.file = 1 << 20;
    let sizes: &[(&str, &[u8])] = &[("GNU.sparse.size", b"1099511627776"), ("GNU.sparse.map", b"0,1")];
    let hole = Archive::new().pax(sizes).file("hole", b"x").end();
    let error = Place::new().unpack_as(&hole, &small).unwrap_err();
    assert!(error.to_string().contains("bytes in one file"), "{error}");
    let deep = Archive::new().pax(&[("path", "d/".repeat(300).as_bytes())]).directory("x", 0o755).end();
    fails(&deep, "directories in one path");
    let long = Archive::new().pax(&[("path", &b"d/".repeat(3000))]).file("x", b"").end();
    fails(&long, "longer than 4095 bytes");
    let huge = Archive::new().pax(&[("SCHILY.xattr.user.x", &vec![b'x'; 2 << 20])]).file("x", b"").end();
    fails(&huge, "bytes of extended headers");
}

/// Far more out than in: two gigabytes of zeros from a few hundred kilobytes.
#[test]
fn the_ratio_of_a_bomb() {
    if !root() {
        return;
    }
    let mut stream = zstd::Encoder::new(Vec::new(), 3).unwrap();
    use std::io::Write;
    let mut h = header(EntryType::Regular, "zeros", 2 << 30);
    h.set_cksum();
    stream.write_all(h.as_bytes()).unwrap();
    let piece = vec![0; 1 << 20];
    for _ in 0..(2 << 10) {
        stream.write_all(&piece).unwrap();
    }
    stream.write_all(&[0; 1024]).unwrap();
    let error = Place::new().unpack(&stream.finish().unwrap()).unwrap_err();
    assert!(error.to_string().contains("bytes of content per byte of archive"), "{error}");
}

#[test]
fn a_disk_that_fills_up_is_named_with_what_to_do() {
    if !root() {
        return;
    }
    let place = Place::new();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m,nr_inodes=64", "tmpfs"])
        .arg(place.target())
        .status()
        .is_ok_and(|s| s.success());
    if !mounted {
        skip("cannot mount a tmpfs");
        return;
    }
    let full = place.unpack(&Archive::new().file("first", b"").file("large", &vec![1; 4 << 20]).end());
    let cleared = fs::remove_file(place.path("large")).and_then(|()| fs::remove_file(place.path("first")));
    let many = (0..200).fold(Archive::new(), |a, i| a.file(&format!("f{i}"), b"")).end();
    let inodes = place.unpack(&many);
    assert!(Command::new("umount").arg(place.target()).status().unwrap().success());
    cleared.unwrap();
    let full = full.unwrap_err();
    assert_eq!(full.to_string(), "cannot write large: No space left on device (os error 28)");
    assert!(full.hint().unwrap().contains("free space"), "{full:?}");
    let inodes = inodes.unwrap_err().to_string();
    assert!(inodes.starts_with("cannot create f") && inodes.contains("No space left"), "{inodes}");
}

#[test]
fn cancelling_ends_the_helper() {
    if !root() {
        return;
    }
    let place = Place::new();
    // An archive that never comes: the write end stays open.
    let (read, _write) = rustix::pipe::pipe().unwrap();
    let target = File::open(place.target()).unwrap();
    let request =
        Request { source: Source::Archive(read.as_fd()), target: target.as_fd(), options: options() };
    let cancel = AtomicBool::new(false);
    let started = std::time::Instant::now();
    let error = std::thread::scope(|scope| {
        let run = scope.spawn(|| run_with(helper(), &request, &mut |_| {}, &cancel).unwrap_err());
        std::thread::sleep(std::time::Duration::from_millis(200));
        cancel.store(true, Ordering::Relaxed);
        run.join().unwrap()
    });
    assert_eq!(error, UnpackError::Cancelled);
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn progress_is_told_and_reaches_the_end() {
    if !root() {
        return;
    }
    let place = Place::new();
    let archive = zstd(&(0..3000).fold(Archive::new(), |a, i| a.file(&format!("f{i}"), &[1; 3000])).end());
    let path = place.dir.path().join("archive");
    fs::write(&path, &archive).unwrap();
    let (source, target) = (File::open(&path).unwrap(), File::open(place.target()).unwrap());
    let request =
        Request { source: Source::Archive(source.as_fd()), target: target.as_fd(), options: options() };
    let mut last = 0;
    let mut listen = |p: wxc::unpack::Progress| {
        assert!(p.entries >= last && p.total == Some(archive.len() as u64));
        last = p.entries;
    };
    let report = run_with(helper(), &request, &mut listen, &AtomicBool::new(false)).unwrap();
    assert_eq!((report.progress.entries, report.progress.written), (3000, 9_000_000));
    assert_eq!(report.progress.read, archive.len() as u64);
}

#[test]
fn a_helper_that_dies_is_told_apart() {
    let place = Place::new();
    let (source, target) = (File::open("/dev/null").unwrap(), File::open(place.target()).unwrap());
    let request =
        Request { source: Source::Archive(source.as_fd()), target: target.as_fd(), options: options() };
    let error = run_with("/bin/true".as_ref(), &request, &mut |_| {}, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.to_string(), "the unpacker ended with status 0 and without an answer");
}
