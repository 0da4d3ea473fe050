//! What is in a container or a snapshot, read from the pool by what is documented of its form, and not through wxc.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::mount::Mount;
use crate::world::sum;
use crate::{Env, Run};

/// Every entry of a tree, in words.
pub(super) type Manifest = BTreeMap<String, String>;

/// What a container has of its own; wxc renews it in copies.
const OWN: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/machine-id"];

/// The content of a tree.
pub(super) fn tree(root: &Path) -> Manifest {
    let mut manifest = Manifest::new();
    walk(root, root, &mut manifest);
    manifest
}

fn walk(root: &Path, directory: &Path, manifest: &mut Manifest) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        let Ok(meta) = path.symlink_metadata() else { continue };
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        if name == "lost+found" {
            continue;
        }
        let (kind, own) = (meta.file_type(), OWN.contains(&name.as_str()));
        let content = if kind.is_symlink() {
            fs::read_link(&path).unwrap_or_default().display().to_string()
        } else if kind.is_file() && !own {
            let bytes = fs::read(&path).unwrap_or_default();
            format!("{} bytes {:x} of {}, {} names", bytes.len(), digest(&bytes), meta.mtime(), meta.nlink())
        } else {
            String::new()
        };
        manifest.insert(name, format!("{:o} {}:{} {content}", meta.mode(), meta.uid(), meta.gid()));
        if kind.is_dir() {
            walk(root, &path, manifest);
        }
    }
}

/// Of a large file a part of its bytes: it is read some hundred times.
fn digest(bytes: &[u8]) -> u64 {
    let step = (bytes.len() / 20_000).max(1);
    let some: Vec<u8> = bytes.iter().copied().step_by(step).collect();
    sum(&some)
}

/// A volume that can be looked into, for as long as this is there.
struct Open {
    root: PathBuf,
    _mount: Option<Mount>,
}

/// The content of the volume in a directory: a container's, or a snapshot's.
pub(super) fn volume(env: &Env, home: &Path) -> Result<Manifest, String> {
    Ok(tree(&open(env, home, false)?.root))
}

/// Changes a container that does not run, as if it had run. `false`: others are built on it.
pub(super) fn write(env: &Env, name: &str, number: u32) -> Result<bool, String> {
    let home = env.container(name);
    if note(&home).is_some_and(|note| note.first().is_some_and(|phase| phase == "sealed")) {
        return Ok(false);
    }
    let open = open(env, &home, true)?;
    let text = format!("written {number}");
    let written = fs::write(open.root.join("written"), &text)
        .and_then(|()| fs::write(open.root.join("etc/deep").join(format!("file-{}", number % 5)), &text));
    // A change of what is below, and a removal of it.
    let changed =
        fs::write(open.root.join("etc/deep/er/secret"), text).and_then(|()| {
            match fs::remove_file(open.root.join(format!("etc/deep/file-{}", (number + 2) % 5))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        });
    written.and(changed).map_err(|error| format!("cannot write into {name}: {error}"))?;
    Ok(true)
}

fn open(env: &Env, home: &Path, write: bool) -> Result<Open, String> {
    let disk = home.join("rootdev");
    if disk.is_file() {
        let mount = Mount::inside(&disk, if write { "loop" } else { "loop,ro" });
        return Ok(Open { root: PathBuf::from(mount.path()), _mount: Some(mount) });
    }
    let mut layers = layers(env, home)?;
    if layers.len() == 1 {
        return Ok(Open { root: layers.remove(0), _mount: None });
    }
    let text = |path: &Path| path.display().to_string();
    let upper = write.then(|| layers.remove(0));
    let lower: Vec<String> = layers.iter().map(|layer| text(layer)).collect();
    let mut options = format!("userxattr,lowerdir={}", lower.join(":"));
    if let Some(upper) = upper {
        let work = home.join("overlay-work");
        options = format!("{options},upperdir={},workdir={}", text(&upper), text(&work));
    } else if lower.len() == 1 {
        return Err(format!("{} has one layer only", home.display()));
    }
    let mount = Mount::overlay(&options);
    Ok(Open { root: PathBuf::from(mount.path()), _mount: Some(mount) })
}

/// The layers of what a directory holds, its own first.
fn layers(env: &Env, home: &Path) -> Result<Vec<PathBuf>, String> {
    let (mut layers, mut home) = (Vec::new(), home.to_owned());
    loop {
        let own = ["rootfs", "delta"].map(|layer| home.join(layer)).into_iter().find(|layer| layer.is_dir());
        layers.push(own.ok_or_else(|| format!("there is no content in {}", home.display()))?);
        let parent = note(&home).and_then(|note| note.get(2).cloned()).filter(|parent| parent != "-");
        match parent.filter(|_| layers.last().is_some_and(|layer| layer.ends_with("delta"))) {
            None => return Ok(layers),
            Some(parent) => home = home_of(env, &parent),
        }
        if layers.len() > 200 {
            return Err(format!("{} is built on itself", home.display()));
        }
    }
}

fn home_of(env: &Env, id: &str) -> PathBuf {
    match id.split_once('@') {
        None => env.container(id),
        Some((".images", key)) => env.path().join(".images").join(key),
        Some((container, snapshot)) => env.container(container).join("snaps").join(snapshot),
    }
}

/// The words of a volume's note.
fn note(home: &Path) -> Option<Vec<String>> {
    let text = ["rootfs.volume", "rootdev.volume"]
        .iter()
        .find_map(|note| fs::read_to_string(home.join(note)).ok())?;
    Some(text.split_whitespace().map(str::to_owned).collect())
}

/// Every subvolume of the file system that the containers are on.
pub(super) fn subvolumes(env: &Env) -> Vec<String> {
    if env.filesystem() != Some("btrfs") {
        return Vec::new();
    }
    let told = Run::host("btrfs", ["subvolume".as_ref(), "list".as_ref(), env.path().as_os_str()]).ok();
    told.lines().filter_map(|line| line.split_once(" path ").map(|(_, path)| path.to_owned())).collect()
}
