//! What there is to be: containers, their snapshots, and the content of both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::content::{self, Manifest};
use super::step::Step;
use crate::Env;

/// Everything that a person can see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model(pub(super) BTreeMap<String, Container>);

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) content: Manifest,
    pub(super) snapshots: BTreeMap<String, Manifest>,
}

impl Model {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What is on the disk. A directory is a container when it has a `container.toml`.
    pub(super) fn found(env: &Env) -> Result<Self, String> {
        let mut model = Self::default();
        for name in names_with(&env.path(), "container.toml") {
            let home = env.container(&name);
            let mut snapshots = BTreeMap::new();
            for snapshot in names_with(&home.join("snaps"), "snapshot.toml") {
                snapshots
                    .insert(snapshot.clone(), content::volume(env, &home.join("snaps").join(&snapshot))?);
            }
            model.0.insert(name, Container { content: content::volume(env, &home)?, snapshots });
        }
        Ok(model)
    }

    /// What there is when a step has been made; `fresh` is the content of new containers. What is written is not known before.
    pub(super) fn after(&self, step: &Step, fresh: &Manifest) -> Self {
        let mut after = self.clone();
        let all = &mut after.0;
        let of = |name: &str| self.0.get(name).map(|container| container.content.clone()).unwrap_or_default();
        let alone = |content: Manifest| Container { content, snapshots: BTreeMap::new() };
        match step {
            Step::Create { name, .. } => drop(all.insert(name.clone(), alone(fresh.clone()))),
            Step::Destroy { name, .. } => drop(all.remove(name)),
            Step::Copy { from, to, .. } => drop(all.insert(to.clone(), alone(of(from)))),
            Step::Rename { from, to } => {
                if let Some(container) = all.remove(from) {
                    all.insert(to.clone(), container);
                }
            }
            Step::Snapshot { name, snapshot } => {
                if let Some(container) = all.get_mut(name) {
                    container.snapshots.insert(snapshot.clone(), container.content.clone());
                }
            }
            Step::Unsnapshot { name, snapshot } => {
                if let Some(container) = all.get_mut(name) {
                    container.snapshots.remove(snapshot);
                }
            }
            Step::Restore { name, snapshot } => {
                if let Some(container) = all.get_mut(name)
                    && let Some(then) = container.snapshots.get(snapshot)
                {
                    container.content = then.clone();
                }
            }
            Step::Spawn { name, snapshot, new } => {
                let then = self.0.get(name).and_then(|container| container.snapshots.get(snapshot));
                all.insert(new.clone(), alone(then.cloned().unwrap_or_default()));
            }
            Step::Resize { .. } | Step::Start { .. } | Step::Prune | Step::Write { .. } => {}
        }
        after
    }

    /// In words, for a person who looks for what is wrong.
    pub(super) fn difference(&self, found: &Self) -> String {
        let (one, other) = (self.flat(), found.flat());
        let mut text = String::new();
        let lost = one.iter().filter(|(key, value)| other.get(*key) != Some(value)).map(|pair| ('-', pair));
        let come = other.iter().filter(|(key, value)| one.get(*key) != Some(value)).map(|pair| ('+', pair));
        for (sign, (key, value)) in lost.chain(come).take(20) {
            let _written = writeln!(text, "{sign} {key}: {value}");
        }
        text
    }

    fn flat(&self) -> BTreeMap<String, String> {
        let mut flat = BTreeMap::new();
        let mut add = |id: String, content: &Manifest| {
            flat.insert(id.clone(), String::new());
            flat.extend(content.iter().map(|(name, shape)| (format!("{id}:{name}"), shape.clone())));
        };
        for (name, container) in &self.0 {
            add(name.clone(), &container.content);
            for (snapshot, content) in &container.snapshots {
                add(format!("{name}@{snapshot}"), content);
            }
        }
        flat
    }
}

/// The directories in a directory that have a file of this name, sorted.
fn names_with(directory: &Path, file: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join(file).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
