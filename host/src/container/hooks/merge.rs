#![forbid(unsafe_code)]
//! Changes of several plugins, in one configuration: each thing that is set has one owner.
//!
//! Two that set the same thing to the same value agree. Two that do not are an error which names both, because no order
//! among them would be what both meant. What only adds up (capabilities to drop, addresses) belongs to everybody.

/// One change, made in the configuration.
mod apply;
/// Which devices a name means.
mod devices;
/// The words of a mount.
mod options;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::attached::Attached;
use super::phrase::phrase;
use crate::config::mounts::normalized;
use crate::config::{Container, Name, validate};
use crate::container::{Error, Host};
use crate::plugin::hook::types::{Change, Patch};

/// A configuration that is being changed, and who changed what.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    host: &'a Host,
    name: &'a Name,
    /// For messages.
    file: PathBuf,
    container: Container,
    owners: BTreeMap<String, Owner>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Owner {
    plugin: String,
    change: String,
}

impl<'a> Merge<'a> {
    pub(super) fn new(host: &'a Host, name: &'a Name, container: Container) -> Self {
        let file = host.layout.config(name);
        Self { host, name, file, container, owners: BTreeMap::new(), changes: Vec::new() }
    }

    /// Makes the changes of one plugin.
    pub(super) fn add(&mut self, hook: &Attached, patches: Vec<Patch>) -> Result<(), Error> {
        // The first of the changes at the end of which a rule is broken: a later one may be what makes it whole.
        let mut broken = None;
        for patch in patches {
            self.own(&hook.name, &patch)?;
            self.apply(hook, &patch)?;
            let found = validate::check(&self.container).into_iter().next();
            broken = found.map(|rule| broken.take().unwrap_or_else(|| (patch.clone(), rule)));
            self.changes.push(Change { plugin: hook.name.clone(), patch });
        }
        match broken {
            None => Ok(()),
            Some((patch, rule)) => Err(self.refuse(hook, &patch, rule.message)),
        }
    }

    /// What came of it so far.
    pub(super) fn container(&self) -> &Container {
        &self.container
    }

    /// What came of it.
    pub(super) fn finish(self) -> (Container, Vec<Change>) {
        (self.container, self.changes)
    }

    fn own(&mut self, plugin: &str, patch: &Patch) -> Result<(), Error> {
        let Some(field) = field(patch) else { return Ok(()) };
        let change = phrase(patch);
        let owner = self
            .owners
            .entry(field.clone())
            .or_insert_with(|| Owner { plugin: plugin.to_owned(), change: change.clone() });
        if owner.change == change {
            return Ok(());
        }
        let message = if owner.plugin == plugin {
            format!("{plugin} contradicts itself about {field}: {}, and {change}", owner.change)
        } else {
            format!(
                "two hooks disagree about {field}: {} wants {}, and {plugin} wants {change}",
                owner.plugin, owner.change
            )
        };
        Err(Error::Invalid { message, hint: self.switch_off(plugin) })
    }

    fn switch_off(&self, plugin: &str) -> String {
        // As it is attached, or a second table would say it.
        let short = plugin.strip_prefix("hook-").unwrap_or(plugin);
        let plugin = if self.container.hooks.plugins.contains_key(plugin) { plugin } else { short };
        format!(
            "change its settings, or leave it out: wxc config set {} hooks.{plugin}.enabled false",
            self.name
        )
    }

    /// A change that the host does not make.
    pub(super) fn refuse(&self, hook: &Attached, patch: &Patch, why: impl std::fmt::Display) -> Error {
        Error::Invalid {
            message: format!("{} wants {}, which cannot be: {why}", hook.name, phrase(patch)),
            hint: self.switch_off(&hook.name),
        }
    }
}

/// What a change sets, if only one can.
fn field(patch: &Patch) -> Option<String> {
    let place = |target: &str| {
        let clean = normalized(target.as_ref()).map(|path| path.display().to_string());
        format!("the mount on /{}", clean.unwrap_or_default())
    };
    Some(match patch {
        Patch::SetVariable(p) => format!("the variable {}", p.name),
        Patch::RemoveVariable(name) => format!("the variable {name}"),
        Patch::AddMount(mount) => place(&mount.target),
        Patch::RemoveMount(target) => place(target),
        Patch::AddDevice(device) => format!("the device {}", device.name),
        Patch::RemoveDevice(name) => format!("the device {name}"),
        Patch::SetLimit(p) => format!("the limit {}", p.name),
        Patch::SetSysctl(p) => format!("the kernel setting {}", p.name),
        Patch::SetHostname(_) => "the host name".to_owned(),
        Patch::SetLabel(p) => format!("the label {}", p.name),
        Patch::SetKey(p) => format!("the key {}", p.name),
        Patch::AddAddress(_) | Patch::DropCapability(_) | Patch::DenySyscall(_) => return None,
    })
}

/// Where a change mounts something, relative to the root as plans have it.
pub(super) fn mounted(patch: &Patch) -> Vec<PathBuf> {
    match patch {
        Patch::AddMount(mount) => normalized(mount.target.as_ref()).into_iter().collect(),
        Patch::AddDevice(device) => {
            devices::named(&device.name).iter().map(|name| Path::new("dev").join(name)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::hook::types::Pair;

    #[test]
    fn what_adds_up_has_no_owner_and_the_rest_has_one_for_each_place() {
        let pair = |name: &str| Pair { name: name.into(), value: "1".into() };
        assert_eq!(field(&Patch::DropCapability("kill".into())), None);
        assert_eq!(field(&Patch::SetVariable(pair("A"))), field(&Patch::RemoveVariable("A".into())));
        assert_ne!(field(&Patch::SetVariable(pair("A"))), field(&Patch::SetLabel(pair("A"))));
        assert_eq!(field(&Patch::RemoveMount("/a//b".into())), field(&Patch::RemoveMount("/a/b".into())));
    }
}
