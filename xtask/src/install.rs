//! `cargo xtask install`: a release build into a prefix, with man pages and completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{Result, build, option, output, run};

/// Shells, and where each looks for completions below the prefix.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/wxc"),
    ("zsh", "share/zsh/site-functions/_wxc"),
    ("fish", "share/fish/vendor_completions.d/wxc.fish"),
];

pub(crate) fn install(args: &[String]) -> Result<()> {
    let prefix = PathBuf::from(option(args, "--prefix").unwrap_or_else(|| "/usr/local".into()));
    let wxc = build("wxc", true)?;
    place(&wxc, &prefix.join("bin/wxc"))?;
    // The host's build makes the compiler beside the program it serves.
    place(&wxc.with_file_name("wxc-compile"), &prefix.join("bin/wxc-compile"))?;
    let pages = prefix.join("share/man/man1");
    fs::create_dir_all(&pages)?;
    let mut man = Command::new(&wxc);
    man.arg("man").arg(&pages);
    run(man)?;
    for (shell, file) in COMPLETIONS {
        let script = output(Command::new(&wxc).args(["completions", shell]))
            .ok_or_else(|| format!("wxc completions {shell} failed"))?;
        let file = prefix.join(file);
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&file, script)?;
    }
    println!("installed below {}", prefix.display());
    Ok(())
}

/// By a rename, so that a running wxc keeps the file it was started from.
fn place(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::copy(from, &new).map_err(|error| format!("{}: {error}", from.display()))?;
    fs::rename(&new, to)?;
    println!("{}", to.display());
    Ok(())
}
