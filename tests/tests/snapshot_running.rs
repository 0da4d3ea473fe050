//! Snapshots of containers that write all the time: each is as of one instant, whatever keeps the files.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wxc_tests::failpoints::{Fault, with_fault};
use wxc_tests::{Env, Run, needs, until};

/// How many write.
const WRITERS: u32 = 4;

/// Each writer says its number in one place and then in another, and both again with the next. So in any instant the
/// second place is at most one behind the first, and never ahead of it.
fn write_pairs(env: &Env, name: &str) {
    let script = format!(
        "mkdir -p /one /two; for k in $(seq {WRITERS}); do (i=0; while :; do i=$((i+1))
        echo $i > /one/$k.new; mv /one/$k.new /one/$k; echo $i > /two/$k.new; mv /two/$k.new /two/$k
        done) > /dev/null 2>&1 & done"
    );
    env.inside(name, &script);
    until("the writers", 30, || {
        (env.inside(name, "cat /two/* | wc -l") == WRITERS.to_string()).then_some(())
    });
}

/// Every pair of a container that was made of a snapshot is whole.
fn pairs_are_whole(env: &Env, name: &str) {
    let told = env.inside(name, "cd /; for k in one/[0-9]; do cat $k two/${k#one/} | xargs; done");
    assert_eq!(told.lines().count(), WRITERS as usize, "{told}");
    for pair in told.lines() {
        let (one, two) = pair.split_once(' ').unwrap_or((pair, "0"));
        let (one, two): (u64, u64) = (one.parse().unwrap(), two.parse().unwrap());
        assert!(one > 0 && (one == two || one == two + 1), "{name}: {told}");
    }
}

fn taken(env: &Env, name: &str, snapshot: &str) -> serde_json::Value {
    serde_json::from_str(&env.wxc(["snapshot", name, snapshot, "--json"]).within(120).ok()).unwrap()
}

/// Takes some while pairs are written and looks at each; then goes back to one. `frozen`, `copied`: how they are taken.
fn consistent(env: &Env, name: &str, frozen: bool, copied: bool) {
    env.wxc(["start", name]).ok();
    // So many files that a copy which was not held still would meet many instants.
    env.inside(name, "mkdir -p /one /one/more; for i in $(seq 300); do echo $i > /one/more/$i; done; rm -f /bin/vi /bin/tac");
    write_pairs(env, name);
    for round in ["first", "second"] {
        let told = taken(env, name, round);
        assert_eq!((&told["frozen"], &told["copied"]), (&frozen.into(), &copied.into()), "{told}");
        // It goes on, at once.
        assert_eq!(env.state(name), "RUNNING");
        let before = env.inside(name, "cat /one/1");
        until("the writers go on", 10, || (env.inside(name, "cat /one/1") != before).then_some(()));
        let copy = format!("{name}-{round}");
        env.wxc(["snapshot", name, "-r", round, "-N", &copy]).ok();
        env.wxc(["start", &copy]).ok();
        pairs_are_whole(env, &copy);
        assert_eq!(
            env.inside(&copy, "ls /one/more | wc -l; test -e /bin/vi || test -e /bin/tac || echo none"),
            "300\nnone"
        );
        env.wxc(["destroy", "-f", &copy]).ok();
    }
    env.wxc(["stop", "-k", name]).ok();
    env.wxc(["snapshot", name, "-r", "first"]).ok();
    env.wxc(["start", name]).ok();
    pairs_are_whole(env, name);
    env.wxc(["stop", "-k", name]).ok();
    env.wxc(["destroy", "-s", name]).ok();
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "");
}

#[test]
fn in_a_directory() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &["-B", "dir"]);
    consistent(&env, "web", true, true);
}

#[test]
fn in_layers() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("base", &["-B", "overlay"]);
    env.wxc(["copy", "-s", "base", "web"]).ok();
    env.wxc(["start", "web"]).ok();
    // Only its own layer is copied.
    let size = |path: &Path| {
        let told = Run::host("du", ["-sk".as_ref(), path.as_os_str()]).ok();
        told.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    env.wxc(["snapshot", "web", "small"]).ok();
    let small = env.container("web").join("snaps/small");
    assert!(size(&small) * 4 < size(&env.container("base").join("rootfs")), "{}", size(&small));
    let message = env.wxc(["destroy", "base"]).fails(1);
    assert!(message.contains("web"), "{message}");
    env.wxc(["stop", "-k", "web"]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
    env.wxc(["destroy", "base"]).ok();
    // And of one that is built on nothing, all.
    env.busybox("web", &["-B", "overlay"]);
    consistent(&env, "web", true, true);
}

#[test]
fn in_a_subvolume() {
    needs!(root, userns, busybox, cgroups, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    consistent(&env, "web", false, false);
    // Each in a subvolume of its own, which has an instant of its own.
    env.busybox("web", &["-B", "btrfs"]);
    for one in ["one", "two"] {
        let path = env.container("web").join("rootfs").join(one);
        Run::host("btrfs", ["subvolume".as_ref(), "create".as_ref(), path.as_os_str()]).ok();
    }
    consistent(&env, "web", true, false);
}

fn disk(env: &Env, filesystem: &str, size: &str) {
    let set = format!("filesystem={filesystem}");
    env.busybox("web", &["-B", "loop", "--size", size, "--storage-set", &set]);
}

#[test]
fn in_a_disk_that_is_copied() {
    needs!(root, userns, busybox, cgroups, disks);
    // A file system that shares no blocks.
    let env = Env::on("ext4");
    disk(&env, "ext4", "64M");
    consistent(&env, "web", true, true);
}

#[test]
fn in_a_disk_that_shares_blocks() {
    needs!(root, userns, busybox, cgroups, disks, mkfs_xfs, btrfs);
    let env = Env::on("btrfs");
    for (filesystem, size) in [("ext4", "64M"), ("xfs", "320M"), ("btrfs", "256M")] {
        disk(&env, filesystem, size);
        consistent(&env, "web", true, false);
    }
}

#[test]
fn of_a_debian_that_writes() {
    needs!(root, userns, cgroups, debian, btrfs);
    let env = Env::on("btrfs");
    let archive = wxc_tests::fixtures::debian().unwrap();
    for storage in ["overlay", "btrfs"] {
        let words =
            ["create", "web", "-B", storage, "-t", "local", "-s", "init.command=[\"/bin/sleep\", \"inf\"]"];
        let source = [std::ffi::OsStr::new("--"), "--tarball".as_ref(), archive.as_os_str()];
        env.wxc(words.into_iter().map(std::ffi::OsStr::new).chain(source)).within(300).ok();
        consistent(&env, "web", storage == "overlay", storage == "overlay");
    }
}

/// The file system of a disk is frozen when a command is killed: its monitor sees to it that it goes on.
#[test]
fn a_killed_snapshot_leaves_nothing_frozen() {
    needs!(root, userns, busybox, cgroups, disks);
    let env = Env::on("ext4");
    disk(&env, "ext4", "64M");
    env.wxc(["start", "web"]).ok();
    write_pairs(&env, "web");
    let writes = |what: &str| {
        until("it runs again", 10, || (env.state("web") == "RUNNING").then_some(()));
        let written = env.wxc(["attach", "web", "--", "sh", "-c", "echo fine > /file; sync; cat /file"]);
        assert_eq!(written.within(20).ok(), "fine\n", "{what}");
    };
    for fault in [Fault::Kill, Fault::Broken] {
        let output = with_fault(&env, &["snapshot", "web", "part"], fault, "snapshot.rest");
        assert!(!output.status.success(), "{}", output.told());
        writes(&format!("{fault:?}"));
    }
    let begin = Instant::now();
    env.wxc(["snapshot", "web", "whole"]).ok();
    let whole = begin.elapsed();
    for instant in 0..5 {
        let mut child = env.wxc(["snapshot", "web", "part"]).spawn();
        std::thread::sleep(whole * instant / 4);
        child.kill().unwrap();
        child.wait().unwrap();
        writes(&format!("{instant}"));
        let list = env.wxc(["snapshot", "web", "-L", "--json"]).ok();
        if list.contains("part") {
            env.wxc(["snapshot", "web", "-d", "part"]).ok();
        }
    }
    env.wxc(["snapshot", "web", "-r", "whole", "-N", "again"]).ok();
    env.wxc(["start", "again"]).ok();
    pairs_are_whole(&env, "again");
}

/// With its monitor killed as well nobody thaws it: the next start does.
#[test]
fn a_disk_that_was_left_frozen_can_be_used() {
    needs!(root, userns, busybox, cgroups, disks);
    let env = Env::on("ext4");
    disk(&env, "ext4", "64M");
    env.wxc(["start", "web"]).ok();
    let root = format!("/proc/{}/root", env.pid("web"));
    assert!(Command::new("fsfreeze").args(["-f", &root]).status().unwrap().success());
    env.wxc(["stop", "-k", "web"]).ok();
    std::thread::sleep(Duration::from_millis(100));
    env.wxc(["start", "web"]).within(20).ok();
    assert_eq!(env.inside("web", "echo fine > /file; cat /file"), "fine");
    env.wxc(["destroy", "-f", "web"]).ok();
    let attached = fs::read_dir("/sys/block").unwrap().flatten();
    let files = attached.filter_map(|block| fs::read_to_string(block.path().join("loop/backing_file")).ok());
    let below = format!("{}/", env.path().display());
    assert_eq!(files.filter(|file| file.starts_with(&below)).count(), 0);
}

/// A container that somebody froze can be snapshotted, and stays frozen.
#[test]
fn what_is_frozen_stays_frozen() {
    needs!(root, userns, busybox, cgroups, disks);
    let env = Env::on("ext4");
    disk(&env, "ext4", "64M");
    env.wxc(["start", "web"]).ok();
    write_pairs(&env, "web");
    env.wxc(["freeze", "web"]).ok();
    env.wxc(["snapshot", "web"]).ok();
    assert_eq!(env.state("web"), "FROZEN");
    env.wxc(["unfreeze", "web"]).ok();
    assert_eq!(env.inside("web", "echo fine > /file; sync; cat /file"), "fine");
}
