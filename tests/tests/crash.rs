//! Killed at any instant, a command leaves what the next command can handle.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use wxc_tests::fixtures::{self, Packed};
use wxc_tests::mount::Mount;
use wxc_tests::{Env, needs, proc, until};

/// How many instants of a command are tried.
const INSTANTS: u32 = 16;

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The arguments of a `create` of the small guest from an archive, which takes a moment.
fn create(name: &str) -> Vec<String> {
    let archive = fixtures::busybox_archive(Packed::Xz).to_str().unwrap().to_owned();
    ["create", name, "-t", "local", "--", "--tarball", &archive].map(String::from).to_vec()
}

#[test]
fn a_killed_create_leaves_nothing_or_all() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let start = Instant::now();
    env.wxc(create("whole")).ok();
    let whole = start.elapsed();
    for instant in 0..INSTANTS {
        let name = format!("part-{instant}");
        let mut child = env.wxc(create(&name)).spawn();
        std::thread::sleep(whole * instant / (INSTANTS - 1));
        kill(&mut child);
        // Its helpers end with it.
        until("the helpers' end", 10, || env.processes().is_empty().then_some(()));
        let listed = env.wxc(["ls", "-1"]).ok().lines().any(|line| line == name);
        if listed {
            // Complete: it runs as the whole one does.
            env.wxc(["start", &name]).ok();
            assert_eq!(env.inside(&name, "ls /bin | wc -l"), inside_whole(&env), "{instant}");
            env.wxc(["destroy", "-f", &name]).ok();
        } else {
            // Absent: the name is free.
            env.wxc(create(&name)).ok();
            env.wxc(["destroy", &name]).ok();
        }
        assert!(!env.container(&name).exists(), "{instant}");
    }
    // And nothing else was left beside the containers.
    let rest: Vec<_> = std::fs::read_dir(env.path())
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("part"))
        .collect();
    assert_eq!(rest, Vec::<String>::new());
}

fn inside_whole(env: &Env) -> String {
    std::fs::read_dir(env.container("whole").join("rootfs/bin")).unwrap().count().to_string()
}

#[test]
fn a_killed_start_is_running_or_stopped() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("start", &[]);
    for instant in 0..INSTANTS {
        let mut child = env.wxc(["start", "start"]).spawn();
        std::thread::sleep(Duration::from_millis(2) * instant);
        kill(&mut child);
        // The monitor may live on without the command, or be none yet.
        let state = until("a settled state", 10, || {
            let state = env.state("start");
            (state == "RUNNING" || state == "STOPPED" && env.processes().is_empty()).then_some(state)
        });
        if state == "STOPPED" {
            env.wxc(["start", "start"]).ok();
        }
        assert_eq!(env.inside("start", "echo fine"), "fine");
        env.wxc(["stop", "-k", "start"]).ok();
    }
}

#[test]
fn a_killed_monitor_takes_its_container_with_it() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("lost", &[]);
    env.wxc(["start", "lost"]).ok();
    let init = env.pid("lost");
    let monitor: i32 = proc::status(init, "PPid").unwrap().parse().unwrap();
    proc::kill(monitor);
    until("init's end", 10, || (!proc::alive(init)).then_some(()));
    assert_eq!(env.state("lost"), "STOPPED");
    assert_eq!(env.wxc(["ls", "-1", "--stopped"]).ok(), "lost\n");
    env.wxc(["start", "lost"]).ok();
    assert_eq!(env.inside("lost", "echo fine"), "fine");
    env.wxc(["destroy", "-f", "lost"]).ok();
    assert!(!env.container("lost").exists());
}

#[test]
fn a_killed_destroy_can_be_repeated() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    for instant in 0..INSTANTS {
        env.busybox("gone", &[]);
        let mut child = env.wxc(["destroy", "gone"]).spawn();
        std::thread::sleep(Duration::from_millis(1) * instant);
        kill(&mut child);
        if env.wxc(["ls", "-1"]).ok() == "gone\n" {
            env.wxc(["destroy", "gone"]).ok();
        }
        assert_eq!(env.wxc(["ls", "-1"]).ok(), "", "{instant}");
    }
}

/// Also between the launch and the wait for its end, where a signal is for the container's first process.
#[test]
fn a_run_ends_with_a_signal_at_any_instant() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    // The first one may compile plugins.
    env.wxc(["run", "--", "/bin/true"]).ok();
    let start = Instant::now();
    env.wxc(["run", "--", "/bin/true"]).ok();
    let whole = start.elapsed().min(Duration::from_secs(1));
    for instant in 0..40 {
        let mut child = env.wxc(["run", "--", "/bin/sleep", "100"]).spawn();
        std::thread::sleep(whole * instant / 30);
        proc::signal(i32::try_from(child.id()).unwrap(), rustix::process::Signal::TERM);
        let status = until("its end", 20, || child.try_wait().unwrap());
        assert!(!status.success(), "{instant}: {status}");
    }
    until("nothing is left", 20, || {
        (env.wxc(["ls", "-1"]).ok().is_empty() && env.processes().is_empty()).then_some(())
    });
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let child = env.wxc(["run", "--", "/bin/sleep", "100"]).spawn();
    until("it runs", 20, || (!env.wxc(["ls", "-1", "--running"]).ok().is_empty()).then_some(()));
    proc::signal(i32::try_from(child.id()).unwrap(), rustix::process::Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    until("nothing is left", 10, || {
        (env.wxc(["ls", "-1"]).ok().is_empty() && env.processes().is_empty()).then_some(())
    });
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    // Room for less than the tree.
    let small = Mount::new(&env.file("small"), "size=1m");
    let archive = fixtures::busybox_archive(Packed::Gz);
    let words = ["create", "big", "-t", "local", "-P"].map(OsStr::new);
    let rest = [small.path(), OsStr::new("--"), OsStr::new("--tarball"), archive.as_os_str()];
    let output = env.wxc(words.into_iter().chain(rest)).run();
    assert!(!output.status.success(), "{}", output.told());
    assert!(output.stderr.contains("space"), "{}", output.told());
    assert!(!Path::new(small.path()).join("big").exists(), "{}", output.told());
}
