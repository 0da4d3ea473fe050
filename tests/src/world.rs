//! Everything that there is of a directory of containers, to be compared: on disk, in the kernel, and in the registry of ids.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};

use crate::mount::Mount;
use crate::{Env, until};

/// Everything, by name, without what differs from one time to the next.
pub type World = BTreeMap<String, String>;

/// Where the ids of all containers of root are registered.
const IDS: &str = "/var/lib/wxc/.ids/ranges.json";

/// Looks at everything.
///
/// # Panics
/// When something cannot be read, or the kernel keeps devices of what nobody uses.
#[must_use]
pub fn world(env: &Env) -> World {
    let mut world = World::new();
    until("the devices' end", 5, || attached(&env.path()).is_empty().then_some(()));
    walk(&env.path(), &env.path(), "", &mut world);
    let own = env.file("").display().to_string();
    for line in registered(&own) {
        world.insert(format!("ids {line}"), String::new());
    }
    let top = format!(" {} ", env.path().display());
    for limit in limits(env) {
        world.insert(format!("limit {limit}"), String::new());
    }
    for line in mounts(&own).iter().filter(|line| !line.contains(&top)) {
        world.insert(format!("mount {line}"), String::new());
    }
    world
}

/// What is not the same in two worlds, for a message.
#[must_use]
pub fn difference(one: &World, other: &World) -> String {
    let missing = one.iter().filter(|(name, shape)| other.get(*name) != Some(shape));
    let extra = other.iter().filter(|(name, shape)| one.get(*name) != Some(shape));
    let lines = missing.map(|pair| ("-", pair)).chain(extra.map(|pair| ("+", pair)));
    lines.map(|(sign, (name, shape))| format!("{sign} {name}: {shape}\n")).collect()
}

/// The lines of the registry of ids that name something below a directory.
#[must_use]
pub fn registered(below: &str) -> Vec<String> {
    let registry = fs::read_to_string(IDS).unwrap_or_default();
    registry.lines().filter(|line| line.contains(below)).map(|line| line.trim().to_owned()).collect()
}

/// The mounts of this mount namespace whose line names a directory.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn mounts(below: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("a process has mounts");
    mounts.lines().filter(|line| line.contains(below)).map(str::to_owned).collect()
}

/// The limits of subvolumes that there are, where the containers are on btrfs and it counts.
fn limits(env: &Env) -> Vec<String> {
    if env.filesystem() != Some("btrfs") {
        return Vec::new();
    }
    let mut show = Command::new("btrfs");
    show.args(["qgroup", "show", "-r", "--raw"]).arg(env.path());
    let told =
        show.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    // Qgroupid, Referenced, Exclusive, Max referenced, Path; the numbers are others each time.
    let fields = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let limited = fields.filter(|fields| fields.first().is_some_and(|id| id.starts_with("0/")));
    let limited = limited.filter(|fields| fields.get(3) != Some(&"none") && !fields.contains(&"<stale>"));
    limited.map(|fields| fields[3..].join(" ")).collect()
}

/// The loop devices of files below a directory, by the names that the kernel knows the files by. A file that was
/// removed keeps its name there.
#[must_use]
pub fn attached(below: &Path) -> Vec<String> {
    let blocks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let files = blocks.filter_map(|block| fs::read_to_string(block.path().join("loop/backing_file")).ok());
    files.filter(|file| Path::new(file.trim_end()).starts_with(below)).collect()
}

fn walk(top: &Path, directory: &Path, prefix: &str, world: &mut World) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let mut name = unnumbered(&format!("{prefix}{}", path.strip_prefix(top).unwrap().display()));
        // Two operations are told apart.
        while world.contains_key(&name) {
            name.push('\'');
        }
        let meta = path.symlink_metadata().unwrap();
        let file = name.rsplit('/').next().unwrap_or(&name);
        // The journal may be there or not, as long as it is empty, and so may the kernel's place to work in.
        // A shelf without a snapshot on it is nothing.
        let is_empty = || fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        // And what only saves a look.
        if file.starts_with("seen.")
            || file == "overlay-work"
            || file == "lost+found"
            || file == "snaps" && is_empty()
        {
            continue;
        }
        let kind = meta.file_type();
        if kind.is_file() && file == "rootdev" {
            disk(&path, &name, world);
        } else if name != ".journal" {
            world.insert(name.clone(), shape(&path, file, &meta));
        }
        if kind.is_dir() {
            walk(top, &path, prefix, world);
        }
    }
}

/// A path without the time and the process that are in the name of an operation.
fn unnumbered(path: &str) -> String {
    let plain = |part: &str| match part.rsplit_once('-') {
        Some((verb, time)) if time.len() >= 12 && time.bytes().all(|byte| byte.is_ascii_digit()) => {
            verb.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_owned()
        }
        _ => part.to_owned(),
    };
    path.split('/').map(plain).collect::<Vec<_>>().join("/")
}

/// One entry in words.
fn shape(path: &Path, file: &str, meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let content = if kind.is_file() {
        stable(file, &fs::read(path).unwrap())
    } else if kind.is_symlink() {
        fs::read_link(path).unwrap().display().to_string()
    } else if meta.is_dir() && meta.ino() == 256 {
        // The root of a subvolume, which nothing can be written to when it is read-only.
        let written = if access(path, Access::WRITE_OK).is_ok() { "writable" } else { "read-only" };
        format!("{written} subvolume")
    } else {
        String::new()
    };
    let owner = (meta.uid(), meta.gid());
    format!("{:o} {owner:?} {} {content}", meta.permissions().mode(), kind.is_socket())
}

/// What is in a disk, and its length.
fn disk(path: &Path, name: &str, world: &mut World) {
    world.insert(name.to_owned(), format!("a disk of {} bytes", path.metadata().unwrap().len()));
    let mounted = Mount::inside(path, "ro,loop");
    let root = PathBuf::from(mounted.path());
    let size = rustix::fs::statvfs(&root).unwrap();
    // The kernel says how long the file system is, less what it needs itself.
    world.insert(format!("{name}/"), format!("{} MiB", (size.f_blocks * size.f_frsize) >> 20));
    walk(&root, &root, &format!("{name}/"), world);
}

/// Content without ids, times and operations, which are others each time.
fn stable(file: &str, content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    match file {
        "container.toml" | "snapshot.toml" | "snapshot.removed" | "image.toml" => {
            let other = ["users", "groups", "created", "hwaddr"];
            let same = |line: &&str| !other.iter().any(|key| line.trim_start().starts_with(key));
            text.lines().filter(same).collect::<Vec<_>>().join("\n")
        }
        "rootfs.volume" | "rootdev.volume" => {
            // The phase, and what it is built on; an operation ends with a time, and a UUID with twelve digits.
            let time = |word: &&str| word.rsplit_once('-').is_some_and(|(_, last)| last.len() >= 12);
            let words = text.split_whitespace().filter(|word| !time(word));
            words.map(|word| format!("{word} ")).collect()
        }
        _ => format!("{} bytes, {:x}", content.len(), sum(content)),
    }
}

/// Tells contents apart that differ by accident.
#[must_use]
pub fn sum(content: &[u8]) -> u64 {
    content.iter().fold(content.len() as u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
    })
}
