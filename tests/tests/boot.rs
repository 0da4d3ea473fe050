//! The main job: a real Debian boots, is entered, and stops.

use std::path::Path;
use std::time::Duration;

use wxc_tests::pty::Pty;
use wxc_tests::{Env, fixtures, needs, proc, until};

/// Makes the container from the archive, and boots it until systemd says that it is done.
fn booted(name: &str, options: &[&str]) -> Env {
    booted_from(fixtures::debian().expect("needs!(debian)"), name, options)
}

fn booted_from(archive: &Path, name: &str, options: &[&str]) -> Env {
    let env = Env::new();
    let archive = archive.to_str().expect("a path in UTF-8");
    let args = ["create", name, "-t", "local"];
    env.wxc(args.iter().chain(options).chain(&["--", "--tarball", archive])).within(240).ok();
    start(&env, name);
    env
}

fn start(env: &Env, name: &str) {
    env.wxc(["start", name]).ok();
    assert_eq!(env.state(name), "RUNNING");
    boots(env, name);
}

/// Waits until systemd says that everything is there.
pub(crate) fn boots(env: &Env, name: &str) {
    let mut last = String::new();
    let done = |last: &mut String| {
        let output = env.wxc(["attach", name, "--", "systemctl", "is-system-running"]).run();
        *last = output.told();
        match output.stdout.trim() {
            "running" => Some(true),
            "degraded" => Some(false),
            _ => None,
        }
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    let running = loop {
        if let Some(running) = done(&mut last) {
            break running;
        }
        assert!(std::time::Instant::now() < deadline, "it does not boot: {last}");
        std::thread::sleep(Duration::from_millis(100));
    };
    if !running {
        let failed =
            env.wxc(["attach", name, "--", "systemctl", "--failed", "--no-pager", "--no-legend"]).run();
        let journal =
            env.wxc(["attach", name, "--", "journalctl", "-b", "-p", "warning", "--no-pager"]).run();
        panic!("degraded:\n{}\n{}", failed.stdout, journal.stdout);
    }
}

#[test]
fn a_debian_lives_its_life() {
    needs!(root, userns, cgroups, debian);
    let env = booted("debian", &[]);

    // Unprivileged by default, and systemd knows that it is in a container.
    let uid = proc::status(env.pid("debian"), "Uid").unwrap();
    assert!(uid.split_whitespace().next().unwrap().parse::<u32>().unwrap() >= 65536, "{uid}");
    assert_eq!(env.inside("debian", "systemd-detect-virt"), "lxc");
    assert_eq!(env.inside("debian", "ps -o comm= -p 1 2>/dev/null || cat /proc/1/comm"), "systemd");

    // The journal is kept, by a service in a cgroup of its own.
    env.inside("debian", "echo a-mark-of-ours | systemd-cat -t test; journalctl --sync");
    assert!(env.inside("debian", "journalctl -t test -o cat").contains("a-mark-of-ours"));
    assert_eq!(
        env.inside("debian", "systemctl is-active systemd-journald dbus systemd-logind"),
        "active\nactive\nactive"
    );
    assert!(env.inside("debian", "systemctl show -P ControlGroup dbus").contains("system.slice"));

    login(&env, "debian");
    let who = env.wxc(["attach", "debian", "--user", "user", "--", "id", "-un"]).ok();
    assert_eq!(who, "user\n");

    stops(&env, "debian");
    let machine = std::fs::read_to_string(env.container("debian").join("rootfs/etc/machine-id")).unwrap();
    start(&env, "debian");
    assert_eq!(env.inside("debian", "cat /etc/machine-id"), machine.trim());
    env.wxc(["destroy", "-f", "debian"]).ok();
    assert!(!env.container("debian").exists());
    assert!(env.processes().is_empty());
}

/// By the console, as a person does who has lost the network.
fn login(env: &Env, name: &str) {
    let mut pty = Pty::start(&env.wxc(["console", name]).into_command());
    pty.send("\r");
    pty.expect("login:", 30);
    pty.send("user\r");
    pty.expect("Password:", 15);
    pty.send("secret\r");
    pty.expect("$", 30);
    pty.send("loginctl list-sessions --no-legend --no-pager; id -un; echo end-$((1+1))\r");
    let screen = pty.expect("end-2", 15);
    assert!(screen.contains("user"), "{screen}");
    pty.send("exit\r");
    pty.expect("login:", 30);
    pty.send("\x01q");
    let (status, screen) = pty.end(10);
    assert!(status.success(), "{screen}");
}

/// Cleanly and in a few seconds: systemd unmounts, and is not killed.
fn stops(env: &Env, name: &str) {
    let output = env.wxc(["stop", name]).run();
    assert!(output.status.success(), "{}", output.told());
    assert!(output.took < Duration::from_secs(20), "{:?}", output.took);
    assert!(!output.stderr.contains("kill"), "{}", output.told());
    assert_eq!(env.state(name), "STOPPED");
    until("the monitor's end", 5, || env.processes().is_empty().then_some(()));
}

#[test]
fn a_reboot_from_inside_boots_again() {
    needs!(root, userns, cgroups, debian);
    let env = booted("rebooter", &[]);
    let first = env.pid("rebooter");
    let _cut = env.wxc(["attach", "rebooter", "--", "systemctl", "reboot"]).run();
    until("another init", 60, || {
        let output = env.wxc(["info", "rebooter", "-p", "-H"]).run();
        output.stdout.trim().parse().ok().filter(|pid: &i32| *pid != first && proc::alive(*pid))
    });
    boots(&env, "rebooter");
    let _cut = env.wxc(["attach", "rebooter", "--", "systemctl", "poweroff"]).run();
    env.wxc(["wait", "rebooter", "-s", "STOPPED", "-t", "60"]).within(70).ok();
}

#[test]
fn a_privileged_debian_boots() {
    needs!(root, cgroups, debian);
    let env = booted("priv", &["--privileged"]);
    assert!(proc::status(env.pid("priv"), "Uid").unwrap().starts_with('0'));
    stops(&env, "priv");
}

#[test]
fn limits_hold_under_systemd() {
    needs!(root, userns, cgroups, debian);
    let env = booted("limited", &["-s", "cgroup.memory.max=512M", "-s", "cgroup.pids.max=300"]);
    assert_eq!(env.inside("limited", "systemctl is-system-running"), "running");
    env.inside("limited", "systemd-run --wait --quiet -p MemoryMax=64M -p TasksMax=10 /bin/true");
    stops(&env, "limited");
}

#[test]
fn a_newer_debian_boots() {
    needs!(root, userns, cgroups, newer_debian);
    let env = booted_from(fixtures::newer_debian().expect("needs!(newer_debian)"), "newer", &[]);
    env.inside("newer", "echo a-mark-of-ours | systemd-cat -t test; journalctl --sync");
    assert!(env.inside("newer", "journalctl -t test -o cat").contains("a-mark-of-ours"));
    stops(&env, "newer");
}
