//! A container that shares its root with another one, through its life.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::Row;
use super::scratch::{Scratch, gone};
use crate::subject::{Failed, Subject as _, timed};

/// The things, in their order.
struct Rows {
    clone: Row,
    snapshot: Row,
    restore: Row,
    destroy: Row,
    ephemeral: Row,
}

/// Runs whose times are not kept: they fill caches, and the first clone of wxc seals its original.
const WARM: usize = 2;

pub(super) fn measure(scratch: &Scratch, runs: usize) -> Result<Vec<Row>, Failed> {
    let filesystem = scratch.filesystem;
    let storage = if filesystem == "btrfs" { "btrfs" } else { "overlay" };
    let row = |what: &str| Row::new(format!("{what} ({storage})"), filesystem);
    let mut rows = Rows {
        clone: row("clone, copy-on-write"),
        snapshot: row("snapshot of the clone"),
        restore: row("restore of it"),
        destroy: row("destroy of the clone"),
        ephemeral: row("throw-away copy, from start until it is gone"),
    };
    base(scratch, storage)?;
    let program = scratch.wxc();
    let mut create = program.command("create");
    create.args(["base", "-t", "local", "--privileged", "-B", storage]);
    create.args(["-s", "init.command=[\"/bin/sleep\", \"1000000\"]", "--", "--directory"]).arg(program.tree);
    timed(create)?;
    for run in 0..runs + WARM {
        eprint!("\r{storage} on {filesystem}: run {} of {} ", run + 1, runs + WARM);
        let keep = run >= WARM;
        lxc(scratch, storage, &mut rows, keep)?;
        wxc(scratch, &mut rows, keep)?;
    }
    eprintln!();
    timed(scratch.lxc_command("destroy", "base"))?;
    let mut destroy = program.command("destroy");
    destroy.arg("base");
    timed(destroy)?;
    Ok(vec![rows.clone, rows.snapshot, rows.restore, rows.destroy, rows.ephemeral])
}

/// LXC's original.
fn base(scratch: &Scratch, storage: &str) -> Result<(), Failed> {
    let folder = scratch.lxc().join("base");
    fs::create_dir_all(&folder)?;
    let rootfs = folder.join("rootfs");
    if storage == "btrfs" {
        let mut make = Command::new("btrfs");
        make.args(["-q", "subvolume", "create"]).arg(&rootfs);
        timed(make)?;
    } else {
        fs::create_dir(&rootfs)?;
    }
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(wxc_tests::fixtures::busybox().join(".")).arg(&rootfs);
    timed(copy)?;
    let kind = if storage == "btrfs" { "btrfs" } else { "dir" };
    fs::write(folder.join("config"), config("base", &format!("{kind}:{}", rootfs.display())))?;
    Ok(())
}

/// The configuration of one of LXC's containers.
pub(super) fn config(name: &str, rootfs: &str) -> String {
    format!(
        "lxc.uts.name = {name}\nlxc.rootfs.path = {rootfs}\nlxc.net.0.type = empty\n\
         lxc.mount.auto = proc:mixed sys:mixed\nlxc.init.cmd = /bin/sleep 1000000\n"
    )
}

fn with(mut command: Command, words: &[&str]) -> Command {
    command.args(words);
    command
}

fn lxc(scratch: &Scratch, storage: &str, rows: &mut Rows, keep: bool) -> Result<(), Failed> {
    let command = |tool, container, words: &[&str]| with(scratch.lxc_command(tool, container), words);
    let clone = command("copy", "base", &["-N", "c", "-s", "-B", storage]);
    scratch.time_lxc(&mut rows.clone, [clone], keep)?;
    scratch.time_lxc(&mut rows.snapshot, [command("snapshot", "c", &[])], keep)?;
    scratch.time_lxc(&mut rows.restore, [command("snapshot", "c", &["-r", "snap0"])], keep)?;
    timed(command("snapshot", "c", &["-d", "snap0"]))?;
    scratch.time_lxc(&mut rows.destroy, [command("destroy", "c", &[])], keep)?;
    // LXC 5 starts no container whose root is a btrfs subvolume.
    if storage == "overlay" {
        let start = command("copy", "base", &["-e", "-N", "e", "-B", storage]);
        let stop = command("stop", "e", &["-k"]);
        let took = ephemeral(start, stop, &scratch.lxc().join("e"))?;
        if keep {
            rows.ephemeral.lxc.time(took);
        }
    }
    Ok(())
}

fn wxc(scratch: &Scratch, rows: &mut Rows, keep: bool) -> Result<(), Failed> {
    let program = scratch.wxc();
    let command = |verb, words: &[&str]| with(program.command(verb), words);
    scratch.time_wxc(&mut rows.clone, command("copy", &["base", "c", "-s"]), keep)?;
    scratch.time_wxc(&mut rows.snapshot, command("snapshot", &["c"]), keep)?;
    scratch.time_wxc(&mut rows.restore, command("snapshot", &["c", "-r", "snap0"]), keep)?;
    timed(command("snapshot", &["c", "-d", "snap0"]))?;
    scratch.time_wxc(&mut rows.destroy, command("destroy", &["c"]), keep)?;
    let took = ephemeral(command("copy", &["base", "e", "-e"]), program.kill("e"), &program.path.join("e"))?;
    if keep {
        rows.ephemeral.wxc.time(took);
    }
    Ok(())
}

/// Nothing of a throw-away container has to be on the disk.
fn ephemeral(start: Command, stop: Command, directory: &Path) -> Result<std::time::Duration, Failed> {
    let since = Instant::now();
    timed(start)?;
    timed(stop)?;
    gone(directory)?;
    Ok(since.elapsed())
}
