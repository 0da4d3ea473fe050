//! Images as servers for Incus and LXD have them: simplestreams, split and unified, with templates of files.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use wxc_tests::fixtures::{Packed, packed};
use wxc_tests::keys::Keys;
use wxc_tests::server::{Fault, Server, sha256};
use wxc_tests::{Env, fixtures, needs};

const METADATA: &str = r#"
architecture: x86_64
creation_date: 1700000000
expiry_date: 4000000000
properties:
  os: Busybox
  description: made by a test
templates:
  /etc/hostname:
    when: [create, copy]
    template: hostname.tpl
    properties: {}
  /etc/moments:
    when: [create, copy, rename, start]
    template: moments.tpl
    properties: {greeting: hello}
    mode: "0600"
  /../../../../etc/wxc-escaped:
    when: [create]
    template: hostname.tpl
"#;

fn metadata() -> Vec<u8> {
    packed(&[
        ("metadata.yaml", METADATA),
        ("templates/hostname.tpl", "{{ container.name }}\n"),
        ("templates/moments.tpl", "{{ properties.greeting }} {{ instance.name }} {{ trigger }}\n"),
    ])
}

fn root() -> Vec<u8> {
    fs::read(fixtures::busybox_archive(Packed::Xz)).unwrap()
}

/// An item of a version, which lies at `path`.
fn item(server: &Server, kind: &str, path: &str, bytes: Vec<u8>) -> Value {
    let item = json!({ "ftype": kind, "path": path, "size": bytes.len(), "sha256": sha256(&bytes) });
    server.put(&format!("/{path}"), bytes);
    item
}

/// Lists with one product of one version.
fn list(server: &Server, items: &Value) {
    let products = json!({
        "format": "products:1.0", "content_id": "images", "datatype": "image-downloads",
        "products": { "busybox:one:amd64:default": {
            "aliases": "busybox/one/default,busybox/1", "arch": "amd64", "os": "Busybox", "release": "one",
            "release_title": "One", "variant": "default", "support_eol": "2096-10-02",
            "versions": { "20260722_05:24": { "items": items } }
        } }
    });
    let index = json!({
        "format": "index:1.0", "updated": "Thu, 01 Jan 2026 00:00:00 +0000",
        "index": { "images": { "datatype": "image-downloads", "format": "products:1.0",
            "path": "streams/v1/images.json", "products": ["busybox:one:amd64:default"] } }
    });
    server.put("/streams/v1/images.json", products.to_string());
    server.put("/streams/v1/index.json", index.to_string());
}

fn split(server: &Server) -> Value {
    let (metadata, root) = (metadata(), root());
    let together = sha256(&[metadata.clone(), root.clone()].concat());
    let mut first = item(server, "incus.tar.xz", "images/a/incus.tar.xz", metadata);
    first["combined_rootxz_sha256"] = together.into();
    json!({ "incus.tar.xz": first, "root.tar.xz": item(server, "root.tar.xz", "images/a/rootfs.tar.xz", root) })
}

fn world() -> (Env, Server) {
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&server.remote("local"));
    (env, server)
}

fn words<'a>(name: &'a str, storage: &'a str) -> Vec<&'a str> {
    let mut words =
        vec!["create", name, "-B", storage, "-t", "download", "-s", "init.command=/bin/sleep 1000000"];
    words.extend(["--", "--server", "local", "-d", "busybox", "-r", "one", "-a", "amd64"]);
    words
}

#[test]
fn a_split_image_becomes_a_container_whose_files_follow_its_name() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    list(&server, &split(&server));
    env.wxc(words("web", "overlay")).ok();
    let read = |name: &str, path: &str| env.inside(name, &format!("cat {path}"));
    env.wxc(["start", "web"]).ok();
    assert_eq!(read("web", "/etc/hostname"), "web");
    assert_eq!(read("web", "/etc/moments"), "hello web start");
    assert_eq!(env.inside("web", "stat -c %a /etc/moments"), "600");
    assert!(!Path::new("/etc/wxc-escaped").exists());
    env.wxc(["stop", "web", "-k"]).ok();
    env.wxc(["copy", "web", "two"]).ok();
    // Who keeps the host name keeps it in rendered files, too.
    env.wxc(["copy", "-K", "web", "same"]).ok();
    env.wxc(["start", "same"]).ok();
    assert_eq!(read("same", "/etc/hostname; hostname"), "web\nweb");
    env.wxc(["copy", "-R", "two", "three"]).ok();
    env.wxc(["start", "three"]).ok();
    assert_eq!(read("three", "/etc/hostname"), "three");
    assert_eq!(read("three", "/etc/moments"), "hello three start");
    let images: Value = serde_json::from_str(&env.wxc(["image", "list", "--json"]).ok()).unwrap();
    assert_eq!(images[0]["product"], "busybox/one/amd64/default");
    assert_eq!(images[0]["expires"], 4_000_060_800_u64);
}

/// As some servers have nothing else.
#[test]
fn a_root_that_is_a_squashfs_image_is_unpacked_like_an_archive() {
    needs!(root, userns, cgroups, busybox, mksquashfs);
    let (env, server) = world();
    let (metadata, root) = (metadata(), fs::read(fixtures::busybox_archive(Packed::Squashfs)).unwrap());
    let together = sha256(&[metadata.clone(), root.clone()].concat());
    let mut first = item(&server, "lxd.tar.xz", "images/a/lxd.tar.xz", metadata);
    first["combined_squashfs_sha256"] = together.into();
    // Said of a part that is not there.
    first["combined_rootxz_sha256"] = "ab".repeat(32).into();
    let root = item(&server, "squashfs", "images/a/rootfs.squashfs", root);
    let mut items = json!({ "lxd.tar.xz": first, "squashfs": root, "disk.qcow2": { "ftype": "disk1.img" } });
    list(&server, &items);
    for storage in ["dir", "overlay"] {
        env.wxc(words(storage, storage)).ok();
        env.wxc(["start", storage]).ok();
        assert_eq!(
            env.inside(storage, "cat /etc/hostname /etc/moments"),
            format!("{storage}\nhello {storage} start")
        );
        // Another writer, the same tree.
        let local = format!("local-{storage}");
        let archive = fixtures::busybox_archive(Packed::Xz);
        let mut other =
            vec!["create", &local, "-B", storage, "-t", "local", "-s", "init.command=/bin/sleep 1000000"];
        other.extend(["--", "--tarball", archive.to_str().unwrap()]);
        env.wxc(other).ok();
        env.wxc(["start", &local]).ok();
        let seen = "cd / && find bin usr lib root -exec stat -c '%n %f %u:%g %h %Y' {} + | sort";
        assert_eq!(env.inside(storage, seen), env.inside(&local, seen));
    }
    items["lxd.tar.xz"]["combined_squashfs_sha256"] = "cd".repeat(32).into();
    list(&server, &items);
    let refused = env.wxc([&words("bad", "dir")[..], &["--flush-cache"]].concat()).fails(1);
    assert!(refused.contains("together") && !env.container("bad").exists(), "{refused}");
}

/// What an image or a guest has in the tree keeps nobody from renaming the container, or from removing it afterwards.
#[test]
fn a_rename_goes_on_whatever_is_inside() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let failing =
        "architecture: x86_64\ntemplates:\n  /etc/moments:\n    when: [rename]\n    template: x.tpl\n";
    let metadata = packed(&[("metadata.yaml", failing), ("templates/x.tpl", "{{ nobody_knows(1) }}\n")]);
    let first = item(&server, "incus.tar.xz", "images/a/incus.tar.xz", metadata);
    let root = item(&server, "root.tar.xz", "images/a/rootfs.tar.xz", root());
    list(&server, &json!({ "incus.tar.xz": first, "root.tar.xz": root }));
    env.wxc(words("one", "dir")).ok();
    let renamed = env.wxc(["copy", "-R", "one", "two"]).run();
    assert!(
        renamed.status.success() && renamed.stderr.contains("may still call it one"),
        "{}",
        renamed.told()
    );
    env.wxc(["start", "two"]).ok();
    env.wxc(["stop", "two", "-k"]).ok();
    let etc = env.container("two").join("rootfs/etc");
    fs::remove_dir_all(&etc).unwrap();
    std::os::unix::fs::symlink("etc", &etc).unwrap();
    env.wxc(["copy", "-R", "two", "three"]).ok();
    let etc = env.container("three").join("rootfs/etc");
    fs::remove_file(&etc).unwrap();
    fs::create_dir_all(etc.join(".wxc-new/not/empty")).unwrap();
    fs::write(etc.join("hostname"), "three\n").unwrap();
    fs::write(etc.join("hosts"), vec![b'x'; 2 << 20]).unwrap();
    env.wxc(["copy", "-R", "three", "four"]).ok();
    assert_eq!(fs::read_to_string(env.container("four").join("rootfs/etc/hostname")).unwrap(), "four\n");
    assert_eq!(env.wxc(["doctor"]).run().status.code(), Some(0));
    env.wxc(["destroy", "four"]).ok();
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "");
}

#[test]
fn names_of_releases_and_lists_are_those_that_people_use() {
    needs!(root, userns, busybox);
    let (env, server) = world();
    list(&server, &split(&server));
    let listed = env.wxc(["create", "-t", "download", "--", "--server", "local", "--list"]).ok();
    assert!(listed.contains("busybox") && listed.contains("20260722_05:24"), "{listed}");
    // Another word for the release, and the distribution as its publisher writes it.
    let mut other = words("c", "dir");
    for word in &mut other {
        *word = match *word {
            "one" => "1",
            "busybox" => "Busybox",
            word => word,
        };
    }
    env.wxc(other).ok();
    let refused = env
        .wxc([
            "create", "x", "-t", "download", "--", "--server", "local", "-d", "busybox", "-r", "two", "-a",
            "amd64",
        ])
        .fails(1);
    assert!(refused.contains("no release \"two\" of it; it has: one"), "{refused}");
    let refused = env.wxc([&words("x", "dir")[..], &["--format", "lxc"]].concat()).fails(1);
    assert!(refused.contains("there is no meta/1.0/index-user"), "{refused}");
}

#[test]
fn a_unified_image_brings_its_metadata_along() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("image");
    fs::create_dir_all(tree.join("templates")).unwrap();
    fs::write(tree.join("metadata.yaml"), METADATA).unwrap();
    fs::write(tree.join("templates/hostname.tpl"), "{{ container.name }}\n").unwrap();
    fs::write(tree.join("templates/moments.tpl"), "{{ instance.name }} {{ trigger }}\n").unwrap();
    let archive = fixtures::busybox_archive(Packed::Xz);
    fs::create_dir(tree.join("rootfs")).unwrap();
    let run = |program: &str, words: &[&str]| {
        assert!(Command::new(program).args(words).status().unwrap().success())
    };
    let (root, unified) = (tree.join("rootfs"), dir.path().join("unified.tar.gz"));
    run("tar", &["-C", root.to_str().unwrap(), "-xf", archive.to_str().unwrap()]);
    run(
        "tar",
        &[
            "-C",
            tree.to_str().unwrap(),
            "-czf",
            unified.to_str().unwrap(),
            "metadata.yaml",
            "templates",
            "rootfs",
        ],
    );
    let bytes = fs::read(&unified).unwrap();
    list(
        &server,
        &json!({ "incus_combined.tar.gz": item(&server, "incus_combined.tar.gz", "images/u.tar.gz", bytes) }),
    );
    for storage in ["dir", "overlay"] {
        env.wxc(words(storage, storage)).ok();
        env.wxc(["start", storage]).ok();
        assert_eq!(env.inside(storage, "cat /etc/hostname"), storage);
        assert_eq!(env.inside(storage, "ls / | grep -c -e metadata -e templates || true"), "0");
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    needs!(root, userns, busybox);
    let (env, server) = world();
    let mut items = split(&server);
    // Each part is what the list says, and together they are not what was published (CVE-2026-33542).
    items["incus.tar.xz"]["combined_rootxz_sha256"] = "ab".repeat(32).into();
    list(&server, &items);
    for storage in ["dir", "overlay"] {
        let refused = env.wxc(words("bad", storage)).fails(1);
        assert!(refused.contains("together"), "{refused}");
        assert!(!env.container("bad").exists());
    }
    // Larger than announced.
    let (env, server) = world();
    let mut items = split(&server);
    items["root.tar.xz"]["size"] = 5.into();
    list(&server, &items);
    let refused = env.wxc(words("bad", "dir")).fails(1);
    assert!(refused.contains("5 bytes"), "{refused}");
    assert!(!env.container("bad").exists());
}

#[test]
fn lists_that_are_none_say_so() {
    needs!(root);
    let (env, server) = world();
    list(&server, &json!({}));
    let good = server.get("/streams/v1/index.json");
    let index = |from: &str, to: &str| String::from_utf8(good.clone()).unwrap().replace(from, to);
    for (bytes, said) in [
        ("no json".to_owned(), "is no list of images"),
        (index("index:1.0", "index:2.0"), "its format is \"index:2.0\""),
        (index("streams/v1/images.json", "../../x"), "no place on a server"),
        (index("streams/v1/images.json", "streams/v1/missing.json"), "which is not there"),
        ("[".repeat(200_000), "is no list of images"),
    ] {
        server.fail("/streams/v1/index.json", [Fault::Instead(bytes.into_bytes())]);
        let refused = env.wxc([&words("x", "dir")[..], &["--flush-cache"]].concat()).fails(1);
        assert!(refused.contains(said), "{said}: {refused}");
    }
    let refused = env.wxc([&words("x", "dir")[..], &["--flush-cache"]].concat()).fails(1);
    assert!(refused.contains("has no images"), "{refused}");
}

#[test]
fn signed_lists_vouch_for_the_digests_in_them() {
    needs!(root, userns, busybox);
    let keys = Keys::new();
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&format!("{}keyring = {:?}\n", server.remote("local"), keys.file()));
    list(&server, &split(&server));
    let refused = env.wxc(words("one", "overlay")).fails(1);
    assert!(refused.contains("nobody vouches"), "{refused}");
    // Beside them.
    for path in ["/streams/v1/index.json", "/streams/v1/images.json"] {
        server.put(&format!("{path}.gpg"), keys.sign(&server.get(path)));
    }
    let fresh = |name| [&words(name, "overlay")[..], &["--flush-cache"]].concat();
    env.wxc(fresh("one")).ok();
    // Around them, and only there.
    for path in ["/streams/v1/index", "/streams/v1/images"] {
        server.remove(&format!("{path}.json.gpg"));
        server.put(&format!("{path}.sjson"), keys.clear(&server.get(&format!("{path}.json"))));
        server.remove(&format!("{path}.json"));
    }
    env.wxc(fresh("two")).ok();
    for name in ["one", "two"] {
        let config = fs::read_to_string(env.container(name).join("container.toml")).unwrap();
        assert!(config.contains(&keys.fingerprint), "{config}");
    }
}
