//! Hooks that mean harm: each costs its own budget, and nothing of anybody else's.

use std::fs;
use std::time::Instant;

use wxc_tests::{needs, until};

use crate::hooks::World;

/// What it does, and a word of what is told of it.
const HARM: &[(&str, &str)] = &[
    ("recurse", "crashed"),
    ("grow", "memory budget"),
    ("calls", "budget of 1000000 host calls"),
    ("bulk", "for one result"),
    ("verbose", "for one result"),
];

#[test]
fn every_kind_of_harm_ends_one_call_and_is_named() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["harm"]);
    // More than the calls need, so that it is their own budget that is used up.
    world.env.configure("[plugins.hook-harm]\nbudget = 20000\n");
    world.env.busybox("web", &[]);
    world.attach("web", "harm", &[]);
    let set = |key: &str, word: &str| {
        world.wxc(&["config", "set", "web", &format!("hooks.harm.settings.{key}"), word]).ok();
    };
    for (harm, told) in HARM {
        for (key, call) in [("change-1", "adjust"), ("judge", "validate"), ("at-mount", "act")] {
            set(key, harm);
            let said = world.wxc(&["start", "web"]).within(60).fails(1);
            let named = said.contains("hook-harm") && said.contains(call) && said.contains(told);
            assert!(named, "{harm} in {call}: {said}");
            assert_eq!(world.env.state("web"), "STOPPED");
            world.wxc(&["config", "unset", "web", &format!("hooks.harm.settings.{key}")]).ok();
        }
        // In the way back, too: it is told, and the container can be used.
        set("at-pre-start", "token");
        set("undo", harm);
        let said = world.wxc(&["start", "web", "--", "/no/such/program"]).within(60).fails(1);
        assert!(said.contains("could not be undone") && said.contains(told), "{harm}: {said}");
        assert!(!world.env.container("web").join("hooks-to-undo.json").exists());
        world.wxc(&["config", "unset", "web", "hooks.harm.settings.undo"]).ok();
        world.wxc(&["config", "unset", "web", "hooks.harm.settings.at-pre-start"]).ok();
    }
    set("at-pre-start", "fat-token");
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(said.contains("a token longer than 65536 bytes"), "{said}");
    set("at-pre-start", "lie");
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(
        said.contains("web was started") && !said.contains('\u{1b}') && !said.contains('\u{202e}'),
        "{said}"
    );
    assert!(!said.lines().any(|line| line.trim_start().starts_with("wxc: web was started")), "{said}");
    world.wxc(&["config", "unset", "web", "hooks.harm.settings.at-pre-start"]).ok();
    // After the fact it is a line in the log; and there are no more handles than a call may hold.
    set("at-started", "handles");
    world.wxc(&["start", "web"]).ok();
    let log = fs::read_to_string(world.env.container("web").join("hooks.log")).unwrap();
    assert!(log.contains("open handles used up"), "{log}");
    world.wxc(&["stop", "-k", "web"]).ok();
}

#[test]
fn containers_do_not_wait_for_each_others_hooks() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["slow"]);
    world.env.configure("[plugins.hook-slow]\nbudget = 4000\n");
    let names: Vec<String> = (0..10).map(|number| format!("slow-{number}")).collect();
    for name in &names {
        world.env.busybox(name, &[]);
        // A program that never ends: the call costs its budget, and nobody's processor.
        world.attach(name, "slow", &[("at-start", "linger")]);
    }
    world.env.busybox("free", &[]);
    let since = Instant::now();
    let start = |name: &String| {
        let start = world.wxc(&["start", name]).within(90);
        std::thread::spawn(move || start.run())
    };
    let starts: Vec<_> = names.iter().map(start).collect();
    until("the first hook lingers", 30, || {
        let lingers = |name: &String| world.kept(name, "slow", "called").ends_with("start");
        names.iter().any(lingers).then_some(())
    });
    // One without such a hook starts meanwhile, and stops.
    world.env.wxc(["start", "free"]).within(30).ok();
    assert_eq!(world.env.state("free"), "RUNNING");
    world.env.wxc(["stop", "-k", "free"]).ok();
    for start in starts {
        let output = start.join().unwrap();
        assert!(output.stderr.contains("was ended in the container after"), "{}", output.told());
    }
    // One after the other they would take forty seconds and more; each has up to two more to end.
    assert!(since.elapsed().as_secs() < 35, "{:?}", since.elapsed());
    for name in &names {
        assert_eq!(world.env.state(name), "STOPPED");
    }
}

#[test]
fn a_hook_gets_what_is_granted_and_a_new_file_of_its_name_gets_nothing() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["partly"]);
    world.env.busybox("web", &[]);
    world.attach("web", "partly", &[("at-mount", "files")]);
    world.wxc(&["start", "web", "--plan"]).ok();
    world.wxc(&["plugin", "revoke", "hook-partly", "rootfs"]).ok();
    let said = world.wxc(&["start", "web"]).fails(1);
    assert!(said.contains("rootfs") && said.contains("wxc plugin grant hook-partly"), "{said}");
    assert_eq!(world.kept("web", "partly", "files"), "");
    world.wxc(&["plugin", "grant", "hook-partly"]).ok();
    // Its file is replaced: what was granted was granted to other bytes.
    let file = world.folder().join("hook-partly.wasm");
    let mut bytes = fs::read(&file).unwrap();
    // A custom section more: the same code, other bytes.
    bytes.extend([0, 3, 1, b'x', 0]);
    fs::write(&file, bytes).unwrap();
    let said = world.wxc(&["start", "web"]).run();
    assert!(
        !said.status.success() && said.stderr.contains("wxc plugin grant hook-partly"),
        "{}",
        said.told()
    );
    world.wxc(&["plugin", "grant", "hook-partly"]).ok();
    world.wxc(&["start", "web"]).ok();
}
