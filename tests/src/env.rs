//! A world of its own for one test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::mount::Mount;
use crate::user::User;
use crate::{Run, fixtures, proc, root};

/// Directories and an environment that no other test and no person shares, and the commands run
/// in them. Dropping it, also when the test panics, ends its containers and theirs only.
#[derive(Debug)]
pub struct Env {
    /// The file system that the containers are on, if it is not the machine's. Before the directory, as fields
    /// are dropped in this order.
    mount: Option<Mount>,
    filesystem: Option<String>,
    dir: TempDir,
    /// A network namespace that plays the machine's.
    network: Option<PathBuf>,
    /// Who runs the commands, if that is not root.
    user: Option<User>,
}

impl Env {
    /// # Panics
    /// When its directories cannot be made.
    #[must_use]
    pub fn new() -> Self {
        // Not in /tmp, which may be memory: a Debian tree has to fit.
        let base = std::env::var_os("WXC_TEST_DIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
        let dir =
            tempfile::Builder::new().prefix("wxc-t").tempdir_in(base).expect("a directory for the test");
        for part in ["c", "run", "home"] {
            fs::create_dir(dir.path().join(part)).expect("a directory for the test");
        }
        Self { mount: None, filesystem: None, dir, network: None, user: None }
    }

    /// The same, with the containers on a file system of this type of their own.
    #[must_use]
    pub fn on(filesystem: &str) -> Self {
        let mut env = Self::new();
        fs::remove_dir(env.path()).expect("an empty directory");
        env.mount = Some(Mount::disk(&env.path(), filesystem, 1 << 30));
        env.filesystem = Some(filesystem.to_owned());
        env
    }

    /// The same, in memory: for many commands, each of which waits for its disk.
    #[must_use]
    pub fn in_memory(filesystem: &str) -> Self {
        let mut env = Self::new();
        fs::remove_dir(env.path()).expect("an empty directory");
        env.mount = Some(Mount::memory_disk(&env.path(), filesystem, 1 << 30));
        env.filesystem = Some(filesystem.to_owned());
        env
    }

    /// The same, with every command run in a network namespace: the machine as far as devices,
    /// bridges and addresses go.
    #[must_use]
    pub fn in_network(namespace: PathBuf) -> Self {
        let mut env = Self::new();
        env.network = Some(namespace);
        env
    }

    /// The same, with every command run by an ordinary user who has ids for so many containers.
    ///
    /// # Panics
    /// When there cannot be such a user.
    #[must_use]
    pub fn of_user(containers: u32) -> Self {
        let mut env = Self::new();
        env.hand_to_user(containers);
        env
    }

    /// The same, on a file system of this type.
    #[must_use]
    pub fn of_user_on(filesystem: &str, containers: u32) -> Self {
        let mut env = Self::on(filesystem);
        env.hand_to_user(containers);
        env
    }

    fn hand_to_user(&mut self, containers: u32) {
        let files = self.dir.path().join("accounts");
        fs::create_dir(&files).expect("a directory for the test");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.dir.path(), open.clone()).expect("a directory for the test");
        fs::set_permissions(&files, open).expect("a directory for the test");
        let user = User::new(files, containers);
        for part in ["c", "run", "home"] {
            user.own(&self.dir.path().join(part));
        }
        // Theirs to read, wherever the kept one is.
        let tree = self.dir.path().join("tree");
        let copied = Command::new("cp").arg("-a").args([fixtures::busybox(), &tree]).status();
        assert!(copied.is_ok_and(|status| status.success()), "a copy of the busybox tree");
        user.own(&tree);
        self.user = Some(user);
    }

    /// The ordinary user.
    ///
    /// # Panics
    /// When this world is root's.
    #[must_use]
    pub fn user(&self) -> &User {
        self.user.as_ref().expect("a world of an ordinary user")
    }

    /// The type of the file system that it has of its own.
    #[must_use]
    pub fn filesystem(&self) -> Option<&str> {
        self.filesystem.as_deref()
    }

    /// Where its containers are.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("c")
    }

    /// A place for the test's own files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory of one of its containers.
    #[must_use]
    pub fn container(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A command of wxc.
    #[must_use]
    pub fn wxc<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.program(wxc(), args)
    }

    /// The same of another build of it.
    #[must_use]
    pub fn program<S: AsRef<OsStr>>(&self, program: &Path, args: impl IntoIterator<Item = S>) -> Run {
        // Not `ip netns exec`, which mounts another /sys, without cgroups.
        let mut command = match (&self.network, &self.user) {
            (None, Some(user)) => user.command(program),
            (Some(namespace), _) => {
                let mut nsenter = Command::new("/usr/bin/nsenter");
                let mut option = OsString::from("--net=");
                option.push(namespace);
                nsenter.arg(option).arg(program);
                nsenter
            }
            (None, None) => Command::new(program),
        };
        self.fix(&mut command);
        // As a variable, so that a test may say -P itself.
        command.env("WXC_PATH", self.path()).args(args);
        Run::new(command)
    }

    /// The same world for any program: the clock's zone, the width and the language are fixed, so
    /// that what is printed can be compared.
    pub fn fix(&self, command: &mut Command) {
        command.env_clear().current_dir(self.dir.path());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.dir.path().join("home"));
        command.env("LANG", "C.UTF-8").env("TZ", "UTC").env("TERM", "dumb").env("COLUMNS", "100");
        command.env("WXC_RUN_DIR", self.run_dir());
        let config = self.file("config");
        if config.exists() {
            command.env("WXC_CONFIG_DIR", config);
        }
    }

    /// Gives it a `wxc.toml` with this text.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, text: &str) {
        let directory = self.file("config");
        fs::create_dir_all(&directory).expect("a directory for the test");
        fs::write(directory.join("wxc.toml"), text).expect("a file for the test");
    }

    /// Where its running containers have their sockets.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// A container of the busybox tree.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn busybox(&self, name: &str, options: &[&str]) {
        let mut args = vec!["create", name, "-t", "local"];
        args.extend(options);
        let tree = match self.user {
            Some(_) => self.dir.path().join("tree"),
            None => fixtures::busybox().to_owned(),
        };
        self.wxc(args.into_iter().map(OsStr::new).chain([
            OsStr::new("--"),
            OsStr::new("--directory"),
            tree.as_os_str(),
        ]))
        .ok();
    }

    /// A command inside, and what it printed, without the end of the line.
    ///
    /// # Panics
    /// When it fails.
    pub fn inside(&self, name: &str, script: &str) -> String {
        let out = self.wxc(["attach", name, "--", "/bin/sh", "-c", script]).ok();
        out.trim_end().to_owned()
    }

    /// The state as `info` says it.
    ///
    /// # Panics
    /// When there is no such container.
    #[must_use]
    pub fn state(&self, name: &str) -> String {
        self.wxc(["info", name, "-s", "-H"]).ok().trim().to_owned()
    }

    /// The pid of init, as the machine sees it.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self, name: &str) -> i32 {
        let out = self.wxc(["info", name, "-p", "-H"]).ok();
        out.trim().parse().unwrap_or_else(|_| panic!("info -p -H printed {out:?}"))
    }

    /// The processes of this world: commands that have not ended, monitors, helpers.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        proc::touching(self.dir.path())
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect()
    }
}

impl Default for Env {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        for name in self.names() {
            let mut destroy = self.wxc(["destroy", "-f", "-s", &name]).into_command();
            // A test may have broken it on purpose; what matters is checked below.
            let _status = destroy.output();
        }
        // Monitors that did not listen; their guests end with them or were ended above.
        for pid in self.processes() {
            proc::kill(pid);
        }
    }
}

/// The program under test: the one named by the task that runs the tests, or built now.
///
/// # Panics
/// When it does not build.
pub fn wxc() -> &'static Path {
    static WXC: OnceLock<PathBuf> = OnceLock::new();
    WXC.get_or_init(|| std::env::var_os("WXC_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(root()).args(["build", "-p", "wxc", "--message-format=json-render-diagnostics"]);
    built(&mut build, "wxc")
}

/// Runs cargo, which then names the program `name`.
pub(crate) fn built(build: &mut Command, name: &str) -> PathBuf {
    let output = build.output().expect("cargo runs");
    assert!(output.status.success(), "{name} does not build: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the program it built")
}
