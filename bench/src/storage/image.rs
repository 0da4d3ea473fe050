//! A container made from an archive that was seen before.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::scratch::Scratch;
use super::{LONG, Row};
use crate::subject::{Failed, timed};

/// wxc keeps what it unpacked; LXC's template unpacks each time.
pub(super) fn measure(scratch: &Scratch, archive: &Path, runs: usize) -> Result<Vec<Row>, Failed> {
    let storage = if scratch.filesystem == "btrfs" { "btrfs" } else { "overlay" };
    let mut row = Row::new(format!("create of a Debian from a cached image ({storage})"), scratch.filesystem);
    let program = scratch.wxc();
    for run in 0..=runs {
        eprint!("\rcreate on {}: run {} of {} ", scratch.filesystem, run + 1, runs + 1);
        let mut create = program.command("create");
        create.args(["i", "-t", "local", "--privileged", "-B", storage, "--", "--tarball"]).arg(archive);
        scratch.time_wxc(&mut row, create, run > 0)?;
        let mut destroy = program.command("destroy");
        destroy.arg("i");
        timed(destroy)?;
    }
    eprintln!();
    // The same on either file system: once is enough to see what it is.
    if scratch.filesystem == "ext4" {
        lxc(scratch, archive, &mut row)?;
    }
    Ok(vec![row])
}

fn lxc(scratch: &Scratch, archive: &Path, row: &mut Row) -> Result<(), Failed> {
    let (tree, metadata) = packed(scratch, archive)?;
    for _ in 0..LONG.min(3) {
        let mut create = scratch.lxc_command("create", "i");
        create.args(["-t", "local", "-f", "/dev/null", "--", "-m"]).arg(&metadata).arg("-f").arg(&tree);
        scratch.time_lxc(row, [create], true)?;
        timed(scratch.lxc_command("destroy", "i"))?;
    }
    Ok(())
}

/// The archive as LXC's template wants it: with xz, and a second one that describes it.
fn packed(scratch: &Scratch, archive: &Path) -> Result<(std::path::PathBuf, std::path::PathBuf), Failed> {
    let (tree, metadata) = (scratch.file("tree.tar.xz"), scratch.file("meta.tar.xz"));
    let mut pack = Command::new("sh");
    pack.args(["-c", "zstd -qdc \"$0\" | xz -T0 -1 > \"$1\""]).arg(archive).arg(&tree);
    timed(pack)?;
    fs::write(scratch.file("config"), "lxc.net.0.type = empty\n")?;
    let mut describe = Command::new("tar");
    describe.arg("-cJf").arg(&metadata).arg("-C").arg(scratch.file("")).arg("config");
    timed(describe)?;
    Ok((tree, metadata))
}
