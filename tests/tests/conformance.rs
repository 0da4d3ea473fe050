//! `wxc plugin test`: good backends pass, and a faulty one is told what is wrong with it.

use std::fs;

use wxc_tests::{Env, needs};

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
    let said = env.wxc(["plugin", "test", "template-local"]).fails(1);
    assert!(said.contains("template plugin"), "{said}");
    let said = env.wxc(["plugin", "test", "storage-dir", "--pool", "nowhere"]).fails(1);
    assert!(said.contains("nowhere") && said.contains("--pool"), "{said}");
}
