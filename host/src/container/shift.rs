#![forbid(unsafe_code)]
//! What a copy of a tree changes: nothing, or the ids that its files have on disk.
//!
//! Root's containers have their own ids on disk, and a copy is exact. A user without privileges has the files of each
//! container under that one's range of host ids: in a copy with a range of its own every owner is the one with the
//! same number inside. Numbers stand in three places: owners, access lists, and the root that a file capability is of.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::Ordering;

use rustix::process::geteuid;

use super::{Host, ids};
use crate::config::Container;
use crate::config::ids::{IdMap, IdRange};
use crate::plugin::Unit;
use crate::sys::tree::{self, Copied, CopyPolicy, TreeError};

/// Copies with progress, until the user asks to stop.
pub(super) struct Shifted<'a> {
    host: &'a Host,
    shift: Option<Shift>,
}

impl<'a> Shifted<'a> {
    /// Everything as it is.
    pub(super) fn exact(host: &'a Host) -> Self {
        Self { host, shift: None }
    }

    /// From the files of `original` to those of a container with the ids `own`.
    pub(super) fn between(host: &'a Host, original: &Container, own: &IdMap) -> Self {
        let shift = ids::are_shifted(original).then(|| Shift { from: original.ids.clone(), to: own.clone() });
        Self { host, shift }
    }

    /// Copies what is in `from` into the empty `to`.
    pub(super) fn copy(mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<Copied, TreeError> {
        match self.shift {
            Some(_) => tree::copy_tree(from, to, &mut self),
            None => tree::copy_exactly(from, to, &|done| watched(self.host, done)),
        }
    }
}

/// Tells how far it is, until the user asks to stop.
fn watched(host: &Host, done: &Copied) -> Result<(), TreeError> {
    host.progress.report(done.bytes, None, Unit::Bytes);
    if host.cancel.load(Ordering::Relaxed) || host.progress.cancelled() {
        return Err(TreeError::Stopped);
    }
    Ok(())
}

impl CopyPolicy for Shifted<'_> {
    fn owner(&mut self, uid: u32, gid: u32) -> Result<(u32, u32), String> {
        let Some(shift) = &self.shift else { return Ok((uid, gid)) };
        let foreign = |what, id| format!("its {what} {id} is not one of the container's");
        let (user, group) = shift.owner(uid, gid);
        Ok((user.ok_or_else(|| foreign("owner", uid))?, group.ok_or_else(|| foreign("group", gid))?))
    }

    fn attribute(&mut self, name: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        match &self.shift {
            None => Some(value),
            Some(shift) => shift.attribute(name, value),
        }
    }

    fn device(&mut self, _: u32, _: u32) -> Result<bool, String> {
        Ok(true)
    }

    fn progress(&mut self, _: &Path, done: &Copied) -> Result<(), TreeError> {
        watched(self.host, done)
    }
}

/// From one container's host ids to another's.
#[derive(Debug)]
struct Shift {
    from: IdMap,
    to: IdMap,
}

impl Shift {
    fn user(&self, id: u32) -> Option<u32> {
        outside(&self.to.users, inside(&self.from.users, id)?)
    }

    fn group(&self, id: u32) -> Option<u32> {
        outside(&self.to.groups, inside(&self.from.groups, id)?)
    }

    /// The root of a new layer is the caller's until the container is started.
    fn owner(&self, uid: u32, gid: u32) -> (Option<u32>, Option<u32>) {
        if uid == geteuid().as_raw() && self.user(uid).is_none() {
            return (outside(&self.to.users, 0), outside(&self.to.groups, 0));
        }
        (self.user(uid), self.group(gid))
    }

    fn attribute(&self, name: &[u8], mut value: Vec<u8>) -> Option<Vec<u8>> {
        match name {
            b"system.posix_acl_access" | b"system.posix_acl_default" => {
                // linux/posix_acl_xattr.h: a header of 4 bytes, then tag, permissions and id of each entry.
                const USER: u16 = 0x02;
                const GROUP: u16 = 0x08;
                for entry in value.get_mut(4..)?.chunks_exact_mut(8) {
                    let (tag, id) = (u16::from_le_bytes([entry[0], entry[1]]), word(&entry[4..8])?);
                    let id = match tag {
                        USER => self.user(id)?,
                        GROUP => self.group(id)?,
                        _ => continue,
                    };
                    entry[4..8].copy_from_slice(&id.to_le_bytes());
                }
                Some(value)
            }
            b"security.capability" => {
                // linux/capability.h: version 3 ends with the id of the root that the capability is for.
                const VERSION_3: u32 = 0x0300_0000;
                if word(value.get(..4)?)? & 0xff00_0000 == VERSION_3 {
                    let root = self.user(word(value.get(20..24)?)?)?;
                    value[20..24].copy_from_slice(&root.to_le_bytes());
                }
                Some(value)
            }
            _ => Some(value),
        }
    }
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// What the container calls a host id.
fn inside(ranges: &[IdRange], id: u32) -> Option<u32> {
    let range = ranges.iter().find(|r| id >= r.host.0 && id - r.host.0 < r.count)?;
    range.container.0.checked_add(id - range.host.0)
}

/// The host id behind an id of the container.
fn outside(ranges: &[IdRange], id: u32) -> Option<u32> {
    let range = ranges.iter().find(|r| id >= r.container.0 && id - r.container.0 < r.count)?;
    range.host.0.checked_add(id - range.container.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ids::HostId;

    fn shift() -> Shift {
        Shift { from: IdMap::single(HostId(100_000), 65_536), to: IdMap::single(HostId(200_000), 65_536) }
    }

    #[test]
    fn who_it_is_inside_stays() {
        let shift = shift();
        assert_eq!((shift.user(100_000), shift.group(165_535)), (Some(200_000), Some(265_535)));
        for foreign in [0, 1000, 99_999, 165_536, u32::MAX] {
            assert_eq!((shift.user(foreign), shift.group(foreign)), (None, None), "{foreign}");
        }
    }

    #[test]
    fn access_lists_and_capabilities_go_along() {
        let list = |user: u32, group: u32| {
            let mut list = 2u32.to_le_bytes().to_vec();
            for (tag, id) in
                [(0x01u16, u32::MAX), (0x02, user), (0x04, u32::MAX), (0x08, group), (0x10, u32::MAX)]
            {
                list.extend(tag.to_le_bytes().into_iter().chain([7, 0]).chain(id.to_le_bytes()));
            }
            list
        };
        let name = b"system.posix_acl_default";
        assert_eq!(shift().attribute(name, list(101_000, 100_005)), Some(list(201_000, 200_005)));
        assert_eq!(shift().attribute(name, list(1000, 100_005)), None, "an id that is not the container's");
        let capability = |root: u32| [&[1, 0, 0, 3][..], &[9; 16], &root.to_le_bytes()].concat();
        assert_eq!(shift().attribute(b"security.capability", capability(100_000)), Some(capability(200_000)));
        assert_eq!(shift().attribute(b"security.capability", capability(0)), None);
        assert_eq!(shift().attribute(b"security.capability", vec![1, 0, 0, 3]), None);
        assert_eq!(shift().attribute(b"user.x", vec![1]), Some(vec![1]));
    }
}
