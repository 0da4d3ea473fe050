#![forbid(unsafe_code)]
//! From which host ids this caller may give ranges to containers.

use std::fs;

use crate::config::idpool::{HostRange, OF_ROOT, subordinate};
use crate::config::system::Pool;

use super::idregistry::IdError;

/// The caller's ids, and those inside them that are somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pools {
    pub users: Vec<HostRange>,
    pub groups: Vec<HostRange>,
    pub reserved: Vec<HostRange>,
    /// Where they come from, for messages.
    pub source: String,
}

impl Pools {
    /// What gives more.
    #[must_use]
    pub fn hint(&self) -> String {
        format!(
            "the ids come from {}; destroy a container that is not needed, or give more ranges in \
             /etc/subuid and /etc/subgid",
            self.source
        )
    }
}

/// The texts that decide, so that tests can make them up.
#[derive(Debug, Clone, Default)]
struct Files {
    passwd: String,
    subuid: String,
    subgid: String,
    uid_map: String,
    gid_map: String,
}

/// The pools of the effective user: what `wxc.toml` says, else `/etc/subuid` and `/etc/subgid`, and
/// for a root without entries there a part of the id space that nobody else uses.
///
/// # Errors
/// When an ordinary user has no subordinate ids.
pub fn of_caller(configured: &Pool) -> Result<Pools, IdError> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let files = Files {
        passwd: read("/etc/passwd"),
        subuid: read("/etc/subuid"),
        subgid: read("/etc/subgid"),
        uid_map: read("/proc/self/uid_map"),
        gid_map: read("/proc/self/gid_map"),
    };
    from_files(&files, configured, rustix::process::geteuid().as_raw())
}

fn from_files(files: &Files, configured: &Pool, uid: u32) -> Result<Pools, IdError> {
    let user = user_name(&files.passwd, uid).unwrap_or_else(|| uid.to_string());
    let (users, mut reserved) = subordinate(&files.subuid, &user, uid);
    let (groups, of_others) = subordinate(&files.subgid, &user, uid);
    reserved.extend(of_others);
    if !configured.users.is_empty() && !configured.groups.is_empty() {
        // Who configures this knows whose ids they are.
        return Ok(Pools {
            users: within(&configured.users, &files.uid_map),
            groups: within(&configured.groups, &files.gid_map),
            reserved: Vec::new(),
            source: "`[ids]` of wxc.toml".into(),
        });
    }
    let listed = !users.is_empty() && !groups.is_empty();
    if !listed && uid != 0 {
        return Err(IdError::NoPool { user });
    }
    let (users, groups, source) = if listed {
        (users, groups, "/etc/subuid and /etc/subgid".to_string())
    } else {
        (vec![OF_ROOT], vec![OF_ROOT], format!("the default range {OF_ROOT}"))
    };
    Ok(Pools {
        users: within(&users, &files.uid_map),
        groups: within(&groups, &files.gid_map),
        reserved,
        source,
    })
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id == uid).then(|| name.into())
    })
}

/// What of `pool` exists here: in a container, only the ids that its own map has.
fn within(pool: &[HostRange], map: &str) -> Vec<HostRange> {
    let mapped: Vec<HostRange> = map
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            let (first, _outside, count) =
                (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some(HostRange { first, count })
        })
        .collect();
    pool.iter().flat_map(|range| mapped.iter().filter_map(|mapped| range.common(*mapped))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "         0          0 4294967295\n";

    fn files() -> Files {
        Files {
            passwd: "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n".into(),
            subuid: "alice:100000:65536\n".into(),
            subgid: "alice:200000:65536\n".into(),
            uid_map: ALL.into(),
            gid_map: ALL.into(),
        }
    }

    #[test]
    fn a_user_has_what_the_files_give() {
        let pools = from_files(&files(), &Pool::default(), 1000).unwrap();
        assert_eq!(pools.users, [HostRange { first: 100_000, count: 65_536 }]);
        assert_eq!(pools.groups, [HostRange { first: 200_000, count: 65_536 }]);
    }

    #[test]
    fn root_without_entries_has_a_range_of_its_own_and_spares_those_of_others() {
        let mut files = files();
        files.subuid = "alice:1000000000:65536\n".into();
        let pools = from_files(&files, &Pool::default(), 0).unwrap();
        assert_eq!(pools.users, [OF_ROOT]);
        assert!(pools.reserved.contains(&HostRange { first: 1_000_000_000, count: 65_536 }));
    }

    #[test]
    fn a_user_without_entries_is_told_how_to_get_some() {
        let error = from_files(&files(), &Pool::default(), 1001).unwrap_err();
        assert!(error.hint().contains("usermod --add-subuids"), "{}", error.hint());
    }

    #[test]
    fn what_is_configured_is_taken_instead() {
        let own = vec![HostRange { first: 500_000, count: 65_536 }];
        let pools = from_files(&files(), &Pool { users: own.clone(), groups: own.clone() }, 1000).unwrap();
        assert_eq!((pools.users, pools.groups), (own.clone(), own));
    }

    #[test]
    fn in_a_container_only_its_own_ids_exist() {
        let mut files = files();
        files.uid_map = "0 1000000000 65536\n".into();
        files.subuid = "root:60000:65536\n".into();
        files.subgid = "root:1:1\n".into();
        let pools = from_files(&files, &Pool::default(), 0).unwrap();
        assert_eq!(pools.users, [HostRange { first: 60_000, count: 5536 }]);
    }
}
