//! A file system that LXC and wxc share for the length of a run.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use wxc_tests::mount::Mount;

use super::Row;
use crate::samples::Samples;
use crate::subject::{Failed, timed};
use crate::wxc::Wxc;

/// Mounted until dropped. The fields are dropped in their order.
pub(crate) struct Scratch {
    /// Any file of it, to have all of it written.
    root: File,
    mount: Mount,
    runtime: tempfile::TempDir,
    _place: tempfile::TempDir,
    pub(crate) filesystem: &'static str,
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new(filesystem: &'static str, room: u64) -> Result<Self, Failed> {
        // Not in /tmp, which may be memory; the run directory is, as /run is on most systems.
        let place = tempfile::Builder::new().prefix("wxc-bench").tempdir_in("/var/tmp")?;
        let runtime = tempfile::Builder::new().prefix("wxc-bench").tempdir_in("/dev/shm")?;
        let path = place.path().join("disk");
        let mount = Mount::disk(&path, filesystem, room);
        fs::create_dir(path.join("lxc"))?;
        Ok(Self { root: File::open(&path)?, mount, runtime, _place: place, filesystem, path })
    }

    /// Where LXC keeps containers.
    pub(crate) fn lxc(&self) -> PathBuf {
        self.path.join("lxc")
    }

    /// A place for other files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn wxc(&self) -> Wxc {
        Wxc {
            path: self.path.join("wxc"),
            run: self.runtime.path().join("run"),
            tree: wxc_tests::fixtures::busybox(),
            privileged: true,
        }
    }

    /// A command of LXC on this file system.
    pub(crate) fn lxc_command(&self, tool: &str, container: &str) -> Command {
        let mut command = Command::new(format!("/usr/bin/lxc-{tool}"));
        command.arg("-P").arg(self.lxc()).args(["-n", container]);
        command
    }

    pub(crate) fn settle(&self) -> Result<(), Failed> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }

    /// A command of wxc, alone on the disk.
    pub(crate) fn time_wxc(&self, row: &mut Row, command: Command, keep: bool) -> Result<(), Failed> {
        self.settle()?;
        let took = timed(command)?;
        if keep {
            row.wxc.time(took);
        }
        Ok(())
    }

    /// Commands of LXC one after the other; then what they left to be written is waited for.
    pub(crate) fn time_lxc(
        &self,
        row: &mut Row,
        commands: impl IntoIterator<Item = Command>,
        keep: bool,
    ) -> Result<(), Failed> {
        self.settle()?;
        let start = Instant::now();
        for command in commands {
            timed(command)?;
        }
        let took = start.elapsed();
        self.settle()?;
        if keep {
            row.lxc.time(took);
            row.lxc_durable.time(start.elapsed());
        }
        Ok(())
    }

    /// What a small promise costs on this disk.
    pub(crate) fn fsyncs(&self, runs: usize) -> Result<Samples, Failed> {
        let mut samples = Samples::default();
        for run in 0..runs {
            let path = self.file(&format!("fsync-{run}"));
            let start = Instant::now();
            let mut file = File::create_new(&path)?;
            file.write_all(&[7; 4096])?;
            file.sync_all()?;
            samples.time(start.elapsed());
            fs::remove_file(path)?;
        }
        Ok(samples)
    }

    /// Unmounts it.
    pub(crate) fn end(self) -> Result<(), Failed> {
        drop(self.root);
        let mut umount = Command::new("umount");
        umount.arg(self.mount.path());
        timed(umount)?;
        // Nothing is mounted there any more.
        std::mem::forget(self.mount);
        Ok(())
    }
}

/// Waits until a throw-away container is gone; both programs remove it after the command that stops it.
pub(crate) fn gone(directory: &Path) -> Result<(), Failed> {
    let start = Instant::now();
    while directory.exists() {
        if start.elapsed().as_secs() > 10 {
            return Err(format!("{} does not go away", directory.display()).into());
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    Ok(())
}
