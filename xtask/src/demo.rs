//! `cargo xtask demo`: builds wxc and shows one container from create to destroy. Nothing is
//! downloaded: the container is made of the machine's own `/usr`, which it sees read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::setup::{Needed, prepare};
use crate::shell::{Result, build, words};

const NAME: &str = "demo";

/// What is typed, and the sentence above it.
const STEPS: &[(&str, &[&str])] = &[
    (
        "A container from this machine's own /usr, read-only, with an /etc and a /var of its own.",
        &["create", NAME, "-t", "host"],
    ),
    ("What a start would do, without doing it (its first lines).", &["start", NAME, "--plan"]),
    ("Start it. The command returns when its init runs.", &["start", NAME]),
    (
        "Run a command in it: root inside, nobody outside, and its own processes only.",
        &[
            "attach",
            NAME,
            "--",
            "/bin/sh",
            "-c",
            "id; hostname; echo \"ids outside: $(cat /proc/self/uid_map)\"; ps -e 2>/dev/null || ls -d /proc/[0-9]*",
        ],
    ),
    ("What runs.", &["ls", "-f"]),
    ("More about this one.", &["info", NAME]),
    ("Stop it.", &["stop", NAME]),
    ("And remove it.", &["destroy", NAME]),
    ("The same in one line: a throw-away container.", &["run", "--", "/bin/echo", "hello from inside"]),
];

/// Containers of the demo, apart from the person's own; removed whatever happens.
struct Place {
    wxc: PathBuf,
    path: PathBuf,
}

pub(crate) fn demo(_: &[String]) -> Result<()> {
    prepare(Needed::Build)?;
    let wxc = build("wxc", false)?;
    // Not below the checkout, which may be where other users' ids cannot reach.
    let path = std::env::temp_dir().join(format!("wxc-demo-{}", std::process::id()));
    fs::create_dir(&path)?;
    let place = Place { wxc, path };
    for (why, args) in STEPS {
        place.step(why, args)?;
    }
    println!("\nThat was it; nothing of it is left. What to read next is in README.md.");
    Ok(())
}

impl Place {
    fn wxc(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.wxc);
        command.arg("-P").arg(&self.path).args(args).stdin(Stdio::null());
        command
    }

    fn step(&self, why: &str, args: &[&str]) -> Result<()> {
        let mut command = self.wxc(args);
        println!("\n\x1b[1m# {why}\x1b[0m\n$ wxc {}", shown(args));
        if args.contains(&"--plan") {
            let output = command.stderr(Stdio::inherit()).output()?;
            for line in String::from_utf8_lossy(&output.stdout).lines().take(12) {
                println!("{line}");
            }
            return if output.status.success() { Ok(()) } else { Err(failed(args)) };
        }
        if command.status()?.success() { Ok(()) } else { Err(failed(args)) }
    }
}

fn shown(args: &[&str]) -> String {
    let mut command = Command::new("wxc");
    command.args(args);
    words(&command).trim_start_matches("wxc ").to_owned()
}

fn failed(args: &[&str]) -> Box<dyn std::error::Error> {
    format!("wxc {} failed", shown(args)).into()
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(self, &self.path);
    }
}

/// Quietly: after the last step there is nothing left to destroy, and that is no news.
fn remove(place: &Place, path: &Path) {
    let left = path.join(NAME).exists()
        && !place
            .wxc(&["destroy", "-f", NAME])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if left {
        eprintln!("the demo's container could not be removed; it is in {}", path.display());
    } else if let Err(error) = fs::remove_dir_all(path) {
        eprintln!("{}: {error}", path.display());
    }
}
