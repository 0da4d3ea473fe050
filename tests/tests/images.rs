//! The image cache: unpacked once, cloned from then on.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use wxc_tests::fixtures::Packed;
use wxc_tests::{Env, fixtures, needs};

fn create(env: &Env, name: &str, archive: &Path, more: &[&str]) -> String {
    let mut words = vec!["create", name, "-B", "overlay", "-t", "local"];
    words.extend(more);
    words.extend(["--", "--tarball", archive.to_str().unwrap()]);
    env.wxc(words).ok()
}

fn images(env: &Env) -> Vec<serde_json::Value> {
    let text = env.wxc(["image", "list", "--json"]).ok();
    serde_json::from_str::<serde_json::Value>(&text).unwrap().as_array().unwrap().clone()
}

#[test]
fn the_second_container_of_an_archive_is_a_clone() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let archive = fixtures::busybox_archive(Packed::Gz);
    create(&env, "one", &archive, &["-s", "init.command=[\"/bin/sleep\", \"1000000\"]"]);
    create(&env, "two", &archive, &["-s", "init.command=[\"/bin/sleep\", \"1000000\"]"]);
    let list = images(&env);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0]["used_by"], serde_json::json!(["one", "two"]));
    for name in ["one", "two"] {
        env.wxc(["start", name]).ok();
    }
    // What one of them writes, removes or changes is its own.
    env.inside("one", "echo mine > /mine; rm /bin/vi 2>/dev/null; echo changed >> /etc/passwd");
    assert_eq!(env.inside("two", "cat /mine 2>&1 | grep -c No; grep -c changed /etc/passwd || true"), "1\n0");
    create(&env, "three", &archive, &["-s", "init.command=[\"/bin/sleep\", \"1000000\"]"]);
    env.wxc(["start", "three"]).ok();
    assert_eq!(env.inside("three", "ls /mine 2>/dev/null; grep -c changed /etc/passwd || true"), "0");
    // Another content, and devices for the privileged, are other images.
    create(&env, "four", &archive, &["--privileged"]);
    assert_eq!(images(&env).len(), 2);

    let key = list[0]["key"].as_str().unwrap();
    let refused = env.wxc(["image", "remove", &key[..12]]).fails(1);
    assert!(refused.contains("one, three, two"), "{refused}");
    for name in ["one", "two", "three"] {
        env.wxc(["destroy", "-f", name]).ok();
    }
    let pruned = env.wxc(["image", "prune", "--json"]).ok();
    assert!(pruned.contains(key), "{pruned}");
    assert!(!env.path().join(".images").join(key).exists());
    assert_eq!(images(&env).len(), 1);
    env.wxc(["destroy", "four"]).ok();
    env.wxc(["image", "remove", images(&env)[0]["key"].as_str().unwrap()]).ok();
    assert_eq!(fs::read_dir(env.path().join(".images")).unwrap().count(), 0);
}

#[test]
fn an_image_that_was_interrupted_is_made_again() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let archive = fixtures::busybox_archive(Packed::Gz);
    create(&env, "one", &archive, &[]);
    let key = images(&env)[0]["key"].as_str().unwrap().to_owned();
    env.wxc(["destroy", "one"]).ok();
    // As a kill before the last step leaves it.
    let directory = env.path().join(".images").join(&key);
    fs::remove_file(directory.join("image.toml")).unwrap();
    assert!(images(&env).is_empty());
    create(&env, "one", &archive, &[]);
    assert_eq!(images(&env)[0]["used_by"], serde_json::json!(["one"]));
    // A description that cannot be read is said, and is not guessed at.
    fs::write(directory.join("image.toml"), "key = 1\n").unwrap();
    let refused = env
        .wxc(
            ["create", "two", "-B", "overlay", "-t", "local", "--", "--tarball"]
                .iter()
                .map(std::ffi::OsStr::new)
                .chain([archive.as_os_str()]),
        )
        .fails(1);
    assert!(refused.contains("image.toml") && refused.contains("hint"), "{refused}");
}

#[test]
fn a_broken_archive_leaves_no_image() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let whole = fs::read(fixtures::busybox_archive(Packed::Gz)).unwrap();
    let broken = env.file("broken.tar.gz");
    fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let words =
        ["create", "one", "-B", "overlay", "-t", "local", "--", "--tarball", broken.to_str().unwrap()];
    env.wxc(words).fails(1);
    assert!(images(&env).is_empty());
    assert!(!env.container("one").exists());
    assert_eq!(fs::read_dir(env.path().join(".images")).unwrap().count(), 0);
}

#[test]
fn plain_directories_keep_no_images() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let archive = fixtures::busybox_archive(Packed::Gz);
    let words = ["create", "one", "-t", "local", "--", "--tarball", archive.to_str().unwrap()];
    env.wxc(words).ok();
    assert!(!env.path().join(".images").exists());
    assert!(images(&env).is_empty());
    let refused = env.wxc(["image", "remove", "abc"]).fails(1);
    assert!(refused.contains("no image begins with"), "{refused}");
}

/// Runs a create where the administrator has set another storage for all, in a mount namespace of its own.
fn create_where_overlay_is_set(env: &Env, name: &str, more: &str) {
    let place = env.file("etc");
    fs::create_dir_all(place.join("wxc")).unwrap();
    fs::write(place.join("wxc/wxc.toml"), "storage = \"overlay\"\n").unwrap();
    let script = format!(
        "mount --bind {place} /mnt && mount -t overlay none -o lowerdir=/mnt:/etc /etc && \
         exec {wxc} create {name} {more} -t local -- --directory {tree}",
        place = place.display(),
        wxc = wxc_tests::env::wxc().display(),
        tree = fixtures::busybox().display(),
    );
    let mut command = std::process::Command::new("unshare");
    env.fix(&mut command);
    command.env("WXC_PATH", env.path()).args(["--mount", "sh", "-c", &script]);
    wxc_tests::Run::new(command).ok();
}

#[test]
fn a_storage_that_is_said_is_not_replaced_by_the_administrators() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let storage = |name: &str| env.wxc(["config", "get", name, "rootfs.storage"]).ok().trim().to_owned();
    create_where_overlay_is_set(&env, "silent", "");
    assert_eq!(storage("silent"), "overlay");
    create_where_overlay_is_set(&env, "said", "-s rootfs.storage=dir");
    assert_eq!(storage("said"), "dir");
    create_where_overlay_is_set(&env, "option", "-B dir");
    assert_eq!(storage("option"), "dir");
}

/// How often a create reads from the archive itself.
fn reads(env: &Env, name: &str, archive: &Path) -> usize {
    let (log, wxc) = (env.file("reads"), wxc_tests::env::wxc());
    let words = ["-f", "-qq", "--trace=read,pread64", "-P"].map(OsStr::new).into_iter();
    let words = words.chain([archive.as_os_str(), OsStr::new("-o"), log.as_os_str(), wxc.as_os_str()]);
    let create = ["create", name, "-B", "overlay", "-t", "local", "--", "--tarball"].map(OsStr::new);
    let words = words.chain(create).chain([archive.as_os_str()]);
    env.program(Path::new("/usr/bin/strace"), words).ok();
    fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains("read")).count()
}

#[test]
fn an_archive_is_read_again_when_it_has_changed_and_only_then() {
    needs!(root, userns, busybox, strace);
    let env = Env::new();
    let archive = env.file("guest.tar");
    fs::copy(fixtures::busybox_archive(Packed::Plain), &archive).unwrap();
    // What has just been written may still change within one tick of the clock, and is not remembered.
    std::thread::sleep(Duration::from_millis(2100));
    create(&env, "one", &archive, &[]);
    assert_eq!(reads(&env, "two", &archive), 0);
    assert_eq!(images(&env).len(), 1);

    // Another content of the same length, in the same file, with the same time on it.
    let times = fs::metadata(&archive).unwrap().modified().unwrap();
    let mut bytes = fs::read(&archive).unwrap();
    let at = bytes.windows(6).position(|window| window == b"guest\n").unwrap();
    bytes[at..at + 6].copy_from_slice(b"other\n");
    let file = fs::OpenOptions::new().write(true).open(&archive).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    file.set_modified(times).unwrap();
    drop(file);
    create(&env, "five", &archive, &[]);
    assert_eq!(images(&env).len(), 2);

    // A note that is beside another image than it was made for is not believed.
    std::thread::sleep(Duration::from_millis(2100));
    create(&env, "six", &archive, &[]);
    assert_eq!(reads(&env, "seven", &archive), 0);
    let note = |image: &serde_json::Value| {
        env.path().join(".images").join(image["key"].as_str().unwrap()).join("seen.json")
    };
    let both: Vec<_> = images(&env).iter().map(note).collect();
    let (first, second) = (fs::read(&both[0]).unwrap(), fs::read(&both[1]).unwrap());
    fs::write(&both[0], second).unwrap();
    fs::write(&both[1], first).unwrap();
    assert!(reads(&env, "eight", &archive) > 0);
    assert_eq!(images(&env).len(), 2);
}
