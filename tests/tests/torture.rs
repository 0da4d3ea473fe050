//! Random commands, killed at random instants, for as long as a test may take. `cargo xtask torture` goes on for longer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wxc_tests::needs;
use wxc_tests::torture::{Options, torture};

/// How long each storage is tried.
const SECONDS: u64 = 10;

fn on(storage: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let duration = Duration::from_secs(SECONDS);
    let options = Options { seed: now.as_secs(), duration, storage: Some(storage.to_owned()) };
    match torture(&options) {
        Ok(done) => assert!(done.steps > 0, "{done:?}"),
        Err(wrong) => panic!("{wrong}"),
    }
}

#[test]
fn directories_are_complete_or_absent() {
    needs!(root, userns, busybox, cgroups, disks);
    on("dir");
}

#[test]
fn layers_are_complete_or_absent() {
    needs!(root, userns, busybox, cgroups, disks);
    on("overlay");
}

#[test]
fn subvolumes_are_complete_or_absent() {
    needs!(root, userns, busybox, cgroups, disks, btrfs);
    on("btrfs");
}

#[test]
fn disks_are_complete_or_absent() {
    needs!(root, userns, busybox, cgroups, disks);
    on("loop");
}
