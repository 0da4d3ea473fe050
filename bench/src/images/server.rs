//! An image of a server: with nothing here, over a line of ten megabytes a second, and once more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use wxc_tests::fixtures::packed;
use wxc_tests::server::Server;

use super::{Results, Row};
use crate::storage::scratch::Scratch;
use crate::subject::{Failed, timed};

const LXC: &str = "LXC";
const DIR: &str = "wxc (dir)";
const OVERLAY: &str = "wxc (overlay)";
/// A good line of an office, in bytes per second.
const LINE: u64 = 10 << 20;

struct Bench<'a> {
    scratch: &'a Scratch,
    server: Server,
    /// `wxc.toml`, and wget's configuration, both with the server's certificate.
    home: PathBuf,
}

pub(super) fn measure(
    scratch: &Scratch,
    archive: &Path,
    runs: usize,
    results: &mut Results,
) -> Result<(), Failed> {
    let home = scratch.file("home");
    fs::create_dir(&home)?;
    let server = Server::start(&home);
    let root = repacked(scratch, archive)?;
    results.image = format!("{} MiB of xz with several blocks", root.len() >> 20);
    let config = "lxc.arch = x86_64\nlxc.init.cmd = /sbin/init\n";
    let metadata = packed(&[
        ("config", config),
        ("config-user", config),
        ("create-message", "\n"),
        ("expiry", "4000000000\n"),
    ]);
    server.flat_image(["debian", "trixie", "amd64", "default", "20260722_05:24"], root, metadata);
    fs::write(home.join("wxc.toml"), server.remote("local"))?;
    fs::write(home.join("wgetrc"), format!("ca_certificate = {}\n", server.ca().display()))?;
    let bench = Bench { scratch, server, home };
    bench.uncached(runs, None, results)?;
    bench.uncached(runs.min(3), Some(LINE), results)?;
    bench.cached(runs, results)
}

/// As distrobuilder packs: with all processors, in blocks.
fn repacked(scratch: &Scratch, archive: &Path) -> Result<Vec<u8>, Failed> {
    let tree = scratch.file("image.tar.xz");
    let mut pack = Command::new("sh");
    pack.args(["-c", "zstd -qdc \"$0\" | xz -T0 -6 > \"$1\""]).arg(archive).arg(&tree);
    timed(pack)?;
    Ok(fs::read(tree)?)
}

impl Bench<'_> {
    fn uncached(&self, runs: usize, line: Option<u64>, results: &mut Results) -> Result<(), Failed> {
        let how = match line {
            None => "nothing here".to_owned(),
            Some(line) => format!("nothing here, a line of {} MiB/s", line >> 20),
        };
        let mut row = Row::new(format!("create from a server, {how}"), &[LXC, DIR, OVERLAY]);
        let mut memory = crate::samples::Samples::default();
        self.server.pace(line);
        for run in 0..=runs {
            eprint!("\r{how}: run {} of {} ", run + 1, runs + 1);
            for name in [LXC, DIR, OVERLAY] {
                self.forget()?;
                let start = Instant::now();
                let kib = self.create(name)?;
                let took = start.elapsed();
                self.destroy(name)?;
                if run > 0
                    && let Some(samples) = row.of(name)
                {
                    samples.time(took);
                }
                if let Some(kib) = kib.filter(|_| run > 0 && name == DIR) {
                    memory.add(kib);
                }
            }
        }
        eprintln!();
        self.server.pace(None);
        results.rows.push(row);
        if line.is_none() {
            results.memory.push(("create from a server, nothing here (dir)", memory));
        }
        Ok(())
    }

    fn cached(&self, runs: usize, results: &mut Results) -> Result<(), Failed> {
        let mut row = Row::new("create of an image that is here", &[LXC, DIR, OVERLAY]);
        for name in [LXC, DIR, OVERLAY] {
            self.create(name)?;
            self.destroy(name)?;
        }
        for run in 0..=runs {
            eprint!("\ronce more: run {} of {} ", run + 1, runs + 1);
            for name in [LXC, DIR, OVERLAY] {
                self.scratch.settle()?;
                let start = Instant::now();
                self.create(name)?;
                let took = start.elapsed();
                self.destroy(name)?;
                if run > 0
                    && let Some(samples) = row.of(name)
                {
                    samples.time(took);
                }
            }
        }
        eprintln!();
        results.rows.push(row);
        Ok(())
    }

    fn wxc(&self, verb: &[&str]) -> Command {
        let program = self.scratch.wxc();
        let mut command = program.command(verb.first().copied().unwrap_or_default());
        command.args(verb.get(1..).unwrap_or_default()).env("WXC_CONFIG_DIR", &self.home);
        command
    }

    /// Makes the container; the largest process of wxc's, in KiB, where time(1) is there to say it.
    fn create(&self, name: &str) -> Result<Option<f64>, Failed> {
        let image = ["-d", "debian", "-r", "trixie", "-a", "amd64"];
        if name == LXC {
            let mut create = self.scratch.lxc_command("create", "i");
            create.args(["-t", "download", "-f", "/dev/null", "--"]).args(image);
            let server = self.server.url().replace("https://", "");
            create.args(["--server", &server]);
            create
                .env("LXC_CACHE_PATH", self.scratch.file("lxc-cache"))
                .env("WGETRC", self.home.join("wgetrc"));
            return timed(create).map(|_| None);
        }
        let storage = if name == DIR { "dir" } else { "overlay" };
        let mut create = self.wxc(&[
            "create",
            "i",
            "--privileged",
            "-t",
            "download",
            "-B",
            storage,
            "--",
            "--server",
            "local",
        ]);
        create.args(image);
        if name != DIR || !Path::new("/usr/bin/time").exists() {
            return timed(create).map(|_| None);
        }
        let told = self.scratch.file("time");
        let mut counted = Command::new("/usr/bin/time");
        counted.args(["-f", "%M", "-o"]).arg(&told).arg(create.get_program()).args(create.get_args());
        counted.envs(create.get_envs().filter_map(|(key, value)| Some((key, value?))));
        timed(counted)?;
        Ok(Some(fs::read_to_string(told)?.trim().parse()?))
    }

    fn destroy(&self, name: &str) -> Result<(), Failed> {
        if name == LXC {
            return timed(self.scratch.lxc_command("destroy", "i")).map(drop);
        }
        timed(self.wxc(&["destroy", "i"])).map(drop)
    }

    /// Nothing of the image is here any more.
    fn forget(&self) -> Result<(), Failed> {
        let cache = self.scratch.file("lxc-cache");
        if cache.exists() {
            fs::remove_dir_all(cache)?;
        }
        timed(self.wxc(&["image", "prune", "--all"]))?;
        self.scratch.settle()
    }
}
