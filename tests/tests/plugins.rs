//! Plugins: those that come with wxc are ordinary ones, and none can do more than it was granted.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use wxc_tests::guest::{Edit, changed};
use wxc_tests::{Env, Run, fixtures, needs};

/// Builds share a folder for what they have in common.
static BUILD: Mutex<()> = Mutex::new(());

/// An environment with a folder of plugins, in which there is this changed one.
fn with_changed(plugin: &str, edits: &[Edit]) -> (Env, PathBuf) {
    let env = Env::new();
    let folder = env.file("plugins");
    let guard = BUILD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    changed(plugin, edits, &env.file(""), &folder);
    drop(guard);
    (env, folder)
}

/// A command with the folder of plugins named.
fn with(env: &Env, folder: &PathBuf, words: &[&str]) -> Run {
    env.wxc(words).env("WXC_PLUGIN_DIR", folder)
}

fn create(env: &Env, folder: &PathBuf, name: &str) -> Run {
    let tree = fixtures::busybox().to_str().unwrap();
    with(env, folder, &["create", name, "-t", "local", "--", "--directory", tree])
}

/// The first line of `resolve` in the template that the tests below spoil.
const RESOLVE: &str = "fn resolve(request: Request) -> Result<Manifest, Error> {";

fn spoiled(code: &str) -> (Env, PathBuf) {
    let new = format!("{RESOLVE}\n        {code}");
    with_changed("template-local", &[("src/lib.rs", RESOLVE, &new)])
}

#[test]
fn those_that_come_with_it_are_listed_and_shown() {
    let env = Env::new();
    let list = env.wxc(["plugin", "list"]).ok();
    for name in [
        "hook-audit",
        "hook-environment",
        "hook-gpu",
        "hook-mounts",
        "hook-policy",
        "hook-webhook",
        "storage-btrfs",
        "storage-dir",
        "storage-loop",
        "storage-overlay",
        "template-busybox",
        "template-debian",
        "template-download",
        "template-host",
        "template-local",
        "template-oci",
    ] {
        assert!(list.contains(name), "{list}");
    }
    let json: serde_json::Value = serde_json::from_str(&env.wxc(["plugin", "list", "--json"]).ok()).unwrap();
    assert!(json.as_array().is_some_and(|plugins| plugins.len() >= 3), "{json}");
    let shown = env.wxc(["plugin", "show", "storage-dir"]).ok();
    // What it can do, and what it asks for, with the reason its manifest gives.
    assert!(shown.contains("volumes") && shown.contains("tree"), "{shown}");
    assert!(shown.contains("renames and removes the directories"), "{shown}");
    let output = env.wxc(["plugin", "show", "storage-dri"]).run();
    assert!(!output.status.success() && output.stderr.contains("storage-dir"), "{}", output.told());
}

#[test]
fn a_file_replaces_one_that_comes_with_it() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let (env, folder) = with_changed(
        "storage-dir",
        &[
            ("src/layout.rs", "home(id) + \"/rootfs\"", "home(id) + \"/rootfs-elsewhere\""),
            ("plugin.toml", "version = \"0.1.0\"", "version = \"9.9.9\""),
        ],
    );
    // Not before it was looked at: a file is granted by its digest.
    let output = create(&env, &folder, "web").run();
    assert!(!output.status.success(), "{}", output.told());
    assert!(output.stderr.contains("wxc plugin grant storage-dir"), "{}", output.told());
    assert!(!env.container("web").exists());
    let _granted = Granted::new(&env, &folder, "storage-dir");

    let list = with(&env, &folder, &["plugin", "list"]).ok();
    let line = list.lines().find(|line| line.contains("storage-dir")).unwrap_or_default();
    assert!(line.contains("9.9.9"), "{list}");
    create(&env, &folder, "web").ok();
    assert!(env.container("web").join("rootfs-elsewhere/bin/busybox").exists());
    assert!(!env.container("web").join("rootfs").exists());
    with(&env, &folder, &["start", "web"]).ok();
    assert_eq!(env.inside("web", "hostname"), "web");
    with(&env, &folder, &["destroy", "-f", "web"]).ok();
    assert!(!env.container("web").exists());
}

/// A grant, taken back when dropped: grants are the machine's.
struct Granted<'a>(&'a Env, &'a PathBuf, &'a str);

impl<'a> Granted<'a> {
    fn new(env: &'a Env, folder: &'a PathBuf, plugin: &'a str) -> Self {
        with(env, folder, &["plugin", "grant", plugin]).ok();
        Self(env, folder, plugin)
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        let mut revoke = with(self.0, self.1, &["plugin", "revoke", self.2]).into_command();
        let _revoked = revoke.output();
    }
}

#[test]
fn a_plugin_that_never_answers_is_ended() {
    needs!(root, userns, busybox, wasm_target);
    let (env, folder) = spoiled("loop { core::hint::black_box(&request); }");
    let output = create(&env, &folder, "web").within(120).run();
    assert!(!output.status.success(), "{}", output.told());
    for word in ["template-local", "resolve", "time"] {
        assert!(output.stderr.contains(word), "{word}: {}", output.told());
    }
    assert!(!env.container("web").exists());
}

#[test]
fn a_plugin_that_wants_too_much_memory_is_ended() {
    needs!(root, userns, busybox, wasm_target);
    let (env, folder) = spoiled(
        "let mut all = Vec::new(); loop { all.push(vec![1_u8; 1 << 20]); core::hint::black_box(&all); }",
    );
    let output = create(&env, &folder, "web").within(120).run();
    assert!(!output.status.success(), "{}", output.told());
    for word in ["template-local", "resolve", "memory"] {
        assert!(output.stderr.contains(word), "{word}: {}", output.told());
    }
    assert!(!env.container("web").exists());
}

#[test]
fn a_plugin_that_panics_is_named() {
    needs!(root, userns, busybox, wasm_target);
    let (env, folder) = spoiled("if !request.container.is_empty() { panic!(\"on purpose\"); }");
    let output = create(&env, &folder, "web").run();
    assert!(!output.status.success(), "{}", output.told());
    for word in ["template-local", "resolve"] {
        assert!(output.stderr.contains(word), "{word}: {}", output.told());
    }
    assert!(!env.container("web").exists());
}

#[test]
fn a_file_that_is_no_plugin_is_named() {
    needs!(root, busybox);
    let env = Env::new();
    let folder = env.file("plugins");
    fs::create_dir(&folder).unwrap();
    for bytes in [&b""[..], b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0", b"#!/bin/sh\n", &[0xff; 4096]] {
        fs::write(folder.join("template-local.wasm"), bytes).unwrap();
        let output = create(&env, &folder, "web").run();
        assert!(!output.status.success(), "{bytes:?}: {}", output.told());
        assert!(output.stderr.contains("template-local"), "{}", output.told());
        assert!(!env.container("web").exists());
    }
}
