//! Who vouches for an image: keys that the administrator keeps for a server.

use std::fs;

use wxc_tests::fixtures::Packed;
use wxc_tests::keys::Keys;
use wxc_tests::server::{Fault, Server, sha256};
use wxc_tests::{Env, fixtures, needs};

const WORDS: [&str; 5] = ["busybox", "one", "amd64", "default", "20260722_05:24"];
const LISTS: [&str; 2] = ["/meta/1.0/index-system", "/meta/1.0/index-user"];

/// A world with a server whose remote has these further lines.
fn world(keys: &Keys, more: &str) -> (Env, Server, String) {
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&format!("{}keyring = {:?}\n{more}", server.remote("local"), keys.file()));
    let root = fs::read(fixtures::busybox_archive(Packed::Xz)).unwrap();
    let metadata = fixtures::packed(&[("config", "lxc.init.cmd = /bin/sleep 1000000\n")]);
    let place = server.flat_image(WORDS, root, metadata);
    (env, server, place)
}

fn words(name: &str) -> Vec<&str> {
    let mut words = vec!["create", name, "-B", "overlay", "-t", "download", "--", "--server", "local"];
    words.extend(["--dist", "busybox", "--release", "one", "--arch", "amd64"]);
    words
}

#[test]
fn a_signed_image_says_who_vouched_for_it_and_an_unsigned_one_is_refused() {
    needs!(root, userns, busybox);
    let keys = Keys::new();
    let (env, server, place) = world(&keys, "");
    let sums = format!("{place}SHA256SUMS");
    let refused = env.wxc(words("one")).fails(1);
    assert!(refused.contains("nobody vouches for busybox/one/amd64/default"), "{refused}");
    assert!(server.seen(&format!("{place}rootfs.tar.xz")).is_empty(), "it was downloaded all the same");
    // The digests alone could be those of any build: what is signed must lead there.
    server.sign(&keys, &[&sums]);
    env.wxc(words("one")).fails(1);
    server.sign(&keys, &LISTS);
    // What was not there a moment ago is asked for again.
    let mut asked_again = words("one");
    asked_again.push("--flush-cache");
    env.wxc(asked_again).ok();
    let config = fs::read_to_string(env.container("one").join("container.toml")).unwrap();
    assert!(config.contains(&keys.fingerprint) && config.contains(&server.url()), "{config}");
    let images: serde_json::Value = serde_json::from_str(&env.wxc(["image", "list", "--json"]).ok()).unwrap();
    assert_eq!(images[0]["signer"], keys.fingerprint);
    let key = images[0]["key"].as_str().unwrap();
    let info = env.wxc(["image", "info", key]).ok();
    assert!(info.contains(&format!("signed by {}", keys.fingerprint)), "{info}");
}

#[test]
fn a_signature_that_does_not_hold_is_refused_whatever_is_required() {
    needs!(root, userns, busybox);
    let (keys, stranger) = (Keys::new(), Keys::new());
    for more in ["", "require-signature = false\n"] {
        let (env, server, place) = world(&keys, more);
        let sums = format!("{place}SHA256SUMS");
        server.sign(&stranger, &[&sums, LISTS[0], LISTS[1]]);
        let refused = env.wxc(words("one")).fails(1);
        assert!(
            refused.contains("not in the key ring") && refused.contains(&stranger.fingerprint),
            "{refused}"
        );
        server.sign(&keys, &[&sums, LISTS[0], LISTS[1]]);
        // The signature of other digests.
        server.put(&format!("{sums}.asc"), keys.sign(b"something else"));
        let refused = env.wxc(words("one")).fails(1);
        assert!(refused.contains("does not hold"), "{refused}");
        assert!(!env.container("one").exists());
    }
    let (env, _server, _) = world(&keys, "require-signature = false\n");
    env.wxc(words("one")).ok();
}

/// As `gpg --detach-sign` leaves it beside each archive, and no digests.
#[test]
fn signatures_over_the_archives_vouch_where_no_digests_are_signed() {
    needs!(root, userns, busybox);
    let (keys, stranger) = (Keys::new(), Keys::new());
    let (env, server, place) = world(&keys, "");
    let (root, metadata) = (format!("{place}rootfs.tar.xz"), format!("{place}meta.tar.xz"));
    server.remove(&format!("{place}SHA256SUMS"));
    server.sign(&keys, &[LISTS[0], LISTS[1], &metadata]);
    let refused = env.wxc(words("one")).fails(1);
    assert!(refused.contains("nobody vouches for busybox/one/amd64/default"), "{refused}");
    assert!(server.seen(&root).is_empty(), "it was downloaded all the same");
    // What the server said a while ago counts, unless it is told not to.
    let anew = |name| [&words(name)[..], &["--flush-cache"]].concat();
    server.sign(&stranger, &[&root]);
    let refused = env.wxc(anew("one")).fails(1);
    assert!(refused.contains("not in the key ring") && refused.contains("rootfs.tar.xz"), "{refused}");
    server.put(&format!("{root}.asc"), keys.sign(b"another archive"));
    let refused = env.wxc(anew("one")).fails(1);
    assert!(refused.contains("does not hold"), "{refused}");
    assert!(!env.container("one").exists());
    server.sign(&keys, &[&root]);
    env.wxc(anew("one")).ok();
    let config = fs::read_to_string(env.container("one").join("container.toml")).unwrap();
    assert!(config.contains(&keys.fingerprint), "{config}");
    // The signature is known to hold, and the archive is not needed for that.
    let asked = server.seen(&root).len();
    env.wxc(["image", "prune"]).ok();
    env.wxc(words("two")).ok();
    assert_eq!(server.seen(&root).len(), asked);
    // Beside digests that nobody signed, they vouch too.
    let sums = format!(
        "{}  rootfs.tar.xz\n{}  meta.tar.xz\n",
        sha256(&server.get(&root)),
        sha256(&server.get(&metadata))
    );
    server.put(&format!("{place}SHA256SUMS"), sums);
    env.wxc(anew("three")).ok();
    // And a digest counts all the same.
    let wrong = format!("{}  rootfs.tar.xz\n{}  meta.tar.xz\n", sha256(b"x"), sha256(&server.get(&metadata)));
    server.put(&format!("{place}SHA256SUMS"), wrong);
    let refused = env.wxc(anew("four")).fails(1);
    assert!(refused.contains("is not what it should be"), "{refused}");
}

/// A second name for a server is no way around its keys.
#[test]
fn a_server_with_two_names_has_the_keys_of_both() {
    needs!(root, userns, busybox);
    let keys = Keys::new();
    let (env, server, _) = world(&keys, "");
    let with_keys = format!("{}keyring = {:?}\n", server.remote("local"), keys.file());
    env.configure(&format!("{}{with_keys}", server.remote("a-first")));
    let mut other = words("one");
    let at = other.iter().position(|word| *word == "local").unwrap();
    other[at] = "a-first";
    for words in [words("one"), other] {
        let refused = env.wxc(words).fails(1);
        assert!(refused.contains("nobody vouches for busybox/one"), "{refused}");
    }
    let stranger = Keys::new();
    env.configure(&format!("{}keyring = {:?}\n{with_keys}", server.remote("a-first"), stranger.file()));
    let refused = env.wxc(words("one")).fails(1);
    assert!(refused.contains("one server") && refused.contains("different keys"), "{refused}");
}

/// The keys are the server's, however somebody writes where it is.
#[test]
fn another_spelling_of_a_server_has_the_same_keys() {
    needs!(root, userns, busybox);
    let keys = Keys::new();
    let (env, server, _) = world(&keys, "");
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    for spelled in [
        server.url(),
        format!("HTTPS://127.0.0.1:{port}"),
        format!("https://127.0.0.1:0{port}/"),
        format!("127.0.0.1:{port}/"),
    ] {
        let mut words = words("one");
        let at = words.iter().position(|word| *word == "local").unwrap();
        words[at] = &spelled;
        let refused = env.wxc(words).fails(1);
        assert!(refused.contains("nobody vouches for busybox/one"), "{spelled}: {refused}");
    }
}

#[test]
fn a_change_on_the_server_between_list_and_signature_is_no_attack() {
    needs!(root, userns, busybox);
    let keys = Keys::new();
    let (env, server, place) = world(&keys, "");
    let sums = format!("{place}SHA256SUMS");
    server.sign(&keys, &[&sums, LISTS[0], LISTS[1]]);
    // A mirror in the middle of its update, once.
    server.fail("/meta/1.0/index-user", [Fault::Instead(b"old;one;amd64;default;1;/x/\n".to_vec())]);
    env.wxc(words("one")).ok();
}

#[test]
fn keys_that_are_not_there_are_named_with_the_place_where_they_belong() {
    needs!(root);
    let env = Env::new();
    let server = Server::start(&env.file("home"));
    env.configure(&format!("{}require-signature = true\n", server.remote("local")));
    let refused = env.wxc(words("one")).fails(1);
    assert!(
        refused.contains("the remote local requires a signature") && refused.contains("keyring ="),
        "{refused}"
    );
    server.put("/meta/1.0/index-user", "x;one;amd64;default;1;/x/\n");
    env.configure(&format!("{}keyring = \"nobodys\"\n", server.remote("local")));
    let refused = env.wxc(words("one")).fails(1);
    assert!(refused.contains("nobodys") && refused.contains("[keyrings]"), "{refused}");
}
