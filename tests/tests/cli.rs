//! What is typed and what is printed: arguments, tables, configuration. Nothing is started here.

use std::fs;

use wxc_tests::{Env, fixtures, needs};

const BAD_NAMES: &[&str] =
    &["", ".", "..", "a/b", "/etc", "-x", ".hidden", "a b", "a\nb", "a;b", "ä", "end."];

#[test]
fn a_bad_name_is_refused_before_anything_is_made() {
    let env = Env::new();
    let long = "x".repeat(64);
    for name in BAD_NAMES.iter().copied().chain([long.as_str()]) {
        let named = format!("--name={name}");
        let output = env.wxc(["create", &named, "-t", "host"]).run();
        assert!(!output.status.success(), "{}", output.told());
        assert!(output.stderr.contains("name"), "{}", output.told());
        assert_eq!(fs::read_dir(env.path()).unwrap().count(), 0, "{name:?} left something");
    }
}

#[test]
fn verbs_on_a_container_that_is_not_there_say_so() {
    let env = Env::new();
    let verbs: &[&[&str]] = &[
        &["start", "ghost"],
        &["stop", "ghost"],
        &["restart", "ghost"],
        &["attach", "ghost"],
        &["console", "ghost"],
        &["info", "ghost"],
        &["destroy", "ghost"],
        &["destroy", "-f", "ghost"],
        &["freeze", "ghost"],
        &["unfreeze", "ghost"],
        &["config", "show", "ghost"],
        &["start", "ghost", "--plan"],
    ];
    for verb in verbs {
        let output = env.wxc(*verb).run();
        assert!(!output.status.success(), "{}", output.told());
        assert!(output.stderr.contains("ghost"), "{}", output.told());
        assert_eq!(output.stdout, "", "{}", output.told());
    }
}

#[test]
fn a_listing_of_nothing_is_empty_and_no_failure() {
    let env = Env::new();
    assert_eq!(env.wxc(["ls"]).ok(), "");
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "");
    let list: serde_json::Value = serde_json::from_str(&env.wxc(["ls", "--json"]).ok()).unwrap();
    assert_eq!(list, serde_json::json!([]));
}

#[test]
fn containers_are_listed_by_name_state_and_pattern() {
    needs!(root, busybox);
    let env = Env::new();
    for name in ["web-2", "db", "web-1"] {
        env.busybox(name, &[]);
    }
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "db\nweb-1\nweb-2\n");
    assert_eq!(env.wxc(["ls", "-1", "--filter", "web"]).ok(), "web-1\nweb-2\n");
    assert_eq!(env.wxc(["ls", "-1", "--stopped", "^d"]).ok(), "db\n");
    assert_eq!(env.wxc(["ls", "-1", "--running"]).ok(), "");
    let table = env.wxc(["ls", "-F", "name,state"]).ok();
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words, [["NAME", "STATE"], ["db", "STOPPED"], ["web-1", "STOPPED"], ["web-2", "STOPPED"]]);
    let list: serde_json::Value = serde_json::from_str(&env.wxc(["ls", "--json"]).ok()).unwrap();
    assert_eq!(list[0]["name"], "db");
    assert_eq!(list[0]["state"], "STOPPED");
    let output = env.wxc(["ls", "-F", "name,colour"]).run();
    assert!(!output.status.success() && output.stderr.contains("COLOUR"), "{}", output.told());
    let output = env.wxc(["ls", "--filter", "("]).run();
    assert!(!output.status.success(), "{}", output.told());
}

#[test]
fn a_second_create_of_a_name_leaves_the_first_alone() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let before = fs::read_to_string(env.container("web").join("container.toml")).unwrap();
    let tree = fixtures::busybox().to_str().unwrap();
    let output = env.wxc(["create", "web", "-t", "local", "--", "--directory", tree]).run();
    assert!(!output.status.success() && output.stderr.contains("already"), "{}", output.told());
    assert_eq!(fs::read_to_string(env.container("web").join("container.toml")).unwrap(), before);
    assert!(env.container("web").join("rootfs/bin/busybox").exists());
}

#[test]
fn an_unknown_template_or_storage_is_named_and_nothing_is_made() {
    let env = Env::new();
    for (args, word) in [(["-t", "locale"], "locale"), (["-t", "../x"], "../x")] {
        let output = env.wxc(["create", "web"].into_iter().chain(args)).run();
        assert!(!output.status.success() && output.stderr.contains(word), "{}", output.told());
    }
    let output = env.wxc(["create", "web", "-t", "host", "-B", "zzz"]).run();
    assert!(!output.status.success() && output.stderr.contains("zzz"), "{}", output.told());
    assert!(!env.container("web").exists());
}

#[test]
fn a_missing_source_is_named_and_nothing_is_made() {
    let env = Env::new();
    let sources = [("--tarball", "/nowhere/x.tar"), ("--directory", "/nowhere/x"), ("--colour", "red")];
    for (option, value) in sources {
        let output = env.wxc(["create", "web", "-t", "local", "--", option, value]).run();
        assert!(!output.status.success(), "{}", output.told());
        let word = if option == "--colour" { "colour" } else { value };
        assert!(output.stderr.contains(word), "{}", output.told());
        assert!(!env.container("web").exists(), "{}", output.told());
    }
    let output = env.wxc(["create", "web", "-t", "local"]).run();
    assert!(!output.status.success() && output.stderr.contains("--tarball"), "{}", output.told());
}

#[test]
fn configuration_is_read_changed_and_checked_by_key() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &["-s", "cgroup.pids.max=64"]);
    assert_eq!(env.wxc(["config", "get", "web", "cgroup.pids.max"]).ok(), "64\n");
    env.wxc(["config", "set", "web", "cgroup.memory.max", "64M"]).ok();
    let memory = env.wxc(["config", "get", "web", "cgroup.memory.max"]).ok();
    assert!(memory.starts_with("64"), "{memory}");
    assert!(env.wxc(["config", "show", "web"]).ok().contains("memory"));
    env.wxc(["config", "unset", "web", "cgroup.memory.max"]).ok();
    assert!(!env.wxc(["config", "show", "web"]).ok().contains("memory"));
    env.wxc(["config", "validate", "web"]).ok();

    let output = env.wxc(["config", "set", "web", "cgroup.memory.maxx", "64M"]).run();
    assert!(!output.status.success() && output.stderr.contains("cgroup.memory.max"), "{}", output.told());
    let output = env.wxc(["config", "set", "web", "cgroup.memory.max", "much"]).run();
    assert!(!output.status.success() && output.stderr.contains("much"), "{}", output.told());
    env.wxc(["config", "validate", "web"]).ok();
}

#[test]
fn an_unknown_key_in_the_file_is_refused_with_line_and_suggestion() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let file = env.container("web").join("container.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("hostnam = \"x\"\n{text}")).unwrap();
    for verb in [&["config", "validate", "web"][..], &["start", "web"]] {
        let output = env.wxc(verb).run();
        assert!(!output.status.success(), "{}", output.told());
        assert!(output.stderr.contains("container.toml:1"), "{}", output.told());
        assert!(output.stderr.contains("hostname"), "{}", output.told());
    }
    assert_eq!(env.wxc(["ls", "-1"]).ok(), "web\n");
    fs::write(&file, "not toml at all [").unwrap();
    let output = env.wxc(["start", "web"]).run();
    assert!(!output.status.success() && output.stderr.contains("container.toml:1"), "{}", output.told());
    // What cannot be read can still be removed.
    env.wxc(["destroy", "-f", "web"]).ok();
    assert!(!env.container("web").exists());
}

#[test]
fn an_edit_is_kept_only_when_it_is_valid() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let editor = |script: &str| {
        let file = env.file("editor");
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        env.wxc(["config", "edit", "web"]).env("EDITOR", file.as_os_str())
    };
    editor("sed -i '1i hostname = \"edited\"' \"$1\"").ok();
    assert_eq!(env.wxc(["config", "get", "web", "hostname"]).ok(), "edited\n");
    let output = editor("sed -i '1i nonsense = 1' \"$1\"").run();
    assert!(!output.status.success() && output.stderr.contains("nonsense"), "{}", output.told());
    env.wxc(["config", "validate", "web"]).ok();
    assert_eq!(env.wxc(["config", "get", "web", "hostname"]).ok(), "edited\n");
}

#[test]
fn a_plan_is_printed_and_nothing_is_touched() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let before = proc_mounts();
    let text = env.wxc(["start", "web", "--plan"]).ok();
    assert!(text.contains("/proc") && text.contains("/sbin/init"), "{text}");
    let plan: serde_json::Value =
        serde_json::from_str(&env.wxc(["start", "web", "--plan", "--json"]).ok()).unwrap();
    assert!(plan.is_object(), "{plan}");
    assert_eq!(env.state("web"), "STOPPED");
    assert_eq!(proc_mounts(), before);
    assert_eq!(env.processes(), Vec::<i32>::new());
}

/// Mounts other tests do not make.
fn proc_mounts() -> usize {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().filter(|line| line.contains("wxc-t")).count()
}

#[test]
fn help_completions_and_pages_come_from_the_same_definitions() {
    let env = Env::new();
    let help = env.wxc(["--help"]).ok();
    for verb in
        ["create", "start", "stop", "attach", "console", "run", "ls", "info", "destroy", "wait", "monitor"]
    {
        assert!(help.contains(verb), "{help}");
        assert!(env.wxc([verb, "--help"]).ok().contains("Usage"), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(env.wxc(["completions", shell]).ok().contains("unfreeze"), "{shell}");
    }
    let pages = env.file("man");
    env.wxc(["man".as_ref(), pages.as_os_str()]).ok();
    assert!(fs::read_to_string(pages.join("wxc.1")).unwrap().contains("unfreeze"));
    assert!(pages.join("wxc-attach.1").exists());
    assert!(env.wxc(["--version"]).ok().starts_with("wxc "));
}

#[test]
fn a_wrong_word_is_answered_with_the_right_one() {
    let env = Env::new();
    let output = env.wxc(["strat", "web"]).run();
    assert!(!output.status.success() && output.stderr.contains("start"), "{}", output.told());
    let output = env.wxc(["start", "web", "--forground"]).run();
    assert!(!output.status.success() && output.stderr.contains("--foreground"), "{}", output.told());
}

#[test]
fn a_log_goes_where_it_is_sent() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    let log = env.file("log");
    let output = env.wxc(["-o", log.to_str().unwrap(), "-l", "debug", "start", "web"]).run();
    assert!(output.status.success(), "{}", output.told());
    assert!(!fs::read_to_string(&log).unwrap().is_empty());
}
