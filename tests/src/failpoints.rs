//! The program with places to be killed at, and what is done there (`docs/testing.md`).

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{Env, Output, root};

/// What happens at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed.
    Kill,
    /// The step fails because the disk is full.
    Full,
    /// The step fails because the disk does.
    Broken,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kill, Self::Full, Self::Broken];

    fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Full => "enospc",
            Self::Broken => "eio",
        }
    }

    /// What the message of the command says.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Kill => "",
            Self::Full => "No space left on device",
            // Two C libraries, two wordings: "Input/output error" and "I/O error"; the number is the kernel's.
            Self::Broken => "error (os error 5)",
        }
    }
}

/// Runs a command with a fault at a site, such as `tree.write#2`: the second time that it is passed.
///
/// # Panics
/// When the program does not build.
#[must_use]
pub fn with_fault<S: AsRef<OsStr>>(env: &Env, args: &[S], fault: Fault, site: &str) -> Output {
    env.program(program(), args).env("WXC_FAILPOINT", format!("{}:{site}", fault.word())).run()
}

/// Runs a command to its end and tells the sites that it passed, in their order.
///
/// # Panics
/// When the command fails or passes none.
#[must_use]
pub fn sites<S: AsRef<OsStr>>(env: &Env, args: &[S]) -> Vec<String> {
    // Also an ordinary user can make it there.
    let file = env.file("home").join("passed");
    env.program(program(), args).env("WXC_FAILPOINTS_PASSED", &file).ok();
    let text = fs::read_to_string(&file).expect("the program passes sites");
    fs::remove_file(&file).expect("the file can be removed");
    text.lines().map(str::to_owned).collect()
}

/// Built once, from what the ordinary program is built from, under a name of its own.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(root()).args(["build", "-p", "wxc", "--features", "failpoints"]);
        build.args(["--example", "wxc-failpoints", "--message-format=json-render-diagnostics"]);
        crate::env::built(&mut build, "wxc-failpoints")
    })
}
