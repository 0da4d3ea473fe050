//! wxc, a release build.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::subject::{Failed, Subject, timed};

/// wxc with paths of its own.
pub(crate) struct Wxc {
    pub(crate) path: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) tree: &'static Path,
    pub(crate) privileged: bool,
}

impl Wxc {
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(wxc_tests::env::wxc());
        command.env("WXC_RUN_DIR", &self.run).arg("-P").arg(&self.path).arg(verb);
        command
    }

    fn one(&self, verb: &str, container: &str, words: &[&str]) -> Command {
        let mut command = self.command(verb);
        command.arg(container).args(words);
        command
    }
}

impl Subject for Wxc {
    fn name(&self) -> &'static str {
        if self.privileged { "wxc, privileged" } else { "wxc, user namespace" }
    }

    fn create(&self, container: &str) -> Result<(), Failed> {
        let mut command = self.one("create", container, &["-t", "local"]);
        if self.privileged {
            command.arg("--privileged");
        }
        command
            .args(["-s", "init.command=[\"/bin/sleep\", \"1000000\"]", "--", "--directory"])
            .arg(self.tree);
        timed(command).map(drop)
    }

    fn start(&self, container: &str) -> Command {
        self.one("start", container, &[])
    }

    fn once(&self, container: &str, program: &str) -> Command {
        self.one("start", container, &["-F", "--", program])
    }

    fn attach(&self, container: &str, program: &str) -> Command {
        self.one("attach", container, &["--", program])
    }

    fn state(&self, container: &str) -> Command {
        self.one("info", container, &["-s"])
    }

    fn pid(&self, container: &str) -> Command {
        self.one("info", container, &["-p", "-H"])
    }

    fn kill(&self, container: &str) -> Command {
        self.one("stop", container, &["-k"])
    }
}
