#![forbid(unsafe_code)]
//! What the storage says, beside what the configurations say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, Host, Look, Problem, Remedy};
use crate::config::Name;
use crate::container::{dependents, journal, leftover, plugins, store};
use crate::plugin::storage::{Phase, Storage as _, Volume};

/// What the containers say about their volumes.
#[derive(Default)]
struct Expected {
    /// Container by volume, for each storage.
    volumes: BTreeMap<String, BTreeMap<String, Name>>,
    /// Containers whose configuration cannot be read: whatever is theirs is left alone.
    unclear: BTreeSet<String>,
}

/// The container that a volume belongs to: `web` of `web@before`.
fn base(id: &str) -> &str {
    id.split('@').next().unwrap_or(id)
}

impl Look<'_> {
    /// Compares both, for every storage that a container uses.
    pub(super) fn volumes(&mut self) -> Result<(), Error> {
        let mut expected = Expected::default();
        for name in self.host.layout.names()? {
            let volumes = match store::load(self.host, &name) {
                Ok(container) => {
                    let volume = container.rootfs.volume.unwrap_or_else(|| name.to_string());
                    Some((plugins::prefixed("storage", &container.rootfs.storage), volume))
                }
                Err(_) => None,
            };
            match volumes {
                Some((storage, volume)) => {
                    expected.volumes.entry(storage).or_default().insert(volume, name);
                }
                None => _ = expected.unclear.insert(name.to_string()),
            }
        }
        // Also the one that new containers get: a backend whose volumes are elsewhere has no directory to
        // give it away.
        if let Some(storage) = &self.host.settings.storage {
            expected.volumes.entry(plugins::prefixed("storage", storage)).or_default();
        }
        for storage in expected.volumes.keys().cloned().collect::<Vec<_>>() {
            let asked =
                plugins::load_storage(self.host, &storage).and_then(|plugin| dependents::volumes(&plugin));
            match asked {
                Ok(found) => self.compare(&storage, &expected, &found),
                Err(error) => {
                    let what =
                        format!("{storage} cannot be asked for its volumes: {}", journal::chain(&error));
                    self.add(Problem::UnknownStorage, None, self.host.layout.path.clone(), what, None);
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, storage: &str, expected: &Expected, found: &[Volume]) {
        let at = self.host.layout.path.clone();
        let own = &expected.volumes[storage];
        let there: BTreeSet<&str> = found.iter().map(|volume| volume.id.as_str()).collect();
        for (id, name) in own {
            if !there.contains(id.as_str()) && !self.is_busy(name) && !self.is_known(name) {
                let what = format!("the root file system of {name} (volume {id} of {storage}) is not there");
                self.add(Problem::NoVolume, Some(name.as_str()), at.clone(), what, None);
            }
        }
        for volume in found {
            self.volume(storage, expected, &there, volume);
        }
    }

    /// Whether a volume may have another name soon, or has one already: what names it follows.
    fn is_in_question(&self, owner: &str) -> bool {
        owner.parse::<Name>().is_ok_and(|name| self.is_known(&name) || self.busy.contains(&name))
    }

    fn volume(&mut self, storage: &str, expected: &Expected, there: &BTreeSet<&str>, volume: &Volume) {
        let Volume { id, phase, parent, .. } = volume;
        let owner = base(id);
        let owned = expected.volumes[storage].keys().any(|known| base(known) == owner);
        // Another storage may show the same directories; what has no valid name is no container's.
        let others =
            expected.volumes.iter().any(|(other, known)| other != storage && known.contains_key(owner));
        let Ok(name) = owner.parse::<Name>() else { return };
        if others || expected.unclear.contains(owner) || self.is_busy(&name) || self.is_known(&name) {
            return;
        }
        let at = self.host.layout.path.clone();
        if !owned {
            // What is in a directory of the pool was looked at there.
            if leftover::look(self.host, &name) == leftover::Kind::Absent {
                let what = format!("volume {id} of {storage} belongs to no container");
                let remedy = Remedy::Volume { storage: storage.to_owned(), id: id.clone() };
                self.add(Problem::UnownedVolume, Some(owner), at, what, Some((remedy, "remove it".into())));
            }
            return;
        }
        if matches!(phase, Phase::Incomplete | Phase::Removing) {
            let doing = if *phase == Phase::Removing { "removed" } else { "made" };
            let what = format!("volume {id} of {storage} was being {doing} when a command was killed");
            self.add(Problem::UnfinishedVolume, Some(owner), at.clone(), what, None);
        }
        let lost = |parent: &&String| !there.contains(parent.as_str()) && !self.is_in_question(base(parent));
        if let Some(parent) = parent.as_ref().filter(lost) {
            let what = format!("volume {id} of {storage} is built on {parent}, which is not there");
            self.add(Problem::NoParent, Some(owner), at, what, None);
        }
    }
}

/// Removes a volume that nobody owns, if that is still so.
pub(super) fn remove(host: &Host, storage: &str, id: &str) -> Result<(), Error> {
    let name: Name = base(id).parse()?;
    let mut claim = journal::claim(host, &[&name], "doctor")?;
    if leftover::look(host, &name) == leftover::Kind::Absent {
        plugins::load_storage(host, storage)?.remove(&plugins::operation("remove"), id)?;
        claim.discard(&name);
    }
    Ok(())
}
