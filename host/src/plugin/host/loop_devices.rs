#![forbid(unsafe_code)]
//! `wxc:host/loop-devices`: files of a pool as block devices.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use wasmtime::component::Resource;

use super::State;
use super::failure::{failure, refused};
use super::handles::{BlockDevice, Directory};
use super::place::{Class, Need};
use super::tree::open_file;
use crate::plugin::bindings::host::wxc::host::loop_devices::Host;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::plugin::mounts::FILESYSTEMS;
use crate::sys::disk::{self, Manner};
use crate::sys::failpoint;
use crate::sys::loopdev::LoopDevice;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl State {
    /// A regular file that belongs to a volume.
    fn disk_file(&mut self, base: &Resource<Directory>, path: &str, flags: OFlags) -> Answer<OwnedFd> {
        let need = if flags.contains(OFlags::RDWR) { Need::Change } else { Need::Look };
        let opened = self.directory(base)?.at(path, need).and_then(|at| {
            if at.zone.class() != Class::Content {
                return Err(failure(ErrorKind::Denied, format!("{path:?} is not part of a volume")));
            }
            open_file(&at, flags)
        });
        Ok(opened)
    }
}

fn failed(doing: &str, what: &str, error: &io::Error) -> Error {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NXIO) => {
            failure(ErrorKind::Unsupported, format!("cannot {doing} {what}: this kernel has no loop devices"))
        }
        Some(errno) => refused(doing, what, errno),
        None => failure(ErrorKind::Failed, format!("cannot {doing} {what}: {error}")),
    }
}

impl Host for State {
    fn attach(
        &mut self,
        base: Resource<Directory>,
        path: String,
        read_only: bool,
    ) -> Answer<Resource<BlockDevice>> {
        let called = self.called("loop-devices.attach", &(base.rep(), &path, read_only))?;
        self.answer_handle(called, |state| {
            let flags = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
            let file = match state.disk_file(&base, &path, flags)? {
                Ok(file) => file,
                Err(error) => return Ok(Err(error)),
            };
            let attached = failpoint::pass("loop-devices.attach")
                .and_then(|()| LoopDevice::attach(file.as_fd(), read_only));
            match attached {
                Ok(device) => state.mint_device(device).map(Ok),
                Err(error) => Ok(Err(failed("attach", &path, &error))),
            }
        })
    }

    fn find(&mut self, base: Resource<Directory>, path: String) -> Answer<Option<Resource<BlockDevice>>> {
        let called = self.called("loop-devices.find", &(base.rep(), &path))?;
        self.answer_found(called, |state| {
            let file = match state.disk_file(&base, &path, OFlags::RDONLY)? {
                Ok(file) => file,
                Err(error) => return Ok(Err(error)),
            };
            match LoopDevice::find(file.as_fd()) {
                Ok(Some(device)) => state.mint_device(device).map(|handle| Ok(Some(handle))),
                Ok(None) => Ok(Ok(None)),
                Err(error) => Ok(Err(failed("look for the device of", &path, &error))),
            }
        })
    }

    fn detach(&mut self, device: Resource<BlockDevice>) -> Answer<()> {
        let called = self.called("loop-devices.detach", &(device.rep(),))?;
        self.answer(called, |state| {
            let detached = state.block_device(&device)?.detach();
            Ok(detached.map_err(|error| failed("detach", "the device", &error)))
        })
    }

    fn refresh_size(&mut self, device: Resource<BlockDevice>) -> Answer<()> {
        let called = self.called("loop-devices.refresh-size", &(device.rep(),))?;
        self.answer(called, |state| {
            let device = state.block_device(&device)?;
            let refreshed = failpoint::pass("loop-devices.refresh-size").and_then(|()| device.refresh_size());
            Ok(refreshed.map_err(|error| failed("take over the length of", "the device", &error)))
        })
    }

    fn size(&mut self, device: Resource<BlockDevice>) -> Answer<u64> {
        let called = self.called("loop-devices.size", &(device.rep(),))?;
        self.answer(called, |state| {
            let size = state.block_device(&device)?.size();
            Ok(size.map_err(|error| failed("ask for the length of", "the device", &error)))
        })
    }

    fn resize_filesystem(
        &mut self,
        device: Resource<BlockDevice>,
        filesystem: String,
        size: u64,
    ) -> Answer<()> {
        let called = self.called("loop-devices.resize-filesystem", &(device.rep(), &filesystem, size))?;
        self.answer(called, |state| {
            if !FILESYSTEMS.contains(&filesystem.as_str()) {
                let message = format!("a disk with the file system {filesystem:?} is not mounted");
                return Ok(Err(failure(ErrorKind::Invalid, message)));
            }
            // A copy of an xfs has its identity, which the kernel mounts once only unless told so.
            let options = if filesystem == "xfs" { vec!["nouuid".to_owned()] } else { Vec::new() };
            let manner = Manner {
                fstype: &filesystem,
                options: &options,
                read_only: false,
                nosuid: true,
                nodev: true,
                noexec: true,
            };
            let what = format!("the {filesystem} on the device");
            let device = state.block_device(&device)?;
            let mount = match disk::mount_device(device, manner) {
                Ok(mount) => mount,
                Err(error) => return Ok(Err(failed("mount", &what, &error))),
            };
            let resized = failpoint::pass("loop-devices.resize-filesystem")
                .and_then(|()| disk::resize(mount.as_fd(), &filesystem, size))
                .and_then(|()| failpoint::pass("loop-devices.resized"));
            Ok(resized.map_err(|error| failed("resize", &what, &error)))
        })
    }
}
