#![forbid(unsafe_code)]
//! Plugins by the names that people use, with what the administrator set for them.

use super::{Error, Host};
use crate::plugin::{SettingValues, StoragePlugin, TemplatePlugin};

/// A template by name.
pub(super) fn load_template(host: &Host, name: &str) -> Result<TemplatePlugin, Error> {
    let name = prefixed("template", name);
    Ok(host.plugins.template(&name, None, &settings_of(host, &name), host.progress.clone())?)
}

/// A storage by name, with the containers' directory as its pool.
pub(super) fn load_storage(host: &Host, name: &str) -> Result<StoragePlugin, Error> {
    let name = prefixed("storage", name);
    Ok(host.plugins.storage(&name, &host.layout.path, &settings_of(host, &name), host.progress.clone())?)
}

/// What the administrator set for a plugin; words as they are, everything else as JSON.
fn settings_of(host: &Host, plugin: &str) -> SettingValues {
    let set = host.settings.plugins.get(plugin).cloned().unwrap_or_default();
    let word = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    set.into_iter().map(|(key, value)| (key, word(value))).collect()
}

/// `dir` means the plugin `storage-dir`, as `lxc-create -B dir` has it.
fn prefixed(kind: &str, name: &str) -> String {
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
    fn operations_have_the_grammar_of_the_contract() {
        let id = operation("create");
        assert!(
            id.len() <= 64 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        );
    }
}
