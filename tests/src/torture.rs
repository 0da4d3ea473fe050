//! Random commands on a few containers, killed at random instants; after each, everything is as before or as after.
//!
//! A round is a fresh pool of one storage, some dozens of steps, and an end at which nothing may be left. What is to be there is
//! kept in a [`Model`], with the content of every container and snapshot; what is there is read from the disk and not asked of
//! wxc ([`content`]). A seed leads to the same steps, though not to the same instants.

/// Content, read in another way than wxc's.
mod content;
/// What a killed command may have left anywhere.
mod leaks;
/// What there is to be.
mod model;
/// One command, and how it is killed.
mod step;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::{Env, Run, fixtures, until};
use content::Manifest;
use model::Model;
use step::{Ended, Killer, Step};

/// The storages that are tried, each on its file system.
pub const STORAGES: [&str; 4] = ["dir", "overlay", "btrfs", "loop"];
/// Steps of a round.
const STEPS: usize = 40;

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    pub duration: Duration,
    /// One of [`STORAGES`]; each in turn if none is said.
    pub storage: Option<String>,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Done {
    pub rounds: usize,
    pub steps: usize,
    pub killed: usize,
}

/// Goes on until the time is over.
///
/// # Errors
/// The first thing that is not as it has to be, with everything that led to it.
pub fn torture(options: &Options) -> Result<Done, String> {
    let (start, mut done) = (Instant::now(), Done::default());
    let storages: Vec<&str> = match &options.storage {
        Some(storage) => vec![storage],
        None => STORAGES.to_vec(),
    };
    while start.elapsed() < options.duration {
        let storage = storages[done.rounds % storages.len()];
        let seed = options.seed.wrapping_add(done.rounds as u64);
        let mut round = Round::new(storage, seed);
        let until = start + options.duration;
        round.run(until, &mut done).map_err(|wrong| round.report(&wrong, seed))?;
        done.rounds += 1;
    }
    Ok(done)
}

/// A pool of one storage, and what is in it.
struct Round {
    env: Env,
    storage: String,
    rng: Rng,
    killer: Killer,
    model: Model,
    /// What new containers have in them.
    fresh: Manifest,
    tree: PathBuf,
    log: String,
}

impl Round {
    fn new(storage: &str, seed: u64) -> Self {
        let env = Env::in_memory(if storage == "btrfs" { "btrfs" } else { "ext4" });
        let tree = plant(&env);
        let fresh = content::tree(&tree);
        Self {
            storage: storage.to_owned(),
            rng: Rng::with_seed(seed),
            killer: Killer::default(),
            model: Model::default(),
            fresh,
            tree,
            log: String::new(),
            env,
        }
    }

    fn run(&mut self, until: Instant, done: &mut Done) -> Result<(), String> {
        for _ in 0..STEPS {
            if Instant::now() > until {
                break;
            }
            done.killed += usize::from(self.step()?);
            done.steps += 1;
        }
        self.end()
    }

    /// One step; whether a command was killed in it.
    fn step(&mut self) -> Result<bool, String> {
        let step = Step::random(&mut self.rng, &self.model, &self.storage);
        let mut allowed = vec![self.model.clone(), self.model.after(&step, &self.fresh)];
        let command = self.words(&step);
        let ended = match &step {
            Step::Write { name, number } => {
                let written = content::write(&self.env, name, *number)?;
                if let Some(container) = allowed[1].0.get_mut(name) {
                    container.content = content::volume(&self.env, &self.env.container(name))?;
                }
                Ended::Itself { code: i32::from(!written), stderr: "error: others are built on it".into() }
            }
            _ => self.killer.run(&self.env, &mut self.rng, step.verb(), &command),
        };
        self.note(&format!("{} -> {ended:?}", command.join(" ")));
        match &ended {
            Ended::Itself { code: 0, .. } => drop(allowed.remove(0)),
            Ended::Itself { stderr, .. } if step::is_refusal(stderr) => drop(allowed.pop()),
            Ended::Itself { code, stderr } => return Err(format!("exit code {code} unexpected: {stderr}")),
            Ended::Killed => {}
        }
        if let Step::Start { name } = &step {
            self.settle_running(name)?;
        }
        if ended == Ended::Killed && self.rng.bool() {
            self.again(&step, &command, &mut allowed)?;
        }
        self.wxc_ok(&["doctor", "--repair"])?;
        self.compare(&allowed)?;
        self.wxc_ok(&["doctor"])?;
        leaks::between(&self.env, &self.model)?;
        Ok(ended == Ended::Killed)
    }

    /// The command that was killed, typed again.
    fn again(&mut self, step: &Step, command: &[String], allowed: &mut Vec<Model>) -> Result<(), String> {
        if matches!(step, Step::Start { .. }) {
            return Ok(());
        }
        let out = self.env.wxc(command).run();
        self.note(&format!("again -> {} {}", out.code(), out.stderr));
        match out.code() {
            0 => drop(allowed.remove(0)),
            _ if step::is_refusal(&out.stderr) => {}
            code => return Err(format!("typed again, exit code {code} unexpected: {}", out.told())),
        }
        Ok(())
    }

    /// What was started runs or does not, and is stopped.
    fn settle_running(&mut self, name: &str) -> Result<(), String> {
        let mut state = String::new();
        until("a settled state", 20, || {
            state = self.env.wxc(["info", name, "-s", "-H"]).run().stdout.trim().to_owned();
            let settled = state == "RUNNING" || state == "STOPPED" && self.env.processes().is_empty();
            settled.then_some(())
        });
        self.note(&format!("{name} is {state}"));
        if state == "RUNNING" {
            self.wxc_ok(&["stop", "-k", name])?;
        }
        Ok(())
    }

    /// What is there has to be one of these, and is then what there is to be.
    fn compare(&mut self, allowed: &[Model]) -> Result<(), String> {
        let found = Model::found(&self.env)?;
        let listed = self.env.wxc(["ls", "-1"]).run();
        let listed: Vec<&str> = listed.stdout.lines().collect();
        if !found.names().eq(listed.iter().copied()) {
            return Err(format!(
                "on disk there are {:?}, and listed are {listed:?}",
                found.names().collect::<Vec<_>>()
            ));
        }
        if allowed.contains(&found) {
            self.model = found;
            return Ok(());
        }
        let mut wrong = String::from("neither as before nor as after:\n");
        for (index, model) in allowed.iter().enumerate() {
            let _written = write!(
                wrong,
                "from what is allowed ({index}) to what is there:\n{}",
                model.difference(&found)
            );
        }
        Err(wrong)
    }

    /// Everything is destroyed, and nothing is left.
    fn end(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.model.names().map(str::to_owned).collect();
        for name in names {
            self.wxc_ok(&["destroy", "-f", "-s", &name])?;
        }
        self.wxc_ok(&["image", "prune"])?;
        self.wxc_ok(&["doctor"])?;
        leaks::at_the_end(&self.env)
    }

    fn words(&self, step: &Step) -> Vec<String> {
        step.words(&self.storage, &self.tree.display().to_string())
    }

    fn wxc_ok(&mut self, words: &[&str]) -> Result<(), String> {
        let out = self.env.wxc(words).run();
        if out.code() != 0 || !out.stderr.starts_with("nothing is wrong") {
            self.note(&out.told());
        }
        if out.code() == 0 { Ok(()) } else { Err(out.told()) }
    }

    fn note(&mut self, line: &str) {
        let _written = writeln!(self.log, "{line}");
    }

    fn report(&self, wrong: &str, seed: u64) -> String {
        let lines: Vec<&str> = self.log.lines().collect();
        let last = lines[lines.len().saturating_sub(60)..].join("\n");
        format!(
            "{}, seed {seed} (--seed {seed} -B {}):\n{last}\n{wrong}",
            self.env.path().display(),
            self.storage
        )
    }
}

/// A root with one of everything in it and a program that can run; the same as an archive is beside it.
fn plant(env: &Env) -> PathBuf {
    let tree = env.file("tree");
    for directory in ["bin", "dev", "proc", "sys", "run", "tmp", "etc/deep/er", "var/lib", "empty"] {
        fs::create_dir_all(tree.join(directory)).expect("a directory of the tree");
    }
    let busybox = fixtures::busybox_program().expect("needs!(busybox)");
    fs::copy(busybox, tree.join("bin/busybox")).expect("a program for the tree");
    let file = |name: &str, content: &[u8], mode: u32| {
        let path = tree.join(name);
        fs::write(&path, content).expect("a file of the tree");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode of a file");
    };
    file("etc/hostname", b"tree\n", 0o644);
    file("etc/machine-id", b"0123456789abcdef0123456789abcdef\n", 0o444);
    file("etc/deep/er/secret", &[7; 5000], 0o600);
    file("bin/set-id", b"#!/bin/sh\n", 0o4755);
    file("var/lib/\u{e4} odd\nname", b"", 0o640);
    let sparse = fs::File::create(tree.join("var/sparse")).expect("a sparse file");
    sparse.set_len(3 << 20).and_then(|()| (&sparse).write_all(b"head")).expect("a sparse file");
    fs::hard_link(tree.join("bin/set-id"), tree.join("var/same")).expect("a second name");
    for (link, target) in [("bin/sh", "busybox"), ("etc/dangling", "/nowhere")] {
        std::os::unix::fs::symlink(target, tree.join(link)).expect("a link");
    }
    // Not as a library writes it, which knows no second names.
    let archive = [OsStr::new("--create"), OsStr::new("--numeric-owner"), OsStr::new("--file")];
    let (file, from) = (env.file("tree.tar"), [OsStr::new("-C"), tree.as_os_str(), OsStr::new(".")]);
    Run::host("tar", archive.into_iter().chain([file.as_os_str()]).chain(from)).ok();
    tree
}
