//! A full copy of a Debian tree, and its removal.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::scratch::Scratch;
use super::{LONG, Row, cow};
use crate::subject::{Failed, timed};

pub(super) fn measure(scratch: &Scratch, archive: &Path) -> Result<Vec<Row>, Failed> {
    let row = |what: &str| Row::new(format!("{what} (dir)"), scratch.filesystem);
    let (mut copy, mut destroy) = (row("full copy of a Debian"), row("destroy of it"));
    let folder = scratch.lxc().join("debian");
    fs::create_dir_all(folder.join("rootfs"))?;
    let mut unpack = Command::new("tar");
    unpack.args(["--numeric-owner", "-xpf"]).arg(archive).arg("-C").arg(folder.join("rootfs"));
    timed(unpack)?;
    let rootfs = format!("dir:{}", folder.join("rootfs").display());
    fs::write(folder.join("config"), cow::config("debian", &rootfs))?;
    let program = scratch.wxc();
    let mut create = program.command("create");
    create.args(["debian", "-t", "local", "--privileged", "-B", "dir", "--", "--tarball"]).arg(archive);
    timed(create)?;
    for run in 0..=LONG {
        eprint!("\rDebian on {}: run {} of {} ", scratch.filesystem, run + 1, LONG + 1);
        let keep = run > 0;
        let mut full = scratch.lxc_command("copy", "debian");
        full.args(["-N", "d"]);
        scratch.time_lxc(&mut copy, [full], keep)?;
        scratch.time_lxc(&mut destroy, [scratch.lxc_command("destroy", "d")], keep)?;
        let mut full = program.command("copy");
        full.args(["debian", "d"]);
        scratch.time_wxc(&mut copy, full, keep)?;
        let mut gone = program.command("destroy");
        gone.arg("d");
        scratch.time_wxc(&mut destroy, gone, keep)?;
    }
    eprintln!();
    Ok(vec![copy, destroy])
}
