#![forbid(unsafe_code)]
//! Images: what was half unpacked, what nobody can read, and what is not there.

use std::collections::BTreeMap;
use std::fs;

use super::{Error, Host, Look, Problem, Remedy};
use crate::container::{dependents, images, plugins};
use crate::plugin::storage::Storage as _;

impl Look<'_> {
    /// Looks at each directory of images.
    pub(super) fn images(&mut self) -> Result<(), Error> {
        let shelf = self.host.layout.path.join(images::IMAGES);
        let entries = match fs::read_dir(&shelf) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(Error::io("list", &shelf))?,
        };
        let mut keys: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        keys.sort();
        keys.retain(|key| !images::is_busy(self.host, key));
        if keys.is_empty() {
            return Ok(());
        }
        let found = volumes(self.host);
        for key in keys {
            self.image(&key, &found);
        }
        Ok(())
    }

    fn image(&mut self, key: &str, found: &Volumes) {
        let id = images::volume_of(key);
        let users: Vec<&str> = found.users.get(&id).into_iter().flatten().map(String::as_str).collect();
        let there = found.storages.get(&id);
        let record = images::load(self.host, key);
        let short = images::short(key);
        let (problem, what) = match &record {
            Ok(Some(record)) if there.is_none() && found.asked(&record.storage) => {
                let what = format!(
                    "the volume of image {short} is not there: containers of its archive cannot be made"
                );
                (Problem::NoVolume, what)
            }
            Ok(Some(_)) => return,
            Ok(None) => (
                Problem::UnfinishedImage,
                format!(
                    "image {short} was half unpacked or half removed by a command that was killed; it takes up room and does no other harm"
                ),
            ),
            Err(error) => (
                Problem::DamagedImage,
                format!("{error}; no container can be made of image {short}, and `wxc image list` fails"),
            ),
        };
        let at = self.host.layout.path.join(images::IMAGES).join(key);
        if users.is_empty() {
            let remedy = Remedy::Image { key: key.to_owned(), storage: there.cloned() };
            let repair = "remove it; the next create unpacks the archive again".to_owned();
            self.add(problem, None, at, what, Some((remedy, repair)));
        } else {
            let what = format!(
                "{what}; {} stand on it and go on working: it can go when they are gone",
                users.join(", ")
            );
            self.add(problem, None, at, what, None);
        }
    }
}

/// What the storages say of images.
#[derive(Default)]
struct Volumes {
    /// The storage of each volume of an image.
    storages: BTreeMap<String, String>,
    /// Containers that are built on each.
    users: BTreeMap<String, Vec<String>>,
    asked: Vec<String>,
}

impl Volumes {
    fn asked(&self, storage: &str) -> bool {
        self.asked.contains(&plugins::prefixed("storage", storage))
    }
}

fn volumes(host: &Host) -> Volumes {
    let mut all = Volumes::default();
    let named = images::recorded(host).into_iter().chain(host.settings.storage.clone());
    let mut storages: Vec<String> = named.map(|storage| plugins::prefixed("storage", &storage)).collect();
    // They are asked also when no container says that it uses them.
    storages.extend(images::USUAL.map(str::to_owned));
    storages.sort();
    storages.dedup();
    for storage in storages {
        // One that does not work here has no images here.
        let listed = plugins::load_storage(host, &storage).and_then(|plugin| {
            plugin.open()?;
            dependents::volumes(&plugin)
        });
        let Ok(listed) = listed else { continue };
        for volume in listed {
            if let Some(parent) = volume.parent.filter(|parent| parent.starts_with(images::IMAGES)) {
                all.users.entry(parent).or_default().push(volume.id.clone());
            }
            if volume.id.starts_with(images::IMAGES) {
                // The first one, which is btrfs: its subvolumes look like directories to the others.
                all.storages.entry(volume.id).or_insert_with(|| storage.clone());
            }
        }
        all.asked.push(storage);
    }
    all
}
