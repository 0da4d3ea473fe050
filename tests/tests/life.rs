//! A container's life: start, stop, restart, freeze, wait, monitor, run, destroy.

use std::fs;
use std::time::Duration;

use wxc_tests::{Env, needs, proc, until};

/// Busybox's init does not know the signals of the default; this one does.
const POLITE: &str = "init.command=[\"/bin/sh\", \"-c\", \"trap 'exit 0' PWR; while :; do sleep 0.1; done\"]";

/// An init that hears nothing but the kill.
const DEAF: &str = "init.command=[\"/bin/sh\", \"-c\", \"trap '' PWR TERM; while :; do sleep 0.1; done\"]";

#[test]
fn a_life_from_create_to_destroy() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("life", &["-s", POLITE]);
    assert_eq!(env.state("life"), "STOPPED");

    env.wxc(["start", "life"]).ok();
    // At once, as start returns only then.
    assert_eq!(env.state("life"), "RUNNING");
    let init = env.pid("life");
    assert!(proc::alive(init));
    assert_eq!(env.inside("life", "echo hello"), "hello");

    let stop = env.wxc(["stop", "life", "-t", "30"]).run();
    assert!(stop.status.success(), "{}", stop.told());
    assert!(stop.took < Duration::from_secs(10), "it was not asked but killed: {:?}", stop.took);
    assert_eq!(env.state("life"), "STOPPED");
    assert!(!proc::alive(init));
    until("the monitor's end", 5, || env.processes().is_empty().then_some(()));

    env.wxc(["start", "life"]).ok();
    let output = env.wxc(["destroy", "life"]).run();
    assert!(!output.status.success() && output.stderr.contains("RUNNING"), "{}", output.told());
    assert_eq!(env.state("life"), "RUNNING");
    env.wxc(["destroy", "-f", "life"]).ok();
    assert!(!env.container("life").exists());
    assert!(env.processes().is_empty());
}

#[test]
fn nothing_is_left_of_a_stopped_container() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let name = format!("left-{}", std::process::id());
    env.busybox(&name, &[]);
    env.wxc(["start", &name]).ok();
    assert!(!cgroups(&name).is_empty());
    env.wxc(["stop", "-k", &name]).ok();
    assert_eq!(cgroups(&name), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&name), "{mounts}");
    let left: Vec<_> = files(&env.run_dir());
    assert!(!left.iter().any(|file| file.ends_with("/control")), "{left:?}");
}

#[test]
fn a_second_start_says_that_it_runs() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("twice", &[]);
    env.wxc(["start", "twice"]).ok();
    let init = env.pid("twice");
    let output = env.wxc(["start", "twice"]).run();
    assert!(output.stderr.contains("RUNNING"), "{}", output.told());
    assert_eq!(env.pid("twice"), init);
}

#[test]
fn of_many_starts_at_once_one_wins() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("race", &[]);
    let children: Vec<_> = (0..6).map(|_| env.wxc(["start", "race"]).spawn()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || stderr.contains("race"), "{stderr}");
    }
    assert_eq!(env.state("race"), "RUNNING");
    let monitor: i32 = proc::status(env.pid("race"), "PPid").unwrap().parse().unwrap();
    assert_eq!(env.processes(), [monitor]);
}

#[test]
fn stop_says_early_that_init_does_not_listen_and_kills_in_the_end() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("deaf", &["-s", DEAF]);
    env.wxc(["start", "deaf"]).ok();
    let output = env.wxc(["stop", "deaf", "-t", "1", "--nokill"]).run();
    assert!(!output.status.success(), "{}", output.told());
    assert_eq!(env.state("deaf"), "RUNNING");
    let output = env.wxc(["stop", "deaf", "-t", "2"]).run();
    assert!(output.status.success(), "{}", output.told());
    assert!(output.stderr.contains("SIGPWR"), "{}", output.told());
    assert_eq!(env.state("deaf"), "STOPPED");
}

#[test]
fn stop_of_a_stopped_one_is_told_apart() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("still", &[]);
    // 2, as scripts written for LXC expect.
    let message = env.wxc(["stop", "still"]).fails(2);
    assert!(message.contains("still"), "{message}");
}

#[test]
fn restart_gives_a_new_init() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("again", &["-s", POLITE]);
    env.wxc(["start", "again"]).ok();
    let first = env.pid("again");
    env.wxc(["restart", "again"]).ok();
    assert_eq!(env.state("again"), "RUNNING");
    assert_ne!(env.pid("again"), first);
}

#[test]
fn a_reboot_from_inside_starts_it_anew() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("reboot", &[]);
    env.wxc(["start", "reboot"]).ok();
    let first = env.pid("reboot");
    let _gone = env.wxc(["attach", "reboot", "--", "/bin/reboot", "-f"]).run();
    until("another init", 20, || {
        let output = env.wxc(["info", "reboot", "-p", "-H"]).run();
        output.stdout.trim().parse().ok().filter(|pid: &i32| *pid != first && proc::alive(*pid))
    });
    assert_eq!(env.state("reboot"), "RUNNING");
}

#[test]
fn a_halt_from_inside_stops_it() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("halt", &[]);
    env.wxc(["start", "halt"]).ok();
    let _gone = env.wxc(["attach", "halt", "--", "/bin/poweroff", "-f"]).run();
    env.wxc(["wait", "halt", "-s", "STOPPED", "-t", "20"]).ok();
    assert_eq!(env.state("halt"), "STOPPED");
}

#[test]
fn frozen_processes_do_not_run() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let count = "init.command=[\"/bin/sh\", \"-c\", \"while :; do echo >> /count; sleep 0.02; done\"]";
    env.busybox("cold", &["-s", count]);
    env.wxc(["start", "cold"]).ok();
    let lines = || fs::read(env.container("cold").join("rootfs/count")).map_or(0, |bytes| bytes.len());
    until("counting", 10, || (lines() > 3).then_some(()));
    env.wxc(["freeze", "cold"]).ok();
    assert_eq!(env.state("cold"), "FROZEN");
    let before = lines();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(lines(), before);
    assert_eq!(env.wxc(["ls", "-1", "--frozen"]).ok(), "cold\n");
    env.wxc(["unfreeze", "cold"]).ok();
    assert_eq!(env.state("cold"), "RUNNING");
    until("counting on", 10, || (lines() > before).then_some(()));
    env.wxc(["freeze", "cold"]).ok();
    // Also a frozen one can be killed.
    env.wxc(["stop", "-k", "cold"]).ok();
    assert_eq!(env.state("cold"), "STOPPED");
}

#[test]
fn wait_ends_with_the_event() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("wait", &[]);
    env.wxc(["wait", "wait", "-s", "STOPPED"]).ok();
    let late = env.wxc(["wait", "wait", "-s", "RUNNING", "-t", "1"]).run();
    assert_eq!(late.code(), 1, "{}", late.told());
    assert!(late.took >= Duration::from_millis(900));
    let waiting = env.wxc(["wait", "wait", "-s", "RUNNING|FROZEN", "-t", "30"]).spawn();
    std::thread::sleep(Duration::from_millis(300));
    env.wxc(["start", "wait"]).ok();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let waiting = env.wxc(["wait", "wait", "-s", "STOPPED", "-t", "30"]).spawn();
    env.wxc(["stop", "-k", "wait"]).ok();
    assert!(waiting.wait_with_output().unwrap().status.success());
    let output = env.wxc(["wait", "wait", "-s", "SLEEPING"]).run();
    assert!(!output.status.success() && output.stderr.contains("SLEEPING"), "{}", output.told());
}

#[test]
fn monitor_prints_changes_of_the_names_asked_for() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("seen-1", &[]);
    env.busybox("other", &[]);
    let mut monitor = env.wxc(["monitor", "seen-.*", "--json"]).spawn();
    std::thread::sleep(Duration::from_millis(300));
    for name in ["other", "seen-1"] {
        env.wxc(["start", name]).ok();
        env.wxc(["stop", "-k", name]).ok();
    }
    std::thread::sleep(Duration::from_millis(500));
    monitor.kill().unwrap();
    let output = String::from_utf8(monitor.wait_with_output().unwrap().stdout).unwrap();
    let events: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> = events.iter().filter_map(|event| event["state"].as_str()).collect();
    assert!(events.iter().all(|event| event["name"] == "seen-1"), "{output}");
    assert!(states.contains(&"RUNNING") && states.last() == Some(&"STOPPED"), "{output}");
    assert_eq!(states.first(), Some(&"STARTING"), "{output}");
    // The end of its monitor is no second end of the container.
    assert_eq!(states.iter().filter(|state| **state == "STOPPED").count(), 1, "{output}");
}

#[test]
fn the_foreground_gives_output_and_exit_code() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("fore", &[]);
    let output = env.wxc(["start", "fore", "-F", "--", "/bin/sh", "-c", "echo out; exit 7"]).run();
    assert_eq!(output.code(), 7, "{}", output.told());
    assert!(output.stdout.contains("out"), "{}", output.told());
    assert_eq!(env.state("fore"), "STOPPED");
    let output = env.wxc(["start", "fore", "-F", "--", "/bin/sh", "-c", "kill -9 $$; sleep 0.1"]).run();
    // Process 1 is safe from itself: it sleeps through, and its end is its own.
    assert_eq!(output.code(), 0, "{}", output.told());
}

#[test]
fn a_throw_away_container_leaves_nothing() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let output = env.wxc(["run", "--", "/bin/sh", "-c", "id -u; echo err >&2; exit 5"]).run();
    assert_eq!(output.code(), 5, "{}", output.told());
    assert_eq!(output.stdout, "0\n", "{}", output.told());
    assert!(output.stderr.contains("err"), "{}", output.told());
    let output = env.wxc(["run", "--", "/bin/cat"]).input("through").run();
    assert_eq!(output.stdout, "through", "{}", output.told());
    let output = env.wxc(["run", "--", "/nonexistent"]).run();
    assert_eq!(output.code(), 127, "{}", output.told());
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "");
    assert!(env.processes().is_empty());
    assert_eq!(files(&env.run_dir()), Vec::<String>::new(), "not even a lock");
}

#[test]
fn mounts_of_the_user_stand_beside_those_of_the_template() {
    needs!(root, userns, cgroups);
    let env = Env::new();
    let mounts = "mounts=[{source=\"/srv\", target=\"/srv\", create=\"dir\"}]";
    env.wxc(["create", "both", "-t", "host", "-s", mounts]).ok();
    env.wxc(["start", "both"]).ok();
    assert_eq!(env.inside("both", "grep -c -e ' /usr ' -e ' /srv ' /proc/self/mounts"), "2");
}

#[test]
fn each_start_is_a_boot_of_its_own() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("boots", &[]);
    let boot_id = || {
        env.wxc(["start", "boots"]).ok();
        let id = env.inside("boots", "cat /proc/sys/kernel/random/boot_id");
        env.wxc(["stop", "-k", "boots"]).ok();
        id
    };
    let (first, second) = (boot_id(), boot_id());
    let host = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(first.len(), host.trim().len(), "{first}");
    assert!(first != second && first != host.trim() && second != host.trim(), "{first} {second} {host}");
}

#[test]
fn an_init_that_cannot_run_is_named() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("noinit", &["-s", "init.command=[\"/sbin/missing\"]"]);
    let output = env.wxc(["start", "noinit"]).run();
    assert!(!output.status.success() && output.stderr.contains("/sbin/missing"), "{}", output.told());
    assert_eq!(env.state("noinit"), "STOPPED");
    assert!(env.processes().is_empty());
    env.wxc(["config", "set", "noinit", "init.command", "[\"/etc/passwd\"]"]).ok();
    let output = env.wxc(["start", "noinit"]).run();
    assert!(!output.status.success() && output.stderr.contains("/etc/passwd"), "{}", output.told());
    // What was wrong is mended, and it starts.
    env.wxc(["config", "unset", "noinit", "init.command"]).ok();
    env.wxc(["start", "noinit"]).ok();
    assert_eq!(env.state("noinit"), "RUNNING");
}

#[test]
fn an_init_that_ends_at_once_leaves_a_stopped_container() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("short", &["-s", "init.command=[\"/bin/false\"]"]);
    let _either = env.wxc(["start", "short"]).run();
    env.wxc(["wait", "short", "-s", "STOPPED", "-t", "10"]).ok();
    assert_eq!(env.state("short"), "STOPPED");
    env.wxc(["destroy", "short"]).ok();
}

#[test]
fn a_pidfile_names_the_monitor() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("pidfile", &[]);
    let file = env.file("pid");
    env.wxc(["start", "pidfile", "-p", file.to_str().unwrap()]).ok();
    let pid = fs::read_to_string(&file).unwrap();
    assert_eq!(Some(pid.trim().to_owned()), proc::status(env.pid("pidfile"), "PPid"));
}

/// Directories in any hierarchy whose name contains this one.
fn cgroups(name: &str) -> Vec<String> {
    directories(std::path::Path::new("/sys/fs/cgroup"), 6)
        .into_iter()
        .filter(|path| path.rsplit('/').next().is_some_and(|last| last.contains(name)))
        .collect()
}

fn directories(folder: &std::path::Path, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path().display().to_string());
            if depth > 0 {
                found.extend(directories(&entry.path(), depth - 1));
            }
        }
    }
    found
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}
