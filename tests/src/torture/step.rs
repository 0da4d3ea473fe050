//! One command: chosen at random, and killed at a random instant.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process_group};

use super::model::Model;
use crate::Env;

/// Names of containers; few, so that they meet.
const NAMES: [&str; 5] = ["ant", "bee", "cat", "dog", "elk"];
const SNAPSHOTS: [&str; 3] = ["one", "two", "three"];

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Create {
        name: String,
        image: bool,
    },
    Destroy {
        name: String,
        force: bool,
    },
    Copy {
        from: String,
        to: String,
        share: bool,
    },
    Rename {
        from: String,
        to: String,
    },
    Snapshot {
        name: String,
        snapshot: String,
    },
    Unsnapshot {
        name: String,
        snapshot: String,
    },
    Restore {
        name: String,
        snapshot: String,
    },
    Spawn {
        name: String,
        snapshot: String,
        new: String,
    },
    Resize {
        name: String,
        size: String,
    },
    Start {
        name: String,
    },
    Prune,
    /// Not a command: somebody changes what is inside.
    Write {
        name: String,
        number: u32,
    },
}

impl Step {
    /// One that makes sense most of the time.
    pub(super) fn random(rng: &mut Rng, model: &Model, storage: &str) -> Self {
        let there: Vec<&str> = model.names().collect();
        let free: Vec<&str> = NAMES.into_iter().filter(|name| !model.0.contains_key(*name)).collect();
        let (Some(name), false) = (rng.choice(&there).map(|name| (*name).to_owned()), rng.u8(..8) == 0)
        else {
            let name = rng.choice(&free).or(rng.choice(&there)).map_or("ant", |name| name).to_owned();
            return Self::Create { name, image: rng.bool() };
        };
        let to = rng.choice(&free).unwrap_or(&NAMES[0]).to_string();
        let snapshots: Vec<&String> = model.0[&name].snapshots.keys().collect();
        let known = rng.choice(&snapshots).map(|known| (*known).clone());
        let snapshot = rng.choice(SNAPSHOTS).unwrap_or_default().to_owned();
        let full = free.len() <= 1;
        match (rng.u8(..24), known) {
            (0..=2, _) => Self::Destroy { name, force: rng.u8(..4) == 0 },
            (3..=4, _) if !full => Self::Copy { from: name, to, share: false },
            (5..=7, _) if !full => Self::Copy { from: name, to, share: true },
            (8..=9, _) if !free.is_empty() => Self::Rename { from: name, to },
            (10..=11, Some(snapshot)) => Self::Unsnapshot { name, snapshot },
            (12..=14, Some(snapshot)) => Self::Restore { name, snapshot },
            (15..=16, Some(snapshot)) if !full => Self::Spawn { name, snapshot, new: to },
            (17, _) if storage == "btrfs" || storage == "loop" => {
                Self::Resize { name, size: rng.choice(["24M", "32M", "48M"]).unwrap_or_default().to_owned() }
            }
            (18, _) => Self::Prune,
            (19, _) => Self::Start { name },
            (20..=21, _) => Self::Write { name, number: rng.u32(..1000) },
            (3..=9, _) => Self::Destroy { name, force: false },
            _ => Self::Snapshot { name, snapshot },
        }
    }

    /// A word for what it takes.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Create { image: false, .. } => "create",
            Self::Create { image: true, .. } => "create from an archive",
            Self::Destroy { .. } => "destroy",
            Self::Copy { share: false, .. } => "copy",
            Self::Copy { share: true, .. } => "clone",
            Self::Rename { .. } => "rename",
            Self::Snapshot { .. } => "snapshot",
            Self::Unsnapshot { .. } => "unsnapshot",
            Self::Restore { .. } => "restore",
            Self::Spawn { .. } => "spawn",
            Self::Resize { .. } => "resize",
            Self::Start { .. } => "start",
            Self::Prune => "prune",
            Self::Write { .. } => "write",
        }
    }

    /// As it is typed.
    pub(super) fn words(&self, storage: &str, tree: &str) -> Vec<String> {
        let archive = format!("{tree}.tar");
        let words: Vec<&str> = match self {
            Self::Create { name, image } => {
                let size: &[&str] = if storage == "loop" { &["--size", "24M"] } else { &[] };
                let source = if *image { ["--tarball", &archive] } else { ["--directory", tree] };
                let command: &[&str] = &["init.command", "/bin/busybox sleep 1000"];
                let setting = format!("{}={}", command[0], command[1]);
                let all = ["create", name, "-t", "local", "-B", storage, "-s", &setting];
                let all = all.iter().chain(size).chain(&["--"]).chain(&source);
                return all.map(|word| (*word).to_owned()).collect();
            }
            Self::Destroy { name, force: true } => vec!["destroy", "-f", "-s", name],
            Self::Destroy { name, force: false } => vec!["destroy", "-s", name],
            Self::Copy { from, to, share: true } => vec!["copy", "-s", from, to],
            Self::Copy { from, to, share: false } => vec!["copy", from, to],
            Self::Rename { from, to } => vec!["copy", "-R", from, to],
            Self::Snapshot { name, snapshot } => vec!["snapshot", name, snapshot],
            Self::Unsnapshot { name, snapshot } => vec!["snapshot", name, "-d", snapshot],
            Self::Restore { name, snapshot } => vec!["snapshot", name, "-r", snapshot],
            Self::Spawn { name, snapshot, new } => vec!["snapshot", name, "-r", snapshot, "-N", new],
            Self::Resize { name, size } => vec!["resize", name, size],
            Self::Start { name } => vec!["start", name],
            Self::Prune => vec!["image", "prune"],
            Self::Write { name, .. } => vec!["write", name],
        };
        words.into_iter().map(str::to_owned).collect()
    }
}

/// Whether a command was refused for a reason that its words may well have: others are built on what it is about, the name is
/// taken or not there.
pub(super) fn is_refusal(stderr: &str) -> bool {
    let reasons = [
        "is built on",
        "are built on",
        "built on it",
        "is shared",
        "shared by",
        "exists already",
        "there is already",
        "already in",
        "there is a snapshot",
        "there is no",
        "no container",
        "is kept, because",
        "does not fit",
        "cannot be made smaller",
        "would lose what it is built on",
        "what is in volume",
    ];
    let text = stderr.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
    reasons.iter().any(|reason| text.contains(reason))
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Itself { code: i32, stderr: String },
    Killed,
}

/// Knows how long commands take.
#[derive(Debug, Default)]
pub(super) struct Killer {
    took: HashMap<&'static str, Duration>,
}

impl Killer {
    /// Runs a command, and kills it and whatever it has started in its process group at an instant that is as likely as any other;
    /// or one process of it at a system call that is.
    pub(super) fn run(&mut self, env: &Env, rng: &mut Rng, verb: &'static str, words: &[String]) -> Ended {
        let mut command = env.wxc(words).into_command();
        let known = self.took.get(verb).copied();
        let delay = known.filter(|_| rng.u8(..4) > 0).map(|took| took.mul_f64(rng.f64() * 1.1));
        // Whoever traces a start waits for the container's end.
        if delay.is_some() && verb != "start" && rng.u8(..4) == 0 && Path::new(STRACE).exists() {
            command = at_a_call(&command, rng.u32(1..1500));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let start = Instant::now();
        let mut child = command.spawn().expect("the program starts");
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let traced = command.get_program() == STRACE;
        if let Some(delay) = delay.filter(|_| !traced) {
            std::thread::sleep(delay);
            // That it has ended is as good.
            let _gone = group.map(|group| kill_process_group(group, Signal::KILL));
        }
        let mut stderr = String::new();
        let mut pipe = child.stderr.take();
        let _read = pipe.as_mut().map(|pipe| pipe.read_to_string(&mut stderr));
        let status = child.wait().expect("a child can be waited for");
        if traced {
            let _gone = group.map(|group| kill_process_group(group, Signal::KILL));
        }
        match status.code() {
            Some(code) if status.signal().is_none() => {
                if delay.is_none() {
                    let took = start.elapsed();
                    let mean = known.map_or(took, |known| (known * 3 + took) / 4);
                    self.took.insert(verb, mean);
                }
                Ended::Itself { code, stderr }
            }
            _ => Ended::Killed,
        }
    }
}

const STRACE: &str = "/usr/bin/strace";

/// The same command, of which a process is killed at one of its system calls.
fn at_a_call(command: &Command, number: u32) -> Command {
    let mut traced = Command::new(STRACE);
    let inject = format!("inject=all:signal=KILL:when={number}");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, "--"]);
    traced.arg(command.get_program()).args(command.get_args());
    traced.env_clear();
    traced.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    if let Some(directory) = command.get_current_dir() {
        traced.current_dir(directory);
    }
    traced
}
