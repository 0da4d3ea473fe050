//! What the helper takes from itself before it reads the first byte of an image.

use std::fmt::Display;
use std::os::fd::BorrowedFd;

use rustix::fs::Mode;
use rustix::process::{Resource, chdir, chroot, fchdir, umask};
use rustix::thread::{
    CapabilitySet, Gid, Uid, UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::error::UnpackError;
use super::request::{Devices, Options};
use crate::sys::confine::{alone, keep_capabilities, limit};
use crate::sys::leave::unshare_namespaces;
use crate::sys::syscalls;

/// Address space beyond what the request allows to be kept in memory: the program, decoders' windows, stacks.
const ADDRESS_SPACE: u64 = 2 << 30;
/// Two descriptors per level of a copied directory, and a few.
const OPEN_FILES: u64 = 1024;

/// A user namespace of its own, whose map the caller then writes.
pub(crate) fn enter_userns() -> Result<(), UnpackError> {
    unshare_namespaces(UnshareFlags::NEWUSER).map_err(failed("make a user namespace"))
}

/// Root within the namespace; before this the caller's own id, which may not make entries for others.
pub(crate) fn become_root() -> Result<(), UnpackError> {
    // Refused where the map was written without newgidmap; there are no other groups to leave then.
    let _ = set_thread_groups(&[]);
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .map_err(failed("become the container's root group"))?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(failed("become the container's root"))
}

/// Everything else. The order matters: each step needs a privilege that a later one gives up.
pub(crate) fn confine(target: BorrowedFd<'_>, options: &Options) -> Result<(), UnpackError> {
    unshare_namespaces(UnshareFlags::NEWNET | UnshareFlags::NEWIPC).map_err(failed("leave the network"))?;
    // No path leads to the host from here on; capabilities to undo it go below.
    fchdir(target)
        .and_then(|()| chroot("."))
        .and_then(|()| chdir("/"))
        .map_err(failed("enter the target"))?;
    limit_self(options)?;
    let mut keep = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SETFCAP;
    if options.devices == Devices::Make {
        keep |= CapabilitySet::MKNOD;
    }
    drop_capabilities(keep)?;
    restrict(syscalls::Purpose::Files)
}

/// The same for a process that only passes bytes on: no capability, and no call that takes a path.
pub(crate) fn confine_coder(options: &Options) -> Result<(), UnpackError> {
    limit_self(options)?;
    drop_capabilities(CapabilitySet::empty())?;
    restrict(syscalls::Purpose::Streams)
}

fn limit_self(options: &Options) -> Result<(), UnpackError> {
    limit(Resource::Core, 0)
        .and_then(|()| limit(Resource::As, ADDRESS_SPACE + options.limits.memory as u64))
        .and_then(|()| limit(Resource::Nofile, OPEN_FILES))
        .map_err(failed("limit itself"))?;
    umask(Mode::empty());
    // After the change of ids, which would have cleared a part of it.
    alone().map_err(failed("forbid tracing and follow the caller's end"))
}

fn restrict(purpose: syscalls::Purpose) -> Result<(), UnpackError> {
    let filter = syscalls::filter(purpose).map_err(failed("make a list of system calls"))?;
    // Sets no_new_privs, too.
    seccompiler::apply_filter(&filter).map_err(failed("restrict system calls"))
}

fn drop_capabilities(keep: CapabilitySet) -> Result<(), UnpackError> {
    keep_capabilities(keep).map_err(failed("give up capabilities"))
}

fn failed<E: Display>(step: &str) -> impl FnOnce(E) -> UnpackError {
    move |e| UnpackError::confine(step, e)
}
