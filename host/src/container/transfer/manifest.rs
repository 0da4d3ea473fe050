//! The first member of an export: what is in it, in which order, and with which configuration.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use toml_edit::DocumentMut;

use super::super::{images, snapshot};
use crate::config::{Name, toml};

/// Says what the file is.
pub(super) const FORMAT: &str = "wxc-export";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;
/// More trees than anybody has snapshots.
const TREES_MAX: usize = 10_000;
/// Bytes of a comment.
const COMMENT_MAX: usize = 64 << 10;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Manifest {
    pub(super) format: String,
    pub(super) version: u32,
    /// Version of the program that wrote it.
    pub(super) wxc: String,
    /// When, as RFC 3339 in UTC.
    pub(super) exported: String,
    pub(super) name: String,
    /// The snapshot that was exported as a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of_snapshot: Option<String>,
    /// The machine's, as uname(2) says it.
    pub(super) arch: String,
    /// Where the container was kept. Only for whoever reads this.
    pub(super) storage: String,
    /// The most that it might take up, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// In the order of the sections: the snapshots, oldest first, and then the container.
    pub(super) trees: Vec<Tree>,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Tree {
    /// What it is a snapshot of; nothing for the container itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) snapshot: Option<Taken>,
    /// The text of `container.toml` of that moment, without what belongs to the host it was on.
    pub(super) config: String,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Taken {
    pub(super) name: String,
    /// When, as RFC 3339 in UTC.
    pub(super) created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}

/// What every version has.
#[derive(Deserialize)]
struct Envelope {
    format: String,
    version: u32,
}

/// Reads and checks one, which anybody may have written.
pub(super) fn parse(text: &[u8]) -> Result<Manifest, String> {
    let damaged = |error: serde_json::Error| format!("its manifest is not understood: {error}");
    let envelope: Envelope = serde_json::from_slice(text).map_err(damaged)?;
    if envelope.format != FORMAT {
        return Err(match envelope.format.as_str() {
            images::transfer::FORMAT => "it is an image: wxc image import makes one of it".into(),
            _ => "its manifest is that of another format".into(),
        });
    }
    if envelope.version != VERSION {
        return Err(format!(
            "it has version {} of the format, and this wxc knows {VERSION}",
            envelope.version
        ));
    }
    let manifest: Manifest = serde_json::from_slice(text).map_err(damaged)?;
    check(&manifest)?;
    Ok(manifest)
}

fn check(manifest: &Manifest) -> Result<(), String> {
    let Some((last, before)) = manifest.trees.split_last() else {
        return Err("its manifest lists no tree".into());
    };
    if manifest.trees.len() > TREES_MAX {
        return Err(format!("its manifest lists more than {TREES_MAX} trees"));
    }
    if last.snapshot.is_some() {
        return Err("its manifest lists snapshots, and no container after them".into());
    }
    if let Some(tree) = manifest.trees.iter().find(|tree| tree.config.len() > toml::MAX_FILE) {
        return Err(format!("a configuration in its manifest has {} bytes", tree.config.len()));
    }
    let mut names = BTreeSet::new();
    for tree in before {
        let Some(taken) = &tree.snapshot else {
            return Err("its manifest lists more than one container".into());
        };
        let name = snapshot::parse_name(&taken.name).map_err(|error| error.to_string())?;
        if !names.insert(name) {
            return Err(format!("its manifest lists the snapshot {} twice", taken.name));
        }
        if taken.created.parse::<jiff::Timestamp>().is_err() {
            return Err(format!("its manifest does not say when the snapshot {} was taken", taken.name));
        }
        if taken.comment.as_ref().is_some_and(|comment| comment.len() > COMMENT_MAX) {
            return Err(format!("the comment of the snapshot {} has more than 64 KiB", taken.name));
        }
    }
    Ok(())
}

impl Taken {
    /// Its name, which was checked.
    pub(super) fn name(&self) -> Result<Name, super::super::Error> {
        snapshot::parse_name(&self.name)
    }
}

/// A configuration without what belongs to one host: ids, where its files are, and names of the host's devices.
pub(super) fn portable(text: &str) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = text.parse()?;
    document.remove("ids");
    if let Some(rootfs) = document.get_mut("rootfs").and_then(toml_edit::Item::as_table_like_mut) {
        rootfs.remove("storage");
        rootfs.remove("volume");
        if rootfs.is_empty() {
            document.remove("rootfs");
        }
    }
    if let Some(devices) = document.get_mut("network").and_then(toml_edit::Item::as_array_of_tables_mut) {
        for device in devices.iter_mut() {
            device.remove("host-name");
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(trees: &str) -> String {
        format!(
            r#"{{"format":"wxc-export","version":1,"wxc":"0","exported":"","name":"web","arch":"x86_64",
                "storage":"dir","trees":[{trees}]}}"#
        )
    }

    #[test]
    fn a_manifest_that_makes_no_sense_is_refused() {
        let taken = |name: &str, at: &str| {
            format!(r#"{{"snapshot":{{"name":"{name}","created":"{at}"}},"config":""}}"#)
        };
        let (one, own) = (taken("snap0", "2026-01-02T03:04:05Z"), r#"{"config":""}"#);
        assert!(parse(manifest(&format!("{one},{own}")).as_bytes()).is_ok());
        for (text, why) in [
            (String::new(), "not understood"),
            ("[]".into(), "not understood"),
            (r#"{"format":"x","version":1}"#.into(), "another format"),
            (r#"{"format":"wxc-export","version":2,"trees":7}"#.into(), "version 2"),
            (manifest(""), "no tree"),
            (manifest(&one), "no container"),
            (manifest(&format!("{own},{own}")), "more than one container"),
            (manifest(&format!("{one},{one},{own}")), "twice"),
            (manifest(&format!("{},{own}", taken("../x", "2026-01-02T03:04:05Z"))), "not the name"),
            (manifest(&format!("{},{own}", taken("ALL", "2026-01-02T03:04:05Z"))), "all of them"),
            (manifest(&format!("{},{own}", taken("a", "yesterday"))), "when"),
            (manifest(&format!(r#"{{"config":"{}"}}"#, "#".repeat(toml::MAX_FILE + 1))), "bytes"),
        ] {
            let said = parse(text.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{text:.80}: {said}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn what_belongs_to_a_host_stays_there() {
        let text = "# mine\nhostname = \"www\" # kept\n[rootfs]\nstorage = \"dir\"\nvolume = \"v\"\n[ids]\n\
                    users = [\"0:5:9\"]\n[[network]]\ntype = \"veth\"\nhost-name = \"veth-web\"\n";
        let plain = portable(text).unwrap();
        assert_eq!(plain, "# mine\nhostname = \"www\" # kept\n[[network]]\ntype = \"veth\"\n");
        assert_eq!(portable("[rootfs]\nread-only = true\n").unwrap(), "[rootfs]\nread-only = true\n");
    }
}
