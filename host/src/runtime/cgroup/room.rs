#![forbid(unsafe_code)]
//! A part of a container's cgroups for something that has to end before the container does.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::freeze::wait_for_event;
use super::remove::remove_tree;
use super::{CgroupError, Cgroups, Place, put};

/// How long the kernel may take to end what is in it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was started in it is killed with it, also what has left its session and its parents. A program of the container's root can
/// move itself into another of the container's cgroups: it ends with the container then.
#[derive(Debug)]
pub struct Room(Option<PathBuf>);

impl Cgroups {
    /// The same cgroups, with a leaf of the v2 one in its place. On a host without a v2 tree nothing is made, and the room
    /// ends nobody.
    ///
    /// # Errors
    /// When the leaf cannot be made.
    pub fn room(&self) -> Result<(Self, Room), CgroupError> {
        let Some(place) = self.unified() else { return Ok((self.clone(), Room(None))) };
        // The guest can make names in its cgroup, too: none that can be guessed may be in the way.
        let mut bytes = [0; 8];
        let drawn = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        let path = place.payload.join(format!("wxc.hook-{:016x}", u64::from_ne_bytes(bytes)));
        let fail = |source: io::Error| CgroupError::Create { path: path.clone(), source };
        drawn.map_err(|errno| fail(errno.into()))?;
        std::fs::create_dir(&path).map_err(fail)?;
        let room = Room(Some(path.clone()));
        // As everything below, it is the guest's.
        let owner = std::fs::metadata(&place.payload).map_err(fail)?;
        std::os::unix::fs::lchown(&path, Some(owner.uid()), Some(owner.gid())).map_err(fail)?;
        let mut inner = self.clone();
        let replace = |place: &mut Place| place.payload.clone_from(&path);
        inner.places.iter_mut().filter(|place| place.unified).for_each(replace);
        Ok((inner, room))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        // Before Linux 5.14 there is no such file; then it stays until the container ends.
        let gone = put(&path.join("cgroup.kill"), "1")
            .and_then(|()| wait_for_event(&path, "populated 0", PATIENCE))
            .and_then(|_| remove_tree(&path, Instant::now() + PATIENCE));
        if let Err(error) = gone {
            tracing::warn!("{} stays until the container ends: {error}", path.display());
        }
    }
}
