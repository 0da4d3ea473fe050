#![allow(dead_code, reason = "each test program uses a part of it")]
//! A busybox rootfs and a plan for it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use wxc::config::ids::{ContainerId, HostId, IdMap, IdRange};
use wxc::plan::*;
use wxc::runtime::control::Request;
use wxc::runtime::{
    AttachRequest, Client, Exit, LaunchOptions, Launched, RuntimeError, TerminalUse, attach_with, launch,
};

/// Skips a test that only root can run, and says so.
macro_rules! needs_root {
    () => {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can run this test");
            return;
        }
    };
}
pub(crate) use needs_root;

/// Each test's containers have ids of their own, as real ones have.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// One container's directory, gone with the test.
pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) base: u32,
}

impl World {
    pub(crate) fn new(name: &str) -> Self {
        let directory =
            tempfile::Builder::new().prefix("wxc-runtime-").tempdir().expect("temporary directory");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let world = Self {
            name: format!("{name}-{}", std::process::id()),
            directory,
            base: 1_500_000_000 + number * 65_536,
        };
        world.busybox();
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    pub(crate) fn run_directory(&self) -> PathBuf {
        self.path().join("run")
    }

    fn busybox(&self) {
        let root = self.rootfs();
        for directory in ["bin", "dev", "proc", "sys", "etc", "tmp", "root"] {
            fs::create_dir_all(root.join(directory)).expect("rootfs");
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        for applet in ["sh", "sleep", "cat", "echo", "true", "ps", "id", "tty", "ls", "mount", "kill", "init"]
        {
            symlink("busybox", root.join("bin").join(applet)).expect("applet");
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1:1:user:/tmp:/bin/sh\n")
            .expect("passwd");
        fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1:\ntty:x:5:\n").expect("group");
    }

    pub(crate) fn plan(&self, argv: &[&str]) -> Plan {
        let range = IdRange { container: ContainerId(0), host: HostId(self.base), count: 65_536 };
        let new = |kind| NamespaceStep { kind, action: NamespaceAction::New, reason: "isolation".into() };
        let mount = |fstype: &str, target: &str, options: &[(&str, &str)]| MountStep {
            source: MountSource::Filesystem {
                fstype: fstype.into(),
                source: fstype.into(),
                options: options
                    .iter()
                    .map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() })
                    .collect(),
            },
            target: target.into(),
            attributes: MountAttributes { nosuid: true, ..MountAttributes::default() },
            create: Some(NodeKind::Directory),
            optional: false,
            asked_by: None,
            reason: "every system has it".into(),
        };
        let node = |name: &str, minor| DeviceNode {
            name: name.into(),
            host: Path::new("/dev").join(name),
            block: false,
            major: 1,
            minor,
            mode: 0o666,
            optional: false,
        };
        Plan {
            schema: SCHEMA,
            container: Identity {
                name: self.name.clone(),
                path: self.path().into(),
                directory: self.path().into(),
                run: self.run_directory(),
            },
            namespaces: [
                Namespace::User,
                Namespace::Mount,
                Namespace::Pid,
                Namespace::Uts,
                Namespace::Ipc,
                Namespace::Net,
                Namespace::Cgroup,
            ]
            .map(new)
            .into(),
            ids: Some(IdMap { users: vec![range], groups: vec![range] }),
            rootfs: RootPlan {
                source: RootSource::Tree { pool: self.path().into(), relative: "rootfs".into() },
                read_only: false,
                in_memory: false,
                idmapped: true,
                storage: "dir".into(),
            },
            mounts: vec![
                mount("proc", "proc", &[]),
                mount("sysfs", "sys", &[]),
                mount("tmpfs", "dev", &[("mode", "755"), ("size", "512k")]),
                mount("devpts", "dev/pts", &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")]),
            ],
            nodes: vec![node("null", 3), node("zero", 5), node("full", 7)],
            links: vec![SymbolicLink { path: "dev/ptmx".into(), target: "pts/ptmx".into() }],
            cgroup: CgroupPlan {
                layout: wxc::runtime::cgroup::discover().layout,
                payload: format!("wxc.payload.{}", self.name),
                monitor: format!("wxc.monitor.{}", self.name),
                writes: Vec::new(),
                devices: Vec::new(),
                delegate: true,
            },
            network: NetworkPlan { host: false, links: Vec::new() },
            console: ConsolePlan { console: true, ttys: 2, buffer: 65_536, log: None },
            security: SecurityPlan {
                capabilities: [
                    "CAP_CHOWN",
                    "CAP_KILL",
                    "CAP_SETGID",
                    "CAP_SETUID",
                    "CAP_SYS_ADMIN",
                    "CAP_SYS_BOOT",
                ]
                .map(String::from)
                .into(),
                seccomp: SeccompPlan::Off,
                no_new_privs: false,
                keyring: true,
            },
            sysctls: Vec::new(),
            limits: Vec::new(),
            init: InitPlan {
                argv: argv.iter().map(ToString::to_string).collect(),
                stub: false,
                environment: vec![
                    Setting { key: "PATH".into(), value: "/bin".into() },
                    Setting { key: "container".into(), value: "lxc".into() },
                ],
                user: 0,
                group: 0,
                groups: Vec::new(),
                cwd: "/".into(),
                hostname: "inside".into(),
                personality: None,
            },
            stop: StopPlan { halt: None, reboot: 2, kill: 9, ephemeral: false },
            time: None,
            release: Vec::new(),
            hooks: wxc::plan::hooks::HooksPlan::default(),
        }
    }

    pub(crate) fn options(&self) -> LaunchOptions<'static> {
        LaunchOptions { program: Some(env!("CARGO_BIN_EXE_wxc").into()), ..LaunchOptions::default() }
    }

    pub(crate) fn launch(&self, plan: &Plan) -> Result<Launched, RuntimeError> {
        launch(plan, &self.options())
    }

    pub(crate) fn launch_foreground(&self, plan: &Plan) -> Result<Launched, RuntimeError> {
        launch(plan, &LaunchOptions { foreground: true, ..self.options() })
    }

    /// Runs until this is dropped.
    pub(crate) fn run(&self, plan: &Plan) -> Running {
        let launched = self.launch(plan).unwrap_or_else(|error| panic!("{error}; {:?}", error.hint()));
        assert_eq!(launched.warnings, [], "nothing was skipped");
        Running { plan: plan.clone() }
    }

    pub(crate) fn run_idle(&self) -> Running {
        self.run(&self.plan(&["/bin/sleep", "1000"]))
    }

    /// Runs to the end with `input`; what it wrote.
    pub(crate) fn run_with_input(&self, plan: &Plan, input: &[u8]) -> (Exit, String, String) {
        let (read_input, mut write_input) = std::io::pipe().expect("pipe");
        let (mut read_output, write_output) = std::io::pipe().expect("pipe");
        let (mut read_errors, write_errors) = std::io::pipe().expect("pipe");
        let streams = Some([read_input.as_fd(), write_output.as_fd(), write_errors.as_fd()]);
        let options = LaunchOptions { foreground: true, streams, ..self.options() };
        let launched = launch(plan, &options).unwrap_or_else(|error| panic!("{error}"));
        drop((read_input, write_output, write_errors));
        write_input.write_all(input).expect("input");
        drop(write_input);
        let (mut output, mut errors) = (String::new(), String::new());
        read_output.read_to_string(&mut output).expect("output");
        read_errors.read_to_string(&mut errors).expect("errors");
        (launched.wait().expect("it ends"), output, errors)
    }
}

/// A running container, killed with the test.
pub(crate) struct Running {
    pub(crate) plan: Plan,
}

impl Running {
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.plan.container.run, &self.plan.container.name).expect("it runs")
    }

    fn request(&self, user: Option<&str>, argv: &[&str]) -> AttachRequest {
        AttachRequest {
            run: self.plan.container.run.clone(),
            name: self.plan.container.name.clone(),
            argv: Some(argv.iter().map(ToString::to_string).collect()),
            user: user.map(str::to_owned),
            terminal: TerminalUse::Never,
            program: Some(env!("CARGO_BIN_EXE_wxc").into()),
            ..AttachRequest::default()
        }
    }

    pub(crate) fn attach(&self, argv: &[&str]) -> Result<Exit, RuntimeError> {
        self.attach_as(None, argv)
    }

    pub(crate) fn attach_as(&self, user: Option<&str>, argv: &[&str]) -> Result<Exit, RuntimeError> {
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").expect("null");
        attach_with(&self.request(user, argv), [null.as_fd(); 3])
    }

    pub(crate) fn output(&self, command: &str) -> String {
        self.output_as(None, command)
    }

    /// What a command of the container's shell prints.
    pub(crate) fn output_as(&self, user: Option<&str>, command: &str) -> String {
        let (mut read, write) = std::io::pipe().expect("pipe");
        let null = std::fs::File::open("/dev/null").expect("null");
        let request = self.request(user, &["/bin/sh", "-c", command]);
        let exit = attach_with(&request, [null.as_fd(), write.as_fd(), write.as_fd()]);
        drop(write);
        let mut output = String::new();
        read.read_to_string(&mut output).expect("output");
        exit.unwrap_or_else(|error| panic!("{command}: {error}"));
        output
    }

    /// What a command says at a terminal of 80 columns and 24 rows.
    pub(crate) fn in_terminal(&self, command: &str) -> String {
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
        let master = rustix::pty::openpt(flags).expect("pty");
        rustix::pty::unlockpt(&master).expect("unlock");
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("slave");
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&slave, size).expect("size");
        let mut request = self.request(None, &["/bin/sh", "-c", command]);
        request.terminal = TerminalUse::Auto;
        let exit = attach_with(&request, [slave.as_fd(); 3]).expect("it runs");
        assert_eq!(exit.status(), 0);
        drop(slave);
        let mut heard = Vec::new();
        // Ends with EIO, as the last slave is closed.
        drop(std::fs::File::from(master).read_to_end(&mut heard));
        String::from_utf8_lossy(&heard).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(client) = Client::connect(&self.plan.container.run, "") else { return };
        let Ok(mut events) = client.subscribe() else { return };
        if let Ok(client) = Client::connect(&self.plan.container.run, "") {
            drop(client.order(&Request::Kill));
        }
        while let Ok(Some(_)) = events.next(Some(Duration::from_secs(10))) {}
    }
}

/// Waits for something that takes a moment.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Somebody in front of a terminal.
pub(crate) struct Dialogue {
    file: std::fs::File,
    heard: String,
}

impl Dialogue {
    pub(crate) fn new(stream: OwnedFd) -> Self {
        Self { file: stream.into(), heard: String::new() }
    }

    pub(crate) fn say(&mut self, words: &str) {
        self.file.write_all(words.as_bytes()).expect("it listens");
    }

    /// Reads until the words have come.
    pub(crate) fn expect(&mut self, words: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.heard.contains(words) {
            assert!(Instant::now() < end, "no {words:?} in {:?}", self.heard);
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            if poll(&mut fds, Some(&second)).expect("poll") > 0 {
                let mut buffer = [0; 4096];
                let length = self.file.read(&mut buffer).expect("it speaks");
                self.heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
    }
}
