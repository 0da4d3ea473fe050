//! Hooks: they change, judge and act within their grants, what they did is undone, and a bad one costs its budget and no more.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use wxc_tests::failpoints::{Fault, with_fault};
use wxc_tests::{Env, Run, guest, needs, root, until};

/// The module of the probe is built in one place.
static BUILD: Mutex<()> = Mutex::new(());

/// A world with probes: hooks that do what their settings for a container say. Each has a name of its own, because grants
/// are the machine's.
pub(crate) struct World {
    pub(crate) env: Env,
    probes: Vec<String>,
}

impl World {
    pub(crate) fn new(probes: &[&str]) -> Self {
        Self::of(("probe", "hook_probe"), probes)
    }

    /// The same with copies of another hook of the tests': its folder and its module.
    pub(crate) fn of((folder, module): (&str, &str), probes: &[&str]) -> Self {
        Self::within(Env::new(), (folder, module), probes)
    }

    /// The same in another environment.
    pub(crate) fn within(env: Env, (folder, module): (&str, &str), probes: &[&str]) -> Self {
        let world = Self { probes: probes.iter().map(|probe| format!("hook-{probe}")).collect(), env };
        fs::create_dir(world.folder()).unwrap();
        let source = root().join("tests").join(folder);
        for probe in &world.probes {
            let manifest = world.env.file(&format!("{probe}.toml"));
            let text = fs::read_to_string(source.join("plugin.toml")).unwrap();
            fs::write(
                &manifest,
                text.replace(&format!("\"{}\"", module.replace('_', "-")), &format!("\"{probe}\"")),
            )
            .unwrap();
            let _guard = BUILD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let component = world.folder().join(probe).with_extension("wasm");
            guest::built(&source, module, &manifest, &component);
        }
        for probe in &world.probes {
            world.wxc(&["plugin", "grant", probe]).ok();
        }
        world
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.env.file("plugins")
    }

    pub(crate) fn wxc(&self, words: &[&str]) -> Run {
        self.env.wxc(words).env("WXC_PLUGIN_DIR", self.folder())
    }

    /// Attaches a probe to a container, with settings.
    pub(crate) fn attach(&self, name: &str, probe: &str, settings: &[(&str, &str)]) {
        self.wxc(&["config", "set", name, &format!("hooks.{probe}.enabled"), "true"]).ok();
        for (key, value) in settings {
            self.wxc(&["config", "set", name, &format!("hooks.{probe}.settings.{key}"), value]).ok();
        }
    }

    /// What a probe kept under a key.
    pub(crate) fn kept(&self, name: &str, probe: &str, key: &str) -> String {
        let file = self.env.container(name).join(".plugin-state").join(format!("hook-{probe}")).join(key);
        fs::read_to_string(file).unwrap_or_default().trim().to_owned()
    }

    /// The events that a probe was called for, without those of its own being configured.
    pub(crate) fn called(&self, name: &str, probe: &str) -> String {
        let all = self.kept(name, probe, "called");
        let words: Vec<&str> = all.split(' ').collect();
        // A word of ours may have spaces within parentheses.
        let mut kept = Vec::new();
        let mut inside = false;
        for word in words {
            if !inside && word.starts_with("configure(") {
                continue;
            }
            inside = (inside || word.contains('(')) && !word.ends_with(')');
            kept.push(word);
        }
        kept.join(" ")
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.env.container(name).join("hooks.log")).unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for probe in &self.probes {
            let mut revoke = self.wxc(&["plugin", "revoke", probe]).into_command();
            let _revoked = revoke.output();
        }
    }
}

#[test]
fn variables_come_from_a_hook_and_the_plan_says_whose_they_are() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.configure("[hooks.environment.settings]\nTIER = \"all\"\nLANG = \"de\"\n");
    env.busybox("web", &[]);
    env.wxc(["config", "set", "web", "hooks.environment.settings.LANG", "C.UTF-8"]).ok();
    let plan = env.wxc(["start", "web", "--plan"]).ok();
    assert!(plan.contains("hook-environment: set-variable LANG=C.UTF-8"), "{plan}");
    let json: serde_json::Value =
        serde_json::from_str(&env.wxc(["start", "web", "--plan", "--json"]).ok()).unwrap();
    let changes = json["hooks"]["changes"].as_array().unwrap();
    assert!(
        changes.iter().all(|change| change["plugin"] == "hook-environment") && changes.len() == 2,
        "{json}"
    );
    assert_eq!(env.state("web"), "STOPPED");
    env.wxc(["start", "web"]).ok();
    let all = env.inside("web", "tr '\\0' '\\n' < /proc/1/environ");
    assert!(all.contains("LANG=C.UTF-8") && all.contains("TIER=all"), "{all}");
    assert!(env.wxc(["info", "web"]).ok().contains("hook-environment"));
    // A profile stands between all containers and this one.
    let both = "[hooks.environment.settings]\nTIER = \"all\"\nLANG = \"de\"\n[profiles.shop.hooks.environment.settings]\nTIER = \"shop\"\nLANG = \"fr\"\n";
    env.configure(both);
    env.wxc(["config", "set", "web", "profiles", "[\"shop\"]"]).ok();
    let plan = env.wxc(["start", "web", "--plan"]).ok();
    assert!(plan.contains("TIER=shop") && plan.contains("LANG=C.UTF-8"), "{plan}");
    env.wxc(["config", "set", "web", "profiles", "[\"shop\", \"bank\"]"]).ok();
    let said = env.wxc(["start", "web", "--plan"]).fails(1);
    assert!(said.contains("the profile \"bank\"") && said.contains("has shop"), "{said}");
    env.wxc(["config", "unset", "web", "profiles"]).ok();
    // Nothing of it is in the file.
    env.wxc(["stop", "-k", "web"]).ok();
    env.wxc(["config", "set", "web", "hooks.environment.enabled", "false"]).ok();
    let plan = env.wxc(["start", "web", "--plan"]).ok();
    assert!(!plan.contains("TIER"), "{plan}");
}

#[test]
fn a_hook_that_is_not_there_or_not_granted_is_told_with_what_to_do() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["ungranted"]);
    world.env.busybox("web", &[]);
    world.attach("web", "nosuch", &[]);
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(said.contains("no hook plugin \"hook-nosuch\""), "{said}");
    world.wxc(&["config", "unset", "web", "hooks.nosuch"]).ok();
    world.wxc(&["plugin", "revoke", "hook-ungranted"]).ok();
    world.attach("web", "ungranted", &[]);
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(said.contains("wxc plugin grant hook-ungranted"), "{said}");
    assert_eq!(world.env.state("web"), "STOPPED");

    world.wxc(&["plugin", "grant", "hook-ungranted"]).ok();
    world.wxc(&["start", "web"]).ok();
}

#[test]
fn the_policy_judges_what_runs_and_a_label_says_why() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.configure("[hooks.policy]\n[plugins.hook-policy]\nmemory-limit = true\n");
    env.busybox("web", &["--privileged"]);
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("hook-policy") && said.contains("privileged-for"), "{said}");
    env.wxc(["config", "set", "web", "labels.privileged-for", "the test"]).ok();
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("no limit of memory"), "{said}");
    env.wxc(["start", "web", "-s", "cgroup.memory.max=64M"]).ok();
    assert_eq!(env.state("web"), "RUNNING");
}

#[test]
fn every_kind_of_change_arrives_and_the_rest_cannot_be_had() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["changes"]);
    let env = &world.env;
    let (data, desk) = (env.file("data"), env.file("desk"));
    for directory in [&data, &desk] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(data.join("file"), "shown").unwrap();
    let shares =
        format!("[shares.hook-changes]\ndata = \"{}\"\ndesk = \"{}\"\n", data.display(), desk.display());
    env.configure(&shares);
    env.busybox("web", &[]);
    world.attach(
        "web",
        "changes",
        &[
            ("change-1", "set-variable GREETING hello there"),
            ("change-2", "add-share /mnt/data data"),
            ("change-3", "add-share /mnt/desk desk"),
            ("change-4", "add-memory /mnt/memory 65536"),
            ("change-5", "set-limit pids.max 100"),
            ("change-6", "set-hostname elsewhere"),
            ("change-7", "drop-capability net_raw"),
            ("change-8", "deny-syscall mkdir"),
            ("change-9", "set-sysctl net.ipv4.ip_forward 1"),
            ("change-a", "set-key security.no-new-privileges true"),
            ("change-b", "set-label tier shop"),
        ],
    );
    world.wxc(&["start", "web"]).ok();
    assert_eq!(env.inside("web", "hostname; cat /mnt/data/file"), "elsewhere\nshown");
    assert_eq!(env.inside("web", "echo x > /mnt/data/new 2>/dev/null || echo read-only"), "read-only");
    assert_eq!(env.inside("web", "echo x > /mnt/desk/new && cat /mnt/desk/new"), "x");
    assert_eq!(fs::read_to_string(desk.join("new")).unwrap().trim(), "x");
    assert!(env.inside("web", "df -k /mnt/memory | tail -1").contains(" 64 "));
    assert_eq!(env.inside("web", "cat /proc/sys/net/ipv4/ip_forward"), "1");
    assert!(env.inside("web", "tr '\\0' '\\n' < /proc/1/environ").contains("GREETING=hello there"));
    assert!(env.inside("web", "grep NoNewPrivs /proc/1/status").ends_with('1'));
    world.wxc(&["stop", "-k", "web"]).ok();

    fs::create_dir(desk.join("data")).unwrap();
    let own = format!("[{{ source = \"{}\", target = \"/srv/own\", create = \"dir\" }}]", desk.display());
    world.wxc(&["config", "set", "web", "mounts", &own]).ok();
    // What no hook may have, each with a sentence that names it.
    for (change, word) in [
        ("set-key mounts.0.source \"/etc\"", "no hook may set this key"),
        ("set-limit raw [\"a=b\"]", "hooks set no such limit"),
        ("set-limit memory.max 64M", "written as in TOML"),
        ("add-share /mnt/x nowhere", "[shares.nowhere]"),
        ("remove-mount /proc", "those that wxc makes itself stay"),
        ("add-share /srv/own data", "mounted on /srv/own"),
        ("add-share /srv data", "it would hide"),
        ("add-memory /srv 65536", "it would hide"),
        ("add-share /proc data", "wxc mounts /proc itself"),
        ("add-address eth0 10.0.0.1/24", "add-address"),
        ("set-hostname not_a_name", "not a host name"),
        ("set-sysctl kernel.panic 1", "belongs to the whole host"),
        ("set-key init.user 5", "init.user"),
        ("flood", "more than 1000 changes"),
    ] {
        world.wxc(&["config", "set", "web", "hooks.changes.settings.change-1", change]).ok();
        let said = world.wxc(&["start", "web"]).fails(1);
        assert!(said.contains("hook-changes") && said.contains(word), "{change}: {said}");
        assert_eq!(env.state("web"), "STOPPED");
    }

    // Below what is configured nothing is hidden; and what fails is told with whose wish it was.
    world
        .wxc(&["config", "set", "web", "hooks.changes.settings.change-1", "add-share /srv/own/data data"])
        .ok();
    world.wxc(&["start", "web"]).ok();
    assert_eq!(env.inside("web", "cat /srv/own/data/file"), "shown");
    world.wxc(&["stop", "-k", "web"]).ok();
    fs::remove_dir_all(&data).unwrap();
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(said.contains("which hook-changes asks for"), "{said}");
}

#[test]
fn two_hooks_that_disagree_are_both_named_and_two_that_agree_are_not() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["first", "second"]);
    world.env.busybox("web", &[]);
    world.attach("web", "first", &[("change-1", "set-variable A 1")]);
    world.attach("web", "second", &[("change-1", "set-variable A 2")]);
    let said = world.wxc(&["start", "web"]).fails(1);
    for word in ["hook-first", "hook-second", "the variable A", "A=1", "A=2"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    world.wxc(&["config", "set", "web", "hooks.second.settings.change-1", "set-variable A 1"]).ok();
    // Who judges sees whose each change is, and cannot draw on the terminal.
    world.wxc(&["config", "set", "web", "hooks.first.settings.judge", "refuse"]).ok();
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(said.contains("2 changes by hook-first and hook-second"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
    world.wxc(&["config", "unset", "web", "hooks.first.settings.judge"]).ok();
    world.wxc(&["start", "web"]).ok();
    // The administrator's order is stronger than the plugin's, which is by name here.
    world.wxc(&["stop", "-k", "web"]).ok();
    world.wxc(&["config", "set", "web", "hooks.second.order", "-1"]).ok();
    let plan = world.wxc(&["start", "web", "--plan"]).ok();
    let at = |word: &str| plan.find(word).unwrap_or_else(|| panic!("{word}: {plan}"));
    assert!(at("pre-start: call hook-second") < at("pre-start: call hook-first"), "{plan}");
}

#[test]
fn events_of_a_life_come_in_order() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["life"]);
    world.env.busybox("web", &[]);
    world.attach("web", "life", &[("at-pre-start", "token")]);
    world.wxc(&["start", "web"]).ok();
    assert_eq!(world.called("web", "life"), "pre-start pre-mount mount autodev start start-host started");
    // Complete: nothing is undone any more.
    assert!(!world.env.container("web").join("hooks-to-undo.json").exists());
    world.wxc(&["stop", "-k", "web"]).ok();
    let ended = "(None Some(9) false)";
    assert_eq!(
        world.called("web", "life"),
        format!("pre-start pre-mount mount autodev start start-host started stop{ended} post-stop{ended}")
    );
    assert_eq!(world.kept("web", "life", "undone"), "");
    let log = world.log("web");
    assert!(log.contains("pre-start: call hook-life") && log.contains("post-stop: call hook-life"), "{log}");
}

#[test]
fn what_was_done_is_undone_once_and_backwards_when_a_later_step_fails() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["undo"]);
    world.env.busybox("web", &[]);
    world.attach("web", "undo", &[("at-pre-start", "token"), ("at-start-host", "fail")]);
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(said.contains("hook-undo") && said.contains("on purpose"), "{said}");
    assert_eq!(world.env.state("web"), "STOPPED");
    assert_eq!(world.kept("web", "undo", "undone"), "pre-start");
    let called = world.called("web", "undo");
    assert!(called.starts_with("pre-start pre-mount mount autodev start start-host failed("), "{called}");

    // A step of wxc's own that fails, with two to be undone.
    world.wxc(&["config", "set", "web", "hooks.undo.settings.at-start-host", "token"]).ok();
    world.wxc(&["start", "web", "--", "/no/such/program"]).fails(1);
    assert_eq!(world.kept("web", "undo", "undone"), "pre-start start-host pre-start");
    assert!(!world.env.container("web").join("hooks-to-undo.json").exists());
    // One that cannot be undone is told, and keeps nobody from starting.
    world.wxc(&["config", "set", "web", "hooks.undo.settings.undo", "trap"]).ok();
    let said = world.wxc(&["start", "web", "--", "/no/such/program"]).fails(1);
    assert!(said.contains("could not be undone"), "{said}");
    world.wxc(&["start", "web"]).ok();
}

#[test]
fn what_a_killed_start_left_is_undone_by_the_next_command() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["killed"]);
    world.env.busybox("web", &[]);
    let stuck = world.env.file("stuck");
    world.attach("web", "killed", &[("at-pre-start", "token")]);
    world.env.configure("[hooks.exec]\nenabled = true\n");
    let line = format!("touch {}; sleep 60 #", stuck.display());
    world.wxc(&["config", "set", "web", "hooks.exec.pre-start", &format!("[\"{line}\"]")]).ok();
    world.wxc(&["config", "set", "web", "hooks.exec.timeout", "60s"]).ok();
    let mut start = world.wxc(&["start", "web"]).spawn();
    until("the program runs", 30, || stuck.exists().then_some(()));
    assert!(world.env.container("web").join("hooks-to-undo.json").exists());
    start.kill().unwrap();
    start.wait().unwrap();
    assert_eq!(world.kept("web", "killed", "undone"), "");
    world.wxc(&["config", "unset", "web", "hooks.exec"]).ok();
    assert_eq!(world.kept("web", "killed", "undone"), "pre-start");
    world.wxc(&["start", "web"]).ok();
    assert_eq!(world.kept("web", "killed", "undone"), "pre-start");
}

#[test]
fn what_happens_outside_a_start_is_told_and_can_be_refused_before_the_fact() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["outside"]);
    let env = &world.env;
    env.configure(
        "[hooks.outside.settings]\nkeep-1 = \"set-label tier shop\"\nkeep-2 = \"add-memory /mnt/m 65536\"\n",
    );
    let tree = wxc_tests::fixtures::busybox().to_str().unwrap();
    world.wxc(&["create", "web", "-t", "local", "--", "--directory", tree]).ok();
    assert_eq!(world.kept("web", "outside", "called"), "create");
    // What hooks change when a container is made stays, in a file that a person can read.
    let file = fs::read_to_string(env.container("web").join("container.toml")).unwrap();
    assert!(file.starts_with("# Container web") && file.contains("tier = \"shop\""), "{file}");
    world.wxc(&["start", "web"]).ok();
    assert!(env.inside("web", "df -k /mnt/m | tail -1").contains(" 64 "));
    world.wxc(&["freeze", "web"]).ok();
    world.wxc(&["unfreeze", "web"]).ok();
    assert!(world.kept("web", "outside", "called").ends_with("started freeze thaw"));
    world.wxc(&["stop", "-k", "web"]).ok();
    world.wxc(&["snapshot", "web", "s1"]).ok();
    world.wxc(&["snapshot", "web", "-r", "s1"]).ok();
    assert!(world.kept("web", "outside", "called").ends_with("snapshot(s1) restore(s1)"));
    world.wxc(&["copy", "-R", "web", "www"]).ok();
    assert!(world.kept("www", "outside", "called").ends_with("rename(web)"));
    world.wxc(&["copy", "www", "again"]).ok();
    assert_eq!(world.kept("again", "outside", "called"), "clone(www)");
    let file = fs::read_to_string(env.container("again").join("container.toml")).unwrap();
    assert_eq!(file.matches("/mnt/m").count(), 1, "{file}");
    world.wxc(&["config", "set", "www", "hostname", "elsewhere"]).ok();
    assert!(world.kept("www", "outside", "called").ends_with("configure(hostname)"));
    // Whoever judges a change of the configuration can refuse it, and is not asked when it is switched off.
    let said = world.wxc(&["config", "set", "www", "hooks.outside.settings.judge-kept", "refuse"]).fails(1);
    assert!(said.contains("hook-outside refuses www at configure"), "{said}");
    assert!(!fs::read_to_string(env.container("www").join("container.toml")).unwrap().contains("judge-kept"));

    let set = |key: &str, word: &str| {
        world.wxc(&["config", "set", "www", &format!("hooks.outside.settings.{key}"), word]).ok();
    };
    set("at-clone", "fail");
    let said = world.wxc(&["copy", "www", "bad"]).fails(1);
    assert!(said.contains("on purpose"), "{said}");
    assert!(!env.container("bad").exists());
    set("at-snapshot", "trap");
    let said = world.wxc(&["snapshot", "www", "s2"]).fails(1);
    assert!(said.contains("hook-outside") && !env.container("www").join("snaps/s2").exists(), "{said}");
    set("at-rename", "fail");
    // After the fact: it has its new name whatever the hook says.
    world.wxc(&["copy", "-R", "www", "web"]).ok();
    world.wxc(&["config", "set", "web", "hooks.outside.settings.at-destroy", "fail"]).ok();
    for words in [&["destroy", "-s", "web"][..], &["destroy", "-s", "-f", "web"]] {
        let said = world.wxc(words).fails(1);
        assert!(said.contains("on purpose"), "{said}");
        assert_eq!(env.state("web"), "STOPPED");
    }
    // Without its plugin nobody can be asked, and with force nobody is.
    let said = env.wxc(["destroy", "-s", "web"]).fails(1);
    assert!(said.contains("no hook plugin"), "{said}");
    env.wxc(["destroy", "-s", "-f", "web"]).ok();
    assert!(!env.container("web").exists());
    // An ephemeral one goes with its stop, and its hooks hear of that.
    world.wxc(&["create", "short", "-s", "ephemeral=true", "-t", "local", "--", "--directory", tree]).ok();
    world.wxc(&["config", "set", "short", "hooks.outside.settings.at-destroy", "fail"]).ok();
    world.wxc(&["start", "short"]).ok();
    world.wxc(&["stop", "-k", "short"]).ok();
    assert!(!env.container("short").exists());
}

#[test]
fn a_hostile_hook_costs_its_budget_and_no_more() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["hostile"]);
    world.env.busybox("web", &[]);
    world.attach("web", "hostile", &[]);
    let set = |key: &str, word: &str| {
        world.wxc(&["config", "set", "web", &format!("hooks.hostile.settings.{key}"), word]).ok();
    };
    // Before the fact it ends the start, after it nothing.
    for (word, said) in [("loop", "time"), ("trap", "crashed"), ("fail", "on purpose")] {
        for (key, call) in
            [("change-1", "adjust"), ("judge", "validate"), ("at-pre-start", "act"), ("at-start-host", "act")]
        {
            set(key, word);
            let since = std::time::Instant::now();
            let told = world.wxc(&["start", "web"]).fails(1);
            assert!(since.elapsed().as_secs() < 10, "{key} {word}");
            assert!(
                told.contains("hook-hostile") && told.contains(call) && told.contains(said),
                "{key} {word}: {told}"
            );
            assert_eq!(world.env.state("web"), "STOPPED");
            world.wxc(&["config", "unset", "web", &format!("hooks.hostile.settings.{key}")]).ok();
        }
        for key in ["at-started", "at-stop", "at-post-stop"] {
            set(key, word);
        }
        world.wxc(&["start", "web"]).ok();
        world.wxc(&["stop", "-k", "web"]).ok();
        assert_eq!(world.env.state("web"), "STOPPED");
        let log = world.log("web");
        for event in ["started", "stop", "post-stop"] {
            let line = log.lines().rfind(|line| line.contains(&format!(" {event}: "))).unwrap_or_default();
            assert!(line.contains("failed") && line.contains(said), "{event} {word}: {log}");
            world.wxc(&["config", "unset", "web", &format!("hooks.hostile.settings.at-{event}")]).ok();
        }
    }
    set("at-pre-start", "shout");
    world.wxc(&["start", "web"]).ok();
    let log = world.log("web");
    assert!(log.contains("\n    line 0\n    line 1\n") && log.len() < 200_000, "{}", log.len());
}

#[test]
fn hooks_of_a_start_are_called_by_its_command_or_by_the_monitor_when_that_is_gone() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["caller"]);
    world.env.busybox("web", &[]);
    world.env.configure("[hooks.exec]\nenabled = true\n");
    world.attach("web", "caller", &[("at-pre-mount", "token")]);
    let caller = world.env.file("caller");
    let line = format!("tr '\\\\0' ' ' < /proc/$PPID/cmdline > {} #", caller.display());
    world.wxc(&["config", "set", "web", "hooks.exec.start-host", &format!("[\"{line}\"]")]).ok();
    let called = || fs::read_to_string(&caller).unwrap_or_default();
    world.wxc(&["start", "web"]).ok();
    assert!(called().contains("start web"), "{}", called());
    world.wxc(&["stop", "-k", "web"]).ok();
    // One that is killed before it is asked is missed by nobody.
    let folder = world.folder();
    let killed = |site| {
        let start = ["--plugin-dir", folder.to_str().unwrap(), "start", "web"];
        let output = with_fault(&world.env, &start, Fault::Kill, site);
        assert!(output.status.code().is_none(), "{}", output.told());
    };
    killed("start.handed-over");
    until("it runs", 30, || (world.env.state("web") == "RUNNING").then_some(()));
    assert!(called().contains("@release"), "{}", called());
    assert_eq!(world.kept("web", "caller", "undone"), "");
    world.wxc(&["stop", "-k", "web"]).ok();
    // Of one that is killed while it calls them nobody knows how far it came.
    killed("start.called");
    until("it has stopped", 30, || (world.env.state("web") == "STOPPED").then_some(()));
    world.wxc(&["config", "set", "web", "labels.a", "b"]).ok();
    assert_eq!(world.kept("web", "caller", "undone"), "pre-mount");
    world.wxc(&["start", "web"]).ok();
}

#[test]
fn what_is_remembered_of_a_hook_is_true_of_its_file_alone() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::of(("idle", "hook_idle"), &["known", "other"]);
    let asking = World::new(&["asking"]);
    world.env.busybox("web", &[]);
    asking.env.busybox("web", &[]);
    world.attach("web", "known", &[]);
    asking.attach("web", "asking", &[]);
    // A file that is just being changed is not remembered.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let start = |world: &World| {
        world.wxc(&["stop", "-k", "web"]).run();
        world.wxc(&["start", "web"]).ok()
    };
    let files = |hook: &str| -> Vec<PathBuf> {
        let of_hook = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(&format!("{hook}.")) && name.ends_with(".known")
        };
        let all = fs::read_dir("/var/cache/wxc/compiled").unwrap().flatten().map(|entry| entry.path());
        all.filter(of_hook).collect()
    };
    // Those of another build of wxc.
    for file in ["hook-known", "hook-asking"].into_iter().flat_map(files) {
        fs::remove_file(file).unwrap();
    }
    let remembered = |hook: &str| files(hook).pop().unwrap_or_else(|| panic!("nothing of {hook}"));
    let calls = || world.log("web").matches(" pre-start: call hook-known ").count();
    start(&world);
    let known = remembered("hook-known");
    let said = fs::read_to_string(&known).unwrap();
    assert!(said.contains("PreStart"), "{said}");
    // Whatever is wrong with it, it is found out again.
    let other_stamp = said.replace("\"stamp\":[", "\"stamp\":[1").replace("PreStart", "StartHost");
    for wrong in ["", "{}", &said[..said.len() / 2], &other_stamp] {
        fs::write(&known, wrong).unwrap();
        start(&world);
        assert_eq!(fs::read_to_string(&known).unwrap(), said);
    }
    fs::set_permissions(&known, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    fs::write(&known, said.replace("PreStart", "StartHost")).unwrap();
    start(&world);
    assert_eq!(calls(), 6);
    // One with a state of its own is asked each time, and the rest is remembered.
    start(&asking);
    assert!(fs::read_to_string(remembered("hook-asking")).unwrap().contains("\"wishes\":{}"));
    asking.wxc(&["stop", "-k", "web"]).ok();
    asking.wxc(&["plugin", "revoke", "hook-asking"]).ok();
    let refused = asking.wxc(&["start", "web"]).fails(1);
    assert!(refused.contains("wxc plugin grant hook-asking"), "{refused}");
    // Another file under its name is another plugin.
    let file = world.folder().join("hook-known.wasm");
    fs::copy(world.folder().join("hook-other.wasm"), &file).unwrap();
    world.wxc(&["stop", "-k", "web"]).ok();
    let refused = world.wxc(&["start", "web"]).fails(1);
    assert!(refused.contains("hook-other"), "{refused}");
}
