//! What plugins in Python and JavaScript are built with, below `target/tools`: the very files that `wxc plugin new` writes say
//! which tool, and of which version.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::shell::{Result, output, root, run};

/// A language whose tools are installed by its own package manager.
struct Language {
    name: &'static str,
    /// The program that has to be there.
    manager: &'static str,
    /// What names the tool, below `host/scaffold/lang`.
    list: &'static str,
    /// Installs into a folder that holds the list.
    install: fn(&Path) -> Result<()>,
}

const LANGUAGES: &[Language] = &[
    Language { name: "python", manager: "python3", list: "python/requirements.txt", install: python },
    Language { name: "js", manager: "npm", list: "js/package.json", install: javascript },
];

/// Installs what is missing or of another version. Whatever fails costs the tests that need it, and nothing else.
pub(crate) fn prepare() {
    for language in LANGUAGES {
        if let Err(error) = one(language) {
            eprintln!("setup: no plugins in {} here: {error}", language.name);
        }
    }
}

fn one(language: &Language) -> Result<()> {
    let wanted = fs::read_to_string(root().join("host/scaffold/lang").join(language.list))?;
    let folder = root().join("target/tools").join(language.name);
    let record = folder.join("installed");
    if fs::read_to_string(&record).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if output(Command::new(language.manager).arg("--version")).is_none() {
        return Err(format!("{} is not installed", language.manager).into());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let file = Path::new(language.list).file_name().unwrap_or_default();
    // A name that npm takes for one.
    fs::write(folder.join(file), wanted.replace("@NAME@", "plugins"))?;
    (language.install)(&folder)?;
    // The last step: without it everything is done again.
    Ok(fs::write(record, wanted)?)
}

fn python(folder: &Path) -> Result<()> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder);
    run(venv)?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(folder.join("requirements.txt"));
    run(pip)
}

fn javascript(folder: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(folder);
    run(npm)
}
