//! Making keys, when the copy starts: before its first process goes on, so before any server of its.

use crate::bindings::wxc::hook::scope;
use crate::bindings::wxc::host::handles::{ContainerRoot, RunningContainer};
use crate::bindings::wxc::host::run_inside::Program;
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::host::{log, rootfs, store};
use crate::gone::{KEYS, names};
use crate::servers::{self, Server};

/// Makes the keys that were removed and are missing, and the usual ones of a server that has none at all.
pub fn make() -> Result<(), Error> {
    let root = scope::root()?;
    let kept = store::get(KEYS)?;
    let removed = String::from_utf8_lossy(kept.as_deref().unwrap_or_default()).into_owned();
    let mut failures = Vec::new();
    for server in servers::ALL {
        let there = names(&root, server.directory)?;
        let due = due(server, removed.lines(), &there).or_else(|| usual(&root, server, &there));
        for command in due.unwrap_or_default() {
            // One that fails, for a type that is no longer made for example, keeps no other from being made.
            if let Err(why) = run(&scope::running()?, &command) {
                failures.push(why);
            }
        }
    }
    if kept.is_some() {
        // Once: what does not work now will not at the next start, and was told.
        store::remove(KEYS)?;
    }
    if failures.is_empty() {
        return Ok(());
    }
    let message = format!(
        "host keys of the copy were not made: {}; make them with `ssh-keygen -A` in the container",
        failures.join("; ")
    );
    Err(Error { kind: ErrorKind::Failed, message })
}

/// The commands that make what was removed and is missing, given which files are there; `None` where nothing was removed.
fn due<'a>(
    server: &Server,
    removed: impl Iterator<Item = &'a str>,
    there: &[String],
) -> Option<Vec<Vec<String>>> {
    let own = removed.filter_map(|file| {
        let name = file.strip_prefix(server.directory)?.strip_prefix('/')?;
        Some((name, server.key_type(name)?))
    });
    let own: Vec<(&str, &str)> = own.collect();
    let missing = own.iter().filter(|(name, _)| !there.iter().any(|file| file == name));
    (!own.is_empty()).then(|| missing.map(|(_, kind)| server.command(kind)).collect())
}

/// What makes the first keys of a server that is installed and has none, as in many images.
fn usual(root: &ContainerRoot, server: &Server, there: &[String]) -> Option<Vec<Vec<String>>> {
    let words = server.usual?;
    let has_key = there.iter().any(|file| server.key_type(file).is_some());
    let is_there = |program: &&str| rootfs::inspect(root, program).is_ok();
    let wanted = !has_key && server.programs.iter().any(is_there);
    wanted.then(|| vec![words.iter().map(|&word| word.to_owned()).collect()])
}

fn run(container: &RunningContainer, command: &[String]) -> Result<(), String> {
    let line =
        command.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ");
    let outcome = Program::new(container, command).run().map_err(|error| error.message)?;
    if outcome.status == 0 {
        log::emit(log::Level::Info, &format!("made host keys: {line}"));
        return Ok(());
    }
    let said = String::from_utf8_lossy(&outcome.stderr);
    let last = said.lines().last().unwrap_or("it said nothing");
    Err(format!("{line} ended with {}: {last}", outcome.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_and_is_missing_is_made() {
        let removed = [
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssh/ssh_host_ed25519_key",
            "/etc/dropbear/dropbear_rsa_host_key",
        ];
        let there = ["ssh_host_rsa_key".to_owned(), "sshd_config".to_owned()];
        let commands = |server| {
            let due = due(server, removed.iter().copied(), &there).unwrap();
            due.iter().map(|words| words.join(" ")).collect::<Vec<_>>()
        };
        let [openssh, dropbear] = servers::ALL else { panic!("two servers") };
        assert_eq!(commands(openssh), ["ssh-keygen -q -N  -t ed25519 -f /etc/ssh/ssh_host_ed25519_key"]);
        assert_eq!(commands(dropbear), ["dropbearkey -t rsa -f /etc/dropbear/dropbear_rsa_host_key"]);
        assert!(due(dropbear, removed[..2].iter().copied(), &[]).is_none());
    }
}
