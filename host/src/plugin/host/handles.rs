#![forbid(unsafe_code)]
//! The things verbs work on.

use std::os::fd::OwnedFd;

use wasmtime::component::Resource;

use super::State;
use super::place::Zone;
use crate::plugin::bindings::host::wxc::host::handles as wit;
use crate::sys::loopdev::LoopDevice;

/// A block device: a loop device of a file in the pool.
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub type BlockDevice = LoopDevice;

/// A directory that was given to a call, or one below it.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Directory {
    pub(super) fd: OwnedFd,
    /// Where in the pool it is, so that what may be touched does not depend on which handle is used.
    pub(super) zone: Zone,
}

impl State {
    /// Gives the guest a directory.
    pub(super) fn mint(&mut self, directory: Directory) -> wasmtime::Result<Resource<Directory>> {
        self.table.push(directory).map_err(|_| self.handles_used_up())
    }

    /// The directory behind a handle.
    pub(super) fn directory(&self, handle: &Resource<Directory>) -> wasmtime::Result<&Directory> {
        Ok(self.table.get(handle)?)
    }
}

impl State {
    /// Gives the guest a device, which stays attached at least as long.
    pub(super) fn mint_device(&mut self, device: BlockDevice) -> wasmtime::Result<Resource<BlockDevice>> {
        self.table.push(device).map_err(|_| self.handles_used_up())
    }

    /// The device behind a handle.
    pub(super) fn block_device(&self, handle: &Resource<BlockDevice>) -> wasmtime::Result<&BlockDevice> {
        Ok(self.table.get(handle)?)
    }
}

impl wit::Host for State {}

impl wit::HostBlockDevice for State {
    fn drop(&mut self, handle: Resource<BlockDevice>) -> wasmtime::Result<()> {
        self.dropped("handles.block-device.drop", handle)
    }
}

impl wit::HostDirectory for State {
    fn drop(&mut self, handle: Resource<Directory>) -> wasmtime::Result<()> {
        self.dropped("handles.directory.drop", handle)
    }
}

/// A handle of a kind that no interface of this version mints was used.
pub(super) fn never_minted() -> wasmtime::Error {
    super::Misuse("it used a handle that it was never given".into()).into()
}

/// Handles that no interface of this version mints: a guest cannot have one, so nothing of it can be dropped.
macro_rules! never_minted {
    ($($trait:ident $type:ident),*) => {$(
        impl wit::$trait for State {
            fn drop(&mut self, _: Resource<wit::$type>) -> wasmtime::Result<()> {
                Err(never_minted())
            }
        }
    )*};
}

never_minted!(HostByteSource ByteSource, HostByteSink ByteSink);
