#![forbid(unsafe_code)]
//! Whether what came out of an archive can be a root file system at all: a container of anything else would only fail at its start,
//! with words about a missing program.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use super::Error;

/// What a root has at least one of.
const USUAL: [&str; 10] = ["bin", "sbin", "usr", "etc", "lib", "lib64", "init", "linuxrc", "nix", "system"];
/// Most names that are looked at.
const MOST: usize = 10_000;

/// Beside the root of an image of Incus or LXD.
const METADATA: &str = "metadata.yaml";
/// What else it may be: a file that only that has, and what to do about it.
const OTHERS: [(&str, &str, &str); 5] = [
    (
        METADATA,
        "an image of Incus or LXD",
        "its root is in rootfs: --prefix rootfs, or --unified for its metadata, too",
    ),
    ("oci-layout", "an OCI image", "make it with the template for those: -t oci -- --archive FILE"),
    (
        "manifest.json",
        "an image of docker save",
        "make it with the template for those: -t oci -- --archive FILE",
    ),
    ("backup", "a backup of Incus or LXD", "its root is further down: --prefix backup/container/rootfs"),
    ("rootfs", "a directory with a root in it", "say where that is: --prefix rootfs"),
];

/// Looks at the top of a tree; `from` is what it came from.
///
/// # Errors
/// It is no root, and what it may be instead.
pub(super) fn check(root: BorrowedFd<'_>, from: &str) -> Result<(), Error> {
    let names = match names(root) {
        // It belongs to the container alone, and an ordinary user is not the container.
        Err(Errno::ACCESS | Errno::PERM) => return Ok(()),
        found => found.map_err(|error| Error::Invalid {
            message: format!("cannot look at what came of {from}: {error}"),
            hint: "look at the file system that the containers are on".into(),
        })?,
    };
    judge(&names).map_err(|(what, hint)| {
        let unified = names.iter().any(|name| name == METADATA);
        Error::NoRoot { from: from.to_owned(), what, hint, unified }
    })
}

fn judge(names: &[String]) -> Result<(), (String, String)> {
    let has = |name: &str| names.iter().any(|own| own.trim_end_matches('/') == name);
    if USUAL.iter().any(|name| has(name)) {
        return Ok(());
    }
    if names.is_empty() {
        let hint =
            "look at what it is (file FILE): a disk with a file system in it, or an archive of another kind?";
        return Err(("there is nothing in it".into(), hint.into()));
    }
    if let Some((_, what, hint)) = OTHERS.iter().find(|(name, ..)| has(name)) {
        return Err((format!("it looks like {what}"), (*hint).to_owned()));
    }
    match names {
        // One directory around all of it, as archives of directories often are; it has a slash behind its name here.
        [one] if one.ends_with('/') => Err((
            format!("all of it is in {one:?}"),
            format!("if the root is in there: --prefix {}", one.trim_end_matches('/')),
        )),
        // A single program may be all that an image has.
        _ => Ok(()),
    }
}

fn names(root: BorrowedFd<'_>) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." && names.len() < MOST {
            names.push(name);
        }
    }
    if let [one] = &mut names[..]
        && statat(root, one.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    {
        one.push('/');
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_root_says_what_it_may_be() {
        let of = |names: &[&str]| judge(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        for good in
            [&["bin", "etc"][..], &["init"], &["usr/"], &["usr", "metadata.yaml"], &["app", "data"], &["app"]]
        {
            assert_eq!(of(good), Ok(()), "{good:?}");
        }
        for (names, word) in [
            (&[][..], "nothing in it"),
            (&["metadata.yaml", "rootfs", "templates"], "Incus"),
            (&["blobs", "index.json", "oci-layout"], "OCI"),
            (&["config", "rootfs"], "a root in it"),
            (&["backup/"], "backup"),
            (&["debian-13/"], "debian-13"),
        ] {
            let (what, hint) = of(names).unwrap_err();
            assert!(what.contains(word) && !hint.is_empty(), "{names:?}: {what}");
        }
    }
}
