//! How often a command waits for the disk. Every wait is half a millisecond on a good disk and ten on a bad one, so each of them
//! has to be for something: what they are for stands beside the numbers.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use wxc_tests::{Env, env, fixtures, needs};

/// The system calls that wait for the disk.
const CALLS: [&str; 6] = ["fsync", "fdatasync", "syncfs", "sync", "msync", "sync_file_range"];

/// Runs a command of wxc, and tells its waits, those of its helpers included.
fn waits(env: &Env, args: &[&str]) -> Vec<String> {
    let log = env.file("calls");
    let trace = format!("--trace={}", CALLS.join(","));
    let strace =
        [OsStr::new("-f"), OsStr::new("-qq"), OsStr::new(&trace), OsStr::new("-y"), OsStr::new("-o")];
    let words = strace.into_iter().chain([log.as_os_str(), env::wxc().as_os_str()]);
    env.program(Path::new("/usr/bin/strace"), words.chain(args.iter().map(OsStr::new))).ok();
    let text = fs::read_to_string(&log).expect("a log");
    let calls = text.lines().filter(|line| CALLS.iter().any(|call| line.contains(&format!("{call}("))));
    calls.map(str::to_owned).collect()
}

/// As many waits as there are reasons, and not one more. Fewer are good news, and then belong in here.
#[track_caller]
fn expect(env: &Env, args: &[&str], reasons: &[(&str, usize)]) {
    let wanted: usize = reasons.iter().map(|(_, count)| count).sum();
    let found = waits(env, args);
    assert_eq!(
        found.len(),
        wanted,
        "{args:?} is to wait for the disk for {reasons:?}, and does for {found:#?}"
    );
    for (reason, count) in reasons {
        assert!(*count <= 2, "{args:?}: {reason} takes {count}");
    }
}

/// What happens before the first step, so that a crash can be told from anything else: the file and its name.
const RECORD: (&str, usize) = ("the record in the journal", 2);
/// Everything that the new container consists of, with one call.
const CONTENT: (&str, usize) = ("the content", 1);
/// The name `container.toml`: from here on it is a container.
const NAME: (&str, usize) = ("the name that makes it a container", 1);

fn life_of_a_clone(env: &Env, storage: &str) {
    env.busybox("base", &["--privileged", "-B", storage]);
    // The first one seals its original.
    env.wxc(["copy", "-s", "base", "first"]).ok();
    expect(env, &["copy", "-s", "base", "web"], &[RECORD, CONTENT, NAME]);
    expect(env, &["destroy", "web"], &[("the name that made it a container", 1)]);
}

#[test]
fn a_clone_in_layers_waits_for_little() {
    needs!(root, busybox, strace);
    life_of_a_clone(&Env::new(), "overlay");
}

#[test]
fn a_create_from_an_image_waits_for_little() {
    needs!(root, busybox, strace);
    let env = Env::new();
    let archive = fixtures::busybox_archive(fixtures::Packed::Plain);
    let archive = archive.to_str().expect("a path in UTF-8");
    let create = |name| {
        ["create", name, "-t", "local", "-B", "overlay", "--privileged", "--", "--tarball", archive].to_vec()
    };
    env.wxc(create("first")).ok();
    expect(&env, &create("web"), &[RECORD, CONTENT, NAME]);
}

#[test]
fn what_is_thrown_away_waits_for_nothing() {
    needs!(root, busybox, strace);
    let env = Env::new();
    env.busybox("base", &["--privileged", "-B", "overlay"]);
    env.wxc(["copy", "-s", "base", "first"]).ok();
    expect(&env, &["run", "--from", "base", "--", "/bin/true"], &[]);
}
