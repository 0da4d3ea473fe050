#![forbid(unsafe_code)]
//! Plugins by the names that people use, with what the administrator set for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hooks::connect;
use super::{Error, Host, images, store};
use crate::plugin::storage::Storage as _;
use crate::plugin::{HookPlugin, Progress, SettingValues, StoragePlugin, TemplatePlugin};

/// Where templates keep a little state of their own, which no container can have as a name.
const STATE: &str = ".plugin-state";
/// Where calls are recorded that belong to no container, or to one that goes again when they fail.
const RECORDS: &str = ".plugin-calls";
/// The same of storage: one command makes many calls of it, and the others are not to go for them.
const STORAGE_RECORDS: &str = ".storage-calls";
/// The word that leaves the choice of a storage to us.
pub(super) const BEST: &str = "best";

/// What is tried for it, in this order, and what speaks for each.
#[rustfmt::skip]
const CANDIDATES: [(&str, &str); 3] = [
    ("btrfs", "the file system makes instant clones and snapshots itself"),
    ("overlay", "clones are instant, and share what they have in common"),
    ("dir", "it works everywhere"),
];

/// The storage of a new container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub name: String,
    /// Why this one, where we chose.
    pub why: Option<String>,
}

/// The storage that `name` means: itself, or for `best` the first that can use the containers' directory.
pub(super) fn choose(host: &Host, name: &str) -> Result<Chosen, Error> {
    if name != BEST {
        return Ok(Chosen { name: name.to_string(), why: None });
    }
    let usable = |name: &str| Ok(load_storage(host, name)?.open().map(drop)?);
    first_usable(&usable).map_err(|against| Error::Invalid {
        message: format!("no storage can use {}: {against}", host.layout.path.display()),
        hint: "choose one with -B, or another directory with -P".into(),
    })
}

/// The first that can be used, and why; or what speaks against each.
fn first_usable(usable: &dyn Fn(&str) -> Result<(), Error>) -> Result<Chosen, String> {
    let mut against = Vec::new();
    for (name, reason) in CANDIDATES {
        match usable(name) {
            Ok(()) => {
                let others =
                    if against.is_empty() { String::new() } else { format!(" ({})", against.join("; ")) };
                let why = format!("the best storage here is {name}: {reason}{others}");
                return Ok(Chosen { name: name.to_string(), why: Some(why) });
            }
            // A plugin's own sentence is enough: which call of it said so matters to nobody here.
            Err(error) => {
                let said = match &error {
                    Error::Plugin(error) => error.reported(),
                    _ => None,
                };
                let why = said.map_or_else(|| error.to_string(), |(_, message)| message.to_owned());
                against.push(format!("not {name}: {why}"));
            }
        }
    }
    Err(against.join("; "))
}

/// A template by name.
pub(super) fn load_template(host: &Host, name: &str) -> Result<TemplatePlugin, Error> {
    let name = prefixed("template", name);
    let state = host.layout.path.join(STATE);
    let settings = settings_of(host, &name);
    let mut template = host.plugins.template(&name, Some(&state), &settings, host.progress.clone())?;
    // A template is told passwords, so that its calls are kept only where the administrator says so.
    if let Some(keep) = host.settings.plugins.record {
        template.record(keep, host.layout.path.join(RECORDS));
    }
    Ok(template)
}

/// A hook by its full name, which keeps its small state in the directory of the container.
pub(super) fn load_hook(
    host: &Host,
    name: &str,
    directory: &Path,
    progress: Arc<dyn Progress>,
) -> Result<HookPlugin, Error> {
    let mut hook = host.plugins.hook(name, Some(directory), &settings_of(host, name), progress)?;
    connect::connect(host, &mut hook)?;
    hook.record_in(records(host, name));
    let keep = host.settings.plugins.record.unwrap_or_default();
    hook.record(keep, directory.join("calls"), host.layout.path.join(RECORDS));
    Ok(hook)
}

/// Where a plugin's own log is.
#[must_use]
pub fn records(host: &Host, name: &str) -> PathBuf {
    host.layout.path.join(STATE).join(name).join("records.log")
}

/// A storage by name, with the containers' directory as its pool.
pub(super) fn load_storage(host: &Host, name: &str) -> Result<StoragePlugin, Error> {
    load_storage_set(host, name, &[])
}

/// The same, with settings that the user gave for this one call.
pub(super) fn load_storage_set(
    host: &Host,
    name: &str,
    by_user: &[(String, String)],
) -> Result<StoragePlugin, Error> {
    let name = prefixed("storage", name);
    let settings = settings_of(host, &name);
    let by_user: SettingValues = by_user.iter().cloned().collect();
    let pool = &host.layout.path;
    let mut storage = host.plugins.storage_with(&name, pool, &settings, &by_user, host.progress.clone())?;
    // Many failures are answers, such as that there is no such file system: kept only where the administrator says so.
    if let Some(keep) = host.settings.plugins.record {
        storage.record(keep, host.layout.path.join(STORAGE_RECORDS));
    }
    Ok(storage)
}

/// Containers and images whose volumes the storage plugin of this full name keeps: without it they can be neither used nor
/// removed. Only of this host's directory; one whose configuration cannot be read is not counted.
///
/// # Errors
/// The directory cannot be listed.
pub fn kept_by(host: &Host, plugin: &str) -> Result<Vec<String>, Error> {
    let keeps = |storage: &str| prefixed("storage", storage) == plugin;
    let names = host.layout.names()?.into_iter();
    let containers =
        names.filter(|name| store::load(host, name).is_ok_and(|container| keeps(&container.rootfs.storage)));
    let mut kept: Vec<String> = containers.map(|name| name.to_string()).collect();
    let images = images::list(host)?.into_iter().filter(|image| keeps(&image.storage));
    kept.extend(images.map(|image| format!("image {}", images::short(&image.key))));
    Ok(kept)
}

/// What the administrator set for a plugin; words as they are, everything else as JSON.
fn settings_of(host: &Host, plugin: &str) -> SettingValues {
    let set = host.settings.plugins.of.get(plugin).cloned().unwrap_or_default();
    let word = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    set.into_iter().map(|(key, value)| (key, word(value))).collect()
}

/// `dir` means the plugin `storage-dir`, as `lxc-create -B dir` has it.
#[must_use]
pub fn prefixed(kind: &str, name: &str) -> String {
    if name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-')) {
        name.to_string()
    } else {
        format!("{kind}-{name}")
    }
}

/// A new operation id: no two operations have the same.
pub(super) fn operation(verb: &str) -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{verb}-{}-{now}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_get_their_kind() {
        assert_eq!(prefixed("storage", "dir"), "storage-dir");
        assert_eq!(prefixed("storage", "storage-dir"), "storage-dir");
        assert_eq!(prefixed("template", "templates"), "template-templates");
    }

    #[test]
    fn the_best_is_the_first_that_can_be_used_and_says_why_not_the_others() {
        let no = |why: &str| Err(Error::Invalid { message: why.into(), hint: String::new() });
        let btrfs = first_usable(&|_| Ok(())).unwrap();
        assert_eq!((btrfs.name.as_str(), btrfs.why.unwrap().contains("not ")), ("btrfs", false));
        let dir =
            first_usable(&|name| if name == "dir" { Ok(()) } else { no(&format!("{name} cannot")) }).unwrap();
        let why = dir.why.unwrap();
        assert_eq!(dir.name, "dir");
        assert!(why.ends_with("(not btrfs: btrfs cannot; not overlay: overlay cannot)"), "{why}");
        assert_eq!(first_usable(&|_| no("full")).unwrap_err().matches("full").count(), 3);
    }

    #[test]
    fn operations_have_the_grammar_of_the_contract() {
        let id = operation("create");
        assert!(
            id.len() <= 64 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        );
    }
}
