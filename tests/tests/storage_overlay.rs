//! Containers in layers: what the kernel makes of them, in a user namespace and without one.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use wxc_tests::{Env, fixtures, needs};

/// `base`, and `two` built on it.
fn cloned(options: &[&str]) -> Env {
    let env = Env::new();
    let mut all = vec!["-B", "overlay"];
    all.extend(options);
    env.busybox("base", &all);
    env.wxc(["copy", "-s", "base", "two"]).ok();
    env
}

/// Every path below a directory, with what is known about it.
fn listing(tree: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![tree.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let meta = entry.path().symlink_metadata().unwrap();
            let (mode, size) = (meta.mode(), meta.size());
            found.push(format!("{} {mode:o} {} {size} {}", entry.path().display(), meta.uid(), meta.mtime()));
            if meta.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Makes one of everything that an overlay has to remember.
const CHANGE: &str = "set -e
    echo new > /etc/new; echo more >> /etc/passwd
    rm /bin/ls
    mkdir -p /etc/was; rm -r /usr; mkdir /usr; echo only > /usr/only
    cp /bin/busybox /bin/su4; chmod 4755 /bin/su4; chown 12:34 /etc/new
    echo one > /one; ln /one /other; ln -s one /link; mkfifo /fifo
    mv /etc/passwd /etc/passwd.moved
    ln /bin/busybox /bin/second";

/// Shows it.
const SHOW: &str = "cd /; stat -c '%u:%g %a %F %n' / usr; stat -c '%u:%g %a %h %s %F %n' etc/new etc/passwd.moved bin/su4 bin/second one other fifo
    echo usr: $(busybox ls -A usr); readlink link; cat one other etc/passwd.moved usr/only
    for gone in bin/ls etc/passwd; do test -e $gone && echo $gone is back; done; true";

fn changes_stay(env: &Env) {
    let before = listing(&env.container("base").join("rootfs"));
    env.wxc(["start", "two"]).ok();
    let usr = env.inside("two", "ls -A /usr | wc -l");
    assert_ne!(usr, "0", "there is something to hide");
    env.inside("two", CHANGE);
    let shown = env.inside("two", SHOW);
    for line in [
        "0:0 755 ",
        "12:34 644 1 4 regular file etc/new",
        "4755 1 ",
        "2 4 regular file other",
        "fifo fifo",
        "usr: only",
    ] {
        assert!(shown.contains(line), "{line:?} in:\n{shown}");
    }
    assert!(!shown.contains("is back"), "{shown}");
    env.wxc(["stop", "-k", "two"]).ok();
    for _ in 0..2 {
        env.wxc(["start", "two"]).ok();
        assert_eq!(env.inside("two", SHOW), shown);
        env.wxc(["stop", "-k", "two"]).ok();
    }
    assert_eq!(listing(&env.container("base").join("rootfs")), before, "the layer below is only read");
    // On the disk owners are those that the container sees, whatever its ids on the host are.
    let new = env.container("two").join("delta/etc/new").metadata().unwrap();
    assert_eq!((new.uid(), new.gid()), (12, 34));
    let whiteout = env.container("two").join("delta/bin/ls").symlink_metadata().unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);

    // The host sees the same: of a full copy on another storage nothing of an overlay is left.
    env.wxc(["copy", "two", "whole", "-B", "dir", "-K"]).ok();
    assert!(!env.container("whole").join("rootfs/bin/ls").exists());
    env.wxc(["start", "whole"]).ok();
    assert_eq!(env.inside("whole", SHOW), shown);

    for name in ["whole", "two"] {
        env.wxc(["destroy", "-f", name]).ok();
        assert!(!env.container(name).exists());
    }
    // Nothing is built on it any more.
    env.wxc(["destroy", "base"]).ok();
}

#[test]
fn what_a_container_changes_is_in_its_own_layer() {
    needs!(root, userns, busybox, cgroups);
    changes_stay(&cloned(&[]));
}

#[test]
fn a_privileged_container_has_the_same_layers() {
    needs!(root, busybox, cgroups);
    let env = cloned(&["--privileged"]);
    env.wxc(["start", "two"]).ok();
    env.inside("two", "mknod /null c 1 3");
    env.wxc(["stop", "-k", "two"]).ok();
    assert_eq!(env.container("two").join("delta/null").symlink_metadata().unwrap().rdev(), 0x103);
    changes_stay(&env);
}

/// A layer that was written by a privileged container is one that an unprivileged one, and the host, reads.
#[test]
fn layers_mean_the_same_to_whoever_mounts_them() {
    needs!(root, userns, busybox, cgroups);
    let env = cloned(&["--privileged"]);
    env.wxc(["start", "two"]).ok();
    env.inside("two", "rm -r /usr && mkdir /usr && echo only > /usr/only");
    env.wxc(["stop", "-k", "two"]).ok();
    env.wxc(["copy", "-s", "two", "three"]).ok();
    let config = env.container("three").join("container.toml");
    let text = fs::read_to_string(&config).unwrap().replace("privileged = true", "privileged = false");
    let text = format!("{text}\n[ids]\nusers = [\"0:1000000000:65536\"]\n");
    fs::write(&config, text).unwrap();
    env.wxc(["start", "three"]).ok();
    assert_eq!(env.inside("three", "cd /; echo usr/*"), "usr/only");
}

#[test]
fn a_chain_grows_further_than_one_option_of_the_kernel() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("c0", &["-B", "overlay"]);
    const LINKS: u32 = 24;
    for link in 1..=LINKS {
        let (below, above) = (format!("c{}", link - 1), format!("c{link}"));
        env.wxc(["copy", "-s", &below, &above]).ok();
        fs::write(env.container(&above).join(format!("delta/mark{link}")), "").unwrap();
    }
    let top = format!("c{LINKS}");
    env.wxc(["start", &top]).ok();
    assert_eq!(env.inside(&top, "ls -d /mark* | wc -l"), LINKS.to_string());
    let message = env.wxc(["destroy", "c3"]).fails(1);
    assert!(message.contains("c4"), "{message}");
    for link in (0..=LINKS).rev() {
        env.wxc(["destroy", "-f", &format!("c{link}")]).ok();
    }
}

#[test]
fn snapshots_come_back_with_their_content() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &["-B", "overlay"]);
    let live = |script: &str| {
        env.wxc(["start", "web"]).ok();
        let out = env.inside("web", script);
        env.wxc(["stop", "-k", "web"]).ok();
        out
    };
    live("echo 1 > /state; echo x > /etc/below");
    env.wxc(["snapshot", "web", "first"]).ok();
    live("echo 2 > /state; rm /etc/below");
    env.wxc(["snapshot", "web", "second"]).ok();
    live("echo 3 > /state; mkdir /late");
    env.wxc(["snapshot", "web", "-r", "first"]).ok();
    assert_eq!(live("cat /state /etc/below; ls -d /late 2>&1 | grep -c o.such"), "1\nx\n1");
    env.wxc(["snapshot", "web", "-r", "second"]).ok();
    assert_eq!(live("cat /state; test -e /etc/below || echo gone"), "2\ngone");
}

#[test]
fn a_read_only_root_is_read_only() {
    needs!(root, userns, busybox, cgroups);
    let env = cloned(&[]);
    env.wxc(["start", "two", "-s", "rootfs.read-only=true"]).ok();
    let said = env.inside("two", "echo x 2>&1 > /x || true");
    assert!(said.contains("Read-only"), "{said}");
    env.wxc(["stop", "-k", "two"]).ok();
    env.wxc(["start", "two"]).ok();
    env.inside("two", "echo x > /x");
}

#[test]
fn changes_in_memory_are_gone_when_it_stops() {
    needs!(root, userns, busybox, cgroups);
    for options in [&["-B", "dir"][..], &["-B", "overlay"], &["-B", "dir", "--privileged"]] {
        let env = Env::new();
        env.busybox("web", options);
        let before = listing(&env.container("web").join("rootfs"));
        env.wxc(["start", "web", "-s", "rootfs.in-memory=true"]).ok();
        env.inside("web", CHANGE);
        assert!(env.inside("web", SHOW).contains("usr: only"));
        env.wxc(["stop", "-k", "web"]).ok();
        assert_eq!(listing(&env.container("web").join("rootfs")), before, "{options:?}");
        env.wxc(["start", "web"]).ok();
        assert_eq!(env.inside("web", "test -e /etc/new || echo gone"), "gone");
    }
}

#[test]
fn a_debian_boots_on_layers() {
    needs!(root, userns, cgroups, debian);
    let env = Env::new();
    let archive = fixtures::debian().expect("needs!(debian)").to_str().expect("a path in UTF-8");
    let args = ["create", "base", "-t", "local", "-B", "overlay", "--", "--tarball", archive];
    env.wxc(args).within(240).ok();
    env.wxc(["copy", "-s", "base", "two"]).ok();
    for round in ["first", "second"] {
        env.wxc(["start", "two"]).ok();
        crate::boot::boots(&env, "two");
        // Set-id programs and file capabilities are what they are below.
        let user =
            env.wxc(["attach", "two", "--user", "user", "--", "/bin/sh", "-c", "stat -c %a /bin/su"]).ok();
        assert_eq!(user.trim(), "4755");
        env.inside("two", &format!("echo {round} > /root/{round}; apt-mark hold bash"));
        env.wxc(["stop", "two"]).ok();
    }
    env.wxc(["start", "two"]).ok();
    assert_eq!(env.inside("two", "cat /root/first /root/second; apt-mark showhold"), "first\nsecond\nbash");
    env.wxc(["destroy", "-f", "two"]).ok();
    env.wxc(["destroy", "base"]).ok();
}

fn json(text: impl AsRef<str>) -> serde_json::Value {
    serde_json::from_str(text.as_ref()).expect("JSON")
}

#[test]
fn what_is_shared_is_told_apart_from_what_is_ones_own() {
    needs!(root, busybox);
    let env = cloned(&["--privileged"]);
    fs::write(env.container("two").join("delta/more"), vec![7; 3 << 20]).unwrap();
    let list = env.wxc(["ls", "-F", "NAME,DISK"]).ok();
    let cell = |name: &str| {
        let line = list.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let megabytes = line.split_whitespace().nth(1).and_then(|cell| cell.strip_suffix("MB"));
        megabytes.and_then(|number| number.parse::<f64>().ok()).unwrap_or_else(|| panic!("{list}"))
    };
    assert!((3.0..3.5).contains(&cell("two")) && cell("base") > 0.5, "{list}");

    let told = json(env.wxc(["info", "two", "--json"]).ok());
    let bytes = |what: &str| told["disk"][what].as_u64().unwrap_or_else(|| panic!("{told}"));
    assert!(bytes("exclusive") >= 3 << 20 && bytes("referenced") > bytes("exclusive"), "{told}");
    let info = env.wxc(["info", "two"]).ok();
    assert!(info.contains("Disk use:") && info.contains("Shared:"), "{info}");
    assert!(!env.wxc(["info", "base"]).ok().contains("Shared:"));

    // Looking through all files is only done where it is asked for.
    let list = json(env.wxc(["ls", "--json"]).ok());
    assert!(list[0].get("disk").is_none(), "{list}");
    let list = json(env.wxc(["ls", "--json", "-F", "DISK"]).ok());
    assert!(list[1]["disk"]["exclusive"].as_u64() >= Some(3 << 20), "{list}");
}

/// What was lent is taken back when nobody needs it any more, and until then it is said who does.
#[test]
fn what_lent_itself_to_clones_is_taken_back_for_snapshots_and_restores() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("base", &["-B", "overlay"]);
    fs::write(env.container("base").join("rootfs/content"), "then").unwrap();
    env.wxc(["snapshot", "base", "then"]).ok();
    env.wxc(["copy", "-s", "base", "two"]).ok();
    for (words, way_out) in [
        (&["snapshot", "base"][..], "wxc copy base"),
        (&["snapshot", "base", "-r", "then"], "wxc snapshot base -r SNAPSHOT -N NEW"),
    ] {
        let message = env.wxc(words).fails(1);
        assert!(message.contains("shared by two") && message.contains(way_out), "{message}");
    }
    env.wxc(["snapshot", "base", "-r", "then", "-N", "beside"]).ok();
    env.wxc(["destroy", "two"]).ok();
    // Nobody has started it since: it is still sealed.
    env.wxc(["snapshot", "base", "now"]).ok();
    env.wxc(["copy", "-s", "base", "two"]).ok();
    env.wxc(["destroy", "two"]).ok();
    env.wxc(["snapshot", "base", "-r", "then"]).ok();
    env.wxc(["start", "base"]).ok();
    assert_eq!(env.inside("base", "cat /content"), "then");
}
