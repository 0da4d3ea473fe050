#![forbid(unsafe_code)]
//! As whom the command runs.

use std::os::fd::AsFd as _;

use super::AttachRequest;
use super::target::{Flags, Target, directory};
use crate::config::ids::{ContainerId, IdMap};
use crate::runtime::RuntimeError;
use crate::runtime::accounts::{self, Account, AccountError};

/// The account that the request names, or that init has.
pub(super) fn account(
    request: &AttachRequest,
    target: &Target,
    namespaces: Flags,
) -> Result<Account, RuntimeError> {
    // Names mean something in one user namespace: those of a container that is not entered as a
    // user must not lead to users of the host.
    let map = target.plan.ids.as_ref();
    let users_inside = map.is_none() || namespaces & libc::CLONE_NEWUSER != 0;
    let root = if namespaces & libc::CLONE_NEWNS != 0 && users_inside {
        target.root()?
    } else {
        directory("/").map_err(|error| RuntimeError::system("open /", error))?
    };
    let root = root.as_fd();
    let init = &target.plan.init;
    let number = init.user.to_string();
    let fail = |error: AccountError| explain(&error, request);
    let mut account = accounts::find(root, request.user.as_deref().unwrap_or(&number)).map_err(fail)?;
    if request.user.is_none() && users_inside {
        account.group = init.group;
        account.groups.clone_from(&init.groups);
    }
    if let Some(group) = &request.group {
        account.group = accounts::find_group(root, group).map_err(fail)?;
        account.groups.clear();
    }
    if let (Some(map), true) = (map, users_inside) {
        check(&mut account, map, &request.name)?;
    }
    Ok(account)
}

/// What is not in the map does not exist in the container, and the kernel takes no such id.
pub(super) fn check(account: &mut Account, map: &IdMap, name: &str) -> Result<(), RuntimeError> {
    let missing = |kind: &str, id: u32| RuntimeError::Part {
        what: format!("become {kind} {id}"),
        message: format!("it is not among the ids of {name}"),
        hint: Some("`[ids]` in the container's configuration says how many it has".to_owned()),
    };
    if map.host_user(ContainerId(account.user)).is_none() {
        return Err(missing("user", account.user));
    }
    if map.host_group(ContainerId(account.group)).is_none() {
        return Err(missing("group", account.group));
    }
    account.groups.retain(|group| map.host_group(ContainerId(*group)).is_some());
    Ok(())
}

fn explain(error: &AccountError, request: &AttachRequest) -> RuntimeError {
    let hint = "give a name from its /etc/passwd or /etc/group, or a number".to_owned();
    RuntimeError::part(format!("enter {} as that user", request.name), error, Some(hint))
}
