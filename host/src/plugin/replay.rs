#![forbid(unsafe_code)]
//! A recorded call, run again from its record: host functions answer what they answered then, and nothing of this host is touched.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::Ready;
use super::error::{Identity, PluginError};
use super::hook::types::{Change, Context};
use super::hook::{Outside, Within};
use super::host::tape::Tape;
use super::record::{Grounds, Outcome, Record, Records};
use super::registry::Kind;
use super::storage::Access;
use super::template::types::{Manifest, Member, Moment, Request};
use super::{
    Fetcher, Hook as _, HookPlugin, Plugins, Progress, Settings, Storage as _, StoragePlugin, Template as _,
    TemplatePlugin, Verifier, Watcher, trial,
};
use crate::fetch::{Documents, Origin, Reach};

pub use super::host::tape::Parting;

/// What came of running a recorded call again.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// The plugin it was run with.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Whether it is the very file that the record was made with.
    pub same_file: bool,
    /// Whether nothing is different.
    pub same: bool,
    /// What came of it then.
    pub then: Outcome,
    /// What came of it now.
    pub now: Outcome,
    /// The first host call that is not as it was.
    pub parting: Option<Parting>,
}

impl Plugins {
    /// Runs a recorded call again: with the plugin that it was recorded of, or with another file or plugin. No grants are needed:
    /// what it asks of the host is answered from the record.
    ///
    /// # Errors
    /// The record is not whole, the plugin is not there any more, or cannot be loaded.
    pub fn replay(
        &self,
        record: &Record,
        with: Option<&str>,
        progress: Arc<dyn Progress>,
    ) -> Result<Replayed, PluginError> {
        let refuse = |why: &str| PluginError::Replay { plugin: record.plugin.clone(), why: why.to_owned() };
        if record.cut {
            return Err(refuse("its record was too long to be kept whole, so it cannot be replayed"));
        }
        let (name, opened) = match with {
            Some(which) => self.open_any(record.kind, which)?,
            None => self.open_digest(record)?,
        };
        let ready = trial::link(&name, opened)?;
        if ready.manifest.kind != record.kind {
            let (is, wanted) = (ready.manifest.kind, record.kind);
            return Err(PluginError::WrongKind { name, is, wanted });
        }
        let Identity { name, version } = ready.identity.clone();
        let same_file = ready.facts.digest == record.digest;
        let tape = Arc::new(Tape::playing(&record.host_calls));
        let now = again(ready, record, Records::Played(Arc::clone(&tape)), Watcher(progress))?;
        let ended_as_then = tape.ended_as_then() && matches!(record.outcome, Outcome::Ended(_));
        let now = if ended_as_then { record.outcome.clone() } else { now };
        let left = |(at, then)| Parting { at, then: Some(then), now: None };
        let parting = tape.parting().or_else(|| tape.left_over().map(left));
        let same = parting.is_none() && now.same(&record.outcome);
        Ok(Replayed { plugin: name, version, same_file, same, then: record.outcome.clone(), now, parting })
    }
}

/// The call, played.
fn again(ready: Ready, record: &Record, records: Records, progress: Watcher) -> Result<Outcome, PluginError> {
    let settings = settings(&ready, record);
    match record.kind {
        Kind::Hook => {
            let records_of_new = records.clone();
            hook(
                &HookPlugin {
                    ready,
                    notes: None,
                    state: None,
                    settings,
                    records,
                    records_of_new,
                    progress,
                    outside: Outside::default(),
                },
                record,
            )
        }
        Kind::Template => {
            let shown = ready.manifest.host_system.as_ref().map_or_else(Vec::new, |h| h.directories.clone());
            let plugin = TemplatePlugin {
                ready,
                state: None,
                settings,
                host_directories: shown.into(),
                fetcher: fetcher(&record.grounds)?.map(Arc::new),
                verifier: Some(Arc::new(Verifier::having_seen(&record.grounds.signers))),
                inputs: None,
                records,
                progress,
            };
            template(&plugin, record)
        }
        Kind::Storage => {
            let plugin = StoragePlugin {
                ready,
                pool: record.grounds.pool.clone().unwrap_or_default(),
                settings,
                progress,
                durable_later: false,
                interruption: None,
                records,
            };
            storage(&plugin, record)
        }
    }
}

/// The servers that there were. Nobody asks them: they are what addresses in an answer are checked against.
fn fetcher(grounds: &Grounds) -> Result<Option<Fetcher>, PluginError> {
    if grounds.servers.is_empty() {
        return Ok(None);
    }
    let origin = |server: &String| {
        Origin::of(server).map_err(|why| PluginError::Replay { plugin: server.clone(), why })
    };
    let origins = grounds.servers.iter().map(origin).collect::<Result<_, _>>()?;
    let reach = Reach { origins, ..Reach::default() };
    Ok(Some(Fetcher { reach, documents: Documents::fleeting(), fresh: false }))
}

fn hook(plugin: &HookPlugin, record: &Record) -> Result<Outcome, PluginError> {
    let budget = Duration::from_millis(record.budget.unwrap_or(u64::from(u32::MAX)));
    Ok(match record.call.as_str() {
        "hook.subscribe" => Outcome::of(&plugin.subscribe()),
        "hook.adjust" => {
            let (context,): (Context,) = arguments(record)?;
            Outcome::of(&plugin.adjust(&context, budget))
        }
        "hook.validate" => {
            let (context, changes): (Context, Vec<Change>) = arguments(record)?;
            Outcome::of(&plugin.verdict(&context, &changes, budget))
        }
        "hook.act" => {
            let (context,): (Context,) = arguments(record)?;
            Outcome::of(&plugin.act(&context, &Within::default(), budget))
        }
        "hook.undo" => {
            let (context, token): (Context, Vec<u8>) = arguments(record)?;
            Outcome::of(&plugin.undo(&context, &token, &Within::default(), budget))
        }
        _ => return Err(unknown(record)),
    })
}

fn template(plugin: &TemplatePlugin, record: &Record) -> Result<Outcome, PluginError> {
    Ok(match record.call.as_str() {
        "template.options" => Outcome::of(&plugin.options()),
        "template.search" => {
            let (request, limit): (Request, u32) = arguments(record)?;
            Outcome::of(&plugin.search(&request, limit))
        }
        "template.resolve" => {
            let (request,): (Request,) = arguments(record)?;
            Outcome::of(&plugin.resolve(&request))
        }
        "template.finish" => {
            let (moment, request, manifest, members): (Moment, Request, Manifest, Vec<Member>) =
                arguments(record)?;
            Outcome::of(&plugin.finish(moment, &request, &manifest, &members))
        }
        _ => return Err(unknown(record)),
    })
}

fn storage(plugin: &StoragePlugin, record: &Record) -> Result<Outcome, PluginError> {
    Ok(match record.call.as_str() {
        "volumes.open" => Outcome::of(&plugin.open()),
        "volumes.scan" => {
            let (after, limit): (Option<String>, u32) = arguments(record)?;
            Outcome::of(&plugin.scan(after.as_deref(), limit))
        }
        "volumes.create" => {
            let (operation, id, size): (String, String, Option<u64>) = arguments(record)?;
            Outcome::of(&plugin.create(&operation, &id, size))
        }
        "volumes.seal" => {
            let (operation, id): (String, String) = arguments(record)?;
            Outcome::of(&plugin.seal(&operation, &id))
        }
        "volumes.mounts" => {
            let (id, access): (String, Access) = arguments(record)?;
            Outcome::of(&plugin.mounts(&id, access))
        }
        "volumes.usage" => {
            let (id,): (String,) = arguments(record)?;
            Outcome::of(&plugin.usage(&id))
        }
        "volumes.remove" => {
            let (operation, id): (String, String) = arguments(record)?;
            Outcome::of(&plugin.remove(&operation, &id))
        }
        "clones.describe" => Outcome::of(&plugin.clone_traits()),
        "clones.clone" => {
            let (operation, parent, id, size): (String, String, String, Option<u64>) = arguments(record)?;
            Outcome::of(&plugin.clone_volume(&operation, &parent, &id, size))
        }
        "clones.unseal" => {
            let (operation, id): (String, String) = arguments(record)?;
            Outcome::of(&plugin.unseal(&operation, &id))
        }
        "snapshots.describe" => Outcome::of(&plugin.snapshot_traits()),
        "snapshots.take" => {
            let (operation, of, snapshot): (String, String, String) = arguments(record)?;
            Outcome::of(&plugin.snapshot(&operation, &of, &snapshot))
        }
        "snapshots.restore-blockers" => {
            let (snapshot,): (String,) = arguments(record)?;
            Outcome::of(&plugin.restore_blockers(&snapshot))
        }
        "snapshots.restore" => {
            let (operation, snapshot): (String, String) = arguments(record)?;
            Outcome::of(&plugin.restore(&operation, &snapshot))
        }
        "snapshots-at-rest.describe" => Outcome::of(&plugin.rest_is_short()),
        "snapshots-at-rest.take" => {
            let (operation, of, snapshot): (String, String, String) = arguments(record)?;
            Outcome::of(&plugin.snapshot_at_rest(&operation, &of, &snapshot))
        }
        "sizes.describe" => Outcome::of(&plugin.size_traits()),
        "sizes.get" => {
            let (id,): (String,) = arguments(record)?;
            Outcome::of(&plugin.size(&id))
        }
        "sizes.set" => {
            let (operation, id, size): (String, String, Option<u64>) = arguments(record)?;
            Outcome::of(&plugin.set_size(&operation, &id, size))
        }
        "devices.attach" => {
            let (operation, id, access): (String, String, Access) = arguments(record)?;
            Outcome::of(&plugin.attach(&operation, &id, access))
        }
        "devices.detach" => {
            let (operation, id): (String, String) = arguments(record)?;
            Outcome::of(&plugin.detach(&operation, &id))
        }
        "renames.rename" => {
            let (operation, id, new_id): (String, String, String) = arguments(record)?;
            Outcome::of(&plugin.rename(&operation, &id, &new_id))
        }
        _ => return Err(unknown(record)),
    })
}

fn arguments<A: DeserializeOwned>(record: &Record) -> Result<A, PluginError> {
    let why = |error| PluginError::Replay {
        plugin: record.plugin.clone(),
        why: format!("what {} was called with cannot be read: {error}", record.call),
    };
    serde_json::from_str(record.arguments.get()).map_err(why)
}

fn unknown(record: &Record) -> PluginError {
    let why = format!("calls of {} are not recorded by this wxc", record.call);
    PluginError::Replay { plugin: record.plugin.clone(), why }
}

/// What held then; what was not declared then has its default.
fn settings(ready: &Ready, record: &Record) -> Settings {
    let value = |(key, setting): (&String, &super::manifest::Setting)| {
        let value = record.settings.get(key).cloned().unwrap_or_else(|| setting.default.clone());
        (key.clone(), value)
    };
    Settings(Arc::new(ready.manifest.settings.iter().map(value).collect()))
}
