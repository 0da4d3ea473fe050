//! Containers as files: everything arrives, nothing foreign is believed, nothing half made stays.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use wxc_tests::{Env, Run, fixtures, needs, proc, until};

/// How many instants of a command are tried.
const INSTANTS: u32 = 8;

/// A container with what a file could lose, and two snapshots of earlier moments.
fn original(env: &Env, options: &[&str]) {
    env.busybox("web", options);
    let root = env.container("web").join("rootfs");
    let script = "
        cd \"$1\"; mkdir -p odd/dir; echo first > odd/file; ln odd/file odd/link; ln -s file odd/symlink
        chown 1000:50 odd/file; chmod 4751 odd/file; mkfifo -m 640 odd/fifo
        truncate -s 1G odd/sparse; echo x | dd of=odd/sparse bs=1 seek=5M conv=notrunc status=none
        printf %s 'a b' > \"$(printf 'odd/n\\nl \\377')\"; chmod 2770 odd/dir
        touch -h -d 2001-02-03T04:05:06.789 odd/symlink odd/dir; echo id-of-web > etc/machine-id";
    Run::host("sh", ["-c", script, "sh", root.to_str().unwrap()]).ok();
    setxattr(root.join("odd/dir"), "user.colour", b"green", XattrFlags::empty()).unwrap();
    env.wxc(["snapshot", "web", "one", "-c", "the first\nof two"]).ok();
    fs::write(root.join("odd/added"), vec![5; 200_000]).unwrap();
    fs::remove_file(root.join("odd/fifo")).unwrap();
    env.wxc(["snapshot", "web", "two"]).ok();
    fs::remove_file(root.join("odd/link")).unwrap();
    fs::write(root.join("odd/file"), "third").unwrap();
}

/// What there is to know about every entry below a directory.
fn listing(root: &Path) -> String {
    let script =
        "cd \"$1\" && find . ! -type s -printf '%p|%y|%m|%U:%G|%T@|%n|%l\\0' | sort -z | tr '\\0' '\\n'
        find . -type f -size -900M -printf '%s ' -exec sha256sum {} \\; | sort
        cmp odd/sparse /dev/null 2>&1; du -s --apparent-size odd/sparse";
    let files = Run::host("sh", ["-c", script, "sh", root.to_str().unwrap()]).run().stdout;
    let mut value = [0; 16];
    let size = getxattr(root.join("odd/dir"), "user.colour", &mut value).unwrap_or(0);
    assert!(fs::metadata(root.join("odd/sparse")).unwrap().blocks() < 1000);
    files + &String::from_utf8_lossy(&value[..size])
}

/// The trees of a container in plain directories: those of its snapshots, and its own.
fn trees(env: &Env, name: &str) -> [String; 3] {
    let at = env.container(name);
    [at.join("snaps/one/rootfs"), at.join("snaps/two/rootfs"), at.join("rootfs")].map(|root| listing(&root))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// There and back: to another storage, and from it to plain directories, where it can be compared.
fn through(env: &Env, storage: &str) {
    original(env, &[]);
    let before = trees(env, "web");
    let (file, back) = (env.file("web.tar.zst"), env.file("back.tar"));
    let told = json(&env.wxc(["export", "web", path(&file), "--json"]).ok());
    assert_eq!(told["snapshots"], serde_json::json!(["one", "two"]), "{told}");
    assert_eq!(told["bytes"], fs::metadata(&file).unwrap().len(), "{told}");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let told = json(&env.wxc(["import", path(&file), "there", "-B", storage, "--json"]).ok());
    assert_eq!((&told["storage"], &told["from"]), (&storage.into(), &"web".into()), "{told}");
    assert_eq!(told["snapshots"], serde_json::json!(["one", "two"]), "{told}");
    let list = json(&env.wxc(["snapshot", "there", "-L", "--json"]).ok());
    let own = json(&env.wxc(["snapshot", "web", "-L", "--json"]).ok());
    for (there, own) in list.as_array().unwrap().iter().zip(own.as_array().unwrap()) {
        let of = |record: &serde_json::Value| ["name", "created", "comment"].map(|key| record[key].clone());
        assert_eq!(of(there), of(own));
    }
    env.wxc(["export", "there", path(&back)]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
    env.wxc(["import", path(&back), "web", "-B", "dir"]).ok();
    let after = trees(env, "web");
    for (before, after) in before.iter().zip(&after) {
        let name = |line: &&str| !line.contains("|etc/hostname|") && !line.contains("./etc/host");
        // The host name followed the container's, and then came back.
        let lines = |text: &str| text.lines().filter(name).map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (lines(before), lines(after));
        let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
        let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        let etc = |lines: &[&String]| lines.iter().all(|line| line.starts_with("./etc|d|"));
        assert!(etc(&gone) && etc(&new), "{gone:#?}\n{new:#?}");
    }
    env.wxc(["snapshot", "there", "-r", "one"]).ok();
    env.wxc(["doctor"]).ok();
    env.wxc(["destroy", "-s", "there"]).ok();
}

#[test]
fn a_file_holds_all_that_a_directory_did() {
    needs!(root, userns, busybox);
    through(&Env::new(), "dir");
}

#[test]
fn a_file_goes_to_layers_and_back() {
    needs!(root, userns, busybox);
    through(&Env::new(), "overlay");
}

#[test]
fn a_file_goes_to_subvolumes_and_back() {
    needs!(root, userns, busybox, btrfs);
    let env = Env::on("btrfs");
    through(&env, "btrfs");
}

#[test]
fn a_file_goes_to_a_disk_and_back() {
    needs!(root, userns, busybox, loop_devices, mkfs_ext4);
    through(&Env::new(), "loop");
}

/// What both have in common is stored once: in the file, and where the storage can, behind it.
#[test]
fn what_snapshots_share_is_stored_once() {
    needs!(root, userns, busybox, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    let noise: Vec<u8> = (0..20_000_000_u64).map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[0]).collect();
    fs::write(env.container("web").join("rootfs/large"), noise).unwrap();
    for _ in 0..5 {
        env.wxc(["snapshot", "web"]).ok();
    }
    let file = env.file("web.tar");
    env.wxc(["export", "web", path(&file), "--compression", "none"]).ok();
    let bytes = fs::metadata(&file).unwrap().len();
    assert!((20_000_000..40_000_000).contains(&bytes), "{bytes}");
    let fresh = Env::on("btrfs");
    let free = || rustix::fs::statvfs(fresh.path()).map(|of| of.f_bfree * of.f_frsize).unwrap();
    let before = free();
    fresh.wxc(["import", path(&file), "-B", "btrfs"]).ok();
    Run::host("sync", ["-f".as_ref(), fresh.path().as_os_str()]).ok();
    assert_eq!(json(&fresh.wxc(["snapshot", "web", "-L", "--json"]).ok()).as_array().unwrap().len(), 5);
    let taken = before - free();
    assert!(taken < 60_000_000, "{taken}");
}

#[test]
fn a_running_one_is_frozen_or_goes_on() {
    needs!(root, userns, busybox, cgroups, btrfs, loop_devices, mkfs_ext4);
    for (storage, frozen) in [("dir", true), ("btrfs", false), ("overlay", true), ("loop", true)] {
        let env = Env::on("btrfs");
        env.busybox("web", &["-B", storage]);
        // Layers are layers only when there is something below.
        env.wxc(["snapshot", "web", "below"]).ok();
        env.wxc(["start", "web"]).ok();
        env.inside("web", "echo now > /moment");
        let file = env.file("web.tar.zst");
        let told = json(&env.wxc(["export", "web", path(&file), "--json"]).ok());
        assert_eq!((&told["frozen"], env.state("web")), (&frozen.into(), "RUNNING".into()), "{told}");
        let left = fs::read_dir(env.container("web").join("snaps")).unwrap().count();
        assert_eq!(left, 1, "{storage}");
        env.wxc(["doctor"]).ok();
        env.wxc(["import", path(&file), "again", "-B", storage]).ok();
        env.wxc(["start", "again"]).ok();
        assert_eq!(env.inside("again", "cat /moment; id -u"), "now\n0");
    }
}

#[test]
fn one_snapshot_becomes_a_container() {
    needs!(root, userns, busybox);
    let env = Env::new();
    original(&env, &["-s", "environment.set.MOMENT=first"]);
    env.wxc(["config", "set", "web", "environment.set.MOMENT", "third"]).ok();
    let file = env.file("one.tar.gz");
    env.wxc(["export", "web@one", path(&file)]).ok();
    assert_eq!(fs::read(&file).unwrap()[..2], [0x1f, 0x8b]);
    env.wxc(["destroy", "-s", "web"]).ok();
    env.wxc(["import", path(&file), "-q"]).ok();
    assert_eq!(env.wxc(["config", "get", "web", "environment.set.MOMENT"]).ok(), "first\n");
    let root = env.container("web").join("rootfs");
    assert_eq!(fs::read_to_string(root.join("odd/link")).unwrap(), "first\n");
    assert!(fs::symlink_metadata(root.join("odd/fifo")).unwrap().file_type().is_fifo());
    assert!(!env.container("web").join("snaps").exists());
    let missing = env.wxc(["export", "web@nothing", path(&env.file("x"))]).fails(1);
    assert!(missing.contains("no snapshot nothing"), "{missing}");
}

/// Through a pipe, with the identity that it had or another.
#[test]
fn a_move_keeps_the_machine_and_a_new_identity_does_not() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("web", &["-s", "network=[{ type = \"veth\", mac = \"10:66:6a:00:00:01\" }]"]);
    let root = |name: &str| env.container(name).join("rootfs");
    fs::write(root("web").join("etc/machine-id"), "0123\n").unwrap();
    fs::write(root("web").join("etc/hosts"), "127.0.1.1 web\n").unwrap();
    let export = |words: &[&str]| {
        let mut command = env.wxc(["export", "web", "-"].iter().chain(words)).into_command();
        command.output().unwrap().stdout
    };
    let archive = export(&[]);
    let told = env.wxc(["import", "-", "moved", "--trust-config"]).input(archive.clone()).run();
    assert!(told.code() == 0 && told.stderr.contains("--new-identity"), "{}", told.told());
    let mac = |name: &str| env.wxc(["config", "get", name, "network.0.mac"]).ok();
    assert_eq!(fs::read_to_string(root("moved").join("etc/machine-id")).unwrap(), "0123\n");
    assert_eq!(mac("moved"), mac("web"));
    assert_eq!(fs::read_to_string(root("moved").join("etc/hostname")).unwrap(), "moved\n");
    assert_eq!(fs::read_to_string(root("moved").join("etc/hosts")).unwrap(), "127.0.1.1 moved\n");
    let words = ["import", "-", "-n", "other", "--new-identity", "--trust-config"];
    env.wxc(words).input(archive.clone()).ok();
    assert_eq!(fs::read_to_string(root("other").join("etc/machine-id")).unwrap(), "");
    assert_ne!(mac("other"), mac("web"));
    let taken = env.wxc(["import"]).input(archive).fails(1);
    assert!(taken.contains("already"), "{taken}");
    env.wxc(["destroy", "web"]).ok();
}

/// What a file wants of the host it comes to.
#[test]
fn a_foreign_configuration_gets_nothing_of_this_host() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("evil", &["--privileged", "-s", "autostart.enabled=true", "-s", "hostname=www"]);
    let root = env.container("evil").join("rootfs");
    Run::host("mknod", [path(&root.join("disk")), "b", "8", "0"]).ok();
    let text = fs::read_to_string(env.container("evil").join("container.toml")).unwrap();
    let more = "\n[[mounts]]\nsource = \"/\"\ntarget = \"/host\"\ncreate = \"dir\"\n";
    fs::write(env.container("evil").join("container.toml"), text + more).unwrap();
    env.wxc(["snapshot", "evil", "also"]).ok();
    let file = env.file("evil.tar.zst");
    env.wxc(["export", "evil", path(&file)]).ok();
    env.wxc(["destroy", "-s", "evil"]).ok();
    let told = json(&env.wxc(["import", path(&file), "--json"]).ok());
    assert_eq!(
        told["left_out"],
        serde_json::json!(["autostart.enabled", "mounts.0", "privileged"]),
        "{told}"
    );
    assert!(told["notes"].to_string().contains("device nodes left out"), "{told}");
    assert!(!env.container("evil").join("rootfs/disk").exists());
    for file in ["container.toml", "snaps/also/snapshot.toml"] {
        let text = fs::read_to_string(env.container("evil").join(file)).unwrap();
        let bad = ["privileged", "autostart", "/host"].iter().any(|word| text.contains(word));
        assert!(!bad && text.contains("www") && text.contains("[ids]"), "{file}: {text}");
    }
    env.wxc(["snapshot", "evil", "-r", "also"]).ok();
    assert_eq!(env.wxc(["config", "get", "evil", "privileged"]).ok(), "false\n");
    env.wxc(["destroy", "-s", "evil"]).ok();
    // One's own file is what it was.
    env.wxc(["import", path(&file), "--trust-config", "-s", "autostart.enabled=false"]).ok();
    assert_eq!(env.wxc(["config", "get", "evil", "privileged"]).ok(), "true\n");
    assert_eq!(env.wxc(["config", "get", "evil", "mounts.0.target"]).ok(), "/host\n");
    assert_eq!(env.wxc(["config", "get", "evil", "autostart.enabled"]).ok(), "false\n");
    let disk = fs::symlink_metadata(env.container("evil").join("rootfs/disk")).unwrap();
    assert!(disk.file_type().is_block_device() && disk.rdev() == rustix::fs::makedev(8, 0));
    env.wxc(["destroy", "-s", "evil"]).ok();
}

/// Exports that are damaged or made to do harm: by name, and nothing is left of them.
#[test]
fn what_is_damaged_or_foreign_is_refused_and_leaves_nothing() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let file = env.file("web.tar");
    env.wxc(["export", "web", path(&file)]).ok();
    env.wxc(["export", "web", path(&env.file("web.tar.zst"))]).ok();
    env.wxc(["destroy", "web"]).ok();
    let good = fs::read(&file).unwrap();
    let packed = fs::read(env.file("web.tar.zst")).unwrap();
    let refuse = |bytes: Vec<u8>, why: &str| {
        fs::write(env.file("bad"), bytes).unwrap();
        let told = env.wxc(["import", path(&env.file("bad"))]).fails(1);
        assert!(told.contains(why), "{why}: {told}");
        assert!(!env.container("web").exists(), "{why}: {told}");
        env.wxc(["doctor"]).ok();
    };
    let tar = |members: &[(&str, &str)]| {
        let at = env.file("members");
        drop(fs::remove_dir_all(&at));
        for (name, text) in members {
            let name = at.join(name);
            fs::create_dir_all(name.parent().unwrap()).unwrap();
            fs::write(name, text).unwrap();
        }
        let names = members.iter().map(|(name, _)| *name);
        let words = ["--create", "-C", path(&at), "-f", "-"];
        let out = Run::host("tar", words.into_iter().chain(names)).into_command().output().unwrap();
        out.stdout
    };
    refuse(Vec::new(), "empty");
    refuse(b"BZh91AY&SY".to_vec(), "bzip2");
    refuse(vec![b'x'; 4096], "not a tar archive");
    refuse(packed[..packed.len() / 2].to_vec(), "cut off");
    refuse(good[..good.len() / 2].to_vec(), "cut off");
    refuse(good[..good.len() - 2048].to_vec(), "cut off");
    refuse([&good[..], b"and more"].concat(), "behind it");
    let mut flipped = good.clone();
    let at = good.windows(10).position(|bytes| bytes == b"PRETTY_NAM").unwrap();
    flipped[at] = b'Q';
    refuse(flipped, "damaged or changed");
    refuse(fs::read(fixtures::busybox_archive(fixtures::Packed::Xz)).unwrap(), "-t local -- --tarball");
    refuse(tar(&[("backup/index.yaml", "name: web")]), "Incus or LXD");
    refuse(tar(&[("metadata.yaml", ""), ("rootfs/etc/x", "")]), "--prefix rootfs");
    refuse(tar(&[("wxc-export.json", "{\"format\":\"wxc-export\",\"version\":1}")]), "cut off");
}

/// A member as ustar has it.
fn member(kind: u8, name: &str, link: &str, content: &str) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(157, link);
    put(257, "ustar\u{0}00");
    header[156] = kind;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend(content.as_bytes());
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

/// Sections with the seals that they should have, as whoever means harm would write them.
fn sealed(sections: &[Vec<u8>]) -> Vec<u8> {
    let (mut all, mut seal) = (Vec::new(), String::new());
    for section in sections {
        let whole = [seal.as_bytes(), section].concat();
        let told = Run::host("sha256sum", ["-"]).input(whole).ok();
        seal = told.split(' ').next().unwrap().to_owned();
        all.extend(section);
        all.extend(member(b'0', "wxc-seal", "", &format!("{seal}\n")));
    }
    all.extend([0; 1024]);
    all
}

fn manifest(trees: &str) -> Vec<u8> {
    let text = format!(
        "{{\"format\":\"wxc-export\",\"version\":1,\"wxc\":\"0\",\"exported\":\"\",\"name\":\"web\",\"arch\":\"x\",\
         \"storage\":\"dir\",\"trees\":[{trees}]}}"
    );
    member(b'0', "wxc-export.json", "", &text)
}

/// Sealed rightly, and hostile.
#[test]
fn what_is_made_to_do_harm_does_none() {
    needs!(root, userns);
    let env = Env::new();
    fs::write(env.path().join("victim"), "untouched").unwrap();
    let own = r#"{"config":""}"#;
    let earlier = r#"{"snapshot":{"name":"s","created":"2026-01-02T03:04:05Z"},"config":""}"#;
    let try_it = |sections: &[Vec<u8>]| {
        let out = env.wxc(["import"]).input(sealed(sections)).run();
        env.wxc(["doctor"]).ok();
        assert_eq!(fs::read(env.path().join("victim")).unwrap(), b"untouched");
        assert_eq!(out.code() == 0, env.container("web").exists(), "{}", out.told());
        out
    };
    let tree = |members: &[Vec<u8>]| [&[member(b'5', "tree/", "", "")][..], members].concat().concat();
    let file = |name: &str| member(b'0', name, "", "evil");
    let honest = tree(&[file("tree/file")]);
    // Much of nothing, as a file that is not sparse: refused compressed, long before it fills the disk.
    let bomb = env.file("bomb.tar.zst");
    let script = "{ cat \"$1\"; head -c 6G /dev/zero; } | zstd -q > \"$2\"";
    let head = sealed(&[manifest(own)]);
    let mut head = head[..head.len() - 1024].to_vec();
    head.extend(member(b'5', "tree/", "", ""));
    let mut large = member(b'0', "tree/large", "", "");
    large[124..136].copy_from_slice(b"60000000000\0");
    large[148..156].copy_from_slice(b"        ");
    let sum: u32 = large.iter().map(|byte| u32::from(*byte)).sum();
    large[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head.extend(large);
    fs::write(env.file("head"), head).unwrap();
    Run::host("sh", ["-c", script, "sh", path(&env.file("head")), path(&bomb)]).ok();
    let told = env.wxc(["import", path(&bomb)]).fails(1);
    assert!(told.contains("per byte of archive") && told.contains("zstd -dc"), "{told}");
    assert!(!env.container("web").exists());
    let refused = |sections: &[Vec<u8>], why: &str| {
        let out = try_it(sections);
        assert!(out.code() == 1 && out.stderr.contains(why), "{why}: {}", out.told());
    };
    let bad = |members: &[Vec<u8>], why: &str| refused(&[manifest(own), tree(members)], why);
    bad(&[file("tree/../../victim")], "leads out");
    bad(&[file("elsewhere/file")], "not below tree");
    bad(&[file("removed-1/file")], "not below tree");
    bad(&[member(b'2', "tree/up", "../..", ""), member(b'1', "tree/l", "tree/up/victim", "")], "hard link");
    bad(&[member(b'1', "tree/link", "../victim", "")], "leads out");
    bad(&[member(b'1', "tree/link", "victim", "")], "beside the tree");
    bad(&[member(b'3', "tree/whiteout", "", "")], "malformed");
    bad(&[member(b'0', "wxc-seal", "", "not a seal")], "not a seal");
    // More or fewer trees than the manifest lists.
    refused(&[manifest(own), honest.clone(), honest.clone()], "after everything");
    refused(&[manifest(&format!("{earlier},{own}")), honest.clone()], "it is missing");
    refused(&[manifest(own)], "");
    for (text, why) in [
        ("", "no tree"),
        (earlier, "no container"),
        (r#"{"config":"mounts = 7"}"#, "mounts"),
        (r#"{"config":"[snapshot]\ncreated = \"\""}"#, "snapshot"),
        (
            r#"{"snapshot":{"name":"../../x","created":"2026-01-02T03:04:05Z"},"config":""},{"config":""}"#,
            "not the name",
        ),
    ] {
        refused(&[manifest(text), honest.clone()], why);
    }
    let other = String::from_utf8(manifest(own)).unwrap();
    refused(
        &[member(
            b'0',
            "wxc-export.json",
            "",
            &other[512..].trim_end_matches('\0').replace("\"web\"", "\"../web\""),
        )],
        "name",
    );
    refused(
        &[member(
            b'0',
            "wxc-export.json",
            "",
            &other[512..].trim_end_matches('\0').replace("version\":1", "version\":2"),
        )],
        "version 2",
    );
    // A link that leads out is as if the tree were everything; changes through it as well.
    let links = tree(&[
        member(b'2', "tree/out", "/..", ""),
        member(b'5', "tree/c", "", ""),
        file("tree/out/victim"),
        file("tree/c/file"),
    ]);
    let changes = [
        member(b'0', "removed-1/out/victim", "", ""),
        file("changes-1/out/c/file"),
        member(b'0', "removed-1/nothing/there", "", ""),
    ]
    .concat();
    let out = try_it(&[manifest(&format!("{earlier},{own}")), links, changes]);
    assert_eq!(out.code(), 0, "{}", out.told());
    let root = env.container("web").join("rootfs");
    assert!(!root.join("victim").exists());
    assert_eq!(fs::read(root.join("c/file")).unwrap(), b"evil");
    assert_eq!(fs::read(env.container("web").join("snaps/s/rootfs/victim")).unwrap(), b"evil");
    env.wxc(["destroy", "-s", "web"]).ok();
}

#[test]
fn a_file_in_the_way_stays() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let file = env.file("web.tar.zst");
    fs::write(&file, "mine").unwrap();
    let refused = env.wxc(["export", "web", path(&file)]).fails(1);
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    env.wxc(["export", "web", path(&file), "--force"]).ok();
    assert!(fs::metadata(&file).unwrap().len() > 10_000);
    let refused = env.wxc(["export", "web", path(&env.path())]).fails(1);
    assert!(refused.contains("is a directory"), "{refused}");
    let refused = env.wxc(["export", "web", "--json"]).fails(2);
    assert!(refused.contains("name a file"), "{refused}");
    // A terminal of its own.
    let wxc = wxc_tests::env::wxc();
    for verb in ["export web", "import"] {
        let line = format!("{} {verb}", wxc.display());
        let run = Run::host("script", ["-qec", &line, "/dev/null"]).env("WXC_PATH", env.path());
        let told = run.env("WXC_RUN_DIR", env.run_dir()).run();
        assert!(told.code() == 2 && told.stdout.contains("terminal"), "{}", told.told());
    }
}

fn files(env: &Env) -> Vec<PathBuf> {
    let entries = fs::read_dir(env.file("out")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_killed_export_leaves_no_half_file() {
    needs!(root, userns, busybox, cgroups, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    fs::write(env.container("web").join("rootfs/large"), vec![3; 30 << 20]).unwrap();
    env.wxc(["start", "web"]).ok();
    fs::create_dir(env.file("out")).unwrap();
    let file = env.file("out").join("web.tar.zst");
    let begun = Instant::now();
    env.wxc(["export", "web", path(&file)]).ok();
    let whole = begun.elapsed();
    fs::remove_file(&file).unwrap();
    for instant in 0..INSTANTS {
        let mut child = env.wxc(["export", "web", path(&file)]).spawn();
        std::thread::sleep(whole * instant / INSTANTS);
        proc::kill(i32::try_from(child.id()).unwrap());
        child.wait().unwrap();
        assert!(files(&env).iter().all(|found| *found == file), "{instant}: {:?}", files(&env));
        if file.exists() {
            env.wxc(["import", path(&file), "x"]).ok();
            env.wxc(["destroy", "x"]).ok();
            fs::remove_file(&file).unwrap();
        }
        let quiet = || (!env.state("web").contains("FROZEN")).then_some(());
        until("it runs again", 10, quiet);
        // A helper of the killed one may be dying for a moment more, and hold on to what it had.
        let clean = || {
            env.wxc(["doctor", "--repair"]).ok();
            (!env.container("web").join("snaps").exists()).then_some(())
        };
        until("nothing is left of it", 10, clean);
    }
    // One more to see that Ctrl-C is as good.
    let mut child = env.wxc(["export", "web", path(&file)]).spawn();
    std::thread::sleep(Duration::from_millis(30));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let _may_be_done = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    child.wait().unwrap();
    assert!(file.exists() || files(&env).is_empty());
    assert_eq!(env.state("web"), "RUNNING");
    assert!(!env.container("web").join("snaps").exists());
}

/// A user's files belong to ids of his; in the file they belong to those of the container, so that anybody has them.
#[test]
fn a_user_moves_containers_as_root_does() {
    needs!(subordinate_ids, busybox, cgroups);
    const CHANGE: &str =
        "echo new > /etc/new; chown 12:34 /etc/new; chmod 4750 /etc/new; mkdir -m 700 /closed
        echo s > /closed/file; chown -R 1000:1000 /closed; rm /etc/passwd";
    const SHOW: &str = "stat -c '%u:%g %a' /etc/new /closed /closed/file; cat /etc/new /closed/file; test -e /etc/passwd || \
         echo gone; hostname";
    let shown = |name: &str| format!("12:34 4750\n1000:1000 700\n1000:1000 644\nnew\ns\ngone\n{name}");
    let once = |env: &Env, name: &str, script: &str| {
        env.wxc(["start", name]).ok();
        let out = env.inside(name, script);
        env.wxc(["stop", "-k", name]).ok();
        out
    };
    for storage in ["dir", "overlay"] {
        let env = Env::of_user(4);
        env.busybox("web", &["-B", storage]);
        env.wxc(["snapshot", "web", "before"]).ok();
        once(&env, "web", CHANGE);
        let file = env.file("home").join("web.tar");
        env.wxc(["export", "web", path(&file)]).ok();
        let listed = Run::host("tar", ["--numeric-owner", "-tvf", path(&file)]).ok();
        assert!(listed.contains("-rwsr-x--- 12/34"), "{listed}");
        env.wxc(["import", path(&file), "moved", "-B", storage, "--new-identity"]).ok();
        assert_eq!(once(&env, "moved", SHOW), shown("moved"), "{storage}");
        env.wxc(["snapshot", "moved", "-r", "before"]).ok();
        let back = "test -e /etc/new || cat /etc/hostname; test -e /etc/passwd && echo there";
        assert_eq!(once(&env, "moved", back), "web\nthere", "{storage}");
        for name in ["web", "moved"] {
            env.wxc(["destroy", "-s", name]).ok();
        }
        let left = fs::read_dir(env.path()).unwrap().flatten();
        let left: Vec<_> = left.filter(|at| !at.file_name().to_string_lossy().starts_with('.')).collect();
        assert!(left.is_empty(), "{left:?}");
        // Root has other ids, and the container does not know.
        let roots = Env::new();
        roots.wxc(["import", path(&file), "-B", storage]).ok();
        assert_eq!(once(&roots, "web", SHOW), shown("web"), "{storage}");
    }
}
