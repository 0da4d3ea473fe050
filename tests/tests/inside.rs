//! What a guest sees and may do: asked from the inside, and checked from the outside.

use std::fs;

use wxc_tests::{Env, needs, proc};

fn running(name: &str, options: &[&str]) -> Env {
    let env = Env::new();
    env.busybox(name, options);
    env.wxc(["start", name]).ok();
    env
}

#[test]
fn root_inside_is_nobody_outside() {
    needs!(root, userns, busybox, cgroups);
    let env = running("ids", &[]);
    assert_eq!(env.inside("ids", "id -u"), "0");
    let uid = proc::status(env.pid("ids"), "Uid").unwrap();
    let uid: u32 = uid.split_whitespace().next().unwrap().parse().unwrap();
    assert!(uid >= 65536, "init is {uid} outside");
    // Ids on disk are those the guest sees: nothing was chowned, and what it makes is its own.
    env.inside("ids", "echo x > /made; chown 1000:1000 /made");
    let made = fs::metadata(env.container("ids").join("rootfs/made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 1000);
    assert_eq!(env.inside("ids", "stat -c %u:%g /bin/busybox /made"), "0:0\n1000:1000");
}

#[test]
fn no_two_containers_share_an_id() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let other = Env::new();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (env, name) in [(&env, "one"), (&env, "two"), (&other, "one")] {
        env.busybox(name, &[]);
        env.wxc(["start", name]).ok();
        let map = env.inside(name, "cat /proc/self/uid_map");
        let words: Vec<u64> = map.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!((words[0], words[2], words.len()), (0, 65536, 3), "{map}");
        ranges.push((words[1], words[1] + words[2]));
    }
    // A range is kept: the same one after a restart.
    env.wxc(["stop", "-k", "one"]).ok();
    env.wxc(["start", "one"]).ok();
    assert!(env.inside("one", "cat /proc/self/uid_map").contains(&ranges[0].0.to_string()));
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ranges:?}");
}

#[test]
fn every_namespace_is_its_own() {
    needs!(root, userns, busybox, cgroups);
    let env = running("ns", &[]);
    let init = env.pid("ns");
    let own = i32::try_from(std::process::id()).unwrap();
    for kind in ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup"] {
        assert_ne!(proc::namespace(init, kind), proc::namespace(own, kind), "{kind}");
    }
    assert_eq!(env.inside("ns", "hostname"), "ns");
    assert_eq!(env.inside("ns", "ls /sys/class/net"), "lo");
    assert!(
        env.inside("ns", "cat /sys/class/net/lo/operstate /sys/class/net/lo/flags; ifconfig lo")
            .contains("127.0.0.1")
    );
    let processes = env.inside("ns", "ls -d /proc/[0-9]* | wc -l");
    assert!(processes.parse::<u32>().unwrap() < 12, "{processes}");
}

#[test]
fn privileged_is_root_of_the_machine_and_nothing_else() {
    needs!(root, busybox, cgroups);
    let env = running("priv", &["--privileged"]);
    let init = env.pid("priv");
    let own = i32::try_from(std::process::id()).unwrap();
    assert_eq!(proc::namespace(init, "user"), proc::namespace(own, "user"));
    assert!(proc::status(init, "Uid").unwrap().starts_with('0'));
    assert_ne!(proc::namespace(init, "pid"), proc::namespace(own, "pid"));
    // No disk, no kernel module, no clock.
    let dangers = [
        "mknod /tmp/disk b 254 0 && head -c1 /tmp/disk",
        "date -s 2001-01-01 2>&1 >/dev/null | grep -v permitted",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/kernel/panic",
    ];
    for danger in dangers {
        let output = env.wxc(["attach", "priv", "--", "/bin/sh", "-c", danger]).run();
        assert!(!output.status.success(), "{}", output.told());
    }
}

#[test]
fn the_machine_is_out_of_reach() {
    needs!(root, userns, busybox, cgroups);
    let env = running("reach", &[]);
    let dangers = [
        "mknod /tmp/disk b 254 0",
        "mount -t ext4 /dev/vda /mnt",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/kernel/panic",
        "echo x > /sys/kernel/uevent_helper",
        "cat /proc/kcore | head -c1",
        "dmesg -c > /dev/null",
        "date -s 2001-01-01 2>&1 >/dev/null | grep -v permitted",
    ];
    for danger in dangers {
        let output = env.wxc(["attach", "reach", "--", "/bin/sh", "-c", danger]).run();
        // Masked files are there and empty.
        assert!(!output.status.success() || output.stdout.is_empty(), "{}", output.told());
    }
    let mounts = env.inside("reach", "cat /proc/self/mountinfo");
    // Of the test's own directory: the container's root, and the file with its boot id.
    let own = |line: &&str| line.contains("/c/reach/rootfs / ") || line.contains("/reach/boot-id /proc/sys/");
    let others: Vec<_> = mounts.lines().filter(|line| line.contains("wxc-t") && !own(line)).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn devices_are_the_harmless_ones() {
    needs!(root, userns, busybox, cgroups);
    let env = running("dev", &[]);
    let probe = "for d in null zero full random urandom tty console ptmx pts shm fd stdin; do test -e /dev/$d || echo no $d; done; \
                 echo x > /dev/null && head -c4 /dev/zero | wc -c && head -c4 /dev/urandom | wc -c";
    assert_eq!(env.inside("dev", probe), "4\n4");
    let nodes = env.inside("dev", "find /dev -type b | wc -l");
    assert_eq!(nodes, "0");
}

#[test]
fn settings_reach_the_guest() {
    needs!(root, userns, busybox, cgroups);
    let env = running(
        "set",
        &["-s", "hostname=other", "-s", "sysctl.net.ipv4.ip_forward=1", "-s", "rlimits.nofile=777"],
    );
    assert_eq!(env.inside("set", "hostname; cat /proc/sys/net/ipv4/ip_forward"), "other\n1");
    assert!(env.inside("set", "grep 'open files' /proc/1/limits").contains("777"));
    assert_ne!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim(), "other");
}

#[test]
fn folders_of_the_machine_appear_as_asked() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let data = env.file("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("note"), "from outside\n").unwrap();
    let mount = |target: &str, more: &str| {
        format!("{{source=\"{}\", target=\"{target}\", create=\"dir\", idmapped=true{more}}}", data.display())
    };
    let mounts = format!("mounts=[{}, {}]", mount("/srv/rw", ""), mount("/srv/ro", ", read-only=true"));
    env.busybox("binds", &["-s", &mounts]);
    env.wxc(["start", "binds"]).ok();
    assert_eq!(env.inside("binds", "cat /srv/ro/note; stat -c %u /srv/rw/note"), "from outside\n0");
    let output = env.wxc(["attach", "binds", "--", "/bin/touch", "/srv/ro/x"]).run();
    assert!(!output.status.success() && output.stderr.contains("Read-only"), "{}", output.told());
    env.inside("binds", "echo from inside > /srv/rw/answer");
    assert_eq!(fs::read_to_string(data.join("answer")).unwrap(), "from inside\n");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(data.join("answer")).unwrap()), 0);
    // A source that is not there is named; nothing runs.
    env.wxc(["stop", "-k", "binds"]).ok();
    fs::remove_dir_all(&data).unwrap();
    let output = env.wxc(["start", "binds"]).run();
    assert!(!output.status.success() && output.stderr.contains("/data"), "{}", output.told());
}
