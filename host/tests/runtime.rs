//! The runtime carries hand-written plans out: on a busybox rootfs, as root, for real.

mod runtime_world;

use std::time::Duration;

use runtime_world::{World, needs_root};
use wxc::config::ids::{HostId, IdMap, IdRange};
use wxc::plan::{
    CgroupLayout, MountAttributes, MountSource, MountStep, Namespace, NamespaceAction, NamespaceStep,
    NodeKind, OverlayUpper, ResourceLimit, RootSource, Setting, TimeOffsets,
};
use wxc::runtime::control::Request;
use wxc::runtime::{Client, RuntimeError, State, client};

#[test]
fn a_container_starts_and_ends() {
    needs_root!();
    let world = World::new("start");
    let plan = world.plan(&["/bin/busybox", "sh", "-c", "test $$ = 1 && exit 42"]);
    let launched = world.launch_foreground(&plan).expect("it starts");
    let exit = launched.wait().expect("it ends");
    assert_eq!(exit.status(), 42);
    assert!(!plan.container.run.exists(), "nothing is left");
}

#[test]
fn it_sees_a_system_of_its_own() {
    needs_root!();
    let world = World::new("inside");
    let running = world.run_idle();
    let out = |command: &str| running.output(command);
    assert_eq!(out("hostname"), "inside\n");
    assert_eq!(out("id -u"), "0\n");
    assert_eq!(out("cat /proc/1/comm"), "sleep\n");
    assert_eq!(out("cat /proc/self/uid_map").split_whitespace().nth(1), Some(&*world.base.to_string()));
    assert_eq!(out("stat -c %u:%g /bin"), "0:0\n", "the rootfs is shown in its ids");
    assert_eq!(out("stat -c %t:%T /dev/null"), "1:3\n");
    assert_eq!(out("cat /proc/net/dev | grep -c :"), "1\n", "loopback alone");
    assert_eq!(out("ls /proc/self/fd | wc -l"), "4\n", "three streams, and the directory itself");
    assert_eq!(out("readlink /dev/ptmx"), "pts/ptmx\n");
    let host = std::fs::metadata(world.rootfs().join("bin")).expect("rootfs");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&host), 0, "nothing was chowned");
}

#[test]
fn attach_says_how_the_command_ended() {
    needs_root!();
    let world = World::new("attach");
    let running = world.run_idle();
    assert_eq!(running.attach(&["/bin/sh", "-c", "exit 7"]).expect("it runs").status(), 7);
    assert_eq!(running.attach(&["sh", "-c", "kill -9 $$"]).expect("it runs").status(), 128 + 9);
    let missing = running.attach(&["/no/such"]).expect_err("it is not there");
    assert_eq!(missing.exit_status(), 127, "{missing}");
    let directory = running.attach(&["/bin"]).expect_err("it is a directory");
    assert_eq!(directory.exit_status(), 126, "{directory}");
}

#[test]
fn attach_becomes_the_user_that_was_meant() {
    needs_root!();
    let world = World::new("user");
    std::fs::write(
        world.rootfs().join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\n1:x:0:0::/:/bin/sh\nann:x:5:6::/tmp:/bin/sh\n",
    )
    .expect("passwd");
    let running = world.run_idle();
    let id = |user: &str| running.output_as(Some(user), "echo $(id -u):$(id -g):$PWD:$USER");
    assert_eq!(id("1"), "1:1:/:\n", "a number is not a name");
    assert_eq!(id("ann"), "5:6:/tmp:ann\n");
    assert_eq!(id("root"), "0:0:/root:root\n");
    let error = running.attach_as(Some("-1"), &["true"]).expect_err("no such user");
    assert!(error.to_string().contains("\"-1\""), "{error}");
}

#[test]
fn attach_gives_only_what_the_container_has() {
    needs_root!();
    let world = World::new("clean");
    let running = world.run_idle();
    let status = running.output("cat /proc/self/status");
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default()
    };
    let init = running.output("cat /proc/1/status");
    let of_init =
        |name: &str| init.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
        assert_eq!(of_init(set), "0000000000000000", "{set}");
    }
    for name in ["CapBnd:", "CapPrm:", "CapEff:", "Seccomp:", "NoNewPrivs:", "SigBlk:"] {
        assert_eq!(field(name), of_init(name), "{name}");
    }
    let environment = running.output("env");
    assert!(!environment.contains("CARGO"), "the caller's environment stays outside: {environment}");
    assert!(environment.contains("container=lxc"));
    assert_eq!(running.output("ls /proc/self/fd | wc -l"), "4\n", "three streams, and the directory itself");
}

#[test]
fn the_console_echoes_and_remembers() {
    needs_root!();
    let world = World::new("console");
    let plan = world.plan(&["/bin/sh", "-c", "echo first words; while read line; do echo got $line; done"]);
    let running = world.run(&plan);
    let (tty, stream) = running.client().console(Some(0)).expect("console");
    assert_eq!(tty, 0);
    let mut console = runtime_world::Dialogue::new(stream);
    console.expect("first words");
    console.say("hello\n");
    console.expect("got hello");
    let log = running.client().console_log(false).expect("log");
    assert!(String::from_utf8_lossy(&log).contains("first words"));
    running.client().order(&Request::Resize { rows: 33, columns: 77 }).expect("resize");
    assert_eq!(running.output("stty size < /dev/console"), "33 77\n");
}

#[test]
fn each_tty_is_one_clients() {
    needs_root!();
    let world = World::new("tty");
    let running = world.run_idle();
    let first = running.client();
    assert_eq!(first.console(None).expect("a tty").0, 1);
    let second = running.client();
    assert_eq!(second.console(None).expect("another").0, 2);
    assert!(running.client().console(None).is_err(), "there are two");
    assert!(running.client().console(Some(1)).is_err(), "it is taken");
    drop(first);
    std::thread::sleep(Duration::from_millis(50));
    let third = running.client();
    let (number, master) = third.console(None).expect("it is free again");
    assert_eq!(number, 1);
    assert_eq!(running.output("echo hi > /dev/tty1; echo done"), "done\n");
    runtime_world::Dialogue::new(master).expect("hi");
}

#[test]
fn events_tell_the_whole_story() {
    needs_root!();
    let world = World::new("events");
    let running = world.run_idle();
    assert_eq!(running.client().state().expect("state"), State::Running);
    let mut events = running.client().subscribe().expect("events");
    let mut next = || events.next(Some(Duration::from_secs(10))).expect("an event").map(|event| event.state);
    assert_eq!(next(), Some(State::Running));
    running.client().order(&Request::Kill).expect("kill");
    assert_eq!(next(), Some(State::Stopping));
    assert_eq!(next(), Some(State::Stopped));
    assert_eq!(next(), None);
    assert!(client::peek(&world.run_directory()).is_none());
    assert!(matches!(Client::connect(&world.run_directory(), "x"), Err(RuntimeError::NotRunning { .. })));
}

#[test]
fn a_second_start_is_refused() {
    needs_root!();
    let world = World::new("second");
    let running = world.run_idle();
    let error = world.launch(&running.plan).expect_err("it runs already");
    assert!(matches!(error, RuntimeError::AlreadyRunning { .. }), "{error}");
    assert_eq!(running.client().state().expect("the first one still runs"), State::Running);
}

#[test]
fn a_killed_monitor_takes_its_container_along() {
    needs_root!();
    let world = World::new("killed");
    let running = world.run_idle();
    let info = running.client().info().expect("info");
    let kill = |pid: i32| {
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).expect("a pid"),
            rustix::process::Signal::KILL,
        )
    };
    kill(info.monitor).expect("kill the monitor");
    runtime_world::until(|| !std::path::Path::new(&format!("/proc/{}", info.init)).exists());
    assert!(client::peek(&world.run_directory()).is_none(), "what is left is known to be stale");
    let again = world.run(&running.plan);
    assert_eq!(again.client().state().expect("state"), State::Running);
}

#[test]
fn stop_says_whether_init_listens() {
    needs_root!();
    let world = World::new("stop");
    let running = world.run_idle();
    let (_, handled) = running.client().stop(Some(libc::SIGTERM)).expect("stop");
    assert!(!handled, "sleep has no handler, so the namespace's first process ignores it");
    drop(running);
    let plan =
        world.plan(&["/bin/sh", "-c", "trap 'exit 3' TERM; echo ready; while true; do sleep 0.1; done"]);
    let running = world.run(&plan);
    runtime_world::Dialogue::new(running.client().console(Some(0)).expect("console").1).expect("ready");
    let mut events = running.client().subscribe().expect("events");
    let (_, handled) = running.client().stop(Some(libc::SIGTERM)).expect("stop");
    assert!(handled);
    let mut last = None;
    while let Ok(Some(event)) = events.next(Some(Duration::from_secs(10))) {
        last = event.exit;
    }
    assert_eq!(last.map(wxc::runtime::Exit::status), Some(3));
}

#[test]
fn the_small_init_reaps_forwards_and_ends() {
    needs_root!();
    let world = World::new("stub");
    let mut plan = world.plan(&["sh", "-c", "test $$ = 2 || exit 9; (sleep 0.01 &); sleep 0.2; exit 5"]);
    plan.init.stub = true;
    assert_eq!(world.launch_foreground(&plan).expect("start").wait().expect("end").status(), 5);
    plan.init.argv = ["sh", "-c", "kill -TERM $$"].map(String::from).into();
    assert_eq!(world.launch_foreground(&plan).expect("start").wait().expect("end").status(), 128 + 15);
    plan.init.argv = vec!["nothing-like-this".into()];
    let error = world.launch_foreground(&plan).expect_err("no such program");
    assert_eq!(error.exit_status(), 127, "{error}");
}

#[test]
fn a_missing_init_is_named_with_its_step() {
    needs_root!();
    let world = World::new("no-init");
    let plan = world.plan(&["/sbin/init"]);
    let error = world.launch(&plan).expect_err("there is no /sbin/init");
    let text = error.to_string();
    assert!(
        text.starts_with("step ") && text.ends_with("execute /sbin/init: No such file or directory"),
        "{text}"
    );
    assert!(error.hint().is_some());
    assert!(!plan.container.run.exists(), "everything is undone");
}

#[test]
fn without_a_console_the_streams_are_the_callers() {
    needs_root!();
    let world = World::new("streams");
    let mut plan = world.plan(&["sh", "-c", "cat; echo to stderr >&2"]);
    plan.console.console = false;
    plan.init.stub = true;
    let (exit, output, errors) = world.run_with_input(&plan, b"through the pipe\n");
    assert_eq!(exit.status(), 0);
    assert_eq!(output, "through the pipe\n");
    assert_eq!(errors, "to stderr\n");
}

#[test]
fn with_the_hosts_ids_it_runs_what_nobody_can_write_to() {
    needs_root!();
    let world = World::new("privileged");
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    plan.ids = None;
    plan.rootfs.idmapped = false;
    plan.namespaces.retain(|step| step.kind != Namespace::User);
    let running = world.run(&plan);
    let info = running.client().info().expect("info");
    // A view of the installed file through a file system that cannot be written to, or a sealed copy.
    let image = std::fs::read_link(format!("/proc/{}/exe", info.monitor)).expect("exe");
    let installed = std::fs::read_link("/proc/self/exe").expect("exe");
    assert_ne!(image.parent(), installed.parent(), "{}", image.display());
    assert_eq!(running.output("stat -c %t:%T:%a /dev/null"), "1:3:666\n");
    assert_eq!(running.attach(&["sh", "-c", "exit 6"]).expect("attach").status(), 6);
}

#[test]
fn a_namespace_can_be_shared_with_another_container() {
    needs_root!();
    let (one, two) = (World::new("one"), World::new("two"));
    let first = one.run_idle();
    let mut plan = two.plan(&["/bin/sleep", "1000"]);
    let init = first.client().info().expect("info").init;
    for step in &mut plan.namespaces {
        if step.kind == Namespace::Uts {
            step.action = NamespaceAction::Join(format!("/proc/{init}/ns/uts").into());
        }
    }
    let second = two.run(&plan);
    assert_eq!(first.output("readlink /proc/self/ns/uts"), second.output("readlink /proc/self/ns/uts"));
    assert_ne!(first.output("readlink /proc/self/ns/ipc"), second.output("readlink /proc/self/ns/ipc"));
}

#[test]
fn limits_hold_and_freezing_stops_everything() {
    needs_root!();
    let world = World::new("cgroup");
    let mut plan =
        world.plan(&["/bin/sh", "-c", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.02; done"]);
    plan.limits = vec![ResourceLimit { resource: "nofile".into(), soft: Some(77), hard: Some(99) }];
    let running = world.run(&plan);
    assert_eq!(running.output("ulimit -n; ulimit -Hn"), "77\n99\n");
    let info = running.client().info().expect("info");
    for place in &info.cgroups.places {
        let inside = std::fs::read_to_string(place.payload.join("cgroup.procs")).expect("procs");
        assert!(inside.lines().any(|pid| pid == info.init.to_string()), "{}", place.payload.display());
    }
    assert_eq!(
        running.output("grep -c : /proc/self/cgroup"),
        running.output("grep -c :/$ /proc/self/cgroup"),
        "the namespace begins there"
    );
    running.client().order(&Request::Freeze).expect("freeze");
    assert_eq!(running.client().state().expect("state"), State::Frozen);
    let length = || running.client().console_log(false).expect("log").len();
    std::thread::sleep(Duration::from_millis(50));
    let before = length();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(length(), before, "nothing moves");
    running.client().order(&Request::Unfreeze).expect("unfreeze");
    runtime_world::until(|| length() > before);
    running.client().order(&Request::Freeze).expect("freeze");
    let payloads: Vec<_> = info.cgroups.places.iter().map(|place| place.payload.clone()).collect();
    drop(running);
    runtime_world::until(|| payloads.iter().all(|path| !path.exists()));
}

#[test]
fn what_is_optional_may_fail() {
    needs_root!();
    let world = World::new("optional");
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    let tmpfs = plan.mounts[2].clone();
    plan.mounts.push(MountStep {
        source: MountSource::Bind { path: "/no/such/thing".into(), recursive: false, idmapped: false },
        target: "tmp".into(),
        optional: true,
        ..tmpfs.clone()
    });
    plan.mounts.push(MountStep { target: "nothing/here".into(), create: None, optional: true, ..tmpfs });
    let launched = world.launch(&plan).expect("it starts");
    let running = runtime_world::Running { plan };
    let warnings: Vec<_> = launched.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("/no/such/thing"), "{warnings:?}");
    assert!(warnings[1].contains("mount tmpfs on /nothing/here"), "{warnings:?}");
    assert_eq!(running.client().state().expect("state"), State::Running);
}

#[test]
fn binds_show_the_host_as_the_plan_says() {
    needs_root!();
    let world = World::new("bind");
    let shared = world.path().join("shared");
    std::fs::create_dir(&shared).expect("shared");
    std::fs::write(shared.join("file"), "from the host").expect("file");
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    let bind = |target: &str, read_only, idmapped| MountStep {
        source: MountSource::Bind { path: shared.clone(), recursive: false, idmapped },
        target: target.into(),
        attributes: MountAttributes { read_only, noexec: true, ..MountAttributes::default() },
        create: Some(NodeKind::Directory),
        optional: false,
        asked_by: None,
        reason: "of the test".into(),
    };
    plan.mounts.push(bind("mnt/one", true, false));
    plan.mounts.push(bind("mnt/two", false, true));
    plan.mounts.push(MountStep {
        source: MountSource::Inside { path: "proc/sys".into(), recursive: false },
        target: "proc/sys".into(),
        attributes: MountAttributes { read_only: true, ..MountAttributes::default() },
        create: None,
        optional: false,
        asked_by: None,
        reason: "of the test".into(),
    });
    let running = world.run(&plan);
    assert_eq!(running.output("cat /mnt/one/file"), "from the host");
    assert_eq!(running.output("stat -c %u /mnt/one/file /mnt/two/file"), "65534\n0\n");
    assert_eq!(running.output("(echo x > /mnt/one/x) 2>/dev/null || echo no"), "no\n");
    assert_eq!(running.output("echo x > /mnt/two/x && echo yes"), "yes\n");
    let made = std::fs::metadata(shared.join("x")).expect("made");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 0, "root inside is root on this disk");
    assert_eq!(running.output("(echo 1 > /proc/sys/kernel/domainname) 2>&1 | grep -c Read-only"), "1\n");
}

#[test]
fn an_overlay_and_a_read_only_root() {
    needs_root!();
    let world = World::new("overlay");
    for directory in ["upper", "work"] {
        std::fs::create_dir(world.path().join(directory)).expect("layer");
    }
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    plan.rootfs.source = RootSource::Overlay {
        pool: world.path().into(),
        lower: vec!["rootfs".into()],
        upper: Some(OverlayUpper { upper: "upper".into(), work: "work".into() }),
    };
    let running = world.run(&plan);
    assert_eq!(running.output("echo x > /new && stat -c %u:%g /new /bin"), "0:0\n0:0\n");
    assert!(world.path().join("upper/new").exists() && !world.rootfs().join("new").exists());
    drop(running);
    plan.rootfs.read_only = true;
    let running = world.run(&plan);
    assert_eq!(
        running.output("(echo x > /other) 2>&1 | grep -c Read-only; echo y > /dev/other && echo yes"),
        "1\nyes\n"
    );
}

#[test]
fn settings_reach_the_namespaces() {
    needs_root!();
    let world = World::new("settings");
    let mut plan = world.plan(&["/bin/sleep", "1000"]);
    plan.sysctls.push(Setting { key: "net/ipv4/ip_forward".into(), value: "1".into() });
    let before = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("sysctl");
    plan.namespaces.push(NamespaceStep {
        kind: Namespace::Time,
        action: NamespaceAction::New,
        reason: "of the test".into(),
    });
    plan.time = Some(TimeOffsets { boottime: 1_000_000, monotonic: 0 });
    plan.init.user = 3;
    plan.init.group = 4;
    plan.init.groups = vec![5];
    let running = world.run(&plan);
    assert_eq!(running.output("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("sysctl"), before);
    let uptime: f64 = running.output("cut -d. -f1 /proc/uptime").trim().parse().expect("seconds");
    assert!(uptime >= 1_000_000.0, "{uptime}");
    let status = running.output("cat /proc/1/status");
    for line in ["Uid:\t3\t3\t3\t3", "Gid:\t4\t4\t4\t4", "Groups:\t5 ", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{line} in {status}");
    }
}

#[test]
fn a_user_without_privileges_starts_one_with_the_own_id() {
    needs_root!();
    const USER: u32 = 54_321;
    let world = World::new("user");
    // Everything is the user's; nobody else may even look, so the sources are opened with its ids.
    let status = std::process::Command::new("chown")
        .args(["-hR", &format!("{USER}:{USER}")])
        .arg(world.path())
        .status()
        .expect("chown");
    assert!(status.success());
    let mut plan =
        world.plan(&["/bin/sh", "-c", "test $(id -u) = 0 && test -c /dev/null && echo > /own && exit 8"]);
    let one = |range: &IdRange| IdRange { host: HostId(USER), count: 1, ..*range };
    plan.ids = plan.ids.map(|map| IdMap {
        users: map.users.iter().map(one).collect(),
        groups: map.groups.iter().map(one).collect(),
    });
    plan.rootfs.idmapped = false;
    plan.cgroup.layout = CgroupLayout::Absent;
    plan.cgroup.delegate = false;
    for step in &mut plan.mounts {
        if let MountSource::Filesystem { options, .. } = &mut step.source {
            options.retain(|option| option.key != "gid");
        }
    }
    // Without rights over the groups of the host nobody inside can choose groups.
    let exit = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (uid, gid) = (rustix::fs::Uid::from_raw(USER), rustix::fs::Gid::from_raw(USER));
            rustix::thread::set_thread_groups(&[]).expect("groups");
            rustix::thread::set_thread_res_gid(gid, gid, gid).expect("gid");
            rustix::thread::set_thread_res_uid(uid, uid, uid).expect("uid");
            world.launch_foreground(&plan).and_then(|launched| launched.wait())
        });
        thread.join().expect("thread")
    });
    let exit = exit.unwrap_or_else(|error| panic!("{error}; {:?}", error.hint()));
    assert_eq!(exit.status(), 8);
    let made = std::fs::metadata(world.rootfs().join("own")).expect("made");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), USER);
}
