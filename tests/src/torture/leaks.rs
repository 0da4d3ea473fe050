//! What a killed command may have left: on the disk, in the kernel, in the registry of ids.

use std::fs;
use std::path::Path;

use super::content;
use super::model::Model;
use crate::world::{attached, mounts, registered};
use crate::{Env, until};

/// Between two steps, with the containers of `model` there.
pub(super) fn between(env: &Env, model: &Model) -> Result<(), String> {
    in_the_kernel(env)?;
    none("records in the journal", &names(&env.path().join(".journal")))?;
    let ids = registered(&env.path().display().to_string());
    let known = |line: &&String| {
        names_in(env, line).is_some_and(|name| model.0.contains_key(&name) || is_kept(env, &name))
    };
    let unknown: Vec<String> = ids.iter().filter(|line| !known(line)).cloned().collect();
    none("ids of containers that are gone", &unknown)?;
    for name in model.names() {
        let home = env.container(name);
        stray(&home)?;
        for snapshot in names(&home.join("snaps")) {
            stray(&home.join("snaps").join(snapshot))?;
        }
    }
    let others: Vec<String> = names(&env.path())
        .into_iter()
        .filter(|name| !name.starts_with('.') && name != "lost+found")
        .filter(|name| !model.0.contains_key(name) && !is_kept(env, name))
        .collect();
    none("directories of no container", &others)
}

/// When everything has been destroyed.
pub(super) fn at_the_end(env: &Env) -> Result<(), String> {
    in_the_kernel(env)?;
    none("ids", &registered(&env.path().display().to_string()))?;
    none("subvolumes", &content::subvolumes(env))?;
    none("images", &names(&env.path().join(".images")))?;
    none("records in the journal", &names(&env.path().join(".journal")))?;
    let expected = [".images", ".journal", "lost+found"];
    let left: Vec<String> =
        names(&env.path()).into_iter().filter(|name| !expected.contains(&name.as_str())).collect();
    none("entries of the pool", &left)?;
    let runs: Vec<String> =
        names(&env.run_dir()).iter().flat_map(|key| names(&env.run_dir().join(key))).collect();
    let runs: Vec<String> =
        runs.into_iter().filter(|name| !name.starts_with('.') && !name.ends_with(".lock")).collect();
    none("run-time directories", &runs)
}

/// Processes, mounts, devices, cgroups. Some of them end a moment after the process that had them.
fn in_the_kernel(env: &Env) -> Result<(), String> {
    until("the processes' end", 20, || env.processes().is_empty().then_some(()));
    until("the devices' end", 20, || attached(&env.path()).is_empty().then_some(()));
    let top = format!(" {} ", env.path().display());
    let own = env.file("").display().to_string();
    let mounts: Vec<String> = mounts(&own).into_iter().filter(|line| !line.contains(&top)).collect();
    none("mounts", &mounts)?;
    none("cgroups", &cgroups(env))
}

/// The cgroups with the key of this directory of containers in their names.
fn cgroups(env: &Env) -> Vec<String> {
    let keys = names(&env.run_dir());
    let mut found = Vec::new();
    let mut directories = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if keys.iter().any(|key| !key.is_empty() && name.contains(key.as_str())) {
                    found.push(entry.path().display().to_string());
                }
                directories.push(entry.path());
            }
        }
    }
    found
}

/// Names that only something unfinished has.
fn stray(home: &Path) -> Result<(), String> {
    let unfinished =
        ["rootfs.new", "rootfs.removed", "rootdev.new", "rootdev.removed", "delta.next", ".partial"];
    let names = names(home);
    let is_stray = |name: &&String| {
        unfinished.contains(&name.as_str()) || name.ends_with(".part") || name.ends_with(".new")
    };
    let strays: Vec<String> = names.iter().filter(is_stray).cloned().collect();
    none(&format!("unfinished things in {}", home.display()), &strays)
}

/// The container that a line of the registry is about.
fn names_in(env: &Env, line: &str) -> Option<String> {
    let top = format!("{}/", env.path().display());
    let (_, rest) = line.split_once(&top)?;
    Some(rest.split('"').next()?.to_owned())
}

/// Its storage is kept for others.
fn is_kept(env: &Env, name: &str) -> bool {
    env.container(name).join(".kept").is_file()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn none(what: &str, found: &[String]) -> Result<(), String> {
    if found.is_empty() { Ok(()) } else { Err(format!("left behind, {what}: {found:?}")) }
}
