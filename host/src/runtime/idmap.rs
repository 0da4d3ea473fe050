#![forbid(unsafe_code)]
//! Writes the maps of a user namespace (user_namespaces(7)).
//!
//! Root writes them itself, and so does who is in a namespace of the ids ([`own_ids`]). Anybody else may only map its own id; the ranges that the administrator
//! gave in `/etc/subuid` and `/etc/subgid` are written by the set-user-ID programs of shadow-utils.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, getegid, geteuid};

use super::RuntimeError;
use crate::config::ids::{IdMap, IdRange};
use crate::sys::own_ids;

/// Where the helpers are looked for: never in `$PATH`, which the caller chose.
const PROGRAMS: &[&str] = &["/usr/bin", "/usr/sbin", "/bin", "/usr/local/bin"];

/// Gives the new user namespace of `pid` its maps.
pub(super) fn write(pid: Pid, map: &IdMap) -> Result<(), RuntimeError> {
    if own_ids::has_power() {
        write_file(pid, "uid_map", &lines(&map.users))?;
        return write_file(pid, "gid_map", &lines(&map.groups));
    }
    if is_self(&map.users, geteuid().as_raw()) {
        write_file(pid, "uid_map", &lines(&map.users))?;
    } else {
        helper("newuidmap", pid, &map.users)?;
    }
    if is_self(&map.groups, getegid().as_raw()) {
        // Whoever could drop a group could get what the group is denied (CVE-2014-8989).
        write_file(pid, "setgroups", "deny")?;
        return write_file(pid, "gid_map", &lines(&map.groups));
    }
    helper("newgidmap", pid, &map.groups)
}

/// Whether processes in a namespace with this map may choose their groups: not where the caller
/// mapped its own group and had to give that up.
pub(super) fn allows_groups(map: &IdMap) -> bool {
    own_ids::has_power() || !is_self(&map.groups, getegid().as_raw())
}

fn lines(ranges: &[IdRange]) -> String {
    ranges.iter().map(|range| range.to_line()).collect()
}

/// The one map that needs no helper: a single id, the caller's.
fn is_self(ranges: &[IdRange], id: u32) -> bool {
    matches!(ranges, [range] if range.count == 1 && range.host.0 == id)
}

fn write_file(pid: Pid, file: &str, text: &str) -> Result<(), RuntimeError> {
    let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
    std::fs::write(&path, text)
        .map_err(|error| RuntimeError::system(format!("map the ids: write {path}"), error))
}

fn helper(name: &str, pid: Pid, ranges: &[IdRange]) -> Result<(), RuntimeError> {
    let program = find(name).ok_or_else(|| RuntimeError::Part {
        what: "map the ids".to_owned(),
        message: format!("there is no {name} in {}", PROGRAMS.join(", ")),
        hint: Some("install the package uidmap".to_owned()),
    })?;
    let numbers = ranges
        .iter()
        .flat_map(|range| [range.container.0, range.host.0, range.count])
        .map(|number| number.to_string());
    let output = Command::new(&program)
        .arg(pid.as_raw_nonzero().to_string())
        .args(numbers)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| RuntimeError::system(format!("execute {}", program.display()), error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(RuntimeError::Part {
        what: "map the ids".to_owned(),
        message: format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()),
        hint: Some("/etc/subuid and /etc/subgid say which ids the caller may use".to_owned()),
    })
}

fn find(name: &str) -> Option<PathBuf> {
    PROGRAMS.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ids::{ContainerId, HostId};

    #[test]
    fn only_ones_own_id_needs_no_helper() {
        let own = IdRange { container: ContainerId(0), host: HostId(1000), count: 1 };
        assert!(is_self(&[own], 1000));
        assert!(!is_self(&[own], 1001));
        assert!(!is_self(&[IdRange { count: 2, ..own }], 1000));
        assert!(!is_self(&[own, own], 1000));
        assert!(!is_self(&[], 1000));
    }
}
