//! Snapshots: taken, listed, restored in place, removed; complete as of one moment, or not there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use wxc_tests::{Env, Run, needs, proc, until};

/// How many instants of a command are tried.
const INSTANTS: u32 = 8;

/// A container with everything in it that a copy could lose.
fn original(env: &Env) {
    env.busybox("web", &["-s", "environment.set.MOMENT=first"]);
    let root = env.container("web").join("rootfs");
    let script = "
        cd \"$1\"; mkdir -p odd/dir; echo first > odd/file; ln odd/file odd/link; ln -s file odd/symlink
        chown 1000:50 odd/file; chmod 4751 odd/file; mkfifo -m 640 odd/fifo
        truncate -s 10M odd/sparse; echo x | dd of=odd/sparse bs=1 seek=5M conv=notrunc status=none
        chmod 2770 odd/dir; touch -h -d 2001-02-03T04:05:06.789 odd/symlink odd/dir";
    Run::host("sh", ["-c", script, "sh", root.to_str().unwrap()]).ok();
    setxattr(root.join("odd/dir"), "user.colour", b"green", XattrFlags::empty()).unwrap();
}

/// What there is to know about every entry below a directory.
fn listing(root: &Path) -> String {
    let script = "cd \"$1\" && find . -printf '%P|%y|%m|%U:%G|%T@|%l\\n' | sort
        find . ! -type d -printf '%P|%n|%s\\n' | sort
        find . -type f -exec sha256sum {} + | sort";
    let files = Run::host("sh", ["-c", script, "sh", root.to_str().unwrap()]).ok();
    let mut value = [0; 16];
    let size = getxattr(root.join("odd/dir"), "user.colour", &mut value).unwrap_or(0);
    files + &String::from_utf8_lossy(&value[..size])
}

/// Another content and configuration than those of the snapshot.
fn change(env: &Env) {
    let root = env.container("web").join("rootfs");
    fs::remove_dir_all(root.join("odd")).unwrap();
    fs::write(root.join("second"), "second").unwrap();
    env.wxc(["config", "set", "web", "environment.set.MOMENT", "second"]).ok();
}

fn moment(env: &Env) -> String {
    env.wxc(["config", "get", "web", "environment.set.MOMENT"]).ok().trim().to_owned()
}

fn snapshots(env: &Env) -> serde_json::Value {
    serde_json::from_str(&env.wxc(["snapshot", "web", "-L", "--json"]).ok()).unwrap()
}

/// What is in the directory of the snapshots.
fn left(env: &Env) -> Vec<String> {
    let entries = fs::read_dir(env.container("web").join("snaps")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[test]
fn restoring_brings_everything_back() {
    needs!(root, busybox);
    let env = Env::new();
    original(&env);
    let root = env.container("web").join("rootfs");
    let before = listing(&root);
    let config = fs::read(env.container("web").join("container.toml")).unwrap();
    assert_eq!(env.wxc(["snapshot", "web"]).ok(), "snap0\n");
    assert!(listing(&root) == before);
    change(&env);
    assert!(listing(&root) != before);
    env.wxc(["snapshot", "web", "-r", "snap0"]).ok();
    assert!(listing(&root) == before);
    let inode = |name: &str| fs::metadata(root.join(name)).unwrap().ino();
    assert_eq!(inode("odd/file"), inode("odd/link"));
    assert!(fs::metadata(root.join("odd/sparse")).unwrap().blocks() < 1000);
    assert_eq!(fs::read(env.container("web").join("container.toml")).unwrap(), config);
    assert_eq!(left(&env), ["snap0"]);
    // The snapshot is what it was, and can be gone back to again.
    change(&env);
    env.wxc(["snapshot", "-n", "web", "--restore", "snap0"]).ok();
    assert!(listing(&root) == before);
}

#[test]
fn snapshots_have_names_and_comments() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    assert_eq!(env.wxc(["snapshot", "web", "-L"]).ok(), "");
    assert_eq!(env.wxc(["snapshot", "web", "-L", "--json"]).ok(), "[]\n");
    env.wxc(["snapshot", "web", "-c", "it works\nnow"]).ok();
    let file = env.file("comment");
    fs::write(&file, "from a file\u{1b}[31m\n").unwrap();
    env.wxc(["snapshot", "web", "before-upgrade", "-c", file.to_str().unwrap()]).ok();
    assert_eq!(env.wxc(["snapshot", "-n", "web"]).ok(), "snap1\n");
    let list = snapshots(&env);
    let of = |key: &str| list.as_array().unwrap().iter().map(|s| s[key].clone()).collect::<Vec<_>>();
    let mut names = of("name");
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["before-upgrade", "snap0", "snap1"]);
    let comment = |name: &str| {
        let all = list.as_array().unwrap();
        all.iter().find(|snapshot| snapshot["name"] == name).unwrap()["comment"].clone()
    };
    assert_eq!(comment("snap0"), "it works\nnow");
    assert_eq!(comment("before-upgrade"), "from a file\u{1b}[31m");
    assert!(comment("snap1").is_null());
    assert!(of("created").iter().all(|at| at.as_str().unwrap().ends_with('Z')), "{list}");
    assert!(of("size").iter().all(|size| size.as_u64().unwrap() > 0), "{list}");
    let table = env.wxc(["snapshot", "web", "-L"]).ok();
    assert!(table.starts_with("NAME") && !table.contains("it works"), "{table}");
    let table = env.wxc(["snapshot", "web", "-C"]).ok();
    assert!(table.contains("it works") && table.contains("from a file\u{fffd}"), "{table}");
    // The lowest free number, as LXC counts.
    env.wxc(["snapshot", "web", "-d", "snap0"]).ok();
    assert_eq!(env.wxc(["snapshot", "web"]).ok(), "snap0\n");
    let info = env.wxc(["info", "web"]).ok();
    assert!(info.contains("Snapshots:      3\n"), "{info}");
    let list = env.wxc(["ls", "-F", "NAME,SNAPSHOTS"]).ok();
    assert!(list.lines().any(|line| line.split_whitespace().eq(["web", "3"])), "{list}");
}

#[test]
fn what_is_wrong_is_refused_with_a_reason() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["snapshot", "web", "one"]).ok();
    for (words, reason) in [
        (&["snapshot", "wb"][..], "did you mean web?"),
        (&["snapshot", "web", "one"], "already"),
        (&["snapshot", "web", "../x"], "not the name of a snapshot"),
        (&["snapshot", "web", "ALL"], "stands for all"),
        (&["snapshot", "web", "-r", "two"], "there are one"),
        (&["snapshot", "web", "-d", "two"], "there are one"),
    ] {
        let message = env.wxc(words).fails(1);
        assert!(message.contains(reason), "{words:?}: {message}");
    }
    assert_eq!(left(&env), ["one"]);
}

#[test]
fn a_container_with_snapshots_is_not_destroyed_by_accident() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["snapshot", "web"]).ok();
    env.wxc(["snapshot", "web", "other"]).ok();
    let message = env.wxc(["destroy", "-f", "web"]).fails(1);
    assert!(message.contains("other, snap0") && message.contains("wxc destroy -s web"), "{message}");
    env.wxc(["snapshot", "web", "-d", "ALL"]).ok();
    assert_eq!(left(&env), Vec::<String>::new());
    env.wxc(["snapshot", "web"]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
    assert!(!env.container("web").exists());
}

#[test]
fn a_running_container_is_frozen_meanwhile_and_not_restored() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["start", "web"]).ok();
    env.inside("web", "echo inside > /root/file && chown 7:7 /root/file");
    let monitor = env.wxc(["monitor", "web"]).into_command().stdout(std::process::Stdio::piped()).spawn();
    let monitor = monitor.unwrap();
    until("the watch begins", 10, || {
        let socket = format!("/proc/{}/fd", monitor.id());
        let entries = fs::read_dir(socket).into_iter().flatten().flatten();
        let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        (links.filter(|link| link.to_string_lossy().starts_with("socket:")).count() > 0).then_some(())
    });
    let output = env.wxc(["snapshot", "web"]).run();
    assert!(output.stderr.contains("frozen meanwhile"), "{}", output.told());
    until("it runs again", 10, || (env.state("web") == "RUNNING").then_some(()));
    let message = env.wxc(["snapshot", "web", "-r", "snap0"]).fails(1);
    assert!(message.contains("RUNNING") && message.contains("wxc stop web"), "{message}");
    assert_eq!(env.inside("web", "rm /root/file; echo fine"), "fine");
    env.wxc(["stop", "-k", "web"]).ok();
    proc::signal(i32::try_from(monitor.id()).unwrap(), rustix::process::Signal::TERM);
    let told = String::from_utf8(monitor.wait_with_output().unwrap().stdout).unwrap();
    assert!(told.contains("FROZEN") && told.contains("THAWED"), "{told}");
    env.wxc(["snapshot", "web", "-r", "snap0"]).ok();
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "cat /root/file; stat -c %u:%g /root/file"), "inside\n7:7");
}

#[test]
fn a_container_that_somebody_froze_stays_frozen() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["start", "web"]).ok();
    env.wxc(["freeze", "web"]).ok();
    env.wxc(["snapshot", "web"]).ok();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(env.state("web"), "FROZEN");
}

#[test]
fn a_snapshot_becomes_a_container_of_its_own() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    original(&env);
    let before = listing(&env.container("web").join("rootfs/odd"));
    env.wxc(["snapshot", "web"]).ok();
    change(&env);
    let message = env.wxc(["snapshot", "web", "-r", "snap0", "-N", "web"]).fails(1);
    assert!(message.contains("already"), "{message}");
    // Also while the original runs.
    env.wxc(["start", "web"]).ok();
    env.wxc(["snapshot", "web", "-r", "snap0", "-N", "again"]).ok();
    let root = env.container("again").join("rootfs");
    assert!(listing(&root.join("odd")) == before);
    assert_eq!(fs::read_to_string(root.join("etc/hostname")).unwrap(), "again\n");
    let get = |name: &str, key: &str| env.wxc(["config", "get", name, key]).ok();
    assert_eq!(get("again", "environment.set.MOMENT"), "first\n");
    assert_ne!(get("again", "ids.users"), get("web", "ids.users"));
    let config = fs::read_to_string(env.container("again").join("container.toml")).unwrap();
    assert!(!config.contains("[snapshot]"), "{config}");
    assert_eq!(moment(&env), "second");
    env.wxc(["start", "again"]).ok();
    assert_eq!(env.inside("again", "hostname; echo $MOMENT"), "again\nfirst");
    // Independent of it.
    env.wxc(["destroy", "-f", "-s", "web"]).ok();
    assert_eq!(env.inside("again", "cat /odd/file"), "first");
}

/// The same on a storage that takes snapshots itself.
#[test]
fn layers_are_taken_and_restored_at_once() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &["-B", "overlay", "-s", "environment.set.MOMENT=first"]);
    let run = |script: &str| {
        env.wxc(["start", "web"]).ok();
        let said = env.inside("web", script);
        env.wxc(["stop", "-k", "web"]).ok();
        said
    };
    run("echo one > /root/file; rm /bin/vi");
    let output = env.wxc(["snapshot", "web"]).run();
    assert!(output.status.success() && !output.stderr.contains("copied"), "{}", output.told());
    run("echo two > /root/file; echo more > /root/more");
    env.wxc(["config", "set", "web", "environment.set.MOMENT", "second"]).ok();
    env.wxc(["snapshot", "web", "two"]).ok();
    env.wxc(["snapshot", "web", "-r", "snap0"]).ok();
    assert_eq!(
        run("cat /root/file; ls /root; test -e /bin/vi || echo none; echo $MOMENT"),
        "one\nfile\nnone\nfirst"
    );
    env.wxc(["snapshot", "web", "-r", "two"]).ok();
    assert_eq!(run("cat /root/file /root/more; echo $MOMENT"), "two\nmore\nsecond");
    // What the container is built on is gone for people, and stays for it.
    let output = env.wxc(["snapshot", "web", "-d", "two"]).run();
    assert!(output.stderr.contains("stays as long as"), "{}", output.told());
    assert_eq!(snapshots(&env).as_array().unwrap().len(), 1);
    assert_eq!(run("cat /root/file"), "two");
    let message = env.wxc(["snapshot", "web", "two"]).fails(1);
    assert!(message.contains("built on"), "{message}");
    env.wxc(["destroy", "-s", "web"]).ok();
    assert!(!env.container("web").exists());
}

/// The same on a storage whose snapshots are copies of disks.
#[test]
fn disks_are_copied_and_change_places() {
    needs!(root, userns, busybox, cgroups, disks);
    let env = Env::new();
    env.busybox("web", &["-B", "loop"]);
    let run = |script: &str| {
        env.wxc(["start", "web"]).ok();
        let said = env.inside("web", script);
        env.wxc(["stop", "-k", "web"]).ok();
        said
    };
    run("echo one > /root/file");
    env.wxc(["snapshot", "web"]).ok();
    run("echo two > /root/file");
    env.wxc(["snapshot", "web", "-r", "snap0"]).ok();
    assert_eq!(run("cat /root/file"), "one");
    env.wxc(["snapshot", "web", "-r", "snap0", "-N", "again"]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
    env.wxc(["start", "again"]).ok();
    assert_eq!(env.inside("again", "cat /root/file; hostname"), "one\nagain");
}

/// Enough files that a copy of them takes a while.
fn enlarge(env: &Env) {
    let script = "cd \"$1\"; mkdir many; for i in $(seq 1000); do echo $i > many/$i; done";
    let root = env.container("web").join("rootfs");
    Run::host("sh", ["-c", script, "sh", root.to_str().unwrap()]).ok();
}

#[test]
fn a_killed_snapshot_is_absent_or_complete_and_the_container_runs_on() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    original(&env);
    enlarge(&env);
    let before = listing(&env.container("web").join("rootfs"));
    env.wxc(["start", "web"]).ok();
    let begin = Instant::now();
    env.wxc(["snapshot", "web", "whole"]).ok();
    let whole = begin.elapsed();
    let mut absent = 0;
    for instant in 0..INSTANTS {
        let mut child = env.wxc(["snapshot", "web", "part"]).spawn();
        std::thread::sleep(whole * instant / (INSTANTS - 1));
        child.kill().unwrap();
        child.wait().unwrap();
        until("it runs again", 10, || (env.state("web") == "RUNNING").then_some(()));
        let list = snapshots(&env);
        let names: Vec<&str> = list.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
        absent += usize::from(!names.contains(&"part"));
        if names.contains(&"part") {
            assert!(listing(&env.container("web").join("snaps/part/rootfs")) == before, "{instant}");
            env.wxc(["snapshot", "web", "-d", "part"]).ok();
        } else {
            // The name is free again, and nothing else is left.
            env.wxc(["snapshot", "web", "part"]).ok();
            env.wxc(["snapshot", "web", "-d", "part"]).ok();
        }
        assert_eq!(left(&env), ["whole"], "{instant}");
    }
    assert!(absent > 0, "every snapshot was complete before it was killed");
}

#[test]
fn a_killed_restore_leaves_the_old_content_or_the_new() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    original(&env);
    enlarge(&env);
    let root = env.container("web").join("rootfs");
    let first = listing(&root);
    env.wxc(["snapshot", "web"]).ok();
    change(&env);
    env.wxc(["snapshot", "web"]).ok();
    let second = listing(&root);
    let begin = Instant::now();
    env.wxc(["snapshot", "web", "-r", "snap0"]).ok();
    let whole = begin.elapsed();
    for instant in 0..INSTANTS {
        env.wxc(["snapshot", "web", "-r", "snap1"]).ok();
        assert!(listing(&root) == second && moment(&env) == "second", "{instant}");
        let mut child = env.wxc(["snapshot", "web", "-r", "snap0"]).spawn();
        std::thread::sleep(whole * instant / (INSTANTS - 1));
        child.kill().unwrap();
        child.wait().unwrap();
        // The next command that changes it settles first what was begun.
        env.wxc(["config", "set", "web", "environment.set.OTHER", "x"]).ok();
        env.wxc(["start", "web"]).ok();
        env.wxc(["stop", "-k", "web"]).ok();
        let now = (listing(&root), moment(&env));
        let old = (second.clone(), "second".to_owned());
        assert!(now == old || now == (first.clone(), "first".to_owned()), "{instant}: {}", now.1);
        env.wxc(["snapshot", "web", "last"]).ok();
        env.wxc(["snapshot", "web", "-d", "last"]).ok();
        assert_eq!(left(&env), ["snap0", "snap1"], "{instant}");
    }
}
