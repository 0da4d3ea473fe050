//! The life of a plugin: installed from wherever somebody vouches for it, upgraded, taken back, switched off.

use std::fs;
use std::path::{Path, PathBuf};

use wxc_tests::failpoints::{Fault, sites, with_fault};
use wxc_tests::keys::Keys;
use wxc_tests::server::{Server, sha256};
use wxc_tests::{Env, guest, needs, root};

/// A plugin of a name that nobody else has, because what is installed is the machine's. It is gone with the test.
pub(crate) struct Life {
    pub(crate) env: Env,
    pub(crate) name: String,
}

/// What else the manifest of a version says.
pub(crate) type Edit<'a> = (&'a str, &'a str);

impl Life {
    pub(crate) fn new(word: &str) -> Self {
        Self { env: Env::new(), name: format!("hook-life-{word}") }
    }

    /// A component of this version.
    pub(crate) fn version(&self, version: &str, edits: &[Edit]) -> PathBuf {
        let source = root().join("tests/probe");
        let mut text = fs::read_to_string(source.join("plugin.toml")).unwrap();
        text = text
            .replace("\"hook-probe\"", &format!("{:?}", self.name))
            .replace("\"0.1.0\"", &format!("{version:?}"));
        for (old, new) in edits {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, new);
        }
        let manifest = self.env.file(&format!("{version}.toml"));
        fs::write(&manifest, text).unwrap();
        guest::built(&source, "hook_probe", &manifest, &self.env.file(&format!("{version}.wasm")))
    }

    pub(crate) fn plugin(&self, words: &[&str]) -> wxc_tests::Run {
        self.env.wxc(["plugin"].iter().chain(words))
    }

    fn installed(&self) -> PathBuf {
        Path::new("/var/lib/wxc/.plugins").join(&self.name).with_extension("wasm")
    }

    pub(crate) fn shown(&self) -> serde_json::Value {
        serde_json::from_str(&self.plugin(&["show", &self.name, "--json"]).ok()).unwrap()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        for words in [["enable", &self.name], ["remove", &self.name], ["revoke", &self.name]] {
            let mut command = self.plugin(&words).into_command();
            let _done = command.output();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Changes one more thing than the probe.
const WIDER: Edit<'_> = ("\"set-key\"]", "\"set-key\", \"add-address\"]");

#[test]
fn one_that_is_disabled_is_loaded_by_nobody() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let life = Life::new("off");
    let component = life.version("1.0.0", &[]);
    life.plugin(&["install", text(&component), "--grant"]).ok();
    life.env.busybox("web", &[]);
    life.env.wxc(["config", "set", "web", &format!("hooks.{}.enabled", life.name), "true"]).ok();
    life.env.wxc(["start", "web"]).ok();
    life.env.wxc(["stop", "-k", "web"]).ok();

    life.plugin(&["disable", &life.name]).ok();
    let enable = format!("wxc plugin enable {}", life.name);
    let said = life.env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("is disabled") && said.contains(&enable), "{said}");
    let said = life.plugin(&["test", &life.name]).fails(1);
    assert!(said.contains(&enable), "{said}");
    let list = life.plugin(&["list"]).ok();
    assert!(list.lines().any(|line| line.contains(&life.name) && line.contains("disabled")), "{list}");
    assert!(life.plugin(&["show", &life.name]).ok().contains(&enable));
    assert_eq!(life.shown()["disabled"], true);

    let said = life.plugin(&["enable", &life.name]).run().stderr;
    assert!(said.contains("is enabled"), "{said}");
    life.env.wxc(["start", "web"]).ok();
    let said = life.plugin(&["disable", "hook-nosuch"]).fails(1);
    assert!(said.contains("no plugin \"hook-nosuch\""), "{said}");
}

#[test]
fn storage_that_keeps_containers_is_not_disabled_by_the_way() {
    needs!(root, userns, busybox);
    let life = Life::new("storage");
    life.env.busybox("web", &["-B", "dir"]);
    let done = life.plugin(&["disable", "storage-dir"]).run();
    // Should it have happened: every other container of the machine needs it.
    life.plugin(&["enable", "storage-dir"]).ok();
    assert_eq!(done.status.code(), Some(1));
    let said = done.told();
    assert!(said.contains("keeps web") && said.contains("--force"), "{said}");
    assert!(life.env.wxc(["info", "web"]).ok().contains("STOPPED"));
}

/// A world with a server whose certificate is known.
pub(crate) fn served(life: &Life) -> Server {
    let server = Server::start(&life.env.file("home"));
    life.env.configure(&server.remote("local"));
    server
}

#[test]
fn what_a_server_has_is_installed_when_its_digest_is_known() {
    needs!(root, wasm_target);
    let life = Life::new("digest");
    let server = served(&life);
    let bytes = fs::read(life.version("1.0.0", &[])).unwrap();
    let digest = format!("sha256:{}", sha256(&bytes));
    server.put("/x.wasm", bytes.clone());
    let url = format!("{}/x.wasm", server.url());

    let said = life.plugin(&["install", &url]).fails(1);
    assert!(said.contains("nobody vouches for") && said.contains(&format!("--digest {digest}")), "{said}");
    let said = life.plugin(&["install", &url, "--digest", &format!("sha256:{}", "0".repeat(64))]).fails(1);
    assert!(said.contains("is not what it should be"), "{said}");
    let said = life.plugin(&["install", &url, "--digest", "sha256:12"]).fails(1);
    assert!(said.contains("is no digest") && said.contains("64 hexadecimal"), "{said}");
    let said = life.plugin(&["install", &url.replace("https", "http"), "--digest", &digest]).fails(1);
    assert!(said.contains("use https"), "{said}");
    let said = life.plugin(&["install", &format!("{}/y.wasm", server.url()), "--digest", &digest]).fails(1);
    assert!(said.contains("404"), "{said}");
    server.put("/long.wasm", vec![0; 129 << 20]);
    let said =
        life.plugin(&["install", &format!("{}/long.wasm", server.url()), "--digest", &digest]).fails(1);
    assert!(said.contains("134217728"), "{said}");
    assert!(!life.installed().exists());

    life.plugin(&["install", &url, "--digest", &digest, "--grant"]).ok();
    assert_eq!(fs::read(life.installed()).unwrap(), bytes);
    let shown = life.shown();
    assert_eq!(shown["source"]["origin"], url.as_str());
    assert_eq!(shown["source"]["vouched"]["digest"], digest.as_str());
    let shown = life.plugin(&["show", &life.name]).ok();
    assert!(
        shown.contains(&format!("origin:    {url}")) && shown.contains("vouched:   its digest"),
        "{shown}"
    );
    // Also of a file, if somebody says what it has to be.
    let file = life.version("1.0.0", &[]);
    let said =
        life.plugin(&["install", text(&file), "--digest", &format!("sha256:{}", "0".repeat(64))]).fails(1);
    assert!(said.contains("is not what it should be"), "{said}");
}

#[test]
fn what_is_signed_is_installed_when_the_keys_are_the_administrators() {
    needs!(root, wasm_target);
    let life = Life::new("signed");
    let server = served(&life);
    let (ours, others) = (Keys::new(), Keys::new());
    let bytes = fs::read(life.version("1.0.0", &[])).unwrap();
    server.put("/x.wasm", bytes.clone());
    server.sign(&ours, &["/x.wasm"]);
    let url = format!("{}/x.wasm", server.url());
    let (signature, key, other) = (format!("{url}.asc"), ours.file(), others.file());

    let said = life.plugin(&["install", &url, "--signature", &signature]).fails(1);
    assert!(said.contains("no key ring plugins") && said.contains("--key FILE"), "{said}");
    let said = life.plugin(&["install", &url, "--signature", &signature, "--key", text(&other)]).fails(1);
    assert!(said.contains("not in the key ring"), "{said}");
    let said = life.plugin(&["install", &url, "--key", text(&key)]).fails(1);
    assert!(said.contains("--signature"), "{said}");
    let mut changed = bytes.clone();
    changed.push(0);
    server.put("/x.wasm", changed);
    let said = life.plugin(&["install", &url, "--signature", &signature, "--key", text(&key)]).fails(1);
    assert!(said.contains("does not hold"), "{said}");
    assert!(!life.installed().exists());

    server.put("/x.wasm", bytes);
    life.plugin(&["install", &url, "--signature", &signature, "--key", text(&key), "--grant"]).ok();
    assert_eq!(life.shown()["source"]["vouched"]["signature"]["signer"], ours.fingerprint.as_str());

    // The next version comes from the same place, by the same one, and keeps its grants.
    server.put("/x.wasm", fs::read(life.version("1.1.0", &[])).unwrap());
    server.sign(&others, &["/x.wasm"]);
    let said = life.plugin(&["upgrade", &life.name]).fails(1);
    assert!(said.contains("not in the key ring"), "{said}");
    server.sign(&ours, &["/x.wasm"]);
    life.plugin(&["upgrade", &life.name]).ok();
    let shown = life.shown();
    assert_eq!((shown["version"].as_str(), shown["granted"].as_bool()), (Some("1.1.0"), Some(true)));

    // Somebody else needs a word of the administrator's.
    server.put("/x.wasm", fs::read(life.version("1.2.0", &[])).unwrap());
    server.sign(&others, &["/x.wasm"]);
    let (from, sig) = (url.as_str(), signature.as_str());
    let ring = life.env.file("config/keyrings");
    fs::create_dir(&ring).unwrap();
    fs::copy(&other, ring.join("plugins.asc")).unwrap();
    let said = life.plugin(&["upgrade", &life.name, from, "--signature", sig]).fails(1);
    assert!(said.contains("was signed by the key") && said.contains("--key"), "{said}");
    assert_eq!(life.shown()["version"], "1.1.0");
    life.plugin(&["upgrade", &life.name, from, "--signature", sig, "--key", text(&other)]).ok();
    assert_eq!(life.shown()["source"]["vouched"]["signature"]["signer"], others.fingerprint.as_str());
}

#[test]
fn an_upgrade_says_what_is_different_and_keeps_what_was_granted_to_the_same_words() {
    needs!(root, wasm_target);
    let life = Life::new("upgrade");
    let server = served(&life);
    let url = format!("{}/x.wasm", server.url());
    let put = |version: &str, edits: &[Edit<'_>]| {
        let bytes = fs::read(life.version(version, edits)).unwrap();
        let digest = format!("sha256:{}", sha256(&bytes));
        server.put("/x.wasm", bytes);
        digest
    };
    let first = put("1.0.0", &[]);
    let said = life.plugin(&["upgrade", &life.name, &url, "--digest", &first]).fails(1);
    assert!(said.contains("no plugin"), "{said}");
    life.plugin(&["install", &url, "--digest", &first, "--grant"]).ok();

    // Nothing new is asked for, and somebody vouches for it: the grants stay.
    let second = put("1.1.0", &[("doc = \"A further event", "doc = \"One further event")]);
    let said = life.plugin(&["upgrade", &life.name]).fails(1);
    assert!(said.contains("nobody vouches for") && life.shown()["version"] == "1.0.0", "{said}");
    let told = life.plugin(&["upgrade", &life.name, "--digest", &second]).ok();
    assert!(told.contains("1.0.0 to 1.1.0") && told.contains("~ setting also: One further event"), "{told}");
    assert_eq!(life.shown()["granted"], true);

    // It asks for more: what is new is said, and not granted.
    let third = put("1.2.0", &[WIDER]);
    let shown = life.plugin(&["show", text(&life.env.file("1.2.0.wasm"))]).ok();
    assert!(shown.contains("+ may touch change:add-address") && shown.contains("1.1.0 to 1.2.0"), "{shown}");
    let output = life.plugin(&["upgrade", &life.name, "--digest", &third]).run();
    assert!(output.stdout.contains("+ may touch change:add-address"), "{}", output.told());
    assert!(output.stderr.contains("not granted: change:add-address"), "{}", output.told());
    assert!(!output.stderr.contains("not granted: store"), "{}", output.told());
    assert_eq!(life.shown()["granted"], false);

    // And back, with the grants that it had.
    let told = life.plugin(&["upgrade", "--back", &life.name]).ok();
    assert!(told.contains("- may touch change:add-address"), "{told}");
    let shown = life.shown();
    assert_eq!((shown["version"].as_str(), shown["granted"].as_bool()), (Some("1.1.0"), Some(true)));
    let output = life.plugin(&["upgrade", &life.name, "--digest", &third, "--grant", "--json"]).run();
    let upgraded: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(upgraded["differences"]["asks_more"], serde_json::json!(["change:add-address"]));
    assert_eq!(upgraded["missing"], serde_json::json!([]));

    // Not to something older, nor to something else.
    let older = text(&life.env.file("1.0.0.wasm")).to_owned();
    let said = life.plugin(&["upgrade", &life.name, &older]).fails(1);
    assert!(said.contains("is older than 1.2.0") && said.contains("--allow-downgrade"), "{said}");
    life.plugin(&["upgrade", &life.name, &older, "--allow-downgrade"]).ok();
    let shown = life.shown();
    // Nobody vouched for this file of the machine, and what it was granted is forgotten with the one before.
    assert_eq!((shown["version"].as_str(), shown["granted"].as_bool()), (Some("1.0.0"), Some(false)));
    let other = Life::new("other");
    let stranger = other.version("9.0.0", &[]);
    let said = life.plugin(&["upgrade", &life.name, text(&stranger)]).fails(1);
    assert!(said.contains("is the plugin hook-life-other, and not hook-life-upgrade"), "{said}");
    let said = life.plugin(&["upgrade", "hook-policy", text(&stranger)]).fails(1);
    assert!(said.contains("hook-policy is not installed"), "{said}");
}

/// After a crash it is the old file with its grants, or the new one with them.
#[test]
fn an_upgrade_that_is_killed_leaves_the_old_file_or_the_new_one() {
    needs!(root, wasm_target);
    let life = Life::new("crash");
    let (old, new) = (life.version("1.0.0", &[]), life.version("2.0.0", &[]));
    let bytes = [fs::read(&old).unwrap(), fs::read(&new).unwrap()];
    let install = ["plugin", "install", text(&old), "--grant"];
    let digest = format!("sha256:{}", sha256(&bytes[1]));
    let upgrade = ["plugin", "upgrade", &life.name, text(&new), "--digest", &digest];
    life.env.wxc(install).ok();
    // Compiled beforehand: the program with places to be killed at has no compiler beside it.
    life.plugin(&["show", text(&new)]).ok();
    let all = sites(&life.env, &upgrade);
    assert!(all.len() >= 4, "{all:?}");
    let mut seen = [0, 0];
    for site in all {
        for fault in Fault::ALL {
            life.env.wxc(install).ok();
            let output = with_fault(&life.env, &upgrade, fault, &site);
            assert!(!output.status.success(), "{site}: {}", output.told());
            let now = fs::read(life.installed()).unwrap();
            let at = bytes.iter().position(|known| *known == now);
            seen[at.unwrap_or_else(|| panic!("{site}: neither the old nor the new file"))] += 1;
            assert_eq!(life.shown()["granted"], true, "{site} {fault:?}");
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

#[test]
fn nothing_is_left_of_a_plugin_that_was_removed_or_revoked() {
    needs!(root, wasm_target);
    let life = Life::new("gone");
    life.plugin(&["install", text(&life.version("1.0.0", &[])), "--grant"]).ok();
    let known = |file: &str| {
        fs::read_to_string(Path::new("/var/lib/wxc/.plugins").join(file))
            .unwrap_or_default()
            .contains(&life.name)
    };
    assert!(known("grants.toml") && known("plugins.toml"));
    life.plugin(&["revoke", &life.name]).ok();
    assert!(!known("grants.toml"), "an entry that grants nothing is left");
    life.plugin(&["install", text(&life.version("2.0.0", &[])), "--grant"]).ok();
    life.plugin(&["disable", &life.name]).ok();
    life.plugin(&["remove", &life.name]).ok();
    assert!(!known("grants.toml") && !known("plugins.toml") && !life.installed().exists());
    let previous = Path::new("/var/lib/wxc/.plugins/.previous").join(&life.name).with_extension("wasm");
    assert!(!previous.exists());
}

#[test]
fn what_was_not_granted_cannot_be_taken_back() {
    needs!(root, wasm_target);
    let life = Life::new("unrevoked");
    let said = life.plugin(&["revoke", "hook-life-unrevokd"]).fails(1);
    assert!(said.contains("hook-life-unrevokd"), "{said}");
    life.plugin(&["install", text(&life.version("1.0.0", &[])), "--grant"]).ok();
    let said = life.plugin(&["revoke", &life.name, "trust"]).fails(1);
    assert!(said.contains("was not granted trust"), "{said}");
    life.plugin(&["revoke", &life.name]).ok();
    life.plugin(&["revoke", &life.name]).ok();
}
