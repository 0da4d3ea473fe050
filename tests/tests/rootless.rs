//! Everything of storage that an ordinary user can do: as a real one, with subordinate ids and no other power.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use wxc_tests::failpoints::{Fault, sites, with_fault};
use wxc_tests::{Env, Run, needs, until};

/// The storages that work on any file system without root.
const STORAGES: [&str; 2] = ["dir", "overlay"];

/// The root directory of a container whose volume is one tree.
fn tree(env: &Env, name: &str) -> std::path::PathBuf {
    env.container(name).join("rootfs")
}

/// Where the container's ids begin on the host.
fn base(env: &Env, name: &str) -> u32 {
    let ids = env.wxc(["config", "get", name, "ids.users"]).ok();
    ids.split(':').nth(1).unwrap_or_else(|| panic!("{ids:?}")).parse().unwrap()
}

/// Starts it, runs a script inside, stops it; what the script printed.
fn once(env: &Env, name: &str, script: &str) -> String {
    env.wxc(["start", name]).ok();
    let out = env.inside(name, script);
    env.wxc(["stop", "-k", name]).ok();
    out
}

/// Names below the pool that are there at all, without those of wxc.
fn names(env: &Env) -> Vec<String> {
    let entries = fs::read_dir(env.path()).unwrap().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

/// The ranges that are taken.
fn registered(env: &Env) -> Vec<String> {
    let file = env.file("home").join(".local/share/wxc/.ids/ranges.json");
    let text = fs::read_to_string(file).unwrap_or_else(|_| "[]".into());
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let name = |entry: &serde_json::Value| {
        entry["container"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    let mut names: Vec<String> = entries.iter().map(name).collect();
    names.sort();
    names
}

const CHANGE: &str = "echo new > /etc/new; chown 12:34 /etc/new; chmod 4750 /etc/new; mkdir -m 700 /closed; echo s > /closed/file
    chown -R 1000:1000 /closed; rm /etc/passwd; hostname";
const SHOW: &str = "stat -c '%u:%g %a' /etc/new /closed /closed/file; cat /etc/new /closed/file; test -e /etc/passwd || echo gone; hostname";

fn shown(name: &str) -> String {
    format!("12:34 4750\n1000:1000 700\n1000:1000 644\nnew\ns\ngone\n{name}")
}

#[test]
fn a_user_makes_runs_copies_and_destroys() {
    needs!(subordinate_ids, busybox, cgroups);
    for storage in STORAGES {
        let env = Env::of_user(4);
        env.busybox("web", &["-B", storage]);
        assert_eq!(once(&env, "web", CHANGE), "web");
        assert_eq!(once(&env, "web", SHOW), shown("web"), "{storage}");
        env.wxc(["copy", "web", "copy"]).ok();
        assert_eq!(once(&env, "copy", SHOW), shown("copy"), "{storage}");
        assert_ne!(base(&env, "web"), base(&env, "copy"));
        env.wxc(["copy", "-R", "copy", "moved"]).ok();
        assert_eq!(once(&env, "moved", SHOW), shown("moved"), "{storage}");
        for name in ["web", "moved"] {
            env.wxc(["destroy", name]).ok();
        }
        assert_eq!((names(&env), registered(&env)), (vec![], vec![]), "{storage}");
    }
}

#[test]
fn a_copy_carries_owners_access_lists_and_capabilities_to_its_own_ids() {
    needs!(subordinate_ids, busybox);
    let env = Env::of_user(2);
    env.busybox("web", &["-B", "dir"]);
    let (old, root) = (base(&env, "web"), tree(&env, "web"));
    // As programs inside would have made them.
    let list = |base: u32| {
        let entries = [
            (0x01u16, 7u16, u32::MAX),
            (0x02, 5, base + 1000),
            (0x04, 5, u32::MAX),
            (0x08, 4, base + 50),
            (0x10, 7, u32::MAX),
            (0x20, 0, u32::MAX),
        ];
        let mut list = 2u32.to_le_bytes().to_vec();
        for (tag, bits, id) in entries {
            list.extend(tag.to_le_bytes().into_iter().chain(bits.to_le_bytes()).chain(id.to_le_bytes()));
        }
        list
    };
    let capability = |base: u32| {
        let words = [0x0300_0001u32, 1 << 13, 0, 0, 0, base];
        words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>()
    };
    let file = root.join("etc/passwd");
    setxattr(&file, "system.posix_acl_access", &list(old), XattrFlags::empty()).unwrap();
    setxattr(root.join("etc"), "system.posix_acl_default", &list(old), XattrFlags::empty()).unwrap();
    setxattr(root.join("bin/busybox"), "security.capability", &capability(old), XattrFlags::empty()).unwrap();
    std::os::unix::fs::chown(&file, Some(old + 77), Some(old + 65535)).unwrap();
    setxattr(&file, "user.colour", b"green", XattrFlags::empty()).unwrap();

    env.wxc(["copy", "web", "copy"]).ok();
    let (new, copy) = (base(&env, "copy"), tree(&env, "copy"));
    let read = |path: &str, name: &str| {
        let mut value = [0; 200];
        let size =
            getxattr(copy.join(path), name, &mut value).unwrap_or_else(|e| panic!("{path} {name}: {e}"));
        value[..size].to_vec()
    };
    assert_eq!(read("etc/passwd", "system.posix_acl_access"), list(new));
    assert_eq!(read("etc", "system.posix_acl_default"), list(new));
    assert_eq!(read("bin/busybox", "security.capability"), capability(new));
    assert_eq!(read("etc/passwd", "user.colour"), b"green");
    let stat = copy.join("etc/passwd").metadata().unwrap();
    assert_eq!((stat.uid(), stat.gid()), (new + 77, new + 65535));
    let foreign = Run::host(
        "find",
        [copy.to_str().unwrap(), "-uid", &format!("-{new}"), "-o", "-uid", &format!("+{}", new + 65535)],
    )
    .ok();
    assert_eq!(foreign, "");
}

#[test]
fn a_clone_shares_files_and_therefore_ids() {
    needs!(subordinate_ids, busybox, cgroups);
    let env = Env::of_user(2);
    env.busybox("web", &["-B", "overlay"]);
    once(&env, "web", CHANGE);
    let output = env.wxc(["copy", "-s", "web", "clone"]).run();
    assert!(output.status.success() && output.stderr.contains("has the ids of web"), "{}", output.told());
    assert_eq!(base(&env, "web"), base(&env, "clone"));
    assert_eq!(once(&env, "clone", SHOW), shown("clone"));
    once(&env, "clone", "rm -r /closed; echo more >> /etc/new; mkdir /only-here");
    assert_eq!(once(&env, "clone", "cat /etc/new; ls -d /closed /only-here 2>&1; true").lines().count(), 4);
    // The ids are not free while one of the two has them: the other range is the only one left.
    env.wxc(["destroy", "-f", "web"]).ok();
    env.busybox("other", &["-B", "overlay"]);
    assert_ne!(base(&env, "other"), base(&env, "clone"));
    let refused = env.wxc(["copy", "other", "third"]).fails(1);
    assert!(refused.contains("no 65536 neighbouring ids"), "{refused}");
    env.wxc(["destroy", "clone"]).ok();
    env.wxc(["copy", "other", "third"]).ok();
    assert_eq!(names(&env), ["other", "third"]);
}

#[test]
fn a_user_takes_and_restores_snapshots() {
    needs!(subordinate_ids, busybox, cgroups);
    for storage in STORAGES {
        let env = Env::of_user(3);
        env.busybox("web", &["-B", storage]);
        once(&env, "web", CHANGE);
        env.wxc(["snapshot", "web", "before", "-c", "as it was"]).ok();
        assert_eq!(once(&env, "web", SHOW), shown("web"), "{storage}");
        once(&env, "web", "rm -r /closed /etc/new; echo later > /later");
        env.wxc(["snapshot", "web", "after"]).ok();
        env.wxc(["snapshot", "web", "-r", "before"]).ok();
        assert_eq!(once(&env, "web", SHOW), shown("web"), "{storage}");
        env.wxc(["snapshot", "web", "-r", "after", "-N", "new"]).ok();
        assert_eq!(once(&env, "new", "cat /later; hostname"), "later\nnew", "{storage}");
        assert_ne!(base(&env, "web"), base(&env, "new"));
        env.wxc(["copy", "--with-snapshots", "web", "all"]).ok();
        env.wxc(["snapshot", "all", "-r", "after"]).ok();
        assert_eq!(once(&env, "all", "cat /later; stat -c %u:%g /later"), "later\n0:0", "{storage}");
        env.wxc(["destroy", "-s", "all"]).ok();
        env.wxc(["snapshot", "web", "-d", "after"]).ok();
        env.wxc(["destroy", "-s", "web"]).ok();
        env.wxc(["destroy", "new"]).ok();
        assert_eq!((names(&env), registered(&env)), (vec![], vec![]), "{storage}");
    }
}

#[test]
fn throw_away_copies_are_gone_when_they_stop() {
    needs!(subordinate_ids, busybox, cgroups);
    for storage in STORAGES {
        let env = Env::of_user(3);
        env.busybox("web", &["-B", storage]);
        once(&env, "web", CHANGE);
        let script = format!("{SHOW}; rm -rf /etc /closed");
        let out = env.wxc(["run", "--from", "web", "-n", "brief", "--", "/bin/sh", "-c", &script]).ok();
        assert_eq!(out.trim_end(), shown("brief"), "{storage}");
        let memory = ["run", "--from", "web", "-s", "rootfs.in-memory=true", "--", "/bin/sh", "-c"];
        let out =
            env.wxc(memory.into_iter().chain(["rm -r /closed; echo x > /etc/new && cat /etc/new"])).ok();
        assert_eq!(out.trim_end(), "x", "{storage}");
        // In the background it is the monitor that has it removed.
        env.wxc(["copy", "-e", "web", "brief"]).ok();
        env.wxc(["stop", "-k", "brief"]).ok();
        until(&format!("the copy on {storage} is gone: {:?}", names(&env)), 10, || {
            (names(&env) == ["web"]).then_some(())
        });
        assert_eq!(registered(&env), ["web"]);
        assert_eq!(once(&env, "web", SHOW), shown("web"), "{storage}");
    }
}

#[test]
fn a_running_container_is_copied_as_it_runs_and_restarts() {
    needs!(subordinate_ids, busybox, cgroups);
    let env = Env::of_user(2);
    env.busybox("web", &["-B", "dir"]);
    env.wxc(["start", "web"]).ok();
    env.inside("web", "echo here > /etc/here; chown 5:6 /etc/here");
    env.wxc(["copy", "-a", "web", "copy"]).ok();
    env.wxc(["snapshot", "web", "live"]).ok();
    assert_eq!(env.state("web"), "RUNNING");
    assert_eq!(once(&env, "copy", "cat /etc/here; stat -c %u:%g /etc/here"), "here\n5:6");
    // A command that comes in later is in the container's cgroup like what was born there.
    let own = "tail -n 1 /proc/self/cgroup; grep -c . /sys/fs/cgroup/cgroup.procs";
    assert!(env.inside("web", own).starts_with("0::/\n"), "{}", env.inside("web", own));
    env.wxc(["restart", "-k", "web"]).ok();
    assert_eq!(env.inside("web", "cat /etc/here"), "here");
    env.wxc(["destroy", "-f", "-s", "web"]).ok();
    assert_eq!(env.user().cgroups(), Vec::<String>::new());
}

#[test]
fn what_was_interrupted_is_settled_by_the_next_command() {
    needs!(subordinate_ids, busybox, cgroups);
    let verbs: [(&[&str], &str); 4] = [
        (&["copy", "web", "copy"], "copy"),
        (&["snapshot", "web", "s1"], "web"),
        (&["snapshot", "web", "-r", "s0"], "web"),
        (&["destroy", "-s", "gone"], "gone"),
    ];
    for storage in STORAGES {
        let env = Env::of_user(4);
        env.busybox("web", &["-B", storage]);
        once(&env, "web", CHANGE);
        env.wxc(["snapshot", "web", "s0"]).ok();
        for (verb, about) in verbs {
            let prepare = || {
                if about == "gone" {
                    env.wxc(["copy", "web", "gone"]).ok();
                }
            };
            prepare();
            let all = sites(&env, verb);
            if about == "copy" {
                env.wxc(["destroy", "copy"]).ok();
            }
            if verb.contains(&"s1") {
                env.wxc(["snapshot", "web", "-d", "s1"]).ok();
            }
            // Every third, from another one each time: root's tests kill at each.
            for site in all.iter().skip(storage.len() % 3).step_by(3) {
                prepare();
                let output = with_fault(&env, verb, Fault::Kill, site);
                assert!(!output.status.success(), "{site}: {}", output.told());
                // The next command of any kind, and then what it is about is as it was or gone.
                env.wxc(["destroy", "-f", "-s", "copy"]).run();
                env.wxc(["destroy", "-f", "-s", "gone"]).run();
                assert_eq!(once(&env, "web", SHOW), shown("web"), "{storage}, {verb:?} killed at {site}");
                env.wxc(["snapshot", "web", "-d", "s1"]).run();
                let doctor = env.wxc(["doctor"]).run();
                assert!(
                    doctor.stderr.contains("nothing is wrong"),
                    "{storage} {verb:?} {site}: {}",
                    doctor.told()
                );
                assert_eq!(names(&env), ["web"], "{storage}, {verb:?} killed at {site}");
            }
        }
    }
}

#[test]
fn what_only_root_can_is_refused_with_a_way_out() {
    needs!(subordinate_ids, busybox, mkfs_ext4);
    let env = Env::of_user(2);
    env.busybox("web", &["-B", "dir"]);
    let tree = env.file("tree");
    let create = ["create", "disk", "-B", "loop", "-t", "local", "--", "--directory", tree.to_str().unwrap()];
    let refused = env.wxc(create).fails(1);
    assert!(refused.contains("only root can mount") && refused.contains("-B best"), "{refused}");
    assert_eq!(names(&env), ["web"]);
    let refused = env.wxc(["resize", "web", "1G"]).fails(1);
    assert!(refused.contains("sets no limits"), "{refused}");
    let best = env.wxc(["copy", "-B", "best", "web", "best"]).run();
    assert!(
        best.status.success() && best.stderr.contains("the best storage here is overlay"),
        "{}",
        best.told()
    );
    let host = ["-s", "ids.users=[]", "-s", "ids.groups=[]", "-s", "privileged=true"];
    let refused = env.wxc(["start", "web"].into_iter().chain(host)).fails(1);
    assert!(refused.contains("root"), "{refused}");
}

#[test]
fn a_user_without_subordinate_ids_is_told_how_to_get_some() {
    needs!(subordinate_ids, busybox);
    let env = Env::of_user(0);
    let tree = env.file("tree");
    let refused =
        env.wxc(["create", "web", "-t", "local", "--", "--directory", tree.to_str().unwrap()]).fails(1);
    assert!(
        refused.contains("user wxctest has no subordinate ids") && refused.contains("usermod --add-subuids"),
        "{refused}"
    );
    assert_eq!(names(&env), Vec::<String>::new());
    let doctor = env.wxc(["doctor"]).run();
    assert!(doctor.stderr.contains("nothing is wrong"), "{}", doctor.told());
}

#[test]
fn a_user_on_btrfs_has_subvolumes_without_root() {
    needs!(subordinate_ids, busybox, cgroups, mkfs_btrfs);
    let env = Env::of_user_on("btrfs", 3);
    env.busybox("web", &["-B", "btrfs"]);
    once(&env, "web", CHANGE);
    env.wxc(["snapshot", "web", "before"]).ok();
    env.wxc(["copy", "-s", "web", "clone"]).ok();
    env.wxc(["copy", "web", "copy"]).ok();
    once(&env, "web", "rm -r /closed");
    env.wxc(["snapshot", "web", "-r", "before"]).ok();
    for name in ["web", "clone", "copy"] {
        assert_eq!(once(&env, name, SHOW), shown(name));
    }
    for name in ["web", "clone", "copy"] {
        env.wxc(["destroy", "-s", name]).ok();
    }
    assert_eq!((names(&env), registered(&env)), (vec![], vec![]));
}

#[test]
fn the_power_over_ids_ends_with_them() {
    needs!(subordinate_ids, busybox, cgroups);
    let env = Env::of_user(2);
    env.busybox("web", &["-B", "dir"]);
    // Somebody else's, in the way of a removal: root's, whom no subordinate id stands for.
    let foreign = tree(&env, "web").join("etc/of-root");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("file"), "root's").unwrap();
    let refused = env.wxc(["copy", "web", "copy"]).fails(1);
    assert!(refused.contains("of-root") && refused.contains("is not one of the container's"), "{refused}");
    env.wxc(["destroy", "web"]).fails(1);
    let find = ["-name", "of-root"];
    let left = Run::host("find", [env.container("web").to_str().unwrap()].into_iter().chain(find)).ok();
    let left = std::path::Path::new(left.trim());
    assert_eq!(fs::read_to_string(left.join("file")).unwrap(), "root's");
    fs::remove_dir_all(left).unwrap();
    env.wxc(["destroy", "web"]).ok();
    // What runs inside has none of it.
    env.busybox("web", &["-B", "dir"]);
    env.wxc(["start", "web"]).ok();
    let status = fs::read_to_string(format!("/proc/{}/status", env.pid("web"))).unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(
        line("CapAmb:").ends_with("0000000000000000") && line("CapInh:").ends_with("0000000000000000"),
        "{status}"
    );
    let map = fs::read_to_string(format!("/proc/{}/uid_map", env.pid("web"))).unwrap();
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(words, ["0", &base(&env, "web").to_string(), "65536"]);
}
