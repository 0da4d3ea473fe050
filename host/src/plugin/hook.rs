#![forbid(unsafe_code)]
//! Hook plugins in plain Rust.
//!
//! As for templates, the records of the contract are used as they are ([`types`]). What a hook may change
//! is part of its manifest and so of its grant: a patch of another case is refused here, whatever
//! the plan builder would make of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, ComponentType, Instance, Lift, Lower};

use super::bindings::host::wxc::host::types::{Error as WitError, ErrorKind};
use super::call::Ready;
use super::error::{Identity, PluginError};
use super::host::place::parts;
use super::host::{Enter, Fetcher, Root, Scope, State, Verifier};
use super::manifest::{Changes, Manifest, device_matches};
use super::record::{Grounds, Recorded, Records};
use super::registry::Kind;
use super::remembered::Notes;
use crate::config::system::Keep;
use crate::fetch::Reach;

/// The records of `wxc:hook`, as `wit/hook/types.wit` describes them.
pub mod types {
    pub use crate::plugin::bindings::hook::wxc::hook::types::*;
    pub use crate::plugin::bindings::host::wxc::host::types::Pair;
}

use types::{Change, Context, Event, MountSource, Patch, Step, Subscription, Verdict};

/// What happens around a container's life.
pub trait Hook {
    /// Name and version, for messages.
    fn identity(&self) -> &Identity;
    /// When it wants to be called.
    fn subscribe(&self) -> Result<Vec<Subscription>, PluginError>;
    /// Proposes changes. Pure. `budget` is that of the subscription.
    fn adjust(&self, context: &Context, budget: Duration) -> Result<Vec<Patch>, PluginError>;
    /// Judges the plan with everybody's changes. Pure.
    fn validate(
        &self,
        context: &Context,
        changes: &[Change],
        budget: Duration,
    ) -> Result<Verdict, PluginError>;
    /// Does something; what it returns is handed to `undo` if a later part fails.
    fn act(
        &self,
        context: &Context,
        within: &Within,
        budget: Duration,
    ) -> Result<Option<Vec<u8>>, PluginError>;
    /// Takes back what `act` did.
    fn undo(
        &self,
        context: &Context,
        token: &[u8],
        within: &Within,
        budget: Duration,
    ) -> Result<(), PluginError>;
}

/// What a call can reach of the container.
#[derive(Debug, Clone, Default)]
pub struct Within {
    /// Its root file system, or a sentence: why it cannot be had; `None` at events that have none.
    pub root: Option<Result<Arc<Root>, String>>,
    /// The way into it while it runs, with the same.
    pub running: Option<Result<Arc<dyn Enter>, String>>,
}

/// A hook plugin, for one container.
#[derive(Debug, Clone)]
pub struct HookPlugin {
    pub(super) ready: Ready,
    /// What is known of it from before; nothing of one on trial.
    pub(super) notes: Option<Arc<Notes>>,
    pub(super) state: Option<PathBuf>,
    pub(super) settings: super::Settings,
    pub(super) records: Records,
    /// Those of a container that goes again when one fails.
    pub(super) records_of_new: Records,
    pub(super) progress: super::Watcher,
    pub(super) outside: Outside,
}

/// What a hook may do outside when it acts; nothing of it in calls that have to be repeatable.
#[derive(Debug, Clone, Default)]
pub(super) struct Outside {
    fetcher: Option<Arc<Fetcher>>,
    courier: Option<Arc<Reach>>,
    verifier: Option<Arc<Verifier>>,
    records: Option<PathBuf>,
}

const MOST_SUBSCRIPTIONS: usize = 256;
const MOST_PATCHES: usize = 1000;
/// The longest undo token.
const LONGEST_TOKEN: usize = 64 << 10;

impl Hook for HookPlugin {
    fn identity(&self) -> &Identity {
        &self.ready.identity
    }

    fn subscribe(&self) -> Result<Vec<Subscription>, PluginError> {
        if let Some(wishes) = self.notes().and_then(|notes| notes.wishes(&self.settings.0)) {
            return Ok(wishes);
        }
        let wishes: Vec<Subscription> = self.call(
            "hook.subscribe",
            (None, None),
            None,
            &(),
            |store, instance| exported::<_, Vec<Subscription>>(store, instance, "subscribe", ()),
            |wishes| check_subscriptions(wishes),
        )?;
        let (facts, manifest) = (&self.ready.facts, &self.ready.manifest);
        match (self.notes(), &self.notes) {
            (Some(notes), _) => notes.keep_wishes(&self.settings.0, &wishes, facts, manifest),
            (None, Some(notes)) => notes.keep_new(facts, manifest),
            (None, None) => {}
        }
        Ok(wishes)
    }

    fn adjust(&self, context: &Context, budget: Duration) -> Result<Vec<Patch>, PluginError> {
        self.call(
            "hook.adjust",
            (None, Some(context.event)),
            Some(budget),
            &(context,),
            |store, instance| exported::<_, Vec<Patch>>(store, instance, "adjust", (context,)),
            |patches| check_patches(&self.ready.manifest, patches),
        )
    }

    fn validate(
        &self,
        context: &Context,
        changes: &[Change],
        budget: Duration,
    ) -> Result<Verdict, PluginError> {
        Ok(match self.verdict(context, changes, budget)? {
            Verdict::Accept => Verdict::Accept,
            Verdict::Refuse(why) => Verdict::Refuse(super::host::printable(&why)),
        })
    }

    fn act(
        &self,
        context: &Context,
        within: &Within,
        budget: Duration,
    ) -> Result<Option<Vec<u8>>, PluginError> {
        self.call(
            "hook.act",
            (Some(within), Some(context.event)),
            Some(budget),
            &(context,),
            |store, instance| exported::<_, Option<Vec<u8>>>(store, instance, "act", (context,)),
            |token| match token {
                Some(token) if token.len() > LONGEST_TOKEN => {
                    Err(format!("a token longer than {LONGEST_TOKEN} bytes"))
                }
                _ => Ok(()),
            },
        )
    }

    fn undo(
        &self,
        context: &Context,
        token: &[u8],
        within: &Within,
        budget: Duration,
    ) -> Result<(), PluginError> {
        self.call(
            "hook.undo",
            (Some(within), Some(context.event)),
            Some(budget),
            &(context, token),
            |store, instance| exported(store, instance, "undo", (context, token)),
            |()| Ok(()),
        )
    }
}

impl HookPlugin {
    /// Whether its manifest, which was granted, lets containers write to a share.
    #[must_use]
    pub fn may_write(&self, share: &str) -> bool {
        self.ready.manifest.share(share).is_some_and(|share| share.read_only == Some(false))
    }

    /// The servers that it may download from: those of its manifest, and those that the administrator named with its settings.
    #[must_use]
    pub fn servers(&self) -> Vec<String> {
        let fetch = self.ready.manifest.fetch.as_ref();
        fetch.map_or_else(Vec::new, |fetch| self.named(&fetch.origins, &fetch.from_settings))
    }

    /// The servers that it may send messages to.
    #[must_use]
    pub fn told_servers(&self) -> Vec<String> {
        let notify = self.ready.manifest.notify.as_ref();
        notify.map_or_else(Vec::new, |notify| self.named(&notify.origins, &notify.from_settings))
    }

    fn named(&self, origins: &[String], settings: &[String]) -> Vec<String> {
        let set = settings.iter().filter_map(|name| self.settings.0.get(name).cloned().flatten());
        origins.iter().cloned().chain(set).collect()
    }

    /// The key rings that its manifest declares.
    #[must_use]
    pub fn declared_keyrings(&self) -> &[String] {
        self.ready.manifest.trust.as_ref().map_or(&[], |trust| &trust.keyrings)
    }

    /// From now on it may download from these servers.
    pub fn reach_through(&mut self, fetcher: Fetcher) {
        self.outside.fetcher = Some(Arc::new(fetcher));
    }

    /// From now on it may send messages to these servers.
    pub fn tell_through(&mut self, reach: Reach) {
        // A mirror has what a server has, and is not told what that is told.
        self.outside.courier = Some(Arc::new(Reach { mirrors: Vec::new(), ..reach }));
    }

    /// From now on it may have signatures checked.
    pub fn trust_through(&mut self, verifier: Verifier) {
        self.outside.verifier = Some(Arc::new(verifier));
    }

    /// From now on its records go into this file.
    pub fn record_in(&mut self, file: PathBuf) {
        self.outside.records = Some(file);
    }

    /// Whether it works on the files of containers.
    #[must_use]
    pub fn wants_root(&self) -> bool {
        self.imports("wxc:host/rootfs@")
    }

    /// Whether it runs programs in containers.
    #[must_use]
    pub fn wants_inside(&self) -> bool {
        self.imports("wxc:host/run-inside@")
    }

    /// Whether it runs programs of the host in the network of containers.
    #[must_use]
    pub fn wants_network(&self) -> bool {
        super::host::commands::want_network(&self.ready.commands)
    }

    fn imports(&self, interface: &str) -> bool {
        self.ready.facts.imports.iter().any(|import| import.starts_with(interface))
    }

    /// Where what it subscribed to is kept, if it can be: a state of its own may make it say something else each time, and a call
    /// that is to be taken down has to be made.
    fn notes(&self) -> Option<&Notes> {
        let taken_down = !matches!(self.records_of_new, Records::None | Records::Kept(Keep::Failures, _));
        self.notes.as_deref().filter(|_| !taken_down && !self.imports("wxc:host/store@"))
    }

    /// Loads its code, for a call that is about to come; what goes wrong goes wrong then, too.
    pub fn get_ready(&self) {
        self.ready.linked().map(drop).ok();
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.ready.identity.name
    }

    /// Directories that it wants from the administrator, by the names it has for them.
    pub fn declared_shares(&self) -> impl Iterator<Item = &str> {
        self.ready.manifest.shares.keys().map(String::as_str)
    }

    /// From now on its calls are kept: those that failed, or all. Those about a container that is being made, which goes again when
    /// one fails, and those about none are in a directory of their own.
    pub fn record(&mut self, keep: Keep, directory: PathBuf, of_new: PathBuf) {
        self.records = Records::in_directory(keep, directory);
        self.records_of_new = Records::in_directory(keep, of_new);
    }

    /// What becomes of a call at this event.
    fn records_at(&self, event: Option<Event>) -> &Records {
        match event {
            None | Some(Event::Create | Event::Clone) => &self.records_of_new,
            Some(_) => &self.records,
        }
    }

    /// What it says of a plan, in its own words.
    ///
    /// # Errors
    /// As [`Hook::validate`].
    pub fn verdict(
        &self,
        context: &Context,
        changes: &[Change],
        budget: Duration,
    ) -> Result<Verdict, PluginError> {
        self.call(
            "hook.validate",
            (None, Some(context.event)),
            Some(budget),
            &(context, changes),
            |store, instance| exported(store, instance, "validate", (context, changes)),
            |_| Ok(()),
        )
    }

    /// One call; without `within` it is pure. `check` says what the contract does not allow of its answer.
    fn call<R: Serialize>(
        &self,
        name: &'static str,
        (within, event): (Option<&Within>, Option<Event>),
        budget: Option<Duration>,
        arguments: &impl Serialize,
        body: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<R, WitError>>,
        check: impl FnOnce(&R) -> Result<(), String>,
    ) -> Result<R, PluginError> {
        let pure = within.is_none();
        let within = within.cloned().unwrap_or_default();
        let unreachable = |why: String| {
            let message = format!("the container cannot be reached: {why}");
            WitError { kind: ErrorKind::Failed, message }
        };
        let Outside { fetcher, courier, verifier, records } =
            if pure { Outside::default() } else { self.outside.clone() };
        let scope = Scope {
            root: within.root.map(|root| root.map_err(unreachable)),
            running: within.running.map(|running| running.map_err(unreachable)),
            // What is pure can be repeated, and running a program may not be.
            commands: if pure { Arc::default() } else { Arc::clone(&self.ready.commands) },
            settings: Arc::clone(&self.settings.0),
            store: self.state.clone(),
            store_is_fixed: pure,
            fetcher,
            courier,
            verifier,
            records,
            ..Scope::default()
        };
        let about = Recorded { call: name, budget, arguments, grounds: &Grounds::default };
        let said = |line: &str| self.progress.0.said(&self.ready.identity.name, line);
        self.records_at(event).run(&self.ready, &about, scope, &said, |scope| {
            let answer = self.ready.call_within(budget, name, scope, &self.progress.0, body)?;
            check(&answer).map_err(|why| self.ready.broken(name, why))?;
            Ok(answer)
        })
    }
}

/// Calls a function that hooks export. Not through the generated type for all of them: that compares the types of each, which
/// takes longer than a call.
fn exported<P, R>(
    store: &mut Store<State>,
    instance: &Instance,
    function: &str,
    parameters: P,
) -> wasmtime::Result<Result<R, WitError>>
where
    P: ComponentNamedList + Lower,
    R: ComponentType + Lift + 'static,
{
    let interface = instance.get_export_index(&mut *store, None, Kind::Hook.interface());
    let lacks = || wasmtime::Error::msg(format!("it does not export {function}"));
    let index = interface.and_then(|it| instance.get_export_index(&mut *store, Some(&it), function));
    let index = index.ok_or_else(lacks)?;
    let function = instance.get_typed_func::<P, (Result<R, WitError>,)>(&mut *store, &index)?;
    let (answer,) = function.call(&mut *store, parameters)?;
    Ok(answer)
}

fn check_subscriptions(wishes: &[Subscription]) -> Result<(), String> {
    if wishes.len() > MOST_SUBSCRIPTIONS {
        return Err(format!("more than {MOST_SUBSCRIPTIONS} subscriptions"));
    }
    let changeable = [Event::Create, Event::PreStart, Event::Clone, Event::Configure];
    let misplaced = |w: &&Subscription| w.step != Step::Act && !changeable.contains(&w.event);
    match wishes.iter().find(misplaced) {
        Some(wish) => Err(format!("nothing can be changed or judged at {:?}", wish.event)),
        None => Ok(()),
    }
}

/// Only what the manifest declares, and nothing that no hook may say.
fn check_patches(manifest: &Manifest, patches: &[Patch]) -> Result<(), String> {
    if patches.len() > MOST_PATCHES {
        return Err(format!("more than {MOST_PATCHES} changes"));
    }
    let none = Changes { patches: vec![], keys: vec![], devices: vec![], reason: String::new() };
    let declared = manifest.changes.as_ref().unwrap_or(&none);
    for patch in patches {
        let case = case_of(patch);
        if !declared.patches.iter().any(|p| p == case) {
            return Err(format!("its manifest does not declare the change {case}"));
        }
        match patch {
            Patch::AddMount(mount) => {
                check_target(&mount.target)?;
                match &mount.source {
                    MountSource::Share(name) if manifest.share(name).is_none() => {
                        return Err(format!("its manifest has no [shares.{name}]"));
                    }
                    MountSource::Other(_) => return Err("a change cannot add a mount of the host's".into()),
                    _ => {}
                }
            }
            Patch::AddDevice(device) if !declared.devices.iter().any(|d| device_matches(d, &device.name)) => {
                return Err(format!("its manifest does not declare the device {:?}", device.name));
            }
            Patch::SetKey(pair) if !declared.keys.iter().any(|k| key_matches(k, &pair.name)) => {
                return Err(format!("its manifest does not declare the key {:?}", pair.name));
            }
            _ => {}
        }
        if texts_of(patch).iter().any(|t| t.contains(char::is_control)) {
            return Err(format!("a value of {case} holds control characters"));
        }
    }
    Ok(())
}

fn check_target(target: &str) -> Result<(), String> {
    let path = target.strip_prefix('/').ok_or_else(|| format!("{target:?} is not absolute"))?;
    parts(path).map(|_| ()).map_err(|e| e.message)
}

/// `x.*` stands for all keys below `x`.
fn key_matches(pattern: &str, key: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) if prefix.ends_with('.') => key.starts_with(prefix) && key.len() > prefix.len(),
        _ => pattern == key,
    }
}

/// The case's name, as manifests and grants spell it.
fn case_of(patch: &Patch) -> &'static str {
    match patch {
        Patch::SetVariable(_) => "set-variable",
        Patch::RemoveVariable(_) => "remove-variable",
        Patch::AddMount(_) => "add-mount",
        Patch::RemoveMount(_) => "remove-mount",
        Patch::AddDevice(_) => "add-device",
        Patch::RemoveDevice(_) => "remove-device",
        Patch::AddAddress(_) => "add-address",
        Patch::SetLimit(_) => "set-limit",
        Patch::SetSysctl(_) => "set-sysctl",
        Patch::SetHostname(_) => "set-hostname",
        Patch::DropCapability(_) => "drop-capability",
        Patch::DenySyscall(_) => "deny-syscall",
        Patch::SetLabel(_) => "set-label",
        Patch::SetKey(_) => "set-key",
    }
}

fn texts_of(patch: &Patch) -> Vec<&str> {
    match patch {
        Patch::SetVariable(p)
        | Patch::SetLimit(p)
        | Patch::SetSysctl(p)
        | Patch::SetLabel(p)
        | Patch::SetKey(p) => {
            vec![&p.name, &p.value]
        }
        Patch::RemoveVariable(t)
        | Patch::RemoveMount(t)
        | Patch::RemoveDevice(t)
        | Patch::SetHostname(t)
        | Patch::DropCapability(t)
        | Patch::DenySyscall(t) => vec![t],
        Patch::AddMount(m) => m.options.iter().chain([&m.target]).map(String::as_str).collect(),
        Patch::AddDevice(device) => vec![&device.name],
        Patch::AddAddress((interface, address)) => vec![interface, address],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Mount, Pair};

    fn manifest(changes: &str) -> Manifest {
        let head = "name = \"x\"\nkind = \"hook\"\nversion = \"1\"\napi = \"0.1\"\ndescription = \"\"\n";
        Manifest::parse(&format!("{head}{changes}")).unwrap()
    }

    #[test]
    fn only_declared_changes_pass() {
        let patch = Patch::SetLabel(Pair { name: "a".into(), value: "b".into() });
        assert!(check_patches(&manifest(""), std::slice::from_ref(&patch)).is_err());
        let declared = manifest("[changes]\npatches = [\"set-label\", \"add-mount\"]\nreason = \"\"\n");
        assert!(check_patches(&declared, std::slice::from_ref(&patch)).is_ok());
        let mount =
            |source, target: &str| Patch::AddMount(Mount { source, target: target.into(), options: vec![] });
        assert!(check_patches(&declared, &[mount(MountSource::Memory(1), "/run/x")]).is_ok());
        assert!(check_patches(&declared, &[mount(MountSource::Memory(1), "/run/../x")]).is_err());
        assert!(check_patches(&declared, &[mount(MountSource::Share("a".into()), "/x")]).is_err());
        assert!(check_patches(&declared, &[mount(MountSource::Other("/".into()), "/x")]).is_err());
        let shares = "[shares.\"*\"]\nreason = \"\"\nread-only = false\n[shares.b]\nreason = \"\"\n";
        let any = manifest(&format!("[changes]\npatches = [\"add-mount\"]\nreason = \"\"\n{shares}"));
        assert!(check_patches(&any, &[mount(MountSource::Share("a".into()), "/x")]).is_ok());
        // One that is named for itself is what it says.
        let only_read = |name: &str| any.share(name).unwrap().read_only != Some(false);
        assert!(only_read("b") && !only_read("a"));
        let lines = Patch::SetLabel(Pair { name: "a".into(), value: "b\nc".into() });
        assert!(check_patches(&declared, &[lines]).is_err());
    }

    #[test]
    fn a_star_stands_for_what_is_below() {
        assert!(key_matches("x.*", "x.y") && !key_matches("x.*", "x.") && !key_matches("x.*", "xy"));
        assert!(key_matches("x", "x") && !key_matches("x", "x.y") && !key_matches("*", "x"));
    }
}
