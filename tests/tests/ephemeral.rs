//! Ephemeral containers: gone when they stop, whoever stops them, and not before.

use std::fs;

use wxc_tests::{Env, needs, proc, until};

fn monitor(env: &Env, name: &str) -> i32 {
    let info: serde_json::Value = serde_json::from_str(&env.wxc(["info", name, "--json"]).ok()).unwrap();
    i32::try_from(info["monitor"].as_i64().unwrap_or_else(|| panic!("{info}"))).unwrap()
}

fn gone(env: &Env, name: &str) {
    until("it is gone", 20, || (!env.container(name).exists()).then_some(()));
    until("nothing is remembered of it", 20, || marks(env).is_empty().then_some(()));
}

/// What is remembered of those that run.
fn marks(env: &Env) -> Vec<String> {
    let entries = fs::read_dir(env.path().join(".journal")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Lets it start itself again.
fn reboot(env: &Env, name: &str) {
    let first = env.pid(name);
    let _cut = env.wxc(["attach", name, "--", "/bin/reboot", "-f"]).run();
    until("it runs again", 20, || {
        let output = env.wxc(["info", name, "-p", "-H"]).run();
        output.stdout.trim().parse::<i32>().ok().filter(|pid| *pid != first)
    });
    until("it runs again", 20, || (env.state(name) == "RUNNING").then_some(()));
}

#[test]
fn one_that_starts_itself_again_stays_and_stays_in_memory() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &["-B", "overlay"]);
    let shared = env.file("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "outside").unwrap();
    let mount = format!("bind={}:/srv/shared:ro", shared.display());
    env.wxc(["copy", "-e", "-t", "web", "memory", "-m", &mount]).ok();
    let upper = env.container("memory").join("delta/root/x");
    for round in ["first", "second"] {
        // What was in memory went with the stop before.
        assert_eq!(env.inside("memory", "test -e /root/x || echo none; echo x > /root/x"), "none", "{round}");
        assert!(!upper.exists(), "{round}");
        assert_eq!(
            env.inside("memory", "cat /srv/shared/file; touch /srv/shared/x 2>/dev/null || echo ro"),
            "outsidero"
        );
        reboot(&env, "memory");
    }
    env.wxc(["stop", "-k", "memory"]).ok();
    gone(&env, "memory");

    env.wxc(["copy", "-e", "web", "disk"]).ok();
    env.inside("disk", "echo x > /root/x");
    reboot(&env, "disk");
    assert_eq!(env.inside("disk", "cat /root/x"), "x");
    // It halts by itself, with no command of ours about.
    let _cut = env.wxc(["attach", "disk", "--", "/bin/poweroff", "-f"]).run();
    gone(&env, "disk");
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "web\n");
}

#[test]
fn one_whose_monitor_was_killed_goes_with_the_next_command() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &["-B", "overlay"]);
    let lose = |name: &str| {
        env.wxc(["copy", "-e", "web", name]).ok();
        let init = env.pid(name);
        proc::kill(monitor(&env, name));
        until("its processes are gone", 20, || {
            (!std::path::Path::new(&format!("/proc/{init}")).exists()).then_some(())
        });
        assert!(env.container(name).exists());
    };
    // Doctor tells, and changes nothing unasked.
    lose("one");
    let told = env.wxc(["doctor"]).run();
    assert!(told.stdout.contains("one") && told.stdout.contains("ephemeral"), "{}", told.told());
    assert!(env.container("one").exists());
    env.wxc(["doctor", "--repair"]).ok();
    gone(&env, "one");
    // A command that wants it.
    lose("two");
    let output = env.wxc(["start", "two"]).run();
    assert!(!output.status.success() && output.stderr.contains("was ephemeral"), "{}", output.told());
    gone(&env, "two");
    lose("three");
    env.wxc(["destroy", "three"]).ok();
    gone(&env, "three");
    // A command that makes or starts another.
    lose("four");
    env.wxc(["run", "--from", "web", "--", "/bin/true"]).ok();
    gone(&env, "four");
    lose("five");
    env.wxc(["copy", "-s", "web", "copy"]).ok();
    gone(&env, "five");
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "copy\nweb\n");
}

#[test]
fn one_that_never_ran_is_nobodys_to_remove() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("kept", &["-s", "ephemeral=true"]);
    env.busybox("web", &[]);
    env.wxc(["start", "web"]).ok();
    env.wxc(["doctor", "--repair"]).ok();
    assert!(env.container("kept").exists());
    // Nor one that could not be started.
    env.wxc(["config", "set", "kept", "init.command", "[\"/nothing\"]"]).ok();
    assert!(!env.wxc(["start", "kept"]).run().status.success());
    env.wxc(["run", "--from", "web", "--", "/bin/true"]).ok();
    assert!(env.container("kept").exists());
    env.wxc(["config", "unset", "kept", "init.command"]).ok();
    env.wxc(["start", "kept"]).ok();
    env.wxc(["stop", "-k", "kept"]).ok();
    gone(&env, "kept");
}

#[test]
fn what_cannot_be_mounted_is_said() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    for (word, reason) in [
        ("overlay=/srv", "an overlay needs a place"),
        ("bind=srv", "absolute"),
        ("bind=/srv:ro:x", "absolute"),
        ("bind=/nowhere/at/all", "No such file"),
        ("zfs=/srv", "its kind is bind"),
    ] {
        let message = env.wxc(["copy", "-e", "web", "-m", word]).fails(2);
        assert!(message.contains(reason), "{word}: {message}");
    }
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "web\n");
}
