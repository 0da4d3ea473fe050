//! Images with names: containers of them without a server, newer builds, and images as files.

use std::fs;
use std::io::Write as _;

use serde_json::{Value, json};
use wxc_tests::fixtures::Packed;
use wxc_tests::server::{Fault, Server};
use wxc_tests::{Env, fixtures, needs};

const BUILD: [&str; 5] = ["busybox", "one", "amd64", "default", "20260722_05:24"];
const NEWER: [&str; 5] = ["busybox", "one", "amd64", "default", "20260801_05:24"];

fn metadata(greeting: &str) -> Vec<u8> {
    fixtures::packed(&[
        ("config-user", &format!("lxc.init.cmd = /bin/sleep 1000000\nlxc.environment = FROM={greeting}\n")),
        ("create-message", "This is LXC_NAME.\n"),
        ("templates", "/etc/greeting\n"),
        ("expiry", "4000000000\n"),
    ])
}

fn root() -> Vec<u8> {
    fs::read(fixtures::busybox_archive(Packed::Xz)).unwrap()
}

/// The same tree with a file more: another image.
fn newer_root() -> Vec<u8> {
    fixtures::packed(&[("etc/newer", "yes\n"), ("bin/true", "#!/bin/sh\n")])
}

fn world() -> (Env, Server) {
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&server.remote("local"));
    server.flat_image(BUILD, root(), metadata("old"));
    (env, server)
}

fn pull(env: &Env, more: &[&str]) -> Value {
    let mut words = vec!["image", "pull", "-B", "overlay", "--json"];
    words.extend(more);
    words.extend(["--", "--server", "local", "-d", "busybox", "-r", "one", "-a", "amd64"]);
    serde_json::from_str(&env.wxc(words).ok()).unwrap()
}

fn list(env: &Env) -> Vec<Value> {
    let text = env.wxc(["image", "list", "--json"]).ok();
    serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().clone()
}

#[test]
fn a_container_of_an_image_that_is_here_needs_no_server() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let pulled = pull(&env, &["--alias", "small"]);
    let key = pulled["image"]["key"].as_str().unwrap().to_owned();
    // From here on there is none.
    drop(server);
    env.configure("[remotes.local]\nserver = \"https://127.0.0.1:1\"\n");
    let said = env.wxc(["create", "one", "--image", "small"]).run();
    assert!(said.status.success() && said.stderr.contains("This is one."), "{}", said.told());
    env.wxc(["create", "two", "-i", &key[..12]]).ok();
    for name in ["one", "two"] {
        env.wxc(["start", name]).ok();
        assert_eq!(env.inside(name, "tr '\\0' '\\n' < /proc/1/environ | grep FROM"), "FROM=old");
        assert_eq!(env.inside(name, "cat /proc/1/comm"), "sleep");
    }
    let config = fs::read_to_string(env.container("two").join("container.toml")).unwrap();
    assert!(config.contains("busybox/one/amd64/default/20260722_05:24"), "{config}");
    assert_eq!(env.wxc(["run", "--image", "small", "--", "sh", "-c", "echo thrown"]).ok(), "thrown\n");
    let shown = list(&env);
    assert_eq!(shown[0]["names"], json!(["small"]));
    assert_eq!(shown[0]["used_by"], json!(["one", "two"]));
    // What an image cannot become is said before anything is made.
    for (words, why) in [
        (&["-B", "dir"][..], "cannot be on dir"),
        (&["--privileged"], "has no devices"),
        (&["--size", "1G"], "is a clone of it"),
    ] {
        let refused = env.wxc(["create", "three", "--image", "small"].iter().chain(words)).fails(1);
        assert!(refused.contains(why) && refused.contains("hint"), "{refused}");
        assert!(!env.container("three").exists());
    }
}

#[test]
fn names_are_given_moved_and_taken_away() {
    needs!(root, userns, cgroups, busybox);
    let (env, _server) = world();
    let key = pull(&env, &[])["image"]["key"].as_str().unwrap().to_owned();
    env.wxc(["image", "alias", "busybox/one", &key]).ok();
    env.wxc(["image", "alias", "bb", "busybox/one"]).ok();
    assert_eq!(list(&env)[0]["names"], json!(["bb", "busybox/one"]));
    // A name keeps an image that nobody uses.
    env.wxc(["image", "prune"]).ok();
    assert_eq!(list(&env).len(), 1);
    env.wxc(["image", "alias", "--delete", "bb"]).ok();
    for bad in ["-x", "/etc/passwd", "a b", "0123456789abcdef"] {
        let refused = env.wxc(["image", "alias", "--", bad, "busybox/one"]).fails(1);
        assert!(refused.contains("is no name for an image"), "{refused}");
    }
    let refused = env.wxc(["create", "c", "--image", "bb"]).fails(1);
    assert!(refused.contains("no image is called \"bb\""), "{refused}");
    let refused = env.wxc(["image", "alias", "-d", "bb"]).fails(1);
    assert!(refused.contains("no image is called \"bb\""), "{refused}");
    env.wxc(["image", "prune", "--all"]).ok();
    assert!(list(&env).is_empty());
    // The name went with its image.
    let refused = env.wxc(["image", "info", "busybox/one"]).fails(1);
    assert!(refused.contains("no image is called"), "{refused}");
    // Storage that keeps no images has nothing to give a name to.
    let words =
        ["image", "pull", "-B", "dir", "--alias", "x", "--", "-s", "local", "-d", "busybox", "-r", "one"];
    let refused = env.wxc(words).fails(1);
    assert!(refused.contains("there is nothing to call \"x\""), "{refused}");
}

#[test]
fn a_newer_build_gets_the_names_of_the_old_one() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let old = pull(&env, &["--alias", "small"])["image"]["key"].as_str().unwrap().to_owned();
    let refresh = |words: &[&'static str]| {
        let text = env.wxc(["image", "refresh", "--json"].iter().chain(words)).ok();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(refresh(&[])[0]["outcome"], "current");
    env.wxc(["create", "one", "--image", "small"]).ok();
    server.flat_image(NEWER, newer_root(), metadata("new"));
    // The list that is fresh for an hour does not count.
    let told = refresh(&["small"]);
    assert_eq!((&told[0]["outcome"], &told[0]["removed"]), (&json!("replaced"), &json!(false)), "{told}");
    let shown = list(&env);
    assert_eq!(shown.len(), 2);
    let new = shown.iter().find(|image| image["key"] != json!(old)).unwrap();
    assert_eq!((&new["serial"], &new["names"]), (&json!(NEWER[4]), &json!(["small"])));
    env.wxc(["create", "two", "--image", "small"]).ok();
    assert!(env.container("two").join("container.toml").exists());
    // The old one is used by nobody else, and goes with the next refresh that finds it so.
    env.wxc(["destroy", "one"]).ok();
    assert_eq!(refresh(&["small"])[0]["outcome"], "current");
    let told = refresh(&[]);
    let outcomes: Vec<&Value> = told.as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert!(outcomes.contains(&&json!("replaced")) && outcomes.contains(&&json!("current")), "{told}");
    assert_eq!(list(&env).len(), 1);
    // A server that goes back in time is not followed.
    let index = "/meta/1.0/index-user";
    let lines = String::from_utf8(server.get(index)).unwrap();
    let without: String =
        lines.lines().filter(|line| !line.contains(NEWER[4])).map(|l| format!("{l}\n")).collect();
    server.put(index, without);
    let refused = env.wxc(["image", "refresh", "small"]).fails(1);
    assert!(refused.contains("20260722_05:24, and there was 20260801_05:24 before"), "{refused}");
    assert_eq!(list(&env)[0]["names"], json!(["small"]));
    // Nor is one that does not answer, whatever it said a while ago.
    server.fail("/meta/1.0/index-user.7", (0..20).map(|_| Fault::Status(503)));
    server.fail(index, (0..20).map(|_| Fault::Status(503)));
    let refused = env.wxc(["image", "refresh", "small"]).fails(1);
    assert!(refused.contains("503"), "{refused}");
}

#[test]
fn an_image_goes_to_another_machine_as_one_file() {
    needs!(root, userns, cgroups, busybox);
    let (env, _server) = world();
    pull(&env, &["--alias", "small"]);
    let (file, copy) = (env.file("small.tar.zst"), env.file("copy.tar"));
    env.wxc(["image", "export", "small", file.to_str().unwrap()]).ok();
    let refused = env.wxc(["image", "export", "small", file.to_str().unwrap()]).fails(1);
    assert!(refused.contains("is there already"), "{refused}");
    let streamed =
        env.wxc(["image", "export", "small", "--compression", "none"]).into_command().output().unwrap();
    fs::File::create(&copy).unwrap().write_all(&streamed.stdout).unwrap();

    let other = Env::new();
    let file = file.to_str().unwrap();
    let made = other.wxc(["image", "import", file, "-B", "overlay", "--alias", "theirs", "--json"]).ok();
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(
        (&made["image"]["imported"], &made["product"]),
        (&json!(true), &json!("busybox/one/amd64/default/20260722_05:24"))
    );
    // Once more is the same image.
    other.wxc(["image", "import", file, "-B", "overlay"]).ok();
    assert_eq!(list(&other).len(), 1);
    other.wxc(["create", "one", "--image", "theirs"]).ok();
    other.wxc(["start", "one"]).ok();
    assert_eq!(other.inside("one", "tr '\\0' '\\n' < /proc/1/environ | grep FROM"), "FROM=old");
    assert_eq!(other.inside("one", "cat /proc/1/comm"), "sleep");
    let info = other.wxc(["image", "info", "theirs"]).ok();
    assert!(info.contains("who named the file"), "{info}");
    // There is no server that could have a newer one.
    let told = other.wxc(["image", "refresh"]).run();
    assert!(told.status.success() && told.stderr.contains("it came as a file"), "{}", told.told());
    let refused = other.wxc(["import", copy.to_str().unwrap(), "web"]).fails(1);
    assert!(refused.contains("wxc image import"), "{refused}");
    let refused = other.wxc(["image", "import", copy.to_str().unwrap(), "-B", "dir"]).fails(1);
    assert!(refused.contains("keeps no images"), "{refused}");
}

/// Two servers have the same tree, and each says something else of it.
#[test]
fn what_one_server_says_of_a_tree_is_not_said_of_anothers() {
    needs!(root, userns, cgroups, busybox);
    let (env, first) = world();
    let second = Server::start(&env.file("home"));
    env.configure(&format!("{}{}", first.remote("local"), second.remote("other")));
    second.flat_image(BUILD, root(), metadata("other"));
    pull(&env, &["--alias", "good"]);
    let words = ["image", "pull", "-B", "overlay", "--alias", "evil", "--", "--server", "other"];
    env.wxc([&words[..], &["-d", "busybox", "-r", "one", "-a", "amd64"]].concat()).ok();
    for (image, from) in [("good", "old"), ("evil", "other")] {
        env.wxc(["create", image, "--image", image]).ok();
        let config = fs::read_to_string(env.container(image).join("container.toml")).unwrap();
        assert!(config.contains(&format!("FROM = \"{from}\"")), "{image}: {config}");
    }
    // Nor does one of them say what the newer build of the other's is.
    second.flat_image(NEWER, newer_root(), metadata("other"));
    env.wxc(["image", "refresh", "good"]).ok();
    assert!(second.seen("/meta/1.0/index-user").len() == 1, "{:?}", second.seen("/meta/1.0/index-user"));
}

#[test]
fn a_file_that_lies_about_itself_is_no_image() {
    needs!(root, userns, cgroups, busybox);
    let (env, _server) = world();
    let real = pull(&env, &["--alias", "small"])["image"]["key"].as_str().unwrap().to_owned();
    let file = env.file("small.tar");
    env.wxc(["image", "export", "small", file.to_str().unwrap()]).ok();
    let whole = fs::read(&file).unwrap();
    // It says to be what the server had, and is another image all the same.
    env.wxc(["image", "import", file.to_str().unwrap(), "-B", "overlay", "--alias", "theirs"]).ok();
    let keys: Vec<String> =
        list(&env).iter().map(|image| image["key"].as_str().unwrap().to_owned()).collect();
    assert!(keys.len() == 2 && keys.contains(&real), "{keys:?}");
    let attempt = |name: &str, bytes: &[u8]| {
        let file = env.file(name);
        fs::write(&file, bytes).unwrap();
        let refused = env.wxc(["image", "import", file.to_str().unwrap(), "-B", "overlay"]).fails(1);
        assert_eq!(fs::read_dir(env.path().join(".images")).unwrap().count(), 2, "{refused}");
        refused
    };
    attempt("half.tar", &whole[..whole.len() / 2]);
    let mut other = whole.clone();
    // In the middle of a file, where nothing else could notice.
    let at = other.len() / 3;
    other[at] ^= 1;
    let refused = attempt("other.tar", &other);
    assert!(refused.contains("seal"), "{refused}");
    let mut odd = whole.clone();
    let word = b"\"format\": \"wxc-image\"";
    let at = odd.windows(word.len()).position(|bytes| bytes == word).unwrap();
    odd[at + 12] = b'v';
    attempt("odd.tar", &odd);
    // One with devices is for who asks for it.
    pull(&env, &["--privileged", "--alias", "devices"]);
    let file = env.file("devices.tar");
    env.wxc(["image", "export", "devices", file.to_str().unwrap()]).ok();
    env.wxc(["image", "remove", "devices"]).ok();
    let refused = attempt("again.tar", &fs::read(&file).unwrap());
    assert!(refused.contains("--privileged"), "{refused}");
    env.wxc(["image", "import", file.to_str().unwrap(), "-B", "overlay", "--privileged"]).ok();
}

#[test]
fn archives_of_others_become_images() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let archive = fixtures::busybox_archive(Packed::Xz);
    env.wxc(["image", "import", archive.to_str().unwrap(), "-B", "overlay", "--alias", "plain"]).ok();
    // As Incus and LXD have both in one.
    let unified = env.file("unified.tar.xz");
    fs::write(
        &unified,
        fixtures::packed(&[
            ("metadata.yaml", METADATA),
            ("templates/greeting.tpl", "{{ instance.name }}\n"),
            ("rootfs/etc/unified", "yes\n"),
        ]),
    )
    .unwrap();
    env.wxc(["image", "import", unified.to_str().unwrap(), "-B", "overlay", "--alias", "unified"]).ok();
    // As Incus and LXD have a root alone.
    if let Some(reason) = needs::mksquashfs() {
        needs::skip(&reason);
    } else {
        let disk = fixtures::busybox_archive(Packed::Squashfs);
        env.wxc(["image", "import", disk.to_str().unwrap(), "-B", "overlay", "--alias", "disk"]).ok();
        env.wxc(["create", "two", "--image", "disk", "-s", "init.command=/bin/sleep 1000000"]).ok();
        env.wxc(["start", "two"]).ok();
        assert_eq!(env.inside("two", "cat /etc/hostname"), "two");
    }
    env.wxc(["create", "one", "--image", "plain", "-s", "init.command=/bin/sleep 1000000"]).ok();
    env.wxc(["start", "one"]).ok();
    assert_eq!(env.inside("one", "cat /etc/hostname"), "one");
    let unified = list(&env).into_iter().find(|image| image["names"] == json!(["unified"])).unwrap();
    let root = env.path().join(".images").join(unified["key"].as_str().unwrap());
    let found = walk(&root).into_iter().filter(|path| path.ends_with("etc/unified")).count();
    assert_eq!(found, 1, "{:?}", walk(&root));
    assert!(!walk(&root).iter().any(|path| path.contains("metadata.yaml")));
    assert_eq!(unified["expires"], 4_000_000_000_u64);
    env.wxc(["create", "three", "--image", "unified"]).ok();
    assert!(walk(&env.container("three")).iter().any(|path| path.ends_with("etc/greeting")));
}

/// Files that people give because they look like an image.
#[test]
fn what_is_no_root_is_no_image_and_says_what_it_is() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let packed = |name: &str, files: &[(&str, &str)]| {
        let file = env.file(name);
        fs::write(&file, fixtures::packed(files)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let zeros = env.file("disk.img");
    fs::write(&zeros, vec![0; 1 << 20]).unwrap();
    for (file, word) in [
        (
            packed("meta.tar.xz", &[("config", "lxc.arch = amd64\n"), ("expiry", "1\n"), ("rootfs/x", "")]),
            "--prefix rootfs",
        ),
        (packed("oci.tar.xz", &[("index.json", "{}"), ("oci-layout", "{}"), ("blobs/x", "")]), "-t oci"),
        (
            packed("backup.tar.xz", &[("backup/index.yaml", "x"), ("backup/container/rootfs/bin/sh", "")]),
            "backup/container/rootfs",
        ),
        (packed("around.tar.xz", &[("debian-13/bin/sh", "")]), "--prefix debian-13"),
        (zeros.to_str().unwrap().to_owned(), "nothing in it"),
    ] {
        let refused = env.wxc(["image", "import", &file, "-B", "overlay"]).fails(1);
        assert!(refused.contains(word), "{file}: {refused}");
        let refused = env.wxc(["create", "x", "-t", "local", "--", "--tarball", &file]).fails(1);
        assert!(refused.contains(word) && !env.container("x").exists(), "{file}: {refused}");
    }
    assert_eq!(list(&env).len(), 0);
    // An image of Incus whose metadata does not come first, and one in a squashfs, bring it along all the same.
    let mut unified = vec![packed(
        "odd.tar.xz",
        &[
            ("./rootfs/etc/unified", "yes\n"),
            ("./templates/greeting.tpl", "hi\n"),
            ("./metadata.yaml", METADATA),
        ],
    )];
    if let Some(reason) = needs::mksquashfs() {
        needs::skip(&reason);
    } else {
        let tree = env.file("tree");
        fs::create_dir_all(tree.join("rootfs/etc")).unwrap();
        fs::create_dir_all(tree.join("templates")).unwrap();
        fs::write(tree.join("rootfs/etc/unified"), "yes\n").unwrap();
        fs::write(tree.join("metadata.yaml"), METADATA).unwrap();
        fs::write(tree.join("templates/greeting.tpl"), "hi\n").unwrap();
        let file = env.file("odd.squashfs");
        let made = std::process::Command::new("mksquashfs")
            .arg(&tree)
            .arg(&file)
            .args(["-quiet", "-no-progress"])
            .status();
        assert!(made.unwrap().success());
        unified.push(file.to_str().unwrap().to_owned());
    }
    for (number, file) in unified.iter().enumerate() {
        let name = format!("u{number}");
        env.wxc(["image", "import", file, "-B", "overlay", "--alias", &name]).ok();
        env.wxc(["create", &name, "--image", &name]).ok();
        assert!(walk(&env.container(&name)).iter().any(|path| path.ends_with("etc/greeting")), "{file}");
    }
}

const METADATA: &str = "architecture: x86_64\nexpiry_date: 4000000000\ntemplates:\n  /etc/greeting:\n    when: [create, copy]\n    template: greeting.tpl\n";

/// `meta.tar.xz` and `rootfs.tar.xz` as they are built for LXC, `incus.tar.xz` and a root as for Incus.
#[test]
fn metadata_in_a_file_of_its_own_comes_along() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let root = fixtures::busybox_archive(Packed::Xz);
    let (lxc, incus) = (env.file("meta.tar.xz"), env.file("incus.tar.xz"));
    fs::write(&lxc, metadata("a file")).unwrap();
    let parts = [("metadata.yaml", METADATA), ("templates/greeting.tpl", "hello {{ instance.name }}\n")];
    fs::write(&incus, fixtures::packed(&parts)).unwrap();
    let [root, lxc, incus] = [&root, &lxc, &incus].map(|path| path.to_str().unwrap());
    for storage in ["dir", "overlay"] {
        let name = format!("lxc-{storage}");
        let made =
            env.wxc(["create", &name, "-B", storage, "-t", "local", "--", "-m", lxc, "-f", root]).run();
        assert!(
            made.status.success() && made.stderr.contains(&format!("This is {name}.")),
            "{}",
            made.told()
        );
        env.wxc(["start", &name]).ok();
        assert_eq!(env.inside(&name, "tr '\\0' '\\n' < /proc/1/environ | grep FROM"), "FROM=a file");
        assert_eq!(env.inside(&name, "cat /etc/hostname"), name);
    }
    // Who says it himself comes first.
    env.wxc(["create", "own", "-t", "local", "--", "-m", lxc, "-f", root, "--init", "/bin/sleep 2000000"])
        .ok();
    env.wxc(["start", "own"]).ok();
    assert_eq!(env.inside("own", "tr '\\0' ' ' < /proc/1/cmdline"), "/bin/sleep 2000000");

    env.wxc(["image", "import", incus, root, "-B", "overlay", "--alias", "split"]).ok();
    let split = list(&env).into_iter().find(|image| image["names"] == json!(["split"])).unwrap();
    assert_eq!(split["expires"], 4_000_000_000_u64);
    env.wxc(["create", "one", "--image", "split", "-s", "init.command=/bin/sleep 1000000"]).ok();
    env.wxc(["start", "one"]).ok();
    assert_eq!(env.inside("one", "cat /etc/greeting"), "hello one");
    env.wxc(["stop", "one", "-k"]).ok();
    env.wxc(["copy", "one", "two"]).ok();
    env.wxc(["start", "two"]).ok();
    assert_eq!(env.inside("two", "cat /etc/greeting"), "hello two");
    // The same root with other metadata is another image.
    env.wxc(["image", "import", lxc, root, "-B", "overlay", "--alias", "other"]).ok();
    let images = list(&env);
    let key = |name| images.iter().find(|image| image["names"] == json!([name])).unwrap()["key"].clone();
    assert_ne!(key("split"), key("other"));
    for bad in [
        &["create", "x", "-t", "local", "--", "-m", incus][..],
        &["create", "x", "-t", "local", "--", "-m", incus, "-d", "/tmp"],
        &["image", "import", root, incus, "-B", "overlay"],
    ] {
        env.wxc(bad).fails(1);
        assert!(!env.container("x").exists());
    }
}

fn walk(root: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(walk(&entry.path()));
        }
    }
    found
}

#[test]
fn what_is_out_of_date_is_said_and_refused_where_that_is_wanted() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&server.remote("local"));
    streams(&server);
    let words = |name| {
        ["create", name, "-B", "overlay", "-t", "download", "--", "-s", "local", "-d", "busybox", "-r", "one"]
    };
    let said = env.wxc(words("one")).run();
    assert!(said.status.success() && said.stderr.contains("out of date since 2001-"), "{}", said.told());
    let listed = env.wxc(["image", "list"]).ok();
    assert!(listed.contains("(over)"), "{listed}");
    env.configure(&format!("{}refuse-expired = true\n", server.remote("local")));
    let refused = env.wxc(words("two")).fails(1);
    assert!(refused.contains("out of date since") && refused.contains("--allow-older"), "{refused}");
    assert!(!env.container("two").exists());
    let mut allowed = words("two").to_vec();
    allowed.insert(2, "--allow-older");
    env.wxc(allowed).ok();
}

/// A list in which support of the one product ended long ago.
fn streams(server: &Server) {
    let (metadata, root) = (fixtures::packed(&[("metadata.yaml", "architecture: x86_64\n")]), root());
    let item = |kind: &str, path: &str, bytes: &[u8]| json!({ "ftype": kind, "path": path, "size": bytes.len(), "sha256": wxc_tests::server::sha256(bytes) });
    let items = json!({
        "incus.tar.xz": item("incus.tar.xz", "a/incus.tar.xz", &metadata),
        "root.tar.xz": item("root.tar.xz", "a/rootfs.tar.xz", &root),
    });
    server.put("/a/incus.tar.xz", metadata);
    server.put("/a/rootfs.tar.xz", root);
    let product = json!({
        "arch": "amd64", "os": "busybox", "release": "one", "variant": "default", "support_eol": "2001-10-02",
        "versions": { "20260722_05:24": { "items": items } }
    });
    let products = json!({
        "format": "products:1.0", "content_id": "images", "datatype": "image-downloads",
        "products": { "busybox:one:amd64:default": product }
    });
    let index = json!({
        "format": "index:1.0",
        "index": { "images": { "datatype": "image-downloads", "format": "products:1.0",
            "path": "streams/v1/images.json", "products": ["busybox:one:amd64:default"] } }
    });
    server.put("/streams/v1/images.json", products.to_string());
    server.put("/streams/v1/index.json", index.to_string());
}
