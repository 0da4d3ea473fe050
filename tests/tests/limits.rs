//! Limits hold: asked for in the configuration, felt inside.

use wxc_tests::{Env, needs, until};

fn running(name: &str, limits: &[&str]) -> Env {
    let env = Env::new();
    let options: Vec<&str> = limits.iter().flat_map(|limit| ["-s", limit]).collect();
    env.busybox(name, &options);
    env.wxc(["start", name]).ok();
    env
}

#[test]
fn too_many_processes_are_refused() {
    needs!(root, userns, busybox, cgroups);
    let env = running("pids", &["cgroup.pids.max=20"]);
    // Those that were made must not hold the output open.
    let many = "for i in $(seq 40); do sleep 5 >/dev/null 2>&1 & done";
    let output = env.wxc(["attach", "pids", "--", "/bin/sh", "-c", many]).run();
    assert!(output.stderr.contains("fork"), "{}", output.told());
    // And the container can still be entered and ended.
    env.wxc(["stop", "-k", "pids"]).ok();
}

#[test]
fn too_much_memory_ends_what_wants_it() {
    needs!(root, userns, busybox, cgroups);
    let env = running("memory", &["cgroup.memory.max=16M"]);
    let hungry = env
        .wxc(["attach", "memory", "--", "/bin/sh", "-c", "head -c 200000000 /dev/zero | tail | wc -c"])
        .run();
    assert!(!hungry.stdout.contains("200000000"), "{}", hungry.told());
    assert_eq!(env.state("memory"), "RUNNING");
    let info: serde_json::Value = serde_json::from_str(&env.wxc(["info", "memory", "--json"]).ok()).unwrap();
    assert!(info.to_string().contains("16777216"), "{info}");
}

#[test]
fn a_part_of_a_cpu_is_a_part_of_a_cpu() {
    needs!(root, userns, busybox, cgroups);
    let env = running("cpu", &["cgroup.cpu.quota=20ms"]);
    let init = env.pid("cpu");
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{init}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(13)?.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let before = used();
    // The children's time is counted with their parent when they have ended.
    let child = "n=0; end=$(($(date +%s)+2)); while [ $(date +%s) -lt $end ]; do n=$((n+1)); done; cat /proc/self/stat >/dev/null; times";
    let out = env.inside("cpu", child);
    let seconds: f64 = out
        .split_whitespace()
        .filter_map(|word| {
            word.strip_suffix('s')?.split_once('m').map(|(_, seconds)| seconds.parse::<f64>().unwrap_or(0.0))
        })
        .sum();
    assert!(seconds < 1.2, "{seconds} s in 2 s with a fifth of a processor: {out} ({before})");
}

#[test]
fn statistics_tell_what_is_used() {
    needs!(root, userns, busybox, cgroups);
    let env = running("stats", &[]);
    let value =
        || -> serde_json::Value { serde_json::from_str(&env.wxc(["info", "stats", "--json"]).ok()).unwrap() };
    let text = value();
    assert_eq!(text["name"], "stats");
    assert_eq!(text["state"], "RUNNING");
    assert_eq!(text["pid"], env.pid("stats"));
    assert!(text["usage"]["tasks"].as_u64().is_some_and(|tasks| tasks >= 1), "{text}");
    let memory =
        until("memory in use", 5, || value()["usage"]["memory"]["current"].as_u64().filter(|used| *used > 0));
    assert!(memory < 64 << 20, "{memory}");
    assert!(env.wxc(["info", "stats", "-S"]).ok().contains("Memory use:"));
    // A script gets the bare number.
    let plain = env.wxc(["info", "stats", "-S", "-H"]).ok();
    assert!(
        plain
            .lines()
            .all(|line| line.split_whitespace().last().is_some_and(|word| word.parse::<u64>().is_ok())),
        "{plain}"
    );
}
