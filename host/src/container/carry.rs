#![forbid(unsafe_code)]
//! The configuration of a copy: the original's text with what belongs to one container renewed.
//!
//! The text and not the parsed value, so that comments and layout come along.

use std::path::Path;

use serde::Serialize as _;

use super::Error;
use crate::config::ids::{IdMap, IdRange};
use crate::config::mounts::Mount;
use crate::config::network::Mac;
use crate::config::{Container, Name, edit, toml};

/// What is different in the copy.
#[derive(Debug)]
pub(super) struct Renewed<'a> {
    pub(super) from: &'a Name,
    pub(super) to: &'a Name,
    /// The directories of both containers.
    pub(super) directories: (&'a Path, &'a Path),
    pub(super) storage: &'a str,
    /// The volume, where it is not named as the container is.
    pub(super) volume: Option<&'a str>,
    pub(super) ids: &'a IdMap,
    pub(super) keep_name: bool,
    pub(super) keep_mac: bool,
    pub(super) ephemeral: bool,
    /// Both are one: it was renamed.
    pub(super) same_machine: bool,
    /// Keys with what they are to be.
    pub(super) set: &'a [(String, String)],
    /// More mounts.
    pub(super) mounts: &'a [Mount],
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) text: String,
    /// The same, parsed.
    pub(super) container: Container,
    /// What both have in common although only one can, in words.
    pub(super) notes: Vec<String>,
}

/// Writes the configuration of the copy; `text` is the original's, and `original` what it means.
pub(super) fn carry(
    text: &str,
    original: &Container,
    file: &Path,
    renewed: &Renewed<'_>,
) -> Result<Carried, Error> {
    let original_text = retitled(text, renewed.from, renewed.to);
    let mut text = Text { text: original_text.clone(), file };
    let mut notes = Vec::new();
    if renewed.keep_name {
        text.set("hostname", &host_name(original, renewed.from))?;
    } else {
        text.unset("hostname", original.hostname.is_some())?;
    }
    text.unset("rootfs.volume", original.rootfs.volume.is_some() && renewed.volume.is_none())?;
    if original.rootfs.storage != renewed.storage {
        text.set("rootfs.storage", renewed.storage)?;
    }
    if original.ephemeral != renewed.ephemeral {
        text.set("ephemeral", if renewed.ephemeral { "true" } else { "false" })?;
    }
    if !renewed.ids.is_empty() {
        text.set("ids.users", &list(&renewed.ids.users))?;
        text.set("ids.groups", &list(&renewed.ids.groups))?;
    }
    if let Some(log) = original.console.log.as_ref().and_then(|log| moved(log, renewed.directories)) {
        text.set("console.log", &log)?;
    }
    let devices = if renewed.same_machine { &[][..] } else { &original.network };
    for (index, network) in devices.iter().enumerate() {
        let key = |name: &str| format!("network.{index}.{name}");
        // One name on the machine cannot be two devices'.
        text.unset(&key("host-name"), network.host_name.is_some())?;
        if let Some(mac) = network.mac.filter(|_| !renewed.keep_mac) {
            text.set(&key("mac"), &renewed_mac(mac)?.to_string())?;
        }
        for address in &network.addresses {
            notes.push(format!(
                "{} has the address {address} as {} has: give one of them another before both run",
                renewed.to, renewed.from
            ));
        }
    }
    if !renewed.mounts.is_empty() {
        text.set("mounts", &table(original.mounts.iter().chain(renewed.mounts))?)?;
    }
    for (key, value) in renewed.set {
        text.set(key, value)?;
    }
    let head = heading(&original_text);
    if !text.text.starts_with(head) {
        // It belonged to a key that went away.
        text.text.insert_str(0, head);
    }
    let container = toml::parse(&text.text, file)?;
    Ok(Carried { text: text.text, container, notes })
}

/// The host name that a container has when nothing else is said.
pub(super) fn host_name(container: &Container, name: &Name) -> String {
    container.hostname.clone().unwrap_or_else(|| name.to_hostname())
}

struct Text<'a> {
    text: String,
    file: &'a Path,
}

impl Text<'_> {
    fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.text = edit::set(&self.text, self.file, key, value)?;
        Ok(())
    }

    fn unset(&mut self, key: &str, is_set: bool) -> Result<(), Error> {
        if is_set {
            self.text = edit::unset(&self.text, self.file, key)?;
        }
        Ok(())
    }
}

fn list(ranges: &[IdRange]) -> String {
    let words: Vec<String> = ranges.iter().map(|range| format!("{:?}", range.to_string())).collect();
    format!("[{}]", words.join(", "))
}

pub(super) fn table<'a>(mounts: impl Iterator<Item = &'a Mount>) -> Result<String, Error> {
    let mounts: Vec<&Mount> = mounts.collect();
    let written = mounts.serialize(toml_edit::ser::ValueSerializer::new());
    written.map(|value| value.to_string()).map_err(|error| Error::Invalid {
        message: format!("the mounts cannot be written: {error}"),
        hint: "use paths that are UTF-8".into(),
    })
}

/// The comments and empty lines that a file begins with.
fn heading(text: &str) -> &str {
    let is_heading = |line: &&str| line.trim().is_empty() || line.starts_with('#');
    let end: usize = text.split_inclusive('\n').take_while(is_heading).map(str::len).sum();
    &text[..end]
}

/// The same place in the copy's directory, for what is in the original's.
fn moved(path: &Path, (from, to): (&Path, &Path)) -> Option<String> {
    let below = path.strip_prefix(from).ok()?;
    to.join(below).to_str().map(str::to_owned)
}

/// The comment that a fresh file begins with, in which the container's name stands.
fn retitled(text: &str, from: &Name, to: &Name) -> String {
    let title = format!("# Container {from}, ");
    if !text.starts_with(&title) {
        return text.to_owned();
    }
    let mut line = 0;
    text.split_inclusive('\n')
        .map(|part| {
            line += 1;
            if line > 3 || !part.starts_with('#') {
                return part.to_owned();
            }
            part.replacen(&title, &format!("# Container {to}, "), 1)
                .replace(&format!("config show {from}`"), &format!("config show {to}`"))
                .replace(&format!("config show -a {from}`"), &format!("config show -a {to}`"))
                .replace(&format!("config set {from} "), &format!("config set {to} "))
        })
        .collect()
}

/// Another address of the same maker: its three bytes may be what a network lets pass.
fn renewed_mac(Mac([a, b, c, ..]): Mac) -> Result<Mac, Error> {
    let mut random = [0; 3];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Error::io("get random numbers from", Path::new("/dev/urandom"))(e.into()))?;
    let [d, e, f] = random;
    Ok(Mac([a, b, c, d, e, f]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ids::HostId;
    use crate::config::write;

    const TEXT: &str = r#"# mine
hostname = "www"
ephemeral = true

[rootfs]
storage = "dir"
volume = "other"

[ids]
users = ["0:1000000000:65536"]
groups = ["0:1000000000:65536"]

[console]
log = "/pool/web/console.log"

[[network]]
type = "veth"
bridge = "br0" # the inner one
host-name = "veth-web"
mac = "10:66:6a:00:00:01"
addresses = ["10.0.3.5/24"]
"#;

    fn carried(change: impl FnOnce(&mut Renewed<'_>)) -> Carried {
        let (from, to) = ("web".parse().unwrap(), "web2".parse().unwrap());
        let ids = IdMap::single(HostId(1_000_065_536), 65_536);
        let mut renewed = Renewed {
            from: &from,
            to: &to,
            directories: (Path::new("/pool/web"), Path::new("/pool/web2")),
            storage: "overlay",
            volume: None,
            ids: &ids,
            keep_name: false,
            keep_mac: false,
            ephemeral: false,
            same_machine: false,
            set: &[],
            mounts: &[],
        };
        change(&mut renewed);
        let file = Path::new("container.toml");
        carry(TEXT, &toml::parse(TEXT, file).unwrap(), file, &renewed).unwrap()
    }

    #[test]
    fn what_belongs_to_one_container_is_renewed() {
        let copy = carried(|_| {});
        let container = &copy.container;
        assert_eq!((&container.hostname, container.ephemeral), (&None, false));
        assert_eq!((container.rootfs.storage.as_str(), &container.rootfs.volume), ("overlay", &None));
        assert_eq!(container.ids.users[0].host, HostId(1_000_065_536));
        assert_eq!(container.console.log.as_deref(), Some(Path::new("/pool/web2/console.log")));
        let mac = container.network[0].mac.unwrap().to_string();
        assert!(mac.starts_with("10:66:6a:") && mac != "10:66:6a:00:00:01", "{mac}");
        assert_eq!(container.network[0].host_name, None);
        assert!(copy.notes[0].contains("10.0.3.5/24"), "{:?}", copy.notes);
        assert!(copy.text.starts_with("# mine\n") && copy.text.contains("# the inner one"), "{}", copy.text);
    }

    #[test]
    fn what_is_to_be_kept_is_kept() {
        let copy = carried(|renewed| {
            renewed.keep_mac = true;
            renewed.keep_name = true;
        });
        assert_eq!(copy.container.hostname.as_deref(), Some("www"));
        assert_eq!(copy.container.network[0].mac.unwrap().to_string(), "10:66:6a:00:00:01");
    }

    #[test]
    fn the_title_names_the_copy() {
        let (from, to) = ("web".parse().unwrap(), "web2".parse().unwrap());
        let fresh = |name| write::fresh(&Container::default(), name).unwrap();
        assert_eq!(retitled(&fresh(&from), &from, &to), fresh(&to));
        assert_eq!(retitled("# web is mine\n", &from, &to), "# web is mine\n");
    }
}
