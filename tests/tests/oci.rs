//! OCI images: layouts, archives and a registry; layers one over the other; and what an image can lie about.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use wxc_tests::fixtures::Packed;
use wxc_tests::oci::{Entry, Image, Layered, layer, machine};
use wxc_tests::server::{Fault, Server, sha256};
use wxc_tests::{Env, fixtures, needs};

const SHELL: [&str; 2] = ["/bin/sh", "-c"];

fn base() -> Vec<u8> {
    fs::read(fixtures::busybox_archive(Packed::Plain)).unwrap()
}

/// A layout with these layers over the busybox tree.
fn layout(env: &Env, name: &str, layers: &[&[Entry<'_>]], config: &Value) -> PathBuf {
    let directory = env.file(name);
    let mut image = Image::new(&directory);
    image.layer(&base(), Layered::Gzip);
    for (at, entries) in layers.iter().enumerate() {
        let how = [Layered::Zstd, Layered::Plain, Layered::Gzip][at % 3];
        image.layer(&layer(entries), how);
    }
    image.image(Some("v1"), machine(), config);
    directory
}

fn run(env: &Env, image: &Path, script: &str) -> String {
    env.wxc(["run", "--image", image.to_str().unwrap(), "--", "sh", "-c", script]).ok()
}

/// The files below `/t`, with their content.
const SHOW: &str = "cd /t && find . | sort | while read f; do if [ -L $f ]; then echo $f @ $(readlink $f); \
                    elif [ -f $f ]; then echo $f = $(cat $f); else echo $f; fi; done";

#[test]
fn layers_hide_and_replace_what_is_below_them() {
    needs!(root, userns, cgroups, busybox);
    use Entry::{Directory, File, Hardlink, Link};
    let env = Env::new();
    let first: &[Entry<'_>] = &[
        Directory("t"),
        File("t/stays", "1"),
        File("t/goes", "1"),
        Directory("t/tree"),
        File("t/tree/a", "1"),
        Directory("t/tree/deep"),
        File("t/tree/deep/b", "1"),
        Directory("t/opaque"),
        File("t/opaque/old", "1"),
        Directory("t/opaque/both"),
        File("t/opaque/both/old", "1"),
        Directory("t/becomes-file"),
        File("t/becomes-file/x", "1"),
        File("t/becomes-directory", "1"),
        Directory("t/real"),
        Link("t/link", "real"),
        File("t/again", "1"),
    ];
    let second: &[Entry<'_>] = &[
        File("t/.wh.goes", ""),
        File("t/.wh.tree", ""),
        // What the layer itself brings stays, wherever the whiteout stands.
        Directory("t/opaque/both"),
        File("t/opaque/both/new", "2"),
        File("t/opaque/new", "2"),
        File("t/opaque/.wh..wh..opq", ""),
        File("t/becomes-file", "2"),
        Directory("t/becomes-directory"),
        File("t/becomes-directory/y", "2"),
        File("t/link/through", "2"),
        File("t/again", "2"),
        File("t/.wh.again", ""),
        File("t/.wh.never-was", ""),
        File("t/.wh..wh.plnk", ""),
        Hardlink("t/hard", "t/stays"),
    ];
    let image = layout(&env, "image", &[first, second], &json!({}));
    let expected = "\
.
./again = 2
./becomes-directory
./becomes-directory/y = 2
./becomes-file = 2
./hard = 1
./link @ real
./opaque
./opaque/both
./opaque/both/new = 2
./opaque/new = 2
./real
./real/through = 2
./stays = 1
";
    assert_eq!(run(&env, &image, SHOW), expected);
    assert_eq!(run(&env, &image, "stat -c %h /t/hard"), "2\n");
    // In an archive, and on storage that shares what it unpacked.
    let archive = env.file("image.tar");
    let packed =
        Command::new("tar").arg("-C").arg(&image).arg("-cf").arg(&archive).arg(".").status().unwrap();
    assert!(packed.success());
    for (name, option, from) in [("one", "--layout", &image), ("two", "--archive", &archive)] {
        let from = from.to_str().unwrap();
        env.wxc([
            "create",
            name,
            "-B",
            "overlay",
            "-t",
            "oci",
            "-s",
            "init.command=/bin/sleep 1000000",
            "--",
            option,
            from,
        ])
        .ok();
        env.wxc(["start", name]).ok();
        assert_eq!(env.inside(name, SHOW), expected.trim_end());
    }
    let images: Value = serde_json::from_str(&env.wxc(["image", "list", "--json"]).ok()).unwrap();
    assert_eq!(images.as_array().unwrap().len(), 1, "the same layers are one image: {images}");
}

#[test]
fn an_image_starts_as_it_says() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let accounts: &[Entry<'_>] = &[
        Entry::File("etc/passwd", "root:x:0:0::/:/bin/sh\nwww:x:33:34::/:/bin/sh\n"),
        Entry::File("etc/group", "root:x:0:\nwww:x:34:\nmore:x:77:www\n"),
    ];
    let script = "echo $0 $1; id -u; id -g; id -G; pwd; echo $FROM; cat /proc/1/comm; hostname";
    let config = json!({ "Entrypoint": [SHELL[0], SHELL[1], script, "zero"], "Cmd": ["one"], "User": "www",
        "WorkingDir": "/srv/made", "Env": ["FROM=image", "PATH=/bin:/sbin"], "StopSignal": "SIGUSR1" });
    let image = layout(&env, "image", &[accounts], &config);
    let said = env.wxc(["run", "-n", "app", "--image", image.to_str().unwrap()]).ok();
    assert_eq!(
        said,
        "zero one\n33\n34\n34 77\n/srv/made\nimage\nwxc-init\napp\n"
            .replace("wxc-init", said.lines().nth(6).unwrap())
    );
    assert_ne!(said.lines().nth(6), Some("sh"), "the image's program is no init");
    env.wxc(["create", "kept", "-t", "oci", "--", "--layout", image.to_str().unwrap()]).ok();
    let config = fs::read_to_string(env.container("kept").join("container.toml")).unwrap();
    for line in ["halt = \"SIGUSR1\"", "stub = true", "user = 33", "group = 34", "FROM = \"image\""] {
        assert!(config.contains(line), "{line}: {config}");
    }
    // To the letter: lines of a script, a name that no shell would take, and a home as a login would have it.
    let config = json!({ "Cmd": [SHELL[0], SHELL[1], "echo one\necho two\t.; tr '\\0' '\\n' < /proc/$$/environ | grep -E '^(HOME|discovery)'; printf %s \"$LINES_OF\""],
        "Env": ["discovery.type=single-node", "LINES_OF=a\nb", "PATH=/bin"] });
    let homes: &[Entry<'_>] = &[Entry::File("etc/passwd", "root:x:0:0::/root:/bin/sh\n")];
    let lines = layout(&env, "lines", &[homes], &config);
    let said = env.wxc(["run", "--image", &format!("oci:{}", lines.display())]).ok();
    let mut said: Vec<&str> = said.lines().collect();
    said[2..4].sort_unstable();
    assert_eq!(said, ["one", "two .", "HOME=/root", "discovery.type=single-node", "a", "b"]);
    // Somebody whom the image does not know.
    let config = json!({ "Cmd": ["true"], "User": "nobody-there" });
    let image = layout(&env, "stranger", &[accounts], &config);
    let refused = env.wxc(["run", "--image", image.to_str().unwrap()]).fails(1);
    assert!(refused.contains("no user \"nobody-there\"") && refused.contains("init.user"), "{refused}");
    env.wxc(["run", "-s", "init.user=7", "--image", image.to_str().unwrap()]).ok();
}

#[test]
fn an_image_is_chosen_by_name_and_machine() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let directory = env.file("several");
    let mut image = Image::new(&directory);
    image.layer(&base(), Layered::Gzip);
    image.image(Some("one"), machine(), &json!({}));
    image.image(Some("two"), machine(), &json!({}));
    image.image(Some("other"), "s390x", &json!({}));
    let create = |name: &str, more: &[&str]| {
        let words = ["create", name, "-t", "oci", "--", "--layout", directory.to_str().unwrap()];
        env.wxc([&words[..], more].concat())
    };
    let refused = create("x", &[]).fails(1);
    assert!(refused.contains("--tag") && refused.contains("one, other, two"), "{refused}");
    create("a", &["--tag", "two"]).ok();
    let refused = create("x", &["--tag", "three"]).fails(1);
    assert!(refused.contains("there are: one, other, two"), "{refused}");
    let refused = create("x", &["--tag", "other"]).fails(1);
    assert!(refused.contains("for \"s390x\"") && refused.contains("--machine"), "{refused}");
    create("b", &["--tag", "other", "--machine", "s390x"]).ok();
    image.join("all");
    create("c", &[]).ok();
    let none = env.file("none");
    fs::create_dir(&none).unwrap();
    let refused = env.wxc(["run", "--image", none.to_str().unwrap()]).fails(1);
    assert!(refused.contains("neither oci-layout nor manifest.json"), "{refused}");
    let refused = env.wxc(["run", "--image", "./nothing"]).fails(1);
    assert!(refused.contains("REGISTRY/NAME:TAG"), "{refused}");
}

#[test]
fn what_is_not_what_the_image_says_is_refused_and_leaves_nothing() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let create = |directory: &Path| {
        let words =
            ["create", "bad", "-B", "overlay", "-t", "oci", "--", "--layout", directory.to_str().unwrap()];
        let said = env.wxc(words).fails(1);
        assert!(!env.container("bad").exists());
        said
    };
    // A layer with other bytes, of the same length.
    let directory = layout(&env, "bytes", &[], &json!({}));
    let blobs: Vec<PathBuf> =
        fs::read_dir(directory.join("blobs/sha256")).unwrap().map(|e| e.unwrap().path()).collect();
    let largest = blobs.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(largest, bytes).unwrap();
    assert!(create(&directory).contains("is not what the image says"));
    // Every small document, one after the other.
    let directory = layout(&env, "documents", &[], &json!({}));
    for blob in fs::read_dir(directory.join("blobs/sha256")).unwrap().map(|e| e.unwrap().path()) {
        let bytes = fs::read(&blob).unwrap();
        if bytes.len() < 2000 {
            fs::write(&blob, [&bytes[..], b" "].concat()).unwrap();
            assert!(create(&directory).contains("is not what the image says"));
            fs::write(&blob, bytes).unwrap();
        }
    }
    // The right bytes, and another content than the configuration names.
    let directory = env.file("diff");
    let mut image = Image::new(&directory);
    image.layer(&base(), Layered::Gzip);
    image.claim(vec![format!("sha256:{}", "ab".repeat(32))]);
    image.image(None, machine(), &json!({}));
    assert!(create(&directory).contains("diff id"));
    // More layers than the configuration knows.
    let directory = env.file("more");
    let mut image = Image::new(&directory);
    image.layer(&base(), Layered::Gzip);
    let one = image.diff_ids();
    image.layer(&layer(&[Entry::File("x", "")]), Layered::Gzip);
    image.claim(one);
    image.image(None, machine(), &json!({}));
    assert!(create(&directory).contains("2 layers, and its configuration names 1"));
    // A blob that is a link out of the layout, a pipe, or not there.
    let directory = layout(&env, "link", &[], &json!({}));
    let index: Value = serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let blob = directory.join("blobs/sha256").join(&digest[7..]);
    let elsewhere = env.file("elsewhere");
    fs::rename(&blob, &elsewhere).unwrap();
    create(&directory);
    std::os::unix::fs::symlink(&elsewhere, &blob).unwrap();
    create(&directory);
    fs::remove_file(&blob).unwrap();
    assert!(Command::new("mkfifo").arg(&blob).status().unwrap().success());
    create(&directory);
}

#[test]
fn no_layer_leads_out_of_the_root() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let outside = env.file("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "here").unwrap();
    let target = outside.to_str().unwrap();
    let first = [Entry::Link("way", target), Entry::Link("up", "../../../../../..")];
    for (at, second) in [
        &[Entry::File("way/.wh.victim", "")][..],
        &[Entry::File("way/.wh..wh..opq", "")],
        &[Entry::File("way/victim", "changed")],
        &[Entry::File("up/.wh.victim", "")],
        &[Entry::File("../.wh.victim", "")],
        &[Entry::File("way/.wh...", "")],
        &[Entry::File(".wh..", "")],
        &[Entry::File(".wh.", "")],
        &[Entry::Hardlink("hard", "way/victim")],
    ]
    .into_iter()
    .enumerate()
    {
        let image = layout(&env, &format!("image{at}"), &[&first, second], &json!({ "Cmd": ["true"] }));
        // Whether it is refused or stays inside is the unpacker's to say.
        env.wxc(["run", "--image", image.to_str().unwrap()]).run();
        assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "here", "{second:?}");
    }
}

/// Puts a layout's blobs where a registry has them.
fn push(server: &Server, directory: &Path, repository: &str, tag: &str) -> String {
    let index: Value = serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    for entry in fs::read_dir(directory.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
        let bytes = fs::read(&path).unwrap();
        assert!(name.ends_with(&sha256(&bytes)));
        for kind in ["manifests", "blobs"] {
            server.put(&format!("/v2/{repository}/{kind}/{name}"), bytes.clone());
        }
        if name == digest {
            server.put(&format!("/v2/{repository}/manifests/{tag}"), bytes);
        }
    }
    digest
}

#[test]
fn a_registry_has_images_by_tag_and_by_digest() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&server.remote("ours"));
    let image = layout(&env, "image", &[], &json!({ "Cmd": ["/bin/echo", "from a registry"] }));
    let digest = push(&server, &image, "some/thing", "v1");
    assert_eq!(env.wxc(["run", "--image", "ours/some/thing:v1"]).ok(), "from a registry\n");
    assert_eq!(env.wxc(["run", "--image", &format!("ours/some/thing@{digest}")]).ok(), "from a registry\n");
    let asked = server.seen("/v2/some/thing/manifests/v1");
    assert!(asked[0].headers["accept"].contains("application/vnd.oci.image.index.v1+json"));
    let missing = env.wxc(["run", "--image", "ours/some/thing:v2"]).fails(1);
    assert!(missing.contains("there is no such image"), "{missing}");
    // Another document under the digest that was asked for.
    server.put(&format!("/v2/some/thing/manifests/{digest}"), "{}");
    env.wxc(["image", "prune"]).ok();
    env.wxc(["run", "--image", &format!("ours/some/thing@{digest}")]).fails(1);
}

#[test]
fn a_registry_that_wants_a_token_gets_one_and_nobody_else_does() {
    needs!(root, userns, cgroups, busybox);
    let env = Env::new();
    let (server, tokens, files) = (
        Server::start(&env.file("home")),
        Server::start(&env.file("home")),
        Server::start(&env.file("home")),
    );
    let image = layout(&env, "image", &[], &json!({ "Cmd": ["/bin/echo", "with a token"] }));
    let digest = push(&server, &image, "some/thing", "v1");
    let challenge = format!("Bearer realm=\"{}/token\",service=\"ours\"", tokens.url());
    for entry in fs::read_dir(image.join("blobs/sha256")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for kind in ["manifests", "blobs"] {
            server.guard(&format!("/v2/some/thing/{kind}/sha256:{name}"), "Bearer secret-token", &challenge);
        }
    }
    server.guard("/v2/some/thing/manifests/v1", "Bearer secret-token", &challenge);
    let query = "/token?service=ours&scope=repository%3Asome%2Fthing%3Apull";
    tokens.put(query, r#"{"token":"secret-token"}"#);
    let run = |more: &[&str]| {
        let mut words = vec!["run", "--image", "ours/some/thing:v1"];
        words.extend(more);
        env.wxc(words)
    };
    // The server of tokens is another one: nobody said that it may be asked.
    env.configure(&server.remote("ours"));
    let refused = run(&[]).fails(1);
    assert!(refused.contains("`also`") && refused.contains(&tokens.url()), "{refused}");
    assert!(tokens.seen(query).is_empty());
    let also = format!("also = [{:?}, {:?}]\n", tokens.url(), files.url());
    let trusted = format!("{}{}", tokens.remote("tokens"), files.remote("files"));
    env.configure(&format!("{}{also}{trusted}", server.remote("ours")));
    assert_eq!(run(&[]).ok(), "with a token\n");
    // A name and a password go to where tokens are given, and only there.
    tokens.guard(query, "Basic bWU6b3BlbiBzZXNhbWU=", "Basic realm=\"tokens\"");
    env.wxc(["image", "prune"]).ok();
    run(&[]).fails(1);
    assert_eq!(run(&["-O", "user=me", "-O", "password=open sesame"]).ok(), "with a token\n");
    let basic = |seen: &wxc_tests::server::Seen| {
        seen.headers.get("authorization").is_some_and(|a| a.starts_with("Basic"))
    };
    assert!(!server.seen("/v2/some/thing/manifests/v1").iter().any(basic));
    // A file that is kept elsewhere is fetched without the token.
    env.wxc(["image", "prune"]).ok();
    let manifest: Value =
        serde_json::from_slice(&server.get(&format!("/v2/some/thing/manifests/{digest}"))).unwrap();
    let blob = manifest["layers"][0]["digest"].as_str().unwrap();
    let here = format!("/v2/some/thing/blobs/{blob}");
    files.put("/kept/elsewhere", server.get(&here));
    server.fail(&here, [Fault::Redirect(format!("{}/kept/elsewhere", files.url()))]);
    assert_eq!(run(&["-O", "user=me", "-O", "password=open sesame"]).ok(), "with a token\n");
    let seen = files.seen("/kept/elsewhere");
    assert!(seen.len() == 1 && !seen[0].headers.contains_key("authorization"), "{seen:?}");
}

#[test]
fn an_ordinary_user_runs_images() {
    needs!(subordinate_ids, cgroups, busybox);
    let env = Env::of_user(1);
    let upper: &[Entry<'_>] = &[Entry::File("t", "2"), Entry::File("bin/.wh.vi", "")];
    let image = layout(&env, "image", &[upper], &json!({ "User": "5:6" }));
    let mode = Command::new("chmod").args(["-R", "a+rX"]).arg(&image).status().unwrap();
    assert!(mode.success());
    let said = run(&env, &image, "cat /t; echo; id -u; id -g; ls /bin/vi 2>/dev/null; stat -c %u /t");
    assert_eq!(said, "2\n5\n6\n0\n");
}
