//! Root file systems in disks: what is in them holds, their size holds, and no loop device is left behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wxc_tests::{Env, needs, proc, until};

/// A container of the small guest in a disk.
fn disk(env: &Env, name: &str, filesystem: &str, size: &str) {
    env.busybox(name, &["-B", "loop", "--size", size, "--storage-set", &format!("filesystem={filesystem}")]);
}

/// The loop devices of files below a directory, by the names that the kernel knows the files by. A file that was
/// removed keeps its name there.
fn attached(below: &Path) -> Vec<String> {
    let blocks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let files = blocks.filter_map(|block| fs::read_to_string(block.path().join("loop/backing_file")).ok());
    let below = below.to_str().unwrap().to_owned();
    files.filter(|file| file.starts_with(&below)).collect()
}

fn nothing_attached(env: &Env) {
    until("the end of every loop device", 10, || attached(&env.path()).is_empty().then_some(()));
}

/// Bytes that the root file system has, as it is seen inside.
fn size_inside(env: &Env, name: &str) -> u64 {
    let kilobytes = env.inside(name, "df -k / | tail -n 1 | awk '{print $2}'");
    kilobytes.parse::<u64>().unwrap_or_else(|_| panic!("df says {kilobytes:?}")) * 1024
}

fn note(env: &Env, name: &str) -> String {
    fs::read_to_string(env.container(name).join("rootdev.volume")).unwrap()
}

const MIB: u64 = 1 << 20;

/// From create to destroy, with what differs between the file systems given.
fn life(filesystem: &str) {
    let env = Env::new();
    disk(&env, "disk", filesystem, "400M");
    assert!(note(&env, "disk").contains(filesystem));
    assert_eq!(attached(&env.path()), Vec::<String>::new(), "after create");
    let rootdev = fs::metadata(env.container("disk").join("rootdev")).unwrap();
    assert_eq!((rootdev.len(), rootdev.mode() & 0o777), (400 * MIB, 0o600));

    env.wxc(["start", "disk"]).ok();
    let mounts = env.inside("disk", "grep ' / / ' /proc/self/mountinfo");
    assert!(mounts.contains(&format!(" - {filesystem} /dev/loop")), "{mounts}");
    assert!(mounts.contains("idmapped"), "{mounts}");
    assert!(size_inside(&env, "disk") <= 400 * MIB);
    env.inside("disk", "echo kept >/kept; chown 12:34 /kept");
    env.wxc(["stop", "-k", "disk"]).ok();
    assert_eq!(attached(&env.path()), Vec::<String>::new(), "after stop");

    env.wxc(["resize", "disk", "600M"]).ok();
    assert_eq!(attached(&env.path()), Vec::<String>::new(), "after resize");
    env.wxc(["start", "disk"]).ok();
    assert!(size_inside(&env, "disk") > 450 * MIB, "{}", size_inside(&env, "disk"));
    assert_eq!(env.inside("disk", "cat /kept; stat -c %u:%g /kept"), "kept\n12:34");
    let info: serde_json::Value = serde_json::from_str(&env.wxc(["info", "disk", "--json"]).ok()).unwrap();
    assert_eq!(info["limit"], 600 * MIB);
    env.wxc(["destroy", "-f", "disk"]).ok();
    nothing_attached(&env);
    assert!(!env.container("disk").exists());
}

#[test]
fn a_container_lives_in_a_disk_with_ext4() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_ext4);
    life("ext4");
}

#[test]
fn a_container_lives_in_a_disk_with_xfs() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_xfs);
    life("xfs");
}

#[test]
fn a_container_lives_in_a_disk_with_btrfs() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_btrfs);
    life("btrfs");
}

#[test]
fn a_full_disk_is_full_inside_and_nowhere_else() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_ext4);
    let env = Env::new();
    disk(&env, "small", "ext4", "32M");
    env.wxc(["start", "small"]).ok();
    let told = env.inside("small", "dd if=/dev/zero of=/big bs=1M count=100 2>&1; true");
    assert!(told.contains("No space left"), "{told}");
    let rootdev = env.container("small").join("rootdev");
    assert!(fs::metadata(&rootdev).unwrap().blocks() * 512 <= 32 * MIB + MIB);
    // It goes on, and what is removed inside is free outside.
    env.inside("small", "rm /big; sync; echo more >/more");
    env.wxc(["stop", "-k", "small"]).ok();
    let left = fs::metadata(&rootdev).unwrap().blocks() * 512;
    assert!(left < 24 * MIB, "{left}");
}

#[test]
fn a_disk_gets_smaller_when_it_is_stopped_and_its_content_fits() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_ext4);
    let env = Env::new();
    disk(&env, "wide", "ext4", "512M");
    env.wxc(["start", "wide"]).ok();
    env.inside("wide", "dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null; md5sum /big >/sum; sync");
    let refused = env.wxc(["resize", "wide", "320M"]).fails(1);
    assert!(refused.contains("stop it first"), "{refused}");
    env.wxc(["stop", "-k", "wide"]).ok();
    let refused = env.wxc(["resize", "wide", "40M"]).fails(1);
    assert!(refused.contains("does not fit"), "{refused}");
    let told = env.wxc(["resize", "wide", "320M", "--json"]).ok();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["before"], &told["after"]), (&(512 * MIB).into(), &(320 * MIB).into()));
    let entries = fs::read_dir(env.container("wide")).unwrap().flatten();
    assert!(entries.into_iter().all(|entry| entry.file_name() != "rootdev.new"));
    env.wxc(["start", "wide"]).ok();
    assert!(size_inside(&env, "wide") < 320 * MIB);
    assert!(env.inside("wide", "md5sum -c /sum").contains("OK"));
}

#[test]
fn a_killed_resize_leaves_a_whole_disk_of_one_size_or_the_other() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_ext4);
    let env = Env::new();
    disk(&env, "cut", "ext4", "512M");
    env.wxc(["start", "cut"]).ok();
    env.inside("cut", "dd if=/dev/urandom of=/big bs=1M count=50 2>/dev/null; md5sum /big >/sum; sync");
    env.wxc(["stop", "-k", "cut"]).ok();
    for instant in 0..6 {
        let size = if instant % 2 == 0 { "320M" } else { "512M" };
        let mut child = env.wxc(["resize", "cut", size]).spawn();
        std::thread::sleep(Duration::from_millis(30 * instant));
        child.kill().unwrap();
        child.wait().unwrap();
        until("the helpers' end", 10, || env.processes().is_empty().then_some(()));
        // The next command settles it.
        env.wxc(["start", "cut"]).ok();
        let length = fs::metadata(env.container("cut").join("rootdev")).unwrap().len();
        assert!([320 * MIB, 512 * MIB].contains(&length), "{length}");
        assert!(size_inside(&env, "cut") <= length, "{instant}");
        assert!(env.inside("cut", "md5sum -c /sum").contains("OK"), "{instant}");
        env.wxc(["stop", "-k", "cut"]).ok();
        nothing_attached(&env);
        let entries = fs::read_dir(env.container("cut")).unwrap().flatten();
        assert!(entries.into_iter().all(|entry| entry.file_name() != "rootdev.new"), "{instant}");
    }
}

#[test]
fn a_disk_with_xfs_grows_while_it_runs_and_never_shrinks() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_xfs);
    let env = Env::new();
    disk(&env, "live", "xfs", "320M");
    env.wxc(["start", "live"]).ok();
    env.wxc(["resize", "live", "+200M"]).ok();
    assert!(size_inside(&env, "live") > 400 * MIB);
    env.wxc(["stop", "-k", "live"]).ok();
    let refused = env.wxc(["resize", "live", "400M"]).fails(1);
    assert!(refused.contains("xfs cannot be made smaller"), "{refused}");
    assert_eq!(fs::metadata(env.container("live").join("rootdev")).unwrap().len(), 520 * MIB);
}

#[test]
fn no_loop_device_is_left_by_a_failure_or_a_kill() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_ext4);
    let env = Env::new();
    // Too small for what is to be in it: taken back.
    let tree = wxc_tests::fixtures::busybox();
    let tree = tree.to_str().unwrap();
    env.wxc(["create", "tiny", "-B", "loop", "--size", "1M", "-t", "local", "--", "--directory", tree])
        .fails(1);
    assert!(!env.container("tiny").exists());

    // Killed while it is made: whatever instant that is.
    for instant in 0..8 {
        let args = ["create", "cut", "-B", "loop", "--size", "64M", "-t", "local", "--", "--directory", tree];
        let mut child = env.wxc(args).spawn();
        std::thread::sleep(Duration::from_millis(25 * instant));
        child.kill().unwrap();
        child.wait().unwrap();
        until("the helpers' end", 10, || env.processes().is_empty().then_some(()));
        nothing_attached(&env);
        env.wxc(["destroy", "-f", "cut"]).run();
    }

    // The monitor is killed, and takes the container and the mount along.
    disk(&env, "orphan", "ext4", "64M");
    env.wxc(["start", "orphan"]).ok();
    assert_eq!(attached(&env.path()).len(), 1);
    let info: serde_json::Value = serde_json::from_str(&env.wxc(["info", "orphan", "--json"]).ok()).unwrap();
    proc::kill(i32::try_from(info["monitor"].as_i64().unwrap()).unwrap());
    nothing_attached(&env);
    env.wxc(["start", "orphan"]).ok();
    env.wxc(["stop", "-k", "orphan"]).ok();

    // A start that fails after the root is mounted.
    env.wxc(["start", "orphan", "-s", "init.command=/does/not/exist"]).run();
    nothing_attached(&env);

    // A disk in which there is nothing.
    fs::File::options()
        .write(true)
        .open(env.container("orphan").join("rootdev"))
        .unwrap()
        .set_len(4096)
        .unwrap();
    let told = env.wxc(["start", "orphan"]).fails(1);
    assert!(told.contains("mount the ext4 in "), "{told}");
    assert_eq!(attached(&env.path()), Vec::<String>::new());
}

#[test]
fn a_copy_of_a_disk_is_independent_and_both_can_run() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_xfs);
    let env = Env::new();
    disk(&env, "one", "xfs", "320M");
    env.wxc(["copy", "one", "two"]).ok();
    env.wxc(["start", "one"]).ok();
    env.wxc(["start", "two"]).ok();
    env.inside("one", "echo one >/which");
    assert_eq!(env.inside("two", "cat /which 2>/dev/null || echo none"), "none");
}

#[test]
fn what_a_start_would_mount_and_who_may_set_what_is_said() {
    needs!(root, userns, cgroups, busybox, loop_devices, mkfs_ext4);
    let env = Env::new();
    disk(&env, "told", "ext4", "64M");
    let rootdev: PathBuf = env.container("told").join("rootdev");
    let plan = env.wxc(["start", "told", "--plan"]).ok();
    assert!(plan.contains(&format!("mount the ext4 in the file {}", rootdev.display())), "{plan}");
    let refused = env.wxc(["create", "x", "-B", "loop", "--storage-set", "size=1G", "-t", "host"]).fails(1);
    assert!(refused.contains("administrator's alone"), "{refused}");
    let refused =
        env.wxc(["create", "x", "-B", "loop", "--storage-set", "filesystem=ntfs", "-t", "host"]).fails(1);
    assert!(refused.contains("ext4, xfs, btrfs"), "{refused}");
    env.wxc(["create", "plain", "-t", "host"]).ok();
    let refused = env.wxc(["resize", "plain", "1G"]).fails(1);
    assert!(refused.contains("no project quotas") || refused.contains("project quota,"), "{refused}");
    let refused = env.wxc(["resize", "told", "none"]).fails(1);
    assert!(refused.contains("gives every container a size"), "{refused}");
}
