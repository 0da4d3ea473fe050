//! Hooks in a container: its files through handles, programs in it, and the word of its init.

use std::fs;

use wxc_tests::{Env, needs, until};

use crate::hooks::World;

#[test]
fn a_hook_works_on_files_through_handles_and_no_further_than_the_containers_own() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["handy"]);
    let shown = world.env.file("shown");
    fs::create_dir(&shown).unwrap();
    fs::set_permissions(&shown, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    for (name, options) in [("web", &[][..]), ("boss", &["--privileged"][..])] {
        world.env.busybox(name, options);
        let bind = format!("[[mounts]]\nsource = {shown:?}\ntarget = \"/shown\"\ncreate = \"dir\"\n");
        let config = world.env.container(name).join("container.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text + &bind).unwrap();
        let all = [
            "pre-start",
            "pre-mount",
            "mount",
            "autodev",
            "start",
            "start-host",
            "started",
            "stop",
            "post-stop",
        ];
        let files: Vec<(String, &str)> = all.iter().map(|event| (format!("at-{event}"), "files")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        world.attach(name, "handy", &files);
        world.wxc(&["start", name]).ok();
        let inside = world
            .env
            .inside(name, "stat -c %n:%u:%g:%a /etc/at-*; ls -d /dev/at/*; readlink /etc/link-mount");
        for event in ["mount", "autodev", "start", "start-host", "started"] {
            assert!(inside.contains(&format!("/etc/at-{event}:7:7:640")), "{inside}");
        }
        assert!(inside.contains("/dev/at/mount") && inside.contains("/dev/at/start-host"), "{inside}");
        // A guest that runs mounts what it likes, so nothing mounted is its root any more.
        assert!(!inside.contains("/dev/at/started") && inside.contains("/etc/passwd"), "{inside}");
        world.wxc(&["stop", "-k", name]).ok();
        until("its end was told", 20, || {
            world.kept(name, "handy", "called").contains("post-stop").then_some(())
        });
        let kept = world.kept(name, "handy", "files");
        let own = "ok,ok,ok,ok,ok,denied,notfound,denied,denied";
        let far = if name == "boss" { "ok" } else { "invalid" };
        let expected = [
            "pre-start:unsupported".to_owned(),
            "pre-mount:unsupported".to_owned(),
            format!("mount:{own},{far},notfound"),
            format!("autodev:{own},{far},notfound"),
            format!("start:{own},{far},notfound"),
            format!("start-host:{own},{far},notfound"),
            format!("started:ok,denied,ok,ok,ok,denied,denied,denied,denied,{far},notfound"),
        ];
        for line in &expected {
            assert!(kept.contains(line), "{line}\n{kept}");
        }
        assert!(kept.contains("stop:ok,") && kept.contains("post-stop:unsupported"), "{kept}");
        assert_eq!(fs::read_dir(&shown).unwrap().count(), 0);
    }
}

#[test]
fn a_hook_runs_programs_as_the_container_may_and_they_end_with_the_call() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["runner"]);
    world.env.configure("[plugins.hook-runner]\nbudget = 3000\n");
    for (name, options) in [("web", &[][..]), ("boss", &["--privileged"][..])] {
        world.env.busybox(name, options);
        world.attach(
            name,
            "runner",
            &[
                ("at-start", "run"),
                ("at-started", "inside-out"),
                ("at-freeze", "run"),
                ("at-stopping", "run"),
                ("at-mount", "run"),
            ],
        );
        world.wxc(&["start", name]).ok();
        let ran = world.kept(name, "runner", "ran");
        assert!(ran.contains("mount:unsupported"), "{ran}");
        assert!(ran.contains(&format!("start:input/8//etc/start/{name}/3/true")), "{ran}");
        let nobody = if name == "boss" { "ok" } else { "failed" };
        assert!(ran.contains(&format!("{nobody},failed,invalid,65536")), "{ran}");
        world.wxc(&["config", "set", name, "hooks.runner.settings.at-started", "linger"]).ok();
        world.wxc(&["stop", "-t", "1", name]).run();
        world.wxc(&["stop", "-k", name]).run();
        until("it is stopped", 20, || (world.env.state(name) == "STOPPED").then_some(()));
        let ran = world.kept(name, "runner", "ran");
        assert!(ran.contains(&format!("stopping:input/8//etc/stopping/{name}/3/true")), "{ran}");

        // What outlives its parent and its session does not outlive the call.
        let said = world.wxc(&["start", name]).run();
        assert!(said.status.success(), "{}", said.told());
        assert!(said.stderr.contains("was ended in the container after"), "{}", said.told());
        let left = world.env.inside(name, "ps");
        assert!(!left.contains("sleep 9876"), "{left}");
        world.wxc(&["stop", "-k", name]).ok();
    }
}

#[test]
fn a_hook_hears_from_a_systemd_that_the_system_is_up() {
    needs!(root, userns, cgroups, debian, wasm_target);
    let world = World::new(&["waiter"]);
    world.env.configure("[plugins.hook-waiter]\nalso = \"ready\"\nbudget = 5000\n");
    let archive = wxc_tests::fixtures::debian().expect("needs!(debian)");
    let create = ["create", "deb", "-t", "local", "--", "--tarball", archive.to_str().unwrap()];
    world.env.wxc(create).within(240).ok();
    world.attach("deb", "waiter", &[("at-ready", "run")]);
    let plan = world.wxc(&["start", "deb", "--plan"]).ok();
    assert!(plan.contains("NOTIFY_SOCKET"), "{plan}");
    world.wxc(&["start", "deb"]).ok();
    until("systemd said that it is ready", 120, || {
        world.called("deb", "waiter").contains("ready").then_some(())
    });
    until("the hook ran", 20, || {
        world.kept("deb", "waiter", "ran").contains("ready:input/8//etc/ready/deb/3").then_some(())
    });
    // Once.
    assert_eq!(world.called("deb", "waiter").matches("ready").count(), 1);
    world.wxc(&["stop", "-k", "deb"]).ok();
}

#[test]
fn hooks_of_an_ordinary_user_work_where_root_is_nobody() {
    needs!(root, subordinate_ids, busybox, wasm_target);
    let env = Env::of_user(1);
    let compiler = wxc_tests::env::wxc().with_file_name("wxc-compile");
    fs::copy(compiler, env.file("accounts/wxc-compile")).unwrap();
    let world = World::within(env, ("probe", "hook_probe"), &["humble"]);
    world.env.configure("[plugins.hook-humble]\nbudget = 5000\n");
    world.env.busybox("web", &[]);
    let files = ["mount", "start", "started", "stop"].map(|event| format!("at-{event}"));
    let mut settings: Vec<(&str, &str)> = files.iter().map(|key| (key.as_str(), "files")).collect();
    settings.push(("at-freeze", "run"));
    world.attach("web", "humble", &settings);
    world.wxc(&["start", "web"]).ok();
    let inside = world.env.inside("web", "stat -c %n:%u:%g:%a /etc/at-*; ls -d /dev/at/*");
    for event in ["mount", "start", "started"] {
        assert!(inside.contains(&format!("/etc/at-{event}:7:7:640")), "{inside}");
    }
    world.wxc(&["freeze", "web"]).ok();
    world.wxc(&["unfreeze", "web"]).ok();
    world.wxc(&["stop", "-k", "web"]).ok();
    until("its end was told", 20, || {
        world.kept("web", "humble", "called").contains("post-stop").then_some(())
    });
    let kept = world.kept("web", "humble", "files");
    assert!(kept.contains("mount:ok,ok,ok,ok,ok,denied") && kept.contains("stop:ok,"), "{kept}");
}

#[test]
fn what_runs_before_init_cannot_look_into_the_process_that_becomes_it() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["pry"]);
    world.env.configure("[plugins.hook-pry]\nbudget = 5000\n");
    for (name, options) in [("web", &[][..]), ("boss", &["--privileged"][..])] {
        world.env.busybox(name, options);
        world.attach(name, "pry", &[("at-start", "pry")]);
        world.wxc(&["start", name]).ok();
        // It has the monitor's memory: nothing of that is seen, also not by root of the host's ids, who can at most count its
        // descriptors.
        let kept = world.kept(name, "pry", "pried");
        let count = kept.strip_prefix("start:").and_then(|count| count.parse::<u32>().ok());
        assert!(count.is_some(), "{kept}");
        world.wxc(&["stop", "-k", name]).ok();
    }
}

#[test]
fn an_init_that_goes_elsewhere_takes_no_hook_along() {
    needs!(root, userns, busybox, cgroups, wasm_target);
    let world = World::new(&["astray"]);
    world.env.busybox("web", &[]);
    // What the host shows it is a whole system, and init makes it its root.
    let shown = world.env.file("shown");
    let copied =
        std::process::Command::new("cp").arg("-a").args([wxc_tests::fixtures::busybox(), &shown]).status();
    assert!(copied.unwrap().success());
    let config = world.env.container("web").join("container.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text + &format!("[[mounts]]\nsource = {shown:?}\ntarget = \"/mnt\"\ncreate = \"dir\"\n"),
    )
    .unwrap();
    world.attach("web", "astray", &[("at-stopping", "files"), ("at-started", "files")]);
    world.wxc(&["start", "web", "--", "/bin/chroot", "/mnt", "/bin/sleep", "1000000"]).ok();
    let pid = world.env.pid("web");
    until("init is elsewhere", 20, || {
        let root = fs::read_link(format!("/proc/{pid}/root")).unwrap_or_default();
        root.ends_with("mnt").then_some(())
    });
    world.wxc(&["stop", "-t", "1", "web"]).run();
    world.wxc(&["stop", "-k", "web"]).run();
    let kept = world.kept("web", "astray", "files");
    assert!(kept.contains("stopping:failed"), "{kept}");
    assert!(!shown.join("etc/at-stopping").exists());
}
