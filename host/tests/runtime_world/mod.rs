//! A busybox rootfs and a plan for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use wxc::config::ids::{ContainerId, HostId, IdMap, IdRange};
use wxc::plan::*;
use wxc::runtime::{LaunchOptions, Launched, RuntimeError, launch};

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

    pub(crate) fn run(&self) -> PathBuf {
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
                run: self.run(),
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
                layout: CgroupLayout::Absent,
                payload: format!("wxc.payload.{}", self.name),
                monitor: format!("wxc.monitor.{}", self.name),
                writes: Vec::new(),
                devices: Vec::new(),
                delegate: false,
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
}
