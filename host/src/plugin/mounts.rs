#![forbid(unsafe_code)]
//! Mount plans of storage plugins: from what a guest says to what the plan builder takes.
//!
//! A guest names handles and paths below them; what comes out names the pool and the same path, to be
//! resolved there without links by whoever mounts. Everything a guest said is checked here: it may
//! name volumes and nothing beside them, and only types and options that the host knows.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::bindings::volumes::wxc::storage::types as wit;
use super::host::place::{Class, Zone, parts};
use super::manifest::Manifest;
use super::storage::Access;
use crate::plan::{OverlayUpper, RootSource};

/// What has to be mounted to use a volume; the first is its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MountPlan {
    /// The directory below which all relative paths are.
    pub pool: PathBuf,
    /// In the order in which they are to be mounted.
    pub mounts: Vec<VolumeMount>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeMount {
    /// What.
    pub source: VolumeSource,
    /// Where, relative to the root; empty for the root itself.
    pub target: PathBuf,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Options of the file system, from the host's own list.
    pub options: Vec<String>,
}

/// What is mounted. Paths are relative to the pool and are resolved without links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum VolumeSource {
    /// A directory, bound.
    Tree(PathBuf),
    /// Directories and disks, one over the other; `lower` topmost first.
    Overlay {
        /// The layers that are only read.
        lower: Vec<Layer>,
        /// The writable side: where changes go, and the kernel's work directory.
        upper: Option<(PathBuf, PathBuf)>,
    },
    /// A file system on a disk.
    Disk(Disk),
    /// A ZFS data set below the one bound as the pool.
    Dataset(String),
}

/// A layer of an overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Layer {
    /// A directory.
    Tree(PathBuf),
    /// A file system on a disk.
    Disk(Disk),
}

/// A file system on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Where its blocks are.
    pub backing: Backing,
    /// One of [`FILESYSTEMS`].
    pub filesystem: String,
}

/// Where blocks are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Backing {
    /// In a regular file of the pool.
    File(PathBuf),
    /// On a device that a template of the manifest names, with the values for its placeholders.
    Device {
        /// The template's name.
        template: String,
        /// Placeholder and value.
        values: Vec<(String, String)>,
    },
}

/// File systems a disk may have.
pub const FILESYSTEMS: &[&str] = &["ext4", "xfs", "btrfs", "squashfs", "erofs"];

/// Options that a plugin may ask for; what could weaken the container's confinement is not among them.
pub const OPTIONS: &[&str] = &[
    "noatime",
    "relatime",
    "nodiratime",
    "lazytime",
    "discard",
    "nouuid",
    "norecovery",
    "noload",
    "compress",
    "compress=zstd",
    "compress=lzo",
    "ssd",
    "index=off",
    "metacopy=on",
    "metacopy=off",
    "redirect_dir=on",
    "redirect_dir=off",
    "userxattr",
    "volatile",
];

const MOST_MOUNTS: usize = 64;
const MOST_LAYERS: usize = 128;

impl MountPlan {
    /// The root file system, for the plan of a start; `None` for what plans cannot say yet, with the reason.
    ///
    /// # Errors
    /// A sentence that names what this version cannot mount.
    pub fn root(&self) -> Result<RootSource, String> {
        let pool = self.pool.clone();
        let root = match self.mounts.as_slice() {
            [root] => root,
            [] => return Err("the plan is empty".into()),
            [_, more, ..] => {
                return Err(format!("wxc mounts nothing on /{} beside the root", more.target.display()));
            }
        };
        let disk = matches!(root.source, VolumeSource::Disk(_));
        if let (false, Some(option)) = (disk, root.options.first()) {
            return Err(format!("wxc sets the option {option:?} on disks only"));
        }
        match &root.source {
            VolumeSource::Tree(relative) => Ok(RootSource::Tree { pool, relative: relative.clone() }),
            VolumeSource::Overlay { lower, upper } => {
                let trees = lower.iter().map(|layer| match layer {
                    Layer::Tree(path) => Ok(path.clone()),
                    Layer::Disk(_) => Err("an overlay over a disk cannot be mounted by this version"),
                });
                let lower: Vec<_> = trees.collect::<Result<_, _>>()?;
                match (lower.as_slice(), upper) {
                    // The kernel makes no overlay of one layer, and it would show nothing else.
                    ([only], None) => Ok(RootSource::Tree { pool, relative: only.clone() }),
                    (_, upper) => {
                        let upper = upper.clone().map(|(upper, work)| OverlayUpper { upper, work });
                        Ok(RootSource::Overlay { pool, lower, upper })
                    }
                }
            }
            VolumeSource::Disk(Disk { backing: Backing::File(relative), filesystem }) => {
                Ok(RootSource::Disk {
                    pool,
                    relative: relative.clone(),
                    fstype: filesystem.clone(),
                    options: root.options.clone(),
                })
            }
            VolumeSource::Disk(_) => {
                Err("a root file system on a device cannot be mounted by this version".into())
            }
            VolumeSource::Dataset(_) => Err("a data set cannot be mounted by this version".into()),
        }
    }
}

/// Checks and converts what `volumes.mounts` returned.
pub(super) fn convert(
    pool: &Path,
    manifest: &Manifest,
    access: Access,
    list: Vec<wit::Mount>,
) -> Result<MountPlan, String> {
    if list.is_empty() || list.len() > MOST_MOUNTS {
        return Err(format!("{} mounts, where 1 to {MOST_MOUNTS} are allowed", list.len()));
    }
    let mut mounts = Vec::new();
    for (index, mount) in list.into_iter().enumerate() {
        if mount.target.is_empty() != (index == 0) {
            return Err("the root has to be the first mount, and only the first".into());
        }
        if let Some(option) = mount.options.iter().find(|o| !OPTIONS.contains(&o.as_str())) {
            return Err(format!("the mount option {option:?} is not one that a plugin may ask for"));
        }
        mounts.push(VolumeMount {
            source: source(manifest, mount.source)?,
            target: relative(&mount.target)?,
            read_only: mount.read_only || access == Access::ReadOnly,
            options: mount.options,
        });
    }
    Ok(MountPlan { pool: pool.to_owned(), mounts })
}

fn source(manifest: &Manifest, source: wit::MountSource) -> Result<VolumeSource, String> {
    Ok(match source {
        wit::MountSource::Tree(at) => VolumeSource::Tree(place(&at)?),
        wit::MountSource::Overlay(overlay) => {
            if overlay.lower.is_empty() || overlay.lower.len() > MOST_LAYERS {
                return Err(format!("an overlay has 1 to {MOST_LAYERS} lower layers"));
            }
            let layer = |layer| match layer {
                wit::OverlayLayer::Tree(at) => place(&at).map(Layer::Tree),
                wit::OverlayLayer::Disk(d) => disk(manifest, d).map(Layer::Disk),
            };
            let lower = overlay.lower.into_iter().map(layer).collect::<Result<_, _>>()?;
            let both = |u: wit::OverlayUpper| Ok::<_, String>((place(&u.upper)?, place(&u.work)?));
            VolumeSource::Overlay { lower, upper: overlay.upper.map(both).transpose()? }
        }
        wit::MountSource::Disk(d) => VolumeSource::Disk(disk(manifest, d)?),
        wit::MountSource::Dataset(name) => {
            let good = |part: &str| super::volume_id::is_name(part);
            if name.is_empty() || name.split('/').count() > 8 || !name.split('/').all(good) {
                return Err(format!("{name:?} is not the name of a data set"));
            }
            VolumeSource::Dataset(name)
        }
    })
}

fn disk(manifest: &Manifest, disk: wit::Disk) -> Result<Disk, String> {
    if !FILESYSTEMS.contains(&disk.filesystem.as_str()) {
        return Err(format!("a disk with the file system {:?} is not mounted", disk.filesystem));
    }
    let backing = match disk.backing {
        wit::DiskBacking::File(at) => Backing::File(place(&at)?),
        wit::DiskBacking::Device(named) => {
            if !manifest.devices.contains_key(&named.device) {
                return Err(format!("the manifest has no [devices.{}]", named.device));
            }
            let good = |value: &str| super::volume_id::is_volume_id(value);
            if let Some((name, value)) = named.values.iter().find(|(_, value)| !good(value)) {
                return Err(format!("the placeholder {name:?} of a device cannot be {value:?}"));
            }
            Backing::Device { template: named.device, values: named.values }
        }
    };
    Ok(Disk { backing, filesystem: disk.filesystem })
}

/// A place below the pool that holds a volume.
fn place(at: &wit::Place) -> Result<PathBuf, String> {
    if at.handle != "pool" {
        return Err(format!("there is no handle {:?} in a mount plan", at.handle));
    }
    let parts = parts(&at.path).map_err(|e| e.message)?;
    if Zone::default().below(&parts).class() != Class::Content {
        return Err(format!("{:?} is not part of a volume", at.path));
    }
    Ok(parts.iter().collect())
}

/// A path inside the root; a leading slash is allowed there.
fn relative(target: &str) -> Result<PathBuf, String> {
    let parts = parts(target.strip_prefix('/').unwrap_or(target)).map_err(|e| e.message)?;
    Ok(parts.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let text = "name = \"x\"\nkind = \"storage\"\nversion = \"1\"\napi = \"0.1\"\ndescription = \"\"\npool = \"directory\"\n";
        Manifest::parse(text).unwrap()
    }

    fn tree(handle: &str, path: &str, target: &str, options: &[&str]) -> wit::Mount {
        wit::Mount {
            source: wit::MountSource::Tree(wit::Place { handle: handle.into(), path: path.into() }),
            target: target.into(),
            read_only: false,
            options: options.iter().map(|&o| o.to_owned()).collect(),
        }
    }

    fn refused(list: Vec<wit::Mount>) -> String {
        convert(Path::new("/pool"), &manifest(), Access::ReadWrite, list).unwrap_err()
    }

    #[test]
    fn a_tree_becomes_the_root() {
        let plan = convert(
            Path::new("/p"),
            &manifest(),
            Access::ReadOnly,
            vec![tree("pool", "web/rootfs", "", &[])],
        );
        let plan = plan.unwrap();
        assert!(plan.mounts[0].read_only);
        let root = RootSource::Tree { pool: "/p".into(), relative: "web/rootfs".into() };
        assert_eq!(plan.root().unwrap(), root);
    }

    #[test]
    fn lies_are_refused() {
        for (handle, path) in [
            ("pool", "web"),
            ("pool", "web/container.toml"),
            ("pool", "../etc"),
            ("host", "web/rootfs"),
            ("pool", "web/rootfs/../../x"),
            ("pool", "/etc"),
            ("pool", ""),
        ] {
            refused(vec![tree(handle, path, "", &[])]);
        }
        assert!(refused(vec![]).contains("0 mounts"));
        assert!(refused(vec![tree("pool", "web/rootfs", "data", &[])]).contains("first"));
        assert!(refused(vec![tree("pool", "web/rootfs", "", &[]); 65]).contains("65"));
        for option in ["suid", "dev", "noatime,dev", "lowerdir=/etc", "context=x"] {
            assert!(refused(vec![tree("pool", "web/rootfs", "", &[option])]).contains("option"), "{option}");
        }
    }
}
