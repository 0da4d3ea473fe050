//! Images of a server: downloaded, checked, unpacked, cached; and what a server can do wrong.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use wxc_tests::fixtures::Packed;
use wxc_tests::server::{Fault, Server, sha256};
use wxc_tests::{Env, fixtures, needs};

const WORDS: [&str; 5] = ["busybox", "one", "amd64", "default", "20260722_05:24"];
const SLEEP: &str = "lxc.init.cmd = /bin/sleep 1000000\n";

fn metadata() -> Vec<u8> {
    fixtures::packed(&[
        (
            "config",
            &format!(
                "lxc.arch = x86_64\nlxc.hook.pre-start = /bin/evil\nlxc.mount.entry = / mnt none bind\n{SLEEP}"
            ),
        ),
        ("config-user", &format!("{SLEEP}lxc.environment = FROM=image\nlxc.include = /etc/shadow\n")),
        ("templates", "/etc/greeting\n/../../../../etc/wxc-escaped\n"),
        ("create-message", "This is LXC_NAME.\n\u{1b}[2JIt was made by a test.\n"),
        ("expiry", "4000000000\n"),
    ])
}

fn root() -> Vec<u8> {
    fs::read(fixtures::busybox_archive(Packed::Xz)).unwrap()
}

/// A world that calls a server `local`.
fn world() -> (Env, Server) {
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&server.remote("local"));
    (env, server)
}

fn words<'a>(name: &'a str, storage: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["create", name, "-B", storage, "-t", "download"];
    words.extend(more);
    words.extend(["--", "--server", "local", "--dist", "busybox", "--release", "one", "--arch", "amd64"]);
    words
}

fn nothing_of(env: &Env, name: &str) {
    assert!(!env.container(name).exists(), "something is left of {name}");
}

#[test]
fn an_image_becomes_a_container_and_the_next_one_downloads_nothing() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    let made = env.wxc(words("one", "overlay", &[])).run();
    let said = &made.stderr;
    assert!(made.status.success() && said.contains("This is one."), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
    env.wxc(["start", "one"]).ok();
    assert_eq!(env.inside("one", "tr '\\0' '\\n' < /proc/1/environ | grep FROM"), "FROM=image");
    assert_eq!(env.inside("one", "cat /proc/1/comm"), "sleep");
    let config = fs::read_to_string(env.container("one").join("container.toml")).unwrap();
    assert!(!config.contains("evil") && !config.contains("hook") && !config.contains("shadow"), "{config}");
    assert!(
        config.contains("busybox/one/amd64/default/20260722_05:24") && config.contains("sha256:"),
        "{config}"
    );
    assert!(!Path::new("/etc/wxc-escaped").exists());

    let archive = format!("{place}rootfs.tar.xz");
    assert_eq!(server.seen(&archive).len(), 1);
    env.wxc(words("two", "overlay", &[])).ok();
    // Another storage unpacks anew, and has the archive.
    env.wxc(words("three", "dir", &[])).ok();
    assert_eq!(server.seen(&archive).len(), 1);
    assert_eq!(server.seen("/meta/1.0/index-user").len(), 1, "the list is fresh for a while");
    // And so is that there is none under the name that comes first.
    assert_eq!(server.seen("/meta/1.0/index-user.7").len(), 1);
    let images: serde_json::Value = serde_json::from_str(&env.wxc(["image", "list", "--json"]).ok()).unwrap();
    assert_eq!(images[0]["product"], "busybox/one/amd64/default");
    assert_eq!(images[0]["serial"], "20260722_05:24");
    assert_eq!(images[0]["used_by"], serde_json::json!(["one", "two"]));
    // A container with root privileges has its own list and its own words.
    let mut privileged = words("four", "dir", &["--privileged"]);
    privileged.push("--flush-cache");
    env.wxc(privileged).ok();
    assert_eq!(server.seen("/meta/1.0/index-system").len(), 1);
    let config = fs::read_to_string(env.container("four").join("container.toml")).unwrap();
    assert!(!config.contains("FROM"), "{config}");
}

#[test]
fn what_a_server_has_is_listed_and_chosen_with_the_options_of_lxc() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    server.flat_image(WORDS, root(), metadata());
    server.flat_image(["busybox", "two", "arm64", "cloud", "20260722_05:24"], root(), metadata());
    let list = |words: &[&'static str]| {
        let all = ["create", "-t", "download", "--json", "--", "-s", "local"];
        let text = env.wxc(all.into_iter().chain(words.iter().copied())).ok();
        serde_json::from_str::<serde_json::Value>(&text).unwrap().as_array().unwrap().clone()
    };
    assert_eq!(list(&["--list"]).len(), 2);
    let found = list(&["-l", "-a", "aarch64"]);
    assert_eq!((found.len(), &found[0]["release"]), (1, &serde_json::json!("two")));
    let shown = env.wxc(["create", "x", "-t", "download", "--", "--list", "-s", "local"]).ok();
    assert!(shown.contains("busybox one") && shown.contains("cloud"), "{shown}");
    let help = env.wxc(["create", "-t", "download", "--", "--help"]).ok();
    assert!(help.contains("--release") && help.contains("(required)"), "{help}");
    env.wxc([
        "create", "one", "-t", "download", "--", "-s", "local", "-d", "busybox", "-r", "one", "-a", "amd64",
    ])
    .ok();
    let refused =
        env.wxc(["create", "-t", "download", "--", "-s", "local", "-d", "busybox", "-r", "one"]).fails(1);
    assert!(refused.contains("name"), "{refused}");
}

#[test]
fn an_image_can_be_had_before_its_containers() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    let pull = |storage: &'static str, more: &[&'static str]| {
        let words =
            ["image", "pull", "-B", storage, "--json", "--", "--server", "local", "--dist", "busybox"];
        let words = words.into_iter().chain(["--release", "one"]).chain(more.iter().copied());
        env.wxc(words)
    };
    let pulled: serde_json::Value = serde_json::from_str(&pull("overlay", &[]).ok()).unwrap();
    let key = pulled["image"]["key"].as_str().unwrap().to_owned();
    assert_eq!(pulled["image"]["size"], root().len());
    let shown = env.wxc(["image", "info", &key[..8]]).ok();
    for word in
        [&*key, "busybox/one/amd64/default/20260722_05:24", "rootfs.tar.xz", "TLS", "template-download"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let pulled: serde_json::Value = serde_json::from_str(&pull("dir", &[]).ok()).unwrap();
    assert!(pulled["image"].is_null(), "{pulled}");
    // Without the server, both make containers now.
    for path in ["rootfs.tar.xz", "meta.tar.xz", "SHA256SUMS"] {
        server.remove(&format!("{place}{path}"));
    }
    env.wxc(words("one", "overlay", &[])).ok();
    env.wxc(words("two", "dir", &[])).ok();
    assert_eq!(server.seen(&format!("{place}rootfs.tar.xz")).len(), 1);
    let refused = pull("dir", &["--release", "two"]).fails(1);
    assert!(refused.contains("once"), "{refused}");
    // What was downloaded goes with the images that nobody uses.
    env.wxc(["destroy", "one"]).ok();
    env.wxc(["image", "prune"]).ok();
    assert!(env.wxc(["image", "list", "--json"]).ok().trim() == "[]");
    let blobs = env.path().join(".downloads/blobs/sha256");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
    let refused = env.wxc(["image", "pull", "-t", "host"]).fails(1);
    assert!(refused.contains("nothing that could be kept"), "{refused}");
}

#[test]
fn an_ordinary_user_has_images_of_servers() {
    needs!(subordinate_ids, cgroups, busybox);
    let env = Env::of_user(2);
    let server = Server::start(&env.file("home"));
    env.configure(&server.remote("local"));
    let place = server.flat_image(WORDS, root(), metadata());
    for name in ["one", "two"] {
        env.wxc(words(name, "dir", &[])).ok();
    }
    assert_eq!(server.seen(&format!("{place}rootfs.tar.xz")).len(), 1);
    let config = fs::read_to_string(env.container("two").join("container.toml")).unwrap();
    assert!(config.contains("FROM"), "{config}");
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    let archive = format!("{place}rootfs.tar.xz");
    let (half, length) = (root().len() / 2, root().len());
    // Within one command: cut off, busy, silent, and then it is there.
    server.fail(&archive, [Fault::CutAfter(half), Fault::Status(503), Fault::StallAfter(1000)]);
    env.wxc(words("one", "dir", &[])).ok();
    let seen = server.seen(&archive);
    let ranges: Vec<Option<&str>> = seen.iter().map(|s| s.headers.get("range").map(String::as_str)).collect();
    let from = |at: usize| format!("bytes={at}-");
    assert_eq!(ranges, [None, Some(&*from(half)), Some(&*from(half)), Some(&*from(half + 1000))]);
    assert!(seen.iter().all(|seen| seen.headers["accept-encoding"] == "identity"));
    assert!(seen[1].headers.contains_key("if-range"), "{seen:?}");

    // From one command to the next.
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    let archive = format!("{place}rootfs.tar.xz");
    server.fail(&archive, std::iter::once(Fault::CutAfter(half)).chain((0..9).map(|_| Fault::Status(500))));
    let failed = env.wxc(words("one", "dir", &[])).fails(1);
    assert!(failed.contains("500") && failed.contains("rootfs.tar.xz"), "{failed}");
    nothing_of(&env, "one");
    server.fail(&archive, []);
    env.wxc(words("one", "dir", &[])).ok();
    let last = server.seen(&archive).pop().unwrap();
    assert_eq!(last.headers["range"], from(half));
    assert!(half < length);
}

#[test]
fn a_server_that_knows_no_ranges_or_wrong_ones_begins_anew() {
    needs!(root, userns, cgroups, busybox);
    for second in [Fault::IgnoreRange, Fault::WrongRange, Fault::Status(416)] {
        let (env, server) = world();
        let place = server.flat_image(WORDS, root(), metadata());
        let archive = format!("{place}rootfs.tar.xz");
        server.fail(&archive, [Fault::CutAfter(5000), second]);
        env.wxc(words("one", "dir", &[])).ok();
        env.wxc(["start", "one"]).ok();
    }
}

/// Waits for something that another process does.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_archive_is_unpacked_while_it_comes() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    let archive = format!("{place}rootfs.tar.xz");
    // Everything but its end, and then a silence.
    server.fail(&archive, [Fault::StallAfter(root().len() - 40)]);
    let create = env.wxc(words("one", "dir", &[])).spawn();
    let etc = env.container("one").join("rootfs/etc");
    until("an early file", || etc.exists());
    // That was before the rest was asked for.
    assert_eq!(server.seen(&archive).len(), 1);
    assert!(create.wait_with_output().unwrap().status.success());
    assert_eq!(server.seen(&archive).len(), 2);
    env.wxc(["start", "one"]).ok();
}

#[test]
fn a_server_that_changes_in_the_middle_leaves_nothing_of_what_it_had() {
    needs!(root, userns, cgroups, busybox);
    for storage in ["dir", "overlay"] {
        let (env, server) = world();
        let place = server.flat_image(WORDS, root(), metadata());
        let archive = format!("{place}rootfs.tar.xz");
        // Another tree, of which enough comes to be unpacked.
        let content = "0123456789abcdef".repeat(4096);
        let other = fixtures::packed(&[("etc/other", &content), ("usr/more", &content)]);
        server.fail(&archive, [Fault::StallAfter(other.len() - 8)]);
        server.put(&archive, other);
        let create = env.wxc(words("one", storage, &[])).spawn();
        until("a first request", || !server.seen(&archive).is_empty());
        server.put(&archive, root());
        let output = create.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        env.wxc(["start", "one"]).ok();
        assert_eq!(env.inside("one", "ls /etc/other /usr/more 2>/dev/null | wc -l"), "0");
    }
}

/// What is thrown away is thrown away as a whole, the top of the tree included.
#[test]
fn what_came_first_says_nothing_of_the_top_of_the_tree() {
    needs!(root, userns, cgroups, busybox);
    let mut other = tar::Builder::new(Vec::new());
    // user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::r-x (linux/posix_acl_xattr.h), as GNU tar writes it.
    let list = "user::rwx,user:1000:rwx,group::r-x,mask::rwx,other::r-x";
    other
        .append_pax_extensions([
            ("SCHILY.acl.default", list.as_bytes()),
            ("SCHILY.xattr.user.evil", b"yes".as_slice()),
        ])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o7777);
    header.set_uid(1000);
    header.set_gid(1000);
    header.set_size(0);
    other.append_data(&mut header, "./", std::io::empty()).unwrap();
    let other = other.into_inner().unwrap();
    for storage in ["dir", "overlay"] {
        let (env, server) = world();
        // An archive that says nothing of its top.
        let root = fixtures::packed(&[("etc/file", "x\n"), ("bin/sh", "x\n")]);
        let place = server.flat_image(WORDS, root.clone(), metadata());
        let archive = format!("{place}rootfs.tar.xz");
        server.fail(&archive, [Fault::Instead(other.clone())]);
        env.wxc(words("one", storage, &[])).ok();
        assert_eq!(server.seen(&archive).len(), 2);
        env.wxc(["config", "set", "one", "init.command", "/bin/sleep 1000000"]).ok();
        let root = match storage {
            "dir" => env.container("one").join("rootfs"),
            _ => {
                let images = fs::read_dir(env.path().join(".images")).unwrap();
                let image = images.flatten().map(|entry| entry.path()).find(|path| path.is_dir()).unwrap();
                find(&image, "etc").unwrap().parent().unwrap().to_owned()
            }
        };
        let meta = fs::metadata(&root).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o755, 0, 0), "{storage}");
        for (path, name) in [
            (root.clone(), "system.posix_acl_default"),
            (root.clone(), "user.evil"),
            (root.join("etc/file"), "system.posix_acl_access"),
        ] {
            let found = rustix::fs::lgetxattr(&path, name, &mut [0_u8; 256][..]);
            assert!(found.is_err(), "{storage}: {name} of {}", path.display());
        }
    }
}

/// The entry of this name that lies highest below a directory.
fn find(top: &Path, name: &str) -> Option<std::path::PathBuf> {
    let mut level = vec![top.to_owned()];
    while !level.is_empty() {
        if let Some(found) = level.iter().map(|directory| directory.join(name)).find(|path| path.is_dir()) {
            return Some(found);
        }
        let below = level.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
        level = below.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect();
    }
    None
}

#[test]
fn a_server_that_hardly_sends_anything_is_given_up() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    server.flat_image(WORDS, root(), metadata());
    server.pace(Some(100));
    let refused = env.wxc(words("one", "dir", &[])).fails(1);
    assert!(refused.contains("less than 512 bytes a second"), "{refused}");
    nothing_of(&env, "one");
}

#[test]
fn what_is_not_what_it_should_be_is_not_used() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    let archive = format!("{place}rootfs.tar.xz");
    let mut other = root();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    server.put(&archive, other);
    let refused = env.wxc(words("one", "dir", &[])).fails(1);
    assert!(refused.contains("is not what it should be") && refused.contains("sha256"), "{refused}");
    nothing_of(&env, "one");
    // Nothing of it stands in the way of the right one.
    server.put(&archive, root());
    env.wxc(words("one", "dir", &[])).ok();

    server.remove(&format!("{place}SHA256SUMS"));
    let refused = env.wxc(words("two", "dir", &["--json"])).ok();
    assert!(refused.contains("two"), "the digests are kept for a while: {refused}");
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    server.put(&format!("{place}SHA256SUMS"), "abc  rootfs.tar.xz\n");
    let refused = env.wxc(words("one", "dir", &[])).fails(1);
    assert!(refused.contains("does not name meta.tar.xz"), "{refused}");
    nothing_of(&env, "one");
}

/// As servers of LXC's kind are, which need not have digests: TLS says who sent it.
#[test]
fn what_nobody_gave_a_digest_of_is_believed_of_a_server_that_showed_who_it_is() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    server.remove(&format!("{place}SHA256SUMS"));
    let archive = format!("{place}rootfs.tar.xz");
    // It breaks off, and goes on where it was.
    server.fail(&archive, [Fault::CutAfter(200_000)]);
    let made = env.wxc(words("one", "overlay", &[])).run();
    assert!(made.status.success() && made.stderr.contains("its server, which showed who it is"), "{made:?}");
    let digest = format!("sha256:{}", sha256(&root()));
    let config = fs::read_to_string(env.container("one").join("container.toml")).unwrap();
    assert!(config.contains(&digest), "{config}");
    let asked = server.seen(&archive).len();
    assert_eq!(asked, 2);
    // The build is known: as an image, and as an archive.
    env.wxc(words("two", "overlay", &[])).ok();
    env.wxc(words("three", "dir", &[])).ok();
    assert_eq!(server.seen(&archive).len(), asked);
    env.wxc(["image", "prune"]).ok();
    env.wxc(words("four", "overlay", &[])).ok();
    assert_eq!(server.seen(&archive).len(), asked, "its image is here");
    // It puts another archive in the place of the first: what is here still counts, and what is not is asked for.
    let other = fixtures::packed(&[("etc/replaced", "yes\n"), ("bin/sh", "x\n")]);
    server.put(&archive, other);
    env.wxc(words("in-place", "dir", &[])).ok();
    assert!(env.container("in-place").join("rootfs/etc/replaced").exists());
    server.put(&archive, root());
    let asked = server.seen(&archive).len();
    // What the server has now is what is asked for.
    let mut anew = words("five", "dir", &[]);
    anew.push("--flush-cache");
    env.wxc(anew).ok();
    assert_eq!(server.seen(&archive).len(), asked + 1);
}

#[test]
fn no_redirect_leads_to_another_server() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    let elsewhere = Server::start(&env.file("home"));
    elsewhere.put("/root", root());
    let archive = format!("{place}rootfs.tar.xz");
    for to in [
        format!("{}/root", elsewhere.url()),
        server.url().replace("https", "http"),
        "https://u@127.0.0.1/".into(),
    ] {
        server.fail(&archive, [Fault::Redirect(to)]);
        let refused = env.wxc(words("one", "dir", &[])).fails(1);
        assert!(refused.contains("is not fetched"), "{refused}");
        nothing_of(&env, "one");
    }
    assert_eq!(elsewhere.seen("/root").len(), 0);
    // To another place of the same, it does.
    server.put("/moved", root());
    server.fail(&archive, [Fault::Redirect("/moved".into())]);
    env.wxc(words("one", "dir", &[])).ok();
    // And not forever.
    server.put("/loop", "");
    server.fail("/meta/1.0/index-user", (0..20).map(|_| Fault::Redirect("/meta/1.0/index-user".into())));
    let mut again = words("two", "dir", &[]);
    again.push("--flush-cache");
    let refused = env.wxc(again).fails(1);
    assert!(refused.contains("more than"), "{refused}");
}

#[test]
fn a_mirror_stands_in() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let (first, second) = (Server::start(&env.file("home")), Server::start(&env.file("home")));
    let both = fs::read_to_string(first.ca()).unwrap() + &fs::read_to_string(second.ca()).unwrap();
    fs::write(first.ca(), both).unwrap();
    env.configure(&format!("{}mirrors = [\"{}\"]\n", first.remote("local"), second.url()));
    let place = first.flat_image(WORDS, root(), metadata());
    second.flat_image(WORDS, root(), metadata());
    let archive = format!("{place}rootfs.tar.xz");
    first.fail(&archive, [Fault::CutAfter(4000), Fault::Status(404)]);
    env.wxc(words("one", "dir", &[])).ok();
    // The same bytes, so what is there is kept.
    assert_eq!(second.seen(&archive)[0].headers["range"], "bytes=4000-");
}

#[test]
fn an_older_build_is_refused_unless_asked_for() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    server.flat_image(WORDS, root(), metadata());
    env.wxc(words("one", "dir", &[])).ok();
    let mut older = WORDS;
    older[4] = "20260101_05:24";
    server.put("/meta/1.0/index-user", "");
    server.flat_image(older, root(), metadata());
    let create = |name: &'static str, more: &[&'static str]| {
        let mut words = words(name, "dir", more);
        words.push("--flush-cache");
        env.wxc(words)
    };
    let refused = create("two", &[]).fails(1);
    assert!(refused.contains("20260722_05:24") && refused.contains("--allow-older"), "{refused}");
    nothing_of(&env, "two");
    create("two", &["--allow-older"]).ok();
}

#[test]
fn a_server_that_nobody_knows_is_not_believed() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    server.flat_image(WORDS, root(), metadata());
    env.configure("");
    let url = server.url();
    let create = |server: &str| {
        let words = [
            "create",
            "one",
            "-t",
            "download",
            "--",
            "--dist",
            "busybox",
            "--release",
            "one",
            "--server",
            server,
        ];
        env.wxc(words).fails(1)
    };
    let refused = create(&url);
    assert!(refused.contains("cannot fetch") || refused.contains("cannot trust"), "{refused}");
    let refused = create(&url.replace("https", "http"));
    assert!(refused.contains("nobody can tell that it is itself"), "{refused}");
    assert!(create("https://a@b/").contains("is no server"));
    assert!(create("https://localhost:1").contains("cannot fetch"));
    nothing_of(&env, "one");
}

#[test]
fn without_network_the_list_of_before_does() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    server.flat_image(WORDS, root(), metadata());
    env.wxc(words("one", "overlay", &[])).ok();
    for list in ["/meta/1.0/index-user.7", "/meta/1.0/index-user"] {
        server.fail(list, (0..40).map(|_| Fault::Status(503)));
    }
    server.put("/meta/1.0/index-user.7", "");
    let mut again = words("two", "overlay", &[]);
    again.push("--flush-cache");
    // The newer dialect was never there, so that nothing was kept of it; the other list was.
    server.remove("/meta/1.0/index-user.7");
    env.wxc(again).ok();
}

#[test]
fn two_at_once_download_once() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    let place = server.flat_image(WORDS, root(), metadata());
    let archive = format!("{place}rootfs.tar.xz");
    server.fail(&archive, [Fault::StallAfter(3000)]);
    let mut children: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|name| env.wxc(words(name, "dir", &[])).into_command().stdout(Stdio::null()).spawn().unwrap())
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(server.seen(&archive).len(), 2, "once, and once more after the silence");
}

#[test]
fn a_list_that_attacks_is_refused() {
    needs!(root, userns, cgroups, busybox);
    let (env, server) = world();
    for bad in [
        "busybox;one;amd64;default;1;/images/../../secret/\n".to_owned(),
        "busybox;one;amd64;default;1;/x@evil.example/\n".to_owned(),
        "busybox;one;amd64;default;\u{1b}[2J;/x/\n".to_owned(),
        "busybox;one\n".to_owned(),
        "<html>not found</html>\n".to_owned(),
        "a".repeat(17 << 20),
    ] {
        server.put("/meta/1.0/index-user", bad);
        let mut create = words("one", "dir", &[]);
        create.push("--flush-cache");
        let refused = env.wxc(create).fails(1);
        assert!(!refused.contains('\u{1b}') && refused.len() < 2000, "{refused:?}");
        nothing_of(&env, "one");
    }
}
