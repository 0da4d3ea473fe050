//! Commands in running containers, as root, for real.
//!
//! [`wxc::runtime::attach()`] blocks signals and uses the standard streams of its process, so it
//! runs in a process of its own: this test binary again, told by the environment what to do.

mod runtime_world;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use runtime_world::{Dialogue, Running, World, needs_root, until};
use rustix::fs::{CWD, FileType, Mode};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use wxc::plan::{Plan, ResourceLimit};
use wxc::runtime::control::Request;
use wxc::runtime::{AttachRequest, Elevated, TerminalUse, attach};

/// A container that sleeps, ended with the test.
struct Container {
    running: Running,
    world: World,
}

impl Container {
    fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    fn with(name: &str, change: impl FnOnce(&mut Plan)) -> Self {
        let world = World::new(name);
        let mut plan = world.plan(&["/bin/sleep", "300"]);
        for applet in ["env", "head", "readlink", "stty", "yes"] {
            symlink("busybox", world.rootfs().join("bin").join(applet)).ok();
        }
        change(&mut plan);
        Self { running: world.run(&plan), world }
    }

    fn init(&self) -> i32 {
        self.running.client().info().expect("it runs").init
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.world.rootfs().join(path), text).expect("write into the rootfs");
    }

    /// A command line of this binary that attaches; `options` as [`perform`] reads them.
    fn command(&self, options: &[(&str, &str)], argv: &[&str]) -> Command {
        let mut command = Command::new("env");
        // The harness has threads; a signal must not end it in another one than that which attaches.
        command
            .arg("--block-signal=INT,TERM,HUP,QUIT,WINCH")
            .arg(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "perform", "--nocapture", "--test-threads=1"]);
        command.env("ATTACH_RUN", self.world.run_directory());
        if !argv.is_empty() {
            command.env("ATTACH_ARGV", argv.join("\n"));
        }
        command.env("SECRET", "of the caller").env("TERM", "xterm-test");
        for (name, value) in options {
            command.env(format!("ATTACH_{}", name.to_uppercase()), value);
        }
        command.stdin(Stdio::null());
        command
    }

    fn run_with(&self, options: &[(&str, &str)], argv: &[&str]) -> Outcome {
        Outcome::of(&self.command(options, argv).output().expect("this binary runs"))
    }

    fn run(&self, argv: &[&str]) -> Outcome {
        self.run_with(&[], argv)
    }

    fn shell(&self, script: &str) -> Outcome {
        self.run(&["sh", "-c", script])
    }
}

#[derive(Debug)]
struct Outcome {
    status: i32,
    text: String,
    error: String,
}

/// Frames what the command says: the test harness of this binary says things, too.
const BEGIN: &str = "<<<";

impl Outcome {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let text = text.split_once(BEGIN).map_or("", |(_, text)| text).to_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { status: output.status.code().expect("it exits"), text, error }
    }

    #[track_caller]
    fn says(&self, text: &str) {
        assert_eq!((self.status, self.text.trim_end()), (0, text), "{}", self.error);
    }
}

/// Not a test by itself: the process that attaches.
#[test]
#[allow(clippy::exit, reason = "it stands for a program whose status is the command's")]
fn perform() {
    let Some(run) = std::env::var_os("ATTACH_RUN") else { return };
    let option = |name: &str| std::env::var(format!("ATTACH_{}", name.to_uppercase())).ok();
    let request = AttachRequest {
        run: run.into(),
        name: "the container".to_owned(),
        argv: option("argv").map(|argv| argv.lines().map(str::to_owned).collect()),
        user: option("user"),
        group: option("group"),
        cwd: option("cwd"),
        environment: option("set")
            .iter()
            .filter_map(|set| set.split_once('='))
            .map(|(k, v)| (k.into(), v.into()))
            .collect(),
        keep_environment: option("keep").is_some(),
        namespaces: option("namespaces").map(|_| vec![wxc::plan::Namespace::Net]),
        elevated: if option("elevated").is_some() { Elevated::ALL } else { Elevated::default() },
        terminal: match option("terminal").as_deref() {
            Some("always") => TerminalUse::Always,
            Some("never") => TerminalUse::Never,
            _ => TerminalUse::Auto,
        },
        program: Some(env!("CARGO_BIN_EXE_wxc").into()),
    };
    print!("{BEGIN}");
    std::io::stdout().flush().expect("flush");
    let status = match attach(&request) {
        Ok(exit) => exit.status(),
        Err(error) => {
            eprintln!("ERROR {error} HINT {}", error.hint().unwrap_or_default());
            error.exit_status().into()
        }
    };
    std::process::exit(status);
}

#[test]
fn the_exit_status_is_the_commands() {
    needs_root!();
    let container = Container::new("attach-status");
    assert_eq!(container.shell("exit 42").status, 42);
    assert_eq!(container.shell("kill -9 $$").status, 137);
    assert_eq!(container.run(&["true"]).status, 0);
    let missing = container.run(&["no-such-program"]);
    assert_eq!(missing.status, 127, "{missing:?}");
    assert!(missing.error.contains("no-such-program"), "{missing:?}");
    container.write("bin/text", "not a program");
    assert_eq!(container.run(&["/bin/text"]).status, 126);
    assert_eq!(container.run(&["/no/such/program"]).status, 127);
}

#[test]
fn the_command_runs_inside_and_not_as_init() {
    needs_root!();
    let container = Container::new("attach-inside");
    container
        .shell("test $$ != 1 && readlink /proc/1/exe && cat /proc/sys/kernel/hostname")
        .says("/bin/busybox\ninside");
    for namespace in ["user", "mnt", "pid", "uts", "ipc", "net", "cgroup"] {
        let link = format!("/proc/{}/ns/{namespace}", container.init());
        let theirs = fs::read_link(link).expect("init's namespace");
        container.run(&["readlink", &format!("/proc/self/ns/{namespace}")]).says(&theirs.to_string_lossy());
    }
}

#[test]
fn nothing_of_the_callers_goes_in() {
    needs_root!();
    let container = Container::with("attach-clean", |plan| {
        plan.init.environment.push(wxc::plan::Setting { key: "CONFIGURED".into(), value: "yes".into() });
    });
    let outcome = container.run_with(&[("set", "EXTRA=1 2")], &["env"]);
    let mut lines: Vec<&str> = outcome.text.trim().lines().collect();
    lines.sort_unstable();
    let expected = [
        "CONFIGURED=yes",
        "EXTRA=1 2",
        "HOME=/root",
        "LOGNAME=root",
        "PATH=/bin",
        "SHELL=/bin/sh",
        "USER=root",
        "container=lxc",
    ];
    assert_eq!(lines, expected, "{outcome:?}");
    let kept = container.run_with(&[("keep", "1")], &["env"]).text;
    assert!(kept.contains("SECRET=of the caller") && kept.contains("container=lxc"), "{kept}");
    // The fourth is the directory that `ls` reads.
    let file = fs::File::open("/etc/passwd").expect("an fd to leak");
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("let it through exec");
    container.run(&["ls", "/proc/self/fd"]).says("0\n1\n2\n3");
    container.run(&["sh", "-c", "umask; pwd"]).says("0022\n/root");
}

#[test]
fn a_user_is_a_name_or_a_number() {
    needs_root!();
    let container = Container::new("attach-user");
    container.write(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n1:x:0:0::/root:/bin/sh\nann:x:1000:100::/tmp:/bin/sh\n",
    );
    container.write("etc/group", "root:x:0:\nusers:x:100:\nwheel:x:10:ann\nmany:x:70000:ann\n");
    let ids = "echo $(id -u) $(id -g) $(id -G) $USER $HOME $(pwd)";
    let as_user = |options: &[(&str, &str)]| container.run_with(options, &["sh", "-c", ids]);
    as_user(&[]).says("0 0 0 root /root /root");
    as_user(&[("user", "ann")]).says("1000 100 100 10 ann /tmp /tmp");
    as_user(&[("user", "1000")]).says("1000 100 100 10 ann /tmp /tmp");
    as_user(&[("user", "1")]).says("1 1 1 / /");
    as_user(&[("user", "7")]).says("7 7 7 / /");
    as_user(&[("user", "ann"), ("group", "wheel")]).says("1000 10 10 ann /tmp /tmp");
    as_user(&[("user", "ann"), ("group", "5"), ("cwd", "/proc/..")]).says("1000 5 5 ann /tmp /");
    for user in ["nobody-here", "-1", "4294967295", "70000", ""] {
        let outcome = as_user(&[("user", user)]);
        assert_eq!(outcome.status, 1, "{user}: {outcome:?}");
        assert!(outcome.error.contains(user), "{outcome:?}");
    }
    let outcome = as_user(&[("cwd", "/nowhere")]);
    assert!(outcome.status == 1 && outcome.error.contains("/nowhere"), "{outcome:?}");
}

#[test]
fn hostile_account_files_do_not_hold_anybody_up() {
    needs_root!();
    let container = Container::new("attach-hostile");
    let passwd = container.world.rootfs().join("etc/passwd");
    // Not id(1), which reads the files, too, and may do so as long as it likes.
    let own: &[&str] = &["busybox", "stat", "-c", "%u", "/proc/self/"];
    let check = |what: &str| {
        let begin = Instant::now();
        let outcome = container.run_with(&[("user", "ann")], &["true"]);
        assert_eq!(outcome.status, 1, "{what}: {outcome:?}");
        assert!(outcome.error.contains("/etc/passwd"), "{what}: {outcome:?}");
        container.run_with(&[("user", "5")], own).says("5");
        container.run(own).says("0");
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}");
        fs::remove_file(&passwd).expect("remove");
    };
    fs::write(&passwd, "x".repeat(2 << 20)).expect("huge");
    check("huge");
    rustix::fs::mknodat(CWD, &passwd, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("FIFO");
    check("FIFO");
    symlink("/dev/zero", &passwd).expect("link");
    check("device");
    symlink("/proc/1/root/etc/passwd", &passwd).expect("link");
    check("magic link");
}

#[test]
fn restrictions_are_those_of_init() {
    needs_root!();
    let container = Container::with("attach-restricted", |plan| {
        plan.security.no_new_privs = true;
        plan.security.seccomp = wxc::plan::SeccompPlan::Deny(vec![wxc::plan::SeccompRule {
            syscall: "swapon".into(),
            errno: Some(1),
            arguments: Vec::new(),
        }]);
        plan.limits.push(ResourceLimit { resource: "nofile".into(), soft: Some(123), hard: Some(456) });
    });
    let status = |text: &str| {
        let wanted = [
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
            "Seccomp",
            "Uid",
            "Gid",
            "Groups",
        ];
        let lines = text.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let script = "cat /proc/self/status; echo ---; cat /proc/1/status; echo ---; ulimit -n; ulimit -Hn";
    let outcome = container.shell(script);
    let parts: Vec<&str> = outcome.text.split("---\n").collect();
    assert_eq!(status(parts[0]), status(parts[1]));
    assert!(parts[0].contains("Seccomp:\t2") && parts[0].contains("NoNewPrivs:\t1"), "{outcome:?}");
    assert_eq!(parts[2].trim(), "123\n456");
    let elevated = container.run_with(&[("elevated", "1")], &["cat", "/proc/self/status"]);
    assert!(
        elevated.text.contains("Seccomp:\t0") && elevated.text.contains("NoNewPrivs:\t0"),
        "{elevated:?}"
    );
    let bounding = |text: &str| text.lines().find(|line| line.starts_with("CapBnd")).map(str::to_owned);
    assert_ne!(bounding(&elevated.text), bounding(parts[1]));
}

#[test]
fn the_command_is_in_the_containers_cgroups() {
    needs_root!();
    let container = Container::with("attach-cgroup", |plan| {
        plan.cgroup.layout = wxc::runtime::cgroup::discover().layout;
    });
    let init = fs::read_to_string(format!("/proc/{}/cgroup", container.init())).expect("init's cgroups");
    let mut child = container
        .command(&[], &["sh", "-c", "echo; sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let worker = descendant(&mut child);
    let inside = fs::read_to_string(format!("/proc/{worker}/cgroup")).expect("the command's cgroups");
    stop(child);
    let differing: Vec<_> = init.lines().zip(inside.lines()).filter(|(one, other)| one != other).collect();
    assert!(differing.is_empty(), "{differing:?}");
    assert!(inside.contains("wxc.payload"), "{inside}");
}

/// The process that `child` has made, once it says something.
fn descendant(child: &mut Child) -> u32 {
    let mut text = String::new();
    let out = child.stdout.as_mut().expect("a pipe");
    while !text.ends_with(&format!("{BEGIN}\n")) {
        let mut byte = [0];
        assert_eq!(out.read(&mut byte).expect("read"), 1, "{text}");
        text.push(byte[0].into());
    }
    let pid = child.id();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let children = tasks
        .map(|task| fs::read_to_string(task.expect("thread").path().join("children")).expect("children"));
    // The joiner was first, and may not have been waited for.
    children.collect::<String>().split_whitespace().last().and_then(|pid| pid.parse().ok()).expect("a child")
}

fn stop(mut child: Child) {
    child.kill().ok();
    child.wait().ok();
}

#[test]
fn signals_go_through() {
    needs_root!();
    let container = Container::new("attach-signals");
    let script = "trap 'exit 7' TERM; echo; while :; do sleep 0.05; done";
    let mut child =
        container.command(&[], &["sh", "-c", script]).stdout(Stdio::piped()).spawn().expect("spawn");
    descendant(&mut child);
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().expect("wait").code(), Some(7));

    // Its group gets what a terminal's keys send; a signal that is not handled ends it.
    let mut child = container
        .command(&[], &["sh", "-c", "echo; sleep 60; echo not reached"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    descendant(&mut child);
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().expect("wait").code(), Some(130));

    // Killed, it leaves nothing behind.
    let mut child = container
        .command(&[], &["sh", "-c", "echo; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let worker = descendant(&mut child);
    stop(child);
    until(|| fs::metadata(format!("/proc/{worker}")).is_err());
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("signal");
}

#[test]
fn a_frozen_container_is_not_entered() {
    needs_root!();
    let container = Container::with("attach-frozen", |plan| {
        plan.cgroup.layout = wxc::runtime::cgroup::discover().layout;
    });
    container.running.client().order(&Request::Freeze).expect("it freezes");
    let outcome = container.run(&["true"]);
    container.running.client().order(&Request::Unfreeze).expect("it thaws");
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.error.contains("frozen") && outcome.error.contains("wxc unfreeze"), "{outcome:?}");
    assert_eq!(container.run(&["true"]).status, 0);
}

#[test]
fn single_namespaces_can_be_entered() {
    needs_root!();
    let container = Container::new("attach-network");
    let network = fs::read_link(format!("/proc/{}/ns/net", container.init())).expect("its network");
    let mount = fs::read_link("/proc/self/ns/mnt").expect("our mounts");
    let script = "readlink /proc/self/ns/net /proc/self/ns/mnt; id -u";
    let outcome = container.run_with(&[("namespaces", "net")], &["sh", "-c", script]);
    outcome.says(&format!("{}\n{}\n0", network.display(), mount.display()));
}

#[test]
fn a_privileged_container_is_entered_by_a_sealed_copy() {
    needs_root!();
    let container = Container::with("attach-privileged", |plan| {
        plan.namespaces.retain(|step| step.kind != wxc::plan::Namespace::User);
        plan.ids = None;
        plan.rootfs.idmapped = false;
        plan.cgroup.layout = wxc::runtime::cgroup::discover().layout;
    });
    container
        .shell("id -u; test $(readlink /proc/self/ns/pid) = $(readlink /proc/1/ns/pid) && echo inside")
        .says("0\ninside");
    assert_eq!(container.shell("exit 42").status, 42);
    assert_eq!(container.run(&["no-such-program"]).status, 127);
    container.run_with(&[("user", "1"), ("cwd", "/tmp")], &["sh", "-c", "id -u; pwd"]).says("1\n/tmp");
    let init = fs::read_to_string(format!("/proc/{}/cgroup", container.init())).expect("init's cgroups");
    let mut child = container.command(&[], &["sh", "-c", "echo; sleep 60"]);
    let mut child = child.stdout(Stdio::piped()).spawn().expect("spawn");
    let worker = descendant(&mut child);
    assert_eq!(fs::read_to_string(format!("/proc/{worker}/cgroup")).expect("its cgroups"), init);
    stop(child);
}

/// A person's terminal: who sits there, and what a program gets.
fn terminal() -> (Dialogue, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).expect("a terminal");
    rustix::pty::unlockpt(&master).expect("unlock");
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("its other side");
    let size = Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size).expect("size");
    (Dialogue::new(master), slave)
}

fn copy(fd: &OwnedFd) -> OwnedFd {
    fd.try_clone().expect("copy")
}

#[test]
fn a_terminal_is_replaced_by_one_of_the_containers() {
    needs_root!();
    let container = Container::new("attach-terminal");
    let (mut person, slave) = terminal();
    let before = rustix::termios::tcgetattr(&slave).expect("modes");
    let mut child = container
        .command(&[], &[])
        .stdin(copy(&slave))
        .stdout(copy(&slave))
        .stderr(copy(&slave))
        .spawn()
        .expect("spawn");
    person.expect("# ");
    person.say("tty; stty size; echo $TERM $PPID; id -u\n");
    person.expect("/dev/pts/");
    person.expect("33 99");
    person.expect("xterm-test 0");
    // Ctrl-C is for what runs in front, and comes through a flood.
    person.say("yes\n");
    person.expect("y\r\ny");
    person.say("\x03");
    person.say("echo en''d $?\n");
    person.expect("end 130");
    let size = Winsize { ws_row: 20, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size).expect("size");
    signal(&child, rustix::process::Signal::WINCH);
    person.say("stty size\n");
    person.expect("20 40");
    person.say("exit 9\n");
    assert_eq!(child.wait().expect("wait").code(), Some(9));
    let after = rustix::termios::tcgetattr(&slave).expect("modes");
    assert_eq!(format!("{before:?}"), format!("{after:?}"), "the modes are as before");
}

#[test]
fn only_terminals_are_replaced() {
    needs_root!();
    let container = Container::new("attach-pipes");
    let script = "for fd in 0 1 2; do test -t $fd && echo $fd yes || echo $fd no; done; cat; exit 4";
    let (mut person, slave) = terminal();
    let mut child = container
        .command(&[], &["sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(copy(&slave))
        .stderr(Stdio::null())
        .spawn()
        .expect("spawn");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"through a pipe\n").expect("write");
    drop(input);
    person.expect("0 no\r\n1 yes\r\n2 no\r\nthrough a pipe");
    assert_eq!(child.wait().expect("wait").code(), Some(4));
    // A pager at the end of the pipe has the same terminal: its modes are not touched.
    let (mut person, slave) = terminal();
    let before = rustix::termios::tcgetattr(&slave).expect("modes");
    let script = "test -t 0 && test ! -t 1 && test -t 2 && echo on >&2; read x; echo $x >&2";
    let mut child = container
        .command(&[], &["sh", "-c", script])
        .stdin(copy(&slave))
        .stdout(Stdio::null())
        .stderr(copy(&slave))
        .spawn()
        .expect("spawn");
    person.expect("on\r\n");
    let during = rustix::termios::tcgetattr(&slave).expect("modes");
    assert_eq!(format!("{before:?}"), format!("{during:?}"));
    person.say("typed\n");
    person.expect("on\r\ntyped\r\ntyped\r\n");
    assert_eq!(child.wait().expect("wait").code(), Some(0));

    container.shell("test -t 0 || test -t 1 || test -t 2 || echo none").says("none");
    let always = container
        .run_with(&[("terminal", "always")], &["sh", "-c", "test -t 0 && test -t 1 && test -t 2; cat"]);
    assert_eq!(always.status, 0, "the end of input is an end: {always:?}");
}
