#![forbid(unsafe_code)]
//! What an image names and its own files say: users and groups by name, programs without their directory.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::FileType;

use super::Error;
use crate::plugin::template::types::{Finished, Pair};
use crate::runtime::accounts::{find, find_group};
use crate::sys::rootfs::Rootfs;

/// Where programs are looked for when the image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most directories of a search path.
const DIRECTORIES: usize = 100;

/// Gives the program to start its directory, as execvp(3) would find it in the root.
///
/// # Errors
/// It is in none.
pub(super) fn look_up_program(finished: &mut Finished, root: BorrowedFd<'_>) -> Result<(), Error> {
    let said =
        |key: &str| finished.settings.iter().find(|pair| pair.name == key).map(|pair| word(&pair.value));
    let path = said("environment.set.PATH").unwrap_or_else(|| PATH.into());
    let here = said("init.cwd").unwrap_or_else(|| "/".into());
    let Some(setting) = finished.settings.iter_mut().find(|pair| pair.name == "init.command") else {
        return Ok(());
    };
    let Ok(toml_edit::Value::Array(mut words)) = setting.value.parse() else { return Ok(()) };
    let Some(program) = words.get(0).and_then(|word| word.as_str()).map(str::to_owned) else { return Ok(()) };
    if program.starts_with('/') {
        return Ok(());
    }
    let root = Rootfs::new(root);
    let is_program =
        |path: &String| matches!(root.kind(Path::new(path), true), Ok(Some(FileType::RegularFile)));
    let found = if program.contains('/') {
        // As seen from where it begins.
        Some(format!("{}/{program}", here.trim_end_matches('/')))
    } else {
        let directories = path.split(':').filter(|directory| directory.starts_with('/')).take(DIRECTORIES);
        directories.map(|directory| format!("{}/{program}", directory.trim_end_matches('/'))).find(is_program)
    };
    let found = found.ok_or_else(|| Error::Invalid {
        message: format!("the image starts {program:?}, which is in none of {path}"),
        hint: "say what to start with -s init.command=/PROGRAM".into(),
    })?;
    words.replace(0, found);
    setting.value = words.to_string();
    Ok(())
}

/// Puts numbers where names are. A user of the accounts brings its groups along, where the template sets none.
///
/// # Errors
/// The image has no such user or group.
pub(super) fn look_up(finished: &mut Finished, root: BorrowedFd<'_>) -> Result<(), Error> {
    let unknown = |why: String| Error::Invalid {
        message: format!("the image starts its program as somebody it does not know: {why}"),
        hint: "say as whom with -s init.user=NUMBER and -s init.group=NUMBER".into(),
    };
    let said = |settings: &[Pair], key: &str| settings.iter().any(|pair| pair.name == key);
    let mut more = Vec::new();
    let given = (said(&finished.settings, "init.group"), said(&finished.settings, "init.groups"));
    for setting in &mut finished.settings {
        match setting.name.as_str() {
            "init.user" => {
                let account = find(root, &word(&setting.value)).map_err(|why| unknown(why.to_string()))?;
                setting.value = account.user.to_string();
                // A number that nobody has an account for says nothing of a group.
                if account.name.is_some() && !given.0 {
                    more.push(Pair { name: "init.group".into(), value: account.group.to_string() });
                    if !given.1 && !account.groups.is_empty() {
                        more.push(Pair {
                            name: "init.groups".into(),
                            value: format!("{:?}", account.groups),
                        });
                    }
                }
            }
            "init.group" => {
                let group =
                    find_group(root, &word(&setting.value)).map_err(|why| unknown(why.to_string()))?;
                setting.value = group.to_string();
            }
            _ => {}
        }
    }
    finished.settings.extend(more);
    home(finished, root);
    Ok(())
}

/// A program that is no init expects to be told where its home is, as a login would.
fn home(finished: &mut Finished, root: BorrowedFd<'_>) {
    let said =
        |key: &str| finished.settings.iter().find(|pair| pair.name == key).map(|pair| word(&pair.value));
    if said("init.stub").as_deref() != Some("true") || said("environment.set.HOME").is_some() {
        return;
    }
    let user = said("init.user").unwrap_or_else(|| "0".into());
    // An image without accounts has no homes.
    let home = find(root, &user).map(|account| account.home).unwrap_or_default();
    if home.starts_with('/') && !home.contains(char::is_control) {
        let value = toml_edit::Value::from(home).to_string();
        finished.settings.push(Pair { name: "environment.set.HOME".into(), value });
    }
}

/// A value without the quotes of a text.
fn word(value: &str) -> String {
    match value.parse::<toml_edit::Value>() {
        Ok(toml_edit::Value::String(text)) => text.into_value(),
        _ => value.to_owned(),
    }
}
