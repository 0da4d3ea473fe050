//! A thousand containers, of which a few run.

use std::fs;

use super::scratch::Scratch;
use super::{LONG, Row, cow};
use crate::subject::{Failed, Subject as _, timed};
use crate::wxc::Wxc;

const ALL: usize = 1000;
const RUNNING: usize = 50;

/// `ls -f`. All share one tree: what is in them makes no difference to a list.
pub(super) fn measure(scratch: &Scratch) -> Result<Row, Failed> {
    let mut row =
        Row::new(format!("ls -f of {ALL} containers, {RUNNING} of them running"), scratch.filesystem);
    // A directory of their own, so that there are no more than these.
    let program = Wxc { path: scratch.file("many-wxc"), ..scratch.wxc() };
    let lxc = scratch.file("many-lxc");
    let command = |tool: &str| {
        let mut command = std::process::Command::new(format!("/usr/bin/lxc-{tool}"));
        command.arg("-P").arg(&lxc);
        command
    };
    let _stopped = Stop(&program, &lxc);
    let tree = format!("dir:{}", program.tree.display());
    for container in 0..ALL {
        let name = name(container);
        fs::create_dir_all(lxc.join(&name))?;
        fs::write(lxc.join(&name).join("config"), cow::config(&name, &tree))?;
    }
    let archive = wxc_tests::fixtures::busybox_archive(wxc_tests::fixtures::Packed::Plain);
    for container in 0..ALL {
        eprint!("\rlist: {} of {ALL} ", container + 1);
        let mut create = program.command("create");
        create.args([name(container).as_str(), "-t", "local", "--privileged", "-B", "overlay"]);
        create.args(["-s", "init.command=[\"/bin/sleep\", \"1000000\"]", "--", "--tarball"]).arg(&archive);
        timed(create)?;
    }
    eprintln!();
    for container in 0..RUNNING {
        // Spread over the list.
        let name = name(container * (ALL / RUNNING));
        let mut start = command("start");
        start.args(["-n", &name]);
        timed(start)?;
        timed(program.start(&name))?;
    }
    for run in 0..=LONG {
        let mut list = command("ls");
        list.arg("-f");
        scratch.time_lxc(&mut row, [list], run > 0)?;
        let mut list = program.command("ls");
        list.arg("-f");
        scratch.time_wxc(&mut row, list, run > 0)?;
    }
    // Nothing is written by a list.
    row.lxc_durable = crate::samples::Samples::default();
    Ok(row)
}

fn name(container: usize) -> String {
    format!("m{container:03}")
}

/// Stops what runs, also after an error.
struct Stop<'a>(&'a Wxc, &'a std::path::Path);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        for container in (0..ALL).step_by(ALL / RUNNING) {
            let name = name(container);
            let mut lxc = std::process::Command::new("/usr/bin/lxc-stop");
            lxc.arg("-P").arg(self.1).args(["-k", "-n", &name]);
            // What does not run says so.
            let _stopped = lxc.output();
            let _stopped = self.0.kill(&name).output();
        }
    }
}
