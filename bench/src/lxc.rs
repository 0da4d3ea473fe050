//! LXC, as Debian packages it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::subject::{Failed, Subject};

/// The first id of the range for containers with a user namespace; LXC wants one to be given.
const FIRST_ID: u32 = 1_000_000;

/// LXC with a path of its own.
pub(crate) struct Lxc {
    pub(crate) path: PathBuf,
    pub(crate) tree: &'static Path,
    /// With a user namespace and an idmapped root file system, as wxc does by default.
    pub(crate) mapped: bool,
}

impl Lxc {
    fn command(&self, tool: &str, container: &str) -> Command {
        let mut command = Command::new(format!("/usr/bin/lxc-{tool}"));
        // Found in PATH, newuidmap would be run to write maps that root may write directly.
        command.env("PATH", "/nonexistent").arg("-P").arg(&self.path).args(["-n", container]);
        command
    }
}

impl Subject for Lxc {
    fn name(&self) -> &'static str {
        if self.mapped { "LXC, user namespace" } else { "LXC, privileged" }
    }

    fn create(&self, container: &str) -> Result<(), Failed> {
        let folder = self.path.join(container);
        fs::create_dir_all(&folder)?;
        let rootfs = folder.join("rootfs");
        let copied = Command::new("cp").arg("-a").arg(self.tree).arg(&rootfs).status()?;
        if !copied.success() {
            return Err("the root tree could not be copied".into());
        }
        let mut config = format!(
            "lxc.uts.name = {container}\nlxc.rootfs.path = dir:{}\nlxc.net.0.type = empty\n\
             lxc.mount.auto = proc:mixed sys:mixed\nlxc.init.cmd = /bin/sleep 1000000\n",
            rootfs.display()
        );
        if self.mapped {
            config.push_str("lxc.rootfs.options = idmap=container\n");
            for kind in ["u", "g"] {
                config.push_str(&format!("lxc.idmap = {kind} 0 {FIRST_ID} 65536\n"));
            }
        }
        fs::write(folder.join("config"), config)?;
        Ok(())
    }

    fn start(&self, container: &str) -> Command {
        self.command("start", container)
    }

    fn once(&self, container: &str, program: &str) -> Command {
        let mut command = self.command("execute", container);
        command.args(["--", program]);
        command
    }

    fn attach(&self, container: &str, program: &str) -> Command {
        let mut command = self.command("attach", container);
        command.args(["--clear-env", "--", program]);
        command
    }

    fn state(&self, container: &str) -> Command {
        let mut command = self.command("info", container);
        command.arg("-s");
        command
    }

    fn pid(&self, container: &str) -> Command {
        let mut command = self.command("info", container);
        command.args(["-p", "-H"]);
        command
    }

    fn kill(&self, container: &str) -> Command {
        let mut command = self.command("stop", container);
        command.arg("-k");
        command
    }
}
