//! `wxc plugin test`: good backends pass, and a faulty one is told what is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wxc_tests::mount::Mount;
use wxc_tests::{Env, Run, fixtures, guest, needs, root};

/// What is left of scratch pools in a directory.
fn left(env: &Env) -> Vec<String> {
    let entries = fs::read_dir(env.file("pools")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// An environment with a directory for scratch pools.
fn with_pools() -> Env {
    let env = Env::new();
    fs::create_dir(env.file("pools")).unwrap();
    env
}

#[test]
fn the_first_backend_passes() {
    needs!(root);
    let env = with_pools();
    let out = env.wxc(["plugin", "test", "storage-dir", "--pool", "pools"]).within(300).ok();
    assert!(out.lines().any(|line| line.starts_with("passed   create-empty")), "{out}");
    assert!(out.lines().any(|line| line.starts_with("skipped  clone-content")), "{out}");
    assert!(out.trim_end().lines().last().is_some_and(|total| total.contains(" 0 failed")), "{out}");
    assert_eq!(left(&env), Vec::<String>::new());
}

/// Everything passes, and of what is skipped no more than this.
fn passes(env: &Env, plugin: &str, skipped: &[&str]) {
    let out = env.wxc(["plugin", "test", plugin, "--pool", "pools"]).within(600).ok();
    for line in out.lines().filter(|line| line.starts_with("skipped")) {
        assert!(skipped.iter().any(|why| line.contains(why)), "{line}");
    }
    assert!(out.contains(" 0 failed"), "{out}");
    assert_eq!(left(env), Vec::<String>::new());
}

#[test]
fn storage_in_layers_passes() {
    needs!(root);
    let env = Env::new();
    let _pools = Mount::new(&env.file("pools"), "size=1G,mode=755");
    passes(&env, "storage-overlay", &["`sizes`", "does not tell what is on the disk"]);
    // What is on a disk can only be seen where there is one.
    let out = env.wxc(["plugin", "test", "storage-overlay", "--case", "seal-durable"]).ok();
    assert!(out.contains("passed   seal-durable") || out.contains("does not tell"), "{out}");
}

#[test]
fn storage_on_btrfs_passes() {
    needs!(root, btrfs);
    let env = Env::new();
    let _pools = Mount::disk(&env.file("pools"), "btrfs", 2 << 30);
    passes(&env, "storage-btrfs", &["exports `sizes`", "plain directories"]);
}

#[test]
fn storage_in_disks_passes() {
    needs!(root, disks);
    let env = Env::new();
    // In memory: each volume is a file system that is made anew.
    let _pools = Mount::new(&env.file("pools"), "size=2G,mode=755");
    let skipped =
        ["exports `sizes`", "`snapshots`", "plain directories", "what is on the disk", "not permitted"];
    passes(&env, "storage-loop", &skipped);
}

/// Each fault of `tests/faulty`: what it is called there, the case that finds it, and what is said about it.
const FAULTS: &[(&str, &str, &str)] = &[
    ("create-anyway", "create-taken", "create of a name that is taken is not refused"),
    ("create-elsewhere", "create-at-home", "creating web changes something outside its directory"),
    ("create-furnished", "create-empty", "the root of a new volume is not empty"),
    ("create-once", "create-again", "volume web exists already"),
    ("create-permissions", "create-empty", "other permissions than 0755"),
    ("scan-after", "scan-pages", "out of order, twice"),
    ("scan-forgets", "scan-all", "scan does not list what is there"),
    ("scan-order", "scan-sorted", "out of order, twice"),
    ("scan-short", "scan-pages", "a page of scan has not what comes next"),
    ("seal-forgotten", "seal", "scan does not say that it is sealed"),
    ("seal-once", "seal-again", "volume web is sealed already"),
    ("seal-panics", "seal", "volumes.seal crashed"),
    ("seal-unsynced", "seal-durable", "files are still in memory alone after seal"),
    ("sealed-written", "sealed-refuses-writing", "a sealed volume is mounted for writing"),
    ("mounts-option", "mounts-own", "suid"),
    ("mounts-other", "mounts-own", "is mounted from elsewhere"),
    ("mounts-outside", "mounts-own", "container.toml"),
    ("mounts-read-only", "mounts-access", "is mounted read-only although it is to be written"),
    ("mounts-write", "mounts-pure", "asking for mounts changes the pool"),
    ("usage-nothing", "usage", "it refers to less than is in it"),
    ("remove-in-place", "cut-remove", "a volume that is half removed is told as whole"),
    ("remove-leaves", "remove-writable", "the removal of web leaves files"),
    ("remove-strict", "remove-twice", "there is no volume nobody"),
    ("clone-of-writable", "clone-of-writable", "cloning a writable volume is not refused"),
    ("clone-shares", "clone-independent", "writing to a clone changes its parent"),
    ("copy-in-place", "cut-clone", "an unfinished volume is told as finished"),
    ("parent-lost", "clone-parent", "removing a volume that others depend on is not refused"),
    ("take-anew", "snapshot-again", "took another snapshot"),
    ("restore-in-place", "cut-restore", "scan does not list a volume that is there"),
    ("restore-once", "snapshot-restore-again", "did not end with the restored content"),
    ("rest-anew", "rest-again", "took another snapshot"),
    ("rest-forgets", "rest-content", "a snapshot is not what its volume was"),
    ("rest-moves", "rest-stays", "taking a snapshot of what is mounted changes it"),
    ("limit-ignored", "size-holds", "more fits into a volume than its size"),
];

/// The backend that has one fault, or none.
fn faulty() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = root().join("tests/faulty");
        let component = root().join("target/fixtures/storage-faulty.wasm");
        guest::built(&source, "storage_faulty", &source.join("plugin.toml"), &component)
    })
}

#[test]
fn a_backend_that_copies_passes() {
    needs!(root, wasm_target);
    let env = Env::new();
    // In memory: hundreds of crashes, each of which waits for the disk many times.
    let _pools = Mount::new(&env.file("pools"), "size=1G,mode=755");
    let plugin = faulty().to_str().unwrap();
    passes(&env, plugin, &["exports `sizes`", "this pool has no sizes", "does not tell what is on the disk"]);
}

#[test]
fn each_fault_is_found_and_named() {
    needs!(root, wasm_target);
    let env = with_pools();
    let plugin = faulty().to_str().unwrap();
    for (fault, case, words) in FAULTS {
        let set = format!("fault={fault}");
        let output = env
            .wxc(["plugin", "test", plugin, "--pool", "pools", "--case", case, "-s", &set])
            .within(300)
            .run();
        assert_eq!(output.code(), 1, "{fault}: {}", output.told());
        let found = format!("FAILED   {case}");
        assert!(
            output.stdout.contains(&found) && output.stdout.contains(words),
            "{fault}: {}",
            output.told()
        );
        assert!(output.stdout.contains("breaks: wit/"), "{fault}: {}", output.told());
    }
    assert_eq!(left(&env), Vec::<String>::new());
}

/// The table above is the list of the faults that there are.
#[test]
fn no_fault_is_forgotten() {
    needs!(checkout);
    let source = ["lib.rs", "volume.rs"].map(|file| root().join("tests/faulty/src").join(file));
    let text = source.map(|file| fs::read_to_string(file).unwrap()).concat();
    let named = text.split("fault(\"").skip(1).filter_map(|rest| rest.split('"').next());
    for fault in named {
        assert!(FAULTS.iter().any(|(name, _, _)| *name == fault), "{fault} is in no line of FAULTS");
    }
}

#[test]
fn a_report_can_be_read_by_programs() {
    needs!(root);
    let env = with_pools();
    let words =
        ["plugin", "test", "storage-dir", "--pool", "pools", "--case", "open", "--case", "unseal", "--json"];
    let report: serde_json::Value = serde_json::from_str(&env.wxc(words).ok()).unwrap();
    assert_eq!(report["plugin"], "storage-dir");
    let rows = report["rows"].as_array().unwrap();
    let outcomes: Vec<&str> = rows.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["passed", "skipped"]);
    assert!(rows[1]["why"].as_str().unwrap().contains("clones"), "{report}");
}

#[test]
fn what_cannot_be_tested_is_said() {
    needs!(root);
    let env = with_pools();
    let said = env.wxc(["plugin", "test", "storage-dir", "--case", "opne"]).fails(1);
    assert!(said.contains("opne") && said.contains("did you mean open?"), "{said}");
    let said = env.wxc(["plugin", "test", "storage-dir", "--pool", "nowhere"]).fails(1);
    assert!(said.contains("nowhere") && said.contains("--pool"), "{said}");
}

#[test]
fn the_plugin_of_the_tutorial_passes_and_holds_a_container() {
    needs!(root, checkout, wasm_target, busybox, userns);
    let env = with_pools();
    let source = env.file("storage-plain");
    guest::written_down(&root().join("docs/writing-a-storage-plugin.md"), &source);
    for package in ["host", "storage"] {
        let (from, to) = (root().join("wit").join(package), source.join("wit"));
        fs::create_dir_all(&to).unwrap();
        Run::host("cp", ["-r".as_ref(), from.as_os_str(), to.as_os_str()]).ok();
    }
    fs::copy(root().join("plugins/Cargo.lock"), source.join("Cargo.lock")).unwrap();
    let component = env.file("plugins/storage-plain.wasm");
    guest::built(&source, "storage_plain", &source.join("plugin.toml"), &component);
    passes(&env, component.to_str().unwrap(), &["does not export", "does not tell what is on the disk"]);

    let folder = env.file("plugins");
    let with = |words: &[&str]| env.wxc(words).env("WXC_PLUGIN_DIR", &folder);
    let tree = fixtures::busybox().to_str().unwrap();
    with(&["plugin", "grant", "storage-plain"]).ok();
    let created = with(&["create", "web", "-B", "plain", "-t", "local", "--", "--directory", tree]).run();
    let there = env.container("web").join("rootfs/bin/busybox").exists();
    let destroyed = with(&["destroy", "web"]).run();
    with(&["plugin", "revoke", "storage-plain"]).ok();
    assert!(created.status.success() && there, "{}", created.told());
    assert!(destroyed.status.success() && !env.container("web").exists(), "{}", destroyed.told());
}
