//! `wxc doctor`: each finding made for real, told, and put right when asked.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use wxc_tests::fixtures::Packed;
use wxc_tests::{Env, fixtures, needs, proc, until};

/// A container that stands on an image, and the image's directory.
fn on_image(env: &Env, name: &str) -> PathBuf {
    let archive = fixtures::busybox_archive(Packed::Gz);
    env.wxc(["create", name, "-B", "overlay", "-t", "local", "--", "--tarball", archive.to_str().unwrap()])
        .ok();
    let images = env.path().join(".images");
    fs::read_dir(images).unwrap().flatten().next().unwrap().path()
}

/// The findings, as JSON.
fn found(env: &Env, more: &[&str]) -> Vec<Value> {
    let output = env.wxc(["doctor", "--json"].iter().chain(more)).run();
    let told: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.told()));
    told["findings"].as_array().unwrap().clone()
}

/// The only finding: its kind, and whether it can be repaired.
fn only(env: &Env) -> (String, bool) {
    let found = found(env, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    (found[0]["problem"].as_str().unwrap().to_owned(), found[0]["repair"].is_string())
}

fn is_healthy(env: &Env) {
    let output = env.wxc(["doctor"]).run();
    assert!(output.status.success() && output.stderr.contains("nothing is wrong"), "{}", output.told());
}

#[test]
fn an_image_without_its_description_is_told_and_removed_when_nothing_stands_on_it() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let image = on_image(&env, "web");
    is_healthy(&env);
    fs::rename(image.join("image.toml"), env.file("kept")).unwrap();
    assert_eq!(only(&env), ("unfinished-image".to_owned(), false), "web stands on it");
    let told = env.wxc(["doctor", "--repair", "--yes"]).run();
    assert!(told.code() == 1 && told.stdout.contains("web stand on it"), "{}", told.told());
    assert!(image.exists());
    env.wxc(["destroy", "web"]).ok();
    assert_eq!(only(&env), ("unfinished-image".to_owned(), true));
    env.wxc(["doctor", "--repair"]).ok();
    assert!(!image.exists());
    is_healthy(&env);
    // As if nothing had been.
    assert_eq!(on_image(&env, "web"), image);
    is_healthy(&env);
}

#[test]
fn an_image_whose_description_is_damaged_is_told_and_removed() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let image = on_image(&env, "web");
    fs::write(image.join("image.toml"), "key = [").unwrap();
    assert_eq!(only(&env), ("damaged-image".to_owned(), false));
    env.wxc(["destroy", "web"]).ok();
    let told = env.wxc(["doctor"]).run();
    assert!(told.code() == 1 && told.stdout.contains("`wxc image list` fails"), "{}", told.told());
    assert!(told.stdout.contains("--repair would: remove it; the next create unpacks"), "{}", told.told());
    env.wxc(["doctor", "--repair"]).ok();
    is_healthy(&env);
    on_image(&env, "web");
    assert!(env.wxc(["image", "list"]).ok().contains("overlay"));
}

#[test]
fn an_image_without_its_volume_is_told_and_removed() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let image = on_image(&env, "web");
    env.wxc(["destroy", "web"]).ok();
    is_healthy(&env);
    for entry in fs::read_dir(&image).unwrap().flatten().map(|entry| entry.path()) {
        match entry.is_dir() {
            true => fs::remove_dir_all(entry).unwrap(),
            false if !entry.ends_with("image.toml") => fs::remove_file(entry).unwrap(),
            false => {}
        }
    }
    assert_eq!(only(&env), ("no-volume".to_owned(), true));
    env.wxc(["doctor", "--repair"]).ok();
    is_healthy(&env);
    on_image(&env, "web");
}

#[test]
fn an_image_that_is_being_made_is_left_alone() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let image = on_image(&env, "web");
    env.wxc(["destroy", "web"]).ok();
    fs::remove_file(image.join("image.toml")).unwrap();
    let key = fs::read_dir(env.run_dir()).unwrap().flatten().next().unwrap().path();
    let lock = key.join(format!(".image-{}.lock", image.file_name().unwrap().to_str().unwrap()));
    let held = fs::File::create(lock).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    is_healthy(&env);
    drop(held);
    assert_eq!(only(&env).0, "unfinished-image");
}

#[test]
fn what_a_killed_monitor_left_is_told_and_removed() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &["-B", "dir"]);
    env.wxc(["start", "web"]).ok();
    let info: Value = serde_json::from_str(&env.wxc(["info", "web", "--json"]).ok()).unwrap();
    let monitor = i32::try_from(info["monitor"].as_i64().unwrap()).unwrap();
    let init = env.pid("web");
    is_healthy(&env);
    proc::kill(monitor);
    until("init ends with its monitor", 10, || (!fs::exists(format!("/proc/{init}")).unwrap()).then_some(()));
    let findings = found(&env, &[]);
    assert_eq!(findings[0]["problem"], "remains", "{findings:?}");
    assert!(
        findings[0]["explanation"].as_str().unwrap().contains("the next start cleans up"),
        "{findings:?}"
    );
    let state =
        fs::read_to_string(PathBuf::from(findings[0]["at"].as_str().unwrap()).join("state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    let cgroups: Vec<PathBuf> = state["cgroups"]["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| PathBuf::from(place["payload"].as_str().unwrap()))
        .collect();
    assert!(!cgroups.is_empty() && cgroups.iter().any(|cgroup| cgroup.exists()));
    // Gone without anybody to clean up.
    fs::remove_dir_all(env.container("web")).unwrap();
    let told = env.wxc(["doctor"]).run();
    assert!(told.stdout.contains("the container is gone, so nobody else cleans up"), "{}", told.told());
    env.wxc(["doctor", "--repair"]).ok();
    assert!(cgroups.iter().all(|cgroup| !cgroup.exists()));
    is_healthy(&env);
}

#[test]
fn what_was_kept_for_a_clone_that_is_gone_is_told_and_removed() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("web", &["-B", "overlay"]);
    env.wxc(["copy", "-s", "web", "clone"]).ok();
    env.wxc(["destroy", "-f", "web"]).ok();
    is_healthy(&env);
    // By hand, so that nothing follows.
    fs::remove_dir_all(env.container("clone")).unwrap();
    let kinds: Vec<String> =
        found(&env, &[]).iter().map(|it| it["problem"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["leftover", "unused-ids"]);
    let repaired = found(&env, &["--repair"]);
    assert!(repaired.iter().all(|finding| finding["repaired"] == true), "{repaired:?}");
    assert!(!env.container("web").exists());
    is_healthy(&env);
}
