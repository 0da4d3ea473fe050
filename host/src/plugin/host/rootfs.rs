#![forbid(unsafe_code)]
//! `wxc:host/rootfs`: small files in the root file system of one container.
//!
//! A guest of wasm names paths of a guest of ours, who controls what is there: [`crate::sys::rootfs`] resolves them inside the
//! root. Which descriptor that is, and what its ids mean, is the caller's who makes a [`Root`].

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FileType;
use wasmtime::component::Resource;

use super::State;
use super::failure::{failure, stopped};
use crate::config::ids::{ContainerId, HostId, IdMap};
use crate::plugin::bindings::host::wxc::host::handles::HostContainerRoot;
use crate::plugin::bindings::host::wxc::host::rootfs::{Access, Entry, Host, NodeKind};
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::sys::fs_ids::FsIds;
use crate::sys::rootfs::{Edge, Owner, Rootfs};
use crate::sys::tree::TreeError;

/// Longest file that is read or written.
const LONGEST: usize = 1 << 20;
/// Most entries of one answer.
const MOST_ENTRIES: u32 = 1000;

/// The root file system of a container, as one call gets it.
#[derive(Debug)]
pub struct Root {
    /// Its directory.
    pub directory: OwnedFd,
    /// Where it ends.
    pub edge: Edge,
    /// What its files' owners are inside, where they are shown with the host's ids.
    pub ids: Option<IdMap>,
    /// Whether anything was written.
    changed: AtomicBool,
}

impl Root {
    /// Of these parts.
    #[must_use]
    pub fn new(directory: OwnedFd, edge: Edge, ids: Option<IdMap>) -> Self {
        Self { directory, edge, ids, changed: AtomicBool::new(false) }
    }

    /// Whether a call has written to it.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    fn tree(&self) -> Rootfs<'_> {
        Rootfs::within(self.directory.as_fd(), &self.edge)
    }

    /// For a change: with the ids that new files have to have.
    fn to_change<R>(&self, work: impl FnOnce(Rootfs<'_>) -> Result<R, TreeError>) -> Result<R, Error> {
        self.changed.store(true, Ordering::Relaxed);
        let _ids = match &self.ids {
            None => None,
            Some(_) => {
                let owner = self.owner(0, 0)?;
                let taken = FsIds::take(owner.uid, owner.gid).map_err(|error| {
                    failure(ErrorKind::Denied, format!("cannot make files as the container's root: {error}"))
                })?;
                Some(taken)
            }
        };
        work(self.tree()).map_err(told)
    }

    fn owner(&self, user: u32, group: u32) -> Result<Owner, Error> {
        let Some(ids) = &self.ids else { return Ok(Owner { uid: user, gid: group }) };
        let missing = |kind: &str, id: u32| {
            failure(ErrorKind::Invalid, format!("the container has no {kind} {id}: it is not in its id map"))
        };
        let uid = ids.host_user(ContainerId(user)).ok_or_else(|| missing("user", user))?.0;
        let gid = ids.host_group(ContainerId(group)).ok_or_else(|| missing("group", group))?.0;
        Ok(Owner { uid, gid })
    }

    /// As seen inside: what has no id there belongs to nobody (`overflowuid` of proc_sys_kernel(5)).
    fn access(&self, permissions: u32, owner: Owner) -> Access {
        const NOBODY: u32 = 65534;
        let Some(ids) = &self.ids else {
            return Access { permissions, user: owner.uid, group: owner.gid };
        };
        let user = ids.container_user(HostId(owner.uid)).map_or(NOBODY, |id| id.0);
        let group = ids.container_group(HostId(owner.gid)).map_or(NOBODY, |id| id.0);
        Access { permissions, user, group }
    }
}

/// A tree's refusal in the words of the contract.
fn told(error: TreeError) -> Error {
    if let TreeError::Io { source: rustix::io::Errno::XDEV, doing, path } = &error {
        let message = format!(
            "cannot {doing} {}: something else is mounted on the way, which is not the container's own",
            crate::sys::tree::shown(path)
        );
        return failure(ErrorKind::Denied, message);
    }
    stopped(error)
}

/// What a handle stands for.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct ContainerRoot(Arc<Root>);

impl State {
    /// The root that this call was given.
    pub(super) fn mint_root(&mut self) -> wasmtime::Result<Result<Resource<ContainerRoot>, Error>> {
        let root = match &self.scope.root {
            None => Err(failure(ErrorKind::Unsupported, "there is no root file system at this event")),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(root)) => Ok(ContainerRoot(Arc::clone(root))),
        };
        match root {
            Err(error) => Ok(Err(error)),
            Ok(root) => self.table.push(root).map(Ok).map_err(|_| self.handles_used_up()),
        }
    }

    fn root(&self, handle: &Resource<ContainerRoot>) -> wasmtime::Result<Arc<Root>> {
        Ok(Arc::clone(&self.table.get(handle)?.0))
    }
}

/// A path of the contract: anything that leads somewhere in the root.
fn path(text: &str) -> Result<&Path, Error> {
    if text.is_empty() || text.contains('\0') {
        return Err(failure(ErrorKind::Invalid, format!("{text:?} is not a path")));
    }
    Ok(Path::new(text))
}

fn mode(access: Access) -> Result<u32, Error> {
    if access.permissions > 0o7777 {
        let message = format!("{:o} are no permission bits", access.permissions);
        return Err(failure(ErrorKind::Invalid, message));
    }
    Ok(access.permissions)
}

fn kind(kind: FileType) -> NodeKind {
    match kind {
        FileType::RegularFile => NodeKind::File,
        FileType::Directory => NodeKind::Directory,
        FileType::Symlink => NodeKind::Symlink,
        _ => NodeKind::Other,
    }
}

fn read(root: &Root, text: &str, limit: u32) -> Result<Vec<u8>, Error> {
    let limit = (limit as usize).min(LONGEST);
    let path = path(text)?;
    match root.tree().read(path, limit as u64) {
        Err(TreeError::TooLarge { .. }) => {
            Err(failure(ErrorKind::Exhausted, format!("{text} is longer than {limit} bytes")))
        }
        other => other.map_err(told),
    }
}

fn write(root: &Root, text: &str, content: &[u8], access: Access) -> Result<(), Error> {
    if content.len() > LONGEST {
        let message = format!("{text}: more than {LONGEST} bytes are not written at once");
        return Err(failure(ErrorKind::Exhausted, message));
    }
    let (path, mode, owner) = (path(text)?, mode(access)?, root.owner(access.user, access.group)?);
    root.to_change(|tree| tree.write(path, content, mode, owner))
}

fn make_directory(root: &Root, text: &str, access: Access) -> Result<(), Error> {
    let (path, mode, owner) = (path(text)?, mode(access)?, root.owner(access.user, access.group)?);
    root.to_change(|tree| tree.mkdir(path, mode, owner))
}

fn remove(root: &Root, text: &str) -> Result<(), Error> {
    let path = path(text)?;
    root.to_change(|tree| match tree.kind(path, false)? {
        Some(FileType::Directory) => tree.rmdir(path).map(drop),
        Some(_) => tree.unlink(path).map(drop),
        None => Ok(()),
    })
}

fn link(root: &Root, text: &str, target: &str) -> Result<(), Error> {
    if target.is_empty() || target.contains('\0') {
        return Err(failure(ErrorKind::Invalid, format!("{target:?} is not where a link can lead")));
    }
    let (path, owner) = (path(text)?, root.owner(0, 0)?);
    root.to_change(|tree| tree.symlink(path, Path::new(target), owner))
}

fn inspect(root: &Root, text: &str) -> Result<Access, Error> {
    match root.tree().status(path(text)?).map_err(told)? {
        Some((permissions, owner)) => Ok(root.access(permissions, owner)),
        None => Err(failure(ErrorKind::NotFound, format!("there is no {text}"))),
    }
}

fn entries(root: &Root, text: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, Error> {
    let limit = limit.min(MOST_ENTRIES) as usize;
    let all = root.tree().list(path(text)?, after, limit).map_err(told)?;
    Ok(all.into_iter().map(|named| Entry { name: named.name, kind: kind(named.kind) }).collect())
}

impl Host for State {
    fn read(
        &mut self,
        root: Resource<ContainerRoot>,
        path: String,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let called = self.called("rootfs.read", &(root.rep(), &path, limit))?;
        self.answer(called, |state| Ok(read(&*state.root(&root)?, &path, limit)))
    }

    fn write(
        &mut self,
        root: Resource<ContainerRoot>,
        path: String,
        content: Vec<u8>,
        access: Access,
    ) -> wasmtime::Result<Result<(), Error>> {
        let called = self.called("rootfs.write", &(root.rep(), &path, &content, access))?;
        self.answer(called, |state| Ok(write(&*state.root(&root)?, &path, &content, access)))
    }

    fn ensure_directory(
        &mut self,
        root: Resource<ContainerRoot>,
        path: String,
        access: Access,
    ) -> wasmtime::Result<Result<(), Error>> {
        let called = self.called("rootfs.ensure-directory", &(root.rep(), &path, access))?;
        self.answer(called, |state| Ok(make_directory(&*state.root(&root)?, &path, access)))
    }

    fn link(
        &mut self,
        root: Resource<ContainerRoot>,
        path: String,
        target: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let called = self.called("rootfs.link", &(root.rep(), &path, &target))?;
        self.answer(called, |state| Ok(link(&*state.root(&root)?, &path, &target)))
    }

    fn remove(&mut self, root: Resource<ContainerRoot>, path: String) -> wasmtime::Result<Result<(), Error>> {
        let called = self.called("rootfs.remove", &(root.rep(), &path))?;
        self.answer(called, |state| Ok(remove(&*state.root(&root)?, &path)))
    }

    fn inspect(
        &mut self,
        root: Resource<ContainerRoot>,
        path: String,
    ) -> wasmtime::Result<Result<Access, Error>> {
        let called = self.called("rootfs.inspect", &(root.rep(), &path))?;
        self.answer(called, |state| Ok(inspect(&*state.root(&root)?, &path)))
    }

    fn entries(
        &mut self,
        root: Resource<ContainerRoot>,
        path: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<Entry>, Error>> {
        let called = self.called("rootfs.entries", &(root.rep(), &path, &after, limit))?;
        self.answer(called, |state| Ok(entries(&*state.root(&root)?, &path, after.as_deref(), limit)))
    }
}

impl HostContainerRoot for State {
    fn drop(&mut self, handle: Resource<ContainerRoot>) -> wasmtime::Result<()> {
        self.dropped("container-root.drop", handle)
    }
}
