//! Root trees and archives made to get out: nothing outside the container is read, made or changed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};
use wxc_tests::mount::Mount;
use wxc_tests::{Env, Run, fixtures, needs};

/// What the attacks aim at: a directory outside, which must stay as it is.
struct Target {
    folder: PathBuf,
}

impl Target {
    fn new(env: &Env) -> Self {
        let folder = env.file("outside");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("secret"), "secret\n").unwrap();
        Self { folder }
    }

    fn check(&self, what: &str) {
        let names: Vec<_> =
            fs::read_dir(&self.folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["secret"], "{what}");
        let secret = self.folder.join("secret");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n", "{what}");
        let meta = fs::metadata(&secret).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&meta), 0, "{what}");
        assert_eq!(meta.permissions().mode() & 0o7777, 0o644, "{what}");
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&meta), 1, "{what}");
    }
}

/// An entry whose name and link are written as they are: the crate's own checks are for the honest.
fn entry(kind: EntryType, name: &str, link: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    header
}

type Entry<'a> = (EntryType, &'a str, &'a str, &'a [u8]);

fn archive(env: &Env, name: &str, entries: &[Entry]) -> PathBuf {
    let file = env.file(&format!("{name}.tar"));
    let mut builder = Builder::new(File::create(&file).unwrap());
    for (kind, name, link, data) in entries {
        builder.append(&entry(*kind, name, link, data.len() as u64), *data).unwrap();
    }
    builder.into_inner().unwrap();
    file
}

fn create(env: &Env, name: &str, option: &str, path: &Path) -> wxc_tests::Output {
    let words = ["create", name, "-t", "local", "--", option];
    env.wxc(words.iter().map(OsStr::new).chain([path.as_os_str()])).run()
}

#[test]
fn no_archive_writes_outside() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let target = Target::new(&env);
    let out = target.folder.to_str().unwrap();
    let up = format!("../../../../../../../../../..{out}");
    let (file, link, hard, dir) =
        (EntryType::Regular, EntryType::Symlink, EntryType::Link, EntryType::Directory);
    let (absolute, relative) = (format!("{out}/made"), format!("{up}/made"));
    let (secret, up_secret) = (format!("{out}/secret"), format!("{up}/secret"));
    let attacks: &[(&str, Vec<Entry>)] = &[
        ("absolute", vec![(file, &absolute, "", b"x")]),
        ("relative", vec![(file, &relative, "", b"x")]),
        ("inner", vec![(file, "a/../../../made", "", b"x")]),
        ("symlink", vec![(link, "door", out, b""), (file, "door/made", "", b"x")]),
        ("symlink-up", vec![(link, "door", &up, b""), (file, "door/made", "", b"x")]),
        ("symlink-chain", vec![(link, "a", out, b""), (link, "b", "a", b""), (dir, "b/made", "", b"")]),
        ("symlink-file", vec![(link, "f", &secret, b""), (file, "f", "", b"changed")]),
        ("hardlink", vec![(hard, "h", &secret, b""), (file, "h", "", b"changed")]),
        ("hardlink-up", vec![(hard, "h", &up_secret, b""), (file, "h", "", b"changed")]),
        (
            "hardlink-symlink",
            vec![(link, "s", &secret, b""), (hard, "h", "s", b""), (file, "h", "", b"changed")],
        ),
        ("dir-symlink", vec![(dir, "d", "", b""), (link, "d", out, b""), (file, "d/made", "", b"x")]),
        ("chmod-symlink", vec![(link, "d", out, b""), (dir, "d", "", b"")]),
        ("rootfs-itself", vec![(link, ".", out, b""), (file, "made", "", b"x")]),
        ("rootfs-slash", vec![(link, "./", out, b""), (file, "./made", "", b"x")]),
    ];
    for (name, entries) in attacks {
        let file = archive(&env, name, entries);
        // Refused or harmless, both are right; it must not hang and must not write.
        let output = create(&env, name, "--tarball", &file);
        target.check(name);
        if output.status.success() {
            env.wxc(["destroy", name]).ok();
        } else {
            assert!(output.stderr.contains("error"), "{}", output.told());
            assert!(!env.container(name).exists(), "{name} left something");
        }
        target.check(name);
    }
}

#[test]
fn broken_archives_are_refused_and_leave_nothing() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let whole = fs::read(fixtures::busybox_archive(fixtures::Packed::Gz)).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);
    let mut lies = entry(EntryType::Regular, "big", "", 1 << 40).as_bytes().to_vec();
    lies.extend([b'x'; 512]);
    let cases: &[(&str, Vec<u8>)] = &[
        ("empty", Vec::new()),
        (
            "noise",
            (0..9999_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect(),
        ),
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("flipped", flipped),
        ("lies", lies),
    ];
    for (name, bytes) in cases {
        let file = env.file(name);
        fs::write(&file, bytes).unwrap();
        let output = create(&env, name, "--tarball", &file);
        assert!(!output.status.success(), "{}", output.told());
        assert!(output.stderr.contains(name), "{}", output.told());
        assert!(!env.container(name).exists(), "{name} left something");
    }
}

#[test]
fn a_bomb_ends_with_an_error_and_takes_its_rubble_along() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let place = env.file("bomb");
    fs::create_dir(&place).unwrap();
    let mut make = std::process::Command::new("sh");
    make.args(["-c", "truncate -s 4G zeros && tar -c zeros | zstd -q -o bomb.tar.zst && rm zeros"]);
    make.current_dir(&place);
    Run::new(make).within(120).ok();
    // It must not need the whole disk to find out.
    let small = Mount::new(&env.file("small"), "size=256m");
    let file = place.join("bomb.tar.zst");
    let words = ["create", "bomb", "-t", "local", "-P"].map(OsStr::new);
    let rest = [small.path(), OsStr::new("--"), OsStr::new("--tarball"), file.as_os_str()];
    let output = env.wxc(words.into_iter().chain(rest)).within(120).run();
    assert!(!output.status.success(), "{}", output.told());
    assert!(!Path::new(small.path()).join("bomb").exists(), "{}", output.told());
}

#[test]
fn devices_in_an_archive_are_not_made_for_the_guest() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let mut header = entry(EntryType::Block, "disk", "", 0);
    header.set_device_major(254).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_mode(0o666);
    header.set_cksum();
    let file = env.file("dev.tar");
    let mut builder = Builder::new(File::create(&file).unwrap());
    builder.append(&header, std::io::empty()).unwrap();
    builder.into_inner().unwrap();
    let output = create(&env, "dev", "--tarball", &file);
    if output.status.success() {
        let disk = env.container("dev").join("rootfs/disk");
        let node = fs::symlink_metadata(&disk)
            .is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_block_device(&meta.file_type()));
        assert!(!node, "a device of the machine was made");
    }
}

/// What stands where wxc mounts something, and where it must not lead.
#[test]
fn a_tree_with_doors_where_mounts_go_leads_nowhere() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let target = Target::new(&env);
    let doors = [
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "etc",
        "dev/pts",
        "dev/shm",
        "dev/console",
        "dev/null",
        "sys/fs/cgroup",
    ];
    for (number, door) in doors.iter().enumerate() {
        for (kind, to) in [
            ("absolute", target.folder.clone()),
            ("relative", up(&target.folder)),
            ("loop", PathBuf::from(door)),
        ] {
            let name = format!("door-{number}-{kind}");
            let tree = env.file(&name);
            Run::host("cp", ["-a".as_ref(), fixtures::busybox().as_os_str(), tree.as_os_str()]).ok();
            let place = tree.join(door);
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).unwrap();
            }
            if place.exists() {
                fs::remove_dir_all(&place).unwrap();
            }
            symlink(&to, &place).unwrap();
            let output = create(&env, &name, "--directory", &tree);
            if output.status.success() {
                let start = env.wxc(["start", &name]).run();
                target.check(&format!("{name}: {}", start.told()));
                if !start.status.success() {
                    // A tree that cannot be used is refused in words.
                    assert!(start.stderr.contains("error"), "{}", start.told());
                }
                env.wxc(["destroy", "-f", &name]).ok();
            }
            target.check(&name);
            fs::remove_dir_all(&tree).unwrap();
        }
    }
}

/// The way up from any depth, and down to the place.
fn up(folder: &Path) -> PathBuf {
    let mut path: PathBuf = std::iter::repeat_n("..", 20).collect();
    path.push(folder.strip_prefix("/").unwrap());
    path
}

#[test]
fn an_init_that_is_something_else_is_refused() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let target = Target::new(&env);
    let program = target.folder.join("secret");
    type Make<'a> = &'a dyn Fn(&Path);
    let kinds: &[(&str, Make)] = &[
        ("outside", &|init| symlink(&program, init).unwrap()),
        ("loop", &|init| symlink("init", init).unwrap()),
        ("folder", &|init| fs::create_dir(init).unwrap()),
        ("fifo", &|init| {
            Run::host("mkfifo", [init]).ok();
        }),
        ("text", &|init| fs::write(init, "no program").unwrap()),
        ("nothing", &|_| {}),
    ];
    for (name, make) in kinds {
        let tree = env.file(&format!("init-{name}"));
        Run::host("cp", ["-a".as_ref(), fixtures::busybox().as_os_str(), tree.as_os_str()]).ok();
        let init = tree.join("sbin/init");
        fs::remove_file(&init).unwrap();
        make(&init);
        let output = create(&env, name, "--directory", &tree);
        if output.status.success() {
            let start = env.wxc(["start", name]).run();
            assert!(!start.status.success(), "{}", start.told());
            assert!(start.stderr.contains("init"), "{}", start.told());
            assert_eq!(env.state(name), "STOPPED");
            env.wxc(["destroy", name]).ok();
        }
        target.check(name);
    }
}

#[test]
fn hostile_accounts_do_not_confuse_attach() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("users", &[]);
    env.wxc(["start", "users"]).ok();
    let etc = env.container("users").join("rootfs/etc");
    let attach = || env.wxc(["attach", "users", "--user", "user", "--", "/bin/id", "-u"]).within(20).run();
    let cases: &[&[u8]] = &[
        b"user:x:-1:-1::/:/bin/sh\n",
        b"user:x:4294967295:0::/:/bin/sh\n",
        b"user:x:99999999999999999999:0::/:/bin/sh\n",
        b"user:x:1000\n",
        b"user\n",
        b"user:x:0x0:0::/:/bin/sh\n",
        b"\xff\xfe\x00user:x:0:0::/:/bin/sh\n",
    ];
    for text in cases {
        fs::write(etc.join("passwd"), text).unwrap();
        let output = attach();
        assert!(!output.status.success(), "{:?}: {}", String::from_utf8_lossy(text), output.told());
    }
    // A file without an end, and one that is a door or a pipe.
    fs::remove_file(etc.join("passwd")).unwrap();
    File::create(etc.join("passwd")).unwrap().set_len(1 << 40).unwrap();
    assert!(!attach().status.success());
    fs::remove_file(etc.join("passwd")).unwrap();
    Run::host("mkfifo", [etc.join("passwd")]).ok();
    assert!(!attach().status.success());
    fs::remove_file(etc.join("passwd")).unwrap();
    symlink("/dev/zero", etc.join("passwd")).unwrap();
    assert!(!attach().status.success());
    env.wxc(["stop", "-k", "users"]).ok();
}

#[test]
fn words_of_a_guest_do_not_steer_the_terminal() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let tree = env.file("tree\u{1b}[31m");
    let output = create(&env, "words", "--directory", &tree);
    assert!(!output.status.success(), "{}", output.told());
    assert!(
        output.stderr.contains("--directory") && !output.stderr.contains('\u{1b}'),
        "{:?}",
        output.stderr
    );
    let file = archive(&env, "words", &[(EntryType::Regular, "\u{1b}[31m/../../x", "", b"x")]);
    let output = create(&env, "words", "--tarball", &file);
    assert!(!output.stderr.contains('\u{1b}'), "{:?}", output.stderr);
}

#[test]
fn the_program_of_a_privileged_monitor_cannot_be_overwritten() {
    needs!(root, cgroups, busybox);
    let env = Env::new();
    env.busybox("p", &["--privileged"]);
    env.wxc(["start", "p"]).ok();
    let init = env.pid("p");
    let monitor = wxc_tests::proc::status(init, "PPid").unwrap();
    // As root of the container would: the link is kept open until nothing executes the file any more.
    let held = File::open(format!("/proc/{monitor}/exe")).unwrap();
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
    let before = fs::read(&link).unwrap();
    for told in ["while it runs", "when it has ended"] {
        if told == "when it has ended" {
            env.wxc(["stop", "-k", "p"]).ok();
        }
        let written = File::options().write(true).open(&link).and_then(|mut file| {
            use std::io::Write;
            file.write_all(b"#!/bin/evil\n")
        });
        let error = written.expect_err(told);
        assert_ne!(error.kind(), std::io::ErrorKind::NotFound, "{told}");
    }
    assert_eq!(fs::read(&link).unwrap(), before);
    // The installed file is what was looked at; it has not been touched either.
    assert_eq!(fs::read(wxc_tests::env::wxc()).unwrap(), before);
}
