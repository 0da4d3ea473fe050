//! The container's id map for a helper without privileges.
//!
//! The map has one line more than the container's: the caller's own id at the first free place, so that
//! the helper may enter directories that are the caller's (and give the target to the container's root).

use std::fs;
use std::process::{Command, Output, Stdio};

use rustix::process::{getegid, geteuid};

use super::error::UnpackError;
use super::request::MapRange;
use crate::sys::own_ids;

/// The map with the caller's own id, and where that is inside.
pub(crate) fn with_own(map: &[MapRange], own: u32) -> (Vec<MapRange>, u32) {
    if let Some(range) = map.iter().find(|r| own >= r.outside && own - r.outside < r.count) {
        return (map.to_vec(), range.inside + (own - range.outside));
    }
    let inside = map.iter().map(|r| r.inside.saturating_add(r.count)).max().unwrap_or(0);
    let mut map = map.to_vec();
    map.push(MapRange { inside, outside: own, count: 1 });
    (map, inside)
}

/// Gives the process its map: directly as root or for one's own id alone, with newuidmap(1) otherwise.
pub(crate) fn write(pid: u32, uids: &[MapRange], gids: &[MapRange]) -> Result<(), UnpackError> {
    if own_ids::has_power() {
        direct(pid, "gid_map", gids)?;
        return direct(pid, "uid_map", uids);
    }
    if only(uids, geteuid().as_raw()) && only(gids, getegid().as_raw()) {
        // The kernel's condition for a map of groups without privilege (user_namespaces(7)).
        put(pid, "setgroups", "deny")?;
        direct(pid, "gid_map", gids)?;
        return direct(pid, "uid_map", uids);
    }
    program("newgidmap", pid, gids)?;
    program("newuidmap", pid, uids)
}

fn only(map: &[MapRange], own: u32) -> bool {
    matches!(map, [MapRange { outside, count: 1, .. }] if *outside == own)
}

fn direct(pid: u32, file: &str, map: &[MapRange]) -> Result<(), UnpackError> {
    let lines: String = map.iter().map(|r| format!("{} {} {}\n", r.inside, r.outside, r.count)).collect();
    put(pid, file, &lines)
}

fn put(pid: u32, file: &str, text: &str) -> Result<(), UnpackError> {
    let path = format!("/proc/{pid}/{file}");
    fs::write(&path, text).map_err(|e| UnpackError::confine("get its id map", format!("{path}: {e}")))
}

fn program(name: &str, pid: u32, map: &[MapRange]) -> Result<(), UnpackError> {
    let mut command = Command::new(name);
    command.arg(pid.to_string()).stdin(Stdio::null());
    for range in map {
        command.args([range.inside, range.outside, range.count].map(|n| n.to_string()));
    }
    let failed = |why: String| UnpackError::confine("get its id map", format!("{name}: {why}"));
    let Output { status, stderr, .. } = command.output().map_err(|e| failed(e.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(String::from_utf8_lossy(&stderr).trim().to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_own_id_comes_after_the_containers() {
        let map = [MapRange { inside: 0, outside: 100_000, count: 65536 }];
        let (with, own) = with_own(&map, 1000);
        assert_eq!((with.len(), own), (2, 65536));
        assert_eq!(with[1], MapRange { inside: 65536, outside: 1000, count: 1 });
        assert_eq!(with_own(&map, 100_005), (map.to_vec(), 5));
    }
}
