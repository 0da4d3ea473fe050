#![forbid(unsafe_code)]
//! What is mounted from the host: detached mounts, made by the monitor before there is a child.
//!
//! A detached mount is an fd. Nothing the child does with it needs a path of the host, so neither a
//! changed directory nor the container's ids can come between. Without rights over the host's mounts
//! the monitor cannot make them: the child then does, in its own namespaces, while it still has the
//! caller's ids.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, major, minor, mkdirat, openat,
    openat2, statat,
};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::RuntimeError;
use crate::config::ids::{IdMap, IdRange};
use crate::config::mounts::AccessTime;
use crate::plan::{DeviceNode, MountAttributes, MountSource, Plan, RootSource, Setting};
use crate::sys::disk::{self, Manner};
use crate::sys::mount::{self, Change};

/// One detached mount.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) fd: OwnedFd,
    /// Owners are to be shown through the container's map, once there is one.
    idmapped: bool,
    recursive: bool,
    what: String,
}

/// Where a mount comes from.
#[derive(Debug)]
pub(super) enum Source {
    Ready(Tree),
    /// The child opens this path.
    Child {
        path: PathBuf,
        recursive: bool,
    },
    /// Nothing of the host's.
    None,
    /// Optional, and not there.
    Skipped,
}

/// The root file system.
#[derive(Debug)]
pub(super) enum Root {
    Ready(Tree),
    Child {
        path: PathBuf,
    },
    /// An overlay that the child makes of these trees; `pool` holds them all.
    Overlay {
        pool: Tree,
        /// Where the writable side is, if that is in memory.
        memory: Option<Tree>,
        layers: Layers,
    },
    /// An overlay that the child makes.
    ChildOverlay,
}

/// The layers of an overlay, open.
#[derive(Debug)]
pub(super) struct Layers {
    /// From top to bottom.
    pub(super) lower: Vec<OwnedFd>,
    /// The writable side, and the kernel's work directory.
    pub(super) upper: Option<(OwnedFd, OwnedFd)>,
}

/// Everything of the host that the plan names.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) root: Root,
    /// One for each of the plan's mounts.
    pub(super) mounts: Vec<Source>,
    /// One for each of the plan's nodes; none when the container makes them itself.
    pub(super) nodes: Vec<Source>,
    /// Why something optional was skipped.
    pub(super) warnings: Vec<RuntimeError>,
}

impl Sources {
    /// Opens what is there. `monitor`: this process may make mounts.
    pub(super) fn open(plan: &Plan, monitor: bool) -> Result<Self, RuntimeError> {
        let root = if monitor { root(plan)? } else { child_root(plan)? };
        let mut warnings = Vec::new();
        let mounts = plan
            .mounts
            .iter()
            .map(|step| match &step.source {
                MountSource::Bind { path, recursive, .. } if !monitor => {
                    child_source(path, *recursive, step.optional, &step.whose())
                }
                MountSource::Bind { path, recursive, idmapped } => {
                    let what = format!("bind {}{}", path.display(), step.whose());
                    let idmapped = *idmapped && plan.ids.is_some();
                    let tree = bind(path, *recursive, idmapped, step.attributes, what.clone());
                    optional(tree, step.optional, &mut warnings)
                }
                MountSource::Inside { .. } | MountSource::Filesystem { .. } => Ok(Source::None),
            })
            .collect::<Result<_, _>>()?;
        // With the host's ids the container makes its nodes itself (mknod(2)).
        let nodes = plan.nodes.iter().filter(|_| plan.ids.is_some());
        let nodes = nodes
            .map(|node| match monitor {
                false => child_source(&node.host, false, node.optional, ""),
                true => {
                    let what = format!("bind the device {}", node.host.display());
                    optional(device_node(node, &what), node.optional, &mut warnings)
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { root, mounts, nodes, warnings })
    }

    /// Shows what has to be in the container's ids, now that `userns` has its map.
    pub(super) fn map(&self, userns: BorrowedFd<'_>) -> Result<(), RuntimeError> {
        let trees = self.mounts.iter().chain(&self.nodes).filter_map(|source| match source {
            Source::Ready(tree) => Some(tree),
            _ => None,
        });
        let root = match &self.root {
            Root::Ready(tree) => [Some(tree), None],
            Root::Overlay { pool, memory, .. } => [Some(pool), memory.as_ref()],
            Root::Child { .. } | Root::ChildOverlay => [None, None],
        };
        for tree in trees.chain(root.into_iter().flatten()).filter(|tree| tree.idmapped) {
            let change = Change { userns: Some(userns), recursive: tree.recursive, ..Change::default() };
            mount::set_attributes(tree.fd.as_fd(), change).map_err(|error| {
                RuntimeError::system(format!("show {} in the container's ids", tree.what), error)
            })?;
        }
        Ok(())
    }
}

/// The attributes of a plan as those of the kernel.
pub(super) fn attribute_bits(attributes: MountAttributes) -> u64 {
    [
        (attributes.read_only, mount::RDONLY),
        (attributes.nosuid, mount::NOSUID),
        (attributes.nodev, mount::NODEV),
        (attributes.noexec, mount::NOEXEC),
        (attributes.nosymfollow, mount::NOSYMFOLLOW),
        (attributes.access_time == AccessTime::Noatime, mount::NOATIME),
        (attributes.access_time == AccessTime::Strictatime, mount::STRICTATIME),
        (attributes.access_time == AccessTime::Nodiratime, mount::NODIRATIME),
    ]
    .into_iter()
    .filter_map(|(set, bit)| set.then_some(bit))
    .sum()
}

/// What has to be cleared for them: of the times of access one holds.
pub(super) fn cleared_bits(attributes: MountAttributes) -> u64 {
    if attributes.access_time == AccessTime::Inherit { 0 } else { mount::ATIME | mount::NODIRATIME }
}

fn optional(
    tree: Result<Tree, RuntimeError>,
    optional: bool,
    warnings: &mut Vec<RuntimeError>,
) -> Result<Source, RuntimeError> {
    match tree {
        Ok(tree) => Ok(Source::Ready(tree)),
        Err(error) if optional => {
            warnings.push(error);
            Ok(Source::Skipped)
        }
        Err(error) => Err(error),
    }
}

fn child_source(path: &Path, recursive: bool, optional: bool, whose: &str) -> Result<Source, RuntimeError> {
    match fs::metadata(path) {
        Ok(_) => Ok(Source::Child { path: path.to_owned(), recursive }),
        Err(_) if optional => Ok(Source::Skipped),
        Err(error) => Err(RuntimeError::system(format!("find {}{whose}", path.display()), error)),
    }
}

fn root(plan: &Plan) -> Result<Root, RuntimeError> {
    let idmapped = plan.rootfs.idmapped && plan.ids.is_some();
    let what = "the rootfs".to_owned();
    match &plan.rootfs.source {
        RootSource::Tree { pool, relative } => {
            let directory = below(pool, relative)?;
            clone(directory.as_fd(), !idmapped, "open the rootfs", libc::MS_PRIVATE)
                .map(|fd| Root::Ready(Tree { fd, idmapped, recursive: !idmapped, what }))
        }
        RootSource::Overlay { pool, lower, upper } => {
            let directory = below(pool, Path::new(""))?;
            let fd = clone(directory.as_fd(), false, "open the pool", libc::MS_PRIVATE)?;
            // On the copy of the mount, which is to be idmapped, and not on the original.
            let lower: Vec<_> = lower.iter().map(|layer| layer_of(&fd, layer)).collect::<Result<_, _>>()?;
            let mut layers = Layers {
                lower,
                upper: upper
                    .as_ref()
                    .map(|side| {
                        Ok::<_, RuntimeError>((layer_of(&fd, &side.upper)?, layer_of(&fd, &side.work)?))
                    })
                    .transpose()?,
            };
            let mut memory = None;
            if plan.rootfs.in_memory {
                let (tmpfs, sides) = in_memory(layers.lower.first(), plan)
                    .map_err(|error| RuntimeError::system("make room for changes in memory", error))?;
                layers.upper = Some(sides);
                let what = "the changes in memory".to_owned();
                memory = Some(Tree { fd: tmpfs, idmapped, recursive: false, what });
            }
            Ok(Root::Overlay { pool: Tree { fd, idmapped, recursive: false, what }, memory, layers })
        }
        RootSource::Disk { pool, relative, fstype, options } => {
            let what_failed = format!("mount the {fstype} in {} as rootfs", pool.join(relative).display());
            let fail = |error: io::Error| {
                let hint =
                    "look at it with `wxc doctor`, or check the file system while the container is stopped";
                RuntimeError::part(what_failed.clone(), &error, Some(hint.into()))
            };
            let file = disk_file(pool, relative).map_err(fail)?;
            let manner = Manner {
                fstype,
                options,
                // What is mounted on may have to be made first: the mount is made read-only at the end.
                read_only: false,
                nosuid: false,
                // A container that can make no nodes finds none in a file that came from elsewhere; its own
                // /dev is another mount.
                nodev: plan.ids.is_some(),
                noexec: false,
            };
            let fd = disk::mount(file.as_fd(), true, manner).map_err(fail)?;
            Ok(Root::Ready(Tree { fd, idmapped, recursive: false, what }))
        }
        RootSource::Device { device, fstype, options } => {
            let what_failed = format!("mount {} ({fstype}) as rootfs", device.display());
            let fd = filesystem(fstype, Some(device), options)
                .map_err(|error| RuntimeError::system(what_failed, error))?;
            Ok(Root::Ready(Tree { fd, idmapped, recursive: false, what }))
        }
    }
}

fn child_root(plan: &Plan) -> Result<Root, RuntimeError> {
    match &plan.rootfs.source {
        RootSource::Tree { pool, relative } => {
            below(pool, relative)?;
            Ok(Root::Child { path: pool.join(relative) })
        }
        RootSource::Overlay { .. } if plan.rootfs.in_memory => Err(RuntimeError::Refused {
            reason: "rootfs.in-memory needs root, or subordinate ids (subuid(5))".to_owned(),
        }),
        RootSource::Overlay { .. } => Ok(Root::ChildOverlay),
        RootSource::Disk { pool, relative, .. } => {
            let file = pool.join(relative);
            Err(RuntimeError::Refused { reason: format!("only root can mount {}", file.display()) })
        }
        RootSource::Device { device, .. } => {
            Err(RuntimeError::Refused { reason: format!("only root can mount {}", device.display()) })
        }
    }
}

/// A directory below the pool, reached without links: whoever may write in the pool cannot make
/// anything else of it.
fn below(pool: &Path, relative: &Path) -> Result<OwnedFd, RuntimeError> {
    let fail = |path: &Path, error: rustix::io::Errno| {
        RuntimeError::system(format!("open the rootfs {}", path.display()), error)
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(pool, flags, Mode::empty()).map_err(|e| fail(pool, e))?;
    if relative.as_os_str().is_empty() {
        return Ok(directory);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(&directory, relative, flags, Mode::empty(), resolve)
        .map_err(|error| fail(&pool.join(relative), error))
}

/// A regular file below the pool, reached in the same way.
fn disk_file(pool: &Path, relative: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(pool, flags, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(openat2(&directory, relative, flags, Mode::empty(), resolve)?)
}

/// A writable side that nobody else sees. The root of an overlay is that of its topmost layer, so it
/// looks like the one below.
fn in_memory(below: Option<&OwnedFd>, plan: &Plan) -> io::Result<(OwnedFd, (OwnedFd, OwnedFd))> {
    let mount = filesystem("tmpfs", None, &[])?;
    let directory = |name: &str| {
        mkdirat(&mount, name, Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&mount, name, flags, Mode::empty())
    };
    let (upper, work) = (directory("upper")?, directory("work")?);
    if let Some(below) = below {
        let stat = statat(below, "", AtFlags::EMPTY_PATH)?;
        let owner = match plan.ids.as_ref().filter(|_| !plan.rootfs.idmapped).and_then(root_of) {
            // A new layer is the caller's until the container is started with it.
            Some(root) if stat.st_uid == rustix::process::geteuid().as_raw() => root,
            _ => (stat.st_uid, stat.st_gid),
        };
        // Also the kernel's: who mounts them is the container's root.
        for side in [&upper, &work] {
            fchown(side, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
        }
        fchmod(&upper, Mode::from_raw_mode(stat.st_mode))?;
    }
    Ok((mount, (upper, work)))
}

/// Who the container's root is on the host.
fn root_of(ids: &IdMap) -> Option<(u32, u32)> {
    let root = |ranges: &[IdRange]| ranges.iter().find(|r| r.container.0 == 0).map(|r| r.host.0);
    Some((root(&ids.users)?, root(&ids.groups)?))
}

fn layer_of(pool: &OwnedFd, relative: &Path) -> Result<OwnedFd, RuntimeError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(pool, relative, flags, Mode::empty(), resolve)
        .map_err(|error| RuntimeError::system(format!("open the layer {}", relative.display()), error))
}

fn clone(
    from: BorrowedFd<'_>,
    recursive: bool,
    what: &str,
    propagation: u64,
) -> Result<OwnedFd, RuntimeError> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(from, "", flags).map_err(|error| RuntimeError::system(what, error))?;
    // A copy is in the peer group of its original: what the container mounts in it would appear on
    // the host.
    let change = Change { propagation, recursive, ..Change::default() };
    mount::set_attributes(tree.as_fd(), change).map_err(|error| RuntimeError::system(what, error))?;
    Ok(tree)
}

fn bind(
    path: &Path,
    recursive: bool,
    idmapped: bool,
    attributes: MountAttributes,
    what: String,
) -> Result<Tree, RuntimeError> {
    let fail = |error: io::Error| RuntimeError::system(what.clone(), error);
    let source = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| fail(error.into()))?;
    // Slaves: what the host mounts below later does appear, never the other way round.
    let fd = clone(source.as_fd(), recursive, &what, libc::MS_SLAVE)?;
    let set = attribute_bits(attributes);
    let clear = cleared_bits(attributes);
    if set != 0 || clear != 0 {
        let change = Change { set, clear, recursive, ..Change::default() };
        mount::set_attributes(fd.as_fd(), change).map_err(fail)?;
    }
    Ok(Tree { fd, idmapped, recursive, what })
}

fn device_node(node: &DeviceNode, what: &str) -> Result<Tree, RuntimeError> {
    let tree = bind(&node.host, false, false, MountAttributes::default(), what.to_owned())?;
    let stat =
        statat(&tree.fd, "", AtFlags::EMPTY_PATH).map_err(|error| RuntimeError::system(what, error))?;
    let kind = if node.block { FileType::BlockDevice } else { FileType::CharacterDevice };
    let found = (FileType::from_raw_mode(stat.st_mode), major(stat.st_rdev), minor(stat.st_rdev));
    if found != (kind, node.major, node.minor) {
        return Err(RuntimeError::Part {
            what: what.to_owned(),
            message: format!("it is not the device {}:{}", node.major, node.minor),
            hint: None,
        });
    }
    Ok(tree)
}

fn filesystem(fstype: &str, source: Option<&Path>, options: &[Setting]) -> io::Result<OwnedFd> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(source) = source {
        fsconfig_set_string(&context, "source", source)?;
    }
    for option in options {
        if option.value.is_empty() {
            fsconfig_set_flag(&context, option.key.as_str())?;
        } else {
            fsconfig_set_string(&context, option.key.as_str(), option.value.as_str())?;
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}
