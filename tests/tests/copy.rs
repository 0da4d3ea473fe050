//! Copies of containers: complete, with an identity of their own, or not there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use wxc_tests::{Env, Run, needs, proc, until};

/// A container `web` with everything in it that a copy could lose.
fn original(env: &Env) {
    env.busybox(
        "web",
        &["-s", "network=[{type=\"veth\", mac=\"10:66:6a:00:00:01\"}]", "-s", "environment.set.LANG=C"],
    );
    let root = env.container("web").join("rootfs");
    let script = "
        cd \"$1\"; mkdir -p odd/dir; echo hello > odd/file; ln odd/file odd/link; ln -s file odd/symlink
        chown 1000:50 odd/file; chmod 4751 odd/file; mkfifo -m 640 odd/fifo
        truncate -s 10M odd/sparse; echo x | dd of=odd/sparse bs=1 seek=5M conv=notrunc status=none
        echo ping > odd/dir/ping; setcap cap_net_raw+ep odd/dir/ping
        chmod 2770 odd/dir; touch -h -d 2001-02-03T04:05:06.789 odd/symlink odd/dir
        printf 'new\\nline' > \"odd/$(printf 'a\\nb')\"
        echo 0123456789abcdef0123456789abcdef > etc/machine-id
        printf '127.0.0.1\\tlocalhost\\n127.0.1.1\\tweb.lan web\\n' > etc/hosts";
    Run::host("sh", ["-c", script, "sh", root.to_str().unwrap()]).ok();
    setxattr(root.join("odd/dir"), "user.colour", b"green", XattrFlags::empty()).unwrap();
}

/// What there is to know about every entry below a directory, one a line.
fn listing(root: &Path) -> String {
    let script = "cd \"$1\" && find . -printf '%P|%y|%m|%U:%G|%n|%s|%T@|%l\\0' | sort -z | tr '\\0' '\\n'
        find . -type f -exec sha256sum {} + | grep -v ' ./etc/\\(hostname\\|hosts\\|machine-id\\)$' | sort";
    let attributes = ["odd/dir", "odd/dir/ping"].map(|path| {
        let mut value = [0; 100];
        let name = if path == "odd/dir" { "user.colour" } else { "security.capability" };
        let size = getxattr(root.join(path), name, &mut value).unwrap();
        value[..size].to_vec()
    });
    let files = Run::host("sh", ["-c", script, "sh", root.to_str().unwrap()]).ok();
    format!("{files}{attributes:?}")
}

/// The lines of a listing without those of entries that are renewed, or whose directory changed with them.
fn same(listing: &str) -> Vec<String> {
    let own = ["etc|", "etc/hostname|", "etc/hosts|", "etc/machine-id|"];
    let lines = listing.lines().filter(|line| !own.iter().any(|own| line.starts_with(own)));
    lines.map(str::to_owned).collect()
}

fn get(env: &Env, name: &str, key: &str) -> String {
    env.wxc(["config", "get", name, key]).ok().trim().to_owned()
}

#[test]
fn a_copy_has_everything_and_is_somebody_else() {
    needs!(root, busybox);
    let env = Env::new();
    original(&env);
    let (web, copy) = (env.container("web").join("rootfs"), env.container("copy").join("rootfs"));
    let before = listing(&web);
    let output = env.wxc(["copy", "web", "copy"]).run();
    assert!(output.status.success(), "{}", output.told());
    assert_eq!(listing(&web), before);
    assert_eq!(same(&listing(&copy)), same(&before));
    let inodes = |name: &str| fs::metadata(copy.join(name)).unwrap().ino();
    assert_eq!(inodes("odd/file"), inodes("odd/link"));
    assert!(fs::metadata(copy.join("odd/sparse")).unwrap().blocks() < 1000);

    let read = |name: &str| fs::read_to_string(copy.join(name)).unwrap();
    assert_eq!(read("etc/hostname"), "copy\n");
    assert_eq!(read("etc/machine-id"), "");
    assert_eq!(read("etc/hosts"), "127.0.0.1\tlocalhost\n127.0.1.1\tcopy.lan copy\n");
    assert_ne!(get(&env, "copy", "ids.users"), get(&env, "web", "ids.users"));
    let mac = get(&env, "copy", "network.0.mac");
    assert!(mac.starts_with("10:66:6a:") && mac != "10:66:6a:00:00:01", "{mac}");
    assert_eq!(get(&env, "copy", "environment.set.LANG"), "C");
    assert_eq!(get(&env, "copy", "template.name"), get(&env, "web", "template.name"));
}

#[test]
fn a_copy_runs_beside_its_original() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["copy", "-n", "web", "-N", "web_2"]).ok();
    env.wxc(["start", "web"]).ok();
    env.wxc(["start", "web_2"]).ok();
    assert_eq!(env.inside("web_2", "hostname"), "web-2");
    env.wxc(["destroy", "-f", "web"]).ok();
    assert_eq!(env.inside("web_2", "cat /etc/hostname"), "web-2");
}

#[test]
fn what_is_to_be_kept_is_kept() {
    needs!(root, busybox);
    let env = Env::new();
    original(&env);
    env.wxc(["copy", "-K", "-M", "web", "copy"]).ok();
    assert_eq!(get(&env, "copy", "network.0.mac"), "10:66:6a:00:00:01");
    assert_eq!(get(&env, "copy", "hostname"), "web");
    let hostname = fs::read_to_string(env.container("copy").join("rootfs/etc/hostname")).unwrap();
    assert_eq!(hostname, "web\n");
}

#[test]
fn names_that_are_taken_or_missing_are_refused() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    env.busybox("other", &[]);
    let kept = fs::read(env.container("other").join("container.toml")).unwrap();
    let message = env.wxc(["copy", "web", "other"]).fails(1);
    assert!(message.contains("already"), "{message}");
    assert_eq!(fs::read(env.container("other").join("container.toml")).unwrap(), kept);
    let message = env.wxc(["copy", "web", "web"]).fails(1);
    assert!(message.contains("already"), "{message}");
    let message = env.wxc(["copy", "wb", "new"]).fails(1);
    assert!(message.contains("did you mean web?"), "{message}");
    let message = env.wxc(["copy", "web"]).fails(2);
    assert!(message.contains("needs a name"), "{message}");
    let message = env.wxc(["copy", "-s", "web", "new"]).fails(1);
    assert!(message.contains("cannot share"), "{message}");
    assert!(!env.container("new").exists());
}

#[test]
fn a_running_one_is_copied_only_when_asked() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["start", "web"]).ok();
    let message = env.wxc(["copy", "web", "copy"]).fails(1);
    assert!(message.contains("RUNNING") && message.contains("-a"), "{message}");
    env.inside("web", "echo here > /root/mark");
    env.wxc(["copy", "-a", "web", "copy"]).ok();
    assert_eq!(env.state("web"), "RUNNING");
    assert_eq!(fs::read(env.container("copy").join("rootfs/root/mark")).unwrap(), b"here\n");
    env.wxc(["start", "copy"]).ok();
}

#[test]
fn a_copy_in_another_directory() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    original(&env);
    let other = env.file("other");
    let path = other.to_str().unwrap();
    env.wxc(["copy", "web", "web", "-p", path]).ok();
    assert_eq!(env.wxc(["ls", "-1", "-P", path]).ok(), "web\n");
    let read = fs::read_to_string(other.join("web/rootfs/etc/hosts")).unwrap();
    assert!(read.contains("web.lan web"), "{read}");
    env.wxc(["destroy", "web", "-P", path]).ok();
}

#[test]
fn a_killed_copy_leaves_nothing_or_all() {
    needs!(root, busybox);
    let env = Env::new();
    original(&env);
    let before = listing(&env.container("web").join("rootfs"));
    let start = Instant::now();
    env.wxc(["copy", "web", "whole"]).ok();
    let whole = start.elapsed();
    for instant in 0..12 {
        let mut child = env.wxc(["copy", "web", "part"]).spawn();
        std::thread::sleep(whole * instant / 11);
        child.kill().and_then(|()| child.wait()).unwrap();
        if !env.wxc(["ls", "-1"]).ok().lines().any(|line| line == "part") {
            env.wxc(["copy", "web", "part"]).ok();
        }
        let part = env.container("part").join("rootfs");
        assert_eq!(same(&listing(&part)), same(&before), "{instant}");
        env.wxc(["destroy", "part"]).ok();
    }
    assert_eq!(listing(&env.container("web").join("rootfs")), before);
}

#[test]
fn an_interrupted_copy_leaves_nothing() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    // Large enough to be met in the middle.
    let big = env.container("web").join("rootfs/big");
    Run::host("sh", ["-c", "mkdir \"$1\"; cd \"$1\"; seq 20000 | xargs touch", "sh", big.to_str().unwrap()])
        .ok();
    let child = env.wxc(["copy", "web", "copy"]).spawn();
    let made = env.container("copy").join("rootfs");
    until("it copies", 10, || made.exists().then_some(()));
    proc::signal(i32::try_from(child.id()).unwrap(), rustix::process::Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(!env.container("copy").exists());
    assert!(env.processes().is_empty());
}
