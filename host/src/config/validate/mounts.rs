#![forbid(unsafe_code)]
//! Rules of mounts.

use super::{Rules, is_plain_word};
use crate::config::Container;
use crate::config::mounts::{Mount, normalized};

/// Rules of one `[[mounts]]` entry, whose key is `key`.
pub(super) fn one(key: &str, mount: &Mount, container: &Container, rules: &mut Rules) {
    let at = |name: &str| format!("{key}.{name}");
    rules.must(
        normalized(&mount.target).is_some(),
        &at("target"),
        format!("\"{}\" is not a place for a mount", mount.target.display()),
        "give a path below / as seen inside, without \"..\"",
    );
    if mount.is_bind() {
        let source = &mount.source;
        let named = source.is_absolute() || normalized(source).is_some();
        rules.must(
            named && !source.components().any(|part| part == std::path::Component::ParentDir),
            &at("source"),
            format!("\"{}\" is not a path of the host", source.display()),
            "give an absolute path, or one below the container's directory, without \"..\"",
        );
        rules.must(
            mount.options.is_empty(),
            &at("options"),
            "a bind has no options of a file system",
            "use `read-only`, `nosuid`, `nodev`, `noexec`, `nosymfollow`, `access-time` and `recursive`",
        );
    } else {
        rules.must(
            is_plain_word(&mount.kind),
            &at("type"),
            format!("\"{}\" is not the name of a file system", mount.kind),
            "\"bind\", or a name of /proc/filesystems",
        );
        rules.must(
            !mount.idmapped,
            &at("idmapped"),
            "a new file system belongs to the container already",
            "remove `idmapped`; it is for a bind",
        );
    }
    rules.must(
        !(mount.idmapped && container.privileged),
        &at("idmapped"),
        "a privileged container has the host's ids, there is nothing to shift",
        "remove `idmapped`",
    );
    for (index, option) in mount.options.iter().enumerate() {
        rules.must(
            !option.is_empty() && !option.contains(','),
            &format!("{key}.options.{index}"),
            format!("\"{option}\" is not one option"),
            "write each option as its own element of the list",
        );
    }
}
