//! What the configuration in a file may say on this host.
//!
//! A file may come from anybody. What it says of how its system is run is taken; what would give it something of this
//! host (privilege, mounts, devices, networks, namespaces, a start at boot) is left out and named, unless the
//! user trusts the file as a whole. In the latter's place stands what the administrator gives new containers.

use std::collections::BTreeSet;
use std::path::Path;

use toml_edit::DocumentMut;

use super::super::{Error, assemble};
use super::manifest::portable;
use crate::config::ids::IdMap;
use crate::config::{Container, edit, toml};

/// Keys that take something away or say how the system is run, beyond those that an image may set.
const ALLOWED: &[&str] = &[
    "cgroup.pids.max",
    "console.buffer",
    "ephemeral",
    "hostname",
    "rootfs.in-memory",
    "rootfs.read-only",
    "security.drop-capabilities",
    "security.no-new-privileges",
    "stop.kill",
    "stop.timeout",
    "template.created",
    "template.image",
    "template.name",
    "template.version",
];
const ALLOWED_BELOW: &[&str] = &["cgroup.memory.", "cgroup.cpu."];
/// Keys that belong to the host that the container was on, and are not missed. Who vouched there for its image, nobody here has seen.
const HOSTS_OWN: &[&str] = &[
    "ids.users",
    "ids.groups",
    "rootfs.storage",
    "rootfs.volume",
    "template.digest",
    "template.server",
    "template.signer",
];

fn is_allowed(key: &str) -> bool {
    assemble::is_allowed(key)
        || ALLOWED.contains(&key)
        || ALLOWED_BELOW.iter().any(|prefix| key.starts_with(prefix))
}

/// What is taken of a configuration, and the keys that were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) text: String,
    pub(super) left_out: BTreeSet<String>,
}

/// The configuration of a file as it stands. `file` is only for messages.
pub(super) fn whole(text: &str, file: &Path) -> Result<Taken, Error> {
    toml::parse_unchecked(text, file)?;
    let text = portable(text).map_err(|error| unreadable(file, &error.to_string()))?;
    Ok(Taken { text, left_out: BTreeSet::new() })
}

/// What a file may say, on top of what new containers get here.
pub(super) fn harmless(text: &str, file: &Path, base: &str) -> Result<Taken, Error> {
    // Rules that hold between keys may be about one that is left out.
    toml::parse_unchecked(text, file)?;
    let said = edit::said(text, file)?;
    let (taken, others): (Vec<_>, Vec<_>) = said.iter().partition(|(key, _)| is_allowed(key));
    let missed = others.into_iter().filter(|(key, _)| !HOSTS_OWN.contains(&key.as_str()));
    let left_out = missed.map(|(key, _)| shown(key)).collect();
    let pairs: Vec<(&str, &str)> =
        taken.into_iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Ok(Taken { text: edit::set_all(base, file, &pairs)?, left_out })
}

/// One word for a whole mount or network device.
fn shown(key: &str) -> String {
    let steps: Vec<&str> = key.split('.').collect();
    let number = steps.iter().position(|step| step.parse::<usize>().is_ok());
    number.map_or_else(|| key.to_owned(), |at| steps[..=at].join("."))
}

/// The text with the ids and the storage that the container has here.
pub(super) fn at_home(
    text: &str,
    file: &Path,
    ids: &IdMap,
    storage: &str,
) -> Result<(String, Container), Error> {
    let mut document: DocumentMut =
        text.parse().map_err(|e: toml_edit::TomlError| unreadable(file, &e.to_string()))?;
    document.remove("ids");
    let mut text = document.to_string();
    if !ids.is_empty() {
        let list = |ranges: &[crate::config::ids::IdRange]| {
            let words: Vec<String> = ranges.iter().map(|range| format!("{:?}", range.to_string())).collect();
            format!("[{}]", words.join(", "))
        };
        text = edit::set(&text, file, "ids.users", &list(&ids.users))?;
        text = edit::set(&text, file, "ids.groups", &list(&ids.groups))?;
    }
    text = edit::set(&text, file, "rootfs.storage", storage)?;
    let container = toml::parse(&text, file)?;
    Ok((text, container))
}

fn unreadable(file: &Path, why: &str) -> Error {
    let message = format!("the configuration in {} cannot be read: {why}", file.display());
    Error::Invalid { message, hint: "export the container again".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "hostname = \"www\"\nprivileged = true\nephemeral = true\n[init]\n\
        command = [\"/sbin/init\", \"a b\"]\n[rootfs]\nstorage = \"loop\"\n[environment]\nkeep = [\"SECRET\"]\n\
        [environment.set]\nLANG = \"C\"\n[namespaces]\nnet = \"keep\"\n[cgroup.memory]\nmax = \"64M\"\n\
        [cgroup.devices]\nallow = [\"a\"]\n[security]\nseccomp = \"off\"\n[ids]\nusers = [\"0:0:4294967295\"]\n\
        groups = [\"0:0:4294967295\"]\n[autostart]\nenabled = true\n[console]\nlog = \"/etc/shadow\"\n\
        [sysctl]\n\"net.ipv4.ip_forward\" = \"1\"\n[[mounts]]\nsource = \"/\"\ntarget = \"/host\"\n\
        [[network]]\ntype = \"veth\"\nbridge = \"secret0\"\n";

    #[test]
    fn a_foreign_file_gets_nothing_of_this_host() {
        let base = "[[network]]\ntype = \"empty\"\n";
        let taken = harmless(HOSTILE, Path::new("x"), base).unwrap();
        let container = toml::parse(&taken.text, Path::new("x")).unwrap();
        let mut right = toml::parse(base, Path::new("x")).unwrap();
        right.hostname = Some("www".into());
        right.ephemeral = true;
        right.init.command = vec!["/sbin/init".into(), "a b".into()];
        right.environment.set.insert("LANG".into(), "C".into());
        right.cgroup.memory.max = container.cgroup.memory.max;
        assert_eq!(container, right, "{}", taken.text);
        assert!(container.cgroup.memory.max.is_some());
        let left_out: Vec<&str> = taken.left_out.iter().map(String::as_str).collect();
        assert_eq!(
            left_out,
            [
                "autostart.enabled",
                "cgroup.devices.allow",
                "console.log",
                "environment.keep",
                "mounts.0",
                "namespaces.net",
                "network.0",
                "privileged",
                "security.seccomp",
                "sysctl.net.ipv4.ip_forward"
            ]
        );
    }

    /// Nobody here has seen that signature, or asked that server.
    #[test]
    fn a_file_does_not_say_who_vouched_for_it() {
        let text = "[template]\nname = \"template-download\"\nversion = \"0.1.0\"\nimage = \"debian/trixie\"\n\
                    digest = \"sha256:ab\"\nserver = \"https://a.example\"\nsigner = \"ABCD\"\ncreated = \"2026-01-01T00:00:00Z\"\n";
        let taken = harmless(text, Path::new("x"), "").unwrap();
        assert!(taken.left_out.is_empty(), "{:?}", taken.left_out);
        assert!(
            taken.text.contains("debian/trixie") && taken.text.contains("template-download"),
            "{}",
            taken.text
        );
        for word in ["ABCD", "a.example", "sha256"] {
            assert!(!taken.text.contains(word), "{word}: {}", taken.text);
        }
    }

    #[test]
    fn a_trusted_file_is_taken_without_the_ids_of_its_host() {
        let taken = whole(HOSTILE, Path::new("x")).unwrap();
        let ids = IdMap::single(crate::config::ids::HostId(7), 65_536);
        let text =
            taken.text.replace("privileged = true\n", "").replace("[namespaces]\nnet = \"keep\"\n", "");
        let (_, container) = at_home(&text, Path::new("x"), &ids, "overlay").unwrap();
        assert_eq!((container.ids.users[0].host.0, container.mounts.len()), (7, 1));
        assert_eq!(container.rootfs.storage, "overlay");
    }
}
