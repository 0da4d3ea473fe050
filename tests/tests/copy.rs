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
    // The first is the root itself, whose time is that of the topmost layer.
    let own = ["|", "etc|", "etc/hostname|", "etc/hosts|", "etc/machine-id|"];
    let lines = listing.lines().filter(|line| !own.iter().any(|own| line.starts_with(own)));
    lines.map(str::to_owned).collect()
}

/// The lines that one of two listings has and the other has not.
fn difference(one: &str, two: &str) -> Vec<String> {
    let (one, two) = (same(one), same(two));
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect();
    let (mut lines, more): (Vec<String>, Vec<String>) = (only(&one, &two), only(&two, &one));
    lines.extend(more);
    lines
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
    assert!(listing(&web) == before);
    let differs = difference(&listing(&copy), &before);
    assert!(differs.is_empty(), "{differs:?}");
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
    let message = env.wxc(["copy", "-s", "-B", "dir", "web", "new"]).fails(1);
    assert!(message.contains("cannot share"), "{message}");
    let elsewhere = env.file("elsewhere");
    let message = env.wxc(["copy", "-s", "-p", elsewhere.to_str().unwrap(), "web", "new"]).fails(1);
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

/// `-s -a`: by a snapshot for which it rests. What either writes from then on is its own.
fn shared_while_it_runs(env: &Env) {
    env.wxc(["start", "web"]).ok();
    env.inside("web", "echo old > /root/mark; rm /bin/vi");
    let told = env.wxc(["copy", "-s", "-a", "web", "clone"]).run();
    assert!(told.status.success() && told.stderr.contains("cloned web to clone"), "{}", told.told());
    assert_eq!(env.state("web"), "RUNNING");
    // The snapshot that it is built on is nobody's mistake.
    env.wxc(["doctor"]).ok();
    assert!(!env.wxc(["snapshot", "web", "-L"]).ok().contains("copy-"));
    // The kernel still has its layers, and what is below can be written for the first time.
    env.inside("web", "echo new > /root/mark; echo more >> /etc/passwd; mkdir /later");
    env.wxc(["start", "clone"]).ok();
    let seen = "cat /root/mark; ls -d /later /bin/vi 2>/dev/null; tail -n 1 /etc/passwd";
    let seen = env.inside("clone", seen);
    assert!(seen.starts_with("old\n") && !seen.contains("later") && !seen.contains("more"), "{seen}");
    env.inside("clone", "echo mine > /root/mark");
    assert_eq!(env.inside("web", "cat /root/mark"), "new");
    env.wxc(["stop", "-k", "clone"]).ok();
    // It stands without what it came from.
    env.wxc(["destroy", "-f", "web"]).ok();
    env.wxc(["start", "clone"]).ok();
    assert_eq!(env.inside("clone", "cat /root/mark"), "mine");
    env.wxc(["destroy", "-f", "clone"]).ok();
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "");
    let left: Vec<_> = fs::read_dir(env.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn a_running_one_in_layers_is_shared() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &["-B", "overlay"]);
    shared_while_it_runs(&env);
}

#[test]
fn a_running_one_on_a_disk_is_shared_where_blocks_are() {
    needs!(root, userns, busybox, cgroups, btrfs, disks);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "loop", "--size", "64M"]);
    shared_while_it_runs(&env);
    // Without shared blocks it would be copied twice while it rests.
    let plain = Env::on("ext4");
    plain.busybox("web", &["-B", "loop", "--size", "64M"]);
    plain.wxc(["start", "web"]).ok();
    let refused = plain.wxc(["copy", "-s", "-a", "web", "clone"]).fails(1);
    assert!(refused.contains("shares only what does not run"), "{refused}");
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
        assert!(same(&listing(&part)) == same(&before), "{instant}");
        env.wxc(["destroy", "part"]).ok();
    }
    assert!(listing(&env.container("web").join("rootfs")) == before);
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

#[test]
fn an_ephemeral_copy_is_gone_at_stop() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["copy", "-e", "-t", "web", "memory"]).ok();
    let upper = env.container("memory").join("delta/root/x");
    assert_eq!(env.inside("memory", "echo x > /root/x; cat /root/x"), "x");
    assert!(!upper.exists());
    env.wxc(["stop", "-k", "memory"]).ok();
    until("it is gone", 10, || (!env.container("memory").exists()).then_some(()));

    env.wxc(["copy", "-e", "web", "once"]).ok();
    assert_eq!(env.state("once"), "RUNNING");
    assert_eq!(env.inside("once", "hostname; echo x > /root/x"), "once");
    env.wxc(["stop", "-k", "once"]).ok();
    until("it is gone", 10, || (!env.container("once").exists()).then_some(()));
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "web\n");
    // The original is as it was, and usable.
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "ls /root"), "");
}

#[test]
fn an_ephemeral_copy_for_one_command() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    let output = env.wxc(["copy", "-e", "web", "--", "/bin/sh", "-c", "hostname; exit 7"]).run();
    assert_eq!(output.code(), 7, "{}", output.told());
    assert!(output.stdout.starts_with("web-"), "{}", output.told());
    until("it is gone", 10, || (env.wxc(["ls", "-1"]).ok() == "web\n").then_some(()));
}

#[test]
fn a_run_in_a_throw_away_copy() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    let script = "rm -rf /bin /etc 2>/dev/null; echo gone";
    let output = env.wxc(["run", "--from", "web", "--", "/bin/sh", "-c", script]).run();
    assert_eq!((output.code(), output.stdout.as_str()), (0, "gone\n"), "{}", output.told());
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "web\n");
    assert!(env.container("web").join("rootfs/bin/sh").exists());
    assert_eq!(env.wxc(["run", "--from", "web", "--", "/bin/false"]).run().code(), 1);
    let message = env.wxc(["run", "--from", "wb", "--", "/bin/true"]).fails(1);
    assert!(message.contains("did you mean web?"), "{message}");
}

#[test]
fn a_clone_shares_until_something_changes() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    original(&env);
    let before = listing(&env.container("web").join("rootfs"));
    let output = env.wxc(["copy", "-s", "web", "clone"]).run();
    assert!(output.status.success() && output.stderr.contains("cannot be started"), "{}", output.told());
    assert!(!env.container("clone").join("rootfs").exists());
    env.wxc(["start", "clone"]).ok();
    assert_eq!(env.inside("clone", "hostname; cat /etc/hostname"), "clone\nclone");
    assert_eq!(
        env.inside("clone", "cat /odd/file; stat -c '%a %u:%g %h' /odd/file"),
        "hello\n4751 1000:50 2"
    );
    assert_eq!(env.inside("clone", "echo changed > /odd/file; rm -r /odd/dir; cat /odd/file"), "changed");
    assert!(listing(&env.container("web").join("rootfs")) == before);
}

#[test]
fn what_others_are_built_on_is_neither_started_nor_destroyed() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["copy", "-s", "web", "one"]).ok();
    env.wxc(["copy", "-s", "web", "two"]).ok();
    for (verb, said) in [("start", "cannot be started"), ("destroy", "cannot be destroyed")] {
        let message = env.wxc([verb, "web"]).fails(1);
        assert!(message.contains(said) && message.contains("one, two"), "{message}");
    }
    let table = env.wxc(["ls", "-F", "NAME,PARENT"]).ok();
    assert!(table.contains("one  web"), "{table}");
    let told = env.wxc(["info", "web"]).ok();
    assert!(told.contains("one, two"), "{told}");

    // A full copy depends on nothing.
    env.wxc(["copy", "two", "three"]).ok();
    env.wxc(["destroy", "one"]).ok();
    env.wxc(["destroy", "two"]).ok();
    env.wxc(["start", "web"]).ok();
    env.wxc(["start", "three"]).ok();
    assert_eq!(env.inside("three", "cat /etc/hostname"), "three");
}

#[test]
fn what_is_destroyed_under_clones_stays_for_them() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    env.wxc(["copy", "-s", "web", "middle"]).ok();
    env.wxc(["copy", "-s", "middle", "top"]).ok();
    env.wxc(["start", "top"]).ok();
    env.wxc(["destroy", "-f", "web"]).ok();
    env.wxc(["destroy", "-f", "middle"]).ok();
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "top\n");
    assert_eq!(env.inside("top", "cat /etc/hostname; ls /bin/sh"), "top\n/bin/sh");
    env.wxc(["stop", "-k", "top"]).ok();
    env.wxc(["start", "top"]).ok();
    assert_eq!(env.inside("top", "ls /bin/sh"), "/bin/sh");
    // The name of what is kept is not free, and nothing of it can be started.
    let message = env.wxc(["copy", "-a", "top", "web"]).fails(1);
    assert!(message.contains("not free yet") && message.contains("top"), "{message}");
    env.wxc(["start", "web"]).fails(1);
    env.wxc(["destroy", "-f", "top"]).ok();
    assert!(!env.container("web").exists() && !env.container("middle").exists());
}

#[test]
fn a_killed_clone_leaves_nothing_or_all() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    let start = Instant::now();
    env.wxc(["copy", "-s", "web", "whole"]).ok();
    let whole = start.elapsed();
    env.wxc(["destroy", "whole"]).ok();
    for instant in 0..12 {
        let mut child = env.wxc(["copy", "-s", "web", "part"]).spawn();
        std::thread::sleep(whole * instant / 11);
        child.kill().and_then(|()| child.wait()).unwrap();
        if env.wxc(["ls", "-1"]).ok().lines().any(|line| line == "part") {
            env.wxc(["start", "part"]).ok();
            env.wxc(["destroy", "-f", "part"]).ok();
        }
        // Whatever was sealed for it is usable again.
        env.wxc(["start", "web"]).ok();
        env.wxc(["stop", "-k", "web"]).ok();
        env.wxc(["copy", "-s", "web", "part"]).ok();
        env.wxc(["destroy", "part"]).ok();
        assert!(!env.container("part").exists());
    }
}

#[test]
fn copies_between_storages() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    original(&env);
    let before = listing(&env.container("web").join("rootfs"));
    env.wxc(["copy", "-B", "overlay", "web", "layers"]).ok();
    assert_eq!(get(&env, "layers", "rootfs.storage"), "overlay");
    env.wxc(["copy", "-s", "layers", "above"]).ok();
    // What is seen through two layers, as files again.
    env.wxc(["copy", "-B", "dir", "above", "back"]).ok();
    let differs = difference(&listing(&env.container("back").join("rootfs")), &before);
    assert!(differs.is_empty(), "{differs:?}");
    env.wxc(["start", "back"]).ok();
    env.wxc(["start", "web"]).ok();
}

#[test]
fn a_rename_copies_nothing_and_keeps_the_machine() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    original(&env);
    let inode = |name: &str| fs::metadata(env.container(name).join("rootfs")).unwrap().ino();
    let (before, ids) = (inode("web"), get(&env, "web", "ids.users"));
    env.wxc(["copy", "-R", "web", "www"]).ok();
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "www\n");
    assert!(!env.container("web").exists());
    assert_eq!((inode("www"), get(&env, "www", "ids.users")), (before, ids.clone()));
    assert_eq!(get(&env, "www", "network.0.mac"), "10:66:6a:00:00:01");
    let read = |name: &str| fs::read_to_string(env.container("www").join("rootfs").join(name)).unwrap();
    assert_eq!(read("etc/hostname"), "www\n");
    assert!(read("etc/machine-id").starts_with("0123"));
    assert_eq!(read("etc/hosts"), "127.0.0.1\tlocalhost\n127.0.1.1\twww.lan www\n");
    // The ids are still its own.
    env.busybox("web", &[]);
    assert_ne!(get(&env, "web", "ids.users"), ids);
    env.wxc(["start", "www", "-s", "network=[]"]).ok();
    let message = env.wxc(["copy", "-R", "www", "other"]).fails(1);
    assert!(message.contains("RUNNING"), "{message}");
    let message = env.wxc(["copy", "-R", "web", "www"]).fails(1);
    assert!(message.contains("already"), "{message}");
}

#[test]
fn clones_follow_what_they_are_built_on_when_it_is_renamed() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &["-B", "overlay"]);
    env.wxc(["copy", "-s", "web", "clone"]).ok();
    env.wxc(["copy", "-R", "web", "www"]).ok();
    assert_eq!(env.wxc(["ls", "-F", "PARENT", "clone"]).ok().lines().last().unwrap().trim(), "www");
    env.wxc(["start", "clone"]).ok();
    assert_eq!(env.inside("clone", "cat /etc/hostname"), "clone");
}

/// Snapshots come along when that is asked for, with an identity of the copy's own, and need the original no more than it does.
fn snapshots_come_along(env: &Env, storage: &str, sharing: bool) {
    env.busybox("web", &["-B", storage, "-s", "environment.set.MOMENT=first"]);
    let write = |text: &str| {
        env.wxc(["start", "web"]).ok();
        env.inside("web", &format!("echo {text} > /root/moment; hostname > /etc/hostname"));
        env.wxc(["stop", "-k", "web"]).ok();
    };
    write("one");
    env.wxc(["snapshot", "web", "one", "-c", "the first"]).ok();
    write("two");
    env.wxc(["config", "set", "web", "environment.set.MOMENT", "second"]).ok();
    env.wxc(["snapshot", "web", "two"]).ok();
    write("three");
    let mut words = vec!["copy", "web", "copy", "--with-snapshots", "--json"];
    words.extend(sharing.then_some("-s"));
    let told: serde_json::Value = serde_json::from_str(&env.wxc(words).ok()).unwrap();
    assert_eq!(told["snapshots"], serde_json::json!(["one", "two"]), "{told}");
    let list = |name: &str| -> serde_json::Value {
        let mut list = serde_json::from_str(&env.wxc(["snapshot", name, "-L", "--json"]).ok()).unwrap();
        let snapshots: &mut Vec<serde_json::Value> = serde_json::Value::as_array_mut(&mut list).unwrap();
        snapshots.iter_mut().for_each(|snapshot| snapshot["size"] = serde_json::Value::Null);
        list
    };
    assert_eq!(list("copy"), list("web"), "{storage}");
    if !sharing {
        env.wxc(["destroy", "-s", "web"]).ok();
    }
    for (snapshot, content, moment) in [("one", "one", "first"), ("two", "two", "second")] {
        env.wxc(["snapshot", "copy", "-r", snapshot]).ok();
        env.wxc(["start", "copy"]).ok();
        let told = env.inside("copy", "cat /root/moment /etc/hostname; hostname; echo $MOMENT");
        assert_eq!(told, format!("{content}\ncopy\ncopy\n{moment}"), "{storage}");
        env.wxc(["stop", "-k", "copy"]).ok();
    }
    if sharing {
        // What the snapshots are built on is kept for them.
        let message = env.wxc(["destroy", "-s", "web"]).fails(1);
        assert!(message.contains("copy"), "{message}");
    }
    env.wxc(["destroy", "-s", "copy"]).ok();
    if sharing {
        env.wxc(["destroy", "-s", "web"]).ok();
    }
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "");
    let output = env.wxc(["doctor"]).run();
    assert_eq!(output.code(), 0, "{}", output.told());
}

#[test]
fn snapshots_come_along_from_directories_and_layers() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    snapshots_come_along(&env, "dir", false);
    snapshots_come_along(&env, "overlay", false);
    snapshots_come_along(&env, "overlay", true);
}

#[test]
fn snapshots_come_along_from_subvolumes_and_disks() {
    needs!(root, userns, busybox, cgroups, btrfs, disks);
    let env = Env::on("btrfs");
    snapshots_come_along(&env, "btrfs", false);
    // In the storage's own time: disks of the usual size are sparse.
    snapshots_come_along(&env, "loop", false);
}

#[test]
fn a_copy_with_snapshots_that_is_killed_is_absent_or_complete() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &["-B", "overlay"]);
    env.wxc(["snapshot", "web", "one"]).ok();
    env.wxc(["snapshot", "web", "two"]).ok();
    let words = ["copy", "web", "copy", "--with-snapshots"];
    for site in
        ["copy.snapshot", "copy.snapshot#2", "copy.snapshot.seal", "copy.snapshot.seal#2", "copy.complete"]
    {
        for fault in wxc_tests::failpoints::Fault::ALL {
            let output = wxc_tests::failpoints::with_fault(&env, &words, fault, site);
            assert!(!output.status.success(), "{site}: {}", output.told());
            env.wxc(["doctor", "--repair"]).ok();
            assert!(!env.container("copy").exists(), "{site} {fault:?}");
            let output = env.wxc(["doctor"]).run();
            assert_eq!(output.code(), 0, "{site} {fault:?}: {}", output.told());
        }
    }
    env.wxc(words).ok();
}
