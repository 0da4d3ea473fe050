//! A Debian from a mirror: required packages and an init, into a directory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::{Results, Row};
use crate::storage::scratch::Scratch;
use crate::subject::{Failed, timed};

const MMDEBSTRAP: &str = "mmdebstrap";
const DEBOOTSTRAP: &str = "debootstrap";
const WXC: &str = "wxc (dir)";
const AGAIN: &str = "wxc (dir), packages here";
/// What the template adds to required packages, so that the trees are the same.
const INIT: &str = "systemd-sysv,dbus,iproute2,apt,systemd-resolved";

pub(super) fn measure(
    scratch: &Scratch,
    mirror: &str,
    runs: usize,
    results: &mut Results,
) -> Result<(), Failed> {
    let there =
        |program: &str| ["/usr/bin", "/usr/sbin"].iter().any(|at| Path::new(at).join(program).exists());
    let mut names = Vec::new();
    for name in [DEBOOTSTRAP, MMDEBSTRAP] {
        if there(name) {
            names.push(name);
        } else {
            results.missing.push(format!("{name} is not installed (cargo xtask setup --bench)"));
        }
    }
    names.extend([WXC, AGAIN]);
    let mut row = Row::new("trixie, minbase and an init, from a mirror", &names);
    for run in 0..runs.min(3) {
        eprint!("\rfrom a mirror: run {} of {} ", run + 1, runs.min(3));
        for name in &names {
            let tree = scratch.file("tree");
            let mut command = match *name {
                MMDEBSTRAP => {
                    let mut command = Command::new(MMDEBSTRAP);
                    let include = format!("--include={INIT}");
                    command.args(["--variant=minbase", &include, "trixie"]).arg(&tree).arg(mirror);
                    command
                }
                DEBOOTSTRAP => {
                    let mut command = Command::new("/usr/sbin/debootstrap");
                    let include = format!("--include={INIT}");
                    command.args(["--variant=minbase", &include, "trixie"]).arg(&tree).arg(mirror);
                    command
                }
                _ => {
                    let mut command = scratch.wxc().command("create");
                    command
                        .args(["d", "-B", "dir", "-t", "debian", "--", "-r", "trixie", "--mirror", mirror]);
                    command
                }
            };
            if *name == WXC {
                timed(prune(scratch))?;
            }
            command.env_remove("DEBIAN_FRONTEND");
            scratch.settle()?;
            let start = Instant::now();
            timed(command)?;
            let took = start.elapsed();
            if tree.exists() {
                fs::remove_dir_all(tree)?;
            } else {
                let mut destroy = scratch.wxc().command("destroy");
                destroy.arg("d");
                timed(destroy)?;
            }
            if let Some(samples) = row.of(name) {
                samples.time(took);
            }
        }
    }
    eprintln!();
    results.rows.push(row);
    Ok(())
}

/// What was downloaded, and what the template remembers of it.
fn prune(scratch: &Scratch) -> Command {
    let mut command = scratch.wxc().command("image");
    command.args(["prune", "--all"]);
    drop(fs::remove_dir_all(scratch.wxc().path.join(".plugin-state")));
    command
}
