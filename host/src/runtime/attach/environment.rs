#![forbid(unsafe_code)]
//! What the command finds in its environment: later layers win.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::AttachRequest;
use crate::plan::Plan;
use crate::runtime::accounts::Account;
use crate::runtime::compile::DEFAULT_PATH;

/// Names and values; not all of the caller's are UTF-8.
pub(super) type Environment = BTreeMap<String, Vec<u8>>;

/// The environment of a command.
pub(super) fn of(request: &AttachRequest, plan: &Plan, account: &Account, terminal: bool) -> Environment {
    layers(request, plan, account, terminal, std::env::vars_os())
}

fn layers(
    request: &AttachRequest,
    plan: &Plan,
    account: &Account,
    terminal: bool,
    caller: impl Iterator<Item = (OsString, OsString)>,
) -> Environment {
    let caller: Environment =
        caller.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_vec()))).collect();
    // Programs need the type of the terminal that shows what they write: the caller's.
    let term = caller.get("TERM").cloned().filter(|_| terminal);
    let mut all = if request.keep_environment { caller } else { Environment::new() };
    let mut set = |name: &str, value: &str| drop(all.insert(name.to_owned(), value.into()));
    set("PATH", DEFAULT_PATH);
    for setting in &plan.init.environment {
        set(&setting.key, &setting.value);
    }
    set("HOME", &account.home);
    set("SHELL", account.shell());
    if let Some(name) = &account.name {
        set("USER", name);
        set("LOGNAME", name);
    }
    set("container", "lxc");
    if let Some(term) = term {
        all.insert("TERM".to_owned(), term);
    }
    for (name, value) in &request.environment {
        all.insert(name.clone(), value.clone().into_bytes());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::attach::fixture::plan;

    fn of(request: &AttachRequest, terminal: bool) -> Vec<String> {
        let mut account = Account::stranger(7);
        account.name = Some("ann".to_owned());
        let caller = [("TERM", "vt100"), ("SECRET", "x"), ("PATH", "/opt")];
        let caller = caller.map(|(name, value)| (name.into(), value.into()));
        let all = layers(request, &plan(), &account, terminal, caller.into_iter());
        all.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn layers_cover_each_other() {
        let path = format!("PATH={DEFAULT_PATH}");
        let common = ["HOME=/", "LANG=C", "LOGNAME=ann", &path, "SHELL=/bin/sh"];
        let clean = AttachRequest::default();
        assert_eq!(of(&clean, false), [&common[..], &["USER=ann", "container=lxc"]].concat());
        assert_eq!(of(&clean, true), [&common[..], &["TERM=vt100", "USER=ann", "container=lxc"]].concat());
        let kept = AttachRequest {
            keep_environment: true,
            environment: vec![("TERM".into(), "dumb".into())],
            ..AttachRequest::default()
        };
        let kept = of(&kept, true);
        assert!(kept.contains(&"SECRET=x".to_owned()) && kept.contains(&"TERM=dumb".to_owned()), "{kept:?}");
        assert!(kept.contains(&path), "programs are looked for in the container's places: {kept:?}");
    }
}
