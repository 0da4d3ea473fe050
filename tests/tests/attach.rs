//! Entering a running container: commands, users, terminals, the console.

use std::process::Command;

use wxc_tests::pty::Pty;
use wxc_tests::{Env, needs, proc, until};

/// A running container of the small guest.
fn running(name: &str) -> Env {
    let env = Env::new();
    env.busybox(name, &[]);
    env.wxc(["start", name]).ok();
    env
}

fn command(env: &Env, args: &[&str]) -> Command {
    env.wxc(args.iter().copied()).into_command()
}

#[test]
fn exit_codes_and_signals_pass_through() {
    needs!(root, userns, busybox, cgroups);
    let env = running("codes");
    let cases: &[(&[&str], i32)] = &[
        (&["/bin/true"], 0),
        (&["/bin/sh", "-c", "exit 42"], 42),
        (&["/bin/sh", "-c", "kill -TERM $$"], 143),
        (&["/bin/sh", "-c", "kill -KILL $$"], 137),
        (&["/bin/nothing-there"], 127),
        (&["nothing-there"], 127),
        (&["/etc/passwd"], 126),
        (&["/etc"], 126),
    ];
    for (words, code) in cases {
        let output = env.wxc(["attach", "codes", "--"].iter().chain(*words)).run();
        assert_eq!(output.code(), *code, "{}", output.told());
    }
}

#[test]
fn input_and_outputs_are_the_callers() {
    needs!(root, userns, busybox, cgroups);
    let env = running("pipes");
    let input = "x".repeat(1 << 20);
    let output = env.wxc(["attach", "pipes", "--", "/bin/cat"]).input(input.clone()).run();
    assert_eq!(output.stdout.len(), input.len(), "{}", output.status);
    let output =
        env.wxc(["attach", "pipes", "--", "/bin/sh", "-c", "echo out; echo err >&2; test -t 1"]).run();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.code()), ("out\n", "err\n", 1));
}

#[test]
fn a_terminal_inside_only_where_there_is_one_outside() {
    needs!(root, userns, busybox, cgroups);
    let env = running("term");
    let mut pty = Pty::start(&command(
        &env,
        &["attach", "term", "--", "/bin/sh", "-c", "tty; stty size; read x; stty size"],
    ));
    let before = pty.expect("24 100", 10);
    assert!(before.contains("/dev/pts/"), "{before}");
    pty.resize(30, 90);
    std::thread::sleep(std::time::Duration::from_millis(300));
    pty.send("\r");
    pty.expect("30 90", 10);
    let (status, screen) = pty.end(10);
    assert!(status.success(), "{screen}");
}

#[test]
fn keys_that_interrupt_reach_the_command_inside() {
    needs!(root, userns, busybox, cgroups);
    let env = running("keys");
    let mut pty = Pty::start(&command(
        &env,
        &[
            "attach",
            "keys",
            "--",
            "/bin/sh",
            "-c",
            "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done",
        ],
    ));
    pty.expect("ready", 10);
    pty.send("\x03");
    pty.expect("caught", 10);
    let (status, screen) = pty.end(10);
    assert_eq!(status.code(), Some(9), "{screen}");
}

#[test]
fn a_signal_to_attach_reaches_the_command() {
    needs!(root, userns, busybox, cgroups);
    let env = running("signal");
    let child = env
        .wxc([
            "attach",
            "signal",
            "--",
            "/bin/sh",
            "-c",
            "trap 'echo term; exit 3' TERM; touch /ready; while :; do sleep 0.1; done",
        ])
        .spawn();
    until("the command", 10, || env.container("signal").join("rootfs/ready").exists().then_some(()));
    proc::signal(i32::try_from(child.id()).unwrap(), rustix::process::Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn the_environment_is_clean_unless_asked() {
    needs!(root, userns, busybox, cgroups);
    let env = running("clean");
    let names = |out: String| {
        let mut names: Vec<String> =
            out.lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect();
        names.sort();
        names
    };
    let attach = |args: &[&str]| {
        env.wxc(["attach", "clean"].iter().chain(args).chain(&["--", "/bin/env"])).env("SECRET", "x").ok()
    };
    let clean = attach(&[]);
    assert!(!clean.contains("SECRET") && !clean.contains("WXC_"), "{clean}");
    assert!(clean.contains("PATH=") && clean.contains("HOME=/root"), "{clean}");
    assert!(clean.contains("container=lxc"), "{clean}");
    assert!(attach(&["--keep-env"]).contains("SECRET=x"));
    assert!(attach(&["--env", "A=b c"]).contains("A=b c\n"));
    assert!(names(attach(&["--env", "SECRET"])).contains(&"SECRET".to_owned()));
}

#[test]
fn users_are_those_of_the_guest() {
    needs!(root, userns, busybox, cgroups);
    let env = running("users");
    let attach = |args: &[&str], script: &str| {
        env.wxc(["attach", "users"].iter().chain(args).chain(&["--", "/bin/sh", "-c", script])).ok()
    };
    assert_eq!(attach(&[], "id -u; id -g; pwd"), "0\n0\n/root\n");
    let user = attach(&["--user", "user"], "id -u; id -g; id -G; echo $HOME $USER; pwd");
    assert_eq!(user, "1000\n1000\n1000 50\n/home/user user\n/home/user\n");
    assert_eq!(attach(&["--user", "1000"], "id -un"), "user\n");
    assert_eq!(attach(&["--user", "1234:99"], "id -u; id -g; id -G"), "1234\n99\n99\n");
    assert_eq!(attach(&["--cwd", "/var/log"], "pwd"), "/var/log\n");
    let output = env.wxc(["attach", "users", "--user", "nobody-there", "--", "/bin/true"]).run();
    assert!(!output.status.success() && output.stderr.contains("nobody-there"), "{}", output.told());
    let output = env.wxc(["attach", "users", "--cwd", "/no/where", "--", "/bin/true"]).run();
    assert!(!output.status.success() && output.stderr.contains("/no/where"), "{}", output.told());
}

#[test]
fn without_a_command_it_is_the_users_shell() {
    needs!(root, userns, busybox, cgroups);
    let env = running("shell");
    let mut pty = Pty::start(&command(&env, &["attach", "shell"]));
    pty.send("echo in-$((40+2)) $0\r");
    pty.expect("in-42", 10);
    pty.send("exit 6\r");
    let (status, screen) = pty.end(10);
    assert_eq!(status.code(), Some(6), "{screen}");
    let output = env.wxc(["attach", "shell"]).input("echo from-$((1+1)); exit 4\n").run();
    assert_eq!((output.stdout.as_str(), output.code()), ("from-2\n", 4), "{}", output.told());
}

#[test]
fn only_the_namespaces_asked_for_are_entered() {
    needs!(root, userns, busybox, cgroups);
    let env = running("some");
    let links = |args: &[&str]| {
        let script = "for n in mnt pid uts ipc net user; do readlink /proc/self/ns/$n; done";
        env.wxc(["attach", "some"].iter().chain(args).chain(&["--", "/bin/sh", "-c", script])).run()
    };
    let init = env.pid("some");
    let own = i32::try_from(std::process::id()).unwrap();
    let part = links(&["--namespaces", "net,uts"]);
    for (kind, line) in ["mnt", "pid", "uts", "ipc", "net"].iter().zip(part.stdout.lines()) {
        let of = if ["uts", "net"].contains(kind) { init } else { own };
        assert_eq!(Some(line.to_owned()), proc::namespace(of, kind), "{}", part.told());
    }
    let output = links(&["--namespaces", "nat"]);
    assert!(!output.status.success() && output.stderr.contains("nat"), "{}", output.told());
}

#[test]
fn what_is_started_by_attach_is_confined_like_the_rest() {
    needs!(root, userns, busybox, cgroups);
    let env = running("same");
    let show = "grep -E '^(CapBnd|CapEff|Seccomp|NoNewPrivs)' /proc/self/status; cat /proc/self/cgroup; ls -l /proc/self/fd";
    let attached = env.inside("same", show);
    let of_init =
        env.inside("same", "grep -E '^(CapBnd|Seccomp|NoNewPrivs)' /proc/1/status; cat /proc/1/cgroup");
    for line in of_init.lines() {
        let key = line.split(':').next().unwrap_or_default();
        let other = attached.lines().find(|other| other.starts_with(&format!("{key}:")));
        if line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            assert_eq!(other, Some(line), "{attached}");
        }
    }
    // No file of the machine comes along: three pipes and the listing's own directory.
    let open = attached.lines().filter(|line| line.contains(" -> ")).count();
    assert!(open <= 4, "{attached}");
}

#[test]
fn attach_needs_a_running_container() {
    needs!(root, busybox);
    let env = Env::new();
    env.busybox("off", &[]);
    let output = env.wxc(["attach", "off", "--", "/bin/true"]).run();
    assert_eq!(output.code(), 1, "{}", output.told());
    assert!(output.stderr.contains("not running") && output.stderr.contains("start"), "{}", output.told());
}

#[test]
fn the_console_is_reached_left_and_remembered() {
    needs!(root, userns, busybox, cgroups);
    let env = running("cons");
    let mut pty = Pty::start(&command(&env, &["console", "cons"]));
    pty.send("\r");
    pty.expect("#", 10);
    pty.send("echo on-$((6*7)); tty\r");
    pty.expect("on-42", 10);
    pty.expect("/dev/console", 10);
    // The prefix twice is the prefix itself; then the prefix and q leave.
    pty.send("\x01q");
    let (status, screen) = pty.end(10);
    assert!(status.success(), "{screen}");
    assert_eq!(env.state("cons"), "RUNNING");
    assert!(env.wxc(["console", "cons", "--show-log"]).ok().contains("on-42"));
    // Again, with another prefix.
    let mut pty = Pty::start(&command(&env, &["console", "cons", "-e", "^t"]));
    pty.send("\recho again-$((1+1))\r");
    pty.expect("again-2", 10);
    pty.send("\x14q");
    assert!(pty.end(10).0.success());
}

#[test]
fn the_consoles_log_is_kept_within_its_size() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    let init = "init.command=[\"/bin/sh\", \"-c\", \"seq 20000; echo the-end; sleep 1000\"]";
    env.busybox("log", &["-s", init, "-s", "console.log=console.log", "-s", "console.log-size=32K"]);
    env.wxc(["start", "log"]).ok();
    let file = env.container("log").join("console.log");
    let text = until("the log's end", 20, || {
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("the-end"))
    });
    assert!(text.len() <= 32 << 10, "{}", text.len());
}
