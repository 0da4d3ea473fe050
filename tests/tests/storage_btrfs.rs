//! Containers in subvolumes: what btrfs does for them, and what a container can do to it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wxc_tests::{Env, Run, needs, until};

/// How many instants of a command are tried.
const INSTANTS: u32 = 12;

/// Root directories of subvolumes have this inode number, and no others.
fn is_subvolume(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.ino() == 256)
}

/// Every subvolume of the file system that the containers are on, as btrfs itself tells.
fn subvolumes(env: &Env) -> Vec<String> {
    let told = Run::host("btrfs", ["subvolume".as_ref(), "list".as_ref(), env.path().as_os_str()]).ok();
    let path = |line: &str| line.split_once(" path ").map(|(_, path)| path.to_owned());
    let mut all: Vec<String> = told.lines().filter_map(path).collect();
    all.sort();
    all
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Makes subvolumes in a container that does not run: one, one below it with something in it, read-only.
fn nest(env: &Env, name: &str) {
    let outer = env.container(name).join("rootfs/var/outer");
    let inner = outer.join("deep/er/inner");
    make(&outer);
    fs::create_dir_all(inner.parent().unwrap()).unwrap();
    make(&inner);
    fs::write(inner.join("file"), "inside").unwrap();
    Run::host("btrfs", ["property", "set", "-ts", inner.to_str().unwrap(), "ro", "true"]).ok();
}

fn make(subvolume: &Path) {
    Run::host("btrfs", ["subvolume".as_ref(), "create".as_ref(), subvolume.as_os_str()]).ok();
}

#[test]
fn a_container_lives_and_dies_in_a_subvolume() {
    needs!(root, userns, busybox, cgroups, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    let root = env.container("web").join("rootfs");
    assert!(is_subvolume(&root));
    env.wxc(["start", "web"]).ok();
    // Through its own ids: root inside owns the files, and on the disk they are root's.
    assert_eq!(env.inside("web", "id -u; touch /made; stat -c %u:%g /made /"), "0\n0:0\n0:0");
    assert_ne!(env.inside("web", "cat /proc/self/uid_map").split_whitespace().nth(1), Some("0"));
    assert_eq!(root.join("made").metadata().unwrap().uid(), 0);
    env.wxc(["stop", "-k", "web"]).ok();
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "ls /made"), "/made");
    let usage: serde_json::Value = serde_json::from_str(&env.wxc(["info", "web", "--json"]).ok()).unwrap();
    assert_eq!(usage["storage"], "btrfs", "{usage}");
    env.wxc(["destroy", "-f", "web"]).ok();
    assert!(!env.container("web").exists());
    assert_eq!(subvolumes(&env), Vec::<String>::new());
}

#[test]
fn what_root_inside_makes_of_it_is_cloned_and_removed() {
    needs!(root, userns, cgroups, btrfs);
    let env = Env::on("btrfs");
    // The machine's own programs are in there, and btrfs with them.
    env.wxc(["create", "sys", "-t", "host", "-B", "btrfs"]).ok();
    env.wxc(["start", "sys"]).ok();
    let nested = "set -e; cd /root; btrfs subvolume create one; mkdir one/d; btrfs subvolume create one/d/two
        echo inside > one/d/two/file; btrfs property set -ts one/d/two ro true
        n=$(printf %0200d 0); p=p; q=q; for i in $(seq 15); do p=$p/$n; q=$q/$n; done
        mkdir -p $p $q; btrfs subvolume create $p/far; mv p $q/";
    env.inside("sys", nested);
    // Nor can it get at the file system that it is on, or at other subvolumes of it.
    assert_eq!(env.inside("sys", "btrfs subvolume list / >/dev/null 2>&1 || echo refused"), "refused");
    assert_eq!(env.inside("sys", "btrfs quota enable / >/dev/null 2>&1 || echo refused"), "refused");
    // btrfs's own program cannot even list them: no path leads to the last one.
    assert!(is_subvolume(&env.container("sys").join("rootfs/root/one/d/two")));
    env.wxc(["stop", "-k", "sys"]).ok();
    let output = env.wxc(["snapshot", "sys"]).run();
    assert!(output.stderr.contains("no path leads to it"), "{}", output.told());
    // It is nobody else's trouble.
    env.wxc(["create", "other", "-t", "host", "-B", "btrfs"]).ok();
    env.wxc(["snapshot", "other"]).ok();
    env.wxc(["destroy", "-s", "other"]).ok();
    env.wxc(["destroy", "sys"]).ok();
    // Also the one that is deeper than any path of the kernel's can say.
    assert_eq!(subvolumes(&env), Vec::<String>::new());
}

/// Whether a subvolume is read-only.
fn is_read_only(path: &Path) -> bool {
    let told = Run::host("btrfs", ["property", "get", "-ts", path.to_str().unwrap(), "ro"]).ok();
    told.trim() == "ro=true"
}

#[test]
fn what_a_container_made_read_only_is_so_in_every_copy_and_nothing_else_is() {
    needs!(root, userns, busybox, cgroups, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    nest(&env, "web");
    let same = |name: &str| {
        let outer = env.container(name).join("rootfs/var/outer");
        let inner = outer.join("deep/er/inner");
        assert_eq!((is_read_only(&outer), is_read_only(&inner)), (false, true), "{name}");
        assert!(!is_read_only(&env.container(name).join("rootfs")), "{name}");
        assert_eq!(fs::read_to_string(inner.join("file")).unwrap(), "inside");
    };
    // It is sealed for the clone, and unsealed again.
    env.wxc(["copy", "-s", "web", "clone"]).ok();
    env.wxc(["copy", "web", "copy"]).ok();
    ["web", "clone", "copy"].iter().for_each(|name| same(name));
    env.wxc(["snapshot", "web", "s"]).ok();
    assert!(is_read_only(&env.container("web").join("snaps/s/rootfs")));
    env.wxc(["snapshot", "web", "-r", "s", "-N", "spawned"]).ok();
    env.wxc(["snapshot", "web", "-r", "s"]).ok();
    env.wxc(["copy", "web", "along", "--with-snapshots"]).ok();
    env.wxc(["snapshot", "along", "-r", "s"]).ok();
    ["web", "spawned", "along"].iter().for_each(|name| same(name));
    env.wxc(["start", "web"]).ok();
    env.wxc(["snapshot", "web", "running"]).ok();
    env.wxc(["stop", "-k", "web"]).ok();
    env.wxc(["snapshot", "web", "-r", "running"]).ok();
    same("web");
    // Each of them goes.
    for name in ["web", "clone", "copy", "spawned", "along"] {
        env.wxc(["destroy", "-s", name]).ok();
    }
    assert_eq!(subvolumes(&env), Vec::<String>::new());
}

/// Groups that an administrator made, and what is in them, are nobody else's business; those of containers go with them.
#[test]
fn quota_groups_of_others_stay_and_ours_go() {
    needs!(root, busybox, btrfs);
    let env = Env::on("btrfs");
    let pool = env.path();
    let btrfs =
        |words: &[&str]| Run::host("btrfs", words.iter().copied().chain([pool.to_str().unwrap()])).ok();
    btrfs(&["quota", "enable"]);
    btrfs(&["qgroup", "create", "1/7"]);
    let groups = || -> Vec<String> {
        let told = btrfs(&["qgroup", "show", "--raw"]);
        let names = told.lines().filter_map(|line| line.split_whitespace().next());
        names.filter(|name| name.contains('/')).map(str::to_owned).collect()
    };
    let before = groups();
    env.busybox("web", &["-B", "btrfs", "--size", "64M"]);
    nest(&env, "web");
    let id = Run::host(
        "btrfs",
        ["inspect-internal", "rootid", env.container("web").join("rootfs").to_str().unwrap()],
    )
    .ok();
    btrfs(&["qgroup", "assign", &format!("0/{}", id.trim()), "1/7"]);
    env.wxc(["copy", "-s", "web", "two"]).ok();
    env.wxc(["snapshot", "web"]).ok();
    env.wxc(["snapshot", "web", "-r", "snap0"]).ok();
    let info: serde_json::Value = serde_json::from_str(&env.wxc(["info", "web", "--json"]).ok()).unwrap();
    assert_eq!(info["limit"], 64 << 20, "{info}");
    env.wxc(["destroy", "-s", "web"]).ok();
    env.wxc(["destroy", "two"]).ok();
    assert_eq!(subvolumes(&env), Vec::<String>::new());
    btrfs(&["subvolume", "sync"]);
    assert_eq!(groups(), before);
}

#[test]
fn a_clone_has_all_of_it_and_needs_nobody() {
    needs!(root, userns, busybox, cgroups, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    nest(&env, "web");
    let before = fs::metadata(env.container("web").join("rootfs/var/outer/deep/er")).unwrap();
    env.wxc(["copy", "-s", "web", "two"]).ok();
    let inner = env.container("two").join("rootfs/var/outer/deep/er/inner");
    assert!(is_subvolume(&inner));
    assert_eq!(fs::read_to_string(inner.join("file")).unwrap(), "inside");
    let after = fs::metadata(inner.parent().unwrap()).unwrap();
    assert_eq!((before.mtime(), before.mtime_nsec()), (after.mtime(), after.mtime_nsec()));
    // The original can be written again, and goes without the clone.
    env.wxc(["start", "web"]).ok();
    env.inside("web", "echo changed > /var/outer/new; rm /bin/ls");
    env.wxc(["destroy", "-f", "web"]).ok();
    env.wxc(["start", "two"]).ok();
    assert_eq!(env.inside("two", "cat /var/outer/deep/er/inner/file; echo; ls /var/outer"), "inside\ndeep");
    env.wxc(["destroy", "-f", "two"]).ok();
    assert_eq!(subvolumes(&env), Vec::<String>::new());
}

#[test]
fn snapshots_of_a_running_container_are_instants_and_bring_everything_back() {
    needs!(root, userns, busybox, cgroups, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    env.wxc(["start", "web"]).ok();
    // Two files written one after the other: of no instant is the second ahead of the first.
    let writer = "i=0; while :; do i=$((i+1)); echo $i > /a; echo $i > /b; done >/dev/null 2>&1 & echo";
    env.inside("web", writer);
    until("the writer", 10, || env.container("web").join("rootfs/b").exists().then_some(()));
    env.wxc(["snapshot", "web", "live"]).ok();
    let number = |file: &str| -> u64 {
        let path = env.container("web").join("snaps/live/rootfs").join(file);
        fs::read_to_string(path).unwrap().trim().parse().unwrap_or(u64::MAX)
    };
    let (a, b) = (number("a"), number("b"));
    assert!(a == u64::MAX || b == u64::MAX || a == b || a == b + 1, "{a} {b}");
    env.wxc(["stop", "-k", "web"]).ok();

    nest(&env, "web");
    env.wxc(["snapshot", "web", "nested"]).ok();
    let root = env.container("web").join("rootfs");
    Run::host(
        "btrfs",
        ["property", "set", "-ts", root.join("var/outer/deep/er/inner").to_str().unwrap(), "ro", "false"],
    )
    .ok();
    fs::write(root.join("var/outer/deep/er/inner/file"), "changed").unwrap();
    fs::remove_file(root.join("bin/ls")).unwrap();
    env.wxc(["snapshot", "web", "-r", "nested"]).ok();
    assert_eq!(fs::read_to_string(root.join("var/outer/deep/er/inner/file")).unwrap(), "inside");
    assert!(root.join("bin/ls").symlink_metadata().is_ok());
    assert_eq!(names(&env.container("web")), ["container.toml", "rootfs", "rootfs.volume", "snaps"]);
    env.wxc(["start", "web"]).ok();
    // Subvolumes inside have an instant each, so nothing runs between them.
    let taken: serde_json::Value =
        serde_json::from_str(&env.wxc(["snapshot", "web", "frozen", "--json"]).ok()).unwrap();
    assert_eq!((&taken["frozen"], &taken["copied"]), (&true.into(), &false.into()), "{taken}");
    let copied = env.container("web").join("snaps/frozen/rootfs/var/outer/deep/er/inner/file");
    assert_eq!(fs::read_to_string(copied).unwrap(), "inside");
    // A snapshot is only read.
    let inside = env.container("web").join("snaps/nested/rootfs/var/x");
    assert_eq!(
        fs::write(inside, "").unwrap_err().raw_os_error(),
        Some(rustix::io::Errno::ROFS.raw_os_error())
    );
    env.wxc(["stop", "-k", "web"]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
    assert_eq!(subvolumes(&env), Vec::<String>::new());
}

#[test]
fn a_killed_destroy_or_clone_leaves_what_the_next_command_can_handle() {
    needs!(root, userns, busybox, cgroups, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    nest(&env, "web");
    let whole = subvolumes(&env).len();
    for instant in 0..INSTANTS {
        let mut child = env.wxc(["copy", "-s", "web", "two"]).spawn();
        std::thread::sleep(Duration::from_millis(4) * instant);
        child.kill().unwrap();
        child.wait().unwrap();
        until("the helpers' end", 10, || env.processes().is_empty().then_some(()));
        if !env.wxc(["ls", "-1"]).ok().contains("two") {
            env.wxc(["copy", "-s", "web", "two"]).ok();
        }
        let file = env.container("two").join("rootfs/var/outer/deep/er/inner/file");
        assert_eq!(fs::read_to_string(file).unwrap(), "inside", "{instant}");
        let mut child = env.wxc(["destroy", "two"]).spawn();
        std::thread::sleep(Duration::from_millis(2) * instant);
        child.kill().unwrap();
        child.wait().unwrap();
        if env.wxc(["ls", "-1"]).ok().contains("two") {
            env.wxc(["destroy", "two"]).ok();
        }
        // Making one of that name, and removing it, takes away what is left of the old one.
        env.busybox("two", &["-B", "btrfs"]);
        env.wxc(["destroy", "two"]).ok();
        assert_eq!(subvolumes(&env).len(), whole, "{instant}: {:?}", subvolumes(&env));
        assert!(!env.container("two").exists(), "{instant}");
    }
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "cat /var/outer/deep/er/inner/file"), "inside");
}

#[test]
fn a_killed_restore_has_the_old_content_or_the_restored_one() {
    needs!(root, busybox, btrfs);
    let env = Env::on("btrfs");
    env.busybox("web", &["-B", "btrfs"]);
    let file = env.container("web").join("rootfs/content");
    fs::write(&file, "then").unwrap();
    nest(&env, "web");
    env.wxc(["snapshot", "web", "then"]).ok();
    for instant in 0..INSTANTS {
        fs::write(&file, "now").unwrap();
        let mut child = env.wxc(["snapshot", "web", "-r", "then"]).spawn();
        std::thread::sleep(Duration::from_millis(4) * instant);
        child.kill().unwrap();
        child.wait().unwrap();
        let content = fs::read_to_string(&file).unwrap();
        assert!(content == "now" || content == "then", "{instant}: {content}");
        env.wxc(["snapshot", "web", "-r", "then"]).ok();
        assert_eq!(fs::read_to_string(&file).unwrap(), "then", "{instant}");
        // Three of the container, three of its snapshot, and nothing beside them.
        assert_eq!(subvolumes(&env).len(), 6, "{instant}: {:?}", subvolumes(&env));
    }
}

#[test]
fn it_keeps_the_promises_of_a_storage_and_its_limits_hold() {
    needs!(root, btrfs);
    let env = Env::on("btrfs");
    let pool: PathBuf = env.path().join("pools");
    fs::create_dir(&pool).unwrap();
    let words = ["plugin", "test", "storage-btrfs", "--pool", pool.to_str().unwrap()];
    let told = env.wxc(words).within(300).ok();
    for case in ["size-holds", "cut-restore", "cut-remove-clone", "full-clone", "seal-durable"] {
        assert!(
            told.lines().any(|line| line.starts_with("passed") && line.contains(case)),
            "{case}:\n{told}"
        );
    }
    assert_eq!(subvolumes(&env), Vec::<String>::new());
}

#[test]
fn the_best_storage_is_chosen_and_the_reason_told() {
    needs!(root, busybox, btrfs);
    let env = Env::on("btrfs");
    let tree = wxc_tests::fixtures::busybox().to_str().unwrap().to_owned();
    let create = |path: &Path, storage: &str| {
        let path = path.to_str().unwrap();
        env.wxc(["create", "web", "-P", path, "-t", "local", "-B", storage, "--", "--directory", &tree]).run()
    };
    let output = create(&env.path(), "best");
    assert!(
        output.status.success() && output.stderr.contains("best storage here is btrfs"),
        "{}",
        output.told()
    );
    assert!(is_subvolume(&env.container("web").join("rootfs")));
    assert_eq!(env.wxc(["config", "get", "web", "rootfs.storage"]).ok(), "btrfs\n");

    let memory = wxc_tests::mount::Mount::new(&env.file("memory"), "size=64m");
    let memory = Path::new(memory.path());
    let output = create(memory, "btrfs");
    assert!(!output.status.success(), "{}", output.told());
    assert!(output.stderr.contains("on tmpfs and not on btrfs"), "{}", output.told());
    assert!(!memory.join("web").exists());
    let output = create(memory, "best");
    let why = "best storage here is overlay";
    assert!(output.stderr.contains(why) && output.stderr.contains("not btrfs: "), "{}", output.told());
    env.wxc(["destroy", "web", "-P", memory.to_str().unwrap()]).ok();
}
