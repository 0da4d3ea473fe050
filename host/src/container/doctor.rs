#![forbid(unsafe_code)]
//! What is not as it should be in the directory of the containers, in words, and how to put it right.
//!
//! Looking changes nothing. A repair is what the next command on that container would do by itself, or removes what
//! nothing points to; whatever could be somebody's data is only told. Containers on which another command works at
//! the moment are left out: what looks unfinished there is under way.

/// What the storage says, beside what the configurations say.
mod images;
mod remains;
mod volumes;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::idregistry::Registry;
use super::journal::{self, Record};
use super::lock::Lock;
use super::{Error, Host, dependents, destroy, ephemeral, ids, leftover, plugins, snapshot, store};
use crate::config::Name;

/// Something that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub problem: Problem,
    /// Whom it concerns, where that is known.
    pub container: Option<String>,
    /// Where it is.
    pub at: PathBuf,
    /// What it is, and where it comes from.
    pub explanation: String,
    /// What a repair does; `None`: it is for a person to decide.
    pub repair: Option<String>,
    #[serde(skip)]
    remedy: Remedy,
}

impl Finding {
    /// Whether the repair removes what may be a person's only copy of something.
    #[must_use]
    pub fn removes_data(&self) -> bool {
        matches!(self.remedy, Remedy::Volume { .. })
    }
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// A command was killed in the middle of an operation.
    Unfinished,
    /// A record of an operation that this wxc cannot read.
    UnknownRecord,
    /// The directory of a container that was half made or half removed, or that should be gone.
    Leftover,
    /// Storage of a container without its configuration.
    NoConfiguration,
    /// The directory of a snapshot that was half taken or half removed.
    UnfinishedSnapshot,
    /// Host ids of a container that is gone.
    UnusedIds,
    /// A volume in the middle of being made or removed.
    UnfinishedVolume,
    /// A volume of no container.
    UnownedVolume,
    /// A container whose volume is not there.
    NoVolume,
    /// A volume that is built on one that is not there.
    NoParent,
    /// An image that was half unpacked or half removed.
    UnfinishedImage,
    /// An image whose description cannot be read.
    DamagedImage,
    /// Run-time state and cgroups of a container whose monitor was killed.
    Remains,
    /// A storage that cannot be asked.
    UnknownStorage,
}

/// What puts it right.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Remedy {
    None,
    /// Take the locks, and with them settle what is in the journal.
    Settle(Name),
    /// Remove what is not a container.
    Remove(Name),
    /// Remove directories that are no snapshots.
    Sweep(Name),
    /// Give the ids back.
    Release(PathBuf),
    /// Remove what is no image.
    Image {
        key: String,
        storage: Option<String>,
    },
    /// Remove what a killed monitor left.
    Remains(Name),
    /// Remove a volume by its id.
    Volume {
        storage: String,
        id: String,
    },
}

/// The state of a directory of containers.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub path: PathBuf,
    pub findings: Vec<Finding>,
    /// Containers on which another command works now, which were not looked at.
    pub busy: Vec<Name>,
}

/// Looks at everything, or at one container; changes nothing.
///
/// # Errors
/// The directory or the registry of ids cannot be read.
pub fn examine(host: &Host, only: Option<&Name>) -> Result<Report, Error> {
    let mut look = Look { host, busy: BTreeSet::new(), unfinished: BTreeSet::new(), findings: Vec::new() };
    look.journal()?;
    look.directories()?;
    look.ids()?;
    look.volumes()?;
    look.images()?;
    look.remains()?;
    let Look { busy, mut findings, .. } = look;
    findings.retain(|finding| only.is_none_or(|name| finding.container.as_deref() == Some(name.as_str())));
    let busy = busy.into_iter().filter(|name| only.is_none_or(|only| only == name)).collect();
    Ok(Report { path: host.layout.path.clone(), findings, busy })
}

/// Does what the finding's `repair` says.
///
/// # Errors
/// It cannot be done; the finding stands.
pub fn repair(host: &Host, finding: &Finding) -> Result<(), Error> {
    ids::act_for_all(host)?;
    match &finding.remedy {
        Remedy::None => Ok(()),
        Remedy::Settle(name) => {
            let mut claim = journal::claim(host, &[name], "doctor")?;
            if leftover::look(host, name) == leftover::Kind::Absent {
                claim.discard(name);
            }
            Ok(())
        }
        Remedy::Remove(name) => {
            let mut claim = journal::claim(host, &[name], "doctor")?;
            if matches!(leftover::look(host, name), leftover::Kind::Leftover | leftover::Kind::Kept) {
                destroy::destroy_locked(host, name, destroy::DestroyOptions::default())?;
            }
            claim.discard(name);
            Ok(())
        }
        Remedy::Sweep(name) => {
            let _claim = journal::claim(host, &[name], "doctor")?;
            snapshot::remove::sweep(host, name, &plugins::operation("remove"))
        }
        Remedy::Release(directory) => Ok(Registry::open(&host.registry)?.release_gone(directory)?),
        Remedy::Volume { storage, id } => volumes::remove(host, storage, id),
        Remedy::Image { key, storage } => super::images::remove_broken(host, key, storage.as_deref()),
        Remedy::Remains(name) => {
            let _claim = journal::claim(host, &[name], "doctor")?;
            Ok(crate::runtime::clean_up(&host.layout.run_directory(name), name.as_str())?)
        }
    }
}

/// What was seen so far.
struct Look<'a> {
    host: &'a Host,
    busy: BTreeSet<Name>,
    /// What is unfinished about these, the journal has told.
    unfinished: BTreeSet<Name>,
    findings: Vec<Finding>,
}

impl Look<'_> {
    /// Whether somebody works on it; then it is remembered and left alone.
    fn is_busy(&mut self, name: &Name) -> bool {
        let busy = Lock::is_held(&self.host.layout, name);
        if busy {
            self.busy.insert(name.clone());
        }
        busy
    }

    fn add(&mut self, problem: Problem, name: Option<&str>, at: PathBuf, explanation: String, cure: Cure) {
        let (remedy, repair) = match cure {
            Some((remedy, repair)) => (remedy, Some(repair)),
            None => (Remedy::None, None),
        };
        let container = name.map(str::to_owned);
        self.findings.push(Finding { problem, container, at, explanation, repair, remedy });
    }

    fn journal(&mut self) -> Result<(), Error> {
        for record in journal::all(self.host)? {
            if record.containers.iter().any(|name| self.is_busy(name)) {
                continue;
            }
            self.record(&record);
        }
        for (path, name) in journal::cut_short(self.host)? {
            if !self.is_busy(&name) {
                let what = format!("a command on {name} was killed before it began anything");
                let cure = Some((Remedy::Settle(name.clone()), "remove this file".into()));
                self.add(Problem::Unfinished, Some(name.as_str()), path, what, cure);
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &Record) {
        let name = record.containers.first();
        let shown = name.map(Name::as_str);
        self.unfinished.extend(record.containers.iter().cloned());
        match &record.intent {
            Ok(intent) => {
                let what = format!("{} of {} was interrupted", an(intent.verb()), intent.subject());
                let settling = "finish it if it was decided, and otherwise take back what it did";
                let cure = (Remedy::Settle(intent.subject().clone()), settling.to_owned());
                self.add(Problem::Unfinished, shown, record.path.clone(), what, Some(cure));
            }
            Err(why) => {
                let whose = name.map_or(String::new(), |name| {
                    format!("; no command works on {name} until this is settled by the wxc that wrote it, or removed by hand")
                });
                let what = format!("a record of an unfinished operation cannot be used: {why}{whose}");
                self.add(Problem::UnknownRecord, shown, record.path.clone(), what, None);
            }
        }
    }

    fn directories(&mut self) -> Result<(), Error> {
        let path = &self.host.layout.path;
        let entries = fs::read_dir(path).map_err(Error::io("list", path))?;
        let mut names: Vec<Name> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        names.sort();
        for name in names {
            if self.is_busy(&name) || self.is_known(&name) {
                continue;
            }
            match leftover::look(self.host, &name) {
                leftover::Kind::Absent => {}
                leftover::Kind::Kept => self.kept(&name)?,
                leftover::Kind::Complete if ephemeral::is_over(self.host, &name) => {
                    let what = format!(
                        "{name} is ephemeral and has stopped, and its monitor was killed before it could remove it"
                    );
                    let cure = Some((Remedy::Settle(name.clone()), "remove it".into()));
                    let at = self.host.layout.directory(&name);
                    self.add(Problem::Leftover, Some(name.as_str()), at, what, cure);
                }
                leftover::Kind::Complete => {
                    self.cut_short(&name)?;
                    self.snapshots(&name)?;
                }
                leftover::Kind::Leftover => {
                    let what = format!("{name} was half made or half removed by a command that was killed");
                    let cure = Some((Remedy::Remove(name.clone()), "remove it".into()));
                    let at = self.host.layout.directory(&name);
                    self.add(Problem::Leftover, Some(name.as_str()), at, what, cure);
                }
                leftover::Kind::Foreign => self.foreign(&name),
            }
        }
        Ok(())
    }

    /// Whether the journal has said already what is with it.
    fn is_known(&self, name: &Name) -> bool {
        self.unfinished.contains(name)
            || self.findings.iter().any(|finding| finding.container.as_deref() == Some(name.as_str()))
    }

    /// What was kept for clones goes with the last of them, unless that command was killed.
    fn kept(&mut self, name: &Name) -> Result<(), Error> {
        if dependents::kept_for(self.host, name)?.is_empty() {
            let what =
                format!("the storage of {name}, which was destroyed, was kept for clones that are gone");
            let cure = Some((Remedy::Remove(name.clone()), "remove it".into()));
            let at = self.host.layout.directory(name);
            self.add(Problem::Leftover, Some(name.as_str()), at, what, cure);
        }
        Ok(())
    }

    /// A directory that is no container may be anything; only what looks like one is worth a word.
    fn foreign(&mut self, name: &Name) {
        let at = self.host.layout.directory(name);
        let holds = |entry: &str| at.join(entry).symlink_metadata().is_ok();
        // LXC's own containers have their configuration in this file.
        if holds("config") || !["rootfs", "rootdev", "delta"].into_iter().any(holds) {
            return;
        }
        let what = format!(
            "{name} has a root file system and no container.toml, so it is no container; \
             put the file back, or remove the directory"
        );
        self.add(Problem::NoConfiguration, Some(name.as_str()), at, what, None);
    }

    /// Files of no operation that stand beside what they were to replace.
    fn cut_short(&mut self, name: &Name) -> Result<(), Error> {
        for path in store::cut_short(&self.host.layout.directory(name))? {
            let what = format!("a command on {name} was killed before it put this file in place");
            let cure = Some((Remedy::Settle(name.clone()), "remove this file".into()));
            self.add(Problem::Unfinished, Some(name.as_str()), path, what, cure);
        }
        Ok(())
    }

    fn snapshots(&mut self, name: &Name) -> Result<(), Error> {
        for left in snapshot::unfinished(self.host, name)? {
            let what = format!("{left} below {name} was to be a snapshot, or is no longer one");
            let cure =
                Some((Remedy::Sweep(name.clone()), "finish what was decided, and remove the rest".into()));
            let at = self.host.layout.snapshot(name, &left);
            self.add(Problem::UnfinishedSnapshot, Some(name.as_str()), at, what, cure);
        }
        Ok(())
    }

    fn ids(&mut self) -> Result<(), Error> {
        for directory in Registry::open(&self.host.registry)?.containers()? {
            // Of another directory of containers: it may be on a disk that is not mounted now.
            if directory.parent() != Some(&self.host.layout.path) || directory.symlink_metadata().is_ok() {
                continue;
            }
            let name: Option<Name> =
                directory.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if name.as_ref().is_some_and(|name| self.is_busy(name) || self.is_known(name)) {
                continue;
            }
            let what = "host ids are reserved for a container that is gone".to_owned();
            let cure = Some((Remedy::Release(directory.clone()), "free the ids".into()));
            self.add(Problem::UnusedIds, name.as_ref().map(Name::as_str), directory, what, cure);
        }
        Ok(())
    }
}

type Cure = Option<(Remedy, String)>;

fn an(verb: &str) -> String {
    let article = if verb.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {verb}")
}
