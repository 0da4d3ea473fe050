//! Trees as people and attackers have them: every kind of entry, odd names, more levels than a path can say, very many files.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, IFlags, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    ioctl_getflags, ioctl_setflags, lgetxattr, linkat, llistxattr, lsetxattr, mkdirat, mknodat, openat,
    utimensat,
};
use wxc_tests::{Env, Run, needs, proc};

/// An ACL as the kernel keeps it: a version, then tag, permissions and id of each entry.
fn acl() -> Vec<u8> {
    let none = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, none), (2, 7, 1000), (4, 4, none), (0x10, 7, none), (0x20, 0, none)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// `cap_net_raw+ep` as the kernel keeps it.
fn capability() -> Vec<u8> {
    [0x0200_0001u32, 1 << 13, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect()
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|error| panic!("{name} of {}: {error}", path.display()));
}

/// One of everything.
fn plant(odd: &Path) {
    fs::create_dir_all(odd.join("dir/below")).unwrap();
    let file = |name: &[u8], content: &str| {
        let path = odd.join(OsStr::from_bytes(name));
        fs::write(&path, content).unwrap();
        path
    };
    for name in
        [&b"new\nline"[..], b"not \xff\xfe utf-8", b" ", b"-rf", b"\x1b[31m", &[b'x'; 255], b"*", b"\\"]
    {
        file(name, "odd");
    }
    let named = file(b"named", "several names");
    fs::hard_link(&named, odd.join("dir/below/other")).unwrap();
    linkat(CWD, &named, CWD, odd.join("dir/third"), AtFlags::empty()).unwrap();
    let rich = file(b"rich", "attributes");
    for (name, value) in [
        ("user.empty", &b""[..]),
        ("user.binary", &[0, 1, 255]),
        ("user.long", &[b'l'; 1500]),
        ("trusted.odd", b"kept"),
        ("system.posix_acl_access", &acl()),
    ] {
        attribute(&rich, name, value);
    }
    attribute(&odd.join("dir"), "system.posix_acl_default", &acl());
    attribute(&odd.join("dir"), "user.colour", b"green");
    symlink("nowhere\nat all", odd.join("symlink")).unwrap();
    attribute(&odd.join("symlink"), "trusted.odd", b"of a link");
    let able = file(b"able", "ping");
    fs::set_permissions(&able, fs::Permissions::from_mode(0o755)).unwrap();
    attribute(&able, "security.capability", &capability());
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("disk", FileType::BlockDevice, rustix::fs::makedev(7, 250)),
    ] {
        mknodat(CWD, odd.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    }
    attribute(&odd.join("fifo"), "system.posix_acl_access", &acl());
    drop(UnixListener::bind(odd.join("socket")).unwrap());
    linkat(CWD, odd.join("fifo"), CWD, odd.join("dir/fifo"), AtFlags::empty()).unwrap();

    let sparse = fs::File::create(odd.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(&[7; 5000], 20 << 20).unwrap();
    sparse.write_all_at(&[8; 5000], 50 << 20).unwrap();
    drop(sparse);

    let owned = |name: &str, uid: u32, gid: u32, mode: u32| {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        chownat(CWD, odd.join(name), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        if name != "symlink" {
            fs::set_permissions(odd.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    owned("named", 1000, 50, 0o6751);
    owned("symlink", 1000, 1000, 0);
    owned("dir/below", 4_000_000_000, 7, 0o1000);
    owned("socket", 33, 33, 0o600);
    // Last, and from the bottom: whatever is made in a directory changes its time.
    for (n, name) in
        ["named", "symlink", "fifo", "socket", "sparse", "dir/below", "dir", ""].iter().enumerate()
    {
        let time = |sec| Timespec { tv_sec: sec, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: time(1), last_modification: time(1_000_000 + n as i64) };
        let path = if name.is_empty() { odd.to_owned() } else { odd.join(name) };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// The extended attributes of an entry itself.
fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = llistxattr(path, &mut names).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, CString::new(name).unwrap(), &mut value).unwrap();
        value[..length].to_vec()
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// What there is to know about every entry of a tree. Inodes are given as the first name that has them.
fn everything(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut all, mut first, mut rest) = (BTreeMap::new(), BTreeMap::new(), vec![root.to_owned()]);
    while let Some(at) = rest.pop() {
        let stat = fs::symlink_metadata(&at).unwrap();
        let relative = at.strip_prefix(root).unwrap().to_owned();
        let kind = stat.file_type();
        let mut said = format!(
            "{:o} {}:{} {:x} {}.{:09} {:?}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.rdev(),
            stat.mtime(),
            stat.mtime_nsec(),
            attributes(&at),
        );
        if kind.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            rest.extend(names.into_iter().rev());
        } else {
            let first: &PathBuf = first.entry(stat.ino()).or_insert_with(|| relative.clone());
            said += &format!(" {} {} first {}", stat.nlink(), stat.len(), first.display());
        }
        if kind.is_symlink() {
            said += &format!(" -> {:?}", fs::read_link(&at).unwrap());
        } else if kind.is_file() {
            let content = fs::read(&at).unwrap();
            let sum =
                content.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
            said += &format!(" {sum:x}");
        }
        all.insert(relative, said);
    }
    all
}

fn odd(env: &Env, name: &str) -> PathBuf {
    env.container(name).join("rootfs/odd")
}

/// Copies, snapshots and restores one of everything on the file system of this world.
fn kept(env: &Env) {
    env.busybox("web", &[]);
    plant(&odd(env, "web"));
    let before = everything(&odd(env, "web"));
    assert!(before[Path::new("socket")].starts_with("140600"), "{before:?}");
    env.wxc(["copy", "web", "copy"]).ok();
    assert_eq!(everything(&odd(env, "copy")), before);
    let sparse = fs::metadata(odd(env, "copy").join("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "{}", sparse.blocks());
    assert!(fs::symlink_metadata(odd(env, "copy").join("null")).unwrap().file_type().is_char_device());

    env.wxc(["snapshot", "copy"]).ok();
    fs::remove_dir_all(odd(env, "copy")).unwrap();
    env.wxc(["snapshot", "-r", "snap0", "copy"]).ok();
    assert_eq!(everything(&odd(env, "copy")), before);
    assert_eq!(everything(&odd(env, "web")), before);
    for name in ["copy", "web"] {
        env.wxc(["destroy", "-s", name]).ok();
        assert!(!env.container(name).exists());
    }
}

#[test]
fn every_kind_of_entry_is_kept_on_the_machines_own_file_system() {
    needs!(root, busybox);
    kept(&Env::new());
}

#[test]
fn every_kind_of_entry_is_kept_on_ext4() {
    needs!(root, busybox, mkfs_ext4, loop_devices);
    kept(&Env::on("ext4"));
}

#[test]
fn every_kind_of_entry_is_kept_on_xfs() {
    needs!(root, busybox, mkfs_xfs, loop_devices);
    kept(&Env::on("xfs"));
}

#[test]
fn every_kind_of_entry_is_kept_on_btrfs() {
    needs!(root, busybox, mkfs_btrfs, loop_devices);
    kept(&Env::on("btrfs"));
}

/// A file that cannot be shared must not end sharing for the ones after it, nor the copy.
#[test]
fn files_without_checksums_and_immutable_ones_are_copied() {
    needs!(root, busybox, mkfs_btrfs, loop_devices);
    let env = Env::on("btrfs");
    env.busybox("web", &[]);
    let odd = odd(&env, "web");
    fs::create_dir(&odd).unwrap();
    let flagged = |name: &str, flag: IFlags, content: &[u8]| {
        let file = fs::File::create(odd.join(name)).unwrap();
        // Without checksums only while it is empty, immutable only when it is not.
        if flag == IFlags::NOCOW {
            ioctl_setflags(&file, ioctl_getflags(&file).unwrap() | flag).unwrap();
        }
        file.write_all_at(content, 0).unwrap();
        ioctl_setflags(&file, ioctl_getflags(&file).unwrap() | flag).unwrap();
    };
    flagged("0-raw", IFlags::NOCOW, &[1; 20_000]);
    flagged("1-locked", IFlags::IMMUTABLE, &[2; 20_000]);
    flagged("2-log", IFlags::APPEND, &[3; 20_000]);
    let shared = odd.join("3-shared");
    fs::write(&shared, vec![4; 8 << 20]).unwrap();
    env.wxc(["copy", "web", "copy"]).ok();
    let copy = env.container("copy").join("rootfs/odd");
    for name in ["0-raw", "1-locked", "2-log", "3-shared"] {
        assert!(fs::read(copy.join(name)).unwrap() == fs::read(odd.join(name)).unwrap(), "{name}");
        // Of use again in the copy.
        fs::write(copy.join(name), "changed").unwrap();
    }
    for name in ["copy", "web"] {
        env.wxc(["destroy", name]).ok();
        assert!(!env.container(name).exists());
    }
}

/// Levels of directories: more than a process may have open files, and than a path can say.
const LEVELS: usize = 2000;

#[test]
fn thousands_of_levels_are_copied_measured_and_removed() {
    needs!(root, busybox, mkfs_xfs, loop_devices);
    let env = Env::on("xfs");
    env.busybox("web", &[]);
    let down = |at: &OwnedFd| openat(at, "down", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let root = |name: &str| OwnedFd::from(fs::File::open(env.container(name).join("rootfs")).unwrap());
    let mut at = root("web");
    for _ in 0..LEVELS {
        mkdirat(&at, "down", Mode::RWXU).unwrap();
        // Something after the way down, so that each level has to be gone on with.
        mkdirat(&at, "beside", Mode::RWXU).unwrap();
        at = down(&at);
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::io::write(openat(&at, "bottom", flags, Mode::RUSR).unwrap(), b"reached").unwrap();
    drop(at);
    env.wxc(["copy", "web", "copy"]).ok();
    env.wxc(["snapshot", "copy"]).ok();
    let mut at = root("copy");
    for level in 0..LEVELS {
        rustix::fs::statat(&at, "beside", AtFlags::empty())
            .unwrap_or_else(|error| panic!("{level}: {error}"));
        at = down(&at);
    }
    let mut text = [0; 20];
    let file = openat(&at, "bottom", OFlags::CLOEXEC, Mode::empty()).unwrap();
    let length = rustix::io::read(file, &mut text).unwrap();
    assert_eq!(&text[..length], b"reached");
    drop(at);
    for name in ["copy", "web"] {
        env.wxc(["destroy", "-s", name]).ok();
        assert!(!env.container(name).exists());
    }
}

/// Runs a command, and tells the most memory that it had, in KiB.
fn peak(run: Run) -> u64 {
    let mut child = run.spawn();
    let pid = i32::try_from(child.id()).unwrap();
    let mut most = 0;
    loop {
        if let Some(text) = proc::status(pid, "VmHWM") {
            let now = text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
            most = most.max(now);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return most;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn memory_does_not_grow_with_the_number_of_files() {
    needs!(root, busybox, mkfs_xfs, loop_devices);
    let env = Env::on("xfs");
    env.busybox("web", &[]);
    let few = ["copy web few", "snapshot few", "destroy -s few"];
    let many = ["copy web many", "snapshot many", "destroy -s many"];
    let run = |line: &str| peak(env.wxc(line.split(' ')).within(120));
    let small = few.map(run);
    let wide = env.container("web").join("rootfs/wide");
    for n in 0..100 {
        let directory = wide.join(n.to_string());
        fs::create_dir_all(&directory).unwrap();
        for m in 0..400 {
            drop(fs::File::create(directory.join(format!("a-file-of-some-length-{m}"))).unwrap());
        }
    }
    let old = UNIX_EPOCH + Duration::from_secs(1000);
    fs::File::open(&wide).unwrap().set_modified(old).unwrap();
    let large = [many[0]].map(run);
    assert_eq!(fs::read_dir(env.container("many").join("rootfs/wide/99")).unwrap().count(), 400);
    assert_eq!(fs::metadata(env.container("many").join("rootfs/wide")).unwrap().modified().unwrap(), old);
    let more = [many[1], many[2]].map(run);
    for (small, large) in small.into_iter().zip(large.into_iter().chain(more)) {
        assert!(large < small + 3 * 1024, "{large} KiB for many files, {small} KiB for few");
    }
    env.wxc(["destroy", "web"]).within(120).ok();
}

/// Directories with limits: a file system of this type with project quotas, if the kernel has them.
fn limited(filesystem: &str) {
    let env = Env::new();
    let disk = env.file("quota.disk");
    fs::File::create(&disk).unwrap().set_len(1 << 30).unwrap();
    let options: &[&str] =
        if filesystem == "ext4" { &["-O", "quota,project", "-E", "quotatype=prjquota"] } else { &[] };
    let words = ["-q"].iter().chain(options).map(OsStr::new).chain([disk.as_os_str()]);
    Run::host(&format!("mkfs.{filesystem}"), words).ok();
    let at = env.path();
    let words = ["-o", "loop,prjquota"].map(OsStr::new);
    let mounted = Run::host("mount", words.into_iter().chain([disk.as_os_str(), at.as_os_str()])).run();
    if !mounted.status.success() {
        wxc_tests::needs::skip(&format!("this kernel has no project quotas on {filesystem}"));
        return;
    }
    let _unmount = Unmount(at);
    let told = |line: &str| env.wxc(line.split(' ')).ok();
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(&told(line)).unwrap();
    const MIB: u64 = 1 << 20;
    env.busybox("web", &["--size", "64M"]);
    assert_eq!(json("info web --json")["limit"], 64 * MIB);
    told("start web");
    let size = |name: &str| {
        env.inside(name, "df -k / | tail -n 1 | awk '{print $2}'").parse::<u64>().unwrap() * 1024
    };
    assert_eq!(size("web"), 64 * MIB);
    let full = env.inside("web", "dd if=/dev/zero of=/big bs=1M count=100 2>&1; true");
    assert!(full.contains("o space left") || full.contains("quota exceeded"), "{full}");
    // Another one is not limited by it, and a limit changes while its container runs.
    env.busybox("db", &[]);
    assert_eq!(json("info db --json")["limit"], serde_json::Value::Null);
    told("resize web 200M");
    assert_eq!(size("web"), 200 * MIB);
    env.inside("web", "dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null && sync");
    let refused = env.wxc(["resize", "web", "50M"]).fails(1);
    assert!(refused.contains("does not fit"), "{refused}");
    told("stop -k web");
    // A copy has a project and a limit of its own; a snapshot comes back with both.
    told("copy web copy");
    assert_eq!(json("info copy --json")["limit"], 200 * MIB);
    told("resize web 150M");
    assert_eq!(json("info copy --json")["limit"], 200 * MIB);
    told("snapshot web");
    told("snapshot -r snap0 web");
    assert_eq!(json("info web --json")["limit"], 150 * MIB);
    told("resize web none");
    assert_eq!(json("info web --json")["limit"], serde_json::Value::Null);
    // What was there before is told apart from what has been counted from the start.
    fs::create_dir_all(env.container("db").join("other")).unwrap();
    fs::remove_dir_all(env.container("db").join("rootfs")).unwrap();
    fs::create_dir(env.container("db").join("rootfs")).unwrap();
    fs::write(env.container("db").join("rootfs/file"), "made by somebody else").unwrap();
    let refused = env.wxc(["resize", "db", "1G"]).fails(1);
    assert!(refused.contains("a copy of it can have a limit"), "{refused}");
    let out =
        env.wxc(["plugin", "test", "storage-dir", "--pool", env.path().to_str().unwrap()]).within(500).run();
    assert!(out.status.success(), "{}", out.told());
    assert!(!out.stdout.contains("this pool has no sizes"), "{}", out.stdout);
    for name in ["web", "copy", "db"] {
        told(&format!("destroy -s {name}"));
    }
}

/// A file system that a test has mounted itself.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _gone = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn directories_on_ext4_have_limits() {
    needs!(root, userns, cgroups, busybox, mkfs_ext4, loop_devices);
    limited("ext4");
}

#[test]
fn directories_on_xfs_have_limits() {
    needs!(root, userns, cgroups, busybox, mkfs_xfs, loop_devices);
    limited("xfs");
}

#[test]
fn where_nothing_limits_a_directory_people_are_told_what_would() {
    needs!(root, busybox, mkfs_xfs, loop_devices);
    let env = Env::on("xfs");
    let tree = wxc_tests::fixtures::busybox().to_str().unwrap();
    let args = ["create", "web", "--size", "1G", "-t", "local", "--", "--directory", tree];
    let refused = env.wxc(args).fails(1);
    assert!(refused.contains("mount option `prjquota`"), "{refused}");
    assert!(!env.container("web").exists());
    env.busybox("web", &[]);
    let refused = env.wxc(["resize", "web", "1G"]).fails(1);
    assert!(refused.contains("mount option `prjquota`"), "{refused}");
    env.wxc(["resize", "web", "none"]).ok();
}
